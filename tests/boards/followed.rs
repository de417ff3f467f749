//! Tables that are followed and not counted, and boards of one's own SQL.

use postgres::Client;

use super::scene::Scene;

const TABLES: &str = "
    CREATE TABLE organizations (id bigint PRIMARY KEY, name text);
    CREATE TABLE plans (id integer PRIMARY KEY, amount numeric NOT NULL, interval text NOT NULL);
    CREATE TABLE subscriptions (id bigint PRIMARY KEY, organization_id bigint, plan_id integer REFERENCES plans, currency text, status text);
    CREATE TABLE fees (id bigint GENERATED ALWAYS AS IDENTITY, subscription_id bigint, amount numeric, currency text, charged_on date);
    INSERT INTO organizations VALUES (1, 'One'), (2, 'Two'), (3, 'Three');
    INSERT INTO plans VALUES (1, 30, 'monthly'), (2, 120, 'yearly');
    INSERT INTO subscriptions VALUES (10, 1, 1, 'EUR', 'active'), (20, 2, 2, 'USD', 'active');
";

fn scene() -> Scene {
    let file = harness::repository_root().join("examples/boards/mrr.toml");
    Scene::start(TABLES, &std::fs::read_to_string(file).unwrap(), &|sql| sql.to_owned())
}

fn read(client: &mut Client, tenant: &str) -> (Option<String>, Option<String>) {
    let row = client
        .query_one("SELECT bundle, version FROM dashboard.\"bundle_mrr\"($1, true)", &[&tenant])
        .unwrap();
    (row.get(0), row.get(1))
}

/// Whose boards have changed by a statement, also as far as it has not been merged.
fn changed_by(client: &mut Client, statement: &str) -> Vec<String> {
    let changes = |client: &mut Client| -> Vec<i64> {
        let sql = "SELECT dashboard.changes('mrr', id::text) FROM organizations ORDER BY id";
        client.query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect()
    };
    let before = changes(client);
    client.batch_execute(statement).unwrap();
    let unmerged = changes(client);
    client.batch_execute("SELECT dashboard.compact()").unwrap();
    let merged = changes(client);
    assert_eq!(unmerged, merged, "{statement}");
    let differ = before.iter().zip(&merged).enumerate().filter(|(_, (before, after))| before != after);
    differ.map(|(place, _)| (place + 1).to_string()).collect()
}

#[test]
fn a_board_of_ones_own_sql_shows_what_its_statement_says_and_nobody_elses() {
    let mut client = scene().postgres.client();
    assert_eq!(read(&mut client, "1").0.unwrap().replace(' ', ""), r#"{"mrr":{"EUR":30.00}}"#);
    assert_eq!(read(&mut client, "2").0.unwrap().replace(' ', ""), r#"{"mrr":{"USD":10.00}}"#);
    assert_eq!(read(&mut client, "3").0.unwrap().replace(' ', ""), r#"{"mrr":{}}"#);
    for nobody in ["4", "x", "01", " 1", "", "9999999999999999999999"] {
        assert_eq!(read(&mut client, nobody), (None, None), "{nobody:?}");
    }
}

#[test]
fn a_change_concerns_the_tenant_of_the_row_the_one_that_another_table_names_or_everybody() {
    let mut client = scene().postgres.client();
    let changed = |client: &mut Client, statement: &str| changed_by(client, statement).join(" ");
    assert_eq!(changed(&mut client, "UPDATE subscriptions SET status = 'paused' WHERE id = 10"), "1");
    assert_eq!(changed(&mut client, "UPDATE subscriptions SET organization_id = 3 WHERE id = 20"), "2 3");
    assert_eq!(
        changed(&mut client, "INSERT INTO fees (subscription_id, amount) VALUES (20, 1), (20, 2)"),
        "3"
    );
    assert_eq!(
        changed(&mut client, "INSERT INTO fees (subscription_id, amount) VALUES (99, 1)"),
        "",
        "nobody's"
    );
    assert_eq!(changed(&mut client, "UPDATE fees SET subscription_id = 10 WHERE amount = 2"), "1 3");
    assert_eq!(changed(&mut client, "UPDATE plans SET amount = 31 WHERE id = 1"), "1 2 3");
    assert_eq!(changed(&mut client, "DELETE FROM fees"), "1 3");
    assert_eq!(changed(&mut client, "TRUNCATE subscriptions"), "1 3");
    assert_eq!(
        changed(
            &mut client,
            "DELETE FROM organizations WHERE id = 3; INSERT INTO organizations VALUES (3, 'Again')"
        ),
        "3"
    );
}

#[test]
fn what_is_to_be_announced_names_everybody_where_a_change_concerns_all() {
    let mut client = scene().postgres.client();
    client.batch_execute("UPDATE plans SET amount = 31; SELECT dashboard.compact()").unwrap();
    let rows = client.query("SELECT owner FROM dashboard.pending ORDER BY owner", &[]).unwrap();
    assert_eq!(rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), ["", "*"]);
}
