//! Groups: which records count, and what they are told apart by.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

use foldhash::fast::RandomState;

use super::book::{Ledger, RECURRING};
use super::chunk::Chunk;
use super::error::TallyError;
use super::interned::{Interned, Slot};
use super::question::Question;
use super::subscription::Subscription;

/// The dimension that records are grouped by, and the keys that have a group of their own:
/// group i is that of key i, and the last group holds all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// No dimension: all records are in one group.
    Nothing,
    /// The customers with a group of their own.
    Customers(Vec<i32>),
    /// The products with a group of their own.
    Products(Vec<String>),
}

/// A record that does not count.
pub const LEFT_OUT: u32 = u32::MAX;

/// The group of each slot; empty where all slots are of group 0.
#[derive(Clone, Debug, Default)]
pub struct Table(Vec<u32>);

impl Table {
    /// Without a choice every slot counts.
    pub fn of(slots: usize, chosen: Option<Vec<Slot>>, group_of: impl Fn(Slot) -> u32) -> Self {
        let Some(chosen) = chosen else {
            return Self((0..slots as Slot).map(group_of).collect());
        };
        let mut table = vec![LEFT_OUT; slots];
        for slot in chosen {
            table[slot as usize] = group_of(slot);
        }
        Self(table)
    }

    pub fn of_one_group(slots: usize, chosen: Option<Vec<Slot>>) -> Self {
        match chosen {
            None => Self::default(),
            chosen => Self::of(slots, chosen, |_| 0),
        }
    }

    #[inline]
    pub fn group(&self, slot: Slot) -> u32 {
        self.0.get(slot as usize).copied().unwrap_or(0)
    }
}

/// The groups of records: those of customer and product together, of which at most one
/// is not 0.
#[derive(Clone, Debug)]
pub struct Tables {
    pub customers: Table,
    /// The groups of subscriptions by product, if subscriptions count.
    pub products: Table,
    pub subscriptions_count: bool,
    /// The groups of entries, checkouts and seats by product and billing type.
    pub offers: Table,
    pub count: usize,
}

impl Tables {
    pub fn of_keys(ledger: &Ledger, question: &Question, keys: &Keys) -> Result<Self, TallyError> {
        match keys {
            Keys::Nothing => Ok(Self::of_no_group(ledger, question)),
            Keys::Customers(keys) => {
                let group_of = groups_of_keys(&ledger.customers, keys)?;
                let slots = ledger.customers.len();
                Ok(Self {
                    customers: Table::of(slots, ledger.chosen_customers(question), group_of),
                    count: keys.len() + 1,
                    ..Self::of_no_group(ledger, question)
                })
            }
            Keys::Products(keys) => {
                let keys: Vec<Box<str>> = keys.iter().map(|key| key.as_str().into()).collect();
                let group_of = groups_of_keys(&ledger.products, &keys)?;
                let slots = ledger.products.len();
                let products = Table::of(slots, ledger.chosen_products(question), group_of);
                Ok(Self::of_products(
                    ledger,
                    question,
                    products,
                    keys.len() + 1,
                ))
            }
        }
    }

    pub fn of_no_group(ledger: &Ledger, question: &Question) -> Self {
        let chosen = ledger.chosen_products(question);
        let products = Table::of_one_group(ledger.products.len(), chosen);
        Self::of_products(ledger, question, products, 1)
    }

    pub fn of_products(
        ledger: &Ledger,
        question: &Question,
        products: Table,
        count: usize,
    ) -> Self {
        let is_chosen = |billing_type: &str| {
            let chosen = question.billing_types.as_ref();
            chosen.is_none_or(|chosen| chosen.iter().any(|one| one == billing_type))
        };
        let offers = if products.0.is_empty() && question.billing_types.is_none() {
            Table::default()
        } else {
            let group_of = |&(product, billing_type): &(Slot, Slot)| match is_chosen(
                ledger.billing_types.get(billing_type),
            ) {
                true => products.group(product),
                false => LEFT_OUT,
            };
            Table(ledger.offers.keys().iter().map(group_of).collect())
        };
        let customers = ledger.chosen_customers(question);
        Self {
            customers: Table::of_one_group(ledger.customers.len(), customers),
            products,
            subscriptions_count: is_chosen(RECURRING),
            offers,
            count,
        }
    }

    /// Whether all entries are of one group.
    pub fn are_plain(&self) -> bool {
        self.customers.0.is_empty() && self.offers.0.is_empty()
    }

    #[inline]
    pub fn of_entry(&self, chunk: &Chunk, place: usize) -> Option<usize> {
        self.of_offer(chunk.customers[place], chunk.offers[place])
    }

    #[inline]
    pub fn of_offer(&self, customer: Slot, offer: Slot) -> Option<usize> {
        group_of_both(self.customers.group(customer), self.offers.group(offer))
    }

    pub fn of_subscription(&self, subscription: &Subscription) -> Option<usize> {
        let by_customer = self.customers.group(subscription.customer);
        let by_product = self.products.group(subscription.product);
        group_of_both(by_customer, by_product)
    }
}

#[inline]
fn group_of_both(one: u32, other: u32) -> Option<usize> {
    let group = one.saturating_add(other);
    (group != LEFT_OUT).then_some(group as usize)
}

/// The group of each slot: that of its key, or the one behind all keys.
fn groups_of_keys<K: Clone + Eq + Hash + Debug>(
    interned: &Interned<K>,
    keys: &[K],
) -> Result<impl Fn(Slot) -> u32, TallyError> {
    let mut groups: HashMap<&K, u32, RandomState> = HashMap::default();
    let mut groups_of_slots: HashMap<Slot, u32, RandomState> = HashMap::default();
    for (group, key) in (0..).zip(keys) {
        if groups.insert(key, group).is_some() {
            return Err(TallyError::KeyTwice(format!("{key:?}")));
        }
        if let Some(slot) = interned.known(key) {
            groups_of_slots.insert(slot, group);
        }
    }
    let others = keys.len() as u32;
    Ok(move |slot| groups_of_slots.get(&slot).copied().unwrap_or(others))
}

impl Ledger {
    pub(super) fn chosen_customers(&self, question: &Question) -> Option<Vec<Slot>> {
        let numbers = question.customers.as_ref()?.iter();
        Some(
            numbers
                .filter_map(|one| self.customers.known(one))
                .collect(),
        )
    }

    pub(super) fn chosen_products(&self, question: &Question) -> Option<Vec<Slot>> {
        let ids = question.products.as_ref()?.iter();
        Some(
            ids.filter_map(|id| self.products.known(id.as_str()))
                .collect(),
        )
    }
}
