//! The checksum of a stored event, by which a damaged row is recognized.
//!
//! It is CRC-32 over the other columns in the order of the table, each as PostgreSQL's binary
//! COPY has it: its length in four bytes, −1 for null, and its bytes, numbers with their
//! greatest byte first. A signature that is null is left out, as it is of rows that were stored
//! before there were any. It is stored, so the way it is computed must never change.
#![forbid(unsafe_code)]

use super::batches::Record;
use super::columns::{COLUMNS, Value};
use crate::events::tokens::{Tokens, of_llm};

const NULL: i32 = -1;

/// The place of the signature, before that of the checksum.
const SIGNATURE: usize = COLUMNS - 2;

/// The columns but the checksum without the bytes of texts: a length before each of thirteen, two
/// UUIDs, three numbers of four bytes and four of eight.
pub(super) const FIXED_BYTES_MAX: usize = 4 * (COLUMNS - 1) + 2 * 16 + 3 * 4 + 4 * 8;

impl Record<'_> {
    /// The checksum of the row. `scratch` is overwritten; it spares memory for each row.
    pub fn checksum(&self, scratch: &mut Vec<u8>) -> i32 {
        scratch.clear();
        self.encode(scratch);
        of_encoded(scratch)
    }

    /// Appends the columns of `columns::TABLE` but the checksum.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        // Without `Record::content`, which would take longer here. What has a fixed size is put
        // together first, where the compiler knows every place, and appended in one piece.
        let mut row = Fixed {
            bytes: [0; FIXED_BYTES_MAX],
            end: 0,
        };
        row.push_field(Some(*self.id));
        row.push_field(Some(self.organization_number.to_be_bytes()));
        row.push_field(Some(self.series_number.to_be_bytes()));
        row.push_field(Some(self.customer_number.to_be_bytes()));
        row.push_field(Some(self.timestamp_us.to_be_bytes()));
        row.push_field(self.cost_picocents.map(i64::to_be_bytes));
        row.push_field(Some(self.content_digest.to_be_bytes()));
        row.push_field(self.parent_id);
        out.extend_from_slice(&row.bytes[..row.end]);
        for text in [
            self.texts.external_id,
            self.texts.external_member_id,
            self.texts.llm,
            Some(self.texts.metadata),
        ] {
            match text {
                Some(text) => push_bytes(out, text.as_bytes()),
                None => out.extend_from_slice(&NULL.to_be_bytes()),
            }
        }
        push_bytes(out, &self.metadata_signature.to_be_bytes());
    }
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

/// The checksum of a row whose columns but the checksum are encoded.
pub fn of_encoded(columns: &[u8]) -> i32 {
    crc32fast::hash(columns) as i32
}

/// Appends a column in the form that the checksum is computed of.
pub fn push_value(encoded: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Null => encoded.extend_from_slice(&NULL.to_be_bytes()),
        Value::Uuid(id) => push_bytes(encoded, id),
        Value::Int4(number) => push_bytes(encoded, &number.to_be_bytes()),
        Value::Int8(number) => push_bytes(encoded, &number.to_be_bytes()),
        Value::Text(text) => push_bytes(encoded, text.as_bytes()),
    }
}

/// Appends the bytes of a column that is not null.
pub fn push_bytes(encoded: &mut Vec<u8>, bytes: &[u8]) {
    // The limit on an event keeps a length an i32.
    encoded.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
    encoded.extend_from_slice(bytes);
}

/// Whether a stored row is intact, according to its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The row is not the one that was stored.
    Damaged = 0,
    /// The row has no checksum: an earlier version stored it.
    Unverified = 1,
    /// The row is what was stored.
    Verified = 2,
}

/// Rows as a database returns them: a verdict on each, and the numbers of those that are not
/// damaged, column by column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of an event")]
pub struct StoredRows {
    pub verdicts: Vec<Verdict>,
    pub timestamps_us: Vec<i64>,
    pub costs_picocents: Vec<i64>,
    pub customers: Vec<i32>,
    pub series: Vec<i32>,
    /// The tokens of those that have any, each after the place of its event in the columns.
    pub tokens: Vec<(usize, Tokens)>,
}

impl StoredRows {
    /// Adds a row, given as all its columns in encoded form.
    pub fn add(&mut self, row: &[u8]) {
        let verdict = match read(row) {
            Some((verdict, numbers)) if verdict != Verdict::Damaged => {
                if let Some(tokens) = numbers.tokens {
                    self.tokens.push((self.timestamps_us.len(), tokens));
                }
                self.timestamps_us.push(numbers.timestamp_us);
                self.costs_picocents.push(numbers.cost_picocents);
                self.customers.push(numbers.customer);
                self.series.push(numbers.series);
                verdict
            }
            _ => Verdict::Damaged,
        };
        self.verdicts.push(verdict);
    }

