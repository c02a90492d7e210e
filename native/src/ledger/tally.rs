//! Adding up a ledger, by group and period.
//!
//! Entries are gone through period by period, so that a subscription counts once in
//! each by a mark of the period. What is true of a subscription from one period to
//! another is added where it begins and taken back where it ends: running sums then
//! say how much there is in each period.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::ops::Range;

use foldhash::fast::RandomState;

use super::chunk::{AmountPair, Chunk, Kind, Pair};
use super::interned::{Interned, Slot};
use super::question::{FACTS, Fact, Question, QuestionError};
use super::subscription::{RecurringInterval, Subscription};
use super::{Ledger, NOBODY, NOT_RECORDED, RECURRING, USD};
use crate::sum::{GroupError, zeros};
use crate::time::TIME_US_MIN;

/// By what records are told apart, and which have a group of their own: group i is that
/// of key i, and there is one more, of all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// They are not; there is one group.
    Nothing,
    /// By customer.
    Customers(Vec<i32>),
    /// By product.
    Products(Vec<String>),
}

/// Why nothing was added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TallyError {
    /// A sum has more than 127 bits.
    Overflow,
    /// A key comes twice.
    KeyTwice(String),
    /// There is no memory for that many groups.
    Groups(GroupError),
}

impl From<Overflow> for TallyError {
    fn from(_: Overflow) -> Self {
        Self::Overflow
    }
}

impl From<GroupError> for TallyError {
    fn from(error: GroupError) -> Self {
        Self::Groups(error)
    }
}

impl fmt::Display for TallyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overflow => f.write_str("a sum of the ledger has more than 127 bits"),
            Self::KeyTwice(key) => write!(f, "the key {key} comes twice"),
            Self::Groups(error) => fmt::Display::fmt(error, f),
        }
    }
}

/// What each group and period adds up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many groups there are.
    pub groups: usize,
    /// How many numbers of each fact a group has.
    pub slots: usize,
    sums: Sums,
    history: Option<Vec<Pair<i128>>>,
}

impl Tally {
    /// The numbers of a fact, that of slot s of group g at g · slots + s.
    pub fn column(&self, name: &str) -> Result<impl Iterator<Item = i128>, QuestionError> {
        let place = self.sums.places[Fact::place_of(name)?];
        let place = place.ok_or_else(|| QuestionError::NotAsked(name.to_owned()))?;
        let cells = self.sums.cells.iter().skip(place);
        Ok(cells.step_by(self.sums.stride).copied())
    }

    /// What lies before the first period, by group: of revenue or of net revenue.
    pub fn history(&self, name: &str) -> Result<impl Iterator<Item = i128>, QuestionError> {
        let is_net = match name {
            "revenue" => false,
            "net_revenue" => true,
            other => return Err(QuestionError::NoFact(other.to_owned())),
        };
        let history = self.history.as_ref();
        let history = history.ok_or_else(|| QuestionError::NotAsked(name.to_owned()))?;
        Ok(history
            .iter()
            .map(move |&(revenue, net)| if is_net { net } else { revenue }))
    }
}

impl Ledger {
    /// Adds up what counts, by period and group.
    pub fn tally(&self, question: &Question, keys: &Keys) -> Result<Tally, TallyError> {
        let tables = Tables::of_keys(self, question, keys)?;
        Tallying::new(self, question, &tables, false)?.tally()
    }

    /// The customers of the span, and a tally of one slot with a group for each.
    pub fn rank_customers(&self, question: &Question) -> Result<(Vec<i32>, Tally), TallyError> {
        let group_of = |slot| if slot == NOBODY { LEFT_OUT } else { slot };
        let tables = Tables {
            customers: Table::of(
                self.customers.len(),
                self.chosen_customers(question),
                group_of,
            ),
            ..Tables::of_no_group(self, question)
        };
        self.rank(question, &tables, self.customers.keys())
    }

    /// The same of products.
    pub fn rank_products(&self, question: &Question) -> Result<(Vec<Box<str>>, Tally), TallyError> {
        let products = Table::of(
            self.products.len(),
            self.chosen_products(question),
            |slot| slot,
        );
        let tables = Tables::of_products(self, question, products, self.products.len());
        self.rank(question, &tables, self.products.keys())
    }

    fn rank<K: Clone + Ord>(
        &self,
        question: &Question,
        tables: &Tables,
        keys: &[K],
    ) -> Result<(Vec<K>, Tally), TallyError> {
        let tables = Tables {
            count: keys.len(),
            ..tables.clone()
        };
        let ranking = Tallying::new(self, question, &tables, true)?;
        let (tally, present) = ranking.rank()?;
        let mut groups: Vec<usize> = (0..keys.len()).filter(|&group| present[group]).collect();
        groups.sort_unstable_by(|&one, &other| keys[one].cmp(&keys[other]));
        let keys = groups.iter().map(|&group| keys[group].clone()).collect();
        Ok((keys, tally.of_groups(&groups)))
    }

