//! A column of amounts: many texts, one after the other, and where each ends.
//!
//! Most texts are plain: perhaps a minus, a few digits, perhaps a point and a few
//! more digits. They are read eight digits at a time and without a branch on how
//! many there are, which no processor foresees. All others go to
//! [`parse`](super::parse); where both can read a text they read the same.
#![forbid(unsafe_code)]

use std::fmt;

use super::{AmountError, DECIMALS_MAX, DIGITS_MAX, PER_CENT, parse};

/// The number of faults of one column that are kept.
pub const FAULTS_MAX: usize = 100;

/// Why a column was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnError {
    /// The text with this place ends before it starts, or behind all text.
    EndMisplaced(usize),
    /// The text goes on after the last end, by this number of bytes.
    TextLeft(usize),
    /// Some texts are not amounts: the faults of the first [`FAULTS_MAX`] of them.
    Faults(Vec<TextFault>),
}

/// A text of a column that is not an amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFault {
    /// The place of the text in the column.
    pub place: usize,
    /// The text.
    pub text: Vec<u8>,
    /// The error of the text; `None` if it is not UTF-8.
    pub error: Option<AmountError>,
}

impl fmt::Display for ColumnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndMisplaced(place) => write!(
                f,
                "text {place} must end neither before it starts nor behind all text"
            ),
            Self::TextLeft(bytes) => {
                write!(f, "{bytes} bytes stand behind the last text; none may")
            }
            Self::Faults(faults) => write!(f, "{} texts or more are no amounts", faults.len()),
        }
    }
}

/// Reads each text into the place of `amounts` that has its own, as the bytes of a
/// native i64. `ends` tells where in `text` each of them ends, which is where the next
/// one starts; there must be as many as there are amounts.
pub fn parse_column(text: &[u8], ends: &[u32], amounts: &mut [[u8; 8]]) -> Result<(), ColumnError> {
    let mut faults = Vec::new();
    let mut rest = text;
    let mut start = 0;
    // By place: with iterators of both, every step goes through memory, a tenth slower.
    for place in 0..ends.len().min(amounts.len()) {
        let end = ends[place];
        let length = (end as usize).checked_sub(start);
        let Some((one, after)) = length.and_then(|length| rest.split_at_checked(length)) else {
            return Err(ColumnError::EndMisplaced(place));
        };
        let read = match rest {
            [b'-', digits @ ..] => plain(digits, one.len().wrapping_sub(1)).map(|read| -read),
            digits => plain(digits, one.len()),
        };
        let read = read.unwrap_or_else(|| parse_other(place, one, &mut faults));
        amounts[place] = read.to_ne_bytes();
        (rest, start) = (after, end as usize);
    }
    if !rest.is_empty() {
        return Err(ColumnError::TextLeft(rest.len()));
    }
    if !faults.is_empty() {
        return Err(ColumnError::Faults(faults));
    }
    Ok(())
}

/// The picocents of a text that is not plain, or zero and a fault.
#[cold]
#[inline(never)]
fn parse_other(place: usize, text: &[u8], faults: &mut Vec<TextFault>) -> i64 {
    let amount = str::from_utf8(text)
        .map_err(|_| None)
        .and_then(|text| parse(text).map_err(Some));
    match amount {
        Ok(amount) => return amount.get(),
        Err(error) if faults.len() < FAULTS_MAX => {
            let text = text.to_vec();
            faults.push(TextFault { place, text, error });
        }
        Err(_) => {}
    }
    0
}

/// The most digits that a plain text has before the point: together with all decimals
/// they are within the limit, and the point lies within the first eight bytes.
const WHOLE_DIGITS_MAX: usize = (DIGITS_MAX - DECIMALS_MAX) as usize;

/// The bytes that [`plain`] looks at: the digits before the point, the point, the decimals.
const WINDOW_BYTES: usize = WHOLE_DIGITS_MAX + 1 + DECIMALS_MAX as usize;

