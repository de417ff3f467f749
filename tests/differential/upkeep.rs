//! What is done to the counters all the while: merging by several at once, counting anew, and verifying.

use fastrand::Rng;
use harness::{Postgres, Sidecar, run};
use postgres::Client;

use super::journal::Journal;

/// One connection that merges.
pub(super) struct Compactor<'a> {
    client: Client,
    rng: Rng,
    journal: &'a Journal,
}

impl<'a> Compactor<'a> {
    pub(super) fn new(postgres: &Postgres, rng: Rng, journal: &'a Journal) -> Self {
        Self { client: postgres.client(), rng, journal }
    }

    /// Merges once, some or all, and in one case of eight takes it back.
    pub(super) fn compact(&mut self) -> Result<(), String> {
        let most = [1, 2, 7, 50, 1_000, 100_000][self.rng.usize(0..6)];
        let back = self.rng.u8(0..8) == 0;
        let mut run = || -> Result<(), postgres::Error> {
            let mut transaction = self.client.transaction()?;
            transaction.execute("SELECT * FROM dashboard.compact($1)", &[&most])?;
            if back { transaction.rollback() } else { transaction.commit() }
        };
        run().map_err(|e| format!("compact({most}): {e:?}"))?;
        self.journal.count(if back { "compactions taken back" } else { "compactions" });
        Ok(())
    }

    /// Counts everything anew.
    pub(super) fn recount(&mut self) -> Result<(), String> {
        self.client.execute("SELECT dashboard.recount()", &[]).map_err(|e| format!("{e:?}"))?;
        self.journal.count("recounts");
        Ok(())
    }

    /// Leaves deltas time to gather, mostly.
    pub(super) fn rest(&mut self) -> Result<(), String> {
        let seconds = f64::from(self.rng.u8(0..80)) / 1000.0;
        self.client.execute("SELECT pg_sleep($1)", &[&seconds]).map(|_| ()).map_err(|e| format!("{e:?}"))
    }
}

/// Runs `counters rebuild` or `verify`, which must not find anything while all is well.
pub(super) fn command(postgres: &Postgres, name: &str, journal: &Journal) -> Result<(), String> {
    let output = run(&mut Sidecar::command(&["counters", name], &postgres.url()));
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(format!("counters {name}: {}: {said}", output.status));
    }
    if name == "verify" && !said.contains(NOTHING_FOUND) {
        return Err(format!("counters verify has found something: {said}"));
    }
    journal.count(&format!("counters {name}"));
    Ok(())
}

/// How `verify` says that nothing differs.
const NOTHING_FOUND: &str = "tenants are right";
