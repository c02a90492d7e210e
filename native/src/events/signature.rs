//! Signatures of metadata, by which most events without a given member are told apart without
//! reading the metadata itself.
//!
//! A signature is a small Bloom filter: each member sets four of 64 bits, which are four times six
//! bits of the CRC-32 of its canonical JSON, `"key":value`. It is stored, so the way it is computed
//! must never change.
#![forbid(unsafe_code)]

use crate::json;

const BITS_OF_MEMBER: u32 = 4;

/// The bits that a member sets, given as it stands in the metadata.
pub fn of_member(member: &str) -> u64 {
    let hash = crc32fast::hash(member.as_bytes());
    (0..BITS_OF_MEMBER).fold(0, |bits, place| bits | 1 << (hash >> (6 * place) & 63))
}

/// A value of metadata.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the types of JSON")]
pub enum Value<'a> {
    Text(&'a str),
    Number(f64),
    Bool(bool),
}

/// The bits that a key with a value sets.
pub fn of_pair(key: &str, value: Value<'_>) -> u64 {
    let mut member = String::new();
    json::push_text(&mut member, key);
    member.push(':');
    match value {
        Value::Text(text) => json::push_text(&mut member, text),
        Value::Number(number) => json::push_number(&mut member, number),
        Value::Bool(flag) => member.push_str(if flag { "true" } else { "false" }),
    }
    of_member(&member)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member sets at most four bits, whichever way it was written, and unlike values others.
    #[test]
    fn members() {
        let number = of_pair("units", Value::Number(1_000.0));
        assert_eq!(number, of_member("\"units\":1000"));
        let others = [
            of_pair("units", Value::Text("1000")),
            of_pair("units", Value::Number(1_000.5)),
            of_pair("units", Value::Bool(true)),
            of_pair("unit", Value::Number(1_000.0)),
        ];
        for bits in others {
            assert!((1..=4).contains(&bits.count_ones()));
            assert_ne!(bits, number);
        }
        assert_eq!(
            of_pair("a", Value::Number(-0.0)),
            of_pair("a", Value::Number(0.0))
        );
    }
}
