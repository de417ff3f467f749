//! Faults that a compiler could have, each planted in the SQL that it writes: the comparison finds them.

use fastrand::Rng;

use super::random::{self, QUOTIENT, TABLES};
use super::{compare_after_writes, scene::Scene};

/// A board with something of every kind.
const BOARD: &str = r#"
board = "everything"
[tenants]
table = "accounts"
key = "id"
all = "EVERYBODY"
[sources.deals]
tenant = "account_id"
at = "at"
leave_out = "is_test"
[sources.calls]
tenant = "owner"
at = "at"
[figures]
"stats.won" = { from = "deals", where = "stage in ('won', 'closed')" }
"stats.new" = { from = "deals", last = "7 days", compare = true }
"stats.value" = { from = "deals", where = "stage <> 'lost'", sum = "amount", last = "30 days", compare = true }
"stats.score" = { from = "deals", avg = "score" }
"stats.sources" = { from = "deals", by = "source", most = 2, sum = "price" }
"stats.steps" = { from = "deals", column = "stage", steps = { open = ["new", "open"], won = ["won", "closed"] }, other = "rest", sum = "amount" }
"stats.calls" = { from = "calls", last = "36 hours", compare = true }
"series.days" = { from = "deals", per = "day", last = "10 days", zone = "Europe/Berlin" }
"series.months" = { from = "deals", per = "month", last = "3 months", by = "stage", most = 2, avg = "amount" }
"series.weeks" = { from = "calls", per = "week", last = "4 weeks" }
[lists.recent]
from = "deals"
columns = ["id", "stage", "at"]
order = "stage, id desc"
limit = 5
"#;

/// Plants a fault in the statements that contain `place`, and writes until it is found.
fn assert_found(place: &str, right: &str, wrong: &str) {
    let planted = std::cell::Cell::new(0);
    let mutation = |sql: &str| {
        if sql.contains(place) && sql.contains(right) {
            planted.set(planted.get() + 1);
            sql.replace(right, wrong)
        } else {
            sql.to_owned()
        }
    };
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    let mut tables = format!("{TABLES}{QUOTIENT}");
    for _ in 0..3 {
        tables.push_str(&format!("{};", random::statement(&mut rng)));
    }
    let scene = Scene::start(&tables, BOARD, &mutation);
    assert!(planted.get() > 0, "there is nothing to plant this in: {right}");
    let outcome = compare_after_writes(&scene, &mut rng, 150, &random::statement);
    assert!(outcome.is_err(), "SEED={seed}: nothing is found of {right} turned into {wrong}");
}

#[test]
fn a_board_in_which_nothing_is_planted_stands() {
    let mut rng = Rng::with_seed(fastrand::u64(..));
    let scene = Scene::start(&format!("{TABLES}{QUOTIENT}"), BOARD, &|sql| sql.to_owned());
    let outcome = compare_after_writes(&scene, &mut rng, 15, &random::statement);
    assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
}

#[test]
fn a_condition_that_is_dropped_from_the_vector_is_found() {
    assert_found("count_1_insert", "THEN 1::bigint", "THEN 0::bigint");
}

#[test]
fn a_sign_is_found() {
    assert_found("count_1_delete", "SELECT -1 AS sign", "SELECT 1 AS sign");
}

#[test]
fn an_update_that_forgets_the_old_row_is_found() {
    assert_found("count_1_update", "SELECT -1 AS sign", "SELECT 0 AS sign");
}

#[test]
fn a_truncate_that_counts_nothing_is_found() {
    assert_found("count_1_truncate", "SELECT -1 AS sign", "SELECT 0 AS sign");
}

#[test]
fn an_edge_day_that_counts_twice_is_found() {
    assert_found("\"bundle_everything\"", "slot > this.window_0_day", "slot >= this.window_0_day");
}

#[test]
fn an_edge_that_counts_nothing_is_found() {
    assert_found("\"bundle_everything\"", "r.at < this.window_0_ends", "r.at < this.window_0");
}

#[test]
fn a_window_before_that_is_off_by_one_is_found() {
    assert_found("\"bundle_everything\"", "slot < this.window_0_day", "slot <= this.window_0_day");
}

#[test]
fn an_hour_that_counts_twice_is_found() {
    assert_found("\"bundle_everything\"", "slot > this.window_0_hour", "slot >= this.window_0_hour");
}

#[test]
fn an_hour_that_counts_in_both_periods_is_found() {
    assert_found("\"bundle_everything\"", "slot < this.window_0_hour", "slot <= this.window_0_hour");
}

#[test]
fn a_zone_is_found() {
    assert_found("count_1_", "'Europe/Berlin'", "'UTC'");
}

#[test]
fn a_group_called_other_that_is_one_of_the_most_is_found() {
    assert_found("count_1_", "200), 'other'), '')", "200), 'nobody'), '')");
}

#[test]
fn a_number_that_is_not_one_is_found() {
    assert_found("count_1_insert", "dashboard.finite((r.amount)::numeric)", "((r.amount)::numeric)");
}

#[test]
fn a_step_that_knows_one_word_less_is_found() {
    assert_found("count_1_", "IN ('won', 'closed') THEN '=won'", "IN ('won') THEN '=won'");
}

#[test]
fn a_variant_that_is_ignored_is_found() {
    assert_found("\"bundle_everything\"", " AND (this.everything OR NOT variant)", "");
}

#[test]
fn a_delta_whose_variant_is_ignored_is_found() {
    assert_found("\"bundle_everything\"", " AND (this.everything OR NOT cell.variant)", "");
}

#[test]
fn the_tie_of_a_list_is_found() {
    assert_found("\"bundle_everything\"", "r.id desc nulls first", "r.id asc nulls last");
}

#[test]
fn an_average_over_rows_without_a_number_is_found() {
    assert_found("count_1_", "(dashboard.finite((r.score)::numeric) IS NOT NULL)", "true");
}

#[test]
fn a_month_that_is_off_by_one_is_found() {
    assert_found("count_1_", "- 23641)", "- 23640)");
}

#[test]
fn bundles_that_are_made_together_and_leave_nothing_out_are_found() {
    assert_found("\"bundles_everything\"", " AND NOT variant", "");
}
