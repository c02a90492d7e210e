//! Entries of one month and kind, column by column.
//!
//! Amounts take eight bytes while all of a column fit, so that an entry takes about
//! fifty. Entries are in the order of their times but for a short tail, because what
//! comes late, such as a refund, would otherwise move all that is later each time.

use std::mem::size_of;
use std::ops::Range;

use super::interned::Slot;
use crate::amount::sum;

/// The kind of entry that a chunk holds. An entry whose order is of another time than its
/// revenue lies in two chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Revenue and order, of no subscription.
    OneTime,
    /// Revenue and order, of a subscription.
    OfSubscription,
    /// Revenue alone.
    Revenue,
    /// Order alone, of no subscription.
    OneTimeOrder,
    /// Order alone, of a subscription.
    OrderOfSubscription,
}

impl Kind {
    pub const ALL: [Self; 5] = [
        Self::OneTime,
        Self::OfSubscription,
        Self::Revenue,
        Self::OneTimeOrder,
        Self::OrderOfSubscription,
    ];

    pub fn both(subscription: Option<Slot>) -> Self {
        match subscription {
            None => Self::OneTime,
            Some(_) => Self::OfSubscription,
        }
    }

    pub fn order(subscription: Option<Slot>) -> Self {
        match subscription {
            None => Self::OneTimeOrder,
            Some(_) => Self::OrderOfSubscription,
        }
    }

    pub fn has_revenue(self) -> bool {
        !matches!(self, Self::OneTimeOrder | Self::OrderOfSubscription)
    }

    pub fn has_order(self) -> bool {
        self != Self::Revenue
    }

    pub fn is_of_subscription(self) -> bool {
        matches!(self, Self::OfSubscription | Self::OrderOfSubscription)
    }
}

/// An entry, its time apart. Of an amount there are two: itself, and the net one.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub customer: Slot,
    pub offer: Slot,
    pub subscription: Option<Slot>,
    pub orders: i8,
    pub records: i8,
    pub revenue: (i128, i128),
    pub order_revenue: (i128, i128),
}

/// A pair of sums: of amounts, and of net amounts.
pub type Pair<T> = (T, T);

/// A column of amounts and that of the net ones.
#[derive(Debug, Default)]
pub struct AmountPair(pub Amounts, pub Amounts);

impl AmountPair {
    /// A range of both, if they are of eight bytes.
    pub fn narrow(&self, range: Range<usize>) -> Option<(&[i64], &[i64])> {
        match (&self.0.items, &self.1.items) {
            (Items::Narrow(one), Items::Narrow(other)) => {
                Some((&one[range.clone()], &other[range]))
            }
            _ => None,
        }
    }
}

/// Columns that no question about its kind needs are empty.
#[derive(Debug, Default)]
pub struct Chunk {
    times_us: Vec<i64>,
    /// The number of entries at the beginning that are in order.
    sorted: usize,
    span_us: Option<(i64, i64)>,
    pub customers: Vec<Slot>,
    pub offers: Vec<Slot>,
    pub subscriptions: Vec<Slot>,
    pub orders: Vec<i8>,
    pub records: Vec<i8>,
    /// When the revenue of an order alone was.
    pub elsewhere_us: Vec<i64>,
    pub revenue: AmountPair,
    pub order_revenue: AmountPair,
}

/// The limit of entries that are out of order: a number, and a part of those in order.
const TAIL_MAX: usize = 256;
const TAIL_PART: usize = 16;

impl Chunk {
    pub fn push(&mut self, kind: Kind, time_us: i64, elsewhere_us: Option<i64>, row: &Row) {
        let (first, last) = self.span_us.unwrap_or((time_us, time_us));
        self.span_us = Some((first.min(time_us), last.max(time_us)));
        if self.sorted == self.times_us.len() && time_us >= last {
            self.sorted += 1;
        }
        push(&mut self.times_us, time_us);
        push(&mut self.customers, row.customer);
        push(&mut self.offers, row.offer);
        push(&mut self.records, row.records);
        if kind.has_revenue() {
            self.revenue.0.push(row.revenue.0);
            self.revenue.1.push(row.revenue.1);
        }
        if kind.has_order() {
            if let Some(subscription) = row.subscription {
                push(&mut self.subscriptions, subscription);
            }
            if let Some(elsewhere_us) = elsewhere_us {
                push(&mut self.elsewhere_us, elsewhere_us);
            }
            push(&mut self.orders, row.orders);
            self.order_revenue.0.push(row.order_revenue.0);
            self.order_revenue.1.push(row.order_revenue.1);
        }
        if self.times_us.len() - self.sorted > TAIL_MAX + self.sorted / TAIL_PART {
            self.sort();
        }
    }

