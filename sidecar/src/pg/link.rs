//! A connection to Postgres, driven by the thread that waits for an answer, with a deadline for each wait.

use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use postgres::Error;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::stand_in::failed;

/// Where there is no deadline: a year.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

type Driver = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// The connection itself: what moves bytes between the library and the socket.
pub(super) struct Link {
    runtime: Runtime,
    /// None once it has ended: the socket is closed then.
    driver: Option<Driver>,
    given_up: CancellationToken,
}

impl Link {
    /// Prepares it; [`Link::drive`] gives it something to drive.
    pub(super) fn new() -> Result<Self, Error> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(error.kind(), &format!("no resources for a connection: {error}")))?;
        Ok(Self { runtime, driver: None, given_up: CancellationToken::new() })
    }

    pub(super) fn drive(&mut self, driver: impl Future<Output = Result<(), Error>> + Send + 'static) {
        self.driver = Some(Box::pin(driver));
    }

    /// Waits for what needs no connection yet: for making it.
    pub(super) fn make<T>(
        &self,
        patience: Duration,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.runtime.block_on(async {
            tokio::time::timeout(patience, work).await.unwrap_or_else(|_elapsed| {
                Err(failed(
                    io::ErrorKind::TimedOut,
                    &format!("no connection within {} s", patience.as_secs()),
                ))
            })
        })
    }

    /// Waits for an answer. Past the deadline the connection is given up: its socket is closed, and whatever is asked over
    /// it fails at once.
    pub(super) fn wait<T>(
        &mut self,
        patience: Option<Duration>,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let driver = &mut self.driver;
        self.runtime.block_on(async {
            let mut work = pin!(work);
            let mut given_up = pin!(self.given_up.cancelled());
            let mut deadline = pin!(sleep(patience.unwrap_or(FOR_EVER)));
            std::future::poll_fn(|context| {
                // First what is asked, which hands it to the driver; then the driver, which hands back the answer.
                if let Poll::Ready(outcome) = work.as_mut().poll(context) {
                    return Poll::Ready(outcome);
                }
                if let Some(driving) = driver
                    && let Poll::Ready(ended) = driving.as_mut().poll(context)
                {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection to Postgres ended");
                    }
                    *driver = None;
                }
                if let Poll::Ready(outcome) = work.as_mut().poll(context) {
                    return Poll::Ready(outcome);
                }
                if given_up.as_mut().poll(context).is_ready() {
                    *driver = None;
                }
                if driver.is_none() {
                    return Poll::Ready(Err(failed(io::ErrorKind::NotConnected, "the connection is closed")));
                }
                if deadline.as_mut().poll(context).is_ready() {
                    *driver = None;
                    let words = format!("no answer within {} s", patience.unwrap_or(FOR_EVER).as_secs_f64());
                    tracing::warn!("Postgres: {words}; this connection is closed, and the next one is new");
                    return Poll::Ready(Err(failed(io::ErrorKind::TimedOut, &words)));
                }
                Poll::Pending
            })
            .await
        })
    }

    /// With this, anybody closes the connection, whatever is being waited for over it.
    pub(super) fn closer(&self) -> CancellationToken {
        self.given_up.clone()
    }

    /// Whether there is no connection any more.
    pub(super) fn is_closed(&self) -> bool {
        self.driver.is_none() || self.given_up.is_cancelled()
    }
}
