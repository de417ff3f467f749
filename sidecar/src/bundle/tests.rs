//! What is made of texts that Postgres may return, and that a parser is of the same opinion.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::tenant::Tenant;

fn assemble(content: &str) -> Result<String, NotABundle> {
    assemble_of(content, None)
}

fn assemble_of(content: &str, version: Option<&Version>) -> Result<String, NotABundle> {
    let id = BundleId { tenant: Tenant::parse("t1").unwrap(), include_test_data: true };
    let at = DateTime::from_timestamp_micros(1_767_323_045_123_456).unwrap();
    let bundle = Bundle::new(&id, &Content::new(content)?, at, Duration::from_micros(12_900), version);
    assert_eq!(bundle.size(), bundle.clone().into_json().len());
    let json = String::from_utf8(bundle.clone().into_json().to_vec()).unwrap();
    assert_eq!(bundle.into_line().concat(), format!("{json}\n").into_bytes());
    Ok(json)
}

#[test]
fn meta_stands_first_and_the_rest_is_kept_digit_by_digit() {
    let json = assemble("{\"stats\" : {\"v\" : 12345678901234567.10},\n \"lists\":[ 1 , 2 ]}").unwrap();
    let (meta, rest) = json.split_once("},").unwrap();
    assert!(meta.starts_with(
        r#"{"meta":{"tenant_id":"t1","include_test_data":true,"generated_at":"2026-01-02T03:04:05.123456Z","etag":""#
    ));
    assert!(meta.ends_with(r#","compute_ms":12"#));
    assert_eq!(rest, r#""stats":{"v":12345678901234567.10},"lists":[1,2]}"#);
}

#[test]
fn a_version_stands_in_meta_where_there_is_one_and_is_no_part_of_the_etag() {
    let value = |version: Option<&str>| -> Value {
        let version = version.map(|text| Version::parse(text).unwrap());
        serde_json::from_str(&assemble_of(r#"{"a":1}"#, version.as_ref()).unwrap()).unwrap()
    };
    let (with, without) = (value(Some("7:x")), value(None));
    assert_eq!((&with["meta"]["version"], &without["meta"]["version"]), (&"7:x".into(), &Value::Null));
    assert_eq!(with["meta"]["etag"], without["meta"]["etag"]);
    assert_eq!(with["a"], 1);
}

#[test]
fn the_etag_is_of_the_content_alone_whatever_its_spacing() {
    let etag = |json: &str| {
        let value: Value = serde_json::from_str(json).unwrap();
        value["meta"]["etag"].as_str().unwrap().to_owned()
    };
    let plain = etag(&assemble(r#"{"a":1}"#).unwrap());
    assert_eq!(plain, etag(&assemble("{ \"a\" :\n1 }").unwrap()));
    assert_ne!(plain, etag(&assemble(r#"{"a":2}"#).unwrap()));
    assert!(plain.len() == 32 && plain.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
}

#[test]
fn strings_keep_their_spaces_quotes_and_backslashes() {
    let content = r#"{"a":"x \" y \\","b":" { } "}"#;
    assert!(assemble(content).unwrap().ends_with(&content[1..]));
}

#[test]
fn an_empty_object_stays_valid_json() {
    let json = assemble(" { } ").unwrap();
    assert!(serde_json::from_str::<Value>(&json).unwrap()["meta"].is_object(), "{json}");
}

#[test]
fn what_is_no_bundle_is_refused() {
    for content in ["[]", "1", "null", "\"{}\"", "", " ", "{", "{} {}", "{}]", "{\"a\":[}", r#"{"a\"}"#] {
        assert_eq!(assemble(content), Err(NotABundle::NotAnObject), "{content}");
    }
    for content in [
        r#"{"meta":{}}"#,
        r#"{"a":1,"m\u0065ta":1}"#,
        r#"{"a":[{},{"b":1}] , "meta" : 1}"#,
        r#"{"a":"b","meta":1}"#,
    ] {
        assert_eq!(assemble(content), Err(NotABundle::HasMeta), "{content}");
    }
    for content in [r#"{"a":"meta"}"#, r#"{"a":{"meta":1},"b":["meta"]}"#, r#"{"meta\"":1,"\\meta":2}"#] {
        assert!(assemble(content).unwrap().ends_with(&content[1..]), "{content}");
    }
}

#[test]
fn lists_are_the_last_member_and_the_only_one_of_their_name() {
    let with_lists = |json: &str| {
        let content = Content::with_lists(json, 0, |members| {
            members.extend_from_slice(br#""a":[1]"#);
            Ok::<(), NotABundle>(())
        })?;
        assert_eq!(content.size(), content.members.len());
        Ok(format!("{{{}", std::str::from_utf8(&content.members).unwrap().trim_end()))
    };
    assert_eq!(with_lists(r#"{ "b": 1 }"#).unwrap(), r#"{"b":1,"lists":{"a":[1]}}"#);
    assert_eq!(with_lists("{}").unwrap(), r#"{"lists":{"a":[1]}}"#);
    assert_eq!(with_lists(r#"{"b":{"lists":1}}"#).unwrap(), r#"{"b":{"lists":1},"lists":{"a":[1]}}"#);
    assert_eq!(with_lists(r#"{"b":1,"l\u0069sts":{}}"#), Err(NotABundle::HasLists));
    assert_eq!(with_lists(r#"{"meta":1}"#), Err(NotABundle::HasMeta));
    assert_eq!(with_lists("[]"), Err(NotABundle::NotAnObject));
}

#[test]
fn json_values_are_compacted_and_their_strings_are_not() {
    for (json, compact) in [
        ("[ 1.50 ,\n\"  x\\\" \" ]", r#"[1.50,"  x\" "]"#),
        (" 5 ", "5"),
        ("{\"a\" :\tnull}", r#"{"a":null}"#),
    ] {
        let mut out = Vec::new();
        compact_into(json.as_bytes(), &mut out);
        assert_eq!(std::str::from_utf8(&out).unwrap(), compact);
    }
}

#[test]
fn bundles_of_the_same_content_share_its_bytes() {
    let content = Content::new(r#"{"a":1}"#).unwrap();
    let of = |include_test_data| {
        let id = BundleId { tenant: Tenant::parse("t1").unwrap(), include_test_data };
        Bundle::new(&id, &content, DateTime::UNIX_EPOCH, Duration::ZERO, None).into_line()
    };
    let ([with_head, with], [without_head, without]) = (of(true), of(false));
    assert_eq!(with.as_ptr(), without.as_ptr());
    assert_ne!(with_head, without_head);
}

/// Of any kind, `meta` and what has to be escaped included.
fn json() -> impl Strategy<Value = Value> {
    let name =
        prop_oneof![Just("meta".to_owned()), Just("me".to_owned()), "[ -~\n\t\"\\\\]{0,8}", any::<String>()];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|n| Value::from(f64::from(n) / 4.0)),
        name.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Writes `value` with white space wherever it may be, and some letters of its strings as escapes.
fn spaced(value: &Value, random: &mut impl FnMut(usize) -> usize, text: &mut String) {
    let space = |random: &mut dyn FnMut(usize) -> usize, text: &mut String| {
        text.push_str(["", "", " ", "\n", "\r\n\t ", "  "][random(6)]);
    };
    let string = |string: &str, random: &mut dyn FnMut(usize) -> usize, text: &mut String| {
        text.push('"');
        for letter in string.chars() {
            if letter.is_ascii_alphabetic() && random(4) == 0 {
                text.push_str(&format!("\\u{:04x}", letter as u32));
            } else {
                let quoted = Value::from(letter.to_string()).to_string();
                text.push_str(&quoted[1..quoted.len() - 1]);
            }
        }
        text.push('"');
    };
    space(random, text);
    match value {
        Value::Array(items) => {
            text.push('[');
            for (n, item) in items.iter().enumerate() {
                text.push_str(if n == 0 { "" } else { "," });
                spaced(item, random, text);
            }
            space(random, text);
            text.push(']');
        }
        Value::Object(members) => {
            text.push('{');
            for (n, (name, member)) in members.iter().enumerate() {
                text.push_str(if n == 0 { "" } else { "," });
                space(random, text);
                string(name, random, text);
                space(random, text);
                text.push(':');
                spaced(member, random, text);
            }
            space(random, text);
            text.push('}');
        }
        Value::String(value) => string(value, random, text),
        other => text.push_str(&other.to_string()),
    }
    space(random, text);
}

/// Whether white space stands outside of strings, found letter by letter.
fn has_space_between_tokens(json: &str) -> bool {
    let (mut in_string, mut escaped) = (false, false);
    json.bytes().any(|byte| {
        let outside = !in_string && byte.is_ascii_whitespace();
        in_string = if in_string { escaped || byte != b'"' } else { byte == b'"' };
        escaped = in_string && !escaped && byte == b'\\';
        outside
    })
}

proptest! {
    #[test]
    fn of_any_json_however_spaced_the_verdict_is_that_of_a_parser(value in json(), seed in any::<u64>()) {
        let (mut text, mut state) = (String::new(), seed);
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        spaced(&value, &mut random, &mut text);
        prop_assert_eq!(&serde_json::from_str::<Value>(&text).unwrap(), &value);
        match (Content::new(&text), value.as_object()) {
            (Err(NotABundle::NotAnObject), None) => {}
            (Err(NotABundle::HasMeta), Some(members)) => prop_assert!(members.contains_key("meta")),
            (Ok(content), Some(members)) => {
                prop_assert!(!members.contains_key("meta"));
                let json = format!("{{{}", std::str::from_utf8(&content.members).unwrap().trim_end());
                prop_assert_eq!(&serde_json::from_str::<Value>(&json).unwrap(), &value);
                prop_assert!(!has_space_between_tokens(&json), "{json}");
            }
            (verdict, _) => prop_assert!(false, "{text}: {verdict:?}"),
        }
    }

    #[test]
    fn no_text_at_all_makes_it_panic(text in "[{}\\[\\]\",:\\\\ metau0-9\n]{0,40}") {
        let _verdict = Content::new(&format!("{{{text}"));
    }
}
