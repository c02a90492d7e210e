//! The valid events of one request: rows, and the texts they share.
//!
//! Texts lie in a few long strings instead of one each, so that a batch of
//! thousands of events is a handful of allocations.
#![forbid(unsafe_code)]

use super::fault::{FAULTS_MAX, Fault, FaultKind, Found, Place};
use crate::amount::Picocents;
use crate::ids::Uuid;
use std::borrow::Cow;

/// A list of texts in one string.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    text: String,
    ends: Vec<usize>,
}

impl Texts {
    /// Adds a text and returns its place.
    pub fn push(&mut self, text: &str) -> u32 {
        let place = self.ends.len() as u32;
        self.text.push_str(text);
        self.ends.push(self.text.len());
        place
    }

    /// The number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no texts.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The texts, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let text = &self.text[start..end];
            start = end;
            text
        })
    }
}

/// The texts by which events are grouped.
///
/// An absent text is `None`. An empty text would do as well
/// but for glibc: its AVX-512 `memcmp` takes some 200 ns to compare the empty
/// slices of Rust, which point to no memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Series<'a> {
    /// The event name.
    pub name: &'a str,
    /// The LLM vendor.
    pub vendor: Option<&'a str>,
    /// The LLM model.
    pub model: Option<&'a str>,
    /// The product id, owned where it is written as a number.
    pub product_id: Option<Cow<'a, str>>,
}

/// The texts of a series: event name, LLM vendor, LLM model, product id; an absent
/// one is empty.
pub type SeriesTexts<'a> = [&'a str; SERIES_TEXTS];
const SERIES_TEXTS: usize = 4;

/// A customer, as a place in one of the lists of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Customer {
    /// A place in `external_customer_ids`.
    External(u32),
    /// A place in `customer_ids`.
    Id(u32),
}

/// The parent of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// None was named.
    None,
    /// The event of that id.
    Id(Uuid),
    /// A UUID of version 7 was given: either an id or an external id.
    Uncertain {
        /// Its place in `uncertain_parents`.
        place: u32,
        /// The id of the event that has it as its external id.
        by_external_id: Uuid,
    },
}

/// One valid event. Its own texts stand in the batch's `texts`, one after the other.
#[derive(Clone, Copy, Debug)]
#[expect(
    missing_docs,
    reason = "the columns of an event, as the stub documents them"
)]
pub struct Row {
    /// The index of the event in the request.
    pub index: u32,
    pub customer: Customer,
    pub series: u32,
    pub id: Uuid,
    pub timestamp_us: i64,
    pub cost: Option<Picocents>,
    /// Whether the id follows from what the caller sent, so that the event may be
    /// stored already.
    pub is_keyed: bool,
    /// 0 unless it is.
    pub content_digest: i64,
    pub parent: Parent,
    /// The place where the texts begin.
    pub texts_start: usize,
    /// The length of each text; an absent one is empty.
    pub external_id_bytes: u32,
    pub external_member_id_bytes: u32,
    pub llm_bytes: u32,
    pub metadata_bytes: u32,
    /// The signature of the metadata, by [`super::signature`].
    pub metadata_signature: u64,
}

impl Row {
    /// The length of all its texts together.
    pub fn texts_bytes(&self) -> usize {
        let lengths = [
            self.external_id_bytes,
            self.external_member_id_bytes,
            self.llm_bytes,
            self.metadata_bytes,
        ];
        lengths.iter().map(|&bytes| bytes as usize).sum()
    }
}

/// The texts of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the columns of an event, as the stub documents them"
)]
pub struct RowTexts<'a> {
    pub external_id: Option<&'a str>,
    pub external_member_id: Option<&'a str>,
    pub llm: Option<&'a str>,
    pub metadata: &'a str,
}

/// The valid events of one request, in order, and the faults of the others.
#[derive(Clone, Debug, Default)]
pub struct EventBatch {
    /// Whether to store the valid events although others are malformed.
    pub accept_valid: bool,
    /// The faults of the other events, in order: up to [`FAULTS_MAX`] faults and,
    /// where `accept_valid`, the first fault of every further event.
    pub faults: Vec<Fault>,
    /// The number of faults found, including those that are not kept.
    pub faults_total: usize,
    /// The number of events that have faults.
    pub faulty: usize,
    /// Whether any event, faulty or not, has a name of [`super::system_events::SYSTEM_EVENTS`].
    pub holds_system_events: bool,
    /// The distinct customers named by the caller's identifiers.
    pub external_customer_ids: Texts,
    /// The distinct customers named by UUID.
    pub customer_ids: Vec<Uuid>,
    /// The texts of the distinct series, one series after the other.
    pub series_texts: Texts,
    /// The distinct UUIDs of version 7 given as parents.
    pub uncertain_parents: Vec<Uuid>,
    /// The events.
    pub rows: Vec<Row>,
    /// The texts that belong to one row each.
    pub texts: String,
}

