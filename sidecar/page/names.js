// What tenants are called, as far as has been told.

import { tenants } from "./api.js";

/** Stands for all tenants together. */
export const ALL_TENANTS = "SUPERADMIN_GLOBAL";

/** @type {Map<string, string>} */
const names = new Map();

/** @param {string} tenant */
export const nameOf = (tenant) => names.get(tenant) || (tenant === ALL_TENANTS ? "All tenants" : tenant);

/** @param {string} tenant @param {string} name */
export const keepName = (tenant, name) => void names.set(tenant, name);

/** Another token may not be told the same. */
export const forgetNames = () => names.clear();

/** Asks for a name. Where there is none to be had, the id is the name. @param {string} tenant @param {() => void} onName */
export async function learnName(tenant, onName) {
  if (names.has(tenant) || tenant === ALL_TENANTS) return;
  try {
    const found = (await tenants(tenant, undefined, 100)).find((one) => one.tenant_id === tenant);
    if (!found) return;
    keepName(tenant, found.name);
    onName();
  } catch {
    // Figures are shown without it; what is wrong with the server, their read says.
  }
}
