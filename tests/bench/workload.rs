//! What an application writes: rows one by one, each in a transaction of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use postgres::{Client, Statement};

/// One connection of the application's, at work on rows that no other one touches.
pub(crate) struct Writer {
    client: Client,
    statements: [Statement; 4],
    tenants: Vec<String>,
    leads: Vec<String>,
    opportunities: Vec<String>,
    step: usize,
}

const STATEMENTS: [&str; 4] = [
    "INSERT INTO leads (tenant_id, first_name, last_name, company, email, status, source, created_date)
     VALUES ($1::text::uuid, 'First', 'Last', 'Company', 'person@example.com', 'new', 'website', now())",
    "UPDATE leads SET status = CASE status WHEN 'new' THEN 'contacted' ELSE 'new' END, updated_at = now()
     WHERE id = $1::text::uuid",
    "UPDATE opportunities SET amount = COALESCE(amount, 0) + 1, updated_at = now(),
                              stage = CASE stage WHEN 'proposal' THEN 'negotiation' ELSE 'proposal' END
     WHERE id = $1::text::uuid",
    "INSERT INTO activities (tenant_id, type, subject, status, assigned_to, created_date)
     VALUES ($1::text::uuid, 'call', 'About the offer', 'planned', 'someone', now())",
];

impl Writer {
    /// The `place`-th of `many`, which share the rows of these tenants among them.
    pub(crate) fn new(mut client: Client, tenants: &[String], place: usize, many: usize) -> Self {
        let statements = STATEMENTS.map(|sql| client.prepare(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}")));
        let mut own = |table: &str| -> Vec<String> {
            let sql = format!(
                "SELECT id::text FROM {table} WHERE tenant_id::text = ANY ($1) ORDER BY id LIMIT 20000"
            );
            let rows = client.query(&sql, &[&tenants]).expect("rows");
            rows.iter().skip(place).step_by(many).map(|row| row.get(0)).collect()
        };
        let (leads, opportunities) = (own("leads"), own("opportunities"));
        Self { client, statements, tenants: tenants.to_vec(), leads, opportunities, step: place }
    }

    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// One transaction: of ten, four insert a lead and four change one, and one each is about a deal and something to do.
    pub(crate) fn write(&mut self) {
        self.step += 1;
        // Neighbours in a list are neighbours in no table: their ids are random.
        let one_of = |list: &[String]| list[self.step * 7919 % list.len()].clone();
        let (statement, id) = match self.step % 10 {
            0..4 => (0, one_of(&self.tenants)),
            4..8 => (1, one_of(&self.leads)),
            8 => (2, one_of(&self.opportunities)),
            _ => (3, one_of(&self.tenants)),
        };
        let rows = self.client.execute(&self.statements[statement], &[&id]).expect("a row that is written");
        assert_eq!(rows, 1);
    }

    /// Writes every `interval` until told to stop; says how many transactions that were, and how many of them began
    /// more than a tenth of a second late.
    pub(crate) fn write_steadily(&mut self, interval: Duration, stop: &AtomicBool) -> (u32, u32) {
        let began = Instant::now();
        let (mut written, mut late) = (0, 0);
        while !stop.load(Ordering::Relaxed) {
            let due = interval * written;
            match due.checked_sub(began.elapsed()) {
                Some(early) => sleep(early),
                None => late += u32::from(began.elapsed() - due > Duration::from_millis(100)),
            }
            self.write();
            written += 1;
        }
        (written, late)
    }
}
