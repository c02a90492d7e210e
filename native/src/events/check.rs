//! Checking: which events of a request are valid, and every fault of the others.
//!
//! Faults stand in the order of the events; within an event in the order of its
//! fields, within metadata `_cost`, `_llm`, `product_id` if it has a twin, and then
//! the keys in the order of their bytes.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::batch::{Customer, EventBatch, Parent, Row, Series};
use super::fault::{CURRENCY, FaultKind, Faults, Found, Place, TOKENS_MAX};
use super::id::{self, Content, IdMaker, NamedCustomer, Uuid};
use super::limits::Limits;
use super::request::{self, Cost, Leaf, Llm, Metadata, NewEvent, Request, Text, Timestamp};
use crate::amount::{self, Picocents};
use crate::blank::is_blank;
use crate::json;

/// What decoding needs to know besides the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Whose events they are.
    pub organization_id: Uuid,
    /// When the request arrived.
    pub now_us: i64,
    /// Random bytes for the ids of events without an external id.
    pub entropy: [u8; 32],
    /// What the request may hold.
    pub limits: Limits,
}

/// Where a batch stands among all that were ever streamed.
#[derive(Clone, Copy)]
pub(super) struct StreamPlace<'c> {
    pub(super) stream_id: &'c str,
    pub(super) sequence: i64,
}

/// A field that holds text.
struct TextField {
    name: &'static str,
    what: &'static str,
    chars_max: u32,
    required: bool,
}

const NAME: TextField = required("name", "the name", 128);
const EXTERNAL_CUSTOMER_ID: TextField =
    required("external_customer_id", "the external customer id", 256);
const CUSTOMER_ID: TextField = required("customer_id", "the customer id", 256);
const EXTERNAL_ID: TextField = optional("external_id", "the external id", 256);
const PARENT_ID: TextField = optional("parent_id", "the parent id", 256);
const EXTERNAL_MEMBER_ID: TextField = optional("external_member_id", "the external member id", 256);
const PRODUCT_ID: TextField = optional("product_id", "the product id", 128);
const VENDOR: TextField = required("vendor", "the vendor", 128);
const MODEL: TextField = required("model", "the model", 128);

const fn required(name: &'static str, what: &'static str, chars_max: u32) -> TextField {
    TextField {
        name,
        what,
        chars_max,
        required: true,
    }
}

const fn optional(name: &'static str, what: &'static str, chars_max: u32) -> TextField {
    TextField {
        name,
        what,
        chars_max,
        required: false,
    }
}

/// The names of events that say what was earned, sorted. They are not stored as events:
/// whoever reads a batch that holds some makes other records of them.
pub const SYSTEM_EVENTS: [&str; 14] = [
    "balance.credit_order",
    "balance.dispute",
    "balance.dispute_reversal",
    "balance.order",
    "balance.refund",
    "balance.refund_reversal",
    "order.paid",
    "subscription.canceled",
    "subscription.created",
    "subscription.cycled",
    "subscription.product_updated",
    "subscription.reinstated",
    "subscription.revoked",
    "subscription.uncanceled",
];

fn is_system_event(name: &str) -> bool {
    SYSTEM_EVENTS.binary_search(&name).is_ok()
}

/// The first second of the year 1 and of the year 10000.
const SECONDS: std::ops::Range<i64> = -62_135_596_800..253_402_300_800;
const NANOS: std::ops::Range<i32> = 0..1_000_000_000;

/// The places of what has been seen in a list. The hash is keyed anew for each
/// map; texts chosen to collide anyway can at worst meet all events of a request.
type Places<T> = HashMap<T, u32, foldhash::fast::RandomState>;

/// Checks one event after the other and gathers the valid ones. Keeps texts of
/// the request to find those that return.
pub(super) struct Checker<'a, 'c> {
    context: &'c Context,
    stream: Option<StreamPlace<'c>>,
    ids: IdMaker,
    /// Of the event being checked.
    index: u32,
    pub(super) faults: Faults,
    pub(super) batch: EventBatch,
    external_customers: Places<&'a str>,
    customers: Places<Uuid>,
    series: Places<Series<'a>>,
    uncertain_parents: Places<Uuid>,
}

/// The parent of an event, as it was named.
#[derive(Clone, Copy)]
enum NamedParent {
    None,
    Id(Uuid),
    Uncertain { id: Uuid, by_external_id: Uuid },
}

/// What an LLM call adds to the series.
#[derive(Clone, Copy)]
struct Model<'a> {
    vendor: &'a str,
    model: &'a str,
}

