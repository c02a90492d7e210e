//! The columns of a stored event: one table of names, types and values.
#![forbid(unsafe_code)]

use super::batches::Record;
use crate::ids::Uuid;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like PostgreSQL's types")]
pub enum Type {
    Uuid,
    Int4,
    Int8,
    Text,
    Json,
}

/// The number of columns of an event.
pub const COLUMNS: usize = 14;

/// The name and the type of each column, in order.
pub const TABLE: [(&str, Type); COLUMNS] = [
    ("id", Type::Uuid),
    ("organization_number", Type::Int4),
    ("series_number", Type::Int4),
    ("customer_number", Type::Int4),
    ("timestamp_us", Type::Int8),
    ("cost_picocents", Type::Int8),
    ("content_digest", Type::Int8),
    ("parent_id", Type::Uuid),
    ("external_id", Type::Text),
    ("external_member_id", Type::Text),
    ("llm", Type::Json),
    ("metadata", Type::Json),
    ("metadata_signature", Type::Int8),
    ("checksum", Type::Int4),
];

impl Record<'_> {
    /// The value of each column, in order. `scratch` is overwritten.
    pub fn values(&self, scratch: &mut Vec<u8>) -> [Value<'_>; COLUMNS] {
        [
            Value::Uuid(self.id),
            Value::Int4(self.organization_number),
            Value::Int4(self.series_number),
            Value::Int4(self.customer_number),
            Value::Int8(self.timestamp_us),
            self.cost_picocents.map_or(Value::Null, Value::Int8),
            Value::Int8(self.content_digest),
            self.parent_id.as_ref().map_or(Value::Null, Value::Uuid),
            self.texts.external_id.map_or(Value::Null, Value::Text),
            self.texts
                .external_member_id
                .map_or(Value::Null, Value::Text),
            self.texts.llm.map_or(Value::Null, Value::Text),
            Value::Text(self.texts.metadata),
            Value::Int8(self.metadata_signature),
            Value::Int4(self.checksum(scratch)),
        ]
    }
}

/// The value of a column. JSON is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the types")]
pub enum Value<'a> {
    Null,
    Uuid(&'a Uuid),
    Int4(i32),
    Int8(i64),
    Text(&'a str),
}

impl Type {
    /// The name of the type in PostgreSQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Int4 => "int4",
            Self::Int8 => "int8",
            Self::Text => "text",
            Self::Json => "json",
        }
    }

    /// The number of the type, which is the same in every PostgreSQL.
    pub fn oid(self) -> u32 {
        match self {
            Self::Uuid => 2950,
            Self::Int4 => 23,
            Self::Int8 => 20,
            Self::Text => 25,
            Self::Json => 114,
        }
    }
}
