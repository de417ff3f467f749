//! Writes what Postgres sent as an array of rows as the JSON that it would have written itself.
//!
//! To Postgres each value of each row is a look-up of its type and a call; here it is a few bytes to copy. Knows
//! Postgres' types and no table: members are named as the attributes of the rows' composite type.

use std::error::Error;

use postgres::types::{FromSql, Kind, Oid, Type};

use super::timestamp;
use crate::bundle;

/// What is to be known of a composite type to read its rows.
#[derive(Debug)]
pub(super) struct Shape {
    row: Oid,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    /// As it stands in JSON, with its colon.
    name: Vec<u8>,
    type_: Oid,
    kind: Value,
}

/// How a value is written.
#[derive(Clone, Copy, Debug)]
enum Value {
    Text,
    Uuid,
    Boolean,
    Integer,
    Timestamp,
    Json,
}

/// Why a list cannot be written as JSON.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ListError {
    /// A column that is something else.
    #[error("a column '{column}' of type {type_}; a list is an array of a composite type")]
    NotAList {
        /// Its name.
        column: String,
        /// Its type.
        type_: String,
    },
    /// A member of a type that is not known here.
    #[error(
        "a list '{column}' whose member '{member}' is of type {type_}; a member is text, varchar, uuid, boolean, \
         smallint, integer, bigint, timestamptz or json: write it as to_json(…)"
    )]
    UnknownType {
        /// The list's name.
        column: String,
        /// The member's.
        member: String,
        /// Its type.
        type_: String,
    },
    /// Bytes that are not what the type promises; also when it has been altered since.
    #[error("a list whose rows are not of the type that it had when the connection was opened")]
    Malformed,
}

impl Shape {
    /// Of a column's type.
    ///
    /// # Errors
    /// [`ListError`], which names the column.
    pub(super) fn of(column: &str, type_: &Type) -> Result<Self, ListError> {
        let not_a_list = || ListError::NotAList { column: column.to_owned(), type_: type_.to_string() };
        let Kind::Array(row) = type_.kind() else { return Err(not_a_list()) };
        let Kind::Composite(fields) = row.kind() else { return Err(not_a_list()) };
        let member = |field: &postgres::types::Field| {
            let kind = match *field.type_() {
                Type::TEXT | Type::VARCHAR => Value::Text,
                Type::UUID => Value::Uuid,
                Type::BOOL => Value::Boolean,
                Type::INT2 | Type::INT4 | Type::INT8 => Value::Integer,
                Type::TIMESTAMPTZ => Value::Timestamp,
                Type::JSON => Value::Json,
                ref other => {
                    return Err(ListError::UnknownType {
                        column: column.to_owned(),
                        member: field.name().to_owned(),
                        type_: other.to_string(),
                    });
                }
            };
            let mut name = Vec::new();
            write_name(field.name(), &mut name);
            Ok(Member { name, type_: field.type_().oid(), kind })
        };
        Ok(Self { row: row.oid(), members: fields.iter().map(member).collect::<Result<_, _>>()? })
    }

    /// Appends the JSON array of these rows.
    ///
    /// # Errors
    /// [`ListError::Malformed`]: then something of it may have been appended.
    pub(super) fn write(&self, rows: Rows<'_>, json: &mut Vec<u8>) -> Result<(), ListError> {
        self.write_rows(&mut Reader(rows.0), json).ok_or(ListError::Malformed)
    }

    fn write_rows(&self, array: &mut Reader<'_>, json: &mut Vec<u8>) -> Option<()> {
        let dimensions = array.int()?;
        let _has_null = array.int()?;
        if array.oid()? != self.row {
            return None;
        }
        let rows = match dimensions {
            0 => 0,
            1 => array.int()?,
            _ => return None,
        };
        if dimensions == 1 {
            let _first_index = array.int()?;
        }
        json.push(b'[');
        for place in 0..rows {
            if place > 0 {
                json.push(b',');
            }
            match array.value()? {
                Some(row) => self.write_row(&mut Reader(row), json)?,
                None => json.extend_from_slice(b"null"),
            }
        }
        json.push(b']');
        array.0.is_empty().then_some(())
    }

