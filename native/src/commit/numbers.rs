//! The numbers of customers and series that a process knows: they never change,
//! so each is looked up in the database once.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::batches::Member;
use crate::events::batch::{EventBatch, SeriesTexts};
use crate::ids::Uuid;

/// About what an entry takes besides its key: two pointers and a number in a
/// table that is up to half empty, and the allocation of the key.
const ENTRY_BYTES: usize = 64;

/// A customer or a series, which has a number in its organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbered<'a> {
    /// A customer, by the caller's identifier.
    ExternalCustomer(&'a str),
    /// A customer, by UUID.
    Customer(&'a Uuid),
    /// A series, by its texts, of which none holds U+0000.
    Series(SeriesTexts<'a>),
}

/// The numbers of what a batch lists, in the order of its lists; those that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The numbers of `external_customer_ids`.
    pub external_customers: Vec<Option<i32>>,
    /// The numbers of `customer_ids`.
    pub customers: Vec<Option<i32>>,
    /// The numbers of `series`.
    pub series: Vec<Option<i32>>,
}

/// Numbers by organization and what they number, bounded whatever callers send.
///
/// Entries live in a young and an old half. A full young half becomes the old one
/// and the old one is forgotten, unless asked for since: about what a list in the
/// order of use would keep, for two look-ups.
#[derive(Debug)]
pub struct NumberCache {
    half_bytes_max: usize,
    young: Half,
    old: Half,
    /// The key of the look-up at hand.
    key: Vec<u8>,
}

/// The hash is keyed anew for each map.
#[derive(Debug, Default)]
struct Half {
    numbers: HashMap<Box<[u8]>, i32, RandomState>,
    bytes: usize,
}

impl NumberCache {
    /// Holds nothing yet, and never much more than so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            half_bytes_max: bytes_max / 2,
            young: Half::default(),
            old: Half::default(),
            key: Vec::new(),
        }
    }

    /// The number, if it is known.
    pub fn get(&mut self, organization_number: i32, numbered: Numbered<'_>) -> Option<i32> {
        write_key(&mut self.key, organization_number, numbered);
        if let Some(&number) = self.young.numbers.get(&self.key[..]) {
            return Some(number);
        }
        let (key, number) = self.old.numbers.remove_entry(&self.key[..])?;
        self.insert(key, number);
        Some(number)
    }

    /// Adds a number, which must be committed.
    pub fn add(&mut self, organization_number: i32, numbered: Numbered<'_>, number: i32) {
        write_key(&mut self.key, organization_number, numbered);
        let key = Box::from(&self.key[..]);
        self.insert(key, number);
    }

    /// The numbers of what a batch lists.
    pub fn known(&mut self, organization_number: i32, batch: &EventBatch) -> Known {
        let mut get = |numbered| self.get(organization_number, numbered);
        Known {
            external_customers: batch
                .external_customer_ids
                .iter()
                .map(|text| get(Numbered::ExternalCustomer(text)))
                .collect(),
            customers: batch
                .customer_ids
                .iter()
                .map(|id| get(Numbered::Customer(id)))
                .collect(),
            series: batch
                .series()
                .map(|texts| get(Numbered::Series(texts)))
                .collect(),
        }
    }

    /// Batches, each with the number of its organization, and with all others that a
    /// commit needs; `None` where one is not known, or where only the database can
    /// tell whose id a parent is.
    pub fn members(
        &mut self,
        batches: impl IntoIterator<Item = (Arc<EventBatch>, i32)>,
    ) -> Option<Vec<Member>> {
        let member = |(batch, organization_number): (Arc<EventBatch>, i32)| {
            if !batch.uncertain_parents.is_empty() {
                return None;
            }
            let known = self.known(organization_number, &batch);
            let customers = known.external_customers.into_iter().chain(known.customers);
            let customers = customers.collect::<Option<_>>()?;
            let series = known.series.into_iter().collect::<Option<_>>()?;
            Member::new(batch, organization_number, customers, series).ok()
        };
        batches.into_iter().map(member).collect()
    }

    fn insert(&mut self, key: Box<[u8]>, number: i32) {
        if self.young.bytes >= self.half_bytes_max {
            self.old = std::mem::take(&mut self.young);
        }
        let bytes = key.len() + ENTRY_BYTES;
        if self.young.numbers.insert(key, number).is_none() {
            self.young.bytes += bytes;
        }
    }
}

/// The organization, the kind, and what follows up to the end.
fn write_key(key: &mut Vec<u8>, organization_number: i32, numbered: Numbered<'_>) {
    key.clear();
    key.extend(organization_number.to_ne_bytes());
    match numbered {
        Numbered::ExternalCustomer(text) => {
            key.push(0);
            key.extend(text.as_bytes());
        }
        Numbered::Customer(id) => {
            key.push(1);
            key.extend(id);
        }
        Numbered::Series(texts) => {
            key.push(2);
            for text in texts {
                key.extend(text.as_bytes());
                key.push(0);
            }
        }
    }
}
