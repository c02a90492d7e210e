//! The worth of a currency: means of the exchange rates of orders.

use std::collections::BTreeMap;
use std::mem::size_of;

use crate::fixed::{ONE_E12, divide};
use crate::time::utc_day_of;

/// The rates of the orders of one currency, by day of UTC.
#[derive(Debug, Default)]
pub struct Rates {
    days: BTreeMap<i32, Day>,
}

#[derive(Debug, Default)]
struct Day {
    all: Weighted,
    orders: Vec<Rate>,
}

#[derive(Debug)]
struct Rate {
    order_us: i64,
    rate_e12: i64,
    orders: i8,
}

/// A sum of rates, and of how many orders.
#[derive(Clone, Copy, Debug, Default)]
struct Weighted {
    orders: i64,
    rates_e12: i128,
}

impl Weighted {
    fn add(&mut self, orders: i64, rates_e12: i128) {
        self.orders += orders;
        self.rates_e12 += rates_e12;
    }

    /// None where there is no order.
    fn mean_e12(&self) -> Option<i128> {
        (self.orders > 0).then(|| divide(self.rates_e12, i128::from(self.orders)))
    }
}

impl Rates {
    pub fn add(&mut self, order_us: i64, rate_e12: i64, orders: i64) {
        let day = self.days.entry(utc_day_of(order_us)).or_default();
        day.all
            .add(orders, i128::from(orders) * i128::from(rate_e12));
        day.orders.push(Rate {
            order_us,
            rate_e12,
            orders: orders as i8,
        });
    }

    /// The mean of a period or, where it has no order, of the closest day that has one;
    /// 1 where there is none at all.
    pub fn of_period(&self, from_us: i64, to_us: i64) -> i128 {
        self.mean_within(from_us, to_us)
            .or_else(|| self.closest(utc_day_of(from_us), utc_day_of(to_us - 1)))
            .unwrap_or(ONE_E12)
    }

    fn mean_within(&self, from_us: i64, to_us: i64) -> Option<i128> {
        let (first, last) = (utc_day_of(from_us), utc_day_of(to_us - 1));
        let mut sum = Weighted::default();
        for (&number, day) in self.days.range(first..=last) {
            if first < number && number < last {
                sum.add(day.all.orders, day.all.rates_e12);
                continue;
            }
            for one in &day.orders {
                if (from_us..to_us).contains(&one.order_us) {
                    let orders = i64::from(one.orders);
                    sum.add(orders, i128::from(orders) * i128::from(one.rate_e12));
                }
            }
        }
        sum.mean_e12()
    }

    /// The mean of the day closest to those from first to last; of two that are equally
    /// close, of the earlier one.
    fn closest(&self, first: i32, last: i32) -> Option<i128> {
        let mean = |(&number, day): (&i32, &Day)| Some((number, day.all.mean_e12()?));
        let within = self.days.range(first..=last).find_map(mean);
        let before = self.days.range(..first).rev().find_map(mean);
        let after = self.days.range(last + 1..).find_map(mean);
        let closest = match (within, before, after) {
            (Some(within), _, _) => within,
            (None, Some(before), Some(after)) if first - before.0 <= after.0 - last => before,
            (None, _, Some(after)) => after,
            (None, before, None) => before?,
        };
        Some(closest.1)
    }

    pub fn bytes(&self) -> usize {
        let days = self.days.values();
        days.map(|day| size_of::<Day>() + size_of::<Rate>() * day.orders.capacity())
            .sum()
    }
}
