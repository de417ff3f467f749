//! The examples, on tables as two applications have them.

use std::fs;

use fastrand::Rng;
use harness::repository_root;

use super::compare_after_writes;
use super::random::{QUOTIENT, pick};
use super::scene::Scene;

/// A help desk: whole numbers as tenants, states as numbers, times without a zone.
const HELP_DESK: &str = "
    CREATE TABLE accounts (id serial PRIMARY KEY, name varchar NOT NULL, status integer DEFAULT 0);
    CREATE TABLE conversations (
        id serial PRIMARY KEY, account_id integer NOT NULL, inbox_id integer NOT NULL, status integer NOT NULL DEFAULT 0, assignee_id integer,
        team_id bigint, display_id integer NOT NULL DEFAULT 1, uuid uuid NOT NULL DEFAULT gen_random_uuid(), additional_attributes jsonb DEFAULT '{}',
        first_reply_created_at timestamp, created_at timestamp NOT NULL, updated_at timestamp NOT NULL DEFAULT now(), priority integer);
    CREATE INDEX ON conversations (account_id, created_at);
    INSERT INTO accounts (name) SELECT 'Account ' || n FROM generate_series(1, 3) AS n;
";

/// A billing system: UUIDs as tenants, states as an enum, days as dates, money in a domain.
const BILLING: &str = "
    CREATE DOMAIN money_amount AS numeric(20, 4) CHECK (VALUE IS NULL OR VALUE > -1e12);
    CREATE TYPE invoice_status AS ENUM ('draft', 'finalized', 'voided');
    CREATE TABLE organizations (id uuid PRIMARY KEY, name text NOT NULL);
    CREATE TABLE invoices (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), organization_id uuid NOT NULL REFERENCES organizations, number text NOT NULL DEFAULT 'INV-1',
        status invoice_status NOT NULL, currency char(3) NOT NULL, total money_amount, issued_on date, paid_at timestamptz, is_sandbox boolean NOT NULL DEFAULT false);
    CREATE TABLE credit_notes (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE, issued_on date, total money_amount);
    INSERT INTO organizations SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, 'Organization ' || n FROM generate_series(1, 3) AS n;
";

fn example(name: &str) -> String {
    let text = fs::read_to_string(repository_root().join("examples/boards").join(name)).unwrap();
    assert!(text.lines().count() <= 30, "{name} is short");
    text
}

fn moment(rng: &mut Rng) -> String {
    let base = pick(
        rng,
        &[
            "now()",
            "now() - interval '1 day'",
            "now() - interval '2 days'",
            "now() - interval '30 days'",
            "now() - interval '60 days'",
            "now() - interval '89 days'",
            "now() - random() * interval '100 days'",
            "date_trunc('month', now())",
        ],
    );
    format!(
        "({base} + interval '{}')",
        pick(rng, &["0", "1 second", "-1 second", "1 hour", "-1 hour", "1 day"])
    )
}

fn conversation(rng: &mut Rng) -> String {
    let some = format!("id IN (SELECT id FROM conversations ORDER BY random() LIMIT {})", rng.u8(1..4));
    let (status, team) = (rng.u8(0..4), pick(rng, &["NULL", "1", "2", "3"]));
    let assignee = pick(rng, &["NULL", "NULL", "7"]);
    match rng.u8(0..10) {
        0..5 => {
            let at = moment(rng);
            let reply = pick(rng, &["NULL", "interval '90 seconds'", "interval '3 hours'"]);
            format!(
                "INSERT INTO conversations (account_id, inbox_id, status, team_id, assignee_id, created_at, first_reply_created_at)
                 VALUES ({}, 1, {status}, {team}, {assignee}, {at} AT TIME ZONE 'UTC', {at} AT TIME ZONE 'UTC' + {reply})",
                rng.u8(1..4)
            )
        }
        5..7 => format!(
            "UPDATE conversations SET status = {status}, team_id = {team}, assignee_id = {assignee} WHERE {some}"
        ),
        7 => format!(
            "UPDATE conversations SET first_reply_created_at = created_at + random() * interval '1 day' WHERE {some}"
        ),
        8 => format!("UPDATE conversations SET account_id = {} WHERE {some}", rng.u8(1..4)),
        _ => format!("DELETE FROM conversations WHERE {some}"),
    }
}

fn invoice(rng: &mut Rng) -> String {
    let organization = format!("'00000000-0000-4000-8000-00000000000{}'", rng.u8(1..4));
    let status = pick(rng, &["draft", "finalized", "finalized", "voided"]);
    let (currency, total) =
        (pick(rng, &["EUR", "USD", "GBP"]), pick(rng, &["10", "99.99", "0.0001", "NULL"]));
    let some = format!("id IN (SELECT id FROM invoices ORDER BY random() LIMIT {})", rng.u8(1..4));
    let day = format!("({} AT TIME ZONE 'UTC')::date", moment(rng));
    match rng.u8(0..10) {
        0..4 => format!(
            "INSERT INTO invoices (organization_id, status, currency, total, issued_on, is_sandbox)
             VALUES ({organization}, '{status}', '{currency}', {total}, {day}, random() < 0.2)"
        ),
        4..6 => format!(
            "INSERT INTO credit_notes (organization_id, issued_on, total) VALUES ({organization}, {day}, {total})"
        ),
        6 => format!(
            "UPDATE invoices SET status = '{status}', paid_at = CASE WHEN random() < 0.5 THEN now() END WHERE {some}"
        ),
        7 => format!("UPDATE invoices SET total = {total}, issued_on = {day} WHERE {some}"),
        8 => "DELETE FROM credit_notes WHERE random() < 0.2".to_owned(),
        _ => format!("DELETE FROM invoices WHERE {some}"),
    }
}

fn assert_stands(tables: &str, file: &str, statement: &dyn Fn(&mut Rng) -> String) {
    let seed = fastrand::u64(..);
    let scene = Scene::start(&format!("{tables}{QUOTIENT}"), &example(file), &|sql| sql.to_owned());
    // A comparison after some ten writes: five hundred in all.
    let several = |rng: &mut Rng| (0..4).map(|_| statement(rng)).collect::<Vec<_>>().join("; ");
    let outcome = compare_after_writes(&scene, &mut Rng::with_seed(seed), 50, &several);
    assert!(outcome.is_ok(), "SEED={seed}: {}", outcome.unwrap_err());
}

#[test]
fn the_board_of_a_help_desk_is_right_after_each_of_many_writes() {
    assert_stands(HELP_DESK, "helpdesk.toml", &conversation);
}

#[test]
fn the_board_of_a_billing_system_is_right_after_each_of_many_writes() {
    assert_stands(BILLING, "billing.toml", &invoice);
}
