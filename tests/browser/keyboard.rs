//! Everything can be done without a mouse.

use harness::{Key, assert_eventually};
use serde_json::json;

use super::{ACME, GLOBEX, Page};

impl Page {
    /// Presses Tab until the focus is on what a selector names.
    fn tab_to(&self, selector: &str) {
        for _ in 0..40 {
            self.browser.key(Key::Tab);
            if self.browser.run("return document.activeElement.matches(arguments[0])", &[json!(selector)])
                == true
            {
                return;
            }
        }
        panic!("Tab does not lead to {selector}");
    }
}

#[test]
fn a_tenant_is_found_by_name_and_chosen_with_keys_alone() {
    let page = Page::start();
    page.show(ACME);
    page.tab_to("#tenant");
    let ring = page.browser.run(
        "const s = getComputedStyle(document.activeElement); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2",
        &[],
    );
    assert_eq!(ring, true, "the focus is seen");
    page.browser.keys("globe");
    assert_eventually!(page.browser.text("#tenant-list [role=option]").starts_with("Globex"), "it is found");
    page.browser.key(Key::Down);
    let active = "const id = document.activeElement.getAttribute('aria-activedescendant'); return document.getElementById(id)?.getAttribute('aria-selected')";
    assert_eq!(page.browser.run(active, &[]), "true");
    page.browser.key(Key::Enter);

    assert_eventually!(page.figure("totalContacts") == "77", "its figures");
    assert_eq!(page.browser.text("#tenant-name"), "Globex");
    assert!(page.browser.address().ends_with(&format!("?tenant={GLOBEX}")));
    assert!(!page.browser.sees("#tenant-list"));
    page.finish(&[]);
}

#[test]
fn any_id_can_be_typed_and_escape_takes_back_what_was() {
    let page = Page::start();
    page.show(ACME);
    page.tab_to("#tenant");
    page.browser.keys("somebody-else");
    assert_eventually!(page.browser.sees("#tenant-list"), "the list is open");
    page.browser.key(Key::Escape);
    assert!(!page.browser.sees("#tenant-list"));
    assert_eq!(page.browser.run("return document.getElementById('tenant').value", &[]), "Acme");

    page.browser.run("document.getElementById('tenant').select()", &[]);
    page.browser.keys("somebody-else");
    page.browser.key(Key::Enter);
    assert_eventually!(page.browser.text("#refusal").contains("No such tenant"), "it is looked for");
    page.finish(&["404"]);
}

#[test]
fn tabs_are_one_stop_and_arrows_change_them() {
    let page = Page::start();
    page.show(ACME);
    page.tab_to("#tab-overview");
    page.browser.key(Key::Right);
    assert!(page.browser.sees("#operations") && !page.browser.sees("#overview"));
    assert!(page.browser.address().ends_with("&view=operations"));
    page.browser.key(Key::Home);
    assert!(page.browser.sees("#overview") && !page.browser.sees("#operations"));
    page.tab_to("#tab-activities");
    page.browser.key(Key::End);
    assert!(page.browser.sees("#list-opportunities") && !page.browser.sees("#list-activities"));
    page.browser.back();
    assert_eventually!(page.browser.sees("#operations"), "the history knows views");
    page.finish(&[]);
}

#[test]
fn a_dialogue_takes_the_focus_and_escape_closes_it() {
    let page = Page::start();
    page.show(ACME);
    page.tab_to("#clear");
    page.browser.key(Key::Enter);
    let is_inside = "return document.getElementById('clear-dialog').contains(document.activeElement)";
    assert_eq!(page.browser.run(is_inside, &[]), true);
    page.browser.key(Key::Escape);
    assert!(!page.browser.sees("#clear-dialog"));
    assert_eq!(page.browser.run("return document.activeElement.id", &[]), "clear");
    page.finish(&[]);
}
