//! Checks of texts and of types, which the fields of all messages share.
#![forbid(unsafe_code)]

use super::Checker;
use crate::blank::is_blank;
use crate::events::fault::{FaultKind, Found, Place};
use crate::events::new_event::{Leaf, Text};
use crate::events::text_field::TextField;

impl<'a> Checker<'a, '_> {
    /// A text field of the event itself; an absent one is empty.
    pub(super) fn text(&mut self, field: &TextField, text: Text<'a>) -> Option<&'a str> {
        self.text_at(Place::Field(field.name), field, text)
    }

    pub(super) fn text_at(
        &mut self,
        place: Place<'_>,
        field: &TextField,
        text: Text<'a>,
    ) -> Option<&'a str> {
        let text = self.clean(place, field.what, text)?;
        if text.is_empty() && field.required {
            self.fault(
                place,
                Found::Nothing,
                FaultKind::FieldRequired { what: field.what },
            );
            return None;
        }
        if field.required && is_blank(text) {
            let kind = FaultKind::TextBlank { what: field.what };
            self.fault(place, Found::Text(text.as_bytes()), kind);
            return None;
        }
        self.short(place, field.what, text, field.chars_max)
    }

    /// Text that is UTF-8 and that PostgreSQL can store.
    #[inline]
    pub(super) fn clean(
        &mut self,
        place: Place<'_>,
        what: &'static str,
        text: Text<'a>,
    ) -> Option<&'a str> {
        let kind = match text {
            Text::Bytes(_) => FaultKind::TextNotUtf8 { what },
            Text::Utf8(text) if text.as_bytes().contains(&0) => FaultKind::TextHoldsNul { what },
            Text::Utf8(text) => return Some(text),
            Text::Other(type_name) => {
                let allowed = "text";
                let kind = FaultKind::TypeUnsupported { allowed };
                self.fault(place, Found::Type(type_name), kind);
                return None;
            }
        };
        self.fault(place, Found::Text(text.bytes()), kind);
        None
    }

    #[inline]
    pub(super) fn short(
        &mut self,
        place: Place<'_>,
        what: &'static str,
        text: &'a str,
        characters_max: u32,
    ) -> Option<&'a str> {
        // A text has at least as many bytes as characters: most need no counting.
        if text.len() > characters_max as usize {
            let characters = text.chars().count();
            if characters > characters_max as usize {
                let kind = FaultKind::TextTooLong {
                    what,
                    characters,
                    characters_max,
                };
                self.fault(place, Found::Text(text.as_bytes()), kind);
                return None;
            }
        }
        Some(text)
    }

    pub(super) fn filled(
        &mut self,
        place: Place<'_>,
        what: &'static str,
        text: &'a str,
        characters_max: u32,
    ) -> Option<&'a str> {
        if text.is_empty() {
            self.fault(place, Found::Nothing, FaultKind::TextEmpty { what });
            return None;
        }
        self.short(place, what, text, characters_max)
    }

    pub(super) fn wrong_type(&mut self, place: Place<'_>, value: &Leaf<'_>, allowed: &'static str) {
        self.fault(
            place,
            Found::Type(type_name(value)),
            FaultKind::TypeUnsupported { allowed },
        );
    }
}

fn type_name(value: &Leaf<'_>) -> &'static str {
    match value {
        Leaf::Absent | Leaf::Null => "null",
        Leaf::Number(_) | Leaf::Integer(_) | Leaf::Digits(_) => "number",
        Leaf::Bool(_) => "boolean",
        Leaf::Text(_) => "text",
        Leaf::Object => "object",
        Leaf::List => "list",
    }
}
