// What is shown, as the address has it, so that it can be kept, sent and gone back to. Never a token.

/** @typedef {{ tenant: string, test: boolean, view: string }} Choice */

const FIRST_VIEW = "overview";

/** @param {string} tenant where the address names none @param {string[]} views that there are @returns {Choice} */
export function choiceInAddress(tenant, views) {
  const query = new URLSearchParams(location.search);
  const view = query.get("view") ?? "";
  return { tenant: query.get("tenant") || tenant, test: query.get("test") !== "false", view: views.includes(view) ? view : FIRST_VIEW };
}

/** @param {Choice} choice */
export function putInAddress({ tenant, test, view }) {
  const query = new URLSearchParams({ tenant });
  if (!test) query.set("test", "false");
  if (view !== FIRST_VIEW) query.set("view", view);
  if (`?${query}` !== location.search) history.pushState(null, "", `${location.pathname}?${query}`);
}
