//! The selection of events: which count, and in which group.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::walk::Wanted;
use crate::amount::sum::GroupError;
use crate::cells::codec::Damaged;

/// The events that count, and the group of each.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    /// The group of each series, or −1 where its events do not count.
    pub series_groups: &'a [i32],
    /// The customers that count, each with the group that replaces that of the series;
    /// `None` if all customers count.
    pub customer_groups: Option<CustomerGroups>,
    /// The number of groups.
    pub groups: usize,
}

/// The group of each customer that counts; −1 leaves it to the series.
pub type CustomerGroups = HashMap<u32, i32, RandomState>;

impl Selection<'_> {
    /// The cells it selects; `by_series` if they must be told apart by series.
    pub(super) fn wanted(&self, by_series: bool) -> Wanted {
        let customers = self.customer_groups.as_ref().map(|groups| {
            let mut customers: Vec<u32> = groups.keys().copied().collect();
            customers.sort_unstable();
            customers
        });
        Wanted {
            customers,
            by_series,
        }
    }

    /// Whether the group of an event depends on its series.
    pub(super) fn is_by_series(&self) -> bool {
        let groups = self.series_groups;
        groups.iter().any(|&group| group != groups[0])
    }

    pub(super) fn check(&self) -> Result<(), GroupError> {
        let of_customers = || self.customer_groups.iter().flat_map(HashMap::values);
        // Customers that all have a group of their own leave none to their series.
        let is_by_series = self.customer_groups.is_none() || of_customers().any(|&group| group < 0);
        let of_series = self.series_groups.iter().filter(|_| is_by_series);
        let mut groups = of_series.chain(of_customers());
        let is_out = |&&group: &&i32| group >= 0 && group as usize >= self.groups;
        match groups.find(is_out) {
            Some(&group) => Err(GroupError::OutOfRange {
                group,
                group_count: self.groups,
            }),
            None => Ok(()),
        }
    }
}

/// Finds the groups of cells, of which those of one customer lie together.
pub(super) struct Grouping<'a> {
    selection: &'a Selection<'a>,
    /// The last customer, and its group if it counts.
    last: Option<(u32, Option<i32>)>,
}

impl<'a> Grouping<'a> {
    pub(super) fn of(selection: &'a Selection<'a>) -> Self {
        Self {
            selection,
            last: None,
        }
    }

    /// The group of a cell; `None` where it does not count.
    #[inline]
    pub(super) fn group(&mut self, customer: u32, series: u32) -> Result<Option<usize>, Damaged> {
        let Some(by_customer) = self.by_customer(customer) else {
            return Ok(None);
        };
        let by_series = self.by_series(series)?;
        if by_series < 0 {
            return Ok(None);
        }
        let group = if by_customer < 0 {
            by_series
        } else {
            by_customer
        };
        Ok(Some(group as usize))
    }

    pub(super) fn by_series(&self, series: u32) -> Result<i32, Damaged> {
        let groups = self.selection.series_groups;
        groups.get(series as usize).copied().ok_or(Damaged)
    }

    #[inline]
    fn by_customer(&mut self, customer: u32) -> Option<i32> {
        let Some(groups) = &self.selection.customer_groups else {
            return Some(-1);
        };
        match self.last {
            Some((last, group)) if last == customer => group,
            _ => {
                let group = groups.get(&customer).copied();
                self.last = Some((customer, group));
                group
            }
        }
    }
}
