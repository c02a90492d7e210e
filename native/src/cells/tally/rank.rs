//! The values of greatest cost.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::error::TallyError;
use super::selection::{Grouping, Selection};
use super::walk::{Sources, for_each_cell};
use crate::cells::cover::Cover;

/// The values of greatest cost, of those that have an event in a period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranking {
    /// The number of values that have an event.
    pub values: usize,
    /// (value, picocents) of the values of greatest cost, the greatest first, and
    /// of all others that cost as much as the last of them.
    pub first: Vec<(u32, i128)>,
}

/// The events and the cost of each value.
#[derive(Debug, Default)]
struct SumsOfValues {
    /// The sums by value, as long as the values added so far fill a good part of the list:
    /// a look-up in a table takes as long as reading several cells.
    dense: Vec<(i64, i128)>,
    others: HashMap<u32, (i64, i128), RandomState>,
    added: usize,
}

impl SumsOfValues {
    fn add(&mut self, value: u32, (events, cost): (i64, i128)) {
        self.added += 1;
        let place = value as usize;
        if place >= self.dense.len() && place < 1_024 + 4 * self.added {
            self.dense.resize(place + 1, (0, 0));
        }
        let sum = match self.dense.get_mut(place) {
            Some(sum) => sum,
            None => self.others.entry(value).or_default(),
        };
        sum.0 += events;
        sum.1 += cost;
    }

    /// (value, picocents) of all that have an event.
    fn finish(mut self) -> Vec<(u32, i128)> {
        // Some were added before the list reached so far.
        for (value, sum) in std::mem::take(&mut self.others) {
            self.add(value, sum);
        }
        let dense = (0..).zip(self.dense);
        dense
            .chain(self.others)
            .filter(|(_, (events, _))| *events != 0)
            .map(|(value, (_, cost))| (value, cost))
            .collect()
    }
}

/// Ranks the groups of the selection, or the customers instead of them.
pub fn rank(
    cover: &Cover,
    sources: &Sources<'_>,
    selection: &Selection<'_>,
    by_customer: bool,
    count: usize,
) -> Result<Ranking, TallyError> {
    selection.check()?;
    let mut sums = SumsOfValues::default();
    let mut grouping = Grouping::of(selection);
    // Cells of one value lie together, where they are each customer's own.
    let mut run: (u32, (i64, i128)) = Default::default();
    let wanted = selection.wanted(selection.is_by_series());
    for_each_cell(cover, sources, &wanted, |slot, cell, _| {
        if slot == 0 {
            return Ok(());
        }
        if let Some(group) = grouping.group(cell.customer, cell.series)? {
            let value = if by_customer {
                cell.customer
            } else {
                group as u32
            };
            if run.0 != value {
                sums.add(run.0, run.1);
                run = (value, (0, 0));
            }
            run.1.0 += cell.events;
            run.1.1 += cell.cost;
        }
        Ok(())
    })?;
    sums.add(run.0, run.1);
    let mut first = sums.finish();
    let values = first.len();
    if count < values {
        if count > 0 {
            let (_, &mut (_, least), _) =
                first.select_nth_unstable_by_key(count - 1, |&(_, cost)| std::cmp::Reverse(cost));
            first.retain(|&(_, cost)| cost >= least);
        } else {
            first.clear();
        }
    }
    first.sort_unstable_by_key(|&(value, cost)| (std::cmp::Reverse(cost), value));
    Ok(Ranking { values, first })
}
