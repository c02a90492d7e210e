//! Checks of metadata, and of its keys that are fields of the event as well.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use super::{Checker, PRODUCT_ID};
use crate::events::fault::{FaultKind, Found, Place};
use crate::events::new_event::{Entry, Leaf, Metadata, NewEvent, Text};
use crate::events::signature;
use crate::json;

impl<'a> Checker<'a, '_> {
    /// Checks metadata and adds its JSON to the texts; returns its signature.
    pub(super) fn metadata(&mut self, metadata: &Metadata<'a>) -> Option<u64> {
        if !matches!(metadata.instead, Leaf::Absent) {
            self.wrong_type(Place::Field("metadata"), &metadata.instead, "object");
            return None;
        }
        let keys_max = self.context.limits.metadata_keys_max;
        let mut valid = metadata.entries.len() <= keys_max as usize;
        if !valid {
            let found = match metadata.overflowed {
                true => Found::MoreThan(Metadata::ENTRIES_MAX),
                false => Found::Count(metadata.entries.len()),
            };
            let kind = FaultKind::MetadataTooManyKeys { keys_max };
            self.fault(Place::Field("metadata"), found, kind);
        }
        let mut separator = '{';
        let mut signature = 0;
        for entry in &metadata.entries {
            // Behind the separator.
            let start = self.batch.texts.len() + 1;
            match self.metadata_entry(&mut separator, entry) {
                Some(()) => signature |= signature::of_member(&self.batch.texts[start..]),
                None => valid = false,
            }
        }
        if separator == '{' {
            self.batch.texts.push('{');
        }
        self.batch.texts.push('}');
        valid.then_some(signature)
    }

    fn metadata_entry(&mut self, separator: &mut char, entry: &Entry<'a>) -> Option<()> {
        const KEY: &str = "the key";
        const TEXT: &str = "the text";
        let limits = &self.context.limits;
        let place = Place::Key(entry.key.bytes());
        let key = self.clean(place, KEY, entry.key);
        let key = key.and_then(|key| self.filled(place, KEY, key, limits.metadata_key_chars_max));
        match entry.value {
            Leaf::Text(text) => {
                let text = self.clean(place, TEXT, text)?;
                let text = self.filled(place, TEXT, text, limits.metadata_text_chars_max)?;
                self.push_key(separator, key?);
                json::push_text(&mut self.batch.texts, text);
            }
            Leaf::Number(number) if number.is_finite() => {
                self.push_key(separator, key?);
                json::push_number(&mut self.batch.texts, number);
            }
            Leaf::Number(number) => {
                self.fault(place, Found::Number(number), FaultKind::NumberNotFinite);
                return None;
            }
            Leaf::Digits(digits) => {
                self.fault(
                    place,
                    Found::Text(digits.as_bytes()),
                    FaultKind::NumberTooLarge,
                );
                return None;
            }
            Leaf::Bool(flag) => {
                self.push_key(separator, key?);
                self.batch
                    .texts
                    .push_str(if flag { "true" } else { "false" });
            }
            _ => {
                self.wrong_type(place, &entry.value, "number, boolean, text");
                return None;
            }
        }
        Some(())
    }

    /// The product, which either the field or the metadata names.
    pub(super) fn metadata_product_id(
        &mut self,
        event: &NewEvent<'a>,
        field: Option<&'a str>,
    ) -> Option<Cow<'a, str>> {
        let Some(product_id) = event.metadata.entries.iter().find_map(named_product) else {
            return field.map(Cow::Borrowed);
        };
        if event.product_id.bytes().is_empty() {
            // A field of another type has no bytes either, but a fault.
            return field.map(|_| product_id);
        }
        self.fault(
            Place::Field("metadata.product_id"),
            Found::Nothing,
            FaultKind::FieldsConflict {
                other: PRODUCT_ID.name,
            },
        );
        None
    }

    /// Whether the value of a special key is an object without a twin.
    pub(super) fn only_object(
        &mut self,
        place: &'static str,
        twin: &'static str,
        twin_is_there: bool,
        value: &Leaf<'a>,
    ) -> Option<()> {
        if twin_is_there {
            self.fault(
                Place::Field(place),
                Found::Nothing,
                FaultKind::FieldsConflict { other: twin },
            );
            return None;
        }
        self.object(place, value)
    }

    /// Whether a value is an object.
    pub(super) fn object(&mut self, place: &'static str, value: &Leaf<'a>) -> Option<()> {
        let place = Place::Field(place);
        match *value {
            Leaf::Object => Some(()),
            // A text that is not UTF-8 anywhere in the object stands for the whole of it.
            Leaf::Text(text @ Text::Bytes(_)) => self.clean(place, "the object", text).map(drop),
            _ => {
                self.wrong_type(place, value, "object");
                None
            }
        }
    }

    pub(super) fn push_key(&mut self, separator: &mut char, key: &str) {
        let texts = &mut self.batch.texts;
        texts.push(*separator);
        *separator = ',';
        json::push_text(texts, key);
        texts.push(':');
    }
}

/// The product that an entry of metadata names: a text, or a whole number that a double
/// holds exactly, as its digits. Clients may have anything under that key: what could be
/// no product id is metadata like any other.
fn named_product<'a>(entry: &Entry<'a>) -> Option<Cow<'a, str>> {
    if entry.key.bytes() != PRODUCT_ID.name.as_bytes() {
        return None;
    }
    match entry.value {
        Leaf::Text(Text::Utf8(text)) => {
            let characters_max = PRODUCT_ID.chars_max as usize;
            let is_short = text.len() <= characters_max || text.chars().count() <= characters_max;
            (is_short && !text.is_empty()).then_some(Cow::Borrowed(text))
        }
        Leaf::Number(number) if number.trunc() == number && number.abs() < json::WHOLE_MAX => {
            Some(Cow::Owned((number as i64).to_string()))
        }
        _ => None,
    }
}
