//! Checking: which events of a request are valid, and every fault of the others.
//!
//! Faults stand in the order of the events; within an event in the order of its
//! fields, within metadata `_cost`, `_llm`, `product_id` if it has a twin, and then
//! the keys in the order of their bytes.
#![forbid(unsafe_code)]

mod cost;
mod llm;
mod metadata;
mod text;

use super::batch::{EventBatch, Parent, Row, Series};
use super::distinct::Distinct;
use super::fault::{FaultKind, Faults, Found, Place};
use super::limits::Limits;
use super::new_event::{self, Leaf, NewEvent, Timestamp};
use super::system_events::is_system_event;
use super::text_field::{TextField, optional, required};
use crate::amount::Picocents;
use crate::ids::{self, Content, IdMaker, NamedCustomer, Uuid};

/// The context of decoding: all that it needs besides the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The organization of the events.
    pub organization_id: Uuid,
    /// The time at which the request arrived.
    pub now_us: i64,
    /// Random bytes for the ids of events without an external id.
    pub entropy: [u8; 32],
    /// The limits of the request.
    pub limits: Limits,
}

/// The place of a batch among all batches that were ever streamed.
#[derive(Clone, Copy)]
pub(super) struct StreamPlace<'c> {
    pub(super) stream_id: &'c str,
    pub(super) sequence: i64,
}

const NAME: TextField = required("name", "the name", 128);
const EXTERNAL_CUSTOMER_ID: TextField =
    required("external_customer_id", "the external customer id", 256);
const CUSTOMER_ID: TextField = required("customer_id", "the customer id", 256);
const EXTERNAL_ID: TextField = optional("external_id", "the external id", 256);
const PARENT_ID: TextField = optional("parent_id", "the parent id", 256);
const EXTERNAL_MEMBER_ID: TextField = optional("external_member_id", "the external member id", 256);
const PRODUCT_ID: TextField = optional("product_id", "the product id", 128);

/// The first second of the year 1 and of the year 10000.
const SECONDS: std::ops::Range<i64> = -62_135_596_800..253_402_300_800;
const NANOS: std::ops::Range<i32> = 0..1_000_000_000;

/// Checks one event after the other and gathers the valid ones. Keeps texts of
/// the request to find those that return.
pub(super) struct Checker<'a, 'c> {
    context: &'c Context,
    stream: Option<StreamPlace<'c>>,
    ids: IdMaker,
    /// The index of the event being checked.
    index: u32,
    pub(super) faults: Faults,
    pub(super) batch: EventBatch,
    distinct: Distinct<'a>,
}

/// The parent of an event, as it was named.
#[derive(Clone, Copy)]
enum NamedParent {
    None,
    Id(Uuid),
    Uncertain { id: Uuid, by_external_id: Uuid },
}

