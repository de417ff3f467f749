//! Which requests there are: path, method, and what answers.

use ::http::Method;

/// What answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Live,
    Ready,
    Health,
    Session,
    Metrics,
    OpenApi,
    Operations,
    Bundle,
    Events,
    ClearCache,
    Execute,
    Tenants,
    Page,
}

/// A path, and what may be done there.
pub(super) struct Entry {
    pub(super) path: &'static str,
    pub(super) method: Method,
    pub(super) route: Route,
}

const fn get(path: &'static str, route: Route) -> Entry {
    Entry { path, method: Method::GET, route }
}

const fn post(path: &'static str, route: Route) -> Entry {
    Entry { path, method: Method::POST, route }
}

/// Every path. One that ends in a slash stands for all below it, but for the root.
pub(super) const ROUTES: &[Entry] = &[
    get("/livez", Route::Live),
    get("/readyz", Route::Ready),
    get("/api/system/health", Route::Health),
    get("/api/session", Route::Session),
    get("/api/openapi.json", Route::OpenApi),
    get("/metrics", Route::Metrics),
    get("/api/system/operations", Route::Operations),
    get("/api/reports/dashboard-bundle", Route::Bundle),
    get("/api/reports/dashboard-events", Route::Events),
    post("/api/reports/clear-cache", Route::ClearCache),
    post("/api/cron/execute", Route::Execute),
    get("/api/tenants", Route::Tenants),
    get("/", Route::Page),
    get("/dashboard", Route::Page),
    get("/dashboard/", Route::Page),
];

impl Entry {
    /// What answers at this path, if anything.
    pub(super) fn at(path: &str) -> Option<&'static Self> {
        ROUTES.iter().find(|entry| {
            path == entry.path
                || (entry.path.len() > 1 && entry.path.ends_with('/') && path.starts_with(entry.path))
        })
    }

    /// Whether it takes the method. HEAD goes where GET goes; the server leaves the body out.
    pub(super) fn takes(&self, method: &Method) -> bool {
        *method == self.method || (*method == Method::HEAD && self.method == Method::GET)
    }

    /// Whether it is answered also where no connection is left for anything else.
    pub(super) fn is_probe(&self) -> bool {
        matches!(self.route, Route::Live | Route::Ready | Route::Health | Route::Metrics)
    }

    /// What it takes, as the header Allow lists it.
    pub(super) fn allowed(&self) -> &'static str {
        if self.method == Method::GET { "GET, HEAD, OPTIONS" } else { "POST, OPTIONS" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_as_they_are_written() {
        assert_eq!(Entry::at("/livez").unwrap().route, Route::Live);
        assert_eq!(Entry::at("/dashboard/app.js").unwrap().path, "/dashboard/");
        for path in ["", "/livez/", "//livez", "/LIVEZ", "/dashboardx", "/api", "*"] {
            assert!(Entry::at(path).is_none(), "{path}");
        }
    }
}
