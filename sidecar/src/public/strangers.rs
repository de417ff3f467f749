//! Who is not served, whatever they ask: a request for some other host and, without authentication, a page of some
//! other site.

use ::http::header::{HOST, HeaderName, ORIGIN};
use ::http::uri::Authority;
use ::http::{HeaderMap, Version};
use hyper::Request;

use super::routes::{Entry, Route};
use super::state::State;
use crate::error::ApiError;

/// Whether the page that asks is of this site; browsers say it, and no page can say it otherwise.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Whether the answer is to be shown instead of the page that asks.
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Refuses them.
pub(super) fn check<B>(state: &State, request: &Request<B>) -> Result<(), ApiError> {
    check_host(request)?;
    refuse_strangers(state, request)
}

/// Whom a request is for, it says once: of two, whoever stands in between could take the other one.
fn check_host<B>(request: &Request<B>) -> Result<(), ApiError> {
    let given = request.headers().get_all(HOST).iter().count();
    if given == 1 || (given == 0 && request.version() < Version::HTTP_11) {
        Ok(())
    } else {
        Err(ApiError::bad_request("send the header Host, once"))
    }
}

/// Without authentication, being on this machine is all that a client has to show. A page of some other site that
/// is open in a browser on this machine shows it too: it gives itself away by its origin, by the name that it has had
/// point here, or by what the browser says of a request that has no origin, such as that for an image.
fn refuse_strangers<B>(state: &State, request: &Request<B>) -> Result<(), ApiError> {
    if !state.access.is_open() {
        return Ok(());
    }
    let headers = request.headers();
    let host = headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    // What stands in the request's line counts for more than Host, where both are there (RFC 9112, 3.2.2).
    let is_for_us = |host: &Authority| is_this_machine(host.host());
    if !host.as_ref().is_some_and(is_for_us) || !request.uri().authority().is_none_or(is_for_us) {
        return Err(ApiError::stranger(
            "without authentication, only localhost and loopback addresses are served",
        ));
    }
    let is_ours = match headers.get(ORIGIN) {
        Some(origin) => {
            let of_the_page = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
            of_the_page.is_some_and(|origin| host.as_ref().is_some_and(|host| origin == host.as_str()))
                || state.cors_origins.include(origin)
        }
        None => is_of_no_other_site(headers) || is_link_to_page(request),
    };
    if is_ours {
        Ok(())
    } else {
        Err(ApiError::stranger(
            "without authentication, pages of other sites are not served, unless DASHBOARD_CORS_ORIGINS names them",
        ))
    }
}

/// By what a browser says of itself; another program says nothing.
fn is_of_no_other_site(headers: &HeaderMap) -> bool {
    headers.get(SEC_FETCH_SITE).is_none_or(|site| site == "none" || site == "same-origin")
}

/// Somebody has followed a link. That loads the page, and nothing of what it can be told to do.
fn is_link_to_page<B>(request: &Request<B>) -> bool {
    Entry::at(request.uri().path()).is_some_and(|entry| entry.route == Route::Page)
        && request.headers().get(SEC_FETCH_MODE).is_some_and(|mode| mode == "navigate")
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_few_names() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in
            ["localhost.example.com", "example.com", "10.0.0.1", "0.0.0.0", "", "[::]", "127.0.0.1.nip.io"]
        {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
