//! The sums of the orders of a period.

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::RandomState;

use super::book::{Ledger, NOT_RECORDED};
use super::chunk::{AmountPair, Chunk, Kind, Pair};
use super::groups::Tables;
use super::interned::Slot;
use super::question::{Fact, Wants};
use super::sums::{Overflow, Sums, add};

/// The orders of a group and period.
#[derive(Clone, Copy, Debug, Default)]
pub struct OrderSums {
    pub entries: i64,
    revenue: Pair<i128>,
    /// The sums by the class of the orders in the period.
    classes: [ClassSums; 4],
    renewed_subscriptions: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct ClassSums {
    orders: i64,
    revenue: Pair<i128>,
}

impl OrderSums {
    /// Books them as facts.
    pub fn book(&self, group: usize, period: usize, sums: &mut Sums) -> Result<(), Overflow> {
        let class = |class: Class| self.classes[class as usize];
        let one_time = class(Class::OneTime);
        let (new, renewed) = (class(Class::New), class(Class::Renewed));
        let mut all = ClassSums::default();
        for one in self.classes {
            all.orders += one.orders;
            add(&mut all.revenue.0, one.revenue.0)?;
            add(&mut all.revenue.1, one.revenue.1)?;
        }
        let renewed_subscriptions = i128::from(self.renewed_subscriptions);
        let facts = [
            (Fact::Entries, i128::from(self.entries)),
            (Fact::Revenue, self.revenue.0),
            (Fact::NetRevenue, self.revenue.1),
            (Fact::Orders, i128::from(all.orders)),
            (Fact::OrderRevenue, all.revenue.0),
            (Fact::OrderNetRevenue, all.revenue.1),
            (Fact::OneTimeOrders, i128::from(one_time.orders)),
            (Fact::OneTimeRevenue, one_time.revenue.0),
            (Fact::OneTimeNetRevenue, one_time.revenue.1),
            (Fact::NewRevenue, new.revenue.0),
            (Fact::NewNetRevenue, new.revenue.1),
            (Fact::RenewedSubscriptions, renewed_subscriptions),
            (Fact::RenewedRevenue, renewed.revenue.0),
            (Fact::RenewedNetRevenue, renewed.revenue.1),
        ];
        facts
            .into_iter()
            .try_for_each(|(fact, amount)| sums.add(group, period, fact, amount))
    }
}

/// The relation of an order to its subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// The order has no subscription.
    OneTime,
    /// It was started in the same period.
    New,
    Renewed,
    /// It is not recorded.
    Unknown,
}

/// A look at the entries of a period.
pub struct Scan<'a> {
    pub tables: &'a Tables,
    pub span_us: Range<i64>,
    pub wants: Wants,
    pub subscriptions: &'a mut Subscriptions,
}

impl Scan<'_> {
    /// Entries of which all count, in one group: columns are added up as a whole.
    pub fn add_plain(
        &mut self,
        sums: &mut OrderSums,
        kind: Kind,
        chunk: &Chunk,
        range: Range<usize>,
    ) -> Result<(), Overflow> {
        sums.entries += match kind.has_revenue() {
            true => chunk.records[range.clone()]
                .iter()
                .map(|&one| i64::from(one))
                .sum::<i64>(),
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

    pub fn add_grouped(
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
                true => i64::from(chunk.records[place]),
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
        if is_counted {
            0
        } else {
            i64::from(chunk.records[place])
        }
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
    /// The class of an order when the question does not tell orders apart by period.
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
    pub fn add(&self, sums: &mut Pair<i128>, place: usize) -> Result<(), Overflow> {
        add(&mut sums.0, self.0.get(place))?;
        add(&mut sums.1, self.1.get(place))
    }

    pub fn add_range(&self, sums: &mut Pair<i128>, range: Range<usize>) -> Result<(), Overflow> {
        add(&mut sums.0, self.0.sum(range.clone()).ok_or(Overflow)?)?;
        add(&mut sums.1, self.1.sum(range).ok_or(Overflow)?)
    }
}

/// The relations of orders to their subscriptions in a period. A subscription is renewed in
/// the period if it has more orders there than were taken back.
#[derive(Debug)]
pub struct Subscriptions {
    whole_us: Range<i64>,
    /// The mark of the period; that of the first period is 1.
    mark: u32,
    /// The orders of each subscription by slot.
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
    /// The subscriptions of a ledger; none if the question does not ask for them.
    pub fn of(ledger: Option<&Ledger>) -> Self {
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

    pub fn start_period(&mut self, period: usize, whole_us: Range<i64>) {
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
        let is_marked = known.mark == self.mark;
        if is_marked && known.group != group {
            let stray = self.strays.entry((subscription, group)).or_default();
            let before = *stray;
            return (Class::Renewed, renew(stray, before, orders));
        }
        // Whether it has an order already is what no processor foresees.
        let before = if is_marked { known.orders } else { 0 };
        (known.mark, known.group) = (self.mark, group);
        (Class::Renewed, renew(&mut known.orders, before, orders))
    }
}

/// Adds orders to those of before; returns how many more subscriptions have any.
#[inline]
fn renew(sum: &mut i32, before: i32, orders: i8) -> i64 {
    *sum = before + i32::from(orders);
    i64::from(*sum > 0) - i64::from(before > 0)
}