    fn chosen_customers(&self, question: &Question) -> Option<Vec<Slot>> {
        let numbers = question.customers.as_ref()?.iter();
        Some(
            numbers
                .filter_map(|one| self.customers.known(one))
                .collect(),
        )
    }

    fn chosen_products(&self, question: &Question) -> Option<Vec<Slot>> {
        let ids = question.products.as_ref()?.iter();
        Some(
            ids.filter_map(|id| self.products.known(id.as_str()))
                .collect(),
        )
    }
}

/// A record that does not count.
const LEFT_OUT: u32 = u32::MAX;

/// The group of each slot; empty where all slots are of group 0.
#[derive(Clone, Debug, Default)]
struct Table(Vec<u32>);

impl Table {
    /// Without a choice every slot counts.
    fn of(slots: usize, chosen: Option<Vec<Slot>>, group_of: impl Fn(Slot) -> u32) -> Self {
        let Some(chosen) = chosen else {
            return Self((0..slots as Slot).map(group_of).collect());
        };
        let mut table = vec![LEFT_OUT; slots];
        for slot in chosen {
            table[slot as usize] = group_of(slot);
        }
        Self(table)
    }

    fn of_one_group(slots: usize, chosen: Option<Vec<Slot>>) -> Self {
        match chosen {
            None => Self::default(),
            chosen => Self::of(slots, chosen, |_| 0),
        }
    }

    #[inline]
    fn group(&self, slot: Slot) -> u32 {
        self.0.get(slot as usize).copied().unwrap_or(0)
    }
}

/// The groups of records: those of customer and product together, of which at most one
/// is not 0.
#[derive(Clone, Debug)]
struct Tables {
    customers: Table,
    /// Of subscriptions, if they count.
    products: Table,
    subscriptions_count: bool,
    /// Of entries, by product and billing type.
    offers: Table,
    count: usize,
}

