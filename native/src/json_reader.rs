//! JSON text by RFC 8259, read value by value without a tree.
//!
//! Accepts nothing that the RFC does not: no `NaN`, no comments, no trailing commas,
//! no bare control characters. Numbers keep their digits, as text. Nothing recurses
//! and nothing limits the depth: whoever enters an object or a list does so by a call,
//! and what is skipped keeps its open brackets on a list.
//!
//! Half of a surrogate pair, which JSON can escape and UTF-8 cannot hold, spoils only
//! the text that it stands in: clients that cut a text at a number of UTF-16 units
//! send such halves.
#![forbid(unsafe_code)]

use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;

/// The text is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The byte at which something else is expected.
    pub at: usize,
    /// The grammar that is expected there, in words.
    pub expected: &'static str,
}

impl Malformed {
    /// The line and, in characters, the column; both count from 1.
    pub fn line_and_column(&self, text: &str) -> (usize, usize) {
        let head = &text.as_bytes()[..self.at.min(text.len())];
        let line_start = head.iter().rposition(|&byte| byte == b'\n');
        let lines = head.iter().filter(|&&byte| byte == b'\n').count();
        let is_first_byte = |byte: &&u8| **byte & 0xc0 != 0x80;
        let line = &head[line_start.map_or(0, |at| at + 1)..];
        (lines + 1, line.iter().filter(is_first_byte).count() + 1)
    }
}

/// A value. Of an object or a list only the opening bracket has been read:
/// [`Reader::members`], [`Reader::items`] or [`Reader::skip_rest`] must follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// The digits of a number, as they are written.
    Number(&'a str),
    /// A text.
    Text(RawText<'a>),
    /// The start of an object.
    Object,
    /// The start of a list.
    List,
}

impl Value<'_> {
    /// The name of the type, as faults show it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::Text(_) => "text",
            Value::Object => "object",
            Value::List => "list",
        }
    }
}

/// The text between two quotes; its escapes are known to be well-formed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RawText<'a> {
    text: &'a str,
    has_escapes: bool,
}

impl<'a> RawText<'a> {
    /// The text without escapes, or its bytes if it holds half of a surrogate pair,
    /// which is written as UTF-8 would write it if it were a character.
    #[inline]
    pub fn unescape(self, arena: &'a Bump) -> Result<&'a str, &'a [u8]> {
        if !self.has_escapes {
            return Ok(self.text);
        }
        unescape(self.text.as_bytes(), arena)
    }
}

