//! Settings of authentication: the one key that tokens are checked with, and what else they must say.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, value_parser};

use super::secret::read_file;
use super::{Secret, SecretVariable};
use crate::auth::{Access, Expectations, Key, KeyError, Signer, Verifier};
use crate::error::Failure;
use crate::tenant::{InvalidTenant, Tenant};

const SECRET: &str = "DASHBOARD_JWT_SECRET";
const SECRET_FILE: &str = "DASHBOARD_JWT_SECRET_FILE (--jwt-secret-file)";
const PUBLIC_KEY_FILE: &str = "DASHBOARD_JWT_PUBLIC_KEY_FILE (--jwt-public-key-file)";

/// The longest that a token made here counts.
const MAX_EXPIRES_IN: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Which tokens the public API takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Authentication")]
pub struct AuthArgs {
    /// File that holds the secret (32 bytes or more) with which tokens are signed, HS256; instead, the secret itself
    /// may be in the environment variable DASHBOARD_JWT_SECRET. Its bytes are taken as they stand, not decoded
    #[arg(long, value_name = "FILE", env = "DASHBOARD_JWT_SECRET_FILE")]
    pub jwt_secret_file: Option<PathBuf>,
    /// The secret itself. The environment only: a flag could be read by every local user.
    #[arg(skip = SecretVariable::read(SECRET))]
    pub jwt_secret: Option<SecretVariable>,
    /// PEM file with the public key of whoever makes the tokens, instead of a secret: RSA of 2048 to 8192 bits
    /// (RS256), or elliptic-curve on P-256 (ES256)
    #[arg(long, value_name = "FILE", env = "DASHBOARD_JWT_PUBLIC_KEY_FILE")]
    pub jwt_public_key_file: Option<PathBuf>,
    /// What a token's claim aud must name [default: not looked at]
    #[arg(long, value_name = "NAME", env = "DASHBOARD_JWT_AUDIENCE",
          value_parser = NonEmptyStringValueParser::new())]
    pub jwt_audience: Option<String>,
    /// What a token's claim iss must be [default: not looked at]
    #[arg(long, value_name = "NAME", env = "DASHBOARD_JWT_ISSUER",
          value_parser = NonEmptyStringValueParser::new())]
    pub jwt_issuer: Option<String>,
    /// By how much the clocks of this server and of whoever makes the tokens may differ, seconds, 0 to 300; for so
    /// long a token counts after its exp and before its nbf
    #[arg(long, value_name = "SECONDS", env = "DASHBOARD_JWT_LEEWAY_S", default_value_t = 0,
          value_parser = value_parser!(u32).range(0..=300))]
    pub jwt_leeway_s: u32,
}

/// Settings of `token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// The tenant that the token is for [default: none, which only a superadmin can do with]
    #[arg(long, value_name = "TENANT", value_parser = parse_tenant)]
    pub tenant: Option<String>,
    /// admin: may also clear and warm that tenant; superadmin: may do everything, for all; any other: may read
    #[arg(long, value_name = "ROLE", value_parser = NonEmptyStringValueParser::new())]
    pub role: Option<String>,
    /// For how long the token counts: 90s, 15m, 12h, 30d and the like; 1s to 366d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_expires_in)]
    pub expires_in: Duration,
    /// The secret, and what else the token must say.
    #[command(flatten)]
    pub auth: AuthArgs,
}

/// Where the key comes from.
enum Source {
    Secret(&'static str, Secret),
    PublicKey(String),
}

impl AuthArgs {
    /// How the public API treats those who ask.
    ///
    /// # Errors
    /// If a key cannot be read or is none, there are several, or one beside `insecure_no_auth`.
    pub fn access(&self, insecure_no_auth: bool) -> Result<Access, Failure> {
        let Some(source) = self.source(insecure_no_auth)? else {
            return Ok(if insecure_no_auth { Access::Open } else { Access::NotConfigured });
        };
        let key = match source {
            Source::Secret(setting, secret) => {
                Key::from_secret(secret.expose().as_bytes()).map_err(|error| wrong(setting, error))
            }
            Source::PublicKey(pem) => {
                Key::from_public_pem(&pem).map_err(|error| wrong(PUBLIC_KEY_FILE, error))
            }
        }?;
        Ok(Access::Verifier(Box::new(Verifier::new(key, &self.expectations()))))
    }

