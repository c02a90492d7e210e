//! Checks of LLM calls.
#![forbid(unsafe_code)]

use super::Checker;
use crate::events::fault::{FaultKind, Found, Place, TOKENS_MAX};
use crate::events::new_event::{Leaf, Llm, Metadata, Text};
use crate::events::text_field::{TextField, required};
use crate::json;

const VENDOR: TextField = required("vendor", "the vendor", 128);
const MODEL: TextField = required("model", "the model", 128);

/// The part of the series that an LLM call adds.
#[derive(Clone, Copy)]
pub(super) struct Model<'a> {
    pub(super) vendor: &'a str,
    pub(super) model: &'a str,
}

impl<'a> Checker<'a, '_> {
    pub(super) fn metadata_llm(
        &mut self,
        metadata: &Metadata<'a>,
        field: Option<Option<Model<'a>>>,
    ) -> Option<Option<Model<'a>>> {
        const PLACE: &str = "metadata._llm";
        let Some((value, llm)) = &metadata.llm else {
            return field.map_or(Some(None), |model| model.map(Some));
        };
        self.only_object(PLACE, "llm", field.is_some(), value)?;
        self.llm(PLACE, llm).map(Some)
    }

    /// The LLM call under `base`, which is `llm` or `metadata._llm`. Its JSON is
    /// added to the texts; vendor and model go into the series.
    pub(super) fn llm(&mut self, base: &'static str, llm: &Llm<'a>) -> Option<Model<'a>> {
        let vendor = self.model_text(base, &VENDOR, &llm.vendor);
        let model = self.model_text(base, &MODEL, &llm.model);
        let counts = [
            ("input_tokens", &llm.input_tokens, Some(0)),
            ("output_tokens", &llm.output_tokens, Some(0)),
            ("total_tokens", &llm.total_tokens, Some(0)),
            ("cached_input_tokens", &llm.cached_input_tokens, None),
        ];
        let texts = [
            ("prompt", "the prompt", &llm.prompt),
            ("response", "the response", &llm.response),
        ];
        let mut valid = true;
        let mut separator = '{';
        for (field, value, default) in counts {
            let Some(count) = self.tokens(Place::Member(base, field), value, default) else {
                valid = false;
                continue;
            };
            if let Some(count) = count {
                self.push_key(&mut separator, field);
                json::push_integer(&mut self.batch.texts, count);
            }
        }
        for (field, what, value) in texts {
            let place = Place::Member(base, field);
            let text = match *value {
                Leaf::Absent | Leaf::Null => continue,
                Leaf::Text(text) => self.clean(place, what, text),
                _ => {
                    self.wrong_type(place, value, "text, null");
                    None
                }
            };
            if let Some(text) = text {
                self.push_key(&mut separator, field);
                json::push_text(&mut self.batch.texts, text);
            }
            valid &= text.is_some();
        }
        self.batch.texts.push('}');
        let (vendor, model) = (vendor?, model?);
        valid.then_some(Model { vendor, model })
    }

    fn model_text(
        &mut self,
        base: &'static str,
        field: &TextField,
        value: &Leaf<'a>,
    ) -> Option<&'a str> {
        let place = Place::Member(base, field.name);
        match *value {
            Leaf::Absent => self.text_at(place, field, Text::default()),
            Leaf::Text(text) => self.text_at(place, field, text),
            _ => {
                self.wrong_type(place, value, "text");
                None
            }
        }
    }

    /// A count of tokens; one that has no default may be null.
    fn tokens(
        &mut self,
        place: Place<'_>,
        value: &Leaf<'a>,
        default: Option<i64>,
    ) -> Option<Option<i64>> {
        let (count, found) = match *value {
            Leaf::Absent => return Some(default),
            Leaf::Null if default.is_none() => return Some(None),
            Leaf::Integer(count) => (Some(count), Found::Integer(count)),
            Leaf::Number(number) => (whole(number), Found::Number(number)),
            Leaf::Digits(digits) => (
                digits.parse().ok().and_then(whole),
                Found::Text(digits.as_bytes()),
            ),
            _ => {
                self.wrong_type(
                    place,
                    value,
                    if default.is_none() {
                        "number, null"
                    } else {
                        "number"
                    },
                );
                return None;
            }
        };
        match count {
            Some(count @ 0..=TOKENS_MAX) => Some(Some(count)),
            _ => {
                self.fault(place, found, FaultKind::TokensOutOfRange);
                None
            }
        }
    }
}

/// A double as a whole number, if it is one.
fn whole(number: f64) -> Option<i64> {
    // The cast drops a fraction and saturates: what is too large stays so.
    let whole = number as i64;
    (whole as f64 == number).then_some(whole)
}
