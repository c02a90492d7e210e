//! PostgreSQL's binary COPY: what `COPY event (…) FROM STDIN (FORMAT binary)` reads,
//! and events that `COPY (…) TO STDOUT (FORMAT binary)` writes.
#![forbid(unsafe_code)]

use super::batches::{Commit, Record};
use super::checksum::{FIXED_BYTES_MAX, StoredRows, of_encoded, push_value, take_column};
use super::columns::{COLUMNS, Value};

/// The signature, no flags, no header extension.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: i16 = -1;

/// The count of the columns, and the checksum.
const FRAME_BYTES: usize = 2 + 4 + 4;

/// The events of a commit that are left to insert.
pub fn payload(commit: &Commit) -> Vec<u8> {
    let size = commit.len() * (FRAME_BYTES + FIXED_BYTES_MAX) + commit.texts_bytes();
    let mut out = Vec::with_capacity(HEADER.len() + size + size_of_val(&TRAILER));
    out.extend(HEADER);
    for record in commit.records() {
        push_row(&mut out, &record);
    }
    out.extend(TRAILER.to_be_bytes());
    out
}

/// Appends the columns of `columns::TABLE`.
fn push_row(out: &mut Vec<u8>, record: &Record<'_>) {
    out.extend_from_slice(&(COLUMNS as i16).to_be_bytes());
    let start = out.len();
    record.encode(out);
    let checksum = of_encoded(&out[start..]);
    push_value(out, Value::Int4(checksum));
}

/// The bytes are not rows of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not rows of events in PostgreSQL's binary COPY")
    }
}

/// Reads whole rows of `columns::TABLE`, damaged or not. The header may come before them and
/// the trailer after them.
pub fn read_rows(payload: &[u8]) -> Result<StoredRows, Malformed> {
    let mut rest = payload.strip_prefix(HEADER).unwrap_or(payload);
    let mut rows = StoredRows::default();
    while rest != TRAILER.to_be_bytes() && !rest.is_empty() {
        let (count, row) = rest.split_first_chunk().ok_or(Malformed)?;
        if i16::from_be_bytes(*count) != COLUMNS as i16 {
            return Err(Malformed);
        }
        rest = row;
        for _ in 0..COLUMNS {
            take_column(&mut rest).ok_or(Malformed)?;
        }
        rows.add(&row[..row.len() - rest.len()]);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::checksum::Verdict;

    fn row(timestamp_us: i64) -> Vec<u8> {
        let mut row = (COLUMNS as i16).to_be_bytes().to_vec();
        for value in [
            Value::Uuid(&[0; 16]),
            Value::Int4(1),
            Value::Int4(2),
            Value::Int4(3),
            Value::Int8(timestamp_us),
            Value::Null,
            Value::Int8(0),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Text("{}"),
            Value::Int8(0),
        ] {
            push_value(&mut row, value);
        }
        let checksum = of_encoded(&row[2..]);
        push_value(&mut row, Value::Int4(checksum));
        row
    }

    /// Rows are read wherever a stream of them is cut between two.
    #[test]
    fn rows_are_read() {
        let rows = [row(-1), row(5)].concat();
        for payload in [
            rows.clone(),
            [HEADER, rows.as_slice()].concat(),
            [rows.as_slice(), &TRAILER.to_be_bytes()].concat(),
        ] {
            let read = read_rows(&payload).unwrap();
            assert_eq!(read.timestamps_us, [-1, 5]);
            assert_eq!(read.verdicts, [Verdict::Verified; 2]);
        }
        for nothing in [&[][..], HEADER, &TRAILER.to_be_bytes()] {
            assert_eq!(read_rows(nothing), Ok(StoredRows::default()));
        }
    }

    /// Rows of other tables, and rows that are cut in two, are refused.
    #[test]
    fn other_rows() {
        let whole = row(1);
        for end in 1..whole.len() {
            assert_eq!(read_rows(&whole[..end]), Err(Malformed), "{end}");
        }
        let mut fewer = whole.clone();
        fewer[1] -= 1;
        for payload in [fewer, [whole.as_slice(), &[0]].concat()] {
            assert_eq!(read_rows(&payload), Err(Malformed));
        }
    }
}
