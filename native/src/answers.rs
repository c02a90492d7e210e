//! The periods of answers, as messages of protobuf.
//!
//! Answers of many groups hold hundreds of thousands of numbers, and to write a number
//! as text into a message, field by field, takes longer than to find it out.
#![forbid(unsafe_code)]

use crate::amount;
use crate::cells::codec::push_unsigned;

/// The numbers of a field, one a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// Picocents, written as decimal text of cents.
    Amounts(Vec<i128>),
    /// Written as `int64`.
    Counts(Vec<i64>),
}

/// The field of a period that says when it starts.
const START: u32 = 1;

const VARINT: u64 = 0;
const BYTES: u64 = 2;

/// Writes a repeated field of messages: one for each start, with the number of each
/// (field, column) at that place. Every column is as long as `starts`.
pub fn write(field: u32, starts: &[&str], columns: &[(u32, Column)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut period = Vec::new();
    for (place, start) in starts.iter().enumerate() {
        period.clear();
        push_bytes(&mut period, START, start.as_bytes());
        for (field, column) in columns {
            match column {
                Column::Amounts(numbers) => {
                    push_bytes(
                        &mut period,
                        *field,
                        amount::format(numbers[place]).as_bytes(),
                    );
                }
                Column::Counts(numbers) => {
                    push_tag(&mut period, *field, VARINT);
                    // A negative number has ten bytes: those of its 64 bits.
                    push_unsigned(&mut period, numbers[place] as u64);
                }
            }
        }
        push_bytes(&mut out, field, &period);
    }
    out
}

fn push_tag(out: &mut Vec<u8>, field: u32, kind: u64) {
    push_unsigned(out, u64::from(field) << 3 | kind);
}

fn push_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    push_tag(out, field, BYTES);
    push_unsigned(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes are those that the wire format asks for.
    #[test]
    fn bytes_of_a_period() {
        let columns = [
            (10, Column::Amounts(vec![0, -1_500_000_000_000])),
            (20, Column::Counts(vec![300, -1])),
        ];
        let mut expected = vec![0x0a, 11, 0x0a, 1, b'a', 0x52, 1, b'0', 0xa0, 1, 0xac, 2];
        expected[1] = (expected.len() - 2) as u8;
        let mut second = vec![0x0a, 0, 0x0a, 1, b'b', 0x52, 4];
        second.extend(b"-1.5");
        second.extend([0xa0, 1]);
        second.extend([[0xff; 9].as_slice(), &[1]].concat());
        second[1] = (second.len() - 2) as u8;
        expected.extend(second);
        assert_eq!(write(1, &["a", "b"], &columns), expected);
        assert!(write(1, &[], &[]).is_empty());
        assert_eq!(write(2, &["a"], &[]), [0x12, 3, 0x0a, 1, b'a']);
    }
}
