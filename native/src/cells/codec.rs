//! Integers in as few bytes as they need: seven bits a byte, the lowest first, and
//! the sign of a signed one in the lowest bit.
//!
//! The written bytes are stored in the database, so the format must never change. Bytes
//! that were not written here are [`Damaged`]: they cause no panic and, because a
//! checksum seals them, are not read as other numbers.
#![forbid(unsafe_code)]

/// The bytes are not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl std::fmt::Display for Damaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stored cells are damaged")
    }
}

/// Writes an unsigned integer.
#[inline]
pub fn push_unsigned(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Writes a signed integer.
#[inline]
pub fn push_signed(out: &mut Vec<u8>, number: i64) {
    push_unsigned(out, (number << 1 ^ number >> 63) as u64);
}

/// The length of a checksum.
const SEAL_BYTES: usize = 4;

/// Ends what is written by its checksum, a CRC-32 with the lowest byte first.
pub fn seal(out: &mut Vec<u8>) {
    let checksum = crc32fast::hash(out);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Reads what the functions above have written, in the same order.
#[derive(Clone, Copy, Debug)]
pub struct Unpacker<'a> {
    rest: &'a [u8],
}

impl<'a> Unpacker<'a> {
    /// A reader of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// A reader of bytes that were sealed.
    pub fn unsealed(sealed: &'a [u8]) -> Result<Self, Damaged> {
        let (bytes, checksum) = sealed.split_last_chunk::<SEAL_BYTES>().ok_or(Damaged)?;
        if crc32fast::hash(bytes) == u32::from_le_bytes(*checksum) {
            Ok(Self::new(bytes))
        } else {
            Err(Damaged)
        }
    }

    /// A reader of sealed bytes whose seal was found whole before.
    pub fn known_whole(sealed: &'a [u8]) -> Result<Self, Damaged> {
        let (bytes, _) = sealed.split_last_chunk::<SEAL_BYTES>().ok_or(Damaged)?;
        Ok(Self::new(bytes))
    }

    /// The bytes that are not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything is read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte.
    #[inline]
    pub fn byte(&mut self) -> Result<u8, Damaged> {
        let (&byte, rest) = self.rest.split_first().ok_or(Damaged)?;
        self.rest = rest;
        Ok(byte)
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(Damaged)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// An unsigned integer.
    #[inline]
    pub fn unsigned(&mut self) -> Result<u64, Damaged> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Damaged);
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Damaged)
    }

    /// An unsigned integer of 32 bits.
    #[inline(always)]
    pub fn number(&mut self) -> Result<u32, Damaged> {
        // Nearly all have one byte or two.
        match *self.rest {
            [low @ 0..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(u32::from(low))
            }
            [low, high @ 0..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(u32::from(high) << 7 | u32::from(low & 0x7f))
            }
            _ => u32::try_from(self.unsigned()?).map_err(|_| Damaged),
        }
    }

    /// An unsigned integer that counts what follows, each of at least one byte: no
    /// damage makes anybody reserve more memory than there are bytes.
    pub fn count(&mut self) -> Result<usize, Damaged> {
        usize::try_from(self.unsigned()?)
            .ok()
            .filter(|&count| count <= self.rest.len())
            .ok_or(Damaged)
    }

    /// A signed integer.
    #[inline]
    pub fn signed(&mut self) -> Result<i64, Damaged> {
        let zigzag = self.unsigned()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Small numbers take one byte, and a sign costs one bit.
    #[test]
    fn bytes_of_small_numbers() {
        let mut out = Vec::new();
        push_unsigned(&mut out, 127);
        push_signed(&mut out, -64);
        push_unsigned(&mut out, 128);
        assert_eq!(out, [127, 127, 0x80, 1]);
    }

    /// Bytes that end too early or go on too long are damaged.
    #[test]
    fn damage_is_noticed() {
        for bytes in [&[][..], &[0x80], &[0xff; 11]] {
            assert_eq!(Unpacker::new(bytes).unsigned(), Err(Damaged));
            assert_eq!(Unpacker::new(bytes).signed(), Err(Damaged));
        }
        assert_eq!(
            Unpacker::new(&[0xff, 0xff, 0xff, 0xff, 0x7f]).number(),
            Err(Damaged)
        );
        assert_eq!(Unpacker::new(&[2, 0]).count(), Err(Damaged));
        assert_eq!(Unpacker::new(&[1]).bytes(2), Err(Damaged));
    }

    /// Whatever byte changes, is lost or is added: the seal breaks.
    #[test]
    fn seals_break() {
        let mut sealed = b"cells".to_vec();
        seal(&mut sealed);
        assert_eq!(Unpacker::unsealed(&sealed).unwrap().rest(), b"cells");
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut other = sealed.clone();
                other[at] ^= 1 << bit;
                assert!(Unpacker::unsealed(&other).is_err(), "{at} {bit}");
            }
            assert!(Unpacker::unsealed(&sealed[..at]).is_err(), "{at}");
        }
        sealed.push(0);
        assert!(Unpacker::unsealed(&sealed).is_err());
    }

    proptest! {
        /// Written numbers are read as they were, and nothing is left over.
        #[test]
        fn written_is_read(unsigned: u64, signed: i64) {
            let mut out = Vec::new();
            push_unsigned(&mut out, unsigned);
            push_signed(&mut out, signed);
            let mut unpacker = Unpacker::new(&out);
            prop_assert_eq!(unpacker.unsigned(), Ok(unsigned));
            prop_assert_eq!(unpacker.signed(), Ok(signed));
            prop_assert!(unpacker.is_empty());
        }
    }
}
