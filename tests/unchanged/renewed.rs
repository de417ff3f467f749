//! The module's part: what is known, what becomes of the answer, and that nothing changed is taken for unchanged.

use harness::{Answer, FakeUpstream, Known, Redis, assert_eventually, fields, text};

use super::{key_without, read, stored, warm_an_hour_ago};
use crate::states::{age, key};
use crate::warm::warm;

#[test]
fn a_bundle_of_which_nothing_has_changed_has_a_new_life_and_is_not_computed() {
    let upstream = FakeUpstream::start();
    upstream.answer(Answer::Versioned);
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    warm_an_hour_ago(&mut client, &["a", "b"]);
    let before = stored(&mut client, &key("a"));
    let told = client.figure("invalidations");

    upstream.answer(Answer::Unchanged);
    assert_eq!(warm(&mut client, &["a", "b"]), [2, 0, 2, 0]);
    let [computed, unchanged, stored_in_all] =
        ["computed", "unchanged", "stored"].map(|name| client.figure(name));
    assert_eq!([computed, unchanged, stored_in_all], [4, 4, 8]);
    let (status, after) = read(&mut client, "a");
    assert_eq!(status, "hit");
    for part in ["stats", "funnel", "lists"] {
        assert_eq!(before[part], after[part], "{part}");
    }
    for member in ["etag", "version", "generated_at", "compute_ms"] {
        assert_eq!(before["meta"][member], after["meta"][member], "{member}");
    }
    assert_eq!(after["meta"]["version"], "fake:1");
    let born = |bundle: &serde_json::Value| bundle["meta"]["as_of_ms"].as_i64().unwrap();
    assert!(born(&after) - born(&before) >= 3_600_000);
    assert_eq!(client.int(&["PEXPIRETIME", &key("a")]), after["meta"]["expires_at_ms"].as_i64().unwrap());
    assert_eq!(client.figure("invalidations"), told, "copies in clients are right");

    let known: Vec<_> =
        upstream.known().into_iter().map(|(request, known)| (request.tenant, known)).collect();
    let etag = before["meta"]["etag"].as_str().unwrap().to_owned();
    assert_eq!(known.len(), 4);
    assert_eq!(known[0], ("a".to_owned(), Known { etag, version: "fake:1".into() }));

    let asked = upstream.total();
    assert_eq!(warm(&mut client, &["a", "b"]), [2, 0, 2, 0]);
    assert_eq!(upstream.total(), asked, "they are fresh");
    age(&mut client, &key("a"));
    assert_eq!(warm(&mut client, &["a"]), [1, 0, 1, 0]);
    assert_eq!(client.figure("unchanged"), 5, "it can be renewed again and again");
}

#[test]
fn of_those_that_have_changed_and_those_that_have_not_the_former_are_computed() {
    let upstream = FakeUpstream::start();
    upstream.answer(Answer::Versioned);
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    warm_an_hour_ago(&mut client, &["a", "changed"]);
    upstream.answer_for("a", Answer::Unchanged);
    assert_eq!(warm(&mut client, &["a", "changed"]), [2, 1, 1, 0]);
    let totals = ["a", "changed"].map(|tenant| read(&mut client, tenant).1["stats"]["totalContacts"].clone());
    assert_eq!(totals, [1, 2]);
    assert_eq!(stored(&mut client, &key("changed"))["meta"]["version"], "fake:2");
}

#[test]
fn a_tenant_with_one_bundle_computed_and_one_unchanged_counts_as_warmed() {
    let upstream = FakeUpstream::start();
    upstream.answer(Answer::Versioned);
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    warm_an_hour_ago(&mut client, &["a"]);
    client.int(&["DEL", &key_without("a")]);
    upstream.answer(Answer::Unchanged);
    assert_eq!(warm(&mut client, &["a"]), [1, 1, 0, 0]);
    assert_eq!((client.figure("computed"), client.figure("unchanged")), (3, 1));
}

#[test]
fn what_names_no_version_what_is_marked_as_changed_and_what_is_forced_is_computed() {
    for (answer, clear, force) in
        [(Answer::Bundle, false, false), (Answer::Versioned, true, false), (Answer::Versioned, false, true)]
    {
        let upstream = FakeUpstream::start();
        upstream.answer(answer.clone());
        let redis = Redis::builder().upstream(&upstream).setting("hot-window", 0).start();
        let mut client = redis.client();
        warm_an_hour_ago(&mut client, &["a"]);
        if clear {
            client.int(&["DASHBOARD.CLEAR", "a", "SOFT"]);
        }
        upstream.answer(Answer::Unchanged);
        let command: &[&str] = if force { &["a", "FORCE"] } else { &["a"] };
        assert_eq!(warm(&mut client, command), [1, 1, 0, 0], "{answer:?} {clear} {force}");
        assert_eq!(upstream.known(), [], "{answer:?} {clear} {force}");
        assert_eq!(read(&mut client, "a").1["stats"]["totalContacts"], 2);
    }
}

