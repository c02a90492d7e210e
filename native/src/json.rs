//! Canonical JSON: one way to write each value, so that equal metadata has
//! equal bytes.
//!
//! The digest of an event's content depends on these bytes: they must never
//! change.
#![forbid(unsafe_code)]

use std::fmt::Write;

/// Whole numbers up to here, either way, have one double each.
const WHOLE_MAX: f64 = (1_u64 << 53) as f64;

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
    // Writing to a String cannot fail.
    let _ = write!(out, "\\u{code:04x}");
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
