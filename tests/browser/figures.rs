//! What is shown is what the cache holds, to the last digit.

use harness::assert_eventually;
use serde_json::Value;

use super::{ACME, INITECH, Page};

/// A number as the bundle's own text has it.
fn raw(bundle: &str, member: &str) -> String {
    let (_, rest) = bundle.split_once(&format!("\"{member}\":")).unwrap_or_else(|| panic!("no {member}"));
    rest.trim_start().chars().take_while(|c| !matches!(c, ',' | '}')).collect::<String>().trim().to_owned()
}

#[test]
fn every_figure_is_the_one_that_redis_cli_shows() {
    let page = Page::start();
    page.show(ACME);
    let text = page.redis.cli(&["DASHBOARD.GET", ACME]);
    let bundle: Value = serde_json::from_str(&text).unwrap();

    for name in bundle["stats"].as_object().unwrap().keys().filter(|&name| name != "leadsBySource") {
        assert_eq!(page.value(name), raw(&text, name), "{name}");
    }
    assert_eq!(page.figure("totalContacts"), "1,234");
    let rows = page.browser.run(
        "return [...document.querySelectorAll('[data-stage]')].map((row) => [row.dataset.stage, ...[...row.querySelectorAll('data')].map((d) => d.value)])",
        &[],
    );
    let shown: Vec<Vec<String>> = serde_json::from_value(rows).unwrap();
    let stages = ["prospecting", "qualification", "proposal", "negotiation", "closed_won", "closed_lost"];
    assert_eq!(shown.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), stages);
    for row in &shown {
        let (_, of_stage) = text.split_once(&format!("\"{}\":", row[0])).unwrap();
        assert_eq!((&row[1], &row[2]), (&raw(of_stage, "count"), &raw(of_stage, "value")), "{}", row[0]);
    }
    page.finish(&[]);
}

#[test]
fn a_sum_with_more_digits_than_a_float_has_keeps_them_all() {
    let page = Page::start();
    page.postgres.execute(&format!(
        "INSERT INTO opportunities (tenant_id, name, stage, amount) SELECT '{ACME}', 'Larger', 'won', 9999999999999.99 FROM generate_series(1, 12345)"
    ));
    page.show(ACME);
    let text = page.redis.cli(&["DASHBOARD.GET", ACME]);
    let value = page.value("wonValue");

    assert_eq!(value, raw(&text, "wonValue"));
    assert!(value.len() > 17, "{value}");
    let title = page.browser.run("return document.querySelector('[data-figure=wonValue] data').title", &[]);
    assert_eq!(title.as_str().unwrap().replace(',', ""), value);
    assert!(page.figure("wonValue").len() <= 8, "{}", page.figure("wonValue"));
    page.finish(&[]);
}

#[test]
fn a_tenant_without_rows_has_zeros_and_says_so() {
    let page = Page::start();
    page.show(INITECH);

    for name in ["totalContacts", "pipelineValue", "wonOpportunities", "activitiesLast30Days"] {
        assert_eq!(page.figure(name), "0", "{name}");
    }
    assert_eq!(page.browser.text(".sources"), "No leads yet.");
    assert_eq!(page.browser.text("#list-activities"), "No activities yet.");
    page.finish(&[]);
}

#[test]
fn what_is_not_known_is_a_dash() {
    let page = Page::start();
    page.show(ACME);
    page.browser.click("#tab-leads");

    let first = "#list-leads tbody tr:first-child td";
    assert_eq!(page.browser.text(&format!("{first}:nth-child(1)")), "–");
    assert_eq!(page.browser.text(&format!("{first}:nth-child(3)")), "–");
    assert!(!page.browser.text("main").contains("null"));
    page.finish(&[]);
}

#[test]
fn sources_beyond_the_ten_largest_are_folded() {
    let page = Page::start();
    page.show(ACME);
    page.browser.resize(1440, 900);
    let rows = || page.browser.run("return document.querySelectorAll('.sources tbody tr').length", &[]);
    let funnel = || {
        page.browser.run("return document.querySelector('[aria-labelledby=funnel-title]').offsetHeight", &[])
    };

    assert_eq!(rows(), 10);
    let height = funnel();
    page.browser.click(".sources button");
    assert_eq!(rows(), 15);
    assert!(
        funnel().as_u64() <= height.as_u64(),
        "what stands beside them does not grow: {} of {height}",
        funnel()
    );
    page.finish(&[]);
}

#[test]
fn test_data_can_be_left_out_and_the_history_leads_back() {
    let page = Page::start();
    page.show(ACME);
    assert_eq!(page.figure("totalAccounts"), "10");

    page.browser.click("label.switch");
    assert_eventually!(page.figure("totalAccounts") == "8", "without test data");
    assert!(page.browser.address().ends_with(&format!("?tenant={ACME}&test=false")));
    page.browser.back();
    assert_eventually!(page.figure("totalAccounts") == "10", "with it again");
    page.finish(&[]);
}

#[test]
fn the_console_tells_a_hit_from_a_miss() {
    let page = Page::start();
    page.show(ACME);
    let key = format!("key=dashboard:bundle:{ACME}:include=true");
    let says = |text: &str| page.browser.console().iter().any(|line| line.message.contains(text));

    assert_eventually!(
        says(&format!("[dashboard-bundle] Cache MISS {key} (compute from db)")),
        "the first read"
    );
    page.visit(&format!("?tenant={ACME}"));
    assert_eventually!(says(&format!("[dashboard-bundle] Cache HIT {key} (redis)")), "the second");
    assert_eventually!(page.browser.text("#origin") == "From memory", "the badge says so too");
    page.finish(&[]);
}
