//! The formulas of a ledger, computed from each record for each period.
#![allow(
    dead_code,
    reason = "each test and fuzz target that includes this uses a part of it"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use cost_insights_native::ledger::{
    CheckoutState, Entry, FACTS, Keys, Ledger, Question, Records, SeatState, State, Tally,
};
use cost_insights_native::time::DAY_US;
use proptest::prelude::*;

pub const E12: i128 = 1_000_000_000_000;
pub const HOUR_US: i64 = DAY_US / 24;

/// Periods and what counts, as a test asks for it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub bounds: Vec<i64>,
    pub whole: Vec<i64>,
    pub by_year: bool,
    pub customers: Option<Vec<i32>>,
    pub products: Option<Vec<String>>,
    pub billing_types: Option<Vec<String>>,
}

impl Asked {
    pub fn question(&self) -> Question {
        Question::new(self.bounds.clone(), self.whole.clone(), self.by_year)
            .unwrap()
            .of(
                self.customers.clone(),
                self.products.clone(),
                self.billing_types.clone(),
            )
    }

    pub fn periods(&self) -> Range<usize> {
        0..self.bounds.len() - 1
    }

    pub fn span(&self) -> Range<i64> {
        self.bounds[0]..self.bounds[self.bounds.len() - 1]
    }

    pub fn clipped(&self, period: usize) -> Range<i64> {
        self.bounds[period]..self.bounds[period + 1]
    }

    pub fn whole(&self, period: usize) -> Range<i64> {
        self.whole[period]..self.whole[period + 1]
    }

    pub fn lets_through(&self, customer: i32, product: &str, billing_type: &str) -> bool {
        let has = |list: &Option<Vec<String>>, text: &str| {
            list.as_ref()
                .is_none_or(|list| list.iter().any(|one| one == text))
        };
        let customers = self.customers.as_ref();
        customers.is_none_or(|list| list.contains(&customer))
            && has(&self.products, product)
            && has(&self.billing_types, billing_type)
    }
}

/// The records of a ledger: all entries, and the latest state of everything that has states.
#[derive(Debug, Default)]
pub struct All {
    pub entries: Vec<Entry>,
    pub states: BTreeMap<String, State>,
    pub checkouts: BTreeMap<String, CheckoutState>,
    pub seats: BTreeMap<String, SeatState>,
}

impl All {
    pub fn add(&mut self, records: Records) {
        self.entries.extend(records.entries);
        for state in records.subscriptions {
            self.states.insert(state.subscription_id.clone(), state);
        }
        for state in records.checkouts {
            self.checkouts.insert(state.checkout_id.clone(), state);
        }
        for state in records.seats {
            self.seats.insert(state.seat_id.clone(), state);
        }
    }
}

/// All records, and each formula as it is written down.
pub struct Twin<'a> {
    /// Whatever counts.
    pub all: &'a [Entry],
    pub entries: Vec<&'a Entry>,
    /// The starts of all recorded subscriptions, whether they count or not.
    pub started: BTreeMap<&'a str, i64>,
    pub states: Vec<&'a State>,
    pub checkouts: Vec<&'a CheckoutState>,
    pub seats: Vec<&'a SeatState>,
    pub asked: &'a Asked,
}

impl<'a> Twin<'a> {
    pub fn new(all: &'a All, asked: &'a Asked, is_of_group: impl Fn(i32, &str) -> bool) -> Self {
        let All {
            entries,
            states,
            checkouts,
            seats,
        } = all;
        let counts = |customer: i32, product: &str, billing_type: &str| {
            asked.lets_through(customer, product, billing_type) && is_of_group(customer, product)
        };
        let of_entry = |one: &&Entry| counts(one.customer, &one.product_id, &one.billing_type);
        let of_state = |one: &&State| counts(one.customer, &one.product_id, "recurring");
        Self {
            all: entries,
            entries: entries.iter().filter(of_entry).collect(),
            started: states
                .values()
                .map(|one| (one.subscription_id.as_str(), one.started_us))
                .collect(),
            states: states.values().filter(of_state).collect(),
            checkouts: checkouts
                .values()
                .filter(|one| counts(one.customer, &one.product_id, &one.billing_type))
                .collect(),
            seats: seats
                .values()
                .filter(|one| counts(one.customer, &one.product_id, &one.billing_type))
                .collect(),
            asked,
        }
    }

