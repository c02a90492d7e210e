//! Questions to a ledger: facts, periods, and the records that count.

use std::ops::Range;

use super::chunk::Kind;
use crate::time::{DAY_US, TIME_US_MAX, TIME_US_MIN};

macro_rules! facts {
    ($($fact:ident $name:literal,)*) => {
        /// A fact that a ledger adds up.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the stub of the Python module says what each is")]
        pub enum Fact {
            $($fact,)*
        }

        /// The names of the facts, each at the place of its own.
        pub const FACTS: [&str; [$($name),*].len()] = [$($name),*];
    };
}

facts! {
    Entries "entries",
    Subscriptions "subscriptions",
    Revenue "revenue",
    NetRevenue "net_revenue",
    Orders "orders",
    OrderRevenue "order_revenue",
    OrderNetRevenue "order_net_revenue",
    OneTimeOrders "one_time_orders",
    OneTimeRevenue "one_time_revenue",
    OneTimeNetRevenue "one_time_net_revenue",
    NewSubscriptions "new_subscriptions",
    NewRevenue "new_revenue",
    NewNetRevenue "new_net_revenue",
    RenewedSubscriptions "renewed_subscriptions",
    RenewedRevenue "renewed_revenue",
    RenewedNetRevenue "renewed_net_revenue",
    ActiveSubscriptions "active_subscriptions",
    CommittedSubscriptions "committed_subscriptions",
    Mrr "mrr",
    CommittedMrr "committed_mrr",
    TrialMrr "trial_mrr",
    TrialCommittedMrr "trial_committed_mrr",
    ActiveCustomers "active_customers",
    Churned "churned",
    ChurnCanceled "churn_canceled",
    ChurnBase "churn_base",
    Canceled "canceled",
    CanceledCustomerService "canceled_customer_service",
    CanceledLowQuality "canceled_low_quality",
    CanceledMissingFeatures "canceled_missing_features",
    CanceledSwitchedService "canceled_switched_service",
    CanceledTooComplex "canceled_too_complex",
    CanceledTooExpensive "canceled_too_expensive",
    CanceledUnused "canceled_unused",
    CanceledOther "canceled_other",
    Checkouts "checkouts",
    SucceededCheckouts "succeeded_checkouts",
    Seats "seats",
    SeatsTotal "seats_total",
    SeatsClaimed "seats_claimed",
    SeatCustomers "seat_customers",
    NewSeatCustomers "new_seat_customers",
    ChurnedSeatCustomers "churned_seat_customers",
}

impl Fact {
    /// The place of the fact of that name.
    pub fn place_of(name: &str) -> Result<usize, QuestionError> {
        let place = FACTS.iter().position(|fact| *fact == name);
        place.ok_or_else(|| QuestionError::NoFact(name.to_owned()))
    }
}

/// The question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuestionError {
    /// Bounds that make no periods.
    Bounds,
    /// There is no fact of this name.
    NoFact(String),
    /// A fact that was not asked for.
    NotAsked(String),
}

impl std::fmt::Display for QuestionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bounds => f.write_str(
                "there must be a bound or more, within the years 1 to 9999, none of them before \
                 the one before it; whole bounds must ascend and be the same but for the first, \
                 which may be earlier, and the last, which may be later",
            ),
            Self::NoFact(name) => write!(f, "there is no fact {name:?}"),
            Self::NotAsked(name) => write!(f, "the fact {name:?} was not asked for"),
        }
    }
}

/// Periods, and which records count.
#[derive(Clone, Debug)]
pub struct Question {
    /// The span of all periods.
    pub(super) span_us: Range<i64>,
    pub(super) bounds_us: Vec<i64>,
    pub(super) whole_bounds_us: Vec<i64>,
    /// When, for each period, the subscriptions are counted that might be canceled.
    pub(super) churn_from_us: Steps,
    /// Up to when their cancellations are.
    pub(super) churn_to_us: Steps,
    pub(super) whole_ends_us: Steps,
    ends_us: Steps,
    pub(super) customers: Option<Vec<i32>>,
    pub(super) products: Option<Vec<String>>,
    pub(super) billing_types: Option<Vec<String>>,
    /// Whether each fact is asked for, by the place of the fact.
    pub(super) asked: [bool; FACTS.len()],
    pub(super) asks_history: bool,
}

