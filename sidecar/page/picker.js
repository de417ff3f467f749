// The tenant picker: an editable combobox with a list, after the ARIA authoring practices. Any id may be typed.

import { isAbort, tenants } from "./api.js";
import { h, put } from "./dom.js";
import { clip } from "./format.js";

/** @typedef {import("./api.js").Tenant} Tenant */

const PAUSE_MS = 150;
const ID = /^[A-Za-z0-9_.-]{1,64}$/;

export class Picker {
  /** @type {(tenant: Tenant) => void} */ #onChoice;
  /** @type {Tenant[]} */ #found = [];
  #active = -1;
  #current = "";
  #search = new AbortController();
  #timer = 0;

  /** @param {HTMLElement} root @param {(tenant: Tenant) => void} onChoice with an empty name if it is not known */
  constructor(root, onChoice) {
    this.#onChoice = onChoice;
    this.input = /** @type {HTMLInputElement} */ (
      h("input", {
        id: "tenant",
        type: "text",
        role: "combobox",
        "aria-autocomplete": "list",
        "aria-expanded": "false",
        "aria-controls": "tenant-list",
        autocomplete: "off",
        spellcheck: "false",
        maxlength: "200",
        placeholder: "Name or id",
      })
    );
    this.list = h("ul", { id: "tenant-list", role: "listbox", "aria-label": "Tenants", hidden: true });
    this.status = h("span", { class: "unseen", role: "status" });
    put(root, [h("label", { for: "tenant", class: "unseen" }, "Tenant"), this.input, this.list, this.status]);
    this.input.addEventListener("focus", () => this.input.select());
    this.input.addEventListener("click", () => this.#open());
    this.input.addEventListener("input", () => this.#lookUpSoon());
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.input.addEventListener("blur", () => this.#close(true));
    // A press on an option must not take the focus away from the field before it is a click.
    this.list.addEventListener("pointerdown", (event) => event.preventDefault());
  }

  /** Shows what is chosen. @param {string} name */
  show(name) {
    this.#current = clip(name, 200);
    if (document.activeElement !== this.input || this.list.hidden) this.input.value = this.#current;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const isOpen = !this.list.hidden;
    const last = this.#found.length - 1;
    if (event.key === "ArrowDown" && !isOpen) this.#open();
    else if (event.key === "ArrowDown") this.#move(this.#active >= last ? 0 : this.#active + 1);
    else if (event.key === "ArrowUp" && isOpen) this.#move(this.#active <= 0 ? last : this.#active - 1);
    else if (event.key === "Enter") this.#enter();
    else if (event.key === "Escape" && isOpen) this.#close(true);
    else return;
    event.preventDefault();
  }

  #enter() {
    const typed = this.input.value.trim();
    const active = this.#found[this.#active];
    const named = this.#found.find((t) => t.tenant_id === typed || t.name === typed);
    if (active) this.#choose(active);
    else if (named) this.#choose(named);
    else if (typed === this.#current) this.#close(true);
    else if (ID.test(typed)) this.#choose({ tenant_id: typed, name: "" });
    else this.#say("An id has 1 to 64 of A–Z a–z 0–9 _ . -", []);
  }

  /** @param {Tenant} tenant */
  #choose(tenant) {
    this.#current = clip(tenant.name || tenant.tenant_id, 200);
    this.#close(true);
    this.#onChoice(tenant);
  }

  #open() {
    if (this.list.hidden) void this.#lookUp("");
  }

  #lookUpSoon() {
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => void this.#lookUp(this.input.value.trim()), PAUSE_MS);
  }

  /** @param {string} text */
  async #lookUp(text) {
    this.#search.abort();
    this.#search = new AbortController();
    const { signal } = this.#search;
    try {
      const found = await tenants(text, signal);
      if (signal.aborted || document.activeElement !== this.input) return;
      const isKnown = found.some((t) => t.tenant_id === text);
      if (text && ID.test(text) && !isKnown) found.push({ tenant_id: text, name: "" });
      this.#say(found.length === 0 ? "No tenant has this in its name or id" : "", found);
    } catch (error) {
      if (isAbort(error)) return;
      const typed = ID.test(text) ? [{ tenant_id: text, name: "" }] : [];
      this.#say("Tenants cannot be listed now; an id may be typed", typed);
    }
  }

  /** Fills the list. @param {string} remark @param {Tenant[]} found */
  #say(remark, found) {
    this.#found = found;
    const options = found.map((tenant, index) =>
      h(
        "li",
        { id: `tenant-${index}`, role: "option", "aria-selected": "false", onclick: () => this.#choose(tenant) },
        h("bdi", { class: "cut", title: clip(tenant.name, 300) }, clip(tenant.name, 120) || "Open this id"),
        h("code", { class: "cut" }, tenant.tenant_id),
      ),
    );
    put(this.list, [...options, remark && h("li", { class: "remark", role: "option", "aria-disabled": "true" }, remark)]);
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.status.textContent = remark || `${found.length} to choose from`;
    this.#move(-1);
  }

  /** @param {number} to */
  #move(to) {
    this.#active = this.#found.length === 0 ? -1 : to;
    for (const [index, option] of this.list.querySelectorAll("[role=option]:not([aria-disabled])").entries()) {
      option.setAttribute("aria-selected", String(index === to));
      if (index === to) option.scrollIntoView({ block: "nearest" });
    }
    if (this.#active < 0) this.input.removeAttribute("aria-activedescendant");
    else this.input.setAttribute("aria-activedescendant", `tenant-${to}`);
  }

  /** @param {boolean} takeBack what was typed */
  #close(takeBack) {
    clearTimeout(this.#timer);
    this.#search.abort();
    this.list.hidden = true;
    this.#active = -1;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    if (takeBack) this.input.value = this.#current;
  }
}