    fn sort(&mut self) {
        let mut order: Vec<u32> = (0..self.times_us.len() as u32).collect();
        order.sort_by_key(|&place| self.times_us[place as usize]);
        permute(&mut self.times_us, &order);
        permute(&mut self.customers, &order);
        permute(&mut self.offers, &order);
        permute(&mut self.subscriptions, &order);
        permute(&mut self.orders, &order);
        permute(&mut self.records, &order);
        permute(&mut self.elsewhere_us, &order);
        for amounts in self.amounts_mut() {
            amounts.permute(&order);
        }
        self.sorted = self.times_us.len();
    }

    /// Calls with the places of all entries from one time up to, not including, another.
    pub fn for_each_range<E>(
        &self,
        from_us: i64,
        to_us: i64,
        mut each: impl FnMut(Range<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        let all = self.times_us.len();
        match self.span_us {
            Some((first, last)) if from_us <= first && last < to_us => return each(0..all),
            Some((first, last)) if first < to_us && from_us <= last => {}
            _ => return Ok(()),
        }
        let (in_order, tail) = self.times_us.split_at(self.sorted);
        let from = in_order.partition_point(|&time| time < from_us);
        let to = from + in_order[from..].partition_point(|&time| time < to_us);
        if from < to {
            each(from..to)?;
        }
        for (place, time) in (self.sorted..).zip(tail) {
            if (from_us..to_us).contains(time) {
                each(place..place + 1)?;
            }
        }
        Ok(())
    }

    pub fn bytes(&self) -> usize {
        let amounts = [
            &self.revenue.0,
            &self.revenue.1,
            &self.order_revenue.0,
            &self.order_revenue.1,
        ];
        size_of::<Self>()
            + size_of::<i64>() * (self.times_us.capacity() + self.elsewhere_us.capacity())
            + size_of::<Slot>() * (self.customers.capacity() + self.offers.capacity())
            + size_of::<Slot>() * self.subscriptions.capacity()
            + self.orders.capacity()
            + self.records.capacity()
            + amounts.iter().map(|one| one.bytes()).sum::<usize>()
    }

    fn amounts_mut(&mut self) -> [&mut Amounts; 4] {
        let (revenue, order) = (&mut self.revenue, &mut self.order_revenue);
        [&mut revenue.0, &mut revenue.1, &mut order.0, &mut order.1]
    }
}

/// A column of amounts, and what all of them add up to.
#[derive(Debug)]
pub struct Amounts {
    items: Items,
    /// None once it had more than 127 bits.
    total: Option<i128>,
}

#[derive(Debug)]
enum Items {
    Narrow(Vec<i64>),
    Wide(Vec<i128>),
}

impl Default for Amounts {
    fn default() -> Self {
        Self {
            items: Items::Narrow(Vec::new()),
            total: Some(0),
        }
    }
}

impl Amounts {
    #[inline]
    pub fn get(&self, place: usize) -> i128 {
        match &self.items {
            Items::Narrow(items) => i128::from(items[place]),
            Items::Wide(items) => items[place],
        }
    }

    /// The sum of a range; none where it has more than 127 bits.
    pub fn sum(&self, range: Range<usize>) -> Option<i128> {
        match &self.items {
            Items::Narrow(items) if range.len() < items.len() => Some(sum::sum(&items[range])),
            Items::Wide(items) if range.len() < items.len() || self.total.is_none() => items[range]
                .iter()
                .try_fold(0, |sum: i128, &one| sum.checked_add(one)),
            _ => self.total,
        }
    }

    fn push(&mut self, amount: i128) {
        self.total = self.total.and_then(|total| total.checked_add(amount));
        match (&mut self.items, i64::try_from(amount)) {
            (Items::Narrow(items), Ok(amount)) => push(items, amount),
            (Items::Wide(items), _) => push(items, amount),
            (Items::Narrow(items), Err(_)) => {
                let mut items: Vec<i128> = items.iter().map(|&item| i128::from(item)).collect();
                push(&mut items, amount);
                self.items = Items::Wide(items);
            }
        }
    }

    fn permute(&mut self, order: &[u32]) {
        match &mut self.items {
            Items::Narrow(items) => permute(items, order),
            Items::Wide(items) => permute(items, order),
        }
    }

    fn bytes(&self) -> usize {
        match &self.items {
            Items::Narrow(items) => size_of::<i64>() * items.capacity(),
            Items::Wide(items) => size_of::<i128>() * items.capacity(),
        }
    }
}

/// Grows by an eighth: twice as much, as vectors do, would be half empty.
fn push<T>(column: &mut Vec<T>, item: T) {
    if column.len() == column.capacity() {
        column.reserve_exact(column.len() / 8 + 16);
    }
    column.push(item);
}

fn permute<T: Copy>(column: &mut Vec<T>, order: &[u32]) {
    if !column.is_empty() {
        *column = order.iter().map(|&place| column[place as usize]).collect();
    }
}
