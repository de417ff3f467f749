//! Reading `INFO dashboard`.

/// What the module tells of itself, in its order: field (without the module's prefix) and value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleInfo(Vec<(String, String)>);

impl ModuleInfo {
    /// Reads Redis's reply; what is no field of the module is left out.
    pub(crate) fn parse(text: &str) -> Self {
        let field = |line: &str| {
            let (name, value) = line.strip_prefix("dashboard_")?.split_once(':')?;
            Some((name.to_owned(), value.trim_end().to_owned()))
        };
        Self(text.lines().filter_map(field).collect())
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(field, value)| (field == name).then_some(value))
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is none: the module is not loaded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_lose_their_prefix() {
        let info = ModuleInfo::parse(
            "# dashboard_stats\r\ndashboard_hits:7\r\nother:1\r\ndashboard_warm_by:a:b\r\n",
        );
        assert_eq!(info.iter().collect::<Vec<_>>(), [("hits", "7"), ("warm_by", "a:b")]);
        assert_eq!((info.get("hits"), info.get("misses")), (Some("7"), None));
        assert!(ModuleInfo::parse("# Server\r\n").is_empty());
    }
}
