//! The tokens of an LLM call, as its JSON says them.
//!
//! Cells are made of what this reads of stored events, so that it may never read them
//! otherwise.
#![forbid(unsafe_code)]

use super::fault::TOKENS_MAX;

/// A number of tokens that cells add up. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Tokens read, those of a cache included.
    Input = 0,
    /// Tokens read from a cache.
    CachedInput = 1,
    /// Tokens written.
    Output = 2,
    /// The tokens by which the total exceeds those read and written; negative where it is less.
    /// They are 0 where the call says no total, and most calls say the sum.
    Rest = 3,
}

/// The number of measures.
pub const MEASURES: usize = 4;

/// The tokens of a call, by measure.
pub type Tokens = [i64; MEASURES];

/// The tokens that the stored JSON of an LLM call says.
pub fn of_llm(llm: &str) -> Tokens {
    let mut tokens = [0; MEASURES];
    let mut total = 0;
    // Counts are written before the prompt and the response, which are not read.
    let mut rest = llm;
    while let Some((name, count, behind)) = next_count(rest) {
        match name {
            "input_tokens" => tokens[Measure::Input as usize] = count,
            "cached_input_tokens" => tokens[Measure::CachedInput as usize] = count,
            "output_tokens" => tokens[Measure::Output as usize] = count,
            "total_tokens" => total = count,
            _ => {}
        }
        rest = behind;
    }
    if total > 0 {
        let parts = tokens[Measure::Input as usize] + tokens[Measure::Output as usize];
        tokens[Measure::Rest as usize] = total - parts;
    }
    tokens
}

/// The name and the value of the next member, and what follows; `None` unless it is a count.
fn next_count(text: &str) -> Option<(&str, i64, &str)> {
    let (name, value) = text
        .strip_prefix(['{', ','])?
        .strip_prefix('"')?
        .split_once("\":")?;
    let end = value.find(|character: char| !character.is_ascii_digit())?;
    let (digits, behind) = value.split_at(end);
    let count = digits.parse().ok().filter(|count| *count <= TOKENS_MAX)?;
    Some((name, count, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts are read in the form in which they are stored, and texts say none.
    #[test]
    fn counts_of_stored_calls() {
        for (llm, expected) in [
            (
                r#"{"input_tokens":10,"output_tokens":5,"total_tokens":15}"#,
                [10, 0, 5, 0],
            ),
            (
                r#"{"input_tokens":10,"output_tokens":5,"total_tokens":18,"cached_input_tokens":4,"prompt":"\"total_tokens\":9"}"#,
                [10, 4, 5, 3],
            ),
            (
                r#"{"input_tokens":10,"output_tokens":5,"total_tokens":12}"#,
                [10, 0, 5, -3],
            ),
            (
                r#"{"input_tokens":10,"output_tokens":5,"total_tokens":0}"#,
                [10, 0, 5, 0],
            ),
            (
                r#"{"input_tokens":0,"output_tokens":0,"total_tokens":9007199254740992}"#,
                [0, 0, 0, TOKENS_MAX],
            ),
            (r#"{"prompt":"a","input_tokens":1}"#, [0; 4]),
            ("{}", [0; 4]),
        ] {
            assert_eq!(of_llm(llm), expected, "{llm}");
        }
    }

    /// Texts that no event was stored with cause no panic.
    #[test]
    fn other_texts() {
        for llm in [
            "",
            "{",
            r#"{"input_tokens":"#,
            r#"{"input_tokens":9"#,
            r#"{"input_tokens":99999999999999999999}"#,
            r#"{"input_tokens":9007199254740993}"#,
            r#"{"input_tokens":-1}"#,
            "[1]",
        ] {
            assert_eq!(of_llm(llm), [0; 4], "{llm}");
        }
    }
}