impl Tables {
    fn of_keys(ledger: &Ledger, question: &Question, keys: &Keys) -> Result<Self, TallyError> {
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

    fn of_no_group(ledger: &Ledger, question: &Question) -> Self {
        let chosen = ledger.chosen_products(question);
        let products = Table::of_one_group(ledger.products.len(), chosen);
        Self::of_products(ledger, question, products, 1)
    }

    fn of_products(ledger: &Ledger, question: &Question, products: Table, count: usize) -> Self {
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
    fn are_plain(&self) -> bool {
        self.customers.0.is_empty() && self.offers.0.is_empty()
    }

    #[inline]
    fn of_entry(&self, chunk: &Chunk, place: usize) -> Option<usize> {
        let by_customer = self.customers.group(chunk.customers[place]);
        let by_offer = self.offers.group(chunk.offers[place]);
        group_of_both(by_customer, by_offer)
    }

    fn of_subscription(&self, subscription: &Subscription) -> Option<usize> {
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
fn groups_of_keys<K: Clone + Eq + Hash + fmt::Debug>(
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

/// A sum has more than 127 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Overflow;

#[inline]
fn add(sum: &mut i128, amount: i128) -> Result<(), Overflow> {
    *sum = sum.checked_add(amount).ok_or(Overflow)?;
    Ok(())
}

/// The facts that are asked for, by group and slot.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sums {
    /// Where each fact lies in a slot; none where it is not asked for.
    places: [Option<usize>; FACTS.len()],
    stride: usize,
    periods: usize,
    /// Whether the periods share one slot.
    is_ranking: bool,
    cells: Vec<i128>,
}

/// What is true from one period to another.
const LASTING: [Fact; 10] = [
    Fact::Subscriptions,
    Fact::ActiveSubscriptions,
    Fact::CommittedSubscriptions,
    Fact::Mrr,
    Fact::CommittedMrr,
    Fact::TrialMrr,
    Fact::TrialCommittedMrr,
    Fact::ActiveCustomers,
    Fact::ChurnCanceled,
    Fact::ChurnBase,
];

impl Sums {
    fn new(question: &Question, groups: usize, is_ranking: bool) -> Result<Self, GroupError> {
        let mut stride = 0;
        let places = question.asked.map(|is_asked| {
            is_asked.then(|| {
                stride += 1;
                stride - 1
            })
        });
        let periods = question.periods();
        let slots = if is_ranking { 1 } else { periods };
        let too_many = GroupError::TooMany {
            group_count: groups,
        };
        let size = groups.checked_mul(slots).ok_or(too_many)?;
        let size = size.checked_mul(stride).ok_or(too_many)?;
        Ok(Self {
            places,
            stride,
            periods,
            is_ranking,
            cells: zeros(size).map_err(|_| too_many)?,
        })
    }

    fn slots(&self) -> usize {
        if self.is_ranking { 1 } else { self.periods }
    }

    /// What happened in a period.
    #[inline]
    fn add(
        &mut self,
        group: usize,
        period: usize,
        fact: Fact,
        amount: i128,
    ) -> Result<(), Overflow> {
        let Some(place) = self.places[fact as usize] else {
            return Ok(());
        };
        let slot = if self.is_ranking { 0 } else { period };
        let at = (group * self.slots() + slot) * self.stride + place;
        add(&mut self.cells[at], amount)
    }

    /// What lasts through some periods, which is one of [`LASTING`].
    #[inline]
    fn add_lasting(
        &mut self,
        group: usize,
        periods: &Range<usize>,
        fact: Fact,
        amount: i128,
    ) -> Result<(), Overflow> {
        if periods.is_empty() {
            return Ok(());
        }
        if self.is_ranking {
            let lasts = periods.end == self.periods;
            return if lasts {
                self.add(group, 0, fact, amount)
            } else {
                Ok(())
            };
        }
        self.add(group, periods.start, fact, amount)?;
        if periods.end < self.periods {
            self.add(group, periods.end, fact, -amount)?;
        }
        Ok(())
    }

    /// Turns what began and ended into what there is.
    fn run(&mut self) -> Result<(), Overflow> {
        let slots = self.slots();
        for group in self.cells.chunks_mut((slots * self.stride).max(1)) {
            for place in LASTING.iter().filter_map(|&one| self.places[one as usize]) {
                for at in (place + self.stride..group.len()).step_by(self.stride) {
                    let before = group[at - self.stride];
                    add(&mut group[at], before)?;
                }
            }
        }
        Ok(())
    }
}

impl Tally {
    fn of_groups(&self, groups: &[usize]) -> Self {
        let size = self.slots * self.sums.stride;
        let cells = groups
            .iter()
            .flat_map(|group| &self.sums.cells[group * size..(group + 1) * size]);
        let history = self.history.as_ref();
        Self {
            groups: groups.len(),
            slots: self.slots,
            sums: Sums {
                cells: cells.copied().collect(),
                ..self.sums.without_cells()
            },
            history: history.map(|all| groups.iter().map(|&group| all[group]).collect()),
        }
    }
}

impl Sums {
    fn without_cells(&self) -> Self {
        Self {
            cells: Vec::new(),
            ..*self
        }
    }
}

/// The orders of a group and period.
#[derive(Clone, Copy, Debug, Default)]
struct OrderSums {
    entries: i64,
    revenue: Pair<i128>,
    /// By what their subscription is in the period.
    classes: [ClassSums; 4],
    renewed_subscriptions: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct ClassSums {
    orders: i64,
    revenue: Pair<i128>,
}

/// What an order is to the subscription that it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// It is of none.
    OneTime,
    /// It was started in the same period.
    New,
    Renewed,
    /// It is not recorded.
    Unknown,
}

/// One question, half answered.
struct Tallying<'a> {
    ledger: &'a Ledger,
    question: &'a Question,
    tables: &'a Tables,
    wants: Wants,
    sums: Sums,
    orders: Vec<OrderSums>,
    subscriptions: Subscriptions,
}

/// What must be looked at.
#[derive(Clone, Copy, Debug)]
struct Wants {
    entries: bool,
    revenue: bool,
    orders: bool,
    classes: bool,
    subscriptions: bool,
}

impl Wants {
    fn of(question: &Question, is_ranking: bool) -> Self {
        let classes = question.asks_any(&[
            Fact::NewRevenue,
            Fact::NewNetRevenue,
            Fact::RenewedSubscriptions,
            Fact::RenewedRevenue,
            Fact::RenewedNetRevenue,
        ]);
        let orders = question.asks_any(&[
            Fact::Orders,
            Fact::OrderRevenue,
            Fact::OrderNetRevenue,
            Fact::OneTimeOrders,
            Fact::OneTimeRevenue,
            Fact::OneTimeNetRevenue,
        ]);
        let subscriptions = LASTING
            .into_iter()
            .chain([Fact::NewSubscriptions, Fact::Churned]);
        let subscriptions: Vec<Fact> = subscriptions.chain(CANCELED).collect();
        Self {
            entries: is_ranking || question.asks_any(&[Fact::Entries]),
            revenue: question.asks_any(&[Fact::Revenue, Fact::NetRevenue]),
            orders: orders || classes,
            classes,
            subscriptions: is_ranking || question.asks_any(&subscriptions),
        }
    }

    fn looks_at(self, kind: Kind) -> bool {
        self.entries || self.revenue && kind.has_revenue() || self.orders && kind.has_order()
    }
}

const CANCELED: [Fact; 9] = [
    Fact::Canceled,
    Fact::CanceledCustomerService,
    Fact::CanceledLowQuality,
    Fact::CanceledMissingFeatures,
    Fact::CanceledSwitchedService,
    Fact::CanceledTooComplex,
    Fact::CanceledTooExpensive,
    Fact::CanceledUnused,
    Fact::CanceledOther,
];

impl<'a> Tallying<'a> {
    fn new(
        ledger: &'a Ledger,
        question: &'a Question,
        tables: &'a Tables,
        is_ranking: bool,
    ) -> Result<Self, GroupError> {
        let wants = Wants::of(question, is_ranking);
        Ok(Self {
            ledger,
            question,
            tables,
            sums: Sums::new(question, tables.count, is_ranking)?,
            orders: zeros(tables.count)?,
            subscriptions: Subscriptions::of(wants.classes.then_some(ledger)),
            wants,
        })
    }

    fn tally(mut self) -> Result<Tally, TallyError> {
        for period in 0..self.question.periods() {
            self.add_entries(period)?;
            self.book_orders(period)?;
            self.orders.fill(OrderSums::default());
        }
        let mut present = Vec::new();
        self.add_subscriptions(&mut present)?;
        self.finish()
    }

    /// A tally of one slot, and whether each group has an entry or a subscription.
    fn rank(mut self) -> Result<(Tally, Vec<bool>), TallyError> {
        for period in 0..self.question.periods() {
            self.add_entries(period)?;
        }
        self.book_orders(0)?;
        let mut present: Vec<bool> = self.orders.iter().map(|one| one.entries > 0).collect();
        self.add_subscriptions(&mut present)?;
        Ok((self.finish()?, present))
    }

    fn finish(mut self) -> Result<Tally, TallyError> {
        if !self.sums.is_ranking {
            self.sums.run()?;
        }
        let asks_history = self.question.asks_history;
        Ok(Tally {
            groups: self.tables.count,
            slots: self.sums.slots(),
            history: asks_history.then(|| self.history()).transpose()?,
            sums: self.sums,
        })
    }

    fn history(&self) -> Result<Vec<Pair<i128>>, TallyError> {
        let (tables, start_us) = (self.tables, self.question.span_us.start);
        let mut sums: Vec<Pair<i128>> = zeros(tables.count)?;
        for kind in Kind::ALL.into_iter().filter(|kind| kind.has_revenue()) {
            for chunk in self.ledger.chunks_within(kind, TIME_US_MIN, start_us) {
                chunk.for_each_range(TIME_US_MIN, start_us, |range| {
                    if tables.are_plain() {
                        return chunk.revenue.add_range(&mut sums[0], range);
                    }
                    for place in range {
                        if let Some(group) = tables.of_entry(chunk, place) {
                            chunk.revenue.add(&mut sums[group], place)?;
                        }
                    }
                    Ok(())
                })?;
            }
        }
        Ok(sums)
    }
}

/// What orders add.
impl Tallying<'_> {
    fn add_entries(&mut self, period: usize) -> Result<(), Overflow> {
        let (ledger, tables, orders) = (self.ledger, self.tables, &mut self.orders);
        let bounds_us = self.question.bounds_of(period);
        self.subscriptions
            .start_period(period, self.question.whole_bounds_of(period));
        let mut scan = Scan {
            tables,
            span_us: self.question.span_us.clone(),
            wants: self.wants,
            subscriptions: &mut self.subscriptions,
        };
        for kind in Kind::ALL {
            if !self.wants.looks_at(kind) {
                continue;
            }
            for chunk in ledger.chunks_within(kind, bounds_us.start, bounds_us.end - 1) {
                chunk.for_each_range(bounds_us.start, bounds_us.end, |range| {
                    if tables.are_plain() {
                        scan.add_plain(&mut orders[0], kind, chunk, range)
                    } else {
                        scan.add_grouped(orders, kind, chunk, range)
                    }
                })?;
            }
        }
        Ok(())
    }

    /// Books what the orders of a period add up to.
    fn book_orders(&mut self, period: usize) -> Result<(), Overflow> {
        for (group, sums) in self.orders.iter().enumerate() {
            let class = |class: Class| sums.classes[class as usize];
            let one_time = class(Class::OneTime);
            let (new, renewed) = (class(Class::New), class(Class::Renewed));
            let mut all = ClassSums::default();
            for one in sums.classes {
                all.orders += one.orders;
                add(&mut all.revenue.0, one.revenue.0)?;
                add(&mut all.revenue.1, one.revenue.1)?;
            }
            for (fact, amount) in [
                (Fact::Entries, i128::from(sums.entries)),
                (Fact::Revenue, sums.revenue.0),
                (Fact::NetRevenue, sums.revenue.1),
                (Fact::Orders, i128::from(all.orders)),
                (Fact::OrderRevenue, all.revenue.0),
                (Fact::OrderNetRevenue, all.revenue.1),
                (Fact::OneTimeOrders, i128::from(one_time.orders)),
                (Fact::OneTimeRevenue, one_time.revenue.0),
                (Fact::OneTimeNetRevenue, one_time.revenue.1),
                (Fact::NewRevenue, new.revenue.0),
                (Fact::NewNetRevenue, new.revenue.1),
                (
                    Fact::RenewedSubscriptions,
                    i128::from(sums.renewed_subscriptions),
                ),
                (Fact::RenewedRevenue, renewed.revenue.0),
                (Fact::RenewedNetRevenue, renewed.revenue.1),
            ] {
                self.sums.add(group, period, fact, amount)?;
            }
        }
        Ok(())
    }
}

/// A look at the entries of a period.
struct Scan<'a> {
    tables: &'a Tables,
    span_us: Range<i64>,
    wants: Wants,
    subscriptions: &'a mut Subscriptions,
}

impl Scan<'_> {
    /// Entries of which all count, in one group: columns are added up as a whole.
    fn add_plain(
        &mut self,
        sums: &mut OrderSums,
        kind: Kind,
        chunk: &Chunk,
        range: Range<usize>,
    ) -> Result<(), Overflow> {
        sums.entries += match kind.has_revenue() {
            true => range.len() as i64,
            false => range.clone().map(|place| self.counts(chunk, place)).sum(),
        };
        if self.wants.revenue && kind.has_revenue() {
            chunk.revenue.add_range(&mut sums.revenue, range.clone())?;
        }
        if !self.wants.orders || !kind.has_order() {
            return Ok(());
        }
        if kind.is_of_subscription() && self.wants.classes {
            return self.add_orders(sums, chunk, range);
        }
        let class = &mut sums.classes[Class::without_period(kind) as usize];
        let orders = chunk.orders[range.clone()].iter();
        class.orders += orders.map(|&one| i64::from(one)).sum::<i64>();
        chunk.order_revenue.add_range(&mut class.revenue, range)
    }