/// Reads values, one after the other.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of a text.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Reads the next value, or the opening bracket of it.
    #[inline]
    pub fn value(&mut self) -> Result<Value<'a>, Malformed> {
        match self.peek() {
            Some(b'"') => self.text().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b'{') => {
                self.at += 1;
                Ok(Value::Object)
            }
            Some(b'[') => {
                self.at += 1;
                Ok(Value::List)
            }
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.expected("a value")),
        }
    }

    /// Calls `read` after each key of an object, whose value it must read, up to the
    /// closing bracket.
    #[inline]
    pub fn members(
        &mut self,
        mut read: impl FnMut(&mut Self, RawText<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if self.closes(b'}') {
            return Ok(());
        }
        loop {
            let key = self.key()?;
            read(self, key)?;
            if !self.goes_on(b'}')? {
                return Ok(());
            }
        }
    }

    /// Calls `read` before each value of a list, which it must read, up to the closing
    /// bracket.
    #[inline]
    pub fn items(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if self.closes(b']') {
            return Ok(());
        }
        loop {
            read(self)?;
            if !self.goes_on(b']')? {
                return Ok(());
            }
        }
    }

    /// Skips the next value.
    pub fn skip(&mut self) -> Result<(), Malformed> {
        let value = self.value()?;
        self.skip_rest(&value)
    }

    /// Skips what has not been read of a value yet: the inside of an object or a list.
    #[inline]
    pub fn skip_rest(&mut self, value: &Value<'a>) -> Result<(), Malformed> {
        match value {
            Value::Object => self.skip_open(b'}'),
            Value::List => self.skip_open(b']'),
            _ => Ok(()),
        }
    }

    fn skip_open(&mut self, close: u8) -> Result<(), Malformed> {
        // The brackets that close what is open, the innermost last.
        let mut open = vec![close];
        let mut is_empty = true;
        while let Some(&close) = open.last() {
            let ends = if is_empty {
                self.closes(close)
            } else {
                !self.goes_on(close)?
            };
            is_empty = false;
            if ends {
                open.pop();
                continue;
            }
            if close == b'}' {
                self.key()?;
            }
            match self.value()? {
                Value::Object => open.push(b'}'),
                Value::List => open.push(b']'),
                _ => continue,
            }
            is_empty = true;
        }
        Ok(())
    }

    /// Checks that nothing but white space follows.
    pub fn finish(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end")),
        }
    }

    /// The next byte that is no white space.
    #[inline(always)]
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Whether an object or a list of which only the opening bracket has been read is
    /// closed at once.
    #[inline(always)]
    fn closes(&mut self, close: u8) -> bool {
        let closes = self.peek() == Some(close);
        self.at += usize::from(closes);
        closes
    }

    /// Whether a comma follows, and not the closing bracket.
    #[inline(always)]
    fn goes_on(&mut self, close: u8) -> Result<bool, Malformed> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ if close == b'}' => Err(self.expected("a comma or }")),
            _ => Err(self.expected("a comma or ]")),
        }
    }

    #[inline(always)]
    fn key(&mut self) -> Result<RawText<'a>, Malformed> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key in quotes"));
        }
        let key = self.text()?;
        if self.peek() != Some(b':') {
            return Err(self.expected("a colon"));
        }
        self.at += 1;
        Ok(key)
    }

    #[cold]
    fn expected(&self, expected: &'static str) -> Malformed {
        Malformed {
            at: self.at,
            expected,
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Malformed> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    /// Reads a text, whose opening quote is next.
    #[inline]
    fn text(&mut self) -> Result<RawText<'a>, Malformed> {
        self.at += 1;
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut has_escapes = false;
        loop {
            self.at += plain_bytes(&bytes[self.at..]);
            match bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.expected("no control character without an escape")),
                None => return Err(self.expected("a closing quote")),
            }
        }
        let text = &self.text[start..self.at];
        self.at += 1;
        Ok(RawText { text, has_escapes })
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        let length = match &self.text.as_bytes()[self.at + 1..] {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [b'u', digits @ ..] if code(digits).is_some() => 6,
            _ => return Err(self.expected("an escape of JSON")),
        };
        self.at += length;
        Ok(())
    }

    /// Reads a number, whose first character is next.
    #[inline]
    fn number(&mut self) -> Result<&'a str, Malformed> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        self.at += usize::from(bytes[start] == b'-');
        match bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// Skips digits, of which there must be one.
    #[inline(always)]
    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.expected("a digit"));
        }
        Ok(())
    }
}

/// The number of bytes before the next quote, backslash or control character.
#[inline(always)]
fn plain_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH_BITS: u64 = ONES << 7;
    let (words, rest) = bytes.as_chunks();
    for (place, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // A byte's high bit says that the byte is below a bound, exactly so in the
        // lowest byte of which one says so: borrows only go upwards.
        let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word;
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let found = (below(word, 0x20) | quote | backslash) & HIGH_BITS;
        if found != 0 {
            return 8 * place + found.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..0x20);
    let in_rest = rest.iter().position(is_special).unwrap_or(rest.len());
    8 * words.len() + in_rest
}

/// The code of the four hexadecimal digits at the start.
fn code(digits: &[u8]) -> Option<u16> {
    digits.get(..4)?.iter().try_fold(0, |code, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(code << 4 | digit as u16)
    })
}

#[cold]
#[inline(never)]
fn unescape<'a>(mut rest: &[u8], arena: &'a Bump) -> Result<&'a str, &'a [u8]> {
    // No escape is shorter than what it stands for.
    let mut bytes = ArenaVec::with_capacity_in(rest.len(), arena);
    while let Some(backslash) = rest.iter().position(|&byte| byte == b'\\') {
        bytes.extend_from_slice(&rest[..backslash]);
        rest = &rest[backslash + 1..];
        let Some((&letter, after)) = rest.split_first() else {
            break;
        };
        rest = after;
        let byte = match letter {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (character, length) = escaped_character(rest);
                push_wide(&mut bytes, character);
                rest = &rest[length..];
                continue;
            }
            itself => itself,
        };
        bytes.push(byte);
    }
    bytes.extend_from_slice(rest);
    let bytes = bytes.into_bump_slice();
    str::from_utf8(bytes).map_err(|_| bytes)
}

