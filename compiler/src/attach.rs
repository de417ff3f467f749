//! Which triggers a table gets: of statements, or, where it has partitions, of rows.

use crate::catalogue::Feed;
use crate::triggers;

/// The statements that attach a feed's triggers to its table. `partitions`: all tables below a partitioned one; None of a plain table.
///
/// Triggers of rows are inherited by partitions, also by those that are made later. Those of TRUNCATE are not: each partition gets its own.
pub fn triggers(feed: &Feed, number: usize, partitions: Option<&[String]>) -> Vec<String> {
    let Some(partitions) = partitions else { return triggers::triggers(feed, number) };
    let (table, name) = (&feed.table, format!("dashboard_count_{number}_row"));
    let mut statements = vec![format!(
        "CREATE TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE ON {table}\n    FOR EACH ROW EXECUTE FUNCTION dashboard.count_{number}_row();\n\
         ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}"
    )];
    for place in std::iter::once(table).chain(partitions) {
        let place = Feed { table: place.clone(), ..feed.clone() };
        // The last of them is that of TRUNCATE.
        statements.extend(triggers::triggers(&place, number).pop());
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partitioned_table_has_triggers_of_rows_and_one_of_truncate_for_each_partition() {
        let feed = Feed {
            table: "public.deals".to_owned(),
            tenant: "r.account_id".to_owned(),
            via: None,
            conditions: Vec::new(),
            slots: Vec::new(),
            keys: Vec::new(),
            numbers: Vec::new(),
        };
        assert_eq!(triggers(&feed, 1, None), triggers::triggers(&feed, 1));
        let statements = triggers(&feed, 1, Some(&["public.deals_2026".to_owned()]));
        assert_eq!(statements.len(), 3);
        assert!(
            statements[0].contains("FOR EACH ROW EXECUTE FUNCTION dashboard.count_1_row()"),
            "{}",
            statements[0]
        );
        for (statement, table) in statements[1..].iter().zip(["public.deals\n", "public.deals_2026\n"]) {
            assert!(statement.contains(&format!("BEFORE TRUNCATE ON {table}")), "{statement}");
        }
    }
}
