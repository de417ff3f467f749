//! What is committed in Postgres comes to be seen on a page that is open, and nobody has told anybody of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use harness::{Sidecar, assert_eventually, run_ok};

use super::layout::overlaps;
use super::{ACME, GLOBEX, Page};

const ALL: &str = "SUPERADMIN_GLOBAL";

/// Notes when each figure and the first row of the list of leads were last drawn, by the clock of this machine.
const WATCH: &str = r"
window.isSamePage = true;
window.drawn = {};
const note = (name) => { window.drawn[name] = performance.timeOrigin + performance.now(); };
for (const figure of document.querySelectorAll('[data-figure]')) {
  let before = figure.textContent;
  new MutationObserver(() => {
    if (figure.textContent === before) return;
    before = figure.textContent;
    note(figure.dataset.figure);
  }).observe(figure, { childList: true, subtree: true, characterData: true });
}
const list = document.querySelector('#list-leads tbody');
let first = list.rows[0]?.textContent;
new MutationObserver(() => {
  if (list.rows[0]?.textContent === first) return;
  first = list.rows[0]?.textContent;
  note('list');
}).observe(list, { childList: true, subtree: true, characterData: true });";

/// How often the page has read a bundle.
const READS: &str = "return performance.getEntriesByType('resource').filter((e) => e.name.includes('dashboard-bundle')).length";

/// A page of which changes are followed, as a sidecar does that finds the counters enabled.
fn start() -> Page {
    let postgres = Page::crm();
    run_ok(&mut Sidecar::command(&["counters", "enable"], &postgres.url()));
    let page = Page::on(postgres, |sidecar| sidecar.env("DASHBOARD_FEED", "on"));
    let feed = || page.sidecar.public().get("/api/system/operations").json()["data"]["feed"].clone();
    assert_eventually!(feed()["role"] == "holder" && feed()["lag_ms"].is_u64(), "changes are followed");
    // With a Redis that it has not met before, the feed announces everything.
    assert_eventually!(
        page.postgres.value::<bool>("SELECT redis IS NOT NULL AND gap IS NULL FROM dashboard.feed"),
        "nothing is announced any more"
    );
    page
}

/// Shows a tenant, and waits until nothing else happens.
fn show(page: &Page, tenant: &str) {
    page.show(tenant);
    page.browser.click("#tab-leads");
    page.browser.run(WATCH, &[]);
}

/// Adds a lead, in a transaction of its own; when it was committed.
fn add_lead(client: &mut postgres::Client, tenant: &str, name: &str) -> SystemTime {
    let insert = "INSERT INTO leads (tenant_id, first_name, last_name, source, created_date, created_at)
                  VALUES ($1::text::uuid, 'Ada', $2, 'psql', now(), now())";
    let mut transaction = client.transaction().unwrap();
    transaction.execute(insert, &[&tenant, &name]).unwrap();
    transaction.commit().unwrap();
    SystemTime::now()
}

/// The name on top of the list.
fn newest(page: &Page) -> String {
    page.browser.text("#list-leads tbody tr:first-child td:first-child")
}

/// From the commit until the page has drawn what is named.
fn took(page: &Page, committed: SystemTime, name: &str) -> Duration {
    let drawn = page.browser.run("return window.drawn[arguments[0]]", &[name.into()]);
    let drawn = UNIX_EPOCH + Duration::from_secs_f64(drawn.as_f64().expect("it was drawn") / 1_000.0);
    drawn.duration_since(committed).unwrap_or_default()
}

#[test]
fn a_lead_that_is_inserted_by_sql_is_shown_by_itself_and_so_is_each_one_after_it() {
    let page = start();
    show(&page, ACME);
    let leads = |page: &Page| page.value("totalLeads").parse::<u32>().unwrap();
    let before = leads(&page);
    let mut client = page.postgres.client();
    for n in 1..=8 {
        let name = format!("Number {n}");
        let committed = add_lead(&mut client, ACME, &name);
        assert_eventually!(leads(&page) == before + n, "the new figure");
        assert_eventually!(newest(&page).contains(&name), "the new lead");
        let [figure, list] = ["totalLeads", "list"].map(|what| took(&page, committed, what));
        println!("change {n}: from COMMIT to the figure {figure:.0?}, to the list {list:.0?}");
    }
    // One that moves no figure.
    let mut transaction = client.transaction().unwrap();
    transaction.execute("UPDATE leads SET last_name = 'Lovelace' WHERE last_name = 'Number 8'", &[]).unwrap();
    transaction.commit().unwrap();
    let committed = SystemTime::now();
    assert_eventually!(newest(&page).contains("Lovelace"), "the new name");
    println!("a change that only a list shows: {:.0?}", took(&page, committed, "list"));
    assert_eq!(page.browser.run("return window.isSamePage", &[]), true);
    page.finish(&[]);
}

