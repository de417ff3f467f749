// Clearing a tenant's bundles, which is asked about first.

import { Failure, clearCache } from "./api.js";
import { byId } from "./dom.js";
import { clip } from "./format.js";

/**
 * @param {() => { tenant: string, name: string } | null} shown whose bundles are to be cleared
 * @param {(cleared: number) => void} onCleared
 * @param {(failure: Failure) => void} onFailure
 */
export function connectClearing(shown, onCleared, onFailure) {
  const dialog = byId("clear-dialog");
  /** The tenant that is asked about, whatever is chosen meanwhile. */
  let tenant = "";
  byId("clear").addEventListener("click", () => {
    const what = shown();
    if (!what) return;
    tenant = what.tenant;
    byId("clear-text").textContent = `What Redis holds for “${clip(what.name, 80)}”, with and without test data, is removed. Whoever reads it next waits until it is computed from the database.`;
    dialog.showModal();
  });
  byId("clear-no").addEventListener("click", () => dialog.close());
  byId("clear-yes").addEventListener("click", async () => {
    dialog.close();
    try {
      onCleared((await clearCache(tenant)).cleared);
    } catch (error) {
      onFailure(error instanceof Failure ? error : new Failure(0, String(error)));
    }
  });
}
