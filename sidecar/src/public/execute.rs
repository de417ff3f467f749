//! `POST /api/cron/execute`: warms now, all tenants or one.

use hyper::Request;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;

use super::body;
use super::envelope::{refuse, succeed_saying};
use super::state::State;
use crate::auth::{Principal, Scope};
use crate::cache::Warmed;
use crate::error::ApiError;
use crate::http::Reply;
use crate::scheduler::job::WARM_FUNCTION;
use crate::tenant::Tenant;

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an object with the member 'function_name' and, for one tenant, 'tenant_id'"
)]
struct Wanted {
    function_name: String,
    #[serde(default, deserialize_with = "body::tenant")]
    tenant_id: Option<Tenant>,
}

impl State {
    pub(super) async fn execute(
        &self,
        who: &Principal,
        request: Request<Incoming>,
    ) -> Result<Reply, ApiError> {
        let Wanted { function_name, tenant_id } = body::read(request).await?;
        if function_name != WARM_FUNCTION {
            return Err(ApiError::bad_request(format!(
                "the body, 'function_name': the only function that is known is {WARM_FUNCTION}"
            )));
        }
        let scope = who.may_execute(tenant_id.as_ref())?;
        let of = match &scope {
            Scope::All => None,
            Scope::One(tenant) => Some(tenant.clone()),
        };
        let name = of.as_ref().map_or("all tenants", Tenant::as_str).to_owned();
        tracing::info!(tenant = name, "[cron] {WARM_FUNCTION} is asked for");
        let warmed = self.executor.execute(scope).await?;
        tracing::info!(tenant = name, failed = warmed.failed, "[cron] {WARM_FUNCTION} has ended: {warmed}");
        Ok(describe(&warmed, of.as_ref()))
    }
}

/// What became of it. Where nothing could be warmed, that is an error.
fn describe(warmed: &Warmed, tenant: Option<&Tenant>) -> Reply {
    if warmed.failed > 0 && warmed.warmed + warmed.fresh == 0 {
        return refuse(&failure(warmed, tenant));
    }
    let Warmed { tenants, warmed: computed, fresh, failed, elapsed, .. } = warmed;
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    succeed_saying(
        &format!("{WARM_FUNCTION}: {warmed}"),
        &json!({
            "function_name": WARM_FUNCTION, "tenants": tenants, "warmed": computed, "fresh": fresh,
            "failed": failed, "elapsed_ms": elapsed_ms,
        }),
    )
}

/// Why nothing was warmed, by the reason that the first tenant has.
fn failure(warmed: &Warmed, tenant: Option<&Tenant>) -> ApiError {
    let reason = warmed.failures.first().map_or("unknown", |failed| failed.reason.as_str());
    let what = || format!("warming {}", tenant.map_or("all tenants", Tenant::as_str));
    match (reason, tenant) {
        ("no_tenant", Some(tenant)) => ApiError::no_tenant(tenant.as_str()),
        ("timeout", _) => ApiError::timeout(&what()),
        ("postgres_down", _) => ApiError::postgres_unusable(format!(
            "{} failed (postgres_down): the sidecar cannot use Postgres; see its log",
            what()
        )),
        ("sidecar_down" | "sidecar_busy", _) => ApiError::sidecar_unavailable(format!(
            "{} failed ({reason}): the module cannot have bundles computed; see Redis's log and dashboard.sidecar",
            what()
        )),
        _ => ApiError::internal(&format!("{} ({reason})", what())),
    }
}
