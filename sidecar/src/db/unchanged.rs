//! Asks Postgres of which bundles nothing has changed since they were computed, so that only the others are
//! computed anew.

use super::failure::classify;
use super::meter::Meter;
use super::session::{Query, Session};
use super::wanted::{BundleItem, Found, Wanted};
use crate::bundle::Known;
use crate::error::ApiError;

const FUNCTION: &str = "dashboard.unchanged";

/// What came of the question about a part of a batch.
pub(super) struct Split {
    /// Bundles that are still what their asker has.
    pub(super) unchanged: Vec<BundleItem>,
    /// What is to be computed.
    pub(super) rest: Vec<Wanted>,
}

/// Asks once about all of `chunk` that its asker has already. If that fails, all of it is to be computed: the
/// answer would have saved work, and decides nothing else.
pub(super) fn split(session: &mut Session, chunk: &[Wanted], meter: &Meter) -> Split {
    let questions = Questions::of(chunk);
    let answers = if questions.tenants.is_empty() {
        Vec::new()
    } else {
        meter.time(|| questions.ask(session)).0.unwrap_or_else(|error| {
            tracing::warn!(%error, "whether bundles are unchanged is not known; computing all of them");
            Vec::new()
        })
    };
    let mut unchanged = Vec::new();
    let mut places = questions.places.into_iter();
    let mut rest = Vec::with_capacity(chunk.len());
    for wanted in chunk {
        let mut changed = wanted.clone();
        changed.bundles.retain(|bundle| {
            let Some(Known { etag, .. }) = &bundle.known else { return true };
            let answer = places.next().and_then(|place| answers.get(place).copied());
            if answer != Some(true) {
                return true;
            }
            unchanged.push((wanted.id(bundle), Ok(Found::Unchanged(etag.clone()))));
            false
        });
        if !changed.bundles.is_empty() {
            rest.push(changed);
        }
    }
    Split { unchanged, rest }
}

/// Tenants and versions, each pair once where both bundles of a tenant are of the same version.
#[derive(Default)]
struct Questions<'a> {
    tenants: Vec<&'a str>,
    versions: Vec<&'a str>,
    /// For each bundle that is known, the place of its question.
    places: Vec<usize>,
}

impl<'a> Questions<'a> {
    fn of(chunk: &'a [Wanted]) -> Self {
        let mut questions = Self::default();
        for wanted in chunk {
            let tenant = wanted.tenant.as_str();
            for Known { version, .. } in wanted.bundles.iter().filter_map(|bundle| bundle.known.as_ref()) {
                let version = version.as_str();
                let last = (questions.tenants.last(), questions.versions.last());
                if last != (Some(&tenant), Some(&version)) {
                    questions.tenants.push(tenant);
                    questions.versions.push(version);
                }
                questions.places.push(questions.tenants.len() - 1);
            }
        }
        questions
    }

    /// An answer for each; what is NULL is not known, and so not unchanged.
    fn ask(&self, session: &mut Session) -> Result<Vec<bool>, ApiError> {
        let failed = |error: postgres::Error| classify(FUNCTION, &error);
        let row = session.query_one(Query::Unchanged, &[&self.tenants, &self.versions])?;
        let answers: Option<Vec<Option<bool>>> = row.try_get(0).map_err(failed)?;
        let answers = answers.unwrap_or_default();
        if answers.len() != self.tenants.len() {
            let problem = "another number of answers than of questions";
            tracing::error!(problem, "dashboard.unchanged must answer for each tenant");
            return Err(ApiError::wrong_result(FUNCTION, problem));
        }
        Ok(answers.into_iter().map(|answer| answer == Some(true)).collect())
    }
}
