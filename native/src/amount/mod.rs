//! Amounts counted in picocents, 10⁻¹² of a cent.
//!
//! Text needing a thirteenth fractional digit is refused, never rounded, so a
//! sum of parsed amounts equals the sum on paper. Only a double, which cannot
//! hold most decimals, is rounded.
#![forbid(unsafe_code)]

use std::cmp::Ordering;
use std::fmt::Write;

pub mod column;
mod error;
pub mod sum;

pub use error::{AmountError, DECIMALS_MAX, DIGITS_MAX};

/// The greatest amount of one event, in cents, either way.
pub const CENTS_MAX: i64 = 9_000_000;
/// The greatest amount of an order, a refund or a subscription, in cents, either
/// way. An i128 holds the sum of 10¹¹ of them.
pub const MONEY_CENTS_MAX: i64 = 10_i64.pow(MONEY_LEADING_MAX);

const PER_CENT: u64 = 10_u64.pow(DECIMALS_MAX);
const PICOCENTS_MAX: u64 = CENTS_MAX.unsigned_abs() * PER_CENT;
const TEXT_BYTES_MAX: usize = 128;

/// The power of ten that the first digit of the greatest amount stands for.
const LEADING_MAX: i64 = CENTS_MAX.ilog10() as i64;
/// The power of ten that the first digit of the greatest amount of an order stands for.
const MONEY_LEADING_MAX: u32 = 15;
/// The number of digits of the greatest amount of an event in picocents; they fit a u64.
const HEAD_DIGITS: u32 = PICOCENTS_MAX.ilog10() + 1;
/// Exponents further from zero than this mean the same as this: it is more than any
/// text has digits that an exponent could take back.
const EXPONENT_MAX: i64 = 1 << 40;

const OUT_OF_RANGE: AmountError = AmountError::OutOfRange {
    cents_max: CENTS_MAX,
};
const MONEY_OUT_OF_RANGE: AmountError = AmountError::OutOfRange {
    cents_max: MONEY_CENTS_MAX,
};

/// A signed count of picocents of one event; `0.025` is `Picocents(25_000_000_000)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Picocents(i64);

impl Picocents {
    /// The count.
    pub fn get(self) -> i64 {
        self.0
    }
}

/// Reads a decimal number of cents exactly, as the amount of an event.
///
/// Grammar: blanks, sign, digits with an optional point, optional exponent,
/// blanks; all but one digit optional.
pub fn parse(text: &str) -> Result<Picocents, AmountError> {
    read_text(text)?.exact()
}

/// Reads a decimal number of cents exactly, as the amount of an order, a refund
/// or a subscription: the grammar and the precision of [`parse`], in picocents
/// that may need more than 64 bits.
pub fn parse_money(text: &str) -> Result<i128, AmountError> {
    read_text(text)?.exact_money()
}

