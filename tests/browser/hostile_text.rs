//! What the CRM holds was typed by strangers. It stays text.

use super::{ACME, Page};

/// Each of these as a first name, a company, a subject, a source and the name of an opportunity.
const TEXTS: [&str; 8] = [
    "<script>window.pwned = 1</script>",
    "<img src=x onerror=\"window.pwned = 1\">",
    "\"><svg onload=window.pwned=1>",
    "javascript:window.pwned=1",
    "{{7*7}} ${7*7} ' \" ` \\",
    "\u{202e}txet desrever",
    "👩‍👩‍👧‍👦 Zoë \u{0}",
    "{LONG}",
];

#[test]
fn hostile_text_stays_text() {
    let page = Page::start();
    let mut postgres = page.postgres.client();
    let long = "W".repeat(10_000);
    for (place, text) in TEXTS.iter().enumerate() {
        // Postgres itself takes no zero byte.
        let text = text.replace('\0', "").replace("{LONG}", &long);
        let minutes = f64::from(u32::try_from(place).unwrap());
        for sql in [
            "INSERT INTO leads (tenant_id, first_name, company, email, source, status, created_at) SELECT id, $1, $1, $1, $1, $1, now() + $2 * interval '1 minute' FROM tenant WHERE name = 'Acme'",
            "INSERT INTO activities (tenant_id, type, subject, status, assigned_to, created_at) SELECT id, $1, $1, $1, $1, now() + $2 * interval '1 minute' FROM tenant WHERE name = 'Acme'",
            "INSERT INTO opportunities (tenant_id, name, stage, updated_at) SELECT id, $1, $1, now() + $2 * interval '1 minute' FROM tenant WHERE name = 'Acme'",
        ] {
            postgres.execute(sql, &[&text, &minutes]).unwrap();
        }
    }
    postgres.execute("UPDATE tenant SET name = $1 WHERE name = 'Acme'", &[&TEXTS[1]]).unwrap();
    page.show(ACME);
    page.browser.click(".sources button");

    for (list, width) in [("activities", 1440), ("leads", 768), ("opportunities", 360)] {
        page.browser.resize(width, 900);
        page.browser.click(&format!("#tab-{list}"));
        let shown = page.browser.text(&format!("#list-{list} tbody"));
        for text in &TEXTS[..4] {
            assert!(shown.contains(text), "{text} in {shown}");
        }
        assert!(
            !page.browser.sees("main :is(script, img, svg[onload])"),
            "{list}: nothing has become an element"
        );
        assert_eq!(super::layout::overlaps(&page.browser), Vec::<String>::new(), "{list}");
        page.browser.screenshot(&format!("hostile-{list}-{width}"));
    }
    assert_eq!(page.browser.text("#tenant-name"), TEXTS[1]);
    assert_eq!(page.browser.run("return window.pwned ?? null", &[]), serde_json::Value::Null);
    page.finish(&[]);
}
