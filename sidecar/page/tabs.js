// Tabs after the ARIA authoring practices: one stop for Tab, arrows move, and moving selects.

/**
 * @param {HTMLElement} list the tablist, whose tabs name their panels with aria-controls
 * @param {(id: string) => void} onSelect the panel's id, when a person has selected
 */
export function connectTabs(list, onSelect) {
  const tabs = /** @type {HTMLElement[]} */ ([...list.querySelectorAll("[role=tab]")]);
  const panelOf = (/** @type {HTMLElement} */ tab) => tab.getAttribute("aria-controls") ?? "";

  /** @param {string} panel */
  function select(panel) {
    for (const tab of tabs) {
      const isSelected = panelOf(tab) === panel;
      tab.setAttribute("aria-selected", String(isSelected));
      tab.tabIndex = isSelected ? 0 : -1;
      const element = document.getElementById(panelOf(tab));
      if (!element) continue;
      element.hidden = !isSelected;
      element.setAttribute("role", "tabpanel");
      element.setAttribute("aria-labelledby", tab.id);
    }
  }

  for (const [index, tab] of tabs.entries()) {
    const go = (/** @type {number} */ to) => {
      const next = /** @type {HTMLElement} */ (tabs.at(to % tabs.length));
      next.focus();
      select(panelOf(next));
      onSelect(panelOf(next));
    };
    tab.addEventListener("click", () => go(index));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: -1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      go(to);
    });
  }
  return select;
}
