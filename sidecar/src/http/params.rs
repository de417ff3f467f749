//! Query parameters: each known, each once, each well-formed, or an error that names it.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use crate::error::ApiError;
use crate::tenant::Tenant;

/// The parameters of one request.
pub struct Params<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Params<'a> {
    /// Reads a query text.
    ///
    /// # Errors
    /// `bad_request` naming a parameter that is not `known` or stands twice.
    pub fn parse(query: Option<&'a str>, known: &[&str]) -> Result<Self, ApiError> {
        let mut pairs: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::with_capacity(known.len());
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&&*name) {
                let name: String = name.chars().take(64).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(ApiError::bad_request(format!("unknown parameter '{name}'; known: {known}")));
            }
            if pairs.iter().any(|(seen, _)| *seen == name) {
                return Err(ApiError::bad_request(format!("parameter '{name}' stands twice")));
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// A tenant; required.
    ///
    /// # Errors
    /// `bad_request` if it is missing or malformed.
    pub fn tenant(&self, name: &str) -> Result<Tenant, ApiError> {
        let text =
            self.get(name).ok_or_else(|| ApiError::bad_request(format!("parameter '{name}' is missing")))?;
        Tenant::parse(text).map_err(|reason| ApiError::bad_request(format!("parameter '{name}': {reason}")))
    }

    /// A text of at most `most` characters, if given.
    ///
    /// # Errors
    /// `bad_request` if it is longer, or has characters in it that no text has.
    pub fn text(&self, name: &str, most: usize) -> Result<Option<&str>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let problem = if text.chars().count() > most {
            format!("has more than {most} characters")
        } else if text.chars().any(char::is_control) {
            "has control characters in it".to_owned()
        } else {
            return Ok(Some(text));
        };
        Err(ApiError::bad_request(format!("parameter '{name}' {problem}")))
    }

    /// A number within these bounds, in digits alone, if given.
    ///
    /// # Errors
    /// `bad_request` if it is anything else.
    pub fn number(&self, name: &str, bounds: RangeInclusive<u16>) -> Result<Option<u16>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| digits && bounds.contains(number));
        let (least, most) = bounds.into_inner();
        let wrong =
            || ApiError::bad_request(format!("parameter '{name}' must be a number from {least} to {most}"));
        number.ok_or_else(wrong).map(Some)
    }

    /// `true` or `false`, if given.
    ///
    /// # Errors
    /// `bad_request` if it is anything else.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(ApiError::bad_request(format!("parameter '{name}' must be true or false"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error<T>(outcome: Result<T, ApiError>) -> String {
        outcome.err().unwrap().message().to_owned()
    }

    #[test]
    fn what_is_wrong_is_named() {
        let parse = |query| Params::parse(Some(query), &["tenant", "include_test_data"]);
        assert!(error(parse("tenant=a&tenat=b")).contains("'tenat'"));
        assert!(error(parse("tenant=a&tenant=a")).contains("'tenant' stands twice"));
        assert!(
            error(parse("include_test_data=true").and_then(|p| p.tenant("tenant")))
                .contains("'tenant' is missing")
        );
        assert!(error(parse("tenant=").and_then(|p| p.tenant("tenant"))).contains("1 to 64"));
        assert!(error(parse("tenant=%ff%00").and_then(|p| p.tenant("tenant"))).contains("1 to 64"));
        assert!(
            error(parse("include_test_data=maybe").and_then(|p| p.flag("include_test_data")))
                .contains("true or false")
        );
    }

    #[test]
    fn percent_signs_are_decoded() {
        let params =
            Params::parse(Some("tenant=a%2Db&include_test_data=false"), &["tenant", "include_test_data"])
                .unwrap();
        assert_eq!(params.tenant("tenant").unwrap().as_str(), "a-b");
        assert_eq!(params.flag("include_test_data").unwrap(), Some(false));
        assert_eq!(params.flag("other").unwrap(), None);
    }
}
