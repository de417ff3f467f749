//! One HTTP request at a time, over a Unix socket or TCP.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// A socket file.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

impl Endpoint {
    /// Understands `unix:/path` and `host:port`.
    pub fn parse(address: &str) -> Self {
        match address.strip_prefix("unix:") {
            Some(path) => Self::Unix(path.into()),
            None => Self::Tcp(address.to_owned()),
        }
    }

    /// What stands in front of the path in a browser's address bar.
    pub fn origin(&self) -> String {
        match self {
            Self::Tcp(at) => format!("http://{at}"),
            Self::Unix(path) => panic!("a browser cannot open {}", path.display()),
        }
    }

    /// A GET that must be answered.
    pub fn get(&self, path: &str) -> Response {
        http(self, "GET", path, None, b"").unwrap_or_else(|e| panic!("GET {path}: {e}"))
    }

    /// A request with these headers that must be answered.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        send(self, method, path, headers, body.as_bytes()).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// A POST that must be answered.
    pub fn post(&self, path: &str, body: &str) -> Response {
        http(self, "POST", path, None, body.as_bytes()).unwrap_or_else(|e| panic!("POST {path}: {e}"))
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All headers of this lower-case name, with commas between.
    pub fn headers(&self, name: &str) -> String {
        let values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        values.collect::<Vec<_>>().join(", ")
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The lines of an `application/x-ndjson` body, but the empty ones, which only say that work goes on.
    pub fn lines(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.text().lines().filter(|line| !line.is_empty()).map(parse).collect()
    }

    /// The value of a sample of `/metrics`, named with its labels.
    pub fn sample(&self, name: &str) -> Option<f64> {
        self.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// The `code` of an error answer.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_else(|| panic!("no code: {}", self.text())).to_owned()
    }
}

/// Sends one request on a connection of its own and reads the whole answer.
///
/// # Errors
/// Whatever kept the answer from coming whole, a deadline of 20 seconds included.
pub fn http(
    endpoint: &Endpoint,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &[u8],
) -> Result<Response, Error> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers: Vec<(&str, &str)> =
        bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    if !body.is_empty() {
        headers.push(("content-type", "application/json"));
    }
    send(endpoint, method, path, &headers, body)
}

/// Sends one request with these headers, and a `Host` if there is none among them.
///
/// # Errors
/// As [`http`].
pub fn send(
    endpoint: &Endpoint,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Response, Error> {
    let mut request = hyper::Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("host", "localhost");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body)))?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(20), async {
            match endpoint {
                Endpoint::Unix(path) => {
                    exchange(TokioIo::new(UnixStream::connect(path).await?), request).await
                }
                Endpoint::Tcp(at) => exchange(TokioIo::new(TcpStream::connect(at).await?), request).await,
            }
        })
        .await?
    })
}

async fn exchange<S>(stream: S, request: hyper::Request<Full<Bytes>>) -> Result<Response, Error>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let body = response.into_body().collect().await?.to_bytes().to_vec();
    connection.abort();
    Ok(Response { status, headers, body })
}