    /// What makes tokens that [`Self::access`] lets in.
    ///
    /// # Errors
    /// If there is no secret, or it is wrong.
    pub fn signer(&self) -> Result<Signer, Failure> {
        match self.source(false)? {
            Some(Source::Secret(setting, secret)) => {
                Signer::new(secret.expose().as_bytes(), self.expectations())
                    .map_err(|error| wrong(setting, error))
            }
            Some(Source::PublicKey(_)) => Err(Failure::config(format!(
                "{PUBLIC_KEY_FILE}: a public key only checks tokens: whoever holds the private key makes them"
            ))),
            None => Err(Failure::config(format!(
                "no secret to sign with: set {SECRET} or {SECRET_FILE} as for 'dashboard-sidecar serve'"
            ))),
        }
    }

    /// The one source that is set, if any.
    fn source(&self, insecure_no_auth: bool) -> Result<Option<Source>, Failure> {
        let set: Vec<&str> = [
            (self.jwt_secret.is_some(), SECRET),
            (self.jwt_secret_file.is_some(), SECRET_FILE),
            (self.jwt_public_key_file.is_some(), PUBLIC_KEY_FILE),
            (insecure_no_auth, "DASHBOARD_INSECURE_NO_AUTH (--insecure-no-auth)"),
        ]
        .into_iter()
        .filter_map(|(is_set, name)| is_set.then_some(name))
        .collect();
        if set.len() > 1 {
            return Err(Failure::config(format!("{} are set: keep one", set.join(" and "))));
        }
        if let Some(secret) = &self.jwt_secret {
            return Ok(Some(Source::Secret(SECRET, Secret::from_variable(SECRET, secret)?)));
        }
        if let Some(file) = &self.jwt_secret_file {
            return Ok(Some(Source::Secret(SECRET_FILE, Secret::read(SECRET_FILE, file)?)));
        }
        self.jwt_public_key_file
            .as_deref()
            .map(|file| read_file(PUBLIC_KEY_FILE, file).map(Source::PublicKey))
            .transpose()
    }

    fn expectations(&self) -> Expectations {
        Expectations {
            audience: self.jwt_audience.clone(),
            issuer: self.jwt_issuer.clone(),
            leeway_s: self.jwt_leeway_s,
        }
    }
}

fn wrong(setting: &str, error: KeyError) -> Failure {
    Failure::config(format!("{setting}: {error}"))
}

fn parse_tenant(text: &str) -> Result<String, InvalidTenant> {
    Tenant::parse(text).map(|tenant| tenant.to_string())
}

fn parse_expires_in(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if (Duration::from_secs(1)..=MAX_EXPIRES_IN).contains(&time) => Ok(time),
        Ok(_) => Err("it must be 1s to 366d".into()),
        Err(error) => Err(format!("{error}; write for example 90s, 15m, 12h or 30d")),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;
    use clap::Parser;

    const SECRET_TEXT: &str = "0123456789abcdef0123456789abcdef";

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        auth: AuthArgs,
    }

    #[derive(Debug, Parser)]
    struct TokenLine {
        #[command(flatten)]
        token: TokenArgs,
    }

    fn auth(args: &[&str]) -> AuthArgs {
        let mut auth = Line::parse_from(std::iter::once(&"x").chain(args)).auth;
        auth.jwt_secret = None;
        auth
    }

    fn with_secret(args: &[&str], secret: &str) -> AuthArgs {
        AuthArgs { jwt_secret: Some(secret.into()), ..auth(args) }
    }

    fn error(auth: &AuthArgs, insecure: bool) -> String {
        auth.access(insecure).unwrap_err().to_string()
    }

