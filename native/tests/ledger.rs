//! A ledger, compared with a look at each record for each period.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use cost_insights_native::ledger::{
    CheckoutState, Entry, FACTS, Keys, Ledger, Question, QuestionError, RecordError, Records,
    SeatState, State, Tally, TallyError,
};
use cost_insights_native::time::DAY_US;
use proptest::prelude::*;

const E12: i128 = 1_000_000_000_000;
const HOUR_US: i64 = DAY_US / 24;

/// Periods and what counts, as a test asks for it.
#[derive(Clone, Debug)]
struct Asked {
    bounds: Vec<i64>,
    whole: Vec<i64>,
    by_year: bool,
    customers: Option<Vec<i32>>,
    products: Option<Vec<String>>,
    billing_types: Option<Vec<String>>,
}

impl Asked {
    fn question(&self) -> Question {
        Question::new(self.bounds.clone(), self.whole.clone(), self.by_year)
            .unwrap()
            .of(
                self.customers.clone(),
                self.products.clone(),
                self.billing_types.clone(),
            )
    }

    fn periods(&self) -> Range<usize> {
        0..self.bounds.len() - 1
    }

    fn span(&self) -> Range<i64> {
        self.bounds[0]..self.bounds[self.bounds.len() - 1]
    }

    fn clipped(&self, period: usize) -> Range<i64> {
        self.bounds[period]..self.bounds[period + 1]
    }

    fn whole(&self, period: usize) -> Range<i64> {
        self.whole[period]..self.whole[period + 1]
    }