const CHURN_US: i64 = 30 * DAY_US;

impl Question {
    /// Period i holds the times from bound i up to, not including, bound i + 1; all facts
    /// of all records are asked for.
    pub fn new(
        bounds_us: Vec<i64>,
        whole_bounds_us: Vec<i64>,
        by_year: bool,
    ) -> Result<Self, QuestionError> {
        check_bounds(&bounds_us, &whole_bounds_us)?;
        let (starts, ends) = (
            &whole_bounds_us[..whole_bounds_us.len() - 1],
            &whole_bounds_us[1..],
        );
        let (churn_from_us, churn_to_us) = if by_year {
            (starts.to_vec(), ends.to_vec())
        } else {
            let earlier = starts.iter().map(|start| start - CHURN_US);
            (earlier.collect(), starts.to_vec())
        };
        Ok(Self {
            span_us: bounds_us[0]..bounds_us[bounds_us.len() - 1],
            churn_from_us: Steps::new(churn_from_us),
            churn_to_us: Steps::new(churn_to_us),
            whole_ends_us: Steps::new(ends.to_vec()),
            ends_us: Steps::new(bounds_us[1..].to_vec()),
            bounds_us,
            whole_bounds_us,
            customers: None,
            products: None,
            billing_types: None,
            asked: [true; FACTS.len()],
            asks_history: true,
        })
    }

    /// Restricts the question to records whose values are in each list; `None` restricts nothing.
    pub fn of(
        mut self,
        customers: Option<Vec<i32>>,
        products: Option<Vec<String>>,
        billing_types: Option<Vec<String>>,
    ) -> Self {
        (self.customers, self.products) = (customers, products);
        self.billing_types = billing_types;
        self
    }

    /// Restricts the question to some facts.
    pub fn asking<'a>(
        mut self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, QuestionError> {
        self.asked = [false; FACTS.len()];
        for name in names {
            self.asked[Fact::place_of(name)?] = true;
        }
        Ok(self)
    }

    /// Restricts the question to the periods, without the history.
    pub fn without_history(mut self) -> Self {
        self.asks_history = false;
        self
    }

    /// The number of periods.
    pub fn periods(&self) -> usize {
        self.bounds_us.len() - 1
    }

    pub(super) fn asks_any(&self, facts: &[Fact]) -> bool {
        facts.iter().any(|&fact| self.asked[fact as usize])
    }

    /// From where the first period begins to where the last one ends.
    pub(super) fn whole_span_us(&self) -> Range<i64> {
        self.whole_bounds_us[0]..self.whole_bounds_us[self.whole_bounds_us.len() - 1]
    }

    pub(super) fn bounds_of(&self, period: usize) -> Range<i64> {
        self.bounds_us[period]..self.bounds_us[period + 1]
    }

    pub(super) fn whole_bounds_of(&self, period: usize) -> Range<i64> {
        self.whole_bounds_us[period]..self.whole_bounds_us[period + 1]
    }

    /// The period that holds a time of the span.
    pub(super) fn period_of(&self, time_us: i64) -> Option<usize> {
        let is_within = self.span_us.contains(&time_us);
        is_within.then(|| self.ends_us.up_to(time_us))
    }

    /// The period that holds a time, also where the span cuts it.
    pub(super) fn whole_period_of(&self, time_us: i64) -> Option<usize> {
        let is_within = self.whole_span_us().contains(&time_us);
        is_within.then(|| self.whole_ends_us.up_to(time_us))
    }
}

/// Ascending times, of which it is soon known how many are not after another: where
/// among them a time lies is asked several times of each subscription, and the steps of
/// a search by halves are what no processor foresees.
#[derive(Clone, Debug)]
pub struct Steps {
    times_us: Vec<i64>,
    /// The number of times before each of equally wide cells, from the first time on.
    before: Vec<u32>,
    cell_bits: u32,
}

impl Steps {
    /// About so many cells for each time.
    const CELLS: usize = 4;

