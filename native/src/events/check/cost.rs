//! Checks of costs.
#![forbid(unsafe_code)]

use super::Checker;
use crate::amount::{self, Picocents};
use crate::events::fault::{CURRENCY, FaultKind, Found, Place};
use crate::events::new_event::{Cost, Leaf, Metadata, Text};

impl<'a> Checker<'a, '_> {
    pub(super) fn metadata_cost(
        &mut self,
        metadata: &Metadata<'a>,
        field: Option<Option<Picocents>>,
    ) -> Option<Option<Picocents>> {
        const PLACE: &str = "metadata._cost";
        let Some((value, cost)) = &metadata.cost else {
            return field.map_or(Some(None), |cost| cost.map(Some));
        };
        self.only_object(PLACE, "cost", field.is_some(), value)?;
        self.cost(PLACE, cost).map(Some)
    }

    /// The cost under `base`, which is `cost` or `metadata._cost`.
    pub(super) fn cost(&mut self, base: &'static str, cost: &Cost<'a>) -> Option<Picocents> {
        let amount = self.amount(Place::Member(base, "amount"), &cost.amount);
        self.currency(Place::Member(base, "currency"), &cost.currency)?;
        amount
    }

    fn amount(&mut self, place: Place<'_>, value: &Leaf<'a>) -> Option<Picocents> {
        const WHAT: &str = "the amount";
        let (result, found) = match *value {
            Leaf::Absent | Leaf::Text(Text::Utf8("")) => {
                self.fault(
                    place,
                    Found::Nothing,
                    FaultKind::FieldRequired { what: WHAT },
                );
                return None;
            }
            Leaf::Text(text) => {
                let text = self.clean(place, WHAT, text)?;
                (amount::parse(text), Found::Text(text.as_bytes()))
            }
            Leaf::Number(number) => (amount::round(number), Found::Number(number)),
            Leaf::Digits(digits) => (amount::round_text(digits), Found::Text(digits.as_bytes())),
            _ => {
                self.wrong_type(place, value, "number, text");
                return None;
            }
        };
        result
            .map_err(|error| self.fault(place, found, error.into()))
            .ok()
    }

    fn currency(&mut self, place: Place<'_>, value: &Leaf<'a>) -> Option<()> {
        const WHAT: &str = "the currency";
        let text = match *value {
            Leaf::Absent => "",
            Leaf::Text(text) => self.clean(place, WHAT, text)?,
            _ => {
                self.wrong_type(place, value, "text");
                return None;
            }
        };
        if text.eq_ignore_ascii_case(CURRENCY) {
            return Some(());
        }
        let kind = match text {
            "" => FaultKind::FieldRequired { what: WHAT },
            _ => FaultKind::CurrencyUnsupported,
        };
        self.fault(place, Found::Text(text.as_bytes()), kind);
        None
    }
}