    fn write_row(&self, row: &mut Reader<'_>, json: &mut Vec<u8>) -> Option<()> {
        if usize::try_from(row.int()?).ok()? != self.members.len() {
            return None;
        }
        json.push(b'{');
        for (place, member) in self.members.iter().enumerate() {
            if place > 0 {
                json.push(b',');
            }
            json.extend_from_slice(&member.name);
            if row.oid()? != member.type_ {
                return None;
            }
            match row.value()? {
                Some(value) => member.kind.write(value, json)?,
                None => json.extend_from_slice(b"null"),
            }
        }
        json.push(b'}');
        row.0.is_empty().then_some(())
    }
}

impl Value {
    fn write(self, value: &[u8], json: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Text => write_text(value, json),
            Self::Uuid => write_uuid(value.try_into().ok()?, json),
            Self::Boolean => json.extend_from_slice(match value {
                [0] => b"false",
                [_] => b"true",
                _ => return None,
            }),
            Self::Integer => {
                let number = match *value {
                    [a, b] => i16::from_be_bytes([a, b]).into(),
                    [a, b, c, d] => i32::from_be_bytes([a, b, c, d]).into(),
                    _ => i64::from_be_bytes(value.try_into().ok()?),
                };
                json.extend_from_slice(number.to_string().as_bytes());
            }
            Self::Timestamp => timestamp::write(i64::from_be_bytes(value.try_into().ok()?), json),
            Self::Json => bundle::compact_into(value, json),
        }
        Some(())
    }
}

/// Appends a member's name, with its colon.
pub(super) fn write_name(name: &str, json: &mut Vec<u8>) {
    write_text(name.as_bytes(), json);
    json.push(b':');
}

/// As Postgres escapes: what JSON asks for, and nothing else. What needs none is copied in one piece.
fn write_text(text: &[u8], json: &mut Vec<u8>) {
    json.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        json.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'\x08' => json.extend_from_slice(br"\b"),
            b'\x0c' => json.extend_from_slice(br"\f"),
            b'\n' => json.extend_from_slice(br"\n"),
            b'\r' => json.extend_from_slice(br"\r"),
            b'\t' => json.extend_from_slice(br"\t"),
            byte @ (b'"' | b'\\') => json.extend_from_slice(&[b'\\', byte]),
            byte => {
                json.extend_from_slice(br"\u00");
                json.extend_from_slice(&hex(byte));
            }
        }
        rest = &rest[at + 1..];
    }
    json.extend_from_slice(rest);
    json.push(b'"');
}

fn write_uuid(uuid: [u8; 16], json: &mut Vec<u8>) {
    json.push(b'"');
    for (place, &byte) in uuid.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            json.push(b'-');
        }
        json.extend_from_slice(&hex(byte));
    }
    json.push(b'"');
}

fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// A column's array of rows, as it was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a>(&'a [u8]);

impl Rows<'_> {
    /// How many bytes were sent.
    pub(super) fn len(self) -> usize {
        self.0.len()
    }
}

impl<'a> FromSql<'a> for Rows<'a> {
    fn from_sql(_type: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    /// Any: its [`Shape`] has been looked at, and the rows name theirs.
    fn accepts(_type: &Type) -> bool {
        true
    }
}

/// What is left of a value's bytes; each step takes some, or is none where there are too few.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn four(&mut self) -> Option<[u8; 4]> {
        let (&four, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(four)
    }

    fn int(&mut self) -> Option<i32> {
        self.four().map(i32::from_be_bytes)
    }

    fn oid(&mut self) -> Option<Oid> {
        self.four().map(Oid::from_be_bytes)
    }

    /// A value with its length in front, or none for NULL.
    fn value(&mut self) -> Option<Option<&'a [u8]>> {
        let length = self.int()?;
        if length == -1 {
            return Some(None);
        }
        let (value, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(Some(value))
    }
}