impl<'a, 'c> Checker<'a, 'c> {
    pub(super) fn new(
        context: &'c Context,
        stream: Option<StreamPlace<'c>>,
        request: &Request<'_>,
    ) -> Self {
        let events = request.events.len();
        let mut batch = EventBatch::default();
        batch.rows.reserve(events);
        Self {
            context,
            stream,
            ids: IdMaker::new(context.now_us, context.entropy),
            index: 0,
            faults: Faults::new(request.accept_valid),
            batch,
            external_customers: Places::with_capacity_and_hasher(events, Default::default()),
            customers: Places::default(),
            series: Places::default(),
            uncertain_parents: Places::default(),
        }
    }

    pub(super) fn check(&mut self, index: u32, event: &NewEvent<'a>) {
        self.index = index;
        let texts_start = self.batch.texts.len();
        let faults = self.faults.count;
        let valid = self.push_valid(event, texts_start).is_some();
        debug_assert_eq!(valid, self.faults.count == faults);
        if !valid {
            self.batch.texts.truncate(texts_start);
            self.batch.faulty += 1;
            // The names of valid ones are looked at once for each series.
            let name = str::from_utf8(event.name.bytes());
            self.batch.holds_system_events |= name.is_ok_and(is_system_event);
        }
    }

    /// Adds the event to the batch, or all of its faults to the faults.
    fn push_valid(&mut self, event: &NewEvent<'a>, texts_start: usize) -> Option<()> {
        let organization_id = &self.context.organization_id;
        let index = self.index;
        // Every field is checked before any is unwrapped: a `?` in between would
        // hide the faults of the fields behind it.
        let name = self.text(&NAME, event.name);
        let customer = self.customer(event.customer);
        let timestamp_us = self.timestamp(event.timestamp);
        let external_id = self.text(&EXTERNAL_ID, event.external_id);
        let own_id = external_id
            .filter(|external_id| !external_id.is_empty())
            .map(|external_id| id::event_id(organization_id, external_id))
            .or_else(|| {
                let StreamPlace {
                    stream_id,
                    sequence,
                } = self.stream?;
                Some(id::streamed_event_id(
                    organization_id,
                    stream_id,
                    sequence,
                    index,
                ))
            });
        let parent_text = self.text(&PARENT_ID, event.parent_id);
        let parent = parent_text.and_then(|text| self.parent(text, external_id, own_id));
        let external_member_id = self.text(&EXTERNAL_MEMBER_ID, event.external_member_id);

        let texts = &mut self.batch.texts;
        texts.push_str(external_id.unwrap_or_default());
        texts.push_str(external_member_id.unwrap_or_default());
        let llm_start = texts.len();

        let field_cost = event.cost.as_ref().map(|cost| self.cost("cost", cost));
        let field_llm = event.llm.as_ref().map(|llm| self.llm("llm", llm));
        let product_id = self.text(&PRODUCT_ID, event.product_id);
        let cost = self.metadata_cost(&event.metadata, field_cost);
        let model = self.metadata_llm(&event.metadata, field_llm);
        let product_id = self.metadata_product_id(event, product_id);
        let metadata_start = self.batch.texts.len();
        let metadata = self.metadata(&event.metadata);
        let end = self.batch.texts.len();
        // What cannot be stored has no size.
        let size = model
            .and(metadata)
            .and_then(|()| self.size(end - llm_start));

        let (name, customer, timestamp_us) = (name?, customer?, timestamp_us?);
        let (external_id, external_member_id) = (external_id?, external_member_id?);
        let (parent_text, parent) = (parent_text?, parent?);
        let (cost, model, product_id) = (cost?, model?, product_id?);
        size?;

        let vendor = model.map(|model| model.vendor);
        let model = model.map(|model| model.model);
        let mut content_digest = 0;
        if own_id.is_some() {
            let (llm, metadata) =
                self.batch.texts[llm_start..].split_at(metadata_start - llm_start);
            let content = Content {
                name,
                customer,
                timestamp_us,
                cost_picocents: cost.map(Picocents::get),
                vendor: vendor.unwrap_or_default(),
                model: model.unwrap_or_default(),
                llm,
                product_id: &product_id,
                parent: parent_text,
                external_member_id,
                metadata,
            };
            content_digest = content.digest();
        }
        let series = Series {
            name,
            vendor,
            model,
            product_id: Some(product_id).filter(|product_id| !product_id.is_empty()),
        };
        let series = self.series_place(series)?;
        let row = Row {
            index: self.index,
            customer: self.customer_place(customer),
            series,
            id: own_id.unwrap_or_else(|| self.ids.id(self.index)),
            timestamp_us: timestamp_us.unwrap_or(self.context.now_us),
            cost,
            is_keyed: own_id.is_some(),
            content_digest,
            parent: self.parent_place(parent),
            texts_start,
            external_id_bytes: external_id.len() as u32,
            external_member_id_bytes: external_member_id.len() as u32,
            llm_bytes: (metadata_start - llm_start) as u32,
            metadata_bytes: (end - metadata_start) as u32,
        };
        self.batch.rows.push(row);
        Some(())
    }

