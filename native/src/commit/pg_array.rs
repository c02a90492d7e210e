//! PostgreSQL's binary arrays: what `INSERT … SELECT … FROM unnest(…)` reads, a column
//! each.
//!
//! COPY takes many events faster, but it is a conversation of its own; an INSERT goes
//! along with the other statements of its transaction.
#![forbid(unsafe_code)]

use super::group::{Group, Record};
use super::pg_copy::EVENT_COLUMNS;

const UUID: u32 = 2950;
const INT4: u32 = 23;
const INT8: u32 = 20;
const TEXT: u32 = 25;
const JSON: u32 = 114;

/// The types of `EVENT_COLUMNS`: the numbers that every PostgreSQL gives to them.
const TYPES: [u32; EVENT_COLUMNS.len()] = [
    UUID, INT4, INT4, INT4, INT8, INT8, INT8, UUID, TEXT, TEXT, JSON, JSON,
];

const DIMENSIONS: i32 = 1;
const MAY_HOLD_NULL: i32 = 1;
const LOWER_BOUND: i32 = 1;
const NULL: i32 = -1;

/// The events of a group that are left to insert, as an array for each of
/// `EVENT_COLUMNS`.
pub fn columns(group: &Group) -> [Vec<u8>; EVENT_COLUMNS.len()] {
    let events = group.len() as i32;
    let mut columns = TYPES.map(|kind| header(kind, events));
    for record in group.records() {
        push_record(&mut columns, &record);
    }
    columns
}

fn header(kind: u32, elements: i32) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(DIMENSIONS.to_be_bytes());
    out.extend(MAY_HOLD_NULL.to_be_bytes());
    out.extend(kind.to_be_bytes());
    out.extend(elements.to_be_bytes());
    out.extend(LOWER_BOUND.to_be_bytes());
    out
}

fn push_record(columns: &mut [Vec<u8>; EVENT_COLUMNS.len()], record: &Record<'_>) {
    let texts = &record.texts;
    let cost = record.cost_picocents.map(i64::to_be_bytes);
    let fields: [Option<&[u8]>; EVENT_COLUMNS.len()] = [
        Some(record.id),
        Some(&record.organization_number.to_be_bytes()),
        Some(&record.series_number.to_be_bytes()),
        Some(&record.customer_number.to_be_bytes()),
        Some(&record.timestamp_us.to_be_bytes()),
        cost.as_ref().map(<[u8; 8]>::as_slice),
        Some(&record.content_digest.to_be_bytes()),
        record.parent_id.as_ref().map(<[u8; 16]>::as_slice),
        texts.external_id.map(str::as_bytes),
        texts.external_member_id.map(str::as_bytes),
        texts.llm.map(str::as_bytes),
        Some(texts.metadata.as_bytes()),
    ];
    for (column, field) in columns.iter_mut().zip(fields) {
        // The limit on an event keeps a length an i32.
        let length = field.map_or(NULL, |field| field.len() as i32);
        column.extend(length.to_be_bytes());
        column.extend_from_slice(field.unwrap_or_default());
    }
}
