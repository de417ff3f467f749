//! Whether the module reaches the internal API. It is asked as the module asks it, by its address and with its token: only what was
//! answered that way is called well.

use std::io;
use std::path::Path;

use ::http::StatusCode;
use ::http::header::{AUTHORIZATION, HOST};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::net::sockopt::socket_peercred;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use wire::protocol;

use super::{ALL_TAKEN, WITHOUT_POSTGRES};
use crate::config::{InternalAddress, Secret};
use crate::descriptors;
use crate::error::ApiError;
use crate::http::Standing;
use crate::probe::SharedProbe;

/// Asks the internal API whether it is there.
pub struct Reach {
    address: InternalAddress,
    token: Option<Secret>,
    standing: Standing,
    shared: SharedProbe<Result<(), ApiError>>,
}

impl Reach {
    /// The address is the one that the module is to be told; what its listener notices of it is believed.
    pub fn new(address: InternalAddress, token: Option<Secret>, standing: Standing) -> Self {
        Self { address, token, standing, shared: SharedProbe::default() }
    }

    /// Connects and asks. Bounded by whoever waits for it.
    ///
    /// # Errors
    /// Why the module does not reach the API, and what to do.
    pub async fn ask(&self) -> Result<(), ApiError> {
        let question = async {
            self.question().await.map_err(|why| ApiError::internal_api_unreachable(&self.address, &why))
        };
        self.shared.ask(question).await
    }

    async fn question(&self) -> Result<(), String> {
        let answered = match &self.address {
            InternalAddress::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| self.explain(&error))?;
                self.check_owner(&stream, path)?;
                self.request(stream).await
            }
            InternalAddress::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(|error| self.explain(&error))?;
                self.request(stream).await
            }
        };
        match answered {
            Ok(StatusCode::OK) => Ok(()),
            Ok(StatusCode::TOO_MANY_REQUESTS) => Err(format!("{ALL_TAKEN}; raise it")),
            Ok(status) => Err(format!("it answers {status}; see the sidecar's log")),
            Err(error) => Err(format!("the connection ended without an answer ({error})")),
        }
    }

    /// Somebody else may have put a socket of their own at the path.
    fn check_owner(&self, stream: &UnixStream, path: &Path) -> Result<(), String> {
        let owner = socket_peercred(stream).map_err(|error| error.to_string())?.pid;
        if owner == rustix::process::getpid() {
            return Ok(());
        }
        Err(self.standing.trouble().unwrap_or_else(|| {
            let (owner, path) = (owner.as_raw_nonzero(), path.display());
            format!("process {owner} listens at {path}; end that process or choose another path")
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
        let (answer, _) = tokio::join!(
            async move {
                let answer = sender.send_request(request).await;
                // Nothing more is asked, so the connection ends.
                drop(sender);
                answer
            },
            connection
        );
        Ok(answer?.status())
    }

    fn explain(&self, error: &io::Error) -> String {
        if descriptors::is_shortage(error) {
            return descriptors::SHORTAGE.to_owned();
        }
        // What the listener has found out tells more than that nobody is there.
        self.standing.trouble().unwrap_or_else(|| error.to_string())
    }
}
