//! The page follows its tenant by itself.

use harness::assert_eventually;

use super::{ACME, GLOBEX, Page};

#[test]
fn a_bundle_that_is_cleared_is_shown_anew_without_a_reload() {
    let page = Page::start();
    page.show(ACME);
    page.browser.run("window.isSamePage = true", &[]);
    page.postgres.execute(&format!("INSERT INTO contacts (tenant_id) VALUES ('{ACME}')"));
    page.redis.cli(&["DASHBOARD.CLEAR", ACME]);

    assert_eventually!(page.figure("totalContacts") == "1,235", "the new figure");
    assert_eventually!(
        page.browser.text("#announcer").contains("Contacts 1,235"),
        "it is told to those who do not see it"
    );
    assert_eq!(page.browser.run("return window.isSamePage", &[]), true);
    page.finish(&[]);
}

#[test]
fn a_change_that_is_announced_softly_is_shown_too() {
    let page = Page::start();
    page.show(ACME);
    page.postgres.execute(&format!("DELETE FROM contacts WHERE tenant_id = '{ACME}'"));
    page.redis.cli(&["DASHBOARD.CLEAR", ACME, "SOFT"]);

    assert_eventually!(page.figure("totalContacts") == "0", "the new figure");
    page.finish(&[]);
}

#[test]
fn refreshing_and_clearing_by_hand_compute_anew() {
    let page = Page::start();
    page.show(ACME);
    page.postgres.execute(&format!("INSERT INTO contacts (tenant_id) VALUES ('{ACME}')"));
    page.browser.click("#refresh");
    assert_eventually!(page.figure("totalContacts") == "1,235", "refreshed");

    page.postgres.execute(&format!("INSERT INTO contacts (tenant_id) VALUES ('{ACME}')"));
    page.browser.click("#clear");
    page.browser.click("#clear-no");
    assert!(!page.browser.sees("#clear-dialog"));
    assert_eq!(page.figure("totalContacts"), "1,235", "nothing happens without a yes");
    page.browser.click("#clear");
    page.browser.click("#clear-yes");
    assert_eventually!(page.figure("totalContacts") == "1,236", "cleared");
    page.finish(&[]);
}

/// Has each bundle of Acme take so many seconds.
fn slow_down(page: &Page, seconds: f64) {
    page.postgres.execute(&format!(
        "ALTER FUNCTION dashboard.bundle(text, boolean) RENAME TO quick_bundle;
         CREATE FUNCTION dashboard.bundle(tenant text, include_test_data boolean) RETURNS json LANGUAGE plpgsql STABLE AS
         $$BEGIN
             IF tenant = '{ACME}' THEN PERFORM pg_sleep({seconds}); END IF;
             RETURN dashboard.quick_bundle(tenant, include_test_data);
         END$$"
    ));
}

/// Has each bundle of Acme wait until the returned session lets it go on.
fn close_gate(page: &Page) -> postgres::Client {
    page.postgres.execute(&format!(
        "ALTER FUNCTION dashboard.bundle(text, boolean) RENAME TO quick_bundle;
         CREATE FUNCTION dashboard.bundle(tenant text, include_test_data boolean) RETURNS json LANGUAGE plpgsql STABLE AS
         $$BEGIN
             IF tenant = '{ACME}' THEN PERFORM pg_advisory_xact_lock_shared(4711); END IF;
             RETURN dashboard.quick_bundle(tenant, include_test_data);
         END$$"
    ));
    let mut gate = page.postgres.client();
    gate.batch_execute("SELECT pg_advisory_lock(4711)").unwrap();
    gate
}

#[test]
fn a_bundle_is_read_again_when_its_freshness_ends() {
    let page = Page::start();
    page.redis.cli(&["CONFIG", "SET", "dashboard.ttl", "1"]);
    page.show(ACME);
    // Nobody is told of this.
    page.postgres.execute(&format!("INSERT INTO contacts (tenant_id) VALUES ('{ACME}')"));

    assert_eventually!(page.figure("totalContacts") == "1,235", "it is found by looking");
    page.finish(&[]);
}