    pub fn history(&self) -> (i128, i128) {
        let before = |one: &&&Entry| one.revenue_us < self.asked.bounds[0];
        let before: Vec<_> = self.entries.iter().filter(before).collect();
        (
            before.iter().map(|one| one.revenue).sum(),
            before.iter().map(|one| one.net_revenue).sum(),
        )
    }

    pub fn is_present(&self) -> bool {
        let span = self.asked.span();
        let is_within =
            |one: &&&Entry| span.contains(&one.revenue_us) || span.contains(&one.order_us);
        let within = self.entries.iter().filter(is_within);
        within.map(|one| one.records).sum::<i64>() > 0
            || self.present_states() > 0
            || self.checkouts_within(&span).count() > 0
            || self.present_seats() > 0
    }

    pub fn checkouts_within(
        &self,
        clipped: &Range<i64>,
    ) -> impl Iterator<Item = &'a CheckoutState> {
        let is_within = |one: &&CheckoutState| {
            one.counted_us
                .is_some_and(|counted| clipped.contains(&counted))
        };
        self.checkouts.iter().copied().filter(is_within)
    }

    pub fn present_seats(&self) -> i128 {
        let whole = &self.asked.whole;
        let (start, end) = (whole[0], whole[whole.len() - 1]);
        let is_present = |one: &&&SeatState| {
            one.created_us < end && one.revoked_us.is_none_or(|revoked| revoked >= start)
        };
        self.seats.iter().filter(is_present).count() as i128
    }

    /// The seats of each customer.
    pub fn seats_by_customer(&self) -> BTreeMap<i32, Vec<&'a SeatState>> {
        let mut seats: BTreeMap<i32, Vec<&SeatState>> = BTreeMap::new();
        for seat in &self.seats {
            seats.entry(seat.customer).or_default().push(seat);
        }
        seats
    }

    pub fn present_states(&self) -> i128 {
        let span = self.asked.span();
        let is_present = |one: &&&State| {
            one.started_us < span.end && end_of(one).is_none_or(|end| end >= span.start)
        };
        self.states.iter().filter(is_present).count() as i128
    }

    pub fn fact(&self, name: &str, period: usize) -> i128 {
        let (clipped, span) = (self.asked.clipped(period), self.asked.span());
        let whole = self.asked.whole(period);
        let earned = |net: bool| {
            let within = self.entries.iter();
            within
                .filter(|one| clipped.contains(&one.revenue_us))
                .map(|one| if net { one.net_revenue } else { one.revenue })
                .sum()
        };
        let ordered = |class: &str| -> Vec<&Entry> {
            let is_of_class = |one: &Entry| match class {
                "all" => true,
                "one_time" => one.subscription_id.is_empty(),
                class => match self.started.get(one.subscription_id.as_str()) {
                    _ if one.subscription_id.is_empty() => false,
                    None => false,
                    Some(started) => whole.contains(started) == (class == "new"),
                },
            };
            let within = self.entries.iter().copied();
            within
                .filter(|one| clipped.contains(&one.order_us) && is_of_class(one))
                .collect()
        };
        let orders = |class| -> i128 {
            let ordered = ordered(class);
            ordered.iter().map(|one| i128::from(one.orders)).sum()
        };
        let revenue = |class| -> i128 { ordered(class).iter().map(|one| one.order_revenue).sum() };
        let net = |class| -> i128 {
            let ordered = ordered(class);
            ordered.iter().map(|one| one.order_net_revenue).sum()
        };
        let active = || -> Vec<&State> {
            let is_active = |one: &&State| {
                let until = |end| end >= whole.end && end >= span.start;
                one.started_us < whole.end
                    && one.started_us < span.end
                    && end_of(one).is_none_or(until)
            };
            self.states.iter().copied().filter(is_active).collect()
        };
        let is_committed = |one: &&State| end_of(one).is_none();
        let is_in_trial = |one: &&State| one.trial_end_us.is_some_and(|end| end >= whole.end);
        let monthly = |trial: bool, committed: bool| -> i128 {
            let wanted =
                |one: &&State| is_in_trial(one) == trial && (is_committed(one) || !committed);
            let earning = active().into_iter().filter(wanted);
            earning.map(|one| self.monthly(one, &whole)).sum()
        };
        let canceled = |within: &Range<i64>, reason: &str| -> i128 {
            let is_of_reason = |one: &State| match (reason, one.cancel_reason.as_str()) {
                ("any", _) | ("other", "") => true,
                (wanted, reason) => wanted == reason,
            };
            let wanted = |one: &&&State| {
                canceled_of(one).is_some_and(|time| within.contains(&time)) && is_of_reason(one)
            };
            self.states.iter().filter(wanted).count() as i128
        };
        let (churn_from, churn_within) = match self.asked.by_year {
            true => (whole.start, whole.clone()),
            false => (
                whole.start - 30 * DAY_US,
                whole.start - 30 * DAY_US..whole.start,
            ),
        };
        let seats = || -> Vec<&SeatState> {
            let is_there = |one: &&SeatState| {
                one.created_us < whole.end
                    && one.created_us < span.end
                    && one.revoked_us.is_none_or(|revoked| revoked >= whole.end)
            };
            self.seats.iter().copied().filter(is_there).collect()
        };
        match name {
            "entries" => {
                let is_counted = |one: &&&Entry| match span.contains(&one.revenue_us) {
                    true => clipped.contains(&one.revenue_us),
                    false => clipped.contains(&one.order_us),
                };
                let counted = self.entries.iter().filter(is_counted);
                counted.map(|one| i128::from(one.records)).sum()
            }
            "subscriptions" => self.present_states(),
            "revenue" => earned(false),
            "net_revenue" => earned(true),
            "orders" => orders("all"),
            "order_revenue" => revenue("all"),
            "order_net_revenue" => net("all"),
            "one_time_orders" => orders("one_time"),
            "one_time_revenue" => revenue("one_time"),
            "one_time_net_revenue" => net("one_time"),
            "new_subscriptions" => {
                let is_new = |one: &&&State| {
                    whole.contains(&one.started_us)
                        && one.started_us < span.end
                        && end_of(one).is_none_or(|end| end >= whole.end)
                };
                self.states.iter().filter(is_new).count() as i128
            }
            "new_revenue" => revenue("new"),
            "new_net_revenue" => net("new"),
            "renewed_subscriptions" => {
                let mut orders: BTreeMap<&str, i64> = BTreeMap::new();
                for one in ordered("renewed") {
                    *orders.entry(&one.subscription_id).or_default() += one.orders;
                }
                orders.values().filter(|&&orders| orders > 0).count() as i128
            }
            "renewed_revenue" => revenue("renewed"),
            "renewed_net_revenue" => net("renewed"),
            "active_subscriptions" => active().len() as i128,
            "committed_subscriptions" => active().into_iter().filter(is_committed).count() as i128,
            "mrr" => monthly(false, false),
            "committed_mrr" => monthly(false, true),
            "trial_mrr" => monthly(true, false),
            "trial_committed_mrr" => monthly(true, true),
            "active_customers" => {
                let customers: BTreeSet<i32> = active().iter().map(|one| one.customer).collect();
                customers.len() as i128
            }
            "churned" => {
                let is_churned =
                    |one: &&&State| end_of(one).is_some_and(|end| clipped.contains(&end));
                self.states.iter().filter(is_churned).count() as i128
            }
            "churn_canceled" => canceled(&churn_within, "any"),
            "churn_base" => {
                let is_active = |one: &&&State| {
                    one.started_us <= churn_from && end_of(one).is_none_or(|end| end > churn_from)
                };
                self.states.iter().filter(is_active).count() as i128
            }
            "canceled" => canceled(&clipped, "any"),
            "checkouts" => self.checkouts_within(&clipped).count() as i128,
            "succeeded_checkouts" => {
                let within = self.checkouts_within(&clipped);
                within.filter(|one| one.status == "succeeded").count() as i128
            }
            "seats" => self.present_seats(),
            "seats_total" => seats().len() as i128,
            "seats_claimed" => {
                let is_claimed =
                    |one: &&&SeatState| one.claimed_us.is_some_and(|claimed| claimed < whole.end);
                seats().iter().filter(is_claimed).count() as i128
            }
            "seat_customers" => {
                let customers: BTreeSet<i32> = seats().iter().map(|one| one.customer).collect();
                customers.len() as i128
            }
            "new_seat_customers" => {
                let is_new = |seats: &&Vec<&SeatState>| {
                    let first = seats.iter().map(|one| one.created_us).min().unwrap();
                    whole.contains(&first) && first < span.end
                };
                self.seats_by_customer().values().filter(is_new).count() as i128
            }
            "churned_seat_customers" => {
                let is_churned = |seats: &&Vec<&SeatState>| {
                    let revoked: Option<Vec<i64>> =
                        seats.iter().map(|one| one.revoked_us).collect();
                    revoked.is_some_and(|all| whole.contains(all.iter().max().unwrap()))
                };
                self.seats_by_customer().values().filter(is_churned).count() as i128
            }
            reason => canceled(&clipped, reason.strip_prefix("canceled_").unwrap()),
        }
    }

    pub fn monthly(&self, state: &State, whole: &Range<i64>) -> i128 {
        let usd = match state.currency.as_str() {
            "usd" => state.amount,
            currency => rounded(state.amount * self.rate(currency, whole), E12),
        };
        let count = i128::from(state.recurring_interval_count);
        match state.recurring_interval.as_str() {
            "year" => rounded(usd, 12 * count),
            "month" => rounded(usd, count),
            "week" => rounded(usd * 52, 12 * count),
            _ => rounded(usd * 365, 12 * count),
        }
    }

    pub fn rate(&self, currency: &str, whole: &Range<i64>) -> i128 {
        let mean = |is_wanted: &dyn Fn(i64) -> bool| {
            let wanted = |one: &&Entry| one.currency == currency && is_wanted(one.order_us);
            let (orders, rates) = self.all.iter().filter(wanted).fold((0, 0), |sum, one| {
                let orders = i128::from(one.orders);
                (
                    sum.0 + orders,
                    sum.1 + orders * i128::from(one.exchange_rate_e12),
                )
            });
            (orders > 0).then(|| rounded(rates, orders))
        };
        let day_of = |time: i64| time.div_euclid(DAY_US);
        let (first, last) = (day_of(whole.start), day_of(whole.end - 1));
        let closest = || {
            let days: BTreeSet<i64> = self.all.iter().map(|one| day_of(one.order_us)).collect();
            let distance = |day: &i64| (first - day).max(day - last).max(0);
            days.into_iter()
                .filter_map(|day| Some((day, mean(&|time| day_of(time) == day)?)))
                .min_by_key(|(day, _)| (distance(day), *day))
                .map(|(_, rate)| rate)
        };
        mean(&|time| whole.contains(&time))
            .or_else(closest)
            .unwrap_or(E12)
    }
}

