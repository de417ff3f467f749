//! The clients that wait: what each asked, what it gets, and that each gets it once.

use super::news::News;
use super::{State, refused};
use crate::commands::get::Waiting;
use crate::engine::Refused;
use crate::errors::Error;
use crate::ffi::{BlockedClient, Handle};
use crate::tenant::{BundleId, Tenant};
use crate::upstream::Fetched;
use crate::warming::{Brought, Seat, Summary};
use redis_module::Context;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The identity of a blocked client, never used twice. (A [`Handle`] is an address of the server's, and is
/// used again as soon as its client has gone.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClientId(u64);

/// Who waits in a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Waiter {
    Client(ClientId),
    Warm(Seat),
}

/// What a blocked client waits for.
pub(super) enum Question {
    Get(Waiting),
    Warm,
    Clear,
}

impl Question {
    /// The bundle that is waited for, where it is one.
    pub(super) fn bundle(&self) -> Option<&BundleId> {
        match self {
            Self::Get(waiting) => Some(waiting.bundle()),
            Self::Warm | Self::Clear => None,
        }
    }
}

/// What it gets.
pub(super) enum Answer {
    Bundle(Result<Arc<Fetched>, Error>, Option<Arc<News>>),
    Warmed(Arc<Summary>),
    Cleared(u64),
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
    pub(super) question: Question,
    pub(super) answer: Option<Answer>,
}

impl State {
    /// Blocks a client that waits for a run or a clear; both are bounded where they begin.
    pub(super) fn block(&mut self, ctx: &Context, question: Question) -> Result<ClientId, Error> {
        let blocked = BlockedClient::block(ctx).ok_or_else(Error::internal)?;
        Ok(self.admit(blocked, question))
    }

    pub(super) fn admit(&mut self, blocked: BlockedClient, question: Question) -> ClientId {
        self.last_client += 1;
        let client = ClientId(self.last_client);
        self.handles.insert(blocked.handle(), client);
        self.clients.insert(client, Client { blocked: Some(blocked), question, answer: None });
        client
    }

    /// Clients that are blocked or about to get their reply.
    pub(crate) fn blocked_clients(&self) -> usize {
        self.clients.len()
    }

    /// Takes a client out of everything it waits in.
    pub(super) fn forget(&mut self, handle: Handle) -> Option<Client> {
        let client = self.handles.remove(&handle)?;
        let unwanted = self.engine.leave(Waiter::Client(client));
        self.cancel(unwanted);
        let state = self.clients.remove(&client)?;
        if matches!(state.question, Question::Warm) {
            self.runs.leave(client);
        }
        Some(state)
    }

    pub(super) fn answer(&mut self, client: ClientId, answer: Answer) {
        if let Some(state) = self.clients.get_mut(&client) {
            state.answer = Some(answer);
            self.answered.push_back(client);
        }
    }

    /// For those who find no flight.
    pub(super) fn disappoint(&mut self, groups: impl IntoIterator<Item = Refused<Waiter>>) {
        for Refused { bundle: BundleId { tenant, .. }, waiters, why } in groups {
            let result = Err(refused(&self.engine, why));
            self.gifts.push_back(Gift { waiters, result, stored: Err("refused"), tenant, news: None });
        }
    }

    pub(super) fn give(&mut self, waiter: Waiter, gift: &Gift) {
        match waiter {
            Waiter::Client(client) => {
                self.answer(client, Answer::Bundle(gift.result.clone(), gift.news.clone()));
            }
            Waiter::Warm(seat) => {
                let outcome = gift.stored.map_err(|reason| (&gift.tenant, reason));
                if self.runs.landed(seat, outcome) {
                    self.counters.warm_failures += 1;
                }
            }
        }
    }
}