    fn add_grouped(
        &mut self,
        orders: &mut [OrderSums],
        kind: Kind,
        chunk: &Chunk,
        range: Range<usize>,
    ) -> Result<(), Overflow> {
        for place in range {
            let Some(group) = self.tables.of_entry(chunk, place) else {
                continue;
            };
            let sums = &mut orders[group];
            sums.entries += match kind.has_revenue() {
                true => 1,
                false => self.counts(chunk, place),
            };
            if self.wants.revenue && kind.has_revenue() {
                chunk.revenue.add(&mut sums.revenue, place)?;
            }
            if !self.wants.orders || !kind.has_order() {
                continue;
            }
            if kind.is_of_subscription() && self.wants.classes {
                self.add_order(sums, group as u32, chunk, place)?;
            } else {
                sums.classes[Class::without_period(kind) as usize].add(chunk, place)?;
            }
        }
        Ok(())
    }

    /// An order alone is an entry of its own where its revenue is not of the span.
    fn counts(&self, chunk: &Chunk, place: usize) -> i64 {
        let is_counted = self.span_us.contains(&chunk.elsewhere_us[place]);
        i64::from(!is_counted)
    }

    /// Orders of subscriptions, all of one group.
    fn add_orders(
        &mut self,
        sums: &mut OrderSums,
        chunk: &Chunk,
        range: Range<usize>,
    ) -> Result<(), Overflow> {
        let Some((revenue, net)) = chunk.order_revenue.narrow(range.clone()) else {
            return range
                .into_iter()
                .try_for_each(|place| self.add_order(sums, 0, chunk, place));
        };
        // As many amounts of eight bytes as there are never have more than 127 bits, and
        // sums that are nobody else's stay in registers.
        let (mut new, mut renewed, mut unknown) = Default::default();
        let mut renewed_subscriptions = 0;
        let subscriptions = chunk.subscriptions[range.clone()].iter();
        let orders = subscriptions.zip(&chunk.orders[range]);
        for ((&subscription, &orders), amounts) in orders.zip(revenue.iter().zip(net)) {
            let (class, renewals) = self.subscriptions.add(subscription, 0, orders);
            renewed_subscriptions += renewals;
            let sums: &mut ClassSums = match class {
                Class::Renewed => &mut renewed,
                Class::New => &mut new,
                _ => &mut unknown,
            };
            sums.orders += i64::from(orders);
            sums.revenue.0 += i128::from(*amounts.0);
            sums.revenue.1 += i128::from(*amounts.1);
        }
        sums.renewed_subscriptions += renewed_subscriptions;
        for (class, part) in [
            (Class::New, new),
            (Class::Renewed, renewed),
            (Class::Unknown, unknown),
        ] {
            let class = &mut sums.classes[class as usize];
            class.orders += part.orders;
            add(&mut class.revenue.0, part.revenue.0)?;
            add(&mut class.revenue.1, part.revenue.1)?;
        }
        Ok(())
    }

