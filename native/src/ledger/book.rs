//! The ledger itself: what it holds, and how records are added to it.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem::size_of;

use foldhash::fast::RandomState;

use super::chunk::{Chunk, Kind, Row};
use super::error::{RecordError, SUBSCRIPTION_PICOCENTS_MAX};
use super::interned::{Interned, Slot};
use super::latest::{Checkout, Latest, Seat};
use super::rates::Rates;
use super::record::{CheckoutState, Entry, Records, SeatState, State};
use super::subscription::{RecurringInterval, Subscription};
use crate::time::{TIME_US_MAX, TIME_US_MIN, month_and_year_of, utc_day_of};

/// The entries, subscriptions, checkouts and seats of one organization.
#[derive(Debug)]
pub struct Ledger {
    pub(super) position: i64,
    pub(super) customers: Interned<i32>,
    pub(super) products: Interned<Box<str>>,
    pub(super) billing_types: Interned<Box<str>>,
    pub(super) currencies: Interned<Box<str>>,
    /// (product, billing type) of entries, checkouts and seats.
    pub(super) offers: Interned<(Slot, Slot)>,
    /// The number of orders of each offer.
    pub(super) ordered: HashMap<Slot, i64, RandomState>,
    pub(super) subscription_slots: HashMap<Box<str>, Slot, RandomState>,
    /// The start of each subscription by slot; [`NOT_RECORDED`] where only orders name it.
    pub(super) started_us: Vec<i64>,
    pub(super) subscriptions: Vec<Option<Subscription>>,
    /// The slots of recorded subscriptions, those of one customer together.
    pub(super) by_customer: Vec<Slot>,
    pub(super) checkouts: Latest<Checkout>,
    pub(super) seats: Latest<Seat>,
    /// The slots of seats, those of one customer together.
    pub(super) seats_by_customer: Vec<Slot>,
    pub(super) chunks: BTreeMap<(Kind, i32), Chunk>,
    /// The exchange rates by currency; none for usd.
    pub(super) rates: Vec<Rates>,
    pub(super) texts_bytes: usize,
}

/// The start of a subscription that is not recorded.
pub(super) const NOT_RECORDED: i64 = i64::MAX;

/// The slots that every ledger has: that of no customer, and that of usd.
pub(super) const NOBODY: Slot = 0;
pub(super) const USD: Slot = 0;

/// The billing type of all subscriptions.
pub(super) const RECURRING: &str = "recurring";

/// The status of checkouts that were paid.
const SUCCEEDED: &str = "succeeded";

/// About what an entry of a table of texts takes beside the text, twice.
const TEXT_BYTES: usize = 64;

impl Default for Ledger {
    fn default() -> Self {
        let mut ledger = Self {
            position: 0,
            customers: Interned::default(),
            products: Interned::default(),
            billing_types: Interned::default(),
            currencies: Interned::default(),
            offers: Interned::default(),
            ordered: HashMap::default(),
            subscription_slots: HashMap::default(),
            started_us: Vec::new(),
            subscriptions: Vec::new(),
            by_customer: Vec::new(),
            checkouts: Latest::default(),
            seats: Latest::default(),
            seats_by_customer: Vec::new(),
            chunks: BTreeMap::new(),
            rates: Vec::new(),
            texts_bytes: 0,
        };
        ledger.customers.slot(&-1);
        ledger.currency("usd");
        ledger
    }
}

impl Ledger {
    /// The greatest record number that is in it.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Roughly how much memory it takes.
    pub fn bytes(&self) -> usize {
        let chunks: usize = self.chunks.values().map(Chunk::bytes).sum();
        let rates: usize = self.rates.iter().map(Rates::bytes).sum();
        let of_subscription = size_of::<Option<Subscription>>() + size_of::<(i64, Slot)>();
        let subscriptions = self.subscriptions.capacity() * of_subscription;
        let seats = self.seats.bytes() + self.seats_by_customer.capacity() * size_of::<Slot>();
        let others = chunks + rates + subscriptions + self.checkouts.bytes() + seats;
        size_of::<Self>() + others + self.texts_bytes
    }

