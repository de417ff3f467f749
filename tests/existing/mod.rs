//! On a CRM that was there before: wide tables with triggers, policies, foreign keys and partitions, in a schema of their
//! own, under a role that is no superuser.

mod check;
mod counters;
mod crm;
mod rights;

pub(crate) use counters::WITHOUT_COUNTERS;