/// Reads a double as its shortest decimal form that reads back as the same
/// double, rounded half-even to [`DECIMALS_MAX`] decimals.
///
/// Computed prices carry noise: 0.1 + 0.2 is 0.30000000000000004, which means 0.3.
pub fn round(number: f64) -> Result<Picocents, AmountError> {
    if !number.is_finite() {
        return Err(AmountError::Malformed);
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(number);
    read(text).ok_or(AmountError::Malformed)?.rounded()
}

/// Reads the digits of a JSON number, rounded half-even to [`DIGITS_MAX`] digits and
/// [`DECIMALS_MAX`] decimals, whichever comes first: once, from all of the digits.
///
/// A caller who writes a number instead of a text may have computed with doubles, so
/// the digits of a number are rounded as [`round`] rounds a double.
pub fn round_text(number: &str) -> Result<Picocents, AmountError> {
    read(number).ok_or(AmountError::Malformed)?.rounded()
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
    /// The number of significant digits, including those after the head.
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

    fn exact(&self) -> Result<Picocents, AmountError> {
        if self.digits == 0 {
            return Ok(Picocents(0));
        }
        if self.leading() > LEADING_MAX {
            return Err(OUT_OF_RANGE);
        }
        // The range comes before the precision, also where digits lie beyond
        // the head: they cannot lift the number to the next picocent.
        let (floor, _) = scale(self.head, self.head_shift());
        let beyond = self.decimals() > i64::from(DECIMALS_MAX);
        if floor > PICOCENTS_MAX || (floor == PICOCENTS_MAX && beyond) {
            return Err(OUT_OF_RANGE);
        }
        self.check_precision()?;
        self.signed(floor)
    }

    fn exact_money(&self) -> Result<i128, AmountError> {
        if self.digits == 0 {
            return Ok(0);
        }
        // The limit is a power of ten, so of the numbers with as many digits in
        // front of the point only the limit itself is not above it.
        let limit = (self.head, self.digits) == (1, 1);
        match self.leading().cmp(&i64::from(MONEY_LEADING_MAX)) {
            Ordering::Greater => return Err(MONEY_OUT_OF_RANGE),
            Ordering::Equal if !limit => return Err(MONEY_OUT_OF_RANGE),
            _ => {}
        }
        self.check_precision()?;
        // So precise a number has all its digits in the head, and the last of
        // them stands for 10⁻¹² to 10¹⁵ cents.
        let count = i128::from(self.head) * 10_i128.pow(self.head_shift() as u32);
        Ok(if self.negative { -count } else { count })
    }

    /// The number of digits after the point, without zeros at the end.
    fn decimals(&self) -> i64 {
        (-self.exponent).max(0)
    }

    fn check_precision(&self) -> Result<(), AmountError> {
        let (digits, decimals) = (self.digits, self.decimals());
        if digits > DIGITS_MAX || decimals > i64::from(DECIMALS_MAX) {
            return Err(AmountError::TooPrecise { digits, decimals });
        }
        Ok(())
    }

    fn rounded(&self) -> Result<Picocents, AmountError> {
        if self.digits == 0 {
            return Ok(Picocents(0));
        }
        if self.leading() > LEADING_MAX {
            return Err(OUT_OF_RANGE);
        }
        // The power of ten, in picocents, of the last digit that may stay.
        let last = self.leading() - i64::from(DIGITS_MAX) + 1 + i64::from(DECIMALS_MAX);
        let last = last.max(0);
        let (floor, rest) = scale(self.head, self.head_shift() - last);
        let up = match rest {
            // Digits beyond the head are not all zeros.
            Rest::Half => floor % 2 == 1 || self.digits > HEAD_DIGITS,
            Rest::Less => false,
            Rest::More => true,
        };
        self.signed((floor + u64::from(up)) * 10_u64.pow(last as u32))
    }

    fn signed(&self, magnitude: u64) -> Result<Picocents, AmountError> {
        if magnitude > PICOCENTS_MAX {
            return Err(OUT_OF_RANGE);
        }
        let count = magnitude as i64;
        Ok(Picocents(if self.negative { -count } else { count }))
    }
}

/// The remainder of a division, compared with half of the divisor.
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
                Ordering::Less => Rest::Less,
                Ordering::Equal => Rest::Half,
                Ordering::Greater => Rest::More,
            };
            (floor, rest)
        }
        // 10²⁰ and above: more than twice any head.
        None => (0, Rest::Less),
    }
}