    /// Adds the records up to a position, all or none; does nothing where they are in
    /// it already.
    pub fn add(&mut self, records: &Records, position: i64) -> Result<(), RecordError> {
        if position <= self.position {
            return Ok(());
        }
        let states = &records.subscriptions;
        records.entries.iter().try_for_each(check_entry)?;
        records.checkouts.iter().try_for_each(check_checkout)?;
        records.seats.iter().try_for_each(check_seat)?;
        let intervals: Vec<RecurringInterval> =
            states.iter().map(check_state).collect::<Result<_, _>>()?;
        for entry in &records.entries {
            self.add_entry(entry);
        }
        for (state, interval) in states.iter().zip(intervals) {
            self.put_state(state, interval);
        }
        for state in &records.checkouts {
            self.put_checkout(state);
        }
        for state in &records.seats {
            self.put_seat(state);
        }
        if !states.is_empty() {
            self.sort_by_customer();
        }
        if !records.seats.is_empty() {
            let seats = &self.seats;
            let customer_of = |&slot: &Slot| seats.get(slot).customer;
            self.seats_by_customer.sort_by_key(customer_of);
        }
        self.position = position;
        Ok(())
    }

    /// The products that have an order of one of the types or, where these are
    /// recurring, a subscription.
    pub fn billed_products(&self, billing_types: &[String]) -> Vec<&str> {
        let is_wanted = |slot: Slot| {
            let text = self.billing_types.get(slot);
            billing_types.iter().any(|wanted| **wanted == **text)
        };
        let ordered = self.ordered.iter().filter(|&(_, &orders)| orders > 0);
        let ordered = ordered.filter_map(|(&offer, _)| {
            let &(product, billing_type) = self.offers.get(offer);
            is_wanted(billing_type).then_some(product)
        });
        let mut products: HashSet<Slot, RandomState> = ordered.collect();
        if billing_types.iter().any(|wanted| wanted == RECURRING) {
            products.extend(self.subscriptions.iter().flatten().map(|one| one.product));
        }
        let texts = products.iter().map(|&slot| &**self.products.get(slot));
        let mut texts: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
        texts.sort_unstable();
        texts
    }

    fn add_entry(&mut self, entry: &Entry) {
        let offer = self.offer(&entry.product_id, &entry.billing_type);
        let subscription = match entry.subscription_id.as_str() {
            "" => None,
            id => Some(self.subscription(id)),
        };
        if entry.orders != 0 {
            *self.ordered.entry(offer).or_default() += entry.orders;
            let currency = self.currency(&entry.currency);
            if currency != USD {
                let rates = &mut self.rates[currency as usize];
                rates.add(entry.order_us, entry.exchange_rate_e12, entry.orders);
            }
        }
        let row = Row {
            customer: self.customer(entry.customer),
            offer,
            subscription,
            orders: entry.orders as i8,
            records: entry.records as i8,
            revenue: (entry.revenue, entry.net_revenue),
            order_revenue: (entry.order_revenue, entry.order_net_revenue),
        };
        if entry.revenue_us == entry.order_us {
            self.push(Kind::both(subscription), entry.revenue_us, None, &row);
        } else {
            self.push(Kind::Revenue, entry.revenue_us, None, &row);
            let elsewhere = Some(entry.revenue_us);
            self.push(Kind::order(subscription), entry.order_us, elsewhere, &row);
        }
    }

    fn push(&mut self, kind: Kind, time_us: i64, elsewhere_us: Option<i64>, row: &Row) {
        let chunk = self.chunks.entry((kind, month_of(time_us))).or_default();
        chunk.push(kind, time_us, elsewhere_us, row);
    }

    fn put_state(&mut self, state: &State, interval: RecurringInterval) {
        let subscription = Subscription {
            customer: self.customer(state.customer),
            product: self.product(&state.product_id),
            currency: self.currency(&state.currency),
            ..Subscription::of(state, interval)
        };
        let slot = self.subscription(&state.subscription_id);
        self.started_us[slot as usize] = subscription.started_us;
        if self.subscriptions[slot as usize]
            .replace(subscription)
            .is_none()
        {
            self.by_customer.push(slot);
        }
    }

    fn put_checkout(&mut self, state: &CheckoutState) {
        let checkout = Checkout {
            counted_us: state.counted_us,
            has_succeeded: state.status == SUCCEEDED,
            customer: self.customer(state.customer),
            offer: self.offer(&state.product_id, &state.billing_type),
        };
        self.checkouts.put(&state.checkout_id, checkout);
    }

