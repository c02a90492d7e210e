//! Covers: which cells add up to the periods that are asked for.
//!
//! Whole UTC days of a period are taken from cells of days and the ragged edges
//! from cells of quarters of an hour. What lies before the first period is the
//! history, taken from cells of years, days and quarters. A quarter that a bound
//! cuts in two is in no cell's slot: its events are looked at one by one.
#![forbid(unsafe_code)]

use crate::time::{
    DAY_QUARTERS, DAY_US, HOUR_QUARTERS, HOUR_US, QUARTER_US, TIME_US_MAX, TIME_US_MIN, day_of,
    month_and_year_of, quarter_of,
};

/// The index of a span of time: 0 is the history, period i is slot i + 1.
pub type Slot = usize;

/// The bounds of periods, and what they cut.
#[derive(Clone, Debug)]
pub struct Cover {
    bounds_us: Vec<i64>,
    first_quarter: i32,
    /// The month and year in which the periods begin; only those before are wholly history.
    first_month_and_year: (i32, i32),
    /// The slot of each quarter from the first on that a period touches: cells of
    /// customers come in no order of time, and a search for each would take as long
    /// as all the rest.
    slots_of_quarters: Vec<Option<NonZeroSlot>>,
}

/// A slot plus one, so that none takes no room.
type NonZeroSlot = std::num::NonZero<u32>;

/// The bounds do not make periods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundsError;

impl std::fmt::Display for BoundsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("there must be bounds, which ascend, within the years 1 to 9999")
    }
}

impl Cover {
    /// Period i holds the times from bound i up to, not including, bound i + 1. A
    /// single bound has a history and no period.
    pub fn new(bounds_us: Vec<i64>) -> Result<Self, BoundsError> {
        let is_within = |bound: &i64| (TIME_US_MIN..=TIME_US_MAX).contains(bound);
        if bounds_us.is_empty() || !bounds_us.is_sorted() || !bounds_us.iter().all(is_within) {
            return Err(BoundsError);
        }
        let last = bounds_us[bounds_us.len() - 1];
        let mut cover = Self {
            first_quarter: quarter_of(bounds_us[0]),
            first_month_and_year: month_and_year_of(day_of(quarter_of(bounds_us[0]))),
            bounds_us,
            slots_of_quarters: Vec::new(),
        };
        cover.slots_of_quarters = (cover.first_quarter..quarter_of(last))
            .map(|quarter| {
                let from = i64::from(quarter) * QUARTER_US;
                let slot = cover.slot_of_span(from, from + QUARTER_US)?;
                NonZeroSlot::new(slot as u32 + 1)
            })
            .collect();
        Ok(cover)
    }

    /// The number of slots: the history and the periods.
    pub fn slots(&self) -> usize {
        self.bounds_us.len()
    }

    /// The days that a bound cuts in two.
    pub fn cut_days(&self) -> Vec<i32> {
        self.cut(DAY_US)
    }

    /// Whether a bound cuts an hour in two.
    pub fn cuts_hours(&self) -> bool {
        !self.cut(HOUR_US).is_empty()
    }

    /// The quarters of an hour that a bound cuts in two.
    pub fn cut_quarters(&self) -> Vec<i32> {
        self.cut(QUARTER_US)
    }

    fn cut(&self, span_us: i64) -> Vec<i32> {
        let mut cut: Vec<i32> = self
            .bounds_us
            .iter()
            .filter(|&bound| bound.rem_euclid(span_us) != 0)
            .map(|bound| bound.div_euclid(span_us) as i32)
            .collect();
        cut.dedup();
        cut
    }

    /// The first and the last month of the periods, counted from January 1970.
    pub fn months(&self) -> (i32, i32) {
        let end_us = self.bounds_us[self.bounds_us.len() - 1];
        let last_us = (end_us - 1).max(self.bounds_us[0]);
        let (last, _) = month_and_year_of(day_of(quarter_of(last_us)));
        (self.first_month_and_year.0, last)
    }