    /// An order of a subscription.
    #[inline]
    fn add_order(
        &mut self,
        sums: &mut OrderSums,
        group: u32,
        chunk: &Chunk,
        place: usize,
    ) -> Result<(), Overflow> {
        let (subscription, orders) = (chunk.subscriptions[place], chunk.orders[place]);
        let (class, renewals) = self.subscriptions.add(subscription, group, orders);
        sums.renewed_subscriptions += renewals;
        sums.classes[class as usize].add(chunk, place)
    }
}

impl Class {
    /// Where nobody asks for what a period tells apart.
    fn without_period(kind: Kind) -> Self {
        if kind.is_of_subscription() {
            Self::Unknown
        } else {
            Self::OneTime
        }
    }
}

impl ClassSums {
    #[inline]
    fn add(&mut self, chunk: &Chunk, place: usize) -> Result<(), Overflow> {
        self.orders += i64::from(chunk.orders[place]);
        chunk.order_revenue.add(&mut self.revenue, place)
    }
}

impl AmountPair {
    #[inline]
    fn add(&self, sums: &mut Pair<i128>, place: usize) -> Result<(), Overflow> {
        add(&mut sums.0, self.0.get(place))?;
        add(&mut sums.1, self.1.get(place))
    }

    fn add_range(&self, sums: &mut Pair<i128>, range: Range<usize>) -> Result<(), Overflow> {
        add(&mut sums.0, self.0.sum(range.clone()).ok_or(Overflow)?)?;
        add(&mut sums.1, self.1.sum(range).ok_or(Overflow)?)
    }
}