fn read_text(text: &str) -> Result<Decimal, AmountError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(AmountError::Malformed);
    }
    read(text.trim_matches([' ', '\t', '\r', '\n'])).ok_or(AmountError::Malformed)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A slow twin of `parse`: the rules on lists of digits, one rule after the other.
    fn slow_parse(text: &str) -> Result<i64, &'static str> {
        slow_parse_up_to(CENTS_MAX, text).map(|picocents| picocents as i64)
    }

    fn slow_parse_up_to(cents_max: i64, text: &str) -> Result<i128, &'static str> {
        let malformed = Err("AMOUNT_MALFORMED");
        if text.len() > 128 {
            return malformed;
        }
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (number, power) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let power_digits = power.strip_prefix(['-', '+']).unwrap_or(power);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole)
            || !all_digits(fraction)
            || !all_digits(power_digits)
            || power_digits.is_empty()
            || whole.len() + fraction.len() == 0
        {
            return malformed;
        }
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Ok(0);
        }
        // No text that is short enough has as many digits as 2⁴⁰.
        let power_magnitude = match power_digits.trim_start_matches('0') {
            "" => 0,
            digits => digits.parse().unwrap_or(1 << 40).min(1 << 40),
        };
        let power = if power.starts_with('-') {
            -power_magnitude
        } else {
            power_magnitude
        };
        let trailing = digits.len() - digits.trim_end_matches('0').len();
        let exponent = power - fraction.len() as i64 + trailing as i64;
        // Digits in front of the point, and the whole of the number as a text of
        // its digits there: enough to compare with the limit.
        let in_front = exponent + significant.len() as i64;
        if in_front > 16 {
            return Err("AMOUNT_OUT_OF_RANGE");
        }
        let mut picocents = String::new();
        let mut lost = false;
        for (at, digit) in significant.chars().enumerate() {
            if in_front - at as i64 > -12 {
                picocents.push(digit);
            } else {
                lost = true;
            }
        }
        let zeros = (exponent + 12).max(0) as usize;
        let magnitude: i128 = format!("0{picocents}{}", "0".repeat(zeros))
            .parse()
            .unwrap();
        let limit = i128::from(cents_max) * 1_000_000_000_000;
        match magnitude.cmp(&limit) {
            Ordering::Greater => return Err("AMOUNT_OUT_OF_RANGE"),
            Ordering::Equal if lost => return Err("AMOUNT_OUT_OF_RANGE"),
            _ => {}
        }
        if lost || significant.len() > 17 {
            return Err("AMOUNT_TOO_PRECISE");
        }
        Ok(if text.starts_with('-') {
            -magnitude
        } else {
            magnitude
        })
    }

    /// A slow twin of `round`: the rules on the digits that the standard library finds.
    fn slow_round(number: f64) -> Result<i64, &'static str> {
        if !number.is_finite() {
            return Err("AMOUNT_MALFORMED");
        }
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap();
        let decimals = digits
            .split_once('.')
            .map_or(0, |(_, fraction)| fraction.len());
        let mut digits: i128 = digits.replace('.', "").parse().unwrap();
        // Where two shortest forms are equally near, Rust writes the greater one, and
        // everybody else the even one.
        let exact = format!("{:.60e}", number.abs()).replace('.', "");
        let even = digits.abs() - digits.abs() % 2;
        let halfway = exact.strip_prefix(&format!("{even}5"));
        if halfway.is_some_and(|rest| rest.starts_with("000000000000000000000000000000")) {
            digits = even * digits.signum();
        }
        let shift = exponent.parse::<i32>().unwrap() - decimals as i32 + 12;
        let magnitude = if digits == 0 || shift < -30 {
            0
        } else if shift > 20 {
            i128::MAX
        } else if shift >= 0 {
            digits.abs() * 10_i128.pow(shift as u32)
        } else {
            let divisor = 10_i128.pow(shift.unsigned_abs());
            let (floor, rest) = (digits.abs() / divisor, digits.abs() % divisor);
            floor + i128::from(2 * rest > divisor || 2 * rest == divisor && floor % 2 == 1)
        };
        if magnitude > i128::from(CENTS_MAX) * 1_000_000_000_000 {
            return Err("AMOUNT_OUT_OF_RANGE");
        }
        Ok(if number < 0.0 {
            -magnitude as i64
        } else {
            magnitude as i64
        })
    }

    fn outcome(result: Result<Picocents, AmountError>) -> Result<i64, &'static str> {
        result.map(Picocents::get).map_err(|kind| kind.reason())
    }

    fn money_outcome(text: &str) -> Result<i128, &'static str> {
        parse_money(text).map_err(|kind| kind.reason())
    }

    /// A refusal of too many digits tells which of the two kinds there are.
    #[test]
    fn precision_is_told() {
        let too_precise = |digits, decimals| Err(AmountError::TooPrecise { digits, decimals });
        assert_eq!(parse("1e-13"), too_precise(1, 13));
        assert_eq!(parse("123456.123456789012"), too_precise(18, 12));
        assert_eq!(parse("0.12345678901234567890"), too_precise(19, 19));
    }

    /// The constants follow from the limits.
    #[test]
    fn limits_hang_together() {
        assert_eq!(LEADING_MAX, 6);
        assert_eq!(HEAD_DIGITS, 19);
        assert!(i64::try_from(PICOCENTS_MAX).is_ok());
        assert!(10_u64.checked_pow(HEAD_DIGITS).is_some());
        const { assert!(DIGITS_MAX <= HEAD_DIGITS) };
        assert_eq!(MONEY_CENTS_MAX, 1_000_000_000_000_000);
        let sum = i128::from(MONEY_CENTS_MAX) * i128::from(PER_CENT);
        assert!(sum.checked_mul(100_000_000_000).is_some());
    }

    /// If two shortest forms are equally near, the even one is taken, as in Python and
    /// JavaScript.
    #[test]
    fn double_between_two_shortest_forms() {
        let number = 8_999_999.903_320_313;
        assert_eq!(outcome(round(number)), Ok(8_999_999_903_320_312_000));
        assert_eq!(outcome(round(number)), slow_round(number));
        assert_eq!(outcome(round(-number)), slow_round(-number));
    }

    /// An exponent takes back any number of zeros that the text writes.
    #[test]
    fn exponents_beyond_a_million() {
        let zeros = "0".repeat(1_500_000);
        let one = Ok(Picocents(1_000_000_000_000));
        assert_eq!(round_text(&format!("0.{zeros}1e1500001")), one);
        assert_eq!(round_text(&format!("1{zeros}e-1500000")), one);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// Any text of the grammar is read as the slow twin reads it.
        #[test]
        fn texts_of_the_grammar(
            text in "[ \t\r\n]{0,2}[-+]?[0-9]{0,9}(\\.[0-9]{0,20})?([eE][-+]?[0-9]{1,3})?[ \t\r\n]{0,2}",
        ) {
            prop_assert_eq!(outcome(parse(&text)), slow_parse(&text));
        }

        /// Zeros anywhere, and exponents that undo them, change nothing but the form.
        #[test]
        fn texts_full_of_zeros(text in "-?0{0,40}[0-9]{0,8}0{0,30}\\.?0{0,30}[0-9]{0,13}0{0,20}e-?[0-9]{1,30}") {
            prop_assert_eq!(outcome(parse(&text)), slow_parse(&text));
        }

        /// Texts about as great as the limit are on the right side of it.
        #[test]
        fn texts_at_the_limit(text in "-?(9|8|90|89)(0{5,6}|9{5,6})(\\.(0{0,14}|9{0,14})[0-9]{0,2})?(e-?[01])?") {
            prop_assert_eq!(outcome(parse(&text)), slow_parse(&text));
        }

        /// Any text at all is read or refused as by the slow twin.
        #[test]
        fn any_text(text in "[-+0-9.eE \t_,xnaif٣]{0,12}|.{0,20}") {
            prop_assert_eq!(outcome(parse(&text)), slow_parse(&text));
        }

        /// Any text is read as the amount of an order as the slow twin reads it.
        #[test]
        fn texts_of_money(
            text in "[ \t\r\n]{0,2}[-+]?[0-9]{0,18}(\\.[0-9]{0,20})?([eE][-+]?[0-9]{1,2})?|[-+0-9.eE \t_,xnaif٣]{0,12}",
        ) {
            prop_assert_eq!(money_outcome(&text), slow_parse_up_to(MONEY_CENTS_MAX, &text));
        }

        /// Texts about as great as the limit of an order are on the right side of it.
        #[test]
        fn texts_of_money_at_the_limit(text in "-?(1|10|9|99)(0{13,15}|9{13,15})(\\.(0{0,14}|9{0,14})[0-9]{0,2})?(e-?[01])?") {
            prop_assert_eq!(money_outcome(&text), slow_parse_up_to(MONEY_CENTS_MAX, &text));
        }

        /// Any double is rounded as the slow twin rounds it.
        #[test]
        fn any_double(number in prop::num::f64::ANY) {
            prop_assert_eq!(outcome(round(number)), slow_round(number));
        }

        /// Doubles near the last decimal and near the limit are rounded to the even neighbour.
        #[test]
        fn doubles_where_it_matters(
            number in prop_oneof![
                (-1_000_000_i64..1_000_000).prop_map(|halves| halves as f64 * 5e-13),
                -1e-9..1e-9,
                -10.0..10.0,
                8_999_999.9..9_000_000.1,
            ],
        ) {
            prop_assert_eq!(outcome(round(number)), slow_round(number));
        }

        /// A written amount reads back as the same amount, if it has few enough digits.
        #[test]
        fn what_is_written_can_be_read(count in -90_000_000_000_000_000_i64..=90_000_000_000_000_000, scale in 0_u32..3) {
            let picocents = count * 10_i64.pow(scale);
            prop_assume!(picocents.unsigned_abs() <= PICOCENTS_MAX);
            let text = format(picocents.into());
            prop_assert!(!text.contains('e'));
            prop_assert!(!text.contains('.') || !text.ends_with(['0', '.']));
            match slow_parse(&text) {
                Ok(read) => prop_assert_eq!(read, picocents),
                Err(reason) => prop_assert_eq!(reason, "AMOUNT_TOO_PRECISE"),
            }
            prop_assert_eq!(outcome(parse(&text)), slow_parse(&text));
        }
    }
}