impl<'a, 'c> Checker<'a, 'c> {
    /// A checker of a request that has about that many events.
    pub(super) fn new(
        context: &'c Context,
        stream: Option<StreamPlace<'c>>,
        events: usize,
        accept_valid: bool,
    ) -> Self {
        let mut batch = EventBatch::default();
        batch.rows.reserve(events);
        Self {
            context,
            stream,
            ids: IdMaker::new(context.now_us, context.entropy),
            index: 0,
            faults: Faults::new(accept_valid),
            batch,
            distinct: Distinct::with_capacity(events),
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

    /// Adds the fault of a value that is no event at all.
    pub(super) fn refuse(&mut self, index: u32, type_name: &'static str) {
        self.index = index;
        let allowed = "object";
        let kind = FaultKind::TypeUnsupported { allowed };
        self.fault(Place::Event, Found::Type(type_name), kind);
        self.batch.faulty += 1;
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
            .map(|external_id| ids::event_id(organization_id, external_id))
            .or_else(|| {
                let StreamPlace {
                    stream_id,
                    sequence,
                } = self.stream?;
                Some(ids::streamed_event_id(
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

        let field_cost = event.cost.as_ref().map(|(value, cost)| {
            self.object("cost", value)?;
            self.cost("cost", cost)
        });
        let field_llm = event.llm.as_ref().map(|(value, llm)| {
            self.object("llm", value)?;
            self.llm("llm", llm)
        });
        let product_id = self.text(&PRODUCT_ID, event.product_id);
        let cost = self.metadata_cost(&event.metadata, field_cost);
        let model = self.metadata_llm(&event.metadata, field_llm);
        let product_id = self.metadata_product_id(event, product_id);
        let metadata_start = self.batch.texts.len();
        let metadata = self.metadata(&event.metadata);
        let organization = self.organization(&event.organization_id);
        let end = self.batch.texts.len();
        // What cannot be stored has no size.
        let size = model.and(metadata).and_then(|_| self.size(end - llm_start));

        let (name, customer, timestamp_us) = (name?, customer?, timestamp_us?);
        let (external_id, external_member_id) = (external_id?, external_member_id?);
        let (parent_text, parent) = (parent_text?, parent?);
        let (cost, model, product_id) = (cost?, model?, product_id?);
        let metadata_signature = metadata?;
        organization?;
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
            customer: self.distinct.customer(&mut self.batch, customer),
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
            metadata_signature,
        };
        self.batch.rows.push(row);
        Some(())
    }

    fn fault(&mut self, place: Place<'_>, found: Found<'_>, kind: FaultKind) {
        self.faults.push(self.index, place, found, kind);
    }

    fn customer(&mut self, customer: new_event::Customer<'a>) -> Option<NamedCustomer<'a>> {
        match customer {
            new_event::Customer::Absent => {
                let place = Place::Field(EXTERNAL_CUSTOMER_ID.name);
                self.fault(place, Found::Nothing, FaultKind::CustomerRequired);
                None
            }
            new_event::Customer::External(text) => self
                .text(&EXTERNAL_CUSTOMER_ID, text)
                .map(NamedCustomer::External),
            new_event::Customer::Id(text) => {
                let text = self.text(&CUSTOMER_ID, text)?;
                Some(ids::parse(text).map_or(NamedCustomer::External(text), NamedCustomer::Id))
            }
        }
    }

    /// Microseconds since 1970 if a time was given.
    fn timestamp(&mut self, timestamp: Option<Result<Timestamp, Leaf<'a>>>) -> Option<Option<i64>> {
        let place = Place::Field("timestamp");
        let Timestamp { seconds, nanos } = match timestamp {
            None => return Some(None),
            Some(Ok(timestamp)) => timestamp,
            Some(Err(instead)) => {
                self.no_time(place, &instead);
                return None;
            }
        };
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

    #[cold]
    fn no_time(&mut self, place: Place<'_>, value: &Leaf<'a>) {
        match *value {
            Leaf::Text(text) => {
                if let Some(text) = self.clean(place, "the time", text) {
                    let found = Found::Text(text.as_bytes());
                    self.fault(place, found, FaultKind::TimestampMalformed);
                }
            }
            Leaf::Digits(digits) => {
                let found = Found::Text(digits.as_bytes());
                self.fault(place, found, FaultKind::TimestampOutOfRange);
            }
            _ => self.wrong_type(place, value, "text, number"),
        }
    }

    /// The organization, which a caller cannot choose.
    fn organization(&mut self, value: &Leaf<'a>) -> Option<()> {
        let found = match *value {
            Leaf::Absent => return Some(()),
            Leaf::Text(text) => Found::Text(text.bytes()),
            _ => Found::Nothing,
        };
        let place = Place::Field("organization_id");
        self.fault(place, found, FaultKind::OrganizationGiven);
        None
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
        let uuid = ids::parse(text);
        if external_id == Some(text) || (own_id.is_some() && uuid == own_id) {
            let found = Found::Text(text.as_bytes());
            self.fault(Place::Field(PARENT_ID.name), found, FaultKind::ParentIsSelf);
            return None;
        }
        let by_external_id = || ids::event_id(&self.context.organization_id, text);
        Some(match uuid.map(|uuid| (uuid, ids::version(&uuid))) {
            Some((id, Some(8))) => NamedParent::Id(id),
            Some((id, Some(7))) => NamedParent::Uncertain {
                id,
                by_external_id: by_external_id(),
            },
            _ => NamedParent::Id(by_external_id()),
        })
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

    /// The place of a series; none where the stream may not hold it.
    fn series_place(&mut self, series: Series<'a>) -> Option<u32> {
        if let Some(place) = self.distinct.known_series(&series) {
            return Some(place);
        }
        if is_system_event(series.name) {
            self.batch.holds_system_events = true;
            if self.stream.is_some() {
                let found = Found::Text(series.name.as_bytes());
                self.fault(Place::Field(NAME.name), found, FaultKind::NameReserved);
                return None;
            }
        }
        Some(self.distinct.add_series(&mut self.batch, series))
    }

    fn parent_place(&mut self, parent: NamedParent) -> Parent {
        match parent {
            NamedParent::None => Parent::None,
            NamedParent::Id(id) => Parent::Id(id),
            NamedParent::Uncertain { id, by_external_id } => Parent::Uncertain {
                place: self.distinct.uncertain_parent(&mut self.batch, id),
                by_external_id,
            },
        }
    }
}
