//! The clients that wait: each is blocked once, and gets its answer once.

use super::core::State;
use super::waiters::{Answer, Client, Gift, Given, Pending, Waiter};
use crate::errors::Error;
use crate::ffi::{BlockedClient, Handle};
use engine::{ClientId, Refused};
use redis_module::Context;
use wire::key::BundleId;

impl State {
    /// Blocks a client that waits for a run or a clear; both are bounded where they begin.
    pub(super) fn block(
        &mut self,
        ctx: &Context,
        question: impl Pending + 'static,
    ) -> Result<ClientId, Error> {
        let blocked = BlockedClient::block(ctx).ok_or_else(Error::internal)?;
        Ok(self.admit(blocked, question))
    }

    pub(super) fn admit(&mut self, blocked: BlockedClient, question: impl Pending + 'static) -> ClientId {
        self.last_client += 1;
        let client = ClientId(self.last_client);
        self.handles.insert(blocked.handle(), client);
        let question = Box::new(question);
        self.clients.insert(client, Client { blocked: Some(blocked), question, given: None });
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
        if state.question.is_warm() {
            self.runs.leave(client);
        }
        Some(state)
    }

    pub(super) fn answer(&mut self, client: ClientId, given: impl Into<Given>) {
        if let Some(state) = self.clients.get_mut(&client) {
            state.given = Some(given.into());
            self.answered.push_back(client);
        }
    }

    /// For those who find no flight.
    pub(super) fn disappoint(&mut self, groups: impl IntoIterator<Item = Refused<Waiter>>) {
        for Refused { bundle: BundleId { tenant, .. }, waiters, why } in groups {
            let result = Err(Error::refused(why, self.engine.breaker_cause()));
            self.gifts.push_back(Gift { waiters, result, stored: Err("refused"), tenant, news: None });
        }
    }

    pub(super) fn give(&mut self, waiter: Waiter, gift: &Gift) {
        match waiter {
            Waiter::Client(client) => {
                let answer = Answer::Bundle(gift.result.clone());
                self.answer(client, Given { answer, news: gift.news.clone() });
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
