//! `GET /api/reports/dashboard-events`: a stream of events (`text/event-stream`) that tells when a tenant's bundles
//! stop being right. Who is told reads the bundle anew.

use ::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use ::http::{Method, Request, StatusCode};
use bytes::Bytes;

use super::state::State;
use crate::auth::Principal;
use crate::error::ApiError;
use crate::http::{self, Params, Reply};

/// Asks a proxy on the way to pass on each event as it comes.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

impl State {
    /// Begins a stream.
    pub(super) fn dashboard_events<B>(
        &self,
        who: &Principal,
        request: &Request<B>,
    ) -> Result<Reply, ApiError> {
        let params = Params::parse(request.uri().query(), &["tenant_id"])?;
        let tenant = params.tenant("tenant_id")?;
        who.may_read(&tenant)?;
        let mut reply = http::bytes(StatusCode::OK, "text/event-stream", Bytes::new());
        reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        reply.headers_mut().insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
        // Who wants the headers only has them; a stream would be waited for without end.
        if request.method() == Method::HEAD {
            return Ok(reply);
        }
        *reply.body_mut() = self.streams.begin(tenant, who.expires_at())?;
        Ok(reply)
    }
}
