//! Canonical JSON: one way to write each value, so that equal metadata has
//! equal bytes.
//!
//! The digest of an event's content depends on these bytes: they must never
//! change.
#![forbid(unsafe_code)]

/// Whole numbers up to here, either way, have one double each.
pub const WHOLE_MAX: f64 = (1_u64 << 53) as f64;

/// Appends text in quotes. Only `"`, `\` and control characters are escaped.
pub fn push_text(out: &mut String, text: &str) {
    out.push('"');
    // Bytes that need escapes are ASCII, so they never lie inside a character.
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[start..at]);
        start = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            _ => push_escape(out, u32::from(byte)),
        }
    }
    out.push_str(&text[start..]);
    out.push('"');
}

/// Appends `\u` and four hexadecimal digits, of a character below U+10000.
pub fn push_escape(out: &mut String, code: u32) {
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        out.extend(char::from_digit(code >> shift & 0xf, 16));
    }
}

/// Appends a finite number: a whole one below 2⁵³ as an integer, any other in
/// the shortest form that reads back as the same double.
pub fn push_number(out: &mut String, number: f64) {
    // The cast drops a fraction and saturates beyond 63 bits.
    let whole = number as i64;
    if whole as f64 == number && number.abs() < WHOLE_MAX {
        push_integer(out, whole);
    } else {
        out.push_str(zmij::Buffer::new().format(number));
    }
}

/// Appends an integer.
pub fn push_integer(out: &mut String, number: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push('-');
    }
    out.extend(digits[at..].iter().map(|&digit| char::from(digit)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> String {
        let mut out = String::new();
        push_text(&mut out, text);
        out
    }

    fn number(number: f64) -> String {
        let mut out = String::new();
        push_number(&mut out, number);
        out
    }

    /// Only quotes, backslashes and control characters are escaped; all else is UTF-8.
    #[test]
    fn texts_are_escaped_as_little_as_possible() {
        for (from, to) in [
            ("", r#""""#),
            ("1080p", r#""1080p""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\n\t\u{1}\u{1f}", r#""\u000a\u0009\u0001\u001f""#),
            (
                "Größe 日本語 🤖 \u{7f}\u{2028}/",
                "\"Größe 日本語 🤖 \u{7f}\u{2028}/\"",
            ),
            ("\"", r#""\"""#),
        ] {
            assert_eq!(text(from), to);
        }
    }

    /// A whole number below 2⁵³ is an integer, so that 1 and 1.0 are the same content.
    #[test]
    fn whole_numbers_are_integers() {
        for (from, to) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-120.0, "-120"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (-9_007_199_254_740_991.0, "-9007199254740991"),
        ] {
            assert_eq!(number(from), to);
        }
    }

    /// Any other number has its shortest digits, in a form that must never change.
    #[test]
    fn other_numbers_are_shortest() {
        for (from, to) in [
            (1.5, "1.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (0.001, "0.001"),
            (0.00001, "0.00001"),
            (0.000001, "1e-6"),
            (1e-7, "1e-7"),
            (-2.5e-300, "-2.5e-300"),
            (9_007_199_254_740_992.0, "9007199254740992.0"),
            (1e15 + 0.5, "1000000000000000.5"),
            (1e16, "1e+16"),
            (123_456_789_012_345_680_000.0, "1.2345678901234568e+20"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(number(from), to);
        }
    }

    proptest! {
        /// Whatever is written, a JSON parser reads back.
        #[test]
        fn what_is_written_can_be_read(from: String) {
            prop_assert_eq!(serde_json::from_str::<String>(&text(&from)).unwrap(), from);
        }

        /// A number that is written reads back as the same double.
        #[test]
        fn numbers_that_are_written_can_be_read(from in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL) {
            prop_assert_eq!(number(from).parse::<f64>().unwrap(), from);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&number(from)).is_ok());
        }

        /// An integer is written as the standard library does.
        #[test]
        fn integers_like_the_standard_library(from: i64) {
            let mut out = String::new();
            push_integer(&mut out, from);
            prop_assert_eq!(out, from.to_string());
        }
    }
}