/// The code point that begins behind `\u`, and how many bytes it takes: a surrogate
/// pair is two escapes.
fn escaped_character(rest: &[u8]) -> (u32, usize) {
    let first = u32::from(code(rest).unwrap_or_default());
    if let (0xd800..0xdc00, [b'\\', b'u', second @ ..]) = (first, &rest[4..]) {
        let second = u32::from(code(second).unwrap_or_default());
        if let 0xdc00..0xe000 = second {
            let pair = (first - 0xd800) << 10 | (second - 0xdc00);
            return (0x10000 + pair, 10);
        }
    }
    (first, 4)
}

/// Appends a code point as UTF-8 writes it, surrogates too.
fn push_wide(bytes: &mut ArenaVec<'_, u8>, point: u32) {
    match char::from_u32(point) {
        Some(character) => {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        None => bytes.extend_from_slice(&[
            0xe0 | (point >> 12) as u8,
            0x80 | (point >> 6 & 0x3f) as u8,
            0x80 | (point & 0x3f) as u8,
        ]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Tree;

    use super::*;

    /// Reads a value into a tree; an error is the byte at which it stands, and what is
    /// expected there. Texts with half of a surrogate pair become null.
    fn tree<'a>(reader: &mut Reader<'a>, arena: &'a Bump) -> Result<Tree, Malformed> {
        Ok(match reader.value()? {
            Value::Null => Tree::Null,
            Value::Bool(flag) => flag.into(),
            Value::Number(digits) => match digits.parse::<i64>() {
                Ok(number) => number.into(),
                Err(_) => digits.parse::<f64>().ok().into(),
            },
            Value::Text(text) => text.unescape(arena).ok().into(),
            Value::Object => {
                let mut object = serde_json::Map::new();
                reader.members(|reader, key| {
                    let key = key.unescape(arena).unwrap_or_default().to_owned();
                    object.insert(key, tree(reader, arena)?);
                    Ok(())
                })?;
                object.into()
            }
            Value::List => {
                let mut list = Vec::new();
                reader.items(|reader| {
                    list.push(tree(reader, arena)?);
                    Ok(())
                })?;
                list.into()
            }
        })
    }

    fn read(text: &str) -> Result<Tree, Malformed> {
        let arena = Bump::new();
        let mut reader = Reader::new(text);
        let tree = tree(&mut reader, &arena)?;
        reader.finish()?;
        Ok(tree)
    }

    fn skip(text: &str) -> Result<(), Malformed> {
        let mut reader = Reader::new(text);
        reader.skip()?;
        reader.finish()
    }

    /// A mistake is found at its place, whether the value is read or skipped.
    #[test]
    fn malformed_texts() {
        for (text, at, expected) in [
            ("", 0, "a value"),
            ("  ", 2, "a value"),
            ("NaN", 0, "a value"),
            ("nul", 0, "a value"),
            ("Infinity", 0, "a value"),
            ("-Infinity", 1, "a digit"),
            ("+1", 0, "a value"),
            (".5", 0, "a value"),
            ("5.", 2, "a digit"),
            ("1e", 2, "a digit"),
            ("1e+", 3, "a digit"),
            ("01", 1, "the end"),
            ("1 2", 2, "the end"),
            ("[1,]", 3, "a value"),
            ("[1 2]", 3, "a comma or ]"),
            ("[", 1, "a value"),
            ("[1", 2, "a comma or ]"),
            ("[}", 1, "a value"),
            ("{", 1, "a key in quotes"),
            ("{a:1}", 1, "a key in quotes"),
            ("{\"a\" 1}", 5, "a colon"),
            ("{\"a\":}", 5, "a value"),
            ("{\"a\":1,}", 7, "a key in quotes"),
            ("{\"a\":1]", 6, "a comma or }"),
            ("\"a", 2, "a closing quote"),
            ("\"12345678", 9, "a closing quote"),
            ("\"a\nb\"", 2, "no control character without an escape"),
            ("\"\\x\"", 1, "an escape of JSON"),
            ("\"\\u12g4\"", 1, "an escape of JSON"),
            ("\"\\u123", 1, "an escape of JSON"),
            ("\"\\", 1, "an escape of JSON"),
            ("'a'", 0, "a value"),
            ("[/**/1]", 1, "a value"),
        ] {
            let malformed = Malformed { at, expected };
            assert_eq!(read(text), Err(malformed), "{text}");
            assert_eq!(skip(text), Err(malformed), "{text}");
        }
    }

    /// Escapes stand for characters, two of them for one beyond U+FFFF.
    #[test]
    fn escapes() {
        let arena = Bump::new();
        let unescaped = |text: &'static str| match Reader::new(text).value() {
            Ok(Value::Text(text)) => text.unescape(&arena),
            other => panic!("{other:?}"),
        };
        assert_eq!(unescaped(r#""a""#), Ok("a"));
        assert_eq!(
            unescaped(r#""\"\\\/\b\f\n\r\t""#),
            Ok("\"\\/\u{8}\u{c}\n\r\t")
        );
        assert_eq!(
            unescaped(r#""\u0000\u00e9\u65E5é""#),
            Ok("\0éaé".replace('a', "日").as_str())
        );
        assert_eq!(unescaped(r#""x\ud83e\udd16y""#), Ok("x🤖y"));
        assert_eq!(unescaped(r#""a\ud83e""#), Err(&b"a\xed\xa0\xbe"[..]));
        assert_eq!(unescaped(r#""\udd16a""#), Err(&b"\xed\xb4\x96a"[..]));
        assert_eq!(
            unescaped(r#""\ud83e\ud83e\udd16""#),
            Err(&b"\xed\xa0\xbe\xf0\x9f\xa4\x96"[..])
        );
        assert_eq!(unescaped(r#""\ud83e\u0041""#), Err(&b"\xed\xa0\xbeA"[..]));
    }

    /// Lines and columns count from 1, columns in characters.
    #[test]
    fn places() {
        let place = |text: &str, at| {
            let expected = "a value";
            Malformed { at, expected }.line_and_column(text)
        };
        assert_eq!(place("", 0), (1, 1));
        assert_eq!(place("abc", 2), (1, 3));
        assert_eq!(place("a\nbc", 3), (2, 2));
        assert_eq!(place("\n\n", 2), (3, 1));
        assert_eq!(place("\"é日\" x", 8), (1, 6));
    }

    /// A million open brackets are no deeper than one.
    #[test]
    fn depth_costs_no_stack() {
        let deep = 1_000_000;
        let text = format!("{}{}", "[".repeat(deep), "]".repeat(deep));
        assert_eq!(skip(&text), Ok(()));
        let text = r#"{"a":["#.repeat(deep);
        assert_eq!(skip(&text).unwrap_err().at, text.len());
    }

    /// A text without escapes or control characters ends where it should, wherever that is.
    #[test]
    fn plain_bytes_of_any_length() {
        for length in 0..40 {
            for end in ["\"", "\\", "\n", "\u{1f}", "\0"] {
                for filler in ["a", "é", " ", "!", "#", "[", "]", "\u{7f}"] {
                    let plain = filler.repeat(length);
                    let text = format!("{plain}{end}{plain}\"");
                    assert_eq!(plain_bytes(text.as_bytes()), plain.len(), "{text:?}");
                }
            }
        }
    }

    /// Pieces of JSON in any order, which are JSON now and then.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(
            &[
                "{",
                "}",
                "[",
                "]",
                ",",
                ":",
                " ",
                "\n",
                "\"a\"",
                "\"\\u00e9\"",
                "\"é\\n\"",
                "null",
                "true",
                "false",
                "0",
                "-1.5e-3",
                "12",
                ".",
                "E-",
                "\"",
                "\\",
                "\u{1}",
            ][..],
        );
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    /// Well-formed JSON of any shape.
    fn trees() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![
            Just(Tree::Null),
            any::<bool>().prop_map(Tree::from),
            any::<i64>().prop_map(Tree::from),
            prop::num::f64::NORMAL.prop_map(Tree::from),
            any::<String>().prop_map(Tree::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::from),
                prop::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// JSON that another parser writes is read as the same tree, and skipped whole.
        #[test]
        fn trees_are_read(tree in trees(), pretty: bool) {
            let text = match pretty {
                true => serde_json::to_string_pretty(&tree).unwrap(),
                false => tree.to_string(),
            };
            prop_assert_eq!(read(&text), Ok(tree));
            prop_assert_eq!(skip(&text), Ok(()));
        }

        /// Another parser accepts and refuses the same.
        #[test]
        fn accepted_as_by_another_parser(text in pieces()) {
            let accepted = serde_json::from_str::<Tree>(&text).is_ok();
            prop_assert_eq!(read(&text).is_ok(), accepted, "{}", text);
            prop_assert_eq!(skip(&text), read(&text).map(drop));
        }

        /// Any text is read or refused.
        #[test]
        fn any_text(text: String) {
            prop_assert_eq!(skip(&text), read(&text).map(drop));
        }
    }
}