pub fn end_of(state: &State) -> Option<i64> {
    state.ended_us.or(state.ends_us)
}

pub fn canceled_of(state: &State) -> Option<i64> {
    let canceled = state.canceled_us?;
    let is_taken_back = state.uncanceled_us.is_some_and(|time| time > canceled);
    (!is_taken_back).then_some(canceled)
}

/// A quotient, rounded half-even.
pub fn rounded(dividend: i128, divisor: i128) -> i128 {
    let floor = dividend.div_euclid(divisor);
    let twice = 2 * dividend.rem_euclid(divisor);
    match twice > divisor || twice == divisor && floor.rem_euclid(2) == 1 {
        true => floor + 1,
        false => floor,
    }
}

/// Compares each fact of each slot of a group with what `expected` says.
pub fn assert_group(
    tally: &Tally,
    group: usize,
    expected: impl Fn(&str, usize) -> i128,
    history: (i128, i128),
) {
    for name in FACTS {
        let column: Vec<i128> = tally.column(name).unwrap().collect();
        assert_eq!(column.len(), tally.groups * tally.slots);
        for slot in 0..tally.slots {
            let found = column[group * tally.slots + slot];
            assert_eq!(found, expected(name, slot), "{name} {group} {slot}");
        }
    }
    let history_of = |name| tally.history(name).unwrap().nth(group).unwrap();
    assert_eq!((history_of("revenue"), history_of("net_revenue")), history);
}

