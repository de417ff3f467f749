//! The yardstick for HTTP: a server that answers `GET /<key>` with what plain `GET` says of that key, behind the
//! code that the sidecar's listeners run on and with the same pool. A process of its own, as the sidecar is.

use std::net::SocketAddr;
use std::time::Duration;

use dashboard_sidecar::http::{self, Limits, Listener};
use deadpool_redis::{Config, Runtime};
use hyper::StatusCode;
use tokio_util::sync::CancellationToken;

/// What tells the bench that it is to be this server; its address and Redis's URL follow.
pub(crate) const ARGUMENT: &str = "plain-get-server";

/// Serves until it is killed.
pub(crate) fn serve(address: &str, redis_url: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let address: SocketAddr = address.parse().expect("an address");
        let listener = Listener::tcp("address", address).expect("a free address");
        let pool = Config::from_url(redis_url).create_pool(Some(Runtime::Tokio1)).expect("a pool");
        pool.resize(32);
        let limits = Limits {
            connections: 1_024,
            header_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::ZERO,
        };
        http::run(listener, limits, CancellationToken::new(), move |request| {
            let pool = pool.clone();
            async move {
                let key = request.uri().path().trim_start_matches('/').to_owned();
                let mut connection = pool.get().await.expect("a connection");
                let value: Vec<u8> =
                    redis::cmd("GET").arg(key).query_async(&mut connection).await.expect("a value");
                http::bytes(StatusCode::OK, "application/json", value.into())
            }
        })
        .await;
    });
}
