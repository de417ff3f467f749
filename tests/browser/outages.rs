//! While something is down the page keeps what it has, says so, and goes on by itself.

use harness::assert_eventually;

use super::{ACME, Page};

/// What stands in the console meanwhile.
const UNANSWERED: [&str; 2] = ["503", "net::ERR_"];

#[test]
fn figures_stay_while_redis_is_down_and_go_on_when_it_is_back() {
    let mut page = Page::start();
    page.show(ACME);
    page.redis.shutdown();

    assert_eventually!(page.browser.text("#banner").contains("Not up to date since"), "it is said");
    assert!(page.browser.text("#banner").contains("the last figures"), "{}", page.browser.text("#banner"));
    assert_eq!(page.figure("totalContacts"), "1,234");
    page.browser.screenshot("redis-down");

    page.browser.click("#refresh");
    assert_eventually!(
        page.browser
            .text("#banner")
            .contains(": Redis cannot be used with REDIS_URL; see the sidecar's log. What you see"),
        "what the server says is a sentence among others"
    );

    page.postgres.execute(&format!("INSERT INTO contacts (tenant_id) VALUES ('{ACME}')"));
    page.redis.start_again();
    assert_eventually!(page.figure("totalContacts") == "1,235", harness::DEADLINE * 2, "it goes on");
    assert_eventually!(!page.browser.sees("#banner"), harness::DEADLINE * 2, "nothing is amiss any more");
    page.wait_for_stream();
    page.finish(&UNANSWERED);
}

#[test]
fn a_page_that_is_opened_while_postgres_is_down_fills_when_it_is_back() {
    let page = Page::start();
    page.postgres.go_down();
    page.visit(&format!("?tenant={ACME}"));
    assert_eventually!(page.browser.text("#banner").contains("no figures to show yet"), "it is said");

    page.postgres.come_back();
    assert_eventually!(page.figure("totalContacts") == "1,234", harness::DEADLINE * 2, "figures come");
    assert_eventually!(!page.browser.sees("#banner"), "nothing is amiss any more");
    page.finish(&UNANSWERED);
}

#[test]
fn a_refresh_that_brings_nothing_new_says_so_until_it_does() {
    let page = Page::start();
    page.show(ACME);
    page.postgres.go_down();
    page.browser.click("#refresh");
    assert_eventually!(page.browser.text("#banner").contains("Not computed anew yet"), "it is said");
    assert_eq!(page.figure("totalContacts"), "1,234");
    // Also when the old figures have been read again, as fresh as they were.
    assert_eventually!(page.browser.text("#origin") == "From memory", "they are read again");
    assert!(
        page.browser.text("#banner").contains("Not computed anew yet"),
        "{}",
        page.browser.text("#banner")
    );

    page.postgres.come_back();
    assert_eventually!(
        {
            page.browser.click("#refresh");
            !page.browser.sees("#banner")
        },
        harness::DEADLINE * 2,
        "nothing is amiss any more"
    );
    page.finish(&UNANSWERED);
}

#[test]
fn a_page_whose_sidecar_is_gone_says_so_before_its_figures_are_old() {
    let mut page = Page::start();
    page.show(ACME);
    page.sidecar.process().kill();

    assert_eventually!(page.browser.text("#banner").contains("The server cannot be reached."), "it is said");
    assert_eq!(page.figure("totalContacts"), "1,234");
    page.browser.click("#tab-operations");
    assert_eventually!(
        page.browser.text("#operations").contains("no figures to show yet"),
        "nor are there others"
    );
    page.finish(&UNANSWERED);
}
