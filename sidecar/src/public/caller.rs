//! Who asks, and what it may do.

use ::http::HeaderMap;

use super::State;
use crate::error::ApiError;
use crate::tenant::Tenant;

/// Who asks.
pub(super) struct Caller;

impl Caller {
    pub(super) fn of(state: &State, _headers: &HeaderMap) -> Result<Self, ApiError> {
        if state.insecure_no_auth {
            return Ok(Self);
        }
        Err(ApiError::not_configured(
            "authentication is not set up, so no bundle is served here: on a machine of your own, start the sidecar \
             with DASHBOARD_INSECURE_NO_AUTH=true (--insecure-no-auth) and DASHBOARD_LISTEN on 127.0.0.1",
        ))
    }

    pub(super) fn may_read(&self, _tenant: &Tenant) -> Result<(), ApiError> {
        Ok(())
    }

    pub(super) fn may_clear(&self, _tenant: Option<&Tenant>) -> Result<(), ApiError> {
        Ok(())
    }
}
