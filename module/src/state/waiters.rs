//! Those who wait, as values: who, for what, and what they get. What a client asked and how it is answered is its
//! command's own ([`Pending`]): the state keeps it and does not look inside.

use super::news::News;
use crate::errors::Error;
use crate::ffi::BlockedClient;
use crate::upstream::Fetched;
use engine::ClientId;
use engine::warming::{Brought, Seat, Summary};
use redis_module::Context;
use std::collections::BTreeSet;
use std::sync::Arc;
use wire::key::BundleId;
use wire::tenant::Tenant;

/// Who waits in a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Waiter {
    Client(ClientId),
    Warm(Seat),
}

/// A blocked client's question, kept until it is answered.
pub(crate) trait Pending: Send {
    /// The bundle that is waited for, where it is one.
    fn bundle(&self) -> Option<&BundleId> {
        None
    }

    /// It waits for a run of warming.
    fn is_warm(&self) -> bool {
        false
    }

    /// Replies. An answer that does not fit the question is a defect: reply so.
    fn reply(&self, ctx: &Context, answer: Answer);

    /// What it gets when somebody ends its wait.
    fn unblocked(&self) -> Error {
        Error::wait_ended()
    }

    /// The client has gone before its answer.
    fn left(&self) {}
}

/// What a client gets.
pub(crate) enum Answer {
    Bundle(Result<Arc<Fetched>, Error>),
    Warmed(Arc<Summary>),
    Cleared(u64),
    Failed(Error),
}

/// An answer, and what is told when its client has it.
pub(super) struct Given {
    pub(super) answer: Answer,
    pub(super) news: Option<Arc<News>>,
}

impl From<Answer> for Given {
    fn from(answer: Answer) -> Self {
        Self { answer, news: None }
    }
}

/// Who waited in a flight, and what they get.
pub(super) struct Gift {
    pub(super) waiters: BTreeSet<Waiter>,
    pub(super) result: Result<Arc<Fetched>, Error>,
    /// What warming is for: what came is now stored. Else why not, in one word.
    pub(super) stored: Result<Brought, &'static str>,
    pub(super) tenant: Tenant,
    pub(super) news: Option<Arc<News>>,
}

pub(super) struct Client {
    /// `None` once it is released; its reply is asked for after that.
    pub(super) blocked: Option<BlockedClient>,
    pub(super) question: Box<dyn Pending>,
    pub(super) given: Option<Given>,
}
