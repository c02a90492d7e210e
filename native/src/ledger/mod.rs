//! The orders and subscriptions of one organization, kept in memory and ready to be
//! added up: by period, by customer or by product, of all or of some.
//!
//! Entries never change; a correction is a negative entry. They lie in columns by the
//! month of their time (`chunk`), because questions are about spans of time. The state
//! of a subscription does change, so that everything about it is decided when a
//! question is asked (`tally`), never when a record arrives.
#![forbid(unsafe_code)]

mod chunk;
mod groups;
mod interned;
mod orders;
mod question;
mod rates;
mod states;
mod subscription;
mod sums;
mod tally;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem::size_of;

use foldhash::fast::RandomState;

use chunk::{Chunk, Kind, Row};
pub use groups::Keys;
use interned::{Interned, Slot};
pub use question::{FACTS, Fact, Question, QuestionError};
use rates::Rates;
use subscription::{RecurringInterval, Subscription};
pub use tally::{Tally, TallyError};

use crate::time::{DAY_US, TIME_US_MAX, TIME_US_MIN, month_and_year_of};

/// What an order or a refund adds to metrics. Amounts are picocents of usd.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of a ledger entry")]
pub struct Entry {
    pub revenue_us: i64,
    pub order_us: i64,
    /// −1 where it has none.
    pub customer: i32,
    pub product_id: String,
    pub billing_type: String,
    pub subscription_id: String,
    pub currency: String,
    pub exchange_rate_e12: i64,
    pub revenue: i128,
    pub net_revenue: i128,
    /// How many orders it is: −1, 0 or 1.
    pub orders: i64,
    pub order_revenue: i128,
    pub order_net_revenue: i128,
    /// 1, or −1 where it takes another one back.
    pub records: i64,
}

/// The state of a subscription. The amount is picocents of its currency.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of a subscription")]
pub struct State {
    pub subscription_id: String,
    pub customer: i32,
    pub product_id: String,
    pub currency: String,
    pub amount: i128,
    pub recurring_interval: String,
    pub recurring_interval_count: i64,
    pub started_us: i64,
    pub trial_end_us: Option<i64>,
    pub canceled_us: Option<i64>,
    pub cancel_reason: String,
    pub uncanceled_us: Option<i64>,
    pub ends_us: Option<i64>,
    pub ended_us: Option<i64>,
}

/// Why records were not added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// A time is not of the years 1 to 9999.
    Time(i64),
    /// A number of a customer below −1.
    Customer(i32),
    /// An entry of more than one order.
    Orders(i64),
    /// An entry that is neither one record nor takes one back.
    Records(i64),
    /// No such interval.
    RecurringInterval(String),
    /// Not this many intervals.
    RecurringIntervalCount(i64),
    /// A subscription of more than [`SUBSCRIPTION_PICOCENTS_MAX`].
    Amount(i128),
}

/// The greatest amount of a subscription, either way: ten times what is ever recorded,
/// and no rate and no interval makes more than 127 bits of it.
pub const SUBSCRIPTION_PICOCENTS_MAX: i128 = 10_i128.pow(28);

impl std::fmt::Display for RecordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Time(us) => write!(f, "the time {us} is not of the years 1 to 9999"),
            Self::Customer(number) => {
                write!(f, "there is no customer {number}; -1 or more is allowed")
            }
            Self::Records(records) => {
                write!(f, "an entry of {records} records; -1 and 1 are allowed")
            }
            Self::Orders(orders) => {
                write!(f, "an entry of {orders} orders; -1, 0 and 1 are allowed")
            }
            Self::RecurringInterval(text) => write!(
                f,
                "there is no interval {text:?}; day, week, month and year are allowed"
            ),
            Self::RecurringIntervalCount(count) => {
                write!(f, "every {count} intervals; 1 to {} are allowed", u32::MAX)
            }
            Self::Amount(amount) => write!(
                f,
                "a subscription of {amount} picocents; at most 10^28 are allowed"
            ),
        }
    }
}

/// The entries and subscriptions of one organization.
#[derive(Debug)]
pub struct Ledger {
    position: i64,
    customers: Interned<i32>,
    products: Interned<Box<str>>,
    billing_types: Interned<Box<str>>,
    currencies: Interned<Box<str>>,
    /// (product, billing type) of entries.
    offers: Interned<(Slot, Slot)>,
    /// How often each offer was ordered.
    ordered: HashMap<Slot, i64, RandomState>,
    subscription_slots: HashMap<Box<str>, Slot, RandomState>,
    /// By slot; [`NOT_RECORDED`] where only orders know the subscription.
    started_us: Vec<i64>,
    subscriptions: Vec<Option<Subscription>>,
    /// The slots of recorded subscriptions, those of one customer together.
    by_customer: Vec<Slot>,
    chunks: BTreeMap<(Kind, i32), Chunk>,
    /// By currency; none of usd.
    rates: Vec<Rates>,
    texts_bytes: usize,
}

/// No time of a record.
const NOT_RECORDED: i64 = i64::MAX;

/// What every ledger knows: no customer, and usd.
const NOBODY: Slot = 0;
const USD: Slot = 0;

/// The billing type of all subscriptions.
const RECURRING: &str = "recurring";

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
        size_of::<Self>() + chunks + rates + subscriptions + self.texts_bytes
    }

    /// Adds the records up to a position, all or none; does nothing where they are in
    /// it already.
    pub fn add(
        &mut self,
        entries: &[Entry],
        states: &[State],
        position: i64,
    ) -> Result<(), RecordError> {
        if position <= self.position {
            return Ok(());
        }
        entries.iter().try_for_each(check_entry)?;
        let intervals: Vec<RecurringInterval> =
            states.iter().map(check_state).collect::<Result<_, _>>()?;
        for entry in entries {
            self.add_entry(entry);
        }
        for (state, interval) in states.iter().zip(intervals) {
            self.put_state(state, interval);
        }
        if !states.is_empty() {
            self.sort_by_customer();
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
        let product = self.product(&entry.product_id);
        let billing_type = self.billing_types.slot_of_text(&entry.billing_type);
        let offer = self.offers.slot(&(product, billing_type));
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
    fn chunks_within(&self, kind: Kind, from_us: i64, to_us: i64) -> impl Iterator<Item = &Chunk> {
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

/// The day of UTC, counted from 1970-01-01, that holds a time of the years 1 to 9999.
fn utc_day_of(time_us: i64) -> i32 {
    time_us.div_euclid(DAY_US) as i32
}

fn month_of(time_us: i64) -> i32 {
    month_and_year_of(utc_day_of(time_us)).0
}
