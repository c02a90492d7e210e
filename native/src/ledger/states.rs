//! The facts of subscriptions: those that are active in a period, and their revenue.

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::RandomState;

use super::book::{Ledger, NOBODY, USD};
use super::groups::Tables;
use super::interned::Slot;
use super::question::{Fact, Question};
use super::subscription::{RecurringInterval, Subscription};
use super::sums::{Overflow, Sums};

/// The time for which a subscription is active.
#[derive(Clone, Debug)]
struct Active {
    group: usize,
    is_committed: bool,
    trial: Range<usize>,
    paid: Range<usize>,
}

/// The revenue of an active subscription that is not in usd. Subscriptions of one group and
/// price are counted first, so that the revenue of one in a period is computed once.
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

/// A look at all subscriptions.
pub struct States<'a, 's> {
    pub ledger: &'a Ledger,
    pub question: &'a Question,
    pub tables: &'a Tables,
    pub sums: &'s mut Sums,
}

impl<'a> States<'a, '_> {
    /// Notes in `present`, if it has a place for each group, which have a subscription in
    /// the span.
    pub fn add(&mut self, present: &mut [bool]) -> Result<(), Overflow> {
        if !self.tables.subscriptions_count {
            return Ok(());
        }
        let ledger = self.ledger;
        let mut foreign: Vec<Foreign<'a>> = Vec::new();
        let mut customers = ActiveCustomers::new(Fact::ActiveCustomers);
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
            let periods = (group, active.trial.start, active.paid.end);
            customers.add(self.sums, subscription.customer, periods)?;
            if subscription.currency != USD {
                foreign.push(Foreign {
                    subscription,
                    active,
                });
            }
        }
        customers.book(self.sums)?;
        self.add_foreign(foreign)
    }

    /// Counts a subscription that exists in the span; returns whether it does.
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
        let (group, sums) = (active.group, &mut *self.sums);
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

/// The number of subscriptions that earn in each period, by fact.
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

/// Counts customers once in a group and period, however many subscriptions or seats they
/// have. Those of one customer must come together.
#[derive(Debug)]
pub struct ActiveCustomers {
    fact: Fact,
    customer: Slot,
    /// Group, and first period and end of what the customer has.
    active: Vec<(usize, usize, usize)>,
}

impl ActiveCustomers {
    /// The fact is what the customers are counted as.
    pub fn new(fact: Fact) -> Self {
        Self {
            fact,
            customer: NOBODY,
            active: Vec::new(),
        }
    }

    pub fn add(
        &mut self,
        sums: &mut Sums,
        customer: Slot,
        active: (usize, usize, usize),
    ) -> Result<(), Overflow> {
        if customer != self.customer {
            self.book(sums)?;
            self.customer = customer;
        }
        self.active.push(active);
        Ok(())
    }

    /// Books the last customer.
    pub fn book(&mut self, sums: &mut Sums) -> Result<(), Overflow> {
        self.active.sort_unstable();
        let mut counted = (usize::MAX, 0);
        for (group, first, end) in self.active.drain(..) {
            if group != counted.0 {
                counted = (group, 0);
            }
            let periods = first.max(counted.1)..end;
            sums.add_lasting(group, &periods, self.fact, 1)?;
            counted.1 = counted.1.max(end);
        }
        Ok(())
    }
}
