//! Whether the module reaches the internal API. It is asked as the module asks it, by its address and with its token: only what was
//! answered that way is called well. Where every connection is busy the question would wait behind bundles: then it is enough that
//! the address leads here.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use ::http::StatusCode;
use ::http::header::{AUTHORIZATION, HOST};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use wire::protocol;

use super::WITHOUT_POSTGRES;
use crate::config::{InternalAddress, Secret};
use crate::descriptors;
use crate::error::ApiError;
use crate::http::{Full, Occupancy, Standing};
use crate::probe::SharedProbe;

/// How long an answer may take: less than health waits, so that it is told why there is none.
const ALLOWED: Duration = Duration::from_millis(600);

/// How the internal API is where the module reaches it: `None` if there is nothing to tell.
pub type Remark = Option<String>;

/// Asks the internal API whether it is there.
pub struct Reach {
    address: InternalAddress,
    token: Option<Secret>,
    standing: Standing,
    occupancy: Occupancy,
    shared: SharedProbe<Result<Remark, ApiError>>,
}

impl Reach {
    /// The address is the one that the module is to be told; what its listener notices is believed.
    pub fn new(
        address: InternalAddress,
        token: Option<Secret>,
        standing: Standing,
        occupancy: Occupancy,
    ) -> Self {
        Self { address, token, standing, occupancy, shared: SharedProbe::default() }
    }

    /// Connects and asks. Bounded by whoever waits for it.
    ///
    /// # Errors
    /// Why the module does not reach the API, and what to do.
    pub async fn ask(&self) -> Result<Remark, ApiError> {
        let question = async {
            self.question().await.map_err(|why| ApiError::internal_api_unreachable(&self.address, &why))
        };
        self.shared.ask(question).await
    }

    async fn question(&self) -> Result<Remark, String> {
        let answered = match &self.address {
            InternalAddress::Unix(path) => {
                let stream = match UnixStream::connect(path).await {
                    Ok(stream) => stream,
                    // So many wait that the system lets nobody else wait.
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        return self.busy().map(Some).ok_or_else(|| self.explain(&error));
                    }
                    Err(error) => return Err(self.explain(&error)),
                };
                self.check_owner(&stream, path)?;
                self.answer(stream).await
            }
            InternalAddress::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(|error| self.explain(&error))?;
                self.answer(stream).await
            }
        };
        match answered {
            Answer::Status(StatusCode::OK) => Ok(None),
            Answer::Status(status) => Err(format!("it answers {status}; see the sidecar's log")),
            Answer::Ended(error) => Err(format!("the connection ended without an answer ({error})")),
            Answer::Busy(remark) => Ok(Some(remark)),
            Answer::Silent => Err(match self.occupancy.full() {
                Some(Full::Silent(places)) => format!(
                    "all {places} connections are held by clients that ask nothing; end those clients or raise \
                     DASHBOARD_MAX_CONNECTIONS"
                ),
                _ => format!("it has not answered within {} ms", ALLOWED.as_millis()),
            }),
        }
    }

    /// Asks by a connection that has been made.
    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Answer {
        if let Some(remark) = self.busy() {
            return Answer::Busy(remark);
        }
        match tokio::time::timeout(ALLOWED, self.request(stream)).await {
            Ok(Ok(status)) => Answer::Status(status),
            Ok(Err(error)) => Answer::Ended(error),
            // They may have become busy meanwhile.
            Err(_) => self.busy().map_or(Answer::Silent, Answer::Busy),
        }
    }

    /// What is to be told where a new connection waits until a request of another one is answered.
    fn busy(&self) -> Option<String> {
        match self.occupancy.full() {
            Some(Full::Busy(places)) if self.standing.trouble().is_none() => Some(format!(
                "all {places} connections of the internal API are busy (DASHBOARD_MAX_CONNECTIONS): further ones wait"
            )),
            _ => None,
        }
    }

    /// Somebody else may have put a socket of their own at the path.
    fn check_owner(&self, stream: &UnixStream, path: &Path) -> Result<(), String> {
        let owner = stream.peer_cred().map_err(|error| error.to_string())?.pid();
        if is_this_process(owner) {
            return Ok(());
        }
        Err(self.standing.trouble().unwrap_or_else(|| {
            let (owner, path) = (name(owner), path.display());
            format!("{owner} listens at {path}; end that process or choose another path")
        }))
    }

    async fn request<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> hyper::Result<StatusCode> {
        let mut request =
            Request::get(format!("{}?{WITHOUT_POSTGRES}=true", protocol::HEALTH)).header(HOST, "localhost");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        // The token has been checked to be fit for a header; of another one nothing would be sent.
        let request = request.body(Empty::<Bytes>::new()).unwrap_or_default();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let (status, _) = tokio::join!(
            async move {
                // The body goes with the answer, and the sender with this block: so the connection ends.
                sender.send_request(request).await.map(|answer| answer.status())
            },
            connection
        );
        status
    }

    fn explain(&self, error: &io::Error) -> String {
        if descriptors::is_shortage(error) {
            return descriptors::SHORTAGE.to_owned();
        }
        // What the listener has found out tells more than that nobody is there.
        self.standing.trouble().unwrap_or_else(|| error.to_string())
    }
}

fn is_this_process(owner: Option<i32>) -> bool {
    owner == i32::try_from(std::process::id()).ok()
}

/// The kernel gives no number, or 0, for a process of another PID namespace.
fn name(owner: Option<i32>) -> String {
    match owner {
        None | Some(0) => "a process in another container".to_owned(),
        Some(owner) => format!("process {owner}"),
    }
}

/// What came of the question.
enum Answer {
    Status(StatusCode),
    Ended(hyper::Error),
    Busy(String),
    Silent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_a_number_here_is_another_containers() {
        for unknown in [None, Some(0)] {
            assert!(!is_this_process(unknown));
            assert_eq!(name(unknown), "a process in another container");
        }
        assert!(is_this_process(Some(std::process::id() as i32)));
        assert_eq!(name(Some(7)), "process 7");
    }
}