#[test]
fn a_change_of_another_tenants_is_not_read_by_a_page_and_all_together_follow_each() {
    let page = start();
    show(&page, ACME);
    let reads = || page.browser.run(READS, &[]);
    let mut client = page.postgres.client();
    // What the page has still to read of what was before is read by the time that it shows this.
    add_lead(&mut client, ACME, "The first");
    assert_eventually!(newest(&page).contains("The first"), "a change of its own");
    let before = reads().as_u64();
    add_lead(&mut client, GLOBEX, "Of Globex");
    // Told of in order: what comes after it has been shown by then.
    let committed = add_lead(&mut client, ACME, "Of Acme");
    assert_eventually!(newest(&page).contains("Of Acme"), "its own change");
    println!("behind another tenant's change: {:.0?}", took(&page, committed, "list"));
    assert_eq!(reads().as_u64(), before.map(|reads| reads + 1), "it has read once, for its own");

    show(&page, ALL);
    for tenant in [GLOBEX, ACME, GLOBEX] {
        let name = format!("Of {tenant}");
        let committed = add_lead(&mut client, tenant, &name);
        assert_eventually!(newest(&page).contains(&name), "any tenant's change");
        println!("all together: {:.0?}", took(&page, committed, "list"));
    }
    page.finish(&[]);
}

#[test]
fn operators_see_who_follows_changes_how_far_behind_and_what_is_missing_where_nobody_does() {
    let page = start();
    page.show(ACME);
    page.browser.click("#tab-operations");
    let card = || page.browser.text("section[aria-labelledby=ops-feed]");
    assert_eventually!(
        card().contains("This sidecar") && card().matches(" ms").count() == 2,
        "who, how far behind, and as Redis was told"
    );
    page.browser.screenshot("feed-held");
    for width in [360, 768, 1440] {
        page.browser.resize(width, 900);
        assert_eq!(overlaps(&page.browser), Vec::<String>::new(), "{width}");
    }
    run_ok(&mut Sidecar::command(&["counters", "disable"], &page.postgres.url()));
    assert_eventually!(card().contains("dashboard-sidecar counters enable"), "what is to be done");
    page.browser.screenshot("feed-off");
    page.finish(&[]);
}

/// What the badge says, and whether it is green.
fn badge(page: &Page) -> (String, bool) {
    let is_green = page.browser.run("return document.getElementById('live').dataset.state === 'live'", &[]);
    (page.browser.text("#live"), is_green == true)
}

#[test]
fn the_badge_says_live_only_while_changes_are_followed_and_otherwise_what_is_known() {
    let postgres = Page::crm();
    run_ok(&mut Sidecar::command(&["counters", "enable"], &postgres.url()));
    let page = Page::on(postgres, |sidecar| {
        sidecar.env("DASHBOARD_FEED", "on").env("DASHBOARD_FEED_LAG_LIMIT_MS", "2000")
    });
    page.show(ACME);
    assert_eventually!(badge(&page) == ("Live".to_owned(), true), "changes are followed");
    page.browser.screenshot("live");

    // The event stream stays open all the while: it leads to Redis.
    page.postgres.go_down();
    let behind = || badge(&page).0.starts_with("Changes are ") && badge(&page).0.ends_with(" behind");
    assert_eventually!(behind() && !badge(&page).1, harness::DEADLINE * 2, "they are behind");
    page.browser.screenshot("behind");
    for width in [360, 768, 1440] {
        page.browser.resize(width, 900);
        assert_eq!(overlaps(&page.browser), Vec::<String>::new(), "{width}");
    }
    page.postgres.come_back();
    assert_eventually!(badge(&page).1, harness::DEADLINE * 2, "it has caught up");

    run_ok(&mut Sidecar::command(&["counters", "disable"], &page.postgres.url()));
    let told = harness::poll_until(harness::DEADLINE * 2, || badge(&page).0.starts_with("Not followed"));
    assert!(told, "{:?}", badge(&page));
    assert_eq!(badge(&page), ("Not followed: refreshed every 5 min".to_owned(), false));
    page.browser.screenshot("not-followed");
    page.finish(&["503", "net::ERR_"]);
}
