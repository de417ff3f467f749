//! `dashboard-sidecar warm`: asks the module to compute bundles into the cache.

use crate::cache;
use crate::config::WarmArgs;
use crate::error::Failure;
use crate::tenant::Tenant;

/// Words that the module's commands read as options.
const RESERVED: [&str; 3] = ["SOFT", "FORCE", "ASYNC"];
/// What Redis calls the connection.
const CALLER: &str = "dashboard-sidecar-warm";

/// Warms and prints what was done.
///
/// # Errors
/// If a tenant's name is malformed, the module cannot be asked, or a bundle failed.
pub fn main(args: &WarmArgs) -> Result<(), Failure> {
    let tenants = args.tenants.iter().map(|name| parse(name)).collect::<Result<Vec<_>, _>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::run(&error))?;
    let warmed = runtime
        .block_on(cache::warm(&args.redis.redis_url, CALLER, &tenants, args.force))
        .map_err(|error| Failure::config(error.message()))?;
    println!("{warmed}");
    if warmed.failed == 0 { Ok(()) } else { Err(Failure::already_reported()) }
}

fn parse(name: &str) -> Result<Tenant, Failure> {
    if RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name)) {
        return Err(Failure::config(format!(
            "'{name}' is a reserved word, no tenant (for FORCE, use --force)"
        )));
    }
    Tenant::parse(name).map_err(|reason| Failure::config(format!("tenant '{name}': {reason}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_that_would_be_read_as_an_option_is_refused() {
        assert!(parse("force").unwrap_err().to_string().contains("--force"));
        assert!(parse("a b").unwrap_err().to_string().contains("'a b'"));
        assert!(parse("acme").is_ok());
    }
}