    fn fault(&mut self, place: Place<'_>, found: Found<'_>, kind: FaultKind) {
        self.faults.push(self.index, place, found, kind);
    }

    /// A text field of the event itself; an absent one is empty.
    fn text(&mut self, field: &TextField, text: Text<'a>) -> Option<&'a str> {
        self.text_at(Place::Field(field.name), field, text)
    }

    fn text_at(&mut self, place: Place<'_>, field: &TextField, text: Text<'a>) -> Option<&'a str> {
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
    fn clean(&mut self, place: Place<'_>, what: &'static str, text: Text<'a>) -> Option<&'a str> {
        let kind = match text {
            Text::Bytes(_) => FaultKind::TextNotUtf8 { what },
            Text::Utf8(text) if text.as_bytes().contains(&0) => FaultKind::TextHoldsNul { what },
            Text::Utf8(text) => return Some(text),
        };
        self.fault(place, Found::Text(text.bytes()), kind);
        None
    }

    #[inline]
    fn short(
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

    fn customer(&mut self, customer: request::Customer<'a>) -> Option<NamedCustomer<'a>> {
        match customer {
            request::Customer::Absent => {
                let place = Place::Field(EXTERNAL_CUSTOMER_ID.name);
                self.fault(place, Found::Nothing, FaultKind::CustomerRequired);
                None
            }
            request::Customer::External(text) => self
                .text(&EXTERNAL_CUSTOMER_ID, text)
                .map(NamedCustomer::External),
            request::Customer::Id(text) => {
                let text = self.text(&CUSTOMER_ID, text)?;
                Some(id::parse(text).map_or(NamedCustomer::External(text), NamedCustomer::Id))
            }
        }
    }

    /// Microseconds since 1970 if a time was given.
    fn timestamp(&mut self, timestamp: Option<Timestamp>) -> Option<Option<i64>> {
        let Some(Timestamp { seconds, nanos }) = timestamp else {
            return Some(None);
        };
        let place = Place::Field("timestamp");
        if (seconds, nanos) == (0, 0) {
            self.fault(place, Found::Time(0), FaultKind::TimestampZero);
            return None;
        }
        if !SECONDS.contains(&seconds) || !NANOS.contains(&nanos) {
            self.fault(
                place,
                Found::NoTime { seconds, nanos },
                FaultKind::TimestampOutOfRange,
            );
            return None;
        }
        let time_us = seconds * 1_000_000 + i64::from(nanos / 1_000);
        let max_us = self
            .context
            .now_us
            .saturating_add(self.context.limits.clock_skew_us);
        if time_us > max_us {
            self.fault(
                place,
                Found::Time(time_us),
                FaultKind::TimestampInFuture { max_us },
            );
            return None;
        }
        Some(Some(time_us))
    }

    fn parent(
        &mut self,
        text: &str,
        external_id: Option<&str>,
        own_id: Option<Uuid>,
    ) -> Option<NamedParent> {
        if text.is_empty() {
            return Some(NamedParent::None);
        }
        let uuid = id::parse(text);
        if external_id == Some(text) || (own_id.is_some() && uuid == own_id) {
            let found = Found::Text(text.as_bytes());
            self.fault(Place::Field(PARENT_ID.name), found, FaultKind::ParentIsSelf);
            return None;
        }
        let by_external_id = || id::event_id(&self.context.organization_id, text);
        Some(match uuid.map(|uuid| (uuid, id::version(&uuid))) {
            Some((id, Some(8))) => NamedParent::Id(id),
            Some((id, Some(7))) => NamedParent::Uncertain {
                id,
                by_external_id: by_external_id(),
            },
            _ => NamedParent::Id(by_external_id()),
        })
    }

    fn metadata_cost(
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

    fn metadata_llm(
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

    /// The product, which either the field or the metadata names.
    fn metadata_product_id(
        &mut self,
        event: &NewEvent<'a>,
        field: Option<&'a str>,
    ) -> Option<Cow<'a, str>> {
        let Some(product_id) = event.metadata.entries.iter().find_map(named_product) else {
            return field.map(Cow::Borrowed);
        };
        if event.product_id.bytes().is_empty() {
            return Some(product_id);
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

    /// Whether what stands under a special key is an object without a twin.
    fn only_object(
        &mut self,
        place: &'static str,
        twin: &'static str,
        twin_is_there: bool,
        value: &Leaf<'a>,
    ) -> Option<()> {
        let place = Place::Field(place);
        if twin_is_there {
            self.fault(
                place,
                Found::Nothing,
                FaultKind::FieldsConflict { other: twin },
            );
            return None;
        }
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

    fn wrong_type(&mut self, place: Place<'_>, value: &Leaf<'_>, allowed: &'static str) {
        self.fault(
            place,
            Found::Type(type_name(value)),
            FaultKind::TypeUnsupported { allowed },
        );
    }

    /// The cost under `base`, which is `cost` or `metadata._cost`.
    fn cost(&mut self, base: &'static str, cost: &Cost<'a>) -> Option<Picocents> {
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

    /// The LLM call under `base`, which is `llm` or `metadata._llm`. Its JSON is
    /// added to the texts; vendor and model go into the series.
    fn llm(&mut self, base: &'static str, llm: &Llm<'a>) -> Option<Model<'a>> {
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
            Leaf::Number(number) => {
                // The cast drops a fraction and saturates: what is too large stays so.
                let whole = number as i64;
                (
                    (whole as f64 == number).then_some(whole),
                    Found::Number(number),
                )
            }
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

    /// Checks metadata and adds its JSON to the texts.
    fn metadata(&mut self, metadata: &Metadata<'a>) -> Option<()> {
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
        for entry in &metadata.entries {
            valid &= self.metadata_entry(&mut separator, entry).is_some();
        }
        if separator == '{' {
            self.batch.texts.push('{');
        }
        self.batch.texts.push('}');
        valid.then_some(())
    }

    fn metadata_entry(&mut self, separator: &mut char, entry: &request::Entry<'a>) -> Option<()> {
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

    fn filled(
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

    fn push_key(&mut self, separator: &mut char, key: &str) {
        let texts = &mut self.batch.texts;
        texts.push(*separator);
        *separator = ',';
        json::push_text(texts, key);
        texts.push(':');
    }

    fn size(&mut self, bytes: usize) -> Option<()> {
        let bytes_max = self.context.limits.event_bytes_max;
        if bytes <= bytes_max as usize {
            return Some(());
        }
        let kind = FaultKind::EventTooLarge { bytes_max };
        self.fault(Place::Field("metadata"), Found::Count(bytes), kind);
        None
    }

    fn customer_place(&mut self, customer: NamedCustomer<'a>) -> Customer {
        match customer {
            NamedCustomer::External(text) => Customer::External(
                *self
                    .external_customers
                    .entry(text)
                    .or_insert_with(|| self.batch.external_customer_ids.push(text)),
            ),
            NamedCustomer::Id(id) => Customer::Id(intern(
                &mut self.customers,
                &mut self.batch.customer_ids,
                id,
            )),
        }
    }

    /// The place of a series; none where a stream holds what it cannot take.
    fn series_place(&mut self, series: Series<'a>) -> Option<u32> {
        if let Some(&place) = self.series.get(&series) {
            return Some(place);
        }
        let Series {
            name,
            vendor,
            model,
            ref product_id,
        } = series;
        if is_system_event(name) {
            self.batch.holds_system_events = true;
            if self.stream.is_some() {
                let found = Found::Text(name.as_bytes());
                self.fault(Place::Field(NAME.name), found, FaultKind::NameReserved);
                return None;
            }
        }
        let place = self.batch.series_count() as u32;
        for text in [Some(name), vendor, model, product_id.as_deref()] {
            self.batch.series_texts.push(text.unwrap_or_default());
        }
        self.series.insert(series, place);
        Some(place)
    }

    fn parent_place(&mut self, parent: NamedParent) -> Parent {
        match parent {
            NamedParent::None => Parent::None,
            NamedParent::Id(id) => Parent::Id(id),
            NamedParent::Uncertain { id, by_external_id } => Parent::Uncertain {
                place: intern(
                    &mut self.uncertain_parents,
                    &mut self.batch.uncertain_parents,
                    id,
                ),
                by_external_id,
            },
        }
    }
}

/// The place of an id in a list, at whose end it is put if it is new.
fn intern(places: &mut Places<Uuid>, list: &mut Vec<Uuid>, id: Uuid) -> u32 {
    match places.entry(id) {
        Entry::Occupied(place) => *place.get(),
        Entry::Vacant(place) => {
            list.push(id);
            *place.insert(list.len() as u32 - 1)
        }
    }
}

/// The product that an entry of metadata names: a text, or a whole number that a double
/// holds exactly, as its digits. Clients may have anything under that key: what could be
/// no product id is metadata like any other.
fn named_product<'a>(entry: &request::Entry<'a>) -> Option<Cow<'a, str>> {
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

fn type_name(value: &Leaf<'_>) -> &'static str {
    match value {
        Leaf::Absent | Leaf::Null => "null",
        Leaf::Number(_) | Leaf::Integer(_) => "number",
        Leaf::Bool(_) => "boolean",
        Leaf::Text(_) => "text",
        Leaf::Object => "object",
        Leaf::List => "list",
    }
}