pub const LASTING: [&str; 14] = [
    "subscriptions",
    "active_subscriptions",
    "committed_subscriptions",
    "mrr",
    "committed_mrr",
    "trial_mrr",
    "trial_committed_mrr",
    "active_customers",
    "churn_canceled",
    "churn_base",
    "seats",
    "seats_total",
    "seats_claimed",
    "seat_customers",
];

/// The only slot of a ranking.
pub fn of_ranking(twin: &Twin<'_>, name: &str) -> i128 {
    let periods = twin.asked.periods();
    if LASTING.contains(&name) {
        return twin.fact(name, periods.end - 1);
    }
    periods.map(|period| twin.fact(name, period)).sum()
}

/// Whether records of a customer and a product belong to a group.
type IsOfGroup<'a> = &'a dyn Fn(i32, &str) -> bool;

/// Asserts that all answers of a ledger equal those of the twin.
pub fn assert_like_twin(ledger: &Ledger, all: &All, asked: &Asked) {
    let question = asked.question();
    let assert_groups = |tally: &Tally, of_groups: &[IsOfGroup<'_>]| {
        assert_eq!(tally.groups, of_groups.len());
        for (group, is_of_group) in of_groups.iter().enumerate() {
            let twin = Twin::new(all, asked, is_of_group);
            let expected = |name: &str, slot| twin.fact(name, slot);
            assert_group(tally, group, expected, twin.history());
        }
    };
    let tally = ledger.tally(&question, &Keys::Nothing).unwrap();
    assert_groups(&tally, &[&|_, _| true]);
    let tally = ledger
        .tally(&question, &Keys::Customers(vec![2, 99, 0]))
        .unwrap();
    let others = |customer: i32, _: &str| ![2, 99, 0].contains(&customer);
    assert_groups(
        &tally,
        &[
            &|one, _| one == 2,
            &|one, _| one == 99,
            &|one, _| one == 0,
            &others,
        ],
    );
    let keys = Keys::Products(vec!["q".to_owned(), String::new()]);
    let tally = ledger.tally(&question, &keys).unwrap();
    let others = |_: i32, product: &str| !["q", ""].contains(&product);
    assert_groups(
        &tally,
        &[&|_, one| one == "q", &|_, one| one.is_empty(), &others],
    );

    let (customers, tally) = ledger.rank_customers(&question).unwrap();
    let twin_of = |customer| Twin::new(all, asked, move |one, _| one == customer);
    let present: Vec<i32> = (0..5).filter(|&one| twin_of(one).is_present()).collect();
    assert_eq!(customers, present);
    for (group, &customer) in customers.iter().enumerate() {
        let twin = twin_of(customer);
        assert_group(
            &tally,
            group,
            |name, _| of_ranking(&twin, name),
            twin.history(),
        );
    }
    let (products, tally) = ledger.rank_products(&question).unwrap();
    let twin_of = |product: &'static str| Twin::new(all, asked, move |_, one| one == product);
    let present: Vec<&str> = PRODUCTS
        .into_iter()
        .filter(|one| twin_of(one).is_present())
        .collect();
    assert_eq!(
        products.iter().map(|one| &**one).collect::<Vec<_>>(),
        present
    );
    for (group, product) in present.into_iter().enumerate() {
        let twin = twin_of(product);
        assert_group(
            &tally,
            group,
            |name, _| of_ranking(&twin, name),
            twin.history(),
        );
    }
}

