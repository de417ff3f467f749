//! The yardstick for HTTP: a server that answers `GET /<key>` with what plain `GET` says of that key, behind the
//! code that the sidecar's listeners run on and with the same pool. A process of its own, as the sidecar is.

use std::net::SocketAddr;
use std::time::Duration;

use std::sync::Arc;

use dashboard_sidecar::cache::Keeping;
use dashboard_sidecar::cache::pool::Pool;
use dashboard_sidecar::config::Secret;
use dashboard_sidecar::http::{self, Limits, Listener, Stop};
use hyper::StatusCode;

/// What tells the bench that it is to be this server; its address and Redis's URL follow.
pub(crate) const ARGUMENT: &str = "plain-get-server";

/// As the sidecar keeps its connections.
const KEEPING: Keeping = Keeping { timeout: Duration::from_secs(10), age: Duration::from_secs(60) };

/// Serves until it is killed.
pub(crate) fn serve(address: &str, redis_url: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let address: SocketAddr = address.parse().expect("an address");
        let listener = Listener::tcp("address", address).expect("a free address");
        let pool = Pool::new(&Secret::new(redis_url), 32, KEEPING).expect("a pool");
        let pool = Arc::new(pool);
        let limits = Limits {
            connections: 1_024,
            reserve: 0,
            header_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::ZERO,
        };
        http::run(listener, limits, Stop::default(), move |request| {
            let pool = pool.clone();
            async move {
                let key = request.uri().path().trim_start_matches('/').to_owned();
                let value: Vec<u8> = pool.query(redis::cmd("GET").arg(key), None).await.expect("a value");
                http::bytes(StatusCode::OK, "application/json", value.into())
            }
        })
        .await;
    });
}