/// What orders are to their subscriptions in a period. A subscription is renewed in it
/// if it has more orders there than were taken back.
#[derive(Debug)]
struct Subscriptions {
    whole_us: Range<i64>,
    /// That of the first period is 1.
    mark: u32,
    /// By slot.
    orders: Vec<SubscriptionOrders>,
    /// Orders of a group that is not the first of its subscription in the period.
    strays: HashMap<(Slot, u32), i32, RandomState>,
}

/// A subscription, and its orders of one group in the period of the mark.
#[derive(Clone, Copy, Debug)]
struct SubscriptionOrders {
    started_us: i64,
    mark: u32,
    group: u32,
    orders: i32,
}

impl Subscriptions {
    /// Of no ledger where nobody asks.
    fn of(ledger: Option<&Ledger>) -> Self {
        let started_us = ledger.map_or(&[][..], |ledger| &ledger.started_us);
        let orders = started_us.iter().map(|&started_us| SubscriptionOrders {
            started_us,
            mark: 0,
            group: 0,
            orders: 0,
        });
        Self {
            whole_us: 0..0,
            mark: 0,
            orders: orders.collect(),
            strays: HashMap::default(),
        }
    }

    fn start_period(&mut self, period: usize, whole_us: Range<i64>) {
        self.whole_us = whole_us;
        self.mark = period as u32 + 1;
        self.strays.clear();
    }

    /// Adds orders; returns what they are, and how many more subscriptions are renewed.
    #[inline]
    fn add(&mut self, subscription: Slot, group: u32, orders: i8) -> (Class, i64) {
        let known = &mut self.orders[subscription as usize];
        if known.started_us == NOT_RECORDED {
            return (Class::Unknown, 0);
        }
        if self.whole_us.contains(&known.started_us) {
            return (Class::New, 0);
        }
        if known.mark != self.mark {
            (known.mark, known.group, known.orders) = (self.mark, group, 0);
        }
        let sum = if known.group == group {
            &mut known.orders
        } else {
            self.strays.entry((subscription, group)).or_default()
        };
        let before = *sum;
        *sum += i32::from(orders);
        let renewed = i64::from(*sum > 0) - i64::from(before > 0);
        (Class::Renewed, renewed)
    }
}