    fn new(times_us: Vec<i64>) -> Self {
        let first = times_us.first().copied().unwrap_or_default();
        let last = times_us.last().copied().unwrap_or_default();
        let width = last.abs_diff(first) / (times_us.len().max(1) * Self::CELLS) as u64;
        let cell_bits = u64::BITS - width.leading_zeros();
        let cells = 0..=last.abs_diff(first) >> cell_bits;
        let starts = cells.map(|cell| first + (cell << cell_bits) as i64);
        let before = |start| times_us.partition_point(|&one| one < start) as u32;
        Self {
            before: starts.map(before).collect(),
            times_us,
            cell_bits,
        }
    }

    #[inline]
    pub fn up_to(&self, time_us: i64) -> usize {
        let times_us = self.times_us.as_slice();
        let Some(&first) = times_us.first().filter(|&&first| first <= time_us) else {
            return 0;
        };
        let cell = (time_us.abs_diff(first) >> self.cell_bits) as usize;
        let Some(&before) = self.before.get(cell) else {
            return times_us.len();
        };
        let later = &times_us[before as usize..];
        before as usize + later.iter().take_while(|&&one| one <= time_us).count()
    }
}

fn check_bounds(bounds: &[i64], whole: &[i64]) -> Result<(), QuestionError> {
    let is_within = |bound: &i64| (TIME_US_MIN..=TIME_US_MAX).contains(bound);
    let belong = match (bounds, whole) {
        // A day that the local calendar leaves out has no period.
        ([bound], [whole_bound]) => bound == whole_bound,
        ([first, inner @ .., last], [whole_first, whole_inner @ .., whole_last]) => {
            whole_first <= first && inner == whole_inner && last <= whole_last
        }
        _ => false,
    };
    // Bounds may be equal: a span can hold no moment of a period whose day it asks for.
    let ascend = bounds.is_sorted() && whole.is_sorted_by(|one, next| one < next);
    if !belong || !ascend || !whole.iter().all(is_within) {
        return Err(QuestionError::Bounds);
    }
    Ok(())
}

/// The facts that last from one period to another.
pub const LASTING: [Fact; 14] = [
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
    Fact::Seats,
    Fact::SeatsTotal,
    Fact::SeatsClaimed,
    Fact::SeatCustomers,
];

/// The records that must be read for a question.
#[derive(Clone, Copy, Debug)]
pub struct Wants {
    pub entries: bool,
    pub revenue: bool,
    pub orders: bool,
    pub classes: bool,
    pub subscriptions: bool,
    pub checkouts: bool,
    pub seats: bool,
}

impl Wants {
    pub fn of(question: &Question, is_ranking: bool) -> Self {
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
        Self {
            entries: is_ranking || question.asks_any(&[Fact::Entries]),
            revenue: question.asks_any(&[Fact::Revenue, Fact::NetRevenue]),
            orders: orders || classes,
            classes,
            subscriptions: is_ranking || question.asks_any(&SUBSCRIPTIONS),
            checkouts: is_ranking || question.asks_any(&CHECKOUTS),
            seats: is_ranking || question.asks_any(&SEATS),
        }
    }

    pub fn looks_at(self, kind: Kind) -> bool {
        self.entries || self.revenue && kind.has_revenue() || self.orders && kind.has_order()
    }
}

const SUBSCRIPTIONS: [Fact; 21] = [
    Fact::Subscriptions,
    Fact::NewSubscriptions,
    Fact::ActiveSubscriptions,
    Fact::CommittedSubscriptions,
    Fact::Mrr,
    Fact::CommittedMrr,
    Fact::TrialMrr,
    Fact::TrialCommittedMrr,
    Fact::ActiveCustomers,
    Fact::Churned,
    Fact::ChurnCanceled,
    Fact::ChurnBase,
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

const CHECKOUTS: [Fact; 2] = [Fact::Checkouts, Fact::SucceededCheckouts];

const SEATS: [Fact; 6] = [
    Fact::Seats,
    Fact::SeatsTotal,
    Fact::SeatsClaimed,
    Fact::SeatCustomers,
    Fact::NewSeatCustomers,
    Fact::ChurnedSeatCustomers,
];
