//! The protobuf wire format: tags, varints, lengths, groups.
//!
//! Accepts and refuses what the generated classes do: a varint has at most ten
//! bytes and loses the bits beyond 64, a tag or a length has at most five, and
//! messages and groups lie at most [`DEPTH_MAX`] deep. Knows no message.
#![forbid(unsafe_code)]

/// How many messages and groups may lie inside each other.
pub const DEPTH_MAX: usize = 100;

const VARINT_BYTES_MAX: usize = 10;
const TAG_BYTES_MAX: usize = 5;

/// The bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What a field holds. A field of another wire type than its message says is
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
    /// How many messages this one lies in.
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
        let value = match wire_type {
            START_GROUP => {
                self.skip_group(number)?;
                Value::Skipped
            }
            END_GROUP => return Err(Malformed),
            _ => self.value(wire_type)?,
        };
        Ok(Some((number, value)))
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
            LENGTH_DELIMITED => {
                let length = self.varint(TAG_BYTES_MAX)?;
                let length = usize::try_from(length).map_err(|_| Malformed)?;
                self.take(length).map(Value::Bytes)
            }
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
