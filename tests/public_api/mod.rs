//! The public HTTP API, on the whole stack.

mod auth;
mod bundle;
mod clear;
mod events;
mod execute;
mod health;
mod moved;
mod neighbours;
mod openapi;
mod probes;
mod protocol;
mod rights;
mod stopping;
mod tenants;

use harness::{Postgres, Redis, Response, Sidecar, SidecarBuilder};

/// A tenant that is there.
const TENANT: &str = "11111111-1111-4111-8111-111111111111";
/// Another one.
const OTHER: &str = "22222222-2222-4222-8222-222222222222";
const TENANTS: &str = "INSERT INTO tenant (id, tenant_id, name) VALUES
    ('11111111-1111-4111-8111-111111111111', 'one', 'One'), ('22222222-2222-4222-8222-222222222222', 'two', 'Two')";

/// Postgres, the sidecar and Redis, as they run together.
struct Stack {
    postgres: Postgres,
    sidecar: Sidecar,
    redis: Redis,
}

impl Stack {
    fn start() -> Self {
        Self::with(|sidecar| sidecar)
    }

    fn with(settings: impl FnOnce(SidecarBuilder) -> SidecarBuilder) -> Self {
        Self::assemble(Redis::url, settings)
    }

    /// With Redis where `url` says that the sidecar finds it.
    fn around(url: impl FnOnce(&Redis) -> String) -> Self {
        Self::assemble(url, |sidecar| sidecar)
    }

    fn assemble(
        url: impl FnOnce(&Redis) -> String,
        settings: impl FnOnce(SidecarBuilder) -> SidecarBuilder,
    ) -> Self {
        let postgres = Postgres::start();
        postgres.execute(TENANTS);
        let redis = Redis::builder().start();
        let sidecar =
            settings(Sidecar::builder().database(postgres.url()).env("REDIS_URL", url(&redis))).start();
        redis.client().ok(&["CONFIG", "SET", "dashboard.sidecar", sidecar.url()]);
        Self { postgres, sidecar, redis }
    }

    /// Gives the tenant so many leads that its bundle has some size.
    fn fill(&self) {
        self.postgres.execute(&format!(
            "INSERT INTO leads (tenant_id, first_name, source, created_date)
             SELECT '{TENANT}', 'lead ' || n, 'source ' || n % 3, now() FROM generate_series(1, 50) AS n"
        ));
    }

    fn get(&self, path: &str) -> Response {
        self.sidecar.public().get(path)
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        self.sidecar.public().ask(method, path, headers, body)
    }
}

/// Where a tenant's bundle is.
fn path(tenant: &str) -> String {
    format!("/api/reports/dashboard-bundle?tenant_id={tenant}")
}

/// The message of an error, which has nothing else in it.
fn message(response: &Response) -> String {
    let body = response.json();
    assert!(body.as_object().unwrap().len() == 2 && body["message"].is_string(), "{body}");
    assert_eq!(body["status"], "error");
    assert_eq!(response.header("content-type"), Some("application/json"));
    body["message"].as_str().unwrap().to_owned()
}