impl EventBatch {
    /// The fault of the whole request, if it has one.
    pub fn request_fault(&self) -> Option<&Fault> {
        self.faults.first().filter(|fault| fault.index.is_none())
    }

    /// The number of distinct customers.
    pub fn customer_count(&self) -> usize {
        self.external_customer_ids.len() + self.customer_ids.len()
    }

    /// The number of distinct series.
    pub fn series_count(&self) -> usize {
        self.series_texts.len() / SERIES_TEXTS
    }

    /// The distinct series.
    pub fn series(&self) -> impl ExactSizeIterator<Item = SeriesTexts<'_>> {
        let mut texts = self.series_texts.iter();
        (0..self.series_count())
            .map(move |_| std::array::from_fn(|_| texts.next().unwrap_or_default()))
    }

    /// The place of a customer in both lists, one after the other.
    pub fn customer_place(&self, customer: Customer) -> usize {
        match customer {
            Customer::External(place) => place as usize,
            Customer::Id(place) => self.external_customer_ids.len() + place as usize,
        }
    }

    /// The texts of a row.
    pub fn texts_of(&self, row: &Row) -> RowTexts<'_> {
        let mut rest = &self.texts[row.texts_start..];
        let mut next = |bytes: u32| {
            let (text, after) = rest.split_at(bytes as usize);
            rest = after;
            text
        };
        let mut next_filled = |bytes| Some(next(bytes)).filter(|text| !text.is_empty());
        RowTexts {
            external_id: next_filled(row.external_id_bytes),
            external_member_id: next_filled(row.external_member_id_bytes),
            llm: next_filled(row.llm_bytes),
            metadata: next(row.metadata_bytes),
        }
    }

    /// The batch without the events of some of the `customer_ids`, which turn
    /// into faults. Places beyond the list name nobody.
    pub fn without_customers(&self, unknown: &[usize]) -> EventBatch {
        let is_unknown = flags(self.customer_ids.len(), unknown);
        self.without(|row| match row.customer {
            Customer::Id(place) if is_unknown[place as usize] => Some(Fault::of_event(
                row.index,
                Place::Field("customer_id"),
                Found::Uuid(&self.customer_ids[place as usize]),
                FaultKind::CustomerNotFound,
            )),
            _ => None,
        })
    }

    /// The batch without the events of some of the `external_customer_ids`, which are new where
    /// there may be no more than so many; they turn into faults.
    pub fn without_new_customers(&self, new: &[usize], customers_max: u32) -> EventBatch {
        let is_new = flags(self.external_customer_ids.len(), new);
        let names: Vec<_> = self.external_customer_ids.iter().collect();
        self.without(|row| match row.customer {
            Customer::External(place) if is_new[place as usize] => Some(Fault::of_event(
                row.index,
                Place::Field("external_customer_id"),
                Found::Text(names[place as usize].as_bytes()),
                FaultKind::TooManyCustomers { customers_max },
            )),
            _ => None,
        })
    }

    /// The batch without the events that have a fault.
    fn without(&self, fault_of: impl Fn(&Row) -> Option<Fault>) -> EventBatch {
        let mut batch = self.clone();
        batch.rows.retain(|row| {
            let Some(fault) = fault_of(row) else {
                return true;
            };
            if self.accept_valid || batch.faults.len() < self.faults.len() + FAULTS_MAX {
                batch.faults.push(fault);
            }
            batch.faults_total += 1;
            batch.faulty += 1;
            false
        });
        batch.faults.sort_by_key(|fault| fault.index);
        if !self.accept_valid {
            // Each part is in order and holds the first of its kind, so the first of
            // both together are the first of all.
            batch.faults.truncate(FAULTS_MAX);
        }
        batch
    }
}

/// Which places of a list are meant; those beyond it are passed over.
fn flags(length: usize, places: &[usize]) -> Vec<bool> {
    let mut flags = vec![false; length];
    for &place in places {
        if let Some(flag) = flags.get_mut(place) {
            *flag = true;
        }
    }
    flags
}
