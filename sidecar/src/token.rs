//! `dashboard-sidecar token`: prints a token for the public API.

use chrono::Utc;

use crate::auth::Grant;
use crate::config::TokenArgs;
use crate::error::Failure;
use crate::output;

/// Prints the token alone, so that a script can take it; remarks go to standard error.
///
/// # Errors
/// If there is no secret to sign with, or it is wrong.
pub fn main(args: &TokenArgs) -> Result<(), Failure> {
    let signer = args.auth.signer()?;
    let grant =
        Grant { tenant: args.tenant.as_deref(), role: args.role.as_deref(), expires_in: args.expires_in };
    output::line(format_args!("{}", signer.sign(&grant, Utc::now()).map_err(|error| Failure::run(&error))?));
    if grant.may_nothing() {
        output::remark(format_args!(
            "note: this token may do nothing: name the --tenant that it is for, or give it the --role superadmin"
        ));
    }
    Ok(())
}
