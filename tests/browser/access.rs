//! Who shows which token sees what, and no token is ever seen.

use harness::{Key, assert_eventually, jwt};
use serde_json::json;

use super::{ACME, GLOBEX, Page};

fn locked() -> Page {
    Page::on(Page::crm(), |sidecar| sidecar.jwt_secret(jwt::SECRET))
}

fn of_acme() -> String {
    jwt::token(json!({ "tenant_id": ACME, "role": "user" }))
}

#[test]
fn without_a_token_the_page_asks_for_one_and_takes_it() {
    let page = locked();
    page.visit("");
    assert_eventually!(page.browser.sees("#token"), "a field for it");
    assert!(!page.browser.sees("#board, #choices"));
    page.browser.screenshot("sign-in");
    page.browser.keys("not.a.token");
    page.browser.key(Key::Enter);
    assert_eventually!(page.browser.text("#sign-in-error").contains("not accepted"), "it is refused");

    page.browser.keys(&of_acme());
    page.browser.key(Key::Enter);
    assert_eventually!(page.figure("totalContacts") == "1,234", "its tenant's figures");
    page.browser.click("#sign-out");
    assert!(page.browser.sees("#token") && !page.has_figures());
    page.visit("");
    assert_eventually!(page.browser.sees("#token"), "it is forgotten");
    page.finish(&["401"]);
}

#[test]
fn a_token_leaves_the_address_at_once_and_stays_in_the_tab() {
    let page = locked();
    page.visit(&format!("?tenant={ACME}#token={}", of_acme()));
    page.wait_for_figures();
    assert_eq!(page.browser.address(), page.address(&format!("?tenant={ACME}")));
    let holds = "return [document.cookie, JSON.stringify(localStorage), history.length, document.documentElement.outerHTML.includes(sessionStorage.getItem('dashboard.token'))]";
    let [cookie, local, _, html] =
        serde_json::from_value::<[serde_json::Value; 4]>(page.browser.run(holds, &[])).unwrap();
    assert_eq!((cookie, local, html), (json!(""), json!("{}"), json!(false)));

    page.visit(&format!("?tenant={ACME}"));
    page.wait_for_figures();
    page.finish(&[]);
}

#[test]
fn a_confined_token_sees_its_tenant_and_no_button_that_it_may_not_press() {
    let page = locked();
    page.visit(&format!("#token={}", of_acme()));
    page.wait_for_figures();
    assert_eventually!(page.browser.text("#tenant-name") == "Acme", "by its name");
    assert!(!page.browser.sees("#tenant, #clear, #views"));
    assert!(page.browser.sees("#refresh"));

    page.visit(&format!("?tenant={GLOBEX}"));
    assert_eventually!(page.browser.text("#refusal").contains("Not for this token"), "another tenant");
    assert!(!page.has_figures());
    page.browser.click("#refusal button");
    assert_eventually!(page.figure("totalContacts") == "1,234", "its own again");
    page.finish(&["403"]);
}

#[test]
fn an_admin_may_clear_its_tenant_and_a_superadmin_sees_all_of_them() {
    let page = locked();
    page.visit(&format!("#token={}", jwt::token(json!({ "tenant_id": ACME, "role": "admin" }))));
    page.wait_for_figures();
    assert!(page.browser.sees("#clear") && !page.browser.sees("#views"));

    page.visit(&format!("?tenant=SUPERADMIN_GLOBAL#token={}", jwt::token(json!({ "role": "superadmin" }))));
    assert_eventually!(page.figure("totalContacts") == "1,311", "all tenants");
    assert_eq!(page.browser.text("#tenant-name"), "All tenants");
    assert!(page.browser.sees("#clear") && page.browser.sees("#tab-operations"));
    page.finish(&[]);
}

#[test]
fn a_token_that_expires_while_one_looks_is_asked_for_again() {
    let page = locked();
    let soon = json!({ "tenant_id": ACME, "exp": jwt::now() + 10 });
    page.visit(&format!("#token={}", jwt::token(soon)));
    page.wait_for_figures();

    assert_eventually!(page.browser.text("#sign-in-error").contains("expired"), "it has expired");
    assert!(!page.has_figures() && !page.browser.sees("#board"));
    page.finish(&["401"]);
}
