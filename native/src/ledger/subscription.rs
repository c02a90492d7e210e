//! Subscriptions, and what each earns in a month.

use super::error::RecordError;
use super::interned::Slot;
use super::question::Fact;
use super::record::State;
use crate::fixed::{divide, times};

/// The latest known state of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub started_us: i64,
    pub end_us: Option<i64>,
    pub trial_end_us: Option<i64>,
    /// None where it was taken back since.
    pub canceled_us: Option<i64>,
    pub amount: i128,
    /// The monthly revenue of an amount in usd.
    pub monthly: i128,
    pub interval: RecurringInterval,
    pub customer: Slot,
    pub product: Slot,
    pub currency: Slot,
    pub cancel_reason: Fact,
}

impl Subscription {
    /// A subscription whose customer, product and currency have no slots yet.
    pub fn of(state: &State, interval: RecurringInterval) -> Self {
        let canceled_us = state.canceled_us.filter(|&canceled| {
            let taken_back = state.uncanceled_us;
            taken_back.is_none_or(|uncanceled| uncanceled <= canceled)
        });
        Self {
            started_us: state.started_us,
            end_us: state.ended_us.or(state.ends_us),
            trial_end_us: state.trial_end_us,
            canceled_us,
            amount: state.amount,
            monthly: interval.monthly(state.amount),
            interval,
            customer: 0,
            product: 0,
            currency: 0,
            cancel_reason: reason_of(&state.cancel_reason),
        }
    }

    /// The monthly revenue at an exchange rate.
    pub fn monthly_at(&self, rate_e12: i128) -> i128 {
        self.interval.monthly(times(self.amount, rate_e12))
    }
}

fn reason_of(text: &str) -> Fact {
    match text {
        "customer_service" => Fact::CanceledCustomerService,
        "low_quality" => Fact::CanceledLowQuality,
        "missing_features" => Fact::CanceledMissingFeatures,
        "switched_service" => Fact::CanceledSwitchedService,
        "too_complex" => Fact::CanceledTooComplex,
        "too_expensive" => Fact::CanceledTooExpensive,
        "unused" => Fact::CanceledUnused,
        _ => Fact::CanceledOther,
    }
}

/// The interval of payments: `times_a_year` payments in every `intervals` years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecurringInterval {
    times_a_year: u32,
    intervals: u32,
}

impl RecurringInterval {
    pub fn of(unit: &str, count: i64) -> Result<Self, RecordError> {
        let times_a_year = match unit {
            "year" => 1,
            "month" => 12,
            "week" => 52,
            "day" => 365,
            other => return Err(RecordError::RecurringInterval(other.to_owned())),
        };
        match u32::try_from(count) {
            Ok(intervals) if intervals > 0 => Ok(Self {
                times_a_year,
                intervals,
            }),
            _ => Err(RecordError::RecurringIntervalCount(count)),
        }
    }

    fn monthly(self, usd: i128) -> i128 {
        let months = 12 * i128::from(self.intervals);
        divide(usd * i128::from(self.times_a_year), months)
    }
}
