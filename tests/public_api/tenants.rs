//! `GET /api/tenants`.

use serde_json::{Value, json};

use super::{OTHER, Stack, TENANT, message};

fn listed(stack: &Stack, query: &str) -> Vec<String> {
    let response = stack.get(&format!("/api/tenants{query}"));
    assert_eq!(response.status, 200, "{query}: {}", response.text());
    let data = response.json()["data"].as_array().unwrap().clone();
    data.iter().map(|tenant| tenant["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn tenants_are_found_by_name_slug_and_id() {
    let stack = Stack::start();
    let all = stack.get("/api/tenants").json();
    let expected = json!([
        {"tenant_id": "SUPERADMIN_GLOBAL", "name": "All tenants"},
        {"tenant_id": TENANT, "name": "One"},
        {"tenant_id": OTHER, "name": "Two"},
    ]);
    assert_eq!((&all["status"], &all["data"]), (&json!("success"), &expected));
    stack.postgres.execute("UPDATE tenant SET tenant_id = 'acme-eu' WHERE name = 'Two'");
    for (query, names) in [
        ("?search=", &["All tenants", "One", "Two"][..]),
        ("?search=oNe", &["One"]),
        ("?search=%20Two%20", &["Two"]),
        ("?search=ACME", &["Two"]),
        ("?search=2222-4222", &["Two"]),
        ("?search=all", &["All tenants"]),
        ("?search=superadmin", &["All tenants"]),
        ("?search=nobody", &[]),
        ("?limit=2", &["All tenants", "One"]),
        ("?search=o&limit=1", &["All tenants"]),
    ] {
        assert_eq!(listed(&stack, query), names, "{query}");
    }
}

#[test]
fn what_a_pattern_would_mean_means_itself() {
    let stack = Stack::start();
    stack.postgres.execute(
        "INSERT INTO tenant (tenant_id, name) VALUES ('a', '100 % sure'), ('b', 'under_score'), ('c', 'back\\slash'),
            ('d', 'it''s'), ('e', 'ÄÖÜ')",
    );
    for (search, names) in [
        ("%25", &["100 % sure"][..]),
        ("r_s", &["under_score"]),
        ("%5C", &["back\\slash"]),
        ("'", &["it's"]),
        ("';--", &[]),
        ("%C3%84%C3%96", &["ÄÖÜ"]),
        ("*", &[]),
    ] {
        assert_eq!(listed(&stack, &format!("?search={search}")), names, "{search}");
    }
}

#[test]
fn only_active_tenants_are_listed_and_columns_may_be_null_or_missing() {
    let stack = Stack::start();
    stack.postgres.execute(
        "UPDATE tenant SET status = 'suspended' WHERE name = 'Two';
         ALTER TABLE tenant ALTER name DROP NOT NULL, ALTER tenant_id DROP NOT NULL;
         INSERT INTO tenant (id, tenant_id, name) VALUES
            ('33333333-3333-4333-8333-333333333333', 'slug-only', NULL),
            ('44444444-4444-4444-8444-444444444444', NULL, NULL)",
    );
    let names = ["All tenants", "One", "44444444-4444-4444-8444-444444444444", "slug-only"];
    let mut found = listed(&stack, "");
    found.sort();
    let mut expected = names;
    expected.sort_unstable();
    assert_eq!(found, expected);

    // An installation without slugs; migrated anew, as it would be.
    stack.postgres.execute(crate::existing::WITHOUT_COUNTERS);
    stack.postgres.execute(
        "DELETE FROM dashboard.schema_history WHERE version >= 5; ALTER TABLE tenant DROP COLUMN tenant_id",
    );
    harness::run_ok(&mut harness::Sidecar::command(&["migrate"], &stack.postgres.url()));
    assert_eq!(listed(&stack, "?search=one"), ["One"]);
}

#[test]
fn who_is_confined_finds_its_own_tenant_only() {
    let stack = Stack::with(|sidecar| sidecar.jwt_secret(harness::jwt::SECRET));
    let list = |claims: Value, query: &str| {
        let bearer = format!("Bearer {}", harness::jwt::token(claims));
        stack.ask("GET", &format!("/api/tenants{query}"), &[("authorization", &bearer)], "")
    };
    let own = json!([{"tenant_id": TENANT, "name": "One"}]);
    for (query, data) in
        [("", &own), ("?search=one", &own), ("?search=two", &json!([])), ("?search=all", &json!([]))]
    {
        let response = list(json!({"tenant_id": TENANT, "role": "admin"}), query);
        assert_eq!(&response.json()["data"], data, "{query}");
    }
    assert_eq!(list(json!({"role": "reader"}), "").status, 403);
    assert_eq!(list(json!({"role": "superadmin"}), "").json()["data"].as_array().unwrap().len(), 3);
}

#[test]
fn among_hundred_thousand_tenants_thirty_people_who_type_are_all_answered_from_memory() {
    let stack = Stack::start();
    stack.postgres.execute(
        "INSERT INTO tenant (tenant_id, name)
         SELECT 'slug-' || n, 'Company ' || n FROM generate_series(1, 100000) AS n; ANALYZE tenant",
    );
    // The first one reads the list; then Postgres is asked no more than the list's age demands.
    assert_eq!(listed(&stack, "?search=company%2099999"), ["Company 99999"]);
    std::thread::scope(|scope| {
        let typing: Vec<_> = (0..30)
            .map(|n| {
                let stack = &stack;
                scope.spawn(move || {
                    for length in 1..=5 {
                        let found = listed(stack, &format!("?search={}", &format!("slug-{n}")[..length]));
                        assert_eq!(found.len(), 20);
                    }
                })
            })
            .collect();
        typing.into_iter().for_each(|person| person.join().unwrap());
    });
    let answer = stack.get("/api/tenants?search=slug-100000");
    assert_eq!(answer.json()["data"][0]["name"], "Company 100000");
    assert!(answer.header("age").unwrap().parse::<u64>().unwrap() < 120, "how old the list is");
}

#[test]
fn what_is_wrong_with_a_search_is_named() {
    let stack = Stack::start();
    let long = format!("?search={}", "x".repeat(201));
    for (query, named) in [
        (long.as_str(), "'search'"),
        ("?search=a%00b", "'search'"),
        ("?limit=0", "'limit'"),
        ("?limit=101", "'limit'"),
        ("?limit=%2B5", "'limit'"),
        ("?limit=", "'limit'"),
        ("?limit=99999999999999999999", "'limit'"),
        ("?q=a", "'q'"),
    ] {
        let response = stack.get(&format!("/api/tenants{query}"));
        assert_eq!(response.status, 400, "{query}");
        assert!(message(&response).contains(named), "{}", response.text());
    }
    assert_eq!(stack.get(&format!("/api/tenants?search={}", "%C3%A4".repeat(200))).status, 200);
    stack.postgres.go_down();
    assert_eq!(stack.get("/api/tenants").status, 503);
}