    fn lets_through(&self, customer: i32, product: &str, billing_type: &str) -> bool {
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
struct All {
    entries: Vec<Entry>,
    states: BTreeMap<String, State>,
    checkouts: BTreeMap<String, CheckoutState>,
    seats: BTreeMap<String, SeatState>,
}

impl All {
    fn add(&mut self, records: Records) {
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
struct Twin<'a> {
    /// Whatever counts.
    all: &'a [Entry],
    entries: Vec<&'a Entry>,
    /// The starts of all recorded subscriptions, whether they count or not.
    started: BTreeMap<&'a str, i64>,
    states: Vec<&'a State>,
    checkouts: Vec<&'a CheckoutState>,
    seats: Vec<&'a SeatState>,
    asked: &'a Asked,
}

impl<'a> Twin<'a> {
    fn new(all: &'a All, asked: &'a Asked, is_of_group: impl Fn(i32, &str) -> bool) -> Self {
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

    fn history(&self) -> (i128, i128) {
        let before = |one: &&&Entry| one.revenue_us < self.asked.bounds[0];
        let before: Vec<_> = self.entries.iter().filter(before).collect();
        (
            before.iter().map(|one| one.revenue).sum(),
            before.iter().map(|one| one.net_revenue).sum(),
        )
    }

    fn is_present(&self) -> bool {
        let span = self.asked.span();
        let is_within =
            |one: &&&Entry| span.contains(&one.revenue_us) || span.contains(&one.order_us);
        let within = self.entries.iter().filter(is_within);
        within.map(|one| one.records).sum::<i64>() > 0
            || self.present_states() > 0
            || self.checkouts_within(&span).count() > 0
            || self.present_seats() > 0
    }

    fn checkouts_within(&self, clipped: &Range<i64>) -> impl Iterator<Item = &'a CheckoutState> {
        let is_within = |one: &&CheckoutState| {
            one.counted_us
                .is_some_and(|counted| clipped.contains(&counted))
        };
        self.checkouts.iter().copied().filter(is_within)
    }

    fn present_seats(&self) -> i128 {
        let whole = &self.asked.whole;
        let (start, end) = (whole[0], whole[whole.len() - 1]);
        let is_present = |one: &&&SeatState| {
            one.created_us < end && one.revoked_us.is_none_or(|revoked| revoked >= start)
        };
        self.seats.iter().filter(is_present).count() as i128
    }

    /// The seats of each customer.
    fn seats_by_customer(&self) -> BTreeMap<i32, Vec<&'a SeatState>> {
        let mut seats: BTreeMap<i32, Vec<&SeatState>> = BTreeMap::new();
        for seat in &self.seats {
            seats.entry(seat.customer).or_default().push(seat);
        }
        seats
    }

    fn present_states(&self) -> i128 {
        let span = self.asked.span();
        let is_present = |one: &&&State| {
            one.started_us < span.end && end_of(one).is_none_or(|end| end >= span.start)
        };
        self.states.iter().filter(is_present).count() as i128
    }

    fn fact(&self, name: &str, period: usize) -> i128 {
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

    fn monthly(&self, state: &State, whole: &Range<i64>) -> i128 {
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

    fn rate(&self, currency: &str, whole: &Range<i64>) -> i128 {
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

fn end_of(state: &State) -> Option<i64> {
    state.ended_us.or(state.ends_us)
}

fn canceled_of(state: &State) -> Option<i64> {
    let canceled = state.canceled_us?;
    let is_taken_back = state.uncanceled_us.is_some_and(|time| time > canceled);
    (!is_taken_back).then_some(canceled)
}

/// A quotient, rounded half-even.
fn rounded(dividend: i128, divisor: i128) -> i128 {
    let floor = dividend.div_euclid(divisor);
    let twice = 2 * dividend.rem_euclid(divisor);
    match twice > divisor || twice == divisor && floor.rem_euclid(2) == 1 {
        true => floor + 1,
        false => floor,
    }
}

/// Compares each fact of each slot of a group with what `expected` says.
fn assert_group(
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

const LASTING: [&str; 14] = [
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
fn of_ranking(twin: &Twin<'_>, name: &str) -> i128 {
    let periods = twin.asked.periods();
    if LASTING.contains(&name) {
        return twin.fact(name, periods.end - 1);
    }
    periods.map(|period| twin.fact(name, period)).sum()
}

/// Whether records of a customer and a product belong to a group.
type IsOfGroup<'a> = &'a dyn Fn(i32, &str) -> bool;

/// Asserts that all answers of a ledger equal those of the twin.
fn assert_like_twin(ledger: &Ledger, all: &All, asked: &Asked) {
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

const PRODUCTS: [&str; 3] = ["", "p", "q"];
const SUBSCRIPTIONS: [&str; 5] = ["", "s", "t", "u", "v"];
const BILLING_TYPES: [&str; 3] = ["", "one_time", "recurring"];
const IDS: [&str; 8] = ["1", "2", "3", "4", "5", "6", "7", "8"];
const CURRENCIES: [&str; 3] = ["usd", "eur", "jpy"];

fn text(values: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(values).prop_map(str::to_owned)
}

/// Hours of four months, most of them one microsecond off now and then: many are bounds.
fn time() -> impl Strategy<Value = i64> {
    (-12_i64..12 * 120, -1_i64..=1).prop_map(|(hours, us)| 2 * hours * HOUR_US + us)
}

fn amount() -> impl Strategy<Value = i128> {
    prop_oneof![
        8 => -1_000_000_000_000_000_i128..1_000_000_000_000_000,
        1 => -10_i128.pow(25)..10_i128.pow(25),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
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

fn state() -> impl Strategy<Value = State> {
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

fn checkout() -> impl Strategy<Value = CheckoutState> {
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

fn seat() -> impl Strategy<Value = SeatState> {
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

fn records() -> impl Strategy<Value = Records> {
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

fn asked() -> impl Strategy<Value = Asked> {
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

proptest! {
    /// Whatever is asked of whatever records, however they were added, each number is
    /// what its formula says.
    #[test]
    fn like_the_formulas(
        adds in prop::collection::vec(records(), 1..4),
        asked in asked(),
    ) {
        let mut ledger = Ledger::default();
        let mut all = All::default();
        for (position, records) in (1..).zip(adds) {
            ledger.add(&records, position).unwrap();
            prop_assert_eq!(ledger.position(), position);
            all.add(records);
            assert_like_twin(&ledger, &all, &asked);
        }
    }
}

/// An entry that each test changes.
fn plain_entry() -> Entry {
    Entry {
        revenue_us: 0,
        order_us: 0,
        customer: 1,
        product_id: "p".to_owned(),
        billing_type: "one_time".to_owned(),
        subscription_id: String::new(),
        currency: "usd".to_owned(),
        exchange_rate_e12: 1_000_000_000_000,
        revenue: 10,
        net_revenue: 9,
        orders: 1,
        order_revenue: 10,
        order_net_revenue: 9,
        records: 1,
    }
}

fn plain_state() -> State {
    State {
        subscription_id: "s".to_owned(),
        customer: 1,
        product_id: "q".to_owned(),
        currency: "usd".to_owned(),
        amount: 1200,
        recurring_interval: "month".to_owned(),
        recurring_interval_count: 1,
        started_us: 0,
        trial_end_us: None,
        canceled_us: None,
        cancel_reason: String::new(),
        uncanceled_us: None,
        ends_us: None,
        ended_us: None,
    }
}

fn plain_checkout() -> CheckoutState {
    CheckoutState {
        checkout_id: "k".to_owned(),
        customer: 1,
        product_id: "p".to_owned(),
        billing_type: "one_time".to_owned(),
        status: "succeeded".to_owned(),
        counted_us: Some(0),
    }
}

fn plain_seat() -> SeatState {
    SeatState {
        seat_id: "z".to_owned(),
        customer: 1,
        product_id: "p".to_owned(),
        billing_type: "one_time".to_owned(),
        created_us: 0,
        claimed_us: Some(5),
        revoked_us: None,
    }
}

fn of_entries(entries: &[Entry]) -> Records {
    of(entries, &[])
}

fn of(entries: &[Entry], subscriptions: &[State]) -> Records {
    Records {
        entries: entries.to_vec(),
        subscriptions: subscriptions.to_vec(),
        ..Records::default()
    }
}

fn question(bounds: &[i64]) -> Question {
    Question::new(bounds.to_vec(), bounds.to_vec(), false).unwrap()
}

fn column(tally: &Tally, name: &str) -> Vec<i128> {
    tally.column(name).unwrap().collect()
}

/// Many entries of a month in any order are found by their times as few are.
#[test]
fn many_entries_out_of_order() {
    let mut entries = Vec::new();
    let mut random = 1_u64;
    for number in 0..5000 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let hours = (random >> 33) % (24 * 60);
        let us = hours as i64 * HOUR_US;
        // Half of them come in order, as orders mostly do.
        let order_us = if number % 2 == 0 {
            us
        } else {
            number * 900_000_000
        };
        entries.push(Entry {
            revenue_us: if number % 7 == 0 { us } else { order_us },
            order_us,
            customer: (random >> 40) as i32 % 5,
            subscription_id: ["", "s", "t"][number as usize % 3].to_owned(),
            revenue: i128::from(random) * if number == 4000 { 1 << 40 } else { 1 },
            order_revenue: i128::from(random >> 8),
            ..plain_entry()
        });
    }
    let asked = Asked {
        bounds: vec![5 * DAY_US, 8 * DAY_US, 31 * DAY_US, 40 * DAY_US + HOUR_US],
        whole: vec![0, 8 * DAY_US, 31 * DAY_US, 50 * DAY_US],
        by_year: false,
        customers: None,
        products: None,
        billing_types: None,
    };
    let (mut ledger, mut all) = (Ledger::default(), All::default());
    for (position, part) in (1..).zip(entries.chunks(777)) {
        let records = of(part, &[plain_state()]);
        ledger.add(&records, position).unwrap();
        all.add(records);
    }
    assert_like_twin(&ledger, &all, &asked);
}

/// Records that are added twice change nothing, and records with a fault are not added.
#[test]
fn all_or_none() {
    let mut ledger = Ledger::default();
    ledger.add(&of_entries(&[plain_entry()]), 2).unwrap();
    ledger.add(&of_entries(&[plain_entry()]), 2).unwrap();
    let late = Entry {
        order_us: 253_402_300_800_000_000,
        ..plain_entry()
    };
    let error = ledger
        .add(&of_entries(&[plain_entry(), late]), 3)
        .unwrap_err();
    assert_eq!(error, RecordError::Time(253_402_300_800_000_000));
    assert_eq!(ledger.position(), 2);
    let tally = ledger.tally(&question(&[0, 1]), &Keys::Nothing).unwrap();
    assert_eq!(column(&tally, "revenue"), [10]);
}

/// Records that have no meaning are refused in words.
#[test]
fn records_are_checked() {
    let of_entry = |change: fn(&mut Entry)| {
        let mut entry = plain_entry();
        change(&mut entry);
        let error = Ledger::default().add(&of_entries(&[entry]), 1).unwrap_err();
        error.to_string()
    };
    let of_state = |change: fn(&mut State)| {
        let mut state = plain_state();
        change(&mut state);
        let error = Ledger::default().add(&of(&[], &[state]), 1).unwrap_err();
        error.to_string()
    };
    let of_checkout = |change: fn(&mut CheckoutState)| {
        let mut state = plain_checkout();
        change(&mut state);
        let records = Records {
            checkouts: vec![state],
            ..Records::default()
        };
        let error = Ledger::default().add(&records, 1).unwrap_err();
        error.to_string()
    };
    let of_seat = |change: fn(&mut SeatState)| {
        let mut state = plain_seat();
        change(&mut state);
        let records = Records {
            seats: vec![state],
            ..Records::default()
        };
        let error = Ledger::default().add(&records, 1).unwrap_err();
        error.to_string()
    };
    for (words, expected) in [
        (
            of_entry(|entry| entry.revenue_us = i64::MIN),
            "the time -9223372036854775808 is not of the years 1 to 9999",
        ),
        (
            of_entry(|entry| entry.customer = -2),
            "there is no customer -2; -1 or more is allowed",
        ),
        (
            of_entry(|entry| entry.orders = 2),
            "an entry of 2 orders; -1, 0 and 1 are allowed",
        ),
        (
            of_entry(|entry| entry.records = 0),
            "an entry of 0 records; -1 and 1 are allowed",
        ),
        (
            of_state(|state| state.ended_us = Some(i64::MAX)),
            "the time 9223372036854775807 is not of the years 1 to 9999",
        ),
        (
            of_state(|state| state.recurring_interval = "hour".to_owned()),
            "there is no interval \"hour\"; day, week, month and year are allowed",
        ),
        (
            of_state(|state| state.recurring_interval_count = 0),
            "every 0 intervals; 1 to 4294967295 are allowed",
        ),
        (
            of_state(|state| state.amount = 10_i128.pow(28) + 1),
            "a subscription of 10000000000000000000000000001 picocents; at most 10^28 are allowed",
        ),
        (
            of_checkout(|state| state.counted_us = Some(i64::MAX)),
            "the time 9223372036854775807 is not of the years 1 to 9999",
        ),
        (
            of_checkout(|state| state.customer = -2),
            "there is no customer -2; -1 or more is allowed",
        ),
        (
            of_seat(|state| state.revoked_us = Some(i64::MIN)),
            "the time -9223372036854775808 is not of the years 1 to 9999",
        ),
        (
            of_seat(|state| state.customer = i32::MIN),
            "there is no customer -2147483648; -1 or more is allowed",
        ),
    ] {
        assert_eq!(words, expected);
    }
}

/// Questions that have no answer are refused in words.
#[test]
fn questions_are_checked() {
    let bounds_words = "there must be a bound or more, within the years 1 to 9999, none of them \
                        before the one before it; whole bounds must ascend and be the same but \
                        for the first, which may be earlier, and the last, which may be later";
    for (bounds, whole) in [
        (&[0][..], &[1][..]),
        (&[], &[]),
        (&[0, 0], &[0, 0]),
        (&[0, 1], &[1, 1]),
        (&[1, 2], &[0, 1]),
        (&[0, 1, 2], &[0, 2]),
        (&[0, 2, 3], &[0, 1, 3]),
        (&[i64::MIN, 0], &[i64::MIN, 0]),
        (&[0, i64::MAX], &[0, i64::MAX]),
    ] {
        let error = Question::new(bounds.to_vec(), whole.to_vec(), false).unwrap_err();
        assert_eq!(error, QuestionError::Bounds);
        assert_eq!(error.to_string(), bounds_words);
    }
    let error = question(&[0, 1]).asking(["mrr", "arr"]).unwrap_err();
    assert_eq!(error.to_string(), "there is no fact \"arr\"");

    let asked = question(&[0, 1]).asking(["mrr"]).unwrap().without_history();
    let tally = Ledger::default().tally(&asked, &Keys::Nothing).unwrap();
    assert_eq!(column(&tally, "mrr"), [0]);
    let error = tally.column("orders").err().unwrap();
    assert_eq!(error.to_string(), "the fact \"orders\" was not asked for");
    let error = tally.history("revenue").err().unwrap();
    assert_eq!(error.to_string(), "the fact \"revenue\" was not asked for");

    let twice = Keys::Products(vec!["p".to_owned(), "p".to_owned()]);
    let error = Ledger::default().tally(&asked, &twice).unwrap_err();
    assert_eq!(error.to_string(), "the key \"p\" comes twice");
    let twice = Keys::Customers(vec![7, 7]);
    let error = Ledger::default().tally(&asked, &twice).unwrap_err();
    assert_eq!(error.to_string(), "the key 7 comes twice");
}

/// A day that the local calendar leaves out has no period, but a history.
#[test]
fn no_period() {
    let mut ledger = Ledger::default();
    let before = Entry {
        revenue_us: 5,
        order_us: 5,
        revenue: 7,
        ..plain_entry()
    };
    ledger.add(&of_entries(&[before]), 1).unwrap();
    let asked = question(&[10]);
    let tally = ledger.tally(&asked, &Keys::Nothing).unwrap();
    assert_eq!(tally.slots, 0);
    assert!(column(&tally, "revenue").is_empty());
    assert_eq!(tally.history("revenue").unwrap().collect::<Vec<_>>(), [7]);
    let (customers, _) = ledger.rank_customers(&asked).unwrap();
    assert!(customers.is_empty());
}

/// A part of the facts is the same as all of them.
#[test]
fn facts_alone() {
    let mut ledger = Ledger::default();
    let subscribed = Entry {
        subscription_id: "s".to_owned(),
        order_us: 5,
        ..plain_entry()
    };
    let renewed = Entry {
        order_us: 15,
        ..subscribed.clone()
    };
    let state = State {
        canceled_us: Some(12),
        trial_end_us: Some(11),
        ends_us: Some(25),
        ..plain_state()
    };
    let entries = [plain_entry(), subscribed, renewed];
    let records = Records {
        checkouts: vec![plain_checkout()],
        seats: vec![plain_seat()],
        ..of(&entries, &[state])
    };
    ledger.add(&records, 1).unwrap();
    let asked = question(&[0, 10, 20, 30]);
    let all = ledger.tally(&asked, &Keys::Nothing).unwrap();
    for name in FACTS {
        let asked = asked.clone().asking([name]).unwrap();
        let one = ledger.tally(&asked, &Keys::Nothing).unwrap();
        assert_eq!(column(&one, name), column(&all, name), "{name}");
        let (_, one) = ledger.rank_customers(&asked).unwrap();
        assert_eq!(column(&one, name).len(), 1, "{name}");
    }
}

/// A sum of more than 127 bits is an error, never a wrong number.
#[test]
fn sums_have_an_end() {
    let huge = Entry {
        revenue: i128::MAX,
        ..plain_entry()
    };
    let later = Entry {
        revenue_us: 1,
        order_us: 1,
        ..huge.clone()
    };
    let mut ledger = Ledger::default();
    ledger.add(&of_entries(&[huge, later]), 1).unwrap();
    let of = |bounds: &[i64]| ledger.tally(&question(bounds), &Keys::Nothing);
    assert_eq!(column(&of(&[0, 1, 2]).unwrap(), "revenue"), [i128::MAX; 2]);
    for bounds in [&[0, 2][..], &[2, 3]] {
        let error = of(bounds).unwrap_err();
        assert_eq!(error, TallyError::Overflow);
        assert_eq!(
            error.to_string(),
            "a sum of the ledger has more than 127 bits"
        );
    }
}

/// Products are known by the types of their orders, and of the subscriptions to them; not by
/// checkouts, which may come to nothing, nor by seats.
#[test]
fn billed_products() {
    let mut ledger = Ledger::default();
    let refund = Entry {
        product_id: "refunded".to_owned(),
        orders: 0,
        ..plain_entry()
    };
    let nothing = Entry {
        product_id: String::new(),
        ..plain_entry()
    };
    let renewal = Entry {
        product_id: "r".to_owned(),
        billing_type: "recurring".to_owned(),
        ..plain_entry()
    };
    let taken_back = Entry {
        product_id: "t".to_owned(),
        ..plain_entry()
    };
    let back = Entry {
        orders: -1,
        records: -1,
        ..taken_back.clone()
    };
    let entries = [plain_entry(), refund, nothing, renewal, taken_back, back];
    let records = Records {
        checkouts: vec![CheckoutState {
            product_id: "checked out".to_owned(),
            ..plain_checkout()
        }],
        seats: vec![SeatState {
            product_id: "seated".to_owned(),
            ..plain_seat()
        }],
        ..of(&entries, &[plain_state()])
    };
    ledger.add(&records, 1).unwrap();
    let of = |types: &[&str]| {
        let types: Vec<String> = types.iter().map(|&one| one.to_owned()).collect();
        ledger.billed_products(&types).join(" ")
    };
    assert_eq!(of(&[]), "");
    assert_eq!(of(&["one_time"]), "p");
    assert_eq!(of(&["recurring"]), "q r");
    assert_eq!(of(&["one_time", "recurring"]), "p q r");
}
