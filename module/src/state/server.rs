//! What the server calls: replies, departures, and events that replace the data.

use super::core;
use super::requests::fence;
use super::waiters::{Answer, Client, Given, Pending};
use super::wake;
use crate::errors::Error;
use crate::ffi::{Handle, ServerEvent};
use crate::{clearing, reply};
use engine::{ClientId, Scope};
use redis_module::Context;

/// Replies to a client that was released.
pub(crate) fn reply(ctx: &Context, handle: Handle) {
    let client = core::lock().forget(handle);
    match client {
        Some(Client { question, given: Some(given), .. }) => deliver(ctx, &*question, given),
        _ => reply::error(ctx, &Error::internal()),
    }
}

/// `CLIENT UNBLOCK … TIMEOUT`: the client is answered as if its time were over.
pub(crate) fn unblocked(ctx: &Context, handle: Handle) {
    let client = core::lock().forget(handle);
    match client {
        Some(Client { question, given: Some(given), .. }) => deliver(ctx, &*question, given),
        Some(Client { question, .. }) => question.reply(ctx, Answer::Failed(question.unblocked())),
        None => reply::error(ctx, &Error::internal()),
    }
}

/// The client has gone, or the server has answered it.
pub(crate) fn gone(handle: Handle) {
    // Dropped after the lock: that releases the client.
    let client = core::lock().forget(handle);
    if let Some(client) = &client {
        client.question.left();
    }
    drop(client);
}

fn deliver(ctx: &Context, question: &dyn Pending, Given { answer, news }: Given) {
    question.reply(ctx, answer);
    news.into_iter().for_each(|news| news.answered(ctx));
}

/// What is under way when the data is replaced, or when writing passes to another server, belongs to
/// what was: none of it is stored.
pub(crate) fn server_event(_: &Context, event: ServerEvent) {
    match event {
        ServerEvent::Flushed(Some(db)) => fence([Scope::Database(db)]),
        ServerEvent::Swapped(a, b) if a == b => {}
        ServerEvent::Swapped(a, b) => {
            clearing::swap(a, b);
            clearing::changed_places([a, b]);
            fence([Scope::Database(a), Scope::Database(b)]);
        }
        ServerEvent::Flushed(None) => fence([Scope::Everything]),
        ServerEvent::Loading => {
            clearing::search_anew();
            fence([Scope::Everything]);
        }
        ServerEvent::LoadingFromPrimary => {
            clearing::forget_swaps();
            fence([Scope::Everything]);
        }
        ServerEvent::RoleChanged => {
            let mut state = core::lock();
            // What a feed said of a primary says nothing of a replica, to which it does not speak.
            state.feed.forget();
            let ended: Vec<ClientId> = state.runs.abort().into_iter().chain(clearing::abort()).collect();
            for client in ended {
                state.answer(client, Answer::Failed(Error::role_changed()));
            }
            drop(state);
            fence([Scope::Everything]);
        }
    }
}

/// The thread to the sidecar has news. Nothing is done here: this may be called while a script is busy or
/// the server loads, where a timer does not fire.
pub(crate) fn woken() {
    wake::arrived();
    core::lock().arm_at(0);
}