    fn file(content: &str) -> (tempfile::NamedTempFile, String) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let path = file.path().display().to_string();
        (file, path)
    }

    #[test]
    fn without_a_key_nobody_is_let_in_unless_that_is_asked_for() {
        assert!(matches!(auth(&[]).access(false), Ok(Access::NotConfigured)));
        assert!(matches!(auth(&[]).access(true), Ok(Access::Open)));
        assert!(matches!(with_secret(&[], SECRET_TEXT).access(false), Ok(Access::Verifier(_))));
    }

    #[test]
    fn a_short_secret_is_refused_without_being_repeated() {
        let error = error(&with_secret(&[], "hunter2"), false);
        assert!(error.starts_with("DASHBOARD_JWT_SECRET: ") && error.contains("32 bytes"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        assert!(with_secret(&[], &SECRET_TEXT[1..]).access(false).is_err());
        assert!(with_secret(&[], "").access(false).is_err(), "an empty one is not taken for none");
    }

    #[test]
    fn a_secret_from_the_environment_does_not_show_itself() {
        let shown = format!("{:?}", with_secret(&[], SECRET_TEXT));
        assert!(shown.contains("jwt_secret") && !shown.contains(SECRET_TEXT), "{shown}");
    }

    #[test]
    fn a_secret_that_is_no_text_is_refused() {
        let mut args = auth(&[]);
        args.jwt_secret = Some(OsStr::from_bytes(&[0xff; 32]).into());
        assert!(error(&args, false).starts_with("DASHBOARD_JWT_SECRET: "));
    }

    #[test]
    fn a_secrets_file_loses_only_its_line_end() {
        let (_file, path) = file(" 0123456789abcdef0123456789abcde\r\n");
        assert!(auth(&["--jwt-secret-file", &path]).access(false).is_ok());
        let (_file, path) = file("0123456789abcdef0123456789abcde\r\n");
        assert!(error(&auth(&["--jwt-secret-file", &path]), false).contains("DASHBOARD_JWT_SECRET_FILE"));
    }

    #[test]
    fn two_keys_or_a_key_and_none_needed_are_a_contradiction() {
        let (_file, path) = file(SECRET_TEXT);
        for (args, insecure, named) in [
            (with_secret(&["--jwt-secret-file", &path], SECRET_TEXT), false, "--jwt-secret-file"),
            (with_secret(&["--jwt-public-key-file", &path], SECRET_TEXT), false, "--jwt-public-key-file"),
            (
                auth(&["--jwt-secret-file", &path, "--jwt-public-key-file", &path]),
                false,
                "--jwt-public-key-file",
            ),
            (with_secret(&[], SECRET_TEXT), true, "--insecure-no-auth"),
            (auth(&["--jwt-public-key-file", &path]), true, "--insecure-no-auth"),
        ] {
            let error = error(&args, insecure);
            assert!(error.contains("keep one") && error.contains(named), "{error}");
            assert!(!error.contains(SECRET_TEXT), "{error}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_had_is_named_with_its_setting() {
        for (flag, setting) in
            [("--jwt-secret-file", "JWT_SECRET_FILE"), ("--jwt-public-key-file", "JWT_PUBLIC_KEY_FILE")]
        {
            let error = error(&auth(&[flag, "/nowhere/key"]), false);
            assert!(error.contains(setting) && error.contains("/nowhere/key"), "{error}");
            let (_file, path) = file(&"x".repeat(70_000));
            let error = self::error(&auth(&[flag, &path]), false);
            assert!(error.contains("more than 65536 bytes"), "{error}");
        }
    }

    #[test]
    fn a_secret_in_the_public_keys_file_is_refused_without_being_repeated() {
        let (_file, path) = file(SECRET_TEXT);
        let error = error(&auth(&["--jwt-public-key-file", &path]), false);
        assert!(
            error.starts_with("DASHBOARD_JWT_PUBLIC_KEY_FILE") && !error.contains(SECRET_TEXT),
            "{error}"
        );
    }

    #[test]
    fn only_who_has_the_secret_makes_tokens() {
        let public = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/keys/ec-public.pem");
        let error = auth(&["--jwt-public-key-file", public]).signer().err().unwrap().to_string();
        assert!(error.contains("whoever holds the private key"), "{error}");
        assert!(auth(&[]).signer().err().unwrap().to_string().contains("DASHBOARD_JWT_SECRET"));
        assert!(with_secret(&[], SECRET_TEXT).signer().is_ok());
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for args in [["x", "--jwt-leeway-s", "301"], ["x", "--jwt-audience", ""], ["x", "--jwt-issuer", ""]] {
            assert!(Line::try_parse_from(args).is_err(), "{args:?}");
        }
        for args in [
            ["x", "--expires-in", "0s"],
            ["x", "--expires-in", "367d"],
            ["x", "--expires-in", "soon"],
            ["x", "--expires-in", ""],
            ["x", "--expires-in", "-1h"],
            ["x", "--expires-in", "99999999999999999999y"],
            ["x", "--tenant", "a b"],
            ["x", "--role", ""],
        ] {
            assert!(TokenLine::try_parse_from(args).is_err(), "{args:?}");
        }
        assert_eq!(TokenLine::parse_from(["x"]).token.expires_in, Duration::from_secs(3600));
    }
}