/// How long a subscription is active.
#[derive(Clone, Debug)]
struct Active {
    group: usize,
    is_committed: bool,
    trial: Range<usize>,
    paid: Range<usize>,
}

/// What an active subscription earns that is not in usd. Those of one group and price
/// are counted first: what one of them earns in a period is worked out once.
#[derive(Clone, Debug)]
struct Foreign<'a> {
    subscription: &'a Subscription,
    active: Active,
}

impl Foreign<'_> {
    fn price(&self) -> (usize, Slot, RecurringInterval, i128) {
        let one = self.subscription;
        (self.active.group, one.currency, one.interval, one.amount)
    }
}

/// What subscriptions add.
impl<'a> Tallying<'a> {
    /// Notes in `present`, if it has a place for each group, which have a subscription in
    /// the span.
    fn add_subscriptions(&mut self, present: &mut [bool]) -> Result<(), Overflow> {
        if !self.wants.subscriptions || !self.tables.subscriptions_count {
            return Ok(());
        }
        let ledger = self.ledger;
        let mut foreign: Vec<Foreign<'a>> = Vec::new();
        let mut customers = ActiveCustomers::default();
        for &slot in &ledger.by_customer {
            let Some(subscription) = &ledger.subscriptions[slot as usize] else {
                continue;
            };
            let Some(group) = self.tables.of_subscription(subscription) else {
                continue;
            };
            self.add_ends(group, subscription)?;
            if self.add_presence(group, subscription)?
                && let Some(present) = present.get_mut(group)
            {
                *present = true;
            }
            let Some(active) = self.active(group, subscription) else {
                continue;
            };
            self.add_active(subscription, &active)?;
            customers.add(&mut self.sums, subscription.customer, &active)?;
            if subscription.currency != USD {
                foreign.push(Foreign {
                    subscription,
                    active,
                });
            }
        }
        customers.book(&mut self.sums)?;
        self.add_foreign(foreign)
    }

    /// Whether it is of the span, as far as it counts in it.
    fn add_presence(
        &mut self,
        group: usize,
        subscription: &Subscription,
    ) -> Result<bool, Overflow> {
        let span_us = &self.question.span_us;
        let ends_before = subscription.end_us.is_some_and(|end| end < span_us.start);
        let is_present = subscription.started_us < span_us.end && !ends_before;
        if is_present {
            let periods = 0..self.question.periods();
            self.sums
                .add_lasting(group, &periods, Fact::Subscriptions, 1)?;
        }
        Ok(is_present)
    }

    /// Ends, cancellations, and those that might have been canceled.
    fn add_ends(&mut self, group: usize, subscription: &Subscription) -> Result<(), Overflow> {
        let question = self.question;
        let period_of = |time: Option<i64>| time.and_then(|time| question.period_of(time));
        if let Some(period) = period_of(subscription.end_us) {
            self.sums.add(group, period, Fact::Churned, 1)?;
        }
        if let Some(period) = period_of(subscription.canceled_us) {
            self.sums.add(group, period, Fact::Canceled, 1)?;
            self.sums
                .add(group, period, subscription.cancel_reason, 1)?;
        }
        if let Some(canceled) = subscription.canceled_us {
            let ended = question.churn_to_us.up_to(canceled);
            let periods = ended..question.churn_from_us.up_to(canceled);
            self.sums
                .add_lasting(group, &periods, Fact::ChurnCanceled, 1)?;
        }
        let before = |time: i64| question.churn_from_us.up_to(time - 1);
        let end = subscription.end_us.map_or(question.periods(), before);
        let base = before(subscription.started_us)..end;
        self.sums.add_lasting(group, &base, Fact::ChurnBase, 1)
    }

    /// The periods at whose ends it is active, if there are any.
    fn active(&self, group: usize, subscription: &Subscription) -> Option<Active> {
        let ends_us = &self.question.whole_ends_us;
        if subscription.started_us >= self.question.span_us.end {
            return None;
        }
        let first = ends_us.up_to(subscription.started_us);
        let periods = self.question.periods();
        let end = subscription.end_us;
        let end = end.map_or(periods, |end| ends_us.up_to(end));
        let trial_end = subscription.trial_end_us;
        let trial_end = trial_end.map_or(first, |end| ends_us.up_to(end));
        let paid_from = trial_end.clamp(first, end.max(first));
        (first < end).then_some(Active {
            group,
            is_committed: subscription.end_us.is_none(),
            trial: first..paid_from,
            paid: paid_from..end,
        })
    }

