//! Which tenants the demonstration has, how large each is, and where its random numbers come from.

use chrono::NaiveDate;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Args, words};

/// How far back the oldest rows lie, in days.
pub(super) const HISTORY_DAYS: u32 = 3 * 365;

/// A table whose rows belong to tenants; the number is that of its random stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Contacts = 1,
    Accounts = 2,
    Leads = 3,
    Opportunities = 4,
    Activities = 5,
}

impl Table {
    pub(super) const ALL: [Self; 5] =
        [Self::Contacts, Self::Accounts, Self::Leads, Self::Opportunities, Self::Activities];

    /// Rows of this table for a hundred leads: a sales team has more leads than deals, and more to do than either.
    const fn percent_of_leads(self) -> u64 {
        match self {
            Self::Contacts => 45,
            Self::Accounts => 12,
            Self::Leads => 100,
            Self::Opportunities => 25,
            Self::Activities => 80,
        }
    }
}

/// One tenant, before any of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tenant {
    /// A version 4 uuid in canonical spelling.
    pub(super) id: String,
    pub(super) slug: String,
    pub(super) name: String,
    pub(super) status: Option<&'static str>,
    /// Rows of `leads`.
    pub(super) leads: u64,
    /// Since how many days it is a customer.
    pub(super) age_days: u32,
    /// The people that rows are assigned to.
    pub(super) team: Vec<String>,
}

impl Tenant {
    /// How many rows of a table it has.
    pub(super) fn rows(&self, table: Table) -> u64 {
        (self.leads * table.percent_of_leads()).div_ceil(100)
    }
}

/// The whole demonstration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    seed: u64,
    /// Every row is older than this day's first moment: of a day in progress nothing could be repeated.
    pub(super) today: NaiveDate,
    /// Largest first.
    pub(super) tenants: Vec<Tenant>,
}

impl Plan {
    pub(super) fn new(args: &Args, today: NaiveDate) -> Self {
        // Another size is another demonstration: its tenants must not be taken for these.
        let seed = args.seed
            ^ (u64::from(args.tenants) << 24).rotate_left(17)
            ^ u64::from(args.rows).rotate_left(41);
        let tenants = (0..args.tenants).map(|rank| tenant(seed, rank, args)).collect();
        Self { seed, today, tenants }
    }

    /// All rows of all tenants, without the tenants themselves.
    pub(super) fn rows(&self) -> u64 {
        self.tenants.iter().flat_map(|tenant| Table::ALL.map(|table| tenant.rows(table))).sum()
    }

    pub(super) fn largest_tenant(&self) -> String {
        self.tenants.first().map(|tenant| tenant.id.clone()).unwrap_or_default()
    }

    /// The random stream of one table of one tenant (by its place in [`Self::tenants`]).
    pub(super) fn stream(&self, rank: usize, table: Table) -> ChaCha8Rng {
        stream(self.seed, rank as u64, table as u64)
    }
}

fn stream(seed: u64, rank: u64, table: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(rank << 8 | table);
    rng
}

fn tenant(seed: u64, rank: u32, args: &Args) -> Tenant {
    let mut rng = stream(seed, u64::from(rank), 0);
    let name = words::company(&mut rng);
    let team_size = rng.random_range(2..=12);
    Tenant {
        id: uuid(&mut rng),
        slug: format!("{}-{}", words::slug(&name), rank + 1),
        status: match rng.random_range(0..100) {
            // The largest is what a demonstration is shown with.
            _ if rank == 0 => Some("active"),
            0..8 => Some("inactive"),
            8..11 => Some("suspended"),
            11..13 => None,
            _ => Some("active"),
        },
        leads: leads(rank, args, &mut rng),
        age_days: if rank == 0 { HISTORY_DAYS } else { rng.random_range(90..=HISTORY_DAYS) },
        team: (0..team_size).map(|_| uuid(&mut rng)).collect(),
        name,
    }
}

/// A long tail: the n-th tenant has about 1/n² of the largest one's leads, and the last tenth a handful.
fn leads(rank: u32, args: &Args, rng: &mut ChaCha8Rng) -> u64 {
    let place = f64::from(rank) + 1.0;
    let noise = rng.random_range(0.8..1.2);
    let handful = rng.random_range(3..=12);
    if rank == 0 {
        return u64::from(args.rows);
    }
    if rank >= args.tenants - args.tenants / 10 {
        return handful;
    }
    ((f64::from(args.rows) / place.powi(2) * noise) as u64).clamp(handful, u64::from(args.rows))
}

/// A version 4 uuid.
pub(super) fn uuid(rng: &mut ChaCha8Rng) -> String {
    let bits: u128 = rng.random();
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 3, 14).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_plan_is_repeatable_and_within_its_bounds(
            tenants in 1u32..300, rows in 10u32..2_000_000, seed: u64,
        ) {
            let args = Args { tenants, rows, seed, force: false };
            let plan = Plan::new(&args, today());
            prop_assert_eq!(&plan, &Plan::new(&args, today()));
            prop_assert_eq!(plan.tenants.len(), tenants as usize);
            prop_assert_eq!(plan.tenants[0].leads, u64::from(rows));
            let ids: BTreeSet<_> = plan.tenants.iter().map(|tenant| &tenant.id).collect();
            let slugs: BTreeSet<_> = plan.tenants.iter().map(|tenant| &tenant.slug).collect();
            prop_assert_eq!((ids.len(), slugs.len()), (tenants as usize, tenants as usize));
            for tenant in &plan.tenants {
                prop_assert!((3..=u64::from(rows).max(12)).contains(&tenant.leads));
                prop_assert!(tenant.age_days <= HISTORY_DAYS && !tenant.team.is_empty());
            }
        }
    }

    #[test]
    fn another_size_or_seed_is_another_demonstration() {
        let base = Args::default();
        let others = [
            Args { tenants: 51, ..base.clone() },
            Args { rows: 100_001, ..base.clone() },
            Args { seed: 43, ..base },
        ];
        let largest = Plan::new(&base, today()).largest_tenant();
        for args in others {
            assert_ne!(Plan::new(&args, today()).largest_tenant(), largest, "{args:?}");
        }
    }

    #[test]
    fn the_default_demonstration_has_all_sizes_and_stays_loadable() {
        let plan = Plan::new(&Args::default(), today());
        assert!(plan.rows() < 600_000, "{}", plan.rows());
        for (from, to) in [(3, 13), (30, 300), (1_000, 10_000), (10_000, 40_000), (100_000, 100_001)] {
            assert!(plan.tenants.iter().any(|tenant| (from..to).contains(&tenant.leads)), "{from}..{to}");
        }
        assert!(plan.tenants.iter().any(|tenant| tenant.status == Some("inactive")));
    }

    #[test]
    fn uuids_have_their_version_and_variant() {
        let id = uuid(&mut stream(1, 2, 3));
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!(["8", "9", "a", "b"].contains(&&id[19..20]), "{id}");
    }
}
