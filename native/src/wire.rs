//! The protobuf wire format: tags, varints, lengths, groups.
//!
//! Accepts and refuses what the generated classes do: a varint has at most ten
//! bytes and loses the bits beyond 64, a tag or a length has at most five, and
//! messages and groups lie at most [`DEPTH_MAX`] deep. Knows no message.
#![forbid(unsafe_code)]

/// The depth to which messages and groups may be nested.
pub const DEPTH_MAX: usize = 100;

const VARINT_BYTES_MAX: usize = 10;
const TAG_BYTES_MAX: usize = 5;

/// The bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The value of a field. A field of another wire type than its message says is
/// unknown, as are groups, which no message of today has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2: text, bytes or a message.
    Bytes(&'a [u8]),
    /// A group or wire type 5, skipped.
    Skipped,
}

/// Reads the fields of one message, in order.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// The number of messages around this one.
    depth: usize,
}

impl<'a> Reader<'a> {
    /// A reader of a message that lies in no other.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            depth: 0,
        }
    }

    /// A reader of a message that is a field of this one.
    pub fn inside(&self, bytes: &'a [u8]) -> Result<Self, Malformed> {
        if self.depth >= DEPTH_MAX {
            return Err(Malformed);
        }
        Ok(Self {
            rest: bytes,
            depth: self.depth + 1,
        })
    }

    /// The number and the value of the next field; `None` at the end.
    #[inline(always)]
    pub fn next_field(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.tag()?;
        // Nearly all fields are of this type: asked for first, it needs no table of
        // jumps, which are harder to foresee.
        let value = if wire_type == LENGTH_DELIMITED {
            Value::Bytes(self.bytes()?)
        } else {
            self.other_value(number, wire_type)?
        };
        Ok(Some((number, value)))
    }

    #[inline(always)]
    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.varint(TAG_BYTES_MAX)?;
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        self.take(length)
    }

    #[inline(always)]
    fn other_value(&mut self, number: u32, wire_type: u8) -> Result<Value<'a>, Malformed> {
        match wire_type {
            START_GROUP => {
                self.skip_group(number)?;
                Ok(Value::Skipped)
            }
            END_GROUP => Err(Malformed),
            _ => self.value(wire_type),
        }
    }

    #[inline(always)]
    fn tag(&mut self) -> Result<(u32, u8), Malformed> {
        let tag = u32::try_from(self.varint(TAG_BYTES_MAX)?).map_err(|_| Malformed)?;
        match tag >> 3 {
            0 => Err(Malformed),
            number => Ok((number, (tag & 7) as u8)),
        }
    }

    #[inline(always)]
    fn value(&mut self, wire_type: u8) -> Result<Value<'a>, Malformed> {
        match wire_type {
            VARINT => self.varint(VARINT_BYTES_MAX).map(Value::Varint),
            FIXED64 => {
                let (bytes, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
                self.rest = rest;
                Ok(Value::Fixed64(u64::from_le_bytes(*bytes)))
            }
            LENGTH_DELIMITED => self.bytes().map(Value::Bytes),
            FIXED32 => self.take(4).map(|_| Value::Skipped),
            _ => Err(Malformed),
        }
    }

    #[inline(always)]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(bytes)
    }

    #[inline(always)]
    fn varint(&mut self, bytes_max: usize) -> Result<u64, Malformed> {
        if let [byte @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint(bytes_max)
    }

    fn long_varint(&mut self, bytes_max: usize) -> Result<u64, Malformed> {
        let mut value = 0;
        for (at, &byte) in self.rest.iter().take(bytes_max).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// Skips to the end of a group whose start has been read. Keeps the open
    /// groups on a list and not on the call stack, whose end would be a crash.
    #[cold]
    fn skip_group(&mut self, number: u32) -> Result<(), Malformed> {
        let mut open = vec![number];
        while let Some(&innermost) = open.last() {
            if self.depth + open.len() > DEPTH_MAX {
                return Err(Malformed);
            }
            let (number, wire_type) = self.tag()?;
            match wire_type {
                START_GROUP => open.push(number),
                END_GROUP if number == innermost => drop(open.pop()),
                END_GROUP => return Err(Malformed),
                _ => drop(self.value(wire_type)?),
            }
        }
        Ok(())
    }
}

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;
const START_GROUP: u8 = 3;
const END_GROUP: u8 = 4;
const FIXED32: u8 = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut fields = Vec::new();
        while let Some(field) = reader.next_field()? {
            fields.push(field);
        }
        Ok(fields)
    }

    /// Every wire type is read, and what this crate has no field of is skipped.
    #[test]
    fn wire_types() {
        assert_eq!(fields(b""), Ok(vec![]));
        assert_eq!(fields(b"\x08\x96\x01"), Ok(vec![(1, Value::Varint(150))]));
        assert_eq!(fields(b"\x12\x02hi"), Ok(vec![(2, Value::Bytes(b"hi"))]));
        assert_eq!(
            fields(b"\x19\x01\0\0\0\0\0\0\0"),
            Ok(vec![(3, Value::Fixed64(1))])
        );
        assert_eq!(fields(b"\x25\x01\0\0\0"), Ok(vec![(4, Value::Skipped)]));
        assert_eq!(
            fields(b"\x2b\x08\x01\x13\x14\x2c"),
            Ok(vec![(5, Value::Skipped)])
        );
    }

    /// Varints, tags and lengths are as long, and as sloppy, as the generated classes take them.
    #[test]
    fn varints_at_their_limits() {
        let after = |tag: u8, bytes: &[u8]| [&[tag], bytes].concat();
        let zeros = |count| [vec![0x80; count], vec![0]].concat();
        let varint = after(0x08, &zeros(9));
        assert_eq!(fields(&varint), Ok(vec![(1, Value::Varint(0))]));
        assert_eq!(fields(&after(0x08, &zeros(10))), Err(Malformed));
        let ones = after(0x08, &[&[0xff; 9][..], b"\x7f"].concat());
        let greatest = Value::Varint(u64::MAX);
        assert_eq!(
            fields(&ones),
            Ok(vec![(1, greatest)]),
            "bits beyond 64 are lost"
        );

        let empty = after(0x0a, &zeros(4));
        assert_eq!(fields(&empty), Ok(vec![(1, Value::Bytes(b""))]));
        assert_eq!(fields(&after(0x0a, &zeros(5))), Err(Malformed));
        assert_eq!(
            fields(b"\x0a\x80\x80\x80\x80\x10"),
            Err(Malformed),
            "2³² bytes are not there"
        );

        assert_eq!(
            fields(b"\x88\x80\x80\x80\x00\x01"),
            Ok(vec![(1, Value::Varint(1))])
        );
        assert_eq!(fields(b"\x88\x80\x80\x80\x80\x00\x01"), Err(Malformed));
        let greatest = (1 << 29) - 1;
        assert_eq!(
            fields(b"\xf8\xff\xff\xff\x0f\x01"),
            Ok(vec![(greatest, Value::Varint(1))])
        );
        assert_eq!(
            fields(b"\x88\x80\x80\x80\x10\x01"),
            Err(Malformed),
            "a tag has 32 bits"
        );
    }

    /// Bytes that end too early or mean nothing are malformed.
    #[test]
    fn malformed_bytes() {
        for bytes in [
            &b"\x08"[..],
            b"\x08\x80",
            b"\x0a\x05a",
            b"\x11\0",
            b"\x15\0\0",
            b"\x00\x01",
            b"\x02\x00",
            b"\x0e",
            b"\x0f",
            b"\x0c",
            b"\x0b",
            b"\x0b\x14",
            b"\x0b\x0e\x0c",
        ] {
            assert_eq!(fields(bytes), Err(Malformed), "{bytes:x?}");
        }
    }

    /// Groups and messages together lie at most a hundred deep, and cost no stack.
    #[test]
    fn depth_is_bounded() {
        let groups = |depth| [vec![0x0b; depth], vec![0x0c; depth]].concat();
        assert!(fields(&groups(DEPTH_MAX)).is_ok());
        assert_eq!(fields(&groups(DEPTH_MAX + 1)), Err(Malformed));
        assert_eq!(fields(&groups(1_000_000)), Err(Malformed));

        let bytes = groups(1);
        let mut reader = Reader::new(&bytes);
        for _ in 0..DEPTH_MAX {
            reader = reader.inside(&bytes).unwrap();
        }
        assert_eq!(reader.inside(&bytes).err(), Some(Malformed));
        assert_eq!(reader.next_field(), Err(Malformed));
    }

    proptest! {
        /// Any bytes are read to their end or found malformed.
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let _ = fields(&bytes);
        }
    }
}