pub const PRODUCTS: [&str; 3] = ["", "p", "q"];
pub const SUBSCRIPTIONS: [&str; 5] = ["", "s", "t", "u", "v"];
pub const BILLING_TYPES: [&str; 3] = ["", "one_time", "recurring"];
pub const IDS: [&str; 8] = ["1", "2", "3", "4", "5", "6", "7", "8"];
pub const CURRENCIES: [&str; 3] = ["usd", "eur", "jpy"];

pub fn text(values: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(values).prop_map(str::to_owned)
}

/// Hours of four months, most of them one microsecond off now and then: many are bounds.
pub fn time() -> impl Strategy<Value = i64> {
    (-12_i64..12 * 120, -1_i64..=1).prop_map(|(hours, us)| 2 * hours * HOUR_US + us)
}

pub fn amount() -> impl Strategy<Value = i128> {
    prop_oneof![
        8 => -1_000_000_000_000_000_i128..1_000_000_000_000_000,
        1 => -10_i128.pow(25)..10_i128.pow(25),
    ]
}

pub fn entry() -> impl Strategy<Value = Entry> {
    let when = (time(), time(), any::<bool>());
    let who = (
        -1_i32..5,
        text(&PRODUCTS),
        text(&BILLING_TYPES),
        text(&SUBSCRIPTIONS),
    );
    let rate = (
        text(&CURRENCIES),
        0_i64..2_000_000_000_000,
        -1_i64..=1,
        prop::sample::select(&[-1_i64, 1, 1][..]),
    );
    let amounts = (amount(), amount(), amount(), amount());
    (when, who, rate, amounts).prop_map(|(when, who, rate, amounts)| Entry {
        revenue_us: when.0,
        order_us: if when.2 { when.0 } else { when.1 },
        customer: who.0,
        product_id: who.1,
        billing_type: who.2,
        subscription_id: who.3,
        currency: rate.0,
        exchange_rate_e12: rate.1,
        orders: rate.2,
        revenue: amounts.0,
        net_revenue: amounts.1,
        order_revenue: amounts.2,
        order_net_revenue: amounts.3,
        records: rate.3,
    })
}