    fn put_seat(&mut self, state: &SeatState) {
        let seat = Seat {
            created_us: state.created_us,
            claimed_us: state.claimed_us,
            revoked_us: state.revoked_us,
            customer: self.customer(state.customer),
            offer: self.offer(&state.product_id, &state.billing_type),
        };
        let new = self.seats.put(&state.seat_id, seat);
        self.seats_by_customer.extend(new);
    }

    /// Mostly a few have come to many that are in order, which is done in one pass.
    fn sort_by_customer(&mut self) {
        let subscriptions = &self.subscriptions;
        let customer_of = |slot: &Slot| {
            let subscription = subscriptions[*slot as usize].as_ref();
            subscription.map(|one| one.customer)
        };
        self.by_customer.sort_by_key(customer_of);
    }

    fn customer(&mut self, number: i32) -> Slot {
        self.customers.slot(&number)
    }

    fn product(&mut self, id: &str) -> Slot {
        let known = self.products.len();
        let slot = self.products.slot_of_text(id);
        if self.products.len() > known {
            self.texts_bytes += 2 * id.len() + TEXT_BYTES;
        }
        slot
    }

    fn offer(&mut self, product_id: &str, billing_type: &str) -> Slot {
        let product = self.product(product_id);
        let billing_type = self.billing_types.slot_of_text(billing_type);
        self.offers.slot(&(product, billing_type))
    }

    fn currency(&mut self, text: &str) -> Slot {
        let slot = self.currencies.slot_of_text(text);
        self.rates
            .resize_with(self.currencies.len(), Rates::default);
        slot
    }

    fn subscription(&mut self, id: &str) -> Slot {
        if let Some(&slot) = self.subscription_slots.get(id) {
            return slot;
        }
        let slot = self.started_us.len() as Slot;
        self.subscription_slots.insert(id.into(), slot);
        self.started_us.push(NOT_RECORDED);
        self.subscriptions.push(None);
        self.texts_bytes += id.len() + TEXT_BYTES;
        slot
    }

    /// The chunks that may have times of a span.
    pub(super) fn chunks_within(
        &self,
        kind: Kind,
        from_us: i64,
        to_us: i64,
    ) -> impl Iterator<Item = &Chunk> {
        let months = (kind, month_of(from_us))..=(kind, month_of(to_us));
        self.chunks.range(months).map(|(_, chunk)| chunk)
    }
}

fn check_entry(entry: &Entry) -> Result<(), RecordError> {
    check_time(entry.revenue_us)?;
    check_time(entry.order_us)?;
    check_customer(entry.customer)?;
    match (entry.orders, entry.records) {
        (-1..=1, 1 | -1) => Ok(()),
        (-1..=1, other) => Err(RecordError::Records(other)),
        (other, _) => Err(RecordError::Orders(other)),
    }
}

fn check_state(state: &State) -> Result<RecurringInterval, RecordError> {
    check_time(state.started_us)?;
    let times = [
        state.trial_end_us,
        state.canceled_us,
        state.uncanceled_us,
        state.ends_us,
        state.ended_us,
    ];
    times.into_iter().flatten().try_for_each(check_time)?;
    check_customer(state.customer)?;
    if state.amount.unsigned_abs() > SUBSCRIPTION_PICOCENTS_MAX.unsigned_abs() {
        return Err(RecordError::Amount(state.amount));
    }
    RecurringInterval::of(&state.recurring_interval, state.recurring_interval_count)
}

fn check_checkout(state: &CheckoutState) -> Result<(), RecordError> {
    state.counted_us.map_or(Ok(()), check_time)?;
    check_customer(state.customer)
}

fn check_seat(state: &SeatState) -> Result<(), RecordError> {
    let times = [Some(state.created_us), state.claimed_us, state.revoked_us];
    times.into_iter().flatten().try_for_each(check_time)?;
    check_customer(state.customer)
}

fn check_time(time_us: i64) -> Result<(), RecordError> {
    if (TIME_US_MIN..TIME_US_MAX).contains(&time_us) {
        return Ok(());
    }
    Err(RecordError::Time(time_us))
}

fn check_customer(number: i32) -> Result<(), RecordError> {
    if number < -1 {
        return Err(RecordError::Customer(number));
    }
    Ok(())
}

fn month_of(time_us: i64) -> i32 {
    month_and_year_of(utc_day_of(time_us)).0
}
