//! Panics on request, so that tests see what holds when something of ours panics. In builds with debug
//! assertions only, and there only where the environment has `DASHBOARD_FAULTS`: then the tenants
//! `panics-in-…` panic at the point of that name.

/// Panics for the tenant that is called after this point.
#[inline]
pub(crate) fn point(name: &str, tenant: impl AsRef<[u8]>) {
    #[cfg(debug_assertions)]
    {
        static WANTED: once_cell::sync::Lazy<bool> =
            once_cell::sync::Lazy::new(|| std::env::var_os("DASHBOARD_FAULTS").is_some());
        if *WANTED && tenant.as_ref().strip_prefix(b"panics-in-") == Some(name.as_bytes()) {
            #[allow(clippy::panic, reason = "it is what was asked for")]
            {
                panic!("a fault that was asked for, in {name}");
            }
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = (name, tenant);
}
