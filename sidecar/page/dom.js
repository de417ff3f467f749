// Builds elements. What the CRM holds is only ever set as text, so none of it can become markup.

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {Record<string, string | number | boolean | null | undefined | EventListener>} Attributes */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @template {Element} E
 * @param {E} element
 * @param {Attributes} attributes `on…` with a function listens; null, undefined and false leave out
 * @param {Child[]} children
 * @returns {E}
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  put(element, children);
  return element;
}

/**
 * @param {string} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/**
 * @param {string} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {SVGElement}
 */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * Replaces what an element holds.
 * @param {Element} element
 * @param {Child[]} children
 */
export function put(element, children) {
  const nodes = children.filter((child) => child !== null && child !== undefined && child !== false);
  element.replaceChildren(.../** @type {(Node | string)[]} */ (nodes.map((n) => (typeof n === "number" ? String(n) : n))));
}

/**
 * The element with this id, which index.html has.
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element;
}

/**
 * A bar's length, as a share of its track. Through the CSSOM, which the content security policy allows.
 * @param {HTMLElement} bar
 * @param {number} share 0 to 1
 */
export function setShare(bar, share) {
  bar.style.setProperty("--share", `${(Math.min(Math.max(share, 0), 1) * 100).toFixed(2)}%`);
}

/**
 * Draws the eye to something for a moment. The style sheet leaves the movement out for those who want none.
 * @param {Element} element
 */
export function flash(element) {
  element.classList.remove("changed");
  // The animation starts anew only if the style was computed without it in between.
  void (/** @type {HTMLElement} */ (element).offsetWidth);
  element.classList.add("changed");
  element.addEventListener("animationend", () => element.classList.remove("changed"), { once: true });
}