pub fn state() -> impl Strategy<Value = State> {
    let what = (
        text(&SUBSCRIPTIONS[1..]),
        -1_i32..5,
        text(&PRODUCTS),
        text(&CURRENCIES),
        amount(),
    );
    let interval = (text(&["day", "week", "month", "year"]), 1_i64..4);
    let times = (
        time(),
        prop::option::weighted(0.3, time()),
        prop::option::weighted(0.3, time()),
        prop::option::weighted(0.3, time()),
    );
    let ends = (
        prop::option::weighted(0.3, time()),
        prop::option::weighted(0.3, time()),
    );
    let reason = text(&[
        "",
        "customer_service",
        "low_quality",
        "missing_features",
        "switched_service",
        "too_complex",
        "too_expensive",
        "unused",
        "other",
    ]);
    (what, interval, times, ends, reason).prop_map(|(what, interval, times, ends, reason)| State {
        subscription_id: what.0,
        customer: what.1,
        product_id: what.2,
        currency: what.3,
        amount: what.4,
        recurring_interval: interval.0,
        recurring_interval_count: interval.1,
        started_us: times.0,
        trial_end_us: times.1,
        canceled_us: times.2,
        uncanceled_us: times.3,
        ends_us: ends.0,
        ended_us: ends.1,
        cancel_reason: reason,
    })
}

pub fn checkout() -> impl Strategy<Value = CheckoutState> {
    let whose = (-1_i32..5, text(&PRODUCTS), text(&BILLING_TYPES));
    let status = text(&["open", "failed", "succeeded"]);
    let counted = prop::option::weighted(0.8, time());
    (text(&IDS), whose, status, counted).prop_map(|(id, whose, status, counted_us)| CheckoutState {
        checkout_id: id,
        customer: whose.0,
        product_id: whose.1,
        billing_type: whose.2,
        status,
        counted_us,
    })
}

pub fn seat() -> impl Strategy<Value = SeatState> {
    let whose = (-1_i32..5, text(&PRODUCTS), text(&BILLING_TYPES));
    let times = (
        time(),
        prop::option::weighted(0.6, time()),
        prop::option::weighted(0.6, time()),
    );
    (text(&IDS), whose, times).prop_map(|(id, whose, times)| SeatState {
        seat_id: id,
        customer: whose.0,
        product_id: whose.1,
        billing_type: whose.2,
        created_us: times.0,
        claimed_us: times.1,
        revoked_us: times.2,
    })
}

pub fn records() -> impl Strategy<Value = Records> {
    let lists = (
        prop::collection::vec(entry(), 0..20),
        prop::collection::vec(state(), 0..5),
        prop::collection::vec(checkout(), 0..8),
        prop::collection::vec(seat(), 0..8),
    );
    lists.prop_map(|(entries, subscriptions, checkouts, seats)| Records {
        entries,
        subscriptions,
        checkouts,
        seats,
    })
}

pub fn asked() -> impl Strategy<Value = Asked> {
    let bounds = prop::collection::btree_set(0_i64..12 * 120, 2..8);
    let cut = (0_i64..100, 0_i64..100, prop::bool::weighted(0.1));
    let by_year = any::<bool>();
    let customers = prop::option::weighted(0.3, prop::collection::vec(0_i32..7, 0..3));
    let products = prop::option::weighted(0.3, prop::collection::vec(text(&PRODUCTS), 0..3));
    let types = text(&["one_time", "recurring", "none"]);
    let types = prop::option::weighted(0.3, prop::collection::vec(types, 0..3));
    (bounds, cut, by_year, customers, products, types).prop_map(
        |(bounds, (before, after, is_empty), by_year, customers, products, billing_types)| {
            let mut bounds: Vec<i64> = bounds
                .into_iter()
                .map(|hours| 2 * hours * HOUR_US)
                .collect();
            let mut whole = bounds.clone();
            whole[0] -= before * HOUR_US;
            *whole.last_mut().unwrap() += after * HOUR_US;
            if is_empty {
                // The span holds no moment of the first period.
                bounds[0] = bounds[1];
            }
            Asked {
                bounds,
                whole,
                by_year,
                customers,
                products,
                billing_types,
            }
        },
    )
}

/// Asserts that each number is what its formula says, however the records were added.
pub fn check_ledger(adds: Vec<Records>, asked: &Asked) {
    let mut ledger = Ledger::default();
    let mut all = All::default();
    for (position, records) in (1..).zip(adds) {
        ledger.add(&records, position).unwrap();
        assert_eq!(ledger.position(), position);
        all.add(records);
        assert_like_twin(&ledger, &all, asked);
    }
}
