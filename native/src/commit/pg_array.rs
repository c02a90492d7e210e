//! PostgreSQL's binary arrays: what `INSERT … SELECT … FROM unnest(…)` reads, a column
//! each.
//!
//! COPY takes many events faster, but it is a conversation of its own; an INSERT goes
//! along with the other statements of its transaction.
#![forbid(unsafe_code)]

use super::batches::Commit;
use super::columns::{COLUMNS, TABLE, Value};

const DIMENSIONS: i32 = 1;
const MAY_HOLD_NULL: i32 = 1;
const LOWER_BOUND: i32 = 1;
const NULL: i32 = -1;

/// The events of a commit that are left to insert, as an array for each column.
pub fn columns(commit: &Commit) -> [Vec<u8>; COLUMNS] {
    let events = commit.len() as i32;
    let mut columns = TABLE.map(|(_, kind)| header(kind.oid(), events));
    for record in commit.records() {
        for (column, value) in columns.iter_mut().zip(record.values()) {
            push(column, value);
        }
    }
    columns
}

fn header(oid: u32, elements: i32) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(DIMENSIONS.to_be_bytes());
    out.extend(MAY_HOLD_NULL.to_be_bytes());
    out.extend(oid.to_be_bytes());
    out.extend(elements.to_be_bytes());
    out.extend(LOWER_BOUND.to_be_bytes());
    out
}

fn push(column: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Null => column.extend(NULL.to_be_bytes()),
        Value::Uuid(id) => push_bytes(column, id),
        Value::Int4(number) => push_bytes(column, &number.to_be_bytes()),
        Value::Int8(number) => push_bytes(column, &number.to_be_bytes()),
        Value::Text(text) => push_bytes(column, text.as_bytes()),
    }
}

fn push_bytes(column: &mut Vec<u8>, bytes: &[u8]) {
    // The limit on an event keeps a length an i32.
    column.extend((bytes.len() as i32).to_be_bytes());
    column.extend_from_slice(bytes);
}
