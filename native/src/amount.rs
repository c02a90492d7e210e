//! Amounts counted in picocents, 10⁻¹² of a cent.
//!
//! Text needing a thirteenth fractional digit is refused, never rounded, so a
//! sum of parsed amounts equals the sum on paper. Only a double, which cannot
//! hold most decimals, is rounded.
#![forbid(unsafe_code)]

use std::fmt::Write;

use crate::error::FaultKind;

/// The greatest amount of one event, in cents, either way.
pub const CENTS_MAX: i64 = 9_000_000;
/// How many significant digits an amount may have.
pub const DIGITS_MAX: u32 = 17;
/// How many of them may stand after the point.
pub const DECIMALS_MAX: u32 = 12;

const PER_CENT: u64 = 10_u64.pow(DECIMALS_MAX);
const PICOCENTS_MAX: u64 = CENTS_MAX.unsigned_abs() * PER_CENT;
const TEXT_BYTES_MAX: usize = 128;

/// The power of ten that the first digit of the greatest amount stands for.
const LEADING_MAX: i64 = CENTS_MAX.ilog10() as i64;
/// As many digits as the greatest amount has in picocents; they fit a u64.
const HEAD_DIGITS: u32 = PICOCENTS_MAX.ilog10() + 1;
/// Exponents further from zero than this mean the same as this.
const EXPONENT_MAX: i64 = 1_000_000;

/// A signed count of picocents of one event; `0.025` is `Picocents(25_000_000_000)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Picocents(i64);

impl Picocents {
    /// The count.
    pub fn get(self) -> i64 {
        self.0
    }
}

/// Reads a decimal number of cents exactly.
///
/// Grammar: blanks, sign, digits with an optional point, optional exponent,
/// blanks; all but one digit optional.
pub fn parse(text: &str) -> Result<Picocents, FaultKind> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(FaultKind::AmountMalformed);
    }
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    read(text).ok_or(FaultKind::AmountMalformed)?.exact()
}