/// The picocents of the text of that length at the start of `text`, if it is plain,
/// has no sign, and enough follows it.
#[inline(always)]
fn plain(text: &[u8], length: usize) -> Option<i64> {
    let window = text.first_chunk::<WINDOW_BYTES>()?;
    let head = u64::from_le_bytes(*window.first_chunk()?);
    // A point behind the text's end belongs to another text.
    let whole_digits = first_point(head).min(length);
    if whole_digits.wrapping_sub(1) >= WHOLE_DIGITS_MAX {
        return None;
    }
    let (upper_mask, lower_mask) = DECIMAL_MASKS.get(length - whole_digits)?;
    // The lowest byte is the first digit. Shifting the last digit of the whole to the
    // highest byte brings zeros in front of it; cutting off what is not the text's
    // leaves zeros behind the decimals.
    let whole = (head ^ ZEROS) << (64 - 8 * whole_digits);
    let tail = &window[whole_digits + 1..];
    let (upper, lower) = (tail.first_chunk()?, tail[8..].first_chunk()?);
    let upper = (u64::from_le_bytes(*upper) ^ ZEROS) & upper_mask;
    let lower = (u32::from_le_bytes(*lower) ^ ZEROS as u32) & lower_mask;
    if not_digits(whole) | not_digits(upper) | not_digits(lower.into()) != 0 {
        return None;
    }
    let cents = number(whole) * PER_CENT;
    Some((cents + number(upper) * 10_000 + short_number(lower)) as i64)
}

/// A byte of each place.
const ONES: u64 = u64::from_ne_bytes([1; 8]);
/// Turns characters into digits, by exclusive or.
const ZEROS: u64 = b'0' as u64 * ONES;

/// The digits to keep of twelve, by the number of bytes of the point and the decimals.
const DECIMAL_MASKS: [(u64, u32); DECIMALS_MAX as usize + 2] = {
    let mut masks = [(0, 0); DECIMALS_MAX as usize + 2];
    let mut decimals = 1;
    while decimals < masks.len() - 1 {
        let mask = (1_u128 << (8 * decimals)) - 1;
        masks[decimals + 1] = (mask as u64, (mask >> 64) as u32);
        decimals += 1;
    }
    masks
};

/// The place of the first point of eight characters; eight if there is none.
fn first_point(characters: u64) -> usize {
    // The lowest byte that is zero borrows from its highest bit; those above it may
    // falsely do so too.
    let others = characters ^ (b'.' as u64 * ONES);
    let points = others.wrapping_sub(ONES) & !others & (0x80 * ONES);
    points.trailing_zeros() as usize / 8
}

/// A number that is not zero if one of eight digits is above nine.
fn not_digits(digits: u64) -> u64 {
    // 6 more than 9 reaches the upper half of a byte. A carry out of a byte comes
    // only from one that was too great itself.
    (digits.wrapping_add(6 * ONES) | digits) & (0xf0 * ONES)
}

/// The number of eight digits, of which the lowest byte is the first. Twice as many
/// digits are put together each time: the first times ten and a hundred and so on,
/// by a multiplication, comes to lie where the last are.
fn number(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000 << 32 | 1) >> 32
}

