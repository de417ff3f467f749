//! What Redis refuses, by its error's first word: what to do about it, and whether another connection may help.

use redis::RedisError;

/// What the address must not lead to.
pub(super) const REPLICA: &str = "the Redis at REDIS_URL is a replica, and only a primary can be told of changes: let REDIS_URL lead to the primary";
/// Why the feed needs it.
pub(super) const INFO_IS_NEEDED: &str = "the feed asks INFO whether Redis has been restarted, as it may have lost changes then: grant +info to the user of REDIS_URL \
     with ACL SETUSER";

/// Why Redis did not do what it was told.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// The first word of what it said; none if it said nothing.
    pub(crate) code: Option<String>,
    /// All of it, and what to do, for the log.
    pub(crate) explained: String,
    /// What anybody may be told.
    pub(crate) hint: String,
}

impl Refused {
    /// What Redis or the connection said.
    pub(crate) fn of(error: &RedisError) -> Self {
        let error = &first(error);
        let hint = hint(error).unwrap_or_else(|| "Redis cannot be told; see the sidecar's log".to_owned());
        Self { code: error.code().map(str::to_owned), explained: explain(error), hint }
    }

    /// What we say ourselves.
    pub(super) fn saying(code: &str, text: &str) -> Self {
        Self { code: Some(code.to_owned()), explained: text.to_owned(), hint: text.to_owned() }
    }
}

/// What to do about an error of Redis, by its first word; none where that is not known.
fn remedy(code: &str) -> Option<&'static str> {
    Some(match code {
        "READONLY" | "MASTERDOWN" | "UNBLOCKED" => "it is a replica now: let REDIS_URL lead to the primary",
        "NOPERM" => "grant this right to the user of REDIS_URL with ACL SETUSER",
        "NOAUTH" | "WRONGPASS" => "put the right user and password into REDIS_URL",
        "MISCONF" => {
            "Redis cannot save its data, and takes no changes until it can: free its disk, see Redis's log, then run BGSAVE"
        }
        "OOM" => {
            "Redis is full and evicts nothing: set maxmemory-policy allkeys-lru, or give it more maxmemory"
        }
        "LOADING" => "Redis is reading its data from disk: wait until it is done",
        "NOREPLICAS" => "Redis has fewer replicas than min-replicas-to-write: bring them back, or lower it",
        "BUSY" => "a script keeps Redis busy: run SCRIPT KILL or FUNCTION KILL",
        "CROSSSLOT" | "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" => {
            "it is a node of a Redis Cluster, and the sidecar needs a single server: let REDIS_URL lead to one"
        }
        _ => return None,
    })
}

/// Of a pipeline's errors the first: only that has the word that Redis began with.
fn first(error: &RedisError) -> RedisError {
    let all = error.clone().into_server_errors();
    let first = all.and_then(|errors| errors.first().map(|(_, error)| RedisError::from(error.clone())));
    first.unwrap_or_else(|| error.clone())
}

/// What Redis said, and what to do about it.
pub(super) fn explain(error: &RedisError) -> String {
    let Some(code) = error.code() else { return format!("Redis cannot be reached with REDIS_URL: {error}") };
    let said = format!("Redis answered: {code} {}", error.detail().unwrap_or_default());
    match remedy(code) {
        Some(remedy) => format!("{} ({remedy})", said.trim_end()),
        None => said,
    }
}

/// What anybody may be told of it: nothing of what Redis said, but the first word.
pub(super) fn hint(error: &RedisError) -> Option<String> {
    let code = error.code()?;
    remedy(code).map(|remedy| format!("Redis refuses ({code}): {remedy}"))
}

/// Whether the address may lead to another server, which does what this one refuses: this one is no primary, or not yet.
pub(super) fn is_of_server(error: &RedisError) -> bool {
    matches!(error.code(), Some("READONLY" | "LOADING" | "MASTERDOWN" | "UNBLOCKED"))
}

#[cfg(test)]
mod tests {
    use redis::{Value, parse_redis_value};

    use super::*;

    fn refused(text: &str) -> RedisError {
        match parse_redis_value(format!("-{text}\r\n").as_bytes()) {
            Ok(Value::ServerError(error)) => error.into(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_error_says_what_to_do_and_strangers_hear_no_more_than_its_first_word() {
        let error = refused("NOPERM User joe has no permissions to run the 'dashboard.clear' command");
        assert!(explain(&error).contains("dashboard.clear") && explain(&error).contains("ACL SETUSER"));
        let hint = hint(&error).unwrap();
        assert!(hint.contains("NOPERM") && hint.contains("ACL SETUSER") && !hint.contains("joe"), "{hint}");
        for code in
            ["READONLY", "MISCONF", "OOM", "CROSSSLOT", "NOAUTH", "MASTERDOWN", "LOADING", "UNBLOCKED"]
        {
            let error = refused(&format!("{code} says Redis"));
            assert!(explain(&error).contains(" ("), "{}", explain(&error));
        }
    }

    #[test]
    fn another_connection_is_tried_where_another_server_may_be_behind_the_address() {
        for (text, expected) in [
            ("READONLY You can't write against a read only replica.", true),
            ("LOADING Redis is loading the dataset in memory", true),
            ("MASTERDOWN Link with MASTER is down", true),
            ("UNBLOCKED force unblock from blocking operation", true),
            ("NOPERM no", false),
            ("MISCONF no", false),
            ("ERR no", false),
        ] {
            assert_eq!(is_of_server(&refused(text)), expected, "{text}");
        }
    }
}
