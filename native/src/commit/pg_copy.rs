//! PostgreSQL's binary COPY: what `COPY event (…) FROM STDIN (FORMAT binary)` reads,
//! and numbers of events that `COPY (…) TO STDOUT (FORMAT binary)` writes.
#![forbid(unsafe_code)]

use super::batches::{Commit, Record};
use super::columns::COLUMNS;

/// The signature, no flags, no header extension.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: i16 = -1;
const NULL: i32 = -1;

/// A row without its texts: the count of its columns, a length before each, two
/// UUIDs, three numbers of four bytes and three of eight.
const FIXED_BYTES_MAX: usize = 2 + 4 * COLUMNS + 2 * 16 + 3 * 4 + 3 * 8;

/// The events of a commit that are left to insert.
pub fn payload(commit: &Commit) -> Vec<u8> {
    let size = commit.len() * FIXED_BYTES_MAX + commit.texts_bytes();
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
    // Without `Record::values`, which would take longer here. What has a fixed size is put
    // together first, where the compiler knows every place, and appended in one piece.
    let mut row = Fixed {
        bytes: [0; FIXED_BYTES_MAX],
        end: 0,
    };
    row.push((COLUMNS as i16).to_be_bytes());
    row.push_field(Some(*record.id));
    row.push_field(Some(record.organization_number.to_be_bytes()));
    row.push_field(Some(record.series_number.to_be_bytes()));
    row.push_field(Some(record.customer_number.to_be_bytes()));
    row.push_field(Some(record.timestamp_us.to_be_bytes()));
    row.push_field(record.cost_picocents.map(i64::to_be_bytes));
    row.push_field(Some(record.content_digest.to_be_bytes()));
    row.push_field(record.parent_id);
    out.extend_from_slice(&row.bytes[..row.end]);
    push_text(out, record.texts.external_id);
    push_text(out, record.texts.external_member_id);
    push_text(out, record.texts.llm);
    push_text(out, Some(record.texts.metadata));
}

struct Fixed {
    bytes: [u8; FIXED_BYTES_MAX],
    end: usize,
}

impl Fixed {
    #[inline(always)]
    fn push<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes[self.end..self.end + N].copy_from_slice(&bytes);
        self.end += N;
    }

    /// A length and as many bytes; the length of null is −1.
    #[inline(always)]
    fn push_field<const N: usize>(&mut self, field: Option<[u8; N]>) {
        match field {
            Some(bytes) => {
                self.push((N as i32).to_be_bytes());
                self.push(bytes);
            }
            None => self.push(NULL.to_be_bytes()),
        }
    }
}

/// Writes a field that holds a text. The limit on an event keeps its length an i32.
fn push_text(out: &mut Vec<u8>, text: Option<&str>) {
    let length = text.map_or(NULL, |text| text.len() as i32);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.unwrap_or_default().as_bytes());
}

/// Numbers of events, column by column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of an event")]
pub struct Columns {
    pub timestamps_us: Vec<i64>,
    pub costs_picocents: Vec<i64>,
    pub customers: Vec<i32>,
    pub series: Vec<i32>,
}

/// The bytes are not rows of these columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not rows of timestamp, cost, customer and series in PostgreSQL's binary COPY")
    }
}

/// Reads rows of (timestamp, cost, customer, series), none of them null. The header
/// may come before them and the trailer after them.
pub fn read_columns(payload: &[u8]) -> Result<Columns, Malformed> {
    let mut rest = payload.strip_prefix(HEADER).unwrap_or(payload);
    let mut columns = Columns::default();
    while rest != TRAILER.to_be_bytes() && !rest.is_empty() {
        if i16::from_be_bytes(take(&mut rest)?) != 4 {
            return Err(Malformed);
        }
        let numbers = (field(&mut rest)?, field(&mut rest)?);
        columns.timestamps_us.push(i64::from_be_bytes(numbers.0));
        columns.costs_picocents.push(i64::from_be_bytes(numbers.1));
        let numbers = (field(&mut rest)?, field(&mut rest)?);
        columns.customers.push(i32::from_be_bytes(numbers.0));
        columns.series.push(i32::from_be_bytes(numbers.1));
    }
    Ok(columns)
}

fn field<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Malformed> {
    if i32::from_be_bytes(take(rest)?) != N as i32 {
        return Err(Malformed);
    }
    take(rest)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (bytes, others) = rest.split_first_chunk().ok_or(Malformed)?;
    *rest = others;
    Ok(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(timestamp_us: i64, cost: i64, customer: i32, series: i32) -> Vec<u8> {
        let mut row = 4_i16.to_be_bytes().to_vec();
        for number in [timestamp_us, cost] {
            row.extend(8_i32.to_be_bytes());
            row.extend(number.to_be_bytes());
        }
        for number in [customer, series] {
            row.extend(4_i32.to_be_bytes());
            row.extend(number.to_be_bytes());
        }
        row
    }

    /// Rows are read wherever a stream of them is cut between two.
    #[test]
    fn rows_become_columns() {
        let rows = [row(-1, i64::MIN, 7, 0), row(5, 6, i32::MAX, 3)].concat();
        let expected = Columns {
            timestamps_us: vec![-1, 5],
            costs_picocents: vec![i64::MIN, 6],
            customers: vec![7, i32::MAX],
            series: vec![0, 3],
        };
        for payload in [
            rows.clone(),
            [HEADER, rows.as_slice()].concat(),
            [rows.as_slice(), &TRAILER.to_be_bytes()].concat(),
        ] {
            assert_eq!(read_columns(&payload), Ok(expected.clone()));
        }
        for nothing in [&[][..], HEADER, &TRAILER.to_be_bytes()] {
            assert_eq!(read_columns(nothing), Ok(Columns::default()));
        }
    }

    /// Other rows, and rows that are cut in two, are refused.
    #[test]
    fn other_rows() {
        let whole = row(1, 2, 3, 4);
        for end in 1..whole.len() {
            assert_eq!(read_columns(&whole[..end]), Err(Malformed), "{end}");
        }
        let mut null = whole.clone();
        null[2..6].copy_from_slice(&NULL.to_be_bytes());
        let mut five = whole.clone();
        five[1] = 5;
        for payload in [null, five, [whole.as_slice(), &[0]].concat()] {
            assert_eq!(read_columns(&payload), Err(Malformed));
        }
    }
}
