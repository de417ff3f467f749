//! The dimensions of a row as a delta carries them, and what a delta counts for.

use std::fmt::Write;

use crate::catalogue::{Catalogue, Feed};

impl Feed {
    /// The members of a select list that make a delta of the row `r`: `tenant`, `flags`, `slots`, `keys` and, one by one, the numbers.
    pub(crate) fn dimensions(&self) -> String {
        let flags: Vec<String> = self
            .conditions
            .iter()
            .enumerate()
            .map(|(place, sql)| format!("CASE WHEN {sql} THEN {}::bigint ELSE 0 END", 1_u64 << place))
            .collect();
        let flags = if flags.is_empty() { "0::bigint".to_owned() } else { flags.join("\n           | ") };
        let mut list = format!("{}::text AS tenant,\n           {flags} AS flags", self.tenant);
        for (sqls, name, element) in [(&self.slots, "slots", "integer"), (&self.keys, "keys", "text")] {
            let array = array(sqls.iter().cloned(), element);
            let _ = write!(list, ",\n           {array} AS {name}");
        }
        for (place, sql) in self.numbers.iter().enumerate() {
            let _ = write!(list, ",\n           {sql} AS number_{place}");
        }
        list
    }

    /// The numbers of rows that [`Feed::dimensions`] has made, each written as `write` has it.
    pub(crate) fn numbers(&self, write: impl Fn(&str) -> String) -> String {
        array((0..self.numbers.len()).map(|place| write(&format!("number_{place}"))), "numeric")
    }
}

/// An array, or NULL where it would be empty.
fn array(elements: impl Iterator<Item = String>, of: &str) -> String {
    let elements: Vec<String> = elements.collect();
    if elements.is_empty() {
        format!("NULL::{of}[]")
    } else {
        format!("ARRAY[{}]::{of}[]", elements.join(", "))
    }
}

/// What a delta of one feed counts for: a relation `cell` to be joined LATERAL to a delta called `delta`. A row for each of these
/// units that it counts for (`cell.applies`).
pub(crate) fn cells(catalogue: &Catalogue, units: &[usize]) -> String {
    let rows: Vec<String> = units
        .iter()
        .map(|number| {
            let unit = &catalogue.units[number - 1];
            let flag = |place: usize| format!("delta.flags & {} <> 0", 1_u64 << place);
            let variant = unit.leave_out.map_or_else(|| "false".to_owned(), flag);
            let slot = unit.slot.map(|place| format!("delta.slots[{}]", place + 1));
            let key = unit.key.map(|place| format!("delta.keys[{}]", place + 1));
            let number_of = unit.number.map_or_else(
                || "0::numeric".to_owned(),
                |place| format!("coalesce(delta.numbers[{}], 0)", place + 1),
            );
            let mut applies: Vec<String> = vec![format!("delta.feed = {}", unit.feed + 1)];
            match unit.conditions.as_slice() {
                [] => {}
                places => {
                    let mask: u64 = places.iter().map(|place| 1_u64 << place).sum();
                    applies.push(format!("delta.flags & {mask} = {mask}"));
                }
            }
            applies.extend(slot.iter().chain(&key).map(|there| format!("{there} IS NOT NULL")));
            format!(
                "({number}, {variant}, {}, {}, delta.n, {number_of}, {})",
                slot.unwrap_or_else(|| "0".to_owned()),
                key.unwrap_or_else(|| "''".to_owned()),
                applies.join(" AND ")
            )
        })
        .collect();
    format!(
        "(VALUES\n        {}\n    ) AS cell(unit, variant, slot, key, n, amount, applies)",
        rows.join(",\n        ")
    )
}
