//! Blank text: text in which nobody can see anything.
//!
//! An identifier of blanks, zero-width or control characters cannot be told from
//! another one, or from none.
#![forbid(unsafe_code)]

use std::ops::RangeInclusive;

/// Characters that take no ink, besides white space and control characters: those
/// that Unicode calls default ignorable, interlinear annotation, and the empty
/// braille pattern. (Source: DerivedCoreProperties.txt; new ones are only ever
/// assigned inside these ranges.)
const INVISIBLE: [RangeInclusive<char>; 19] = [
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{2800}'..='\u{2800}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fff8}',
    '\u{fff9}'..='\u{fffb}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
];

/// Whether no character of the text can be seen; the empty text is blank.
///
/// ```
/// use cost_insights_native::blank::is_blank;
///
/// assert!(is_blank(" \u{200b}\t"));
/// assert!(!is_blank(" a"));
/// ```
pub fn is_blank(text: &str) -> bool {
    // Nearly every text ends here, at its first character.
    text.chars().all(is_invisible)
}

fn is_invisible(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_graphic();
    }
    character.is_whitespace()
        || character.is_control()
        || INVISIBLE.iter().any(|range| range.contains(&character))
}