    /// January of the year in which the periods begin: the history before is
    /// made of whole years.
    pub fn history_month(&self) -> i32 {
        (self.first_month_and_year.1 - 1970) * 12
    }

    /// The slot of a time; `None` after the last period.
    pub fn slot_of_time(&self, time_us: i64) -> Option<Slot> {
        let slot = self.bounds_us.partition_point(|&bound| bound <= time_us);
        (slot < self.bounds_us.len()).then_some(slot)
    }

    /// The slot that holds all of a quarter of an hour.
    #[inline]
    pub fn slot_of_quarter(&self, quarter: i32) -> Option<Slot> {
        match usize::try_from(i64::from(quarter) - i64::from(self.first_quarter)) {
            Ok(place) => {
                let slot = *self.slots_of_quarters.get(place)?;
                slot.map(|slot| slot.get() as Slot - 1)
            }
            Err(_) => Some(0),
        }
    }

    /// The slot that holds all of a day.
    pub fn slot_of_day(&self, day: i32) -> Option<Slot> {
        // What is no day of any year, because cells are not what they say, is in no slot.
        let from = i64::from(day).checked_mul(DAY_US)?;
        self.slot_of_span(from, from.checked_add(DAY_US)?)
    }

    /// The slot of a day where no bound cuts any day in two.
    #[inline]
    pub fn slot_of_uncut_day(&self, day: i32) -> Option<Slot> {
        // What is no day of any year is in no slot here too.
        self.slot_of_quarter(day.checked_mul(DAY_QUARTERS)?)
    }

    /// The slot of a quarter whose day no slot holds as a whole.
    pub fn slot_of_edge_quarter(&self, quarter: i32) -> Option<Slot> {
        match self.slot_of_day(quarter.div_euclid(DAY_QUARTERS)) {
            Some(_) => None,
            None => self.slot_of_quarter(quarter),
        }
    }

    /// The slot of an hour whose day no slot holds as a whole.
    pub fn slot_of_edge_hour(&self, hour: i32) -> Option<Slot> {
        // What is no hour of any year is in no slot, as with days.
        let first = hour.checked_mul(HOUR_QUARTERS)?;
        let last = first.checked_add(HOUR_QUARTERS - 1)?;
        let slot = self.slot_of_edge_quarter(first)?;
        (self.slot_of_quarter(last) == Some(slot)).then_some(slot)
    }

    /// The history, if it holds all of a month.
    #[inline]
    pub fn history_of_month(&self, month: i32) -> Option<Slot> {
        (month < self.first_month_and_year.0).then_some(0)
    }

    /// The history, if it holds all of a year.
    #[inline]
    pub fn history_of_year(&self, year: i32) -> Option<Slot> {
        (year < self.first_month_and_year.1).then_some(0)
    }

