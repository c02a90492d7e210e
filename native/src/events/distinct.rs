//! The distinct customers, series and parents of a batch, each with its place in the
//! batch's lists.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::batch::{Customer, EventBatch, Series};
use crate::ids::{NamedCustomer, Uuid};

/// The places of what has been seen in a list. The hash is keyed anew for each
/// map; texts chosen to collide anyway can at worst meet all events of a request.
type Places<T> = HashMap<T, u32, foldhash::fast::RandomState>;

/// The places of the texts and ids that a batch holds already. Borrows the texts of the
/// request.
pub(super) struct Distinct<'a> {
    external_customers: Places<&'a str>,
    customers: Places<Uuid>,
    series: Places<Series<'a>>,
    uncertain_parents: Places<Uuid>,
}

impl<'a> Distinct<'a> {
    /// No places yet, with room for the customers of that many events.
    pub(super) fn with_capacity(events: usize) -> Self {
        Self {
            external_customers: Places::with_capacity_and_hasher(events, Default::default()),
            customers: Places::default(),
            series: Places::default(),
            uncertain_parents: Places::default(),
        }
    }

    /// The place of a customer, which is added to the batch if it is new.
    pub(super) fn customer(
        &mut self,
        batch: &mut EventBatch,
        customer: NamedCustomer<'a>,
    ) -> Customer {
        match customer {
            NamedCustomer::External(text) => Customer::External(
                *self
                    .external_customers
                    .entry(text)
                    .or_insert_with(|| batch.external_customer_ids.push(text)),
            ),
            NamedCustomer::Id(id) => {
                Customer::Id(place(&mut self.customers, &mut batch.customer_ids, id))
            }
        }
    }

    /// The place of a series that the batch holds already.
    pub(super) fn known_series(&self, series: &Series<'a>) -> Option<u32> {
        self.series.get(series).copied()
    }

    /// Adds a new series to the batch and returns its place.
    pub(super) fn add_series(&mut self, batch: &mut EventBatch, series: Series<'a>) -> u32 {
        let place = batch.series_count() as u32;
        let Series {
            name,
            vendor,
            model,
            ref product_id,
        } = series;
        for text in [Some(name), vendor, model, product_id.as_deref()] {
            batch.series_texts.push(text.unwrap_or_default());
        }
        self.series.insert(series, place);
        place
    }

    /// The place of a parent that may be an id or an external id; it is added to the
    /// batch if it is new.
    pub(super) fn uncertain_parent(&mut self, batch: &mut EventBatch, id: Uuid) -> u32 {
        place(
            &mut self.uncertain_parents,
            &mut batch.uncertain_parents,
            id,
        )
    }
}

/// The place of an id in a list, which it is appended to if it is new.
fn place(places: &mut Places<Uuid>, list: &mut Vec<Uuid>, id: Uuid) -> u32 {
    match places.entry(id) {
        Entry::Occupied(place) => *place.get(),
        Entry::Vacant(place) => {
            list.push(id);
            *place.insert(list.len() as u32 - 1)
        }
    }
}