/// Reads a double as its shortest decimal form that reads back as the same
/// double, rounded half-even to [`DECIMALS_MAX`] decimals.
///
/// Computed prices carry noise: 0.1 + 0.2 is 0.30000000000000004, which means 0.3.
pub fn round(number: f64) -> Result<Picocents, FaultKind> {
    if !number.is_finite() {
        return Err(FaultKind::AmountMalformed);
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(number);
    read(text).ok_or(FaultKind::AmountMalformed)?.rounded()
}

/// Writes picocents as cents, without trailing zeros and without an exponent.
pub fn format(picocents: i128) -> String {
    let per_cent = u128::from(PER_CENT);
    let magnitude = picocents.unsigned_abs();
    let (cents, fraction) = (magnitude / per_cent, magnitude % per_cent);
    let mut text = String::with_capacity(44);
    if picocents < 0 {
        text.push('-');
    }
    // Writing to a String cannot fail.
    let _ = write!(text, "{cents}");
    if fraction != 0 {
        let _ = write!(text, ".{fraction:0width$}", width = DECIMALS_MAX as usize);
        text.truncate(text.trim_end_matches('0').len());
    }
    text
}

/// A decimal number of any size, with as many of its digits as matter.
struct Decimal {
    negative: bool,
    /// The first significant digits, at most [`HEAD_DIGITS`], without trailing zeros.
    head: u64,
    /// How many significant digits there are, those after the head included.
    digits: u32,
    /// The power of ten that the last significant digit stands for.
    exponent: i64,
}

impl Decimal {
    /// The power of ten that the first significant digit stands for.
    fn leading(&self) -> i64 {
        self.exponent + i64::from(self.digits) - 1
    }

    /// The power of ten of a picocent's count that the last digit of the head stands for.
    fn head_shift(&self) -> i64 {
        let head_digits = i64::from(self.digits.min(HEAD_DIGITS));
        self.leading() - head_digits + 1 + i64::from(DECIMALS_MAX)
    }

    fn exact(&self) -> Result<Picocents, FaultKind> {
        if self.digits == 0 {
            return Ok(Picocents(0));
        }
        if self.leading() > LEADING_MAX {
            return Err(FaultKind::AmountOutOfRange);
        }
        // The range comes before the precision, also where digits lie beyond
        // the head: they cannot lift the number to the next picocent.
        let (floor, _) = scale(self.head, self.head_shift());
        let decimals = (-self.exponent).max(0);
        let beyond = decimals > i64::from(DECIMALS_MAX);
        if floor > PICOCENTS_MAX || (floor == PICOCENTS_MAX && beyond) {
            return Err(FaultKind::AmountOutOfRange);
        }
        if beyond || self.digits > DIGITS_MAX {
            return Err(FaultKind::AmountTooPrecise {
                digits: self.digits,
                decimals,
            });
        }
        self.signed(floor)
    }

    fn rounded(&self) -> Result<Picocents, FaultKind> {
        if self.digits == 0 {
            return Ok(Picocents(0));
        }
        if self.leading() > LEADING_MAX {
            return Err(FaultKind::AmountOutOfRange);
        }
        let (floor, rest) = scale(self.head, self.head_shift());
        let up = match rest {
            Rest::Half => floor % 2 == 1,
            Rest::Less => false,
            Rest::More => true,
        };
        self.signed(floor + u64::from(up))
    }

    fn signed(&self, magnitude: u64) -> Result<Picocents, FaultKind> {
        if magnitude > PICOCENTS_MAX {
            return Err(FaultKind::AmountOutOfRange);
        }
        let count = magnitude as i64;
        Ok(Picocents(if self.negative { -count } else { count }))
    }
}

/// What a division leaves, compared with half of the divisor.
enum Rest {
    Less,
    Half,
    More,
}

/// `head` × 10^`shift`, rounded down, and what that leaves.
///
/// The product must fit: `head` has at most [`HEAD_DIGITS`] − `shift` digits.
fn scale(head: u64, shift: i64) -> (u64, Rest) {
    let power = u32::try_from(shift.unsigned_abs())
        .ok()
        .and_then(|n| 10_u64.checked_pow(n));
    match power {
        Some(power) if shift >= 0 => (head.saturating_mul(power), Rest::Less),
        Some(power) => {
            let (floor, rest) = (head / power, head % power);
            // rest + rest could overflow; power − rest cannot.
            let rest = match rest.cmp(&(power - rest)) {
                std::cmp::Ordering::Less => Rest::Less,
                std::cmp::Ordering::Equal => Rest::Half,
                std::cmp::Ordering::Greater => Rest::More,
            };
            (floor, rest)
        }
        // 10²⁰ and above: more than twice any head.
        None => (0, Rest::Less),
    }
}

fn read(text: &str) -> Option<Decimal> {
    let (negative, rest) = sign(text.as_bytes());
    let (mut decimal, rest) = mantissa(rest)?;
    let (power, rest) = exponent(rest)?;
    decimal.negative = negative;
    decimal.exponent += power;
    rest.is_empty().then_some(decimal)
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// Digits with an optional point; at least one digit.
fn mantissa(text: &[u8]) -> Option<(Decimal, &[u8])> {
    let mut head = 0_u64;
    // Digits from the first that is not zero: all of them, and up to the last
    // that is not zero.
    let (mut seen, mut digits) = (0_u32, 0_u32);
    let mut decimals = 0_i64;
    let (mut point, mut any) = (false, false);
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'0'..=b'9' => {
                any = true;
                decimals += i64::from(point);
                if byte != b'0' || seen > 0 {
                    if seen < HEAD_DIGITS {
                        head = head * 10 + u64::from(byte - b'0');
                    }
                    seen += 1;
                    if byte != b'0' {
                        digits = seen;
                    }
                }
            }
            b'.' if !point => point = true,
            _ => break,
        }
        at += 1;
    }
    let zeros_in_head = seen.min(HEAD_DIGITS).saturating_sub(digits);
    let decimal = Decimal {
        negative: false,
        head: head / 10_u64.pow(zeros_in_head),
        digits,
        exponent: i64::from(seen - digits) - decimals,
    };
    any.then(|| (decimal, &text[at..]))
}

/// `e` with a whole number, or nothing.
fn exponent(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'e' | b'E', rest @ ..] = text else {
        return Some((0, text));
    };
    let (negative, rest) = sign(rest);
    let end = rest
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(rest.len());
    let (digits, rest) = rest.split_at(end);
    let power = digits.iter().fold(0, |power, byte| {
        EXPONENT_MAX.min(power * 10 + i64::from(byte - b'0'))
    });
    (!digits.is_empty()).then_some((if negative { -power } else { power }, rest))
}
