//! PostgreSQL's binary arrays: what `INSERT … SELECT … FROM unnest(…)` reads, a column
//! each.
//!
//! COPY takes many events faster, but it is a conversation of its own; an INSERT goes
//! along with the other statements of its transaction.
#![forbid(unsafe_code)]

use super::batches::Commit;
use super::checksum::push_value;
use super::columns::{COLUMNS, TABLE};

const DIMENSIONS: i32 = 1;
const MAY_HOLD_NULL: i32 = 1;
const LOWER_BOUND: i32 = 1;

/// The events of a commit that are left to insert, as an array for each column.
pub fn columns(commit: &Commit) -> [Vec<u8>; COLUMNS] {
    let events = commit.len() as i32;
    let mut columns = TABLE.map(|(_, kind)| header(kind.oid(), events));
    let mut scratch = Vec::new();
    for record in commit.records() {
        for (column, value) in columns.iter_mut().zip(record.values(&mut scratch)) {
            push_value(column, value);
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
