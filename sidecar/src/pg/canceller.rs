//! How a statement is ended that nobody waits for any more.

pub(crate) use tokio_postgres::CancelToken;
use tokio_util::sync::CancellationToken;

/// How a statement is ended.
pub(crate) enum Canceller {
    /// By a cancel request to the server.
    Ask(CancelToken),
    /// By closing the connection: the pooler at its other end closes the server's, which notices. A request would go by the pooler's
    /// book of who runs what, and some versions of PgBouncer (1.18) strike out the wrong one.
    Close(CancellationToken),
}