    #[inline]
    fn slot_of_span(&self, from_us: i64, to_us: i64) -> Option<Slot> {
        let slot = self.slot_of_time(from_us)?;
        (to_us <= self.bounds_us[slot]).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cover(bounds_us: &[i64]) -> Cover {
        Cover::new(bounds_us.to_vec()).unwrap()
    }

    /// Whole days belong to periods; a day that a bound cuts does not.
    #[test]
    fn days() {
        let cover = cover(&[0, 2 * DAY_US, 3 * DAY_US + HOUR_US]);
        assert_eq!(cover.slot_of_day(-1), Some(0));
        assert_eq!(cover.slot_of_day(0), Some(1));
        assert_eq!(cover.slot_of_day(1), Some(1));
        assert_eq!(cover.slot_of_day(2), Some(2));
        assert_eq!(cover.slot_of_day(3), None);
        assert_eq!(cover.slot_of_day(4), None);
        assert_eq!(cover.cut_days(), [3]);
        assert_eq!(cover.slot_of_edge_quarter(2 * 96), None);
        assert_eq!(cover.slot_of_edge_quarter(3 * 96), Some(2));
        assert_eq!(cover.slot_of_edge_quarter(3 * 96 + 4), None);
    }

    /// An hour belongs to a slot where all its quarters do and its day does not.
    #[test]
    fn hours() {
        let hours = cover(&[0, 2 * DAY_US, 3 * DAY_US + HOUR_US]);
        assert!(!hours.cuts_hours());
        assert_eq!(hours.slot_of_edge_hour(2 * 24), None);
        assert_eq!(hours.slot_of_edge_hour(3 * 24), Some(2));
        assert_eq!(hours.slot_of_edge_hour(3 * 24 + 1), None);
        let quarters = cover(&[0, HOUR_US + QUARTER_US, 3 * HOUR_US]);
        assert!(quarters.cuts_hours());
        assert_eq!(quarters.slot_of_edge_hour(-1), None); // the whole day is history
        assert_eq!(quarters.slot_of_edge_hour(0), Some(1));
        assert_eq!(quarters.slot_of_edge_hour(1), None);
        assert_eq!(quarters.slot_of_edge_hour(2), Some(2));
        for damaged in [i32::MIN, i32::MAX] {
            assert_eq!(quarters.slot_of_edge_hour(damaged), None);
        }
    }

    /// A quarter that a bound cuts is in no slot.
    #[test]
    fn cut_quarters() {
        let cover = cover(&[60_000_000, HOUR_US]);
        assert_eq!(cover.cut_quarters(), [0]);
        assert_eq!(cover.slot_of_quarter(0), None);
        assert_eq!(cover.slot_of_quarter(1), Some(1));
        assert_eq!(cover.slot_of_quarter(-1), Some(0));
        assert_eq!(cover.slot_of_time(59_999_999), Some(0));
        assert_eq!(cover.slot_of_time(60_000_000), Some(1));
        assert_eq!(cover.slot_of_time(HOUR_US), None);
    }

    /// Only whole years before the first period are history.
    #[test]
    fn years() {
        let midnight = 20_454 * DAY_US; // 2026-01-01
        for (first, whole_year) in [(midnight, 2025), (midnight - 1, 2024), (midnight + 1, 2025)] {
            let cover = cover(&[first, midnight + DAY_US]);
            assert_eq!(cover.history_of_year(whole_year), Some(0));
            assert_eq!(cover.history_of_year(whole_year + 1), None);
            assert_eq!(cover.history_month(), (whole_year + 1 - 1970) * 12);
        }
    }

    /// Only whole months before the first period are history.
    #[test]
    fn months_of_the_history() {
        let cover = cover(&[31 * DAY_US, 60 * DAY_US]);
        assert_eq!(cover.history_of_month(-5), Some(0));
        assert_eq!(cover.history_of_month(0), Some(0));
        assert_eq!(cover.history_of_month(1), None);
    }

    /// The months of a span that ends with a month do not hold the next one.
    #[test]
    fn months() {
        assert_eq!(cover(&[0, 31 * DAY_US]).months(), (0, 0));
        assert_eq!(cover(&[-1, 31 * DAY_US + 1]).months(), (-1, 1));
        assert_eq!(cover(&[0, 0]).months(), (0, 0));
    }

    /// The last of several equal bounds counts.
    #[test]
    fn empty_periods() {
        let cover = cover(&[0, DAY_US, DAY_US, 2 * DAY_US]);
        assert_eq!(cover.slot_of_day(0), Some(1));
        assert_eq!(cover.slot_of_day(1), Some(3));
    }

    /// Bounds that are no bounds are refused.
    #[test]
    fn bounds_are_checked() {
        for bounds in [&[][..], &[1, 0], &[0, i64::MAX], &[i64::MIN, 0]] {
            assert!(Cover::new(bounds.to_vec()).is_err());
        }
    }
}
