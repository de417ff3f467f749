// The theme: as the system, light or dark. Runs before the first paint; main.js connects the switch.

const KEY = "dashboard.theme";
const THEMES = ["system", "light", "dark"];

/** What was chosen, or `system`. Storage may be forbidden altogether. */
function chosen() {
  try {
    const theme = localStorage.getItem(KEY);
    return theme && THEMES.includes(theme) ? theme : "system";
  } catch {
    return "system";
  }
}

/** @param {string} theme */
function apply(theme) {
  document.documentElement.dataset.theme = theme;
}

/**
 * Connects the radio buttons.
 * @param {HTMLElement} group
 */
export function connectThemes(group) {
  for (const radio of group.querySelectorAll("input")) {
    radio.checked = radio.value === chosen();
    radio.addEventListener("change", () => {
      apply(radio.value);
      try {
        localStorage.setItem(KEY, radio.value);
      } catch {
        // Then it holds for as long as the page is open.
      }
    });
  }
}

apply(chosen());