    /// Adds a row that cannot be encoded, because values are not of the types of their columns.
    pub fn add_damaged(&mut self) {
        self.verdicts.push(Verdict::Damaged);
    }
}

struct Numbers {
    timestamp_us: i64,
    cost_picocents: i64,
    customer: i32,
    series: i32,
    tokens: Option<Tokens>,
}

/// The verdict on a row and its numbers; `None` if they do not have the lengths of their types.
fn read(row: &[u8]) -> Option<(Verdict, Numbers)> {
    let mut rest = row;
    let mut columns = [None; COLUMNS];
    let mut content = 0;
    for (place, column) in columns.iter_mut().enumerate() {
        *column = take_column(&mut rest)?;
        if place < SIGNATURE || (place == SIGNATURE && column.is_some()) {
            content = row.len() - rest.len();
        }
    }
    if !rest.is_empty() {
        return None;
    }
    let [
        _,
        _,
        series,
        customer,
        timestamp_us,
        cost_picocents,
        _,
        _,
        _,
        _,
        llm,
        ..,
        checksum,
    ] = columns;
    let verdict = match checksum {
        None => Verdict::Unverified,
        Some(stored) if *stored == of_encoded(&row[..content]).to_be_bytes() => Verdict::Verified,
        Some(_) => Verdict::Damaged,
    };
    let numbers = Numbers {
        timestamp_us: i64::from_be_bytes(timestamp_us?.try_into().ok()?),
        cost_picocents: match cost_picocents {
            Some(bytes) => i64::from_be_bytes(bytes.try_into().ok()?),
            None => 0,
        },
        customer: i32::from_be_bytes(customer?.try_into().ok()?),
        series: i32::from_be_bytes(series?.try_into().ok()?),
        // It is text unless the row is damaged.
        tokens: llm.and_then(|llm| str::from_utf8(llm).ok()).map(of_llm),
    };
    Some((verdict, numbers))
}

/// Takes a column off the front, which is `None` if it is null.
#[expect(clippy::option_option, reason = "no column is not a null column")]
pub(super) fn take_column<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (length, others) = rest.split_first_chunk()?;
    let length = i32::from_be_bytes(*length);
    if length == NULL {
        *rest = others;
        return Some(None);
    }
    let (bytes, others) = others.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = others;
    Some(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(signature: Option<i64>, checksum: impl Fn(&[u8]) -> Option<i32>) -> Vec<u8> {
        let mut row = Vec::new();
        for value in [
            Value::Uuid(&[7; 16]),
            Value::Int4(1),
            Value::Int4(2),
            Value::Int4(3),
            Value::Int8(-4),
            Value::Null,
            Value::Int8(5),
            Value::Null,
            Value::Text("ä"),
            Value::Text(""),
            Value::Null,
            Value::Text("{}"),
        ] {
            push_value(&mut row, value);
        }
        let mut content = row.clone();
        push_value(&mut row, signature.map_or(Value::Null, Value::Int8));
        if signature.is_some() {
            content.clone_from(&row);
        }
        let stored = checksum(&content);
        push_value(&mut row, stored.map_or(Value::Null, Value::Int4));
        row
    }

    fn verdict(row: &[u8]) -> Verdict {
        let mut rows = StoredRows::default();
        rows.add(row);
        assert_eq!(rows.verdicts.len(), 1);
        let numbers = usize::from(rows.verdicts[0] != Verdict::Damaged);
        assert_eq!(rows.timestamps_us.len(), numbers);
        rows.verdicts[0]
    }

    /// A row is verified by its checksum, and cannot be without one.
    #[test]
    fn rows_are_verified() {
        let whole = row(Some(-1), |content| Some(of_encoded(content)));
        assert_eq!(verdict(&whole), Verdict::Verified);
        let unsigned = row(None, |content| Some(of_encoded(content)));
        assert_eq!(verdict(&unsigned), Verdict::Verified);
        assert_eq!(verdict(&row(None, |_| None)), Verdict::Unverified);
        let mut rows = StoredRows::default();
        rows.add(&whole);
        assert_eq!(
            (
                rows.timestamps_us,
                rows.costs_picocents,
                rows.customers,
                rows.series
            ),
            (vec![-4], vec![0], vec![3], vec![2])
        );
    }

    /// No bit of a row can change unnoticed, and none of it can be missing.
    #[test]
    fn damage_is_noticed() {
        let whole = row(Some(5), |content| Some(of_encoded(content)));
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verdict(&flipped), Verdict::Damaged, "{bit}");
        }
        for end in 0..whole.len() {
            assert_eq!(verdict(&whole[..end]), Verdict::Damaged, "{end}");
        }
        assert_eq!(verdict(&[&whole[..], &[0]].concat()), Verdict::Damaged);
    }
}