/// The number that four digits stand for.
fn short_number(digits: u32) -> u64 {
    let pairs = digits.wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff;
    (pairs.wrapping_mul(100 << 16 | 1) >> 16).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(texts: &[impl AsRef<[u8]>]) -> (Vec<u8>, Vec<u32>) {
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for one in texts {
            text.extend(one.as_ref());
            ends.push(text.len() as u32);
        }
        (text, ends)
    }

    fn parse_all(texts: &[impl AsRef<[u8]>]) -> Result<Vec<i64>, ColumnError> {
        let (text, ends) = column(texts);
        let mut amounts = vec![[0; 8]; ends.len()];
        parse_column(&text, &ends, &mut amounts)?;
        Ok(amounts.into_iter().map(i64::from_ne_bytes).collect())
    }

    /// Parses each text on its own, as the slow twin of [`parse_all`].
    fn parse_each(texts: &[impl AsRef<str>]) -> Result<Vec<i64>, ColumnError> {
        let (mut amounts, mut faults) = (Vec::new(), Vec::new());
        for (place, one) in texts.iter().map(AsRef::as_ref).enumerate() {
            match parse(one) {
                Ok(amount) => amounts.push(amount.get()),
                Err(error) => faults.push(TextFault {
                    place,
                    text: one.as_bytes().to_vec(),
                    error: Some(error),
                }),
            }
        }
        if faults.is_empty() {
            Ok(amounts)
        } else {
            faults.truncate(FAULTS_MAX);
            Err(ColumnError::Faults(faults))
        }
    }

    /// Plain texts are taken where enough follows, and no other: the fast path is
    /// there, and does not do the slow one's work.
    #[test]
    fn plain_texts() {
        let read = |text: &str| plain(format!("{text}{}", "9.".repeat(9)).as_bytes(), text.len());
        for (text, picocents) in [
            ("0", 0),
            ("0.0", 0),
            ("7", 7_000_000_000_000),
            ("5.", 5_000_000_000_000),
            ("0.025", 25_000_000_000),
            ("0.000000000001", 1),
            ("01234.5", 1_234_500_000_000_000),
            ("99999.999999999999", 99_999_999_999_999_999),
        ] {
            assert_eq!(read(text), Some(picocents), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "-1",
            ".5",
            "+1",
            " 1",
            "1 ",
            "1e2",
            "1.5e",
            "1..5",
            "1.5.",
            "--1",
            "1/5",
            "1:5",
            "1.0:",
            "100000",
            "1234567.5",
            "12345678",
            "0.0000000000000",
            "x",
            "1.00000000x",
            "\u{130}",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    /// A text so close to the end that too little follows is read all the same.
    #[test]
    fn the_last_texts() {
        for count in 0..40 {
            let texts: Vec<String> = (0..count).map(|n| format!("-{n}.{n:02}")).collect();
            let expected: Vec<i64> = (0..count)
                .map(|n| -(n * 1_000_000_000_000 + n * 10_000_000_000))
                .collect();
            assert_eq!(parse_all(&texts), Ok(expected));
        }
    }

    /// A text that is no amount is told by its place, and the reading goes on.
    #[test]
    fn faults_have_places() {
        let Err(ColumnError::Faults(faults)) = parse_all(&["1", "x", "", "2", "1e-13"]) else {
            panic!("not refused");
        };
        let found: Vec<_> = faults
            .iter()
            .map(|fault| (fault.place, fault.error.map(|error| error.reason())))
            .collect();
        let expected = [
            (1, Some("AMOUNT_MALFORMED")),
            (2, Some("AMOUNT_MALFORMED")),
            (4, Some("AMOUNT_TOO_PRECISE")),
        ];
        assert_eq!(found, expected);
        assert_eq!(faults[0].text, b"x");
    }

    /// Bytes that are not UTF-8, or an end inside a character, are faults like others.
    #[test]
    fn bytes_that_are_no_text() {
        for texts in [[&b"\xff"[..], b"\x80"], [b"\xc3", b"\xbc"]] {
            let Err(ColumnError::Faults(faults)) = parse_all(&texts) else {
                panic!("not refused");
            };
            assert_eq!(faults.len(), 2);
            for fault in faults {
                assert_eq!(fault.error, None);
            }
        }
    }

    /// Only the first hundred faults are kept.
    #[test]
    fn faults_are_bounded() {
        assert_eq!(parse_all(&["x"; 300]), parse_each(&["x"; 300]));
    }

    /// Ends that do not fit the text are refused in words.
    #[test]
    fn ends_are_checked() {
        assert_eq!(parse_column(b"", &[], &mut []), Ok(()));
        for (text, ends, words) in [
            (
                "12",
                &[1, 0][..],
                "text 1 must end neither before it starts nor behind all text",
            ),
            (
                "12",
                &[3],
                "text 0 must end neither before it starts nor behind all text",
            ),
            (
                "12",
                &[u32::MAX, 2],
                "text 0 must end neither before it starts nor behind all text",
            ),
            ("123", &[1], "2 bytes stand behind the last text; none may"),
            ("123", &[], "3 bytes stand behind the last text; none may"),
        ] {
            let error = parse_column(text.as_bytes(), ends, &mut [[0; 8]; 2]).unwrap_err();
            assert_eq!(error.to_string(), words);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        /// Plain texts are read as each would be alone.
        #[test]
        fn plain_texts_like_single_ones(
            texts in prop::collection::vec("-?[0-9]{1,6}(\\.[0-9]{0,12})?", 0..20),
        ) {
            prop_assert_eq!(parse_all(&texts), parse_each(&texts));
        }

        /// Texts at the edges of what is plain are read, or refused, as each would be alone.
        #[test]
        fn edges_like_single_ones(
            texts in prop::collection::vec("[-+ ]{0,2}[0-9]{0,9}\\.{0,2}[0-9:/]{0,14}([eE ][0-9]?)?", 0..20),
        ) {
            prop_assert_eq!(parse_all(&texts), parse_each(&texts));
        }

        /// Any texts are read, or refused, as each would be alone.
        #[test]
        fn any_texts_like_single_ones(
            texts in prop::collection::vec("[-+0-9.]{0,4}|[-0-9.eE x٣\u{0}]{0,24}|.{0,9}", 0..20),
        ) {
            prop_assert_eq!(parse_all(&texts), parse_each(&texts));
        }

        /// Any bytes and ends are read or refused.
        #[test]
        fn any_bytes(text in prop::collection::vec(any::<u8>(), 0..60), ends in prop::collection::vec(0_u32..70, 0..9)) {
            let _ = parse_column(&text, &ends, &mut vec![[0; 8]; ends.len()]);
        }
    }
}