#[test]
fn however_much_changes_one_read_is_under_way_at_a_time() {
    let page = Page::start();
    slow_down(&page, 0.1);
    page.show(ACME);
    let mut client = page.redis.client();
    for _ in 0..20 {
        page.postgres.execute(&format!("INSERT INTO contacts (tenant_id) VALUES ('{ACME}')"));
        client.ok(&["DASHBOARD.CLEAR", ACME]);
        page.browser.run("document.getElementById('refresh').click()", &[]);
    }
    assert_eventually!(page.figure("totalContacts") == "1,254", "the last change is shown");
    let overlapping = "const reads = performance.getEntriesByType('resource').filter((e) => e.name.includes('dashboard-bundle'));
        return [reads.length, reads.some((a, i) => reads.slice(i + 1).some((b) => b.startTime < a.responseEnd && a.startTime < b.responseEnd))]";
    let answer = page.browser.run(overlapping, &[]);
    assert!(answer[0].as_u64() > Some(2) && answer[1] == false, "{answer}");
    page.finish(&[]);
}

#[test]
fn a_slow_answer_for_a_tenant_that_was_left_is_never_drawn() {
    let page = Page::start();
    let mut gate = close_gate(&page);
    page.show(GLOBEX);
    let seen = "window.seen = new Set(); new MutationObserver(() => window.seen.add(document.querySelector('[data-figure=totalContacts]').innerText))
        .observe(document.querySelector('[data-figure=totalContacts]'), { childList: true, subtree: true })";
    page.browser.run(seen, &[]);
    let choose = |tenant: &str| {
        page.browser.click("#tenant");
        page.browser.run("document.getElementById('tenant').select()", &[]);
        page.browser.keys(tenant);
        page.browser.key(harness::Key::Enter);
    };
    choose(ACME);
    assert_eventually!(!page.has_figures(), "Acme is waited for");
    choose(GLOBEX);
    assert_eventually!(page.figure("totalContacts") == "77", "Globex");
    gate.batch_execute("SELECT pg_advisory_unlock(4711)").unwrap();
    // Acme's answer is there, for others.
    let mut client = page.redis.client();
    client.ok(&["DASHBOARD.GET", ACME]);
    // The stored bundle may be read again at once: what stood there for a moment counts.
    let origins = "window.origins = []; new MutationObserver(() => window.origins.push(document.getElementById('origin').innerText))
        .observe(document.getElementById('origin'), { childList: true, characterData: true, subtree: true })";
    page.browser.run(origins, &[]);
    page.browser.click("#refresh");
    let origins = || page.browser.run("return window.origins", &[]);
    assert_eventually!(
        origins().as_array().is_some_and(|origins| origins.iter().any(|origin| origin == "Computed now")),
        "it is read once more"
    );
    let seen = page.browser.run("return [...window.seen].filter((text) => text !== '')", &[]);
    assert!(!seen.to_string().contains("1,234"), "{seen}");
    assert_eq!(page.browser.text("#tenant-name"), "Globex");
    page.finish(&[]);
}

#[test]
fn a_page_that_nobody_sees_holds_no_connection_and_catches_up_when_it_is_seen() {
    let page = Page::start();
    page.show(ACME);
    let streams = || {
        page.sidecar.public().get("/api/system/operations").json()["data"]["sidecar"]["event_streams"].clone()
    };
    let turn = |state: &str| {
        // What a browser does when another tab is chosen, which there is none of here.
        let script =
            "Object.defineProperty(document, 'visibilityState', { value: arguments[0], configurable: true });
            document.dispatchEvent(new Event('visibilitychange'))";
        page.browser.run(script, &[state.into()]);
    };
    assert_eq!(streams(), 1);
    turn("hidden");
    assert_eventually!(streams() == 0, "it is given back");
    page.postgres.execute(&format!("INSERT INTO contacts (tenant_id) VALUES ('{ACME}')"));
    page.redis.cli(&["DASHBOARD.CLEAR", ACME]);

    turn("visible");
    assert_eventually!(page.figure("totalContacts") == "1,235", "what it has missed");
    page.wait_for_stream();
    page.finish(&[]);
}