    fn add_active(&mut self, subscription: &Subscription, active: &Active) -> Result<(), Overflow> {
        let (group, sums) = (active.group, &mut self.sums);
        let periods = active.trial.start..active.paid.end;
        // The first period also holds its start.
        let starts_us = &self.question.whole_bounds_us;
        if starts_us[periods.start] <= subscription.started_us {
            sums.add(group, periods.start, Fact::NewSubscriptions, 1)?;
        }
        sums.add_lasting(group, &periods, Fact::ActiveSubscriptions, 1)?;
        if active.is_committed {
            sums.add_lasting(group, &periods, Fact::CommittedSubscriptions, 1)?;
        }
        if subscription.currency == USD {
            let monthly = subscription.monthly;
            sums.add_lasting(group, &active.paid, Fact::Mrr, monthly)?;
            sums.add_lasting(group, &active.trial, Fact::TrialMrr, monthly)?;
            if active.is_committed {
                sums.add_lasting(group, &active.paid, Fact::CommittedMrr, monthly)?;
                sums.add_lasting(group, &active.trial, Fact::TrialCommittedMrr, monthly)?;
            }
        }
        Ok(())
    }

    fn add_foreign(&mut self, mut all: Vec<Foreign<'_>>) -> Result<(), Overflow> {
        all.sort_unstable_by_key(Foreign::price);
        let mut rates = PeriodRates::default();
        for alike in all.chunk_by(|one, other| one.price() == other.price()) {
            let one = alike[0].subscription;
            let rates_e12 = rates.of(self.ledger, self.question, one.currency);
            for (fact, counts) in counts_of(alike, self.question.periods()) {
                if self.sums.places[fact as usize].is_none() {
                    continue;
                }
                for (period, (&count, &rate_e12)) in counts.iter().zip(rates_e12).enumerate() {
                    if count != 0 {
                        let monthly = one.monthly_at(rate_e12);
                        let all = monthly.checked_mul(i128::from(count)).ok_or(Overflow)?;
                        let (group, periods) = (alike[0].active.group, period..period + 1);
                        self.sums.add_lasting(group, &periods, fact, all)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// How many subscriptions earn in each period, by fact.
fn counts_of(alike: &[Foreign<'_>], periods: usize) -> [(Fact, Vec<i64>); 4] {
    let facts = [
        Fact::Mrr,
        Fact::TrialMrr,
        Fact::CommittedMrr,
        Fact::TrialCommittedMrr,
    ];
    let mut counts = facts.map(|fact| (fact, vec![0; periods + 1]));
    for one in alike {
        let is_committed = usize::from(one.active.is_committed);
        for (place, (_, counts)) in counts.iter_mut().enumerate().take(2 + 2 * is_committed) {
            let periods = [&one.active.paid, &one.active.trial][place % 2];
            counts[periods.start] += 1;
            counts[periods.end] -= 1;
        }
    }
    for (_, counts) in &mut counts {
        for period in 1..counts.len() {
            counts[period] += counts[period - 1];
        }
        counts.pop();
    }
    counts
}

/// The exchange rates of the periods, by currency.
#[derive(Debug, Default)]
struct PeriodRates(HashMap<Slot, Vec<i128>, RandomState>);

impl PeriodRates {
    fn of(&mut self, ledger: &Ledger, question: &Question, currency: Slot) -> &[i128] {
        self.0.entry(currency).or_insert_with(|| {
            let rates = &ledger.rates[currency as usize];
            let periods = (0..question.periods()).map(|period| question.whole_bounds_of(period));
            periods
                .map(|whole| rates.of_period(whole.start, whole.end))
                .collect()
        })
    }
}

/// Counts customers once in a group and period, however many subscriptions they have.
/// Those of one customer must come together.
#[derive(Debug, Default)]
struct ActiveCustomers {
    customer: Slot,
    /// Group, and first period and end of a subscription of the customer.
    active: Vec<(usize, usize, usize)>,
}

impl ActiveCustomers {
    fn add(&mut self, sums: &mut Sums, customer: Slot, active: &Active) -> Result<(), Overflow> {
        if customer != self.customer {
            self.book(sums)?;
            self.customer = customer;
        }
        let of_subscription = (active.group, active.trial.start, active.paid.end);
        self.active.push(of_subscription);
        Ok(())
    }

    /// Books the last customer.
    fn book(&mut self, sums: &mut Sums) -> Result<(), Overflow> {
        self.active.sort_unstable();
        let mut counted = (usize::MAX, 0);
        for (group, first, end) in self.active.drain(..) {
            if group != counted.0 {
                counted = (group, 0);
            }
            let periods = first.max(counted.1)..end;
            sums.add_lasting(group, &periods, Fact::ActiveCustomers, 1)?;
            counted.1 = counted.1.max(end);
        }
        Ok(())
    }
}