#[test]
fn a_bundle_that_a_reader_had_computed_names_its_version_too() {
    let upstream = FakeUpstream::start();
    upstream.answer(Answer::Versioned);
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    assert_eq!(client.json(&["DASHBOARD.GET", "a"])["meta"]["version"], "fake:1");
    age(&mut client, &key("a"));
    upstream.answer(Answer::Unchanged);
    warm(&mut client, &["a"]);
    assert_eq!(client.figure("unchanged"), 1);
}

#[test]
fn an_answer_that_means_another_bundle_is_refused_and_what_is_stored_stays_as_it_is() {
    let upstream = FakeUpstream::start();
    upstream.answer(Answer::Versioned);
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    warm_an_hour_ago(&mut client, &["a"]);
    let before = stored(&mut client, &key("a"));
    upstream.answer(Answer::UnchangedOther);
    // Nothing is known of the second.
    let reply = client.map(&["DASHBOARD.WARM", "a", "absent"]);
    let failures = fields(reply.last().unwrap().1.clone()).unwrap();
    for (tenant, reason) in failures {
        assert_eq!(text(&reason), "wrong_bundle", "{tenant}");
    }
    assert_eq!((client.figure("failed_wrong_bundle"), client.figure("unchanged")), (4, 0));
    assert_eq!(stored(&mut client, &key("a")), before);
    assert_eq!(client.int(&["EXISTS", &key("absent")]), 0);
}

#[test]
fn a_clear_while_the_question_is_under_way_is_not_undone_by_its_answer() {
    for soft in [false, true] {
        let upstream = FakeUpstream::start();
        upstream.answer(Answer::Versioned);
        let redis = Redis::builder().upstream(&upstream).setting("hot-window", 0).start();
        let (mut warming, mut other) = (redis.client(), redis.client());
        warm_an_hour_ago(&mut other, &["a"]);
        upstream.answer(Answer::Unchanged);
        upstream.hold();
        warming.send(&["DASHBOARD.WARM", "a"]);
        upstream.wait_for(3);
        let command: &[&str] =
            if soft { &["DASHBOARD.CLEAR", "a", "SOFT"] } else { &["DASHBOARD.CLEAR", "a"] };
        other.int(command);
        upstream.release();
        warming.receive().unwrap();
        assert_eq!((other.figure("warm_warmed"), other.figure("warm_fresh")), (1, 0), "soft {soft}");
        let bundle = other.json(&["DASHBOARD.GET", "a"]);
        assert_ne!(bundle["stats"]["totalContacts"], 1, "soft {soft}: {bundle}");
        assert!(soft || other.figure("unchanged") == other.figure("discarded"), "none was stored");
        assert!(other.figure("unchanged") > 0, "soft {soft}");
    }
}

#[test]
fn who_waits_in_the_flight_gets_the_renewed_bundle() {
    let upstream = FakeUpstream::start();
    upstream.answer(Answer::Versioned);
    let redis = Redis::builder().upstream(&upstream).setting("soft-timeout", 20_000).start();
    let (mut warming, mut reading, mut observer) = (redis.client(), redis.client(), redis.client());
    warm_an_hour_ago(&mut observer, &["a"]);
    upstream.answer(Answer::Unchanged);
    upstream.hold();
    warming.send(&["DASHBOARD.WARM", "a"]);
    upstream.wait_for(3);
    reading.send(&["DASHBOARD.GET", "a", "MAXAGE", "1800000", "WITHMETA"]);
    assert_eventually!(observer.blocked_clients() == 2, "the reader waits");
    upstream.release();
    let reply = fields(reading.receive().unwrap()).unwrap();
    warming.receive().unwrap();
    assert_eq!(text(&reply[0].1), "refreshed");
    let bundle: serde_json::Value = serde_json::from_str(&text(&reply[4].1)).unwrap();
    assert_eq!(bundle, stored(&mut observer, &key("a")));
    assert_eq!(bundle["stats"]["totalContacts"], 1);
    assert_eq!((observer.figure("unchanged"), observer.figure("joined")), (2, 1));
}

#[test]
fn a_sidecar_that_fails_or_cannot_be_reached_leaves_what_is_stored_as_it_is() {
    let mut upstream = FakeUpstream::start();
    upstream.answer(Answer::Versioned);
    let redis = Redis::with(&upstream);
    let mut client = redis.client();
    warm_an_hour_ago(&mut client, &["a"]);
    let before = stored(&mut client, &key("a"));
    upstream.answer(Answer::Error(500, "internal"));
    assert_eq!(warm(&mut client, &["a"]), [1, 0, 0, 1]);
    upstream.refuse();
    assert_eq!(warm(&mut client, &["a"]), [1, 0, 0, 1]);
    assert_eq!(stored(&mut client, &key("a")), before);
}
