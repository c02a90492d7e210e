//! What the cells of a cover add up to, by group and period.
//!
//! Questions about everyone are answered from everyone's cells and activity, those
//! about some customers, or about each, from each customer's own cells. Pending
//! batches hold each customer's cells and serve both.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::activity::Set;
use super::cached::CachedCells;
use super::cell::{Cell, combine};
use super::codec::Damaged;
use super::cover::{Cover, Slot};
use super::kind::Kind;
use super::segment::Range;
use crate::amount::sum::{GroupError, zeros};

/// Events that are counted by what they add up to.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// Segments of everyone, or of customers, but not of both.
    pub segments: &'a [(Kind, &'a CachedCells)],
    /// The cells of batches that are in no segment yet.
    pub batches: &'a [&'a CachedCells],
    /// Events of quarters that a bound cuts in two.
    pub events: &'a [LooseEvent],
}

/// An event that no cell of the cover holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of an event")]
pub struct LooseEvent {
    pub timestamp_us: i64,
    pub cost_picocents: i64,
    pub customer: u32,
    pub series: u32,
}

/// Which events count, and in which group.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    /// The group of each series, or −1 where its events do not count.
    pub series_groups: &'a [i32],
    /// Which customers count, and in which group instead of that of their series;
    /// everyone does if there is no such table.
    pub customer_groups: Option<CustomerGroups>,
    /// How many groups there are.
    pub groups: usize,
}

/// The group of each customer that counts; −1 leaves it to the series.
pub type CustomerGroups = HashMap<u32, i32, RandomState>;

/// Why nothing was added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TallyError {
    /// What is stored is damaged, or has a series that the selection does not know.
    Damaged,
    /// The groups of the selection are none.
    Groups(GroupError),
}

impl From<Damaged> for TallyError {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

impl From<GroupError> for TallyError {
    fn from(error: GroupError) -> Self {
        Self::Groups(error)
    }
}

impl std::fmt::Display for TallyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Damaged => Damaged.fmt(f),
            Self::Groups(error) => error.fmt(f),
        }
    }
}

impl Selection<'_> {
    /// Which cells it takes; `by_series` where they must be told apart by series.
    fn wanted(&self, by_series: bool) -> Wanted {
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

    /// Whether it depends on the series of an event if or where that counts.
    fn is_by_series(&self) -> bool {
        let groups = self.series_groups;
        groups.iter().any(|&group| group != groups[0])
    }

    fn check(&self) -> Result<(), GroupError> {
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
struct Grouping<'a> {
    selection: &'a Selection<'a>,
    /// The last customer, and its group if it counts.
    last: Option<(u32, Option<i32>)>,
}

impl<'a> Grouping<'a> {
    fn of(selection: &'a Selection<'a>) -> Self {
        Self {
            selection,
            last: None,
        }
    }

    /// The group of a cell; `None` where it does not count.
    #[inline]
    fn group(&mut self, customer: u32, series: u32) -> Result<Option<usize>, Damaged> {
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

    fn by_series(&self, series: u32) -> Result<i32, Damaged> {
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

/// What the events of each group and slot add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many slots a group has.
    pub slots: usize,
    /// How many events, by group and slot.
    pub events: Vec<i64>,
    /// The picocents, by group and slot.
    pub costs: Vec<i128>,
    /// How many distinct customers, by group and slot; none in the history.
    pub customers: Vec<u64>,
    /// How many distinct customers each group has in all periods together.
    pub customers_of_groups: Vec<u64>,
    /// How many distinct customers all groups have together, by slot.
    pub customers_of_slots: Vec<u64>,
    /// How many distinct customers there are in all.
    pub customers_in_all: u64,
}

/// Adds up what counts. Customers are not counted where they are not `wanted`.
pub fn tally(
    cover: &Cover,
    sources: &Sources<'_>,
    selection: &Selection<'_>,
    customers_wanted: bool,
) -> Result<Tally, TallyError> {
    selection.check()?;
    let slots = cover.slots();
    let too_many = GroupError::TooMany {
        group_count: selection.groups,
    };
    let size = selection.groups.checked_mul(slots).ok_or(too_many)?;
    let mut events: Vec<i64> = zeros(size).map_err(|_| too_many)?;
    let mut costs: Vec<i128> = zeros(size).map_err(|_| too_many)?;
    let sets = if customers_wanted { size } else { 0 };
    let mut active: Vec<Set> = zeros(sets).map_err(|_| too_many)?;
    let mut grouping = Grouping::of(selection);
    let wanted = selection.wanted(selection.is_by_series());
    for_each_cell(cover, sources, &wanted, |slot, cell, is_customers_own| {
        let Some(group) = grouping.group(cell.customer, cell.series)? else {
            return Ok(());
        };
        let place = group * slots + slot;
        events[place] += cell.events;
        costs[place] += cell.cost;
        if customers_wanted && is_customers_own && slot > 0 {
            active[place].insert(cell.customer);
        }
        Ok(())
    })?;
    let mut tally = Tally {
        slots,
        events,
        costs,
        ..Tally::default()
    };
    if customers_wanted {
        collect_activity(cover, sources.segments, selection, &mut active)?;
        tally.count_customers(active);
    }
    Ok(tally)
}

impl Tally {
    fn count_customers(&mut self, mut active: Vec<Set>) {
        let groups = active.len() / self.slots;
        let mut of_groups = vec![Set::default(); groups];
        self.customers = vec![0; active.len()];
        // What was counted is let go: of a slot, not of all, every set is there twice.
        for slot in 0..self.slots {
            let mut of_slot = Set::default();
            for (group, of_group) in of_groups.iter_mut().enumerate() {
                let place = group * self.slots + slot;
                let set = std::mem::take(&mut active[place]);
                of_group.unite(&set);
                if groups > 1 {
                    of_slot.unite(&set);
                }
                self.customers[place] = set.count();
            }
            self.customers_of_slots.push(match groups {
                1 => self.customers[slot],
                _ => of_slot.count(),
            });
        }
        let mut in_all = Set::default();
        for of_group in of_groups {
            in_all.unite(&of_group);
            self.customers_of_groups.push(of_group.count());
        }
        self.customers_in_all = in_all.count();
    }
}

/// Which cells are looked at.
struct Wanted {
    /// Whose, in ascending order; `None` where it is everyone's.
    customers: Option<Vec<u32>>,
    /// Whether they must be told apart by series: fewer cells hold the same of all.
    by_series: bool,
}

/// Calls with (slot, cell, whether the cell is one customer's own) for each cell that
/// is wanted and that some slot holds.
fn for_each_cell(
    cover: &Cover,
    sources: &Sources<'_>,
    wanted: &Wanted,
    mut each: impl FnMut(Slot, &Cell, bool) -> Result<(), Damaged>,
) -> Result<(), Damaged> {
    let chosen = wanted.customers.as_deref();
    let by_day = !wanted.by_series && cover.cut_days().is_empty();
    for &(kind, cached) in sources.segments {
        match kind {
            Kind::Quarters => {
                let slot_of = |quarter| cover.slot_of_edge_quarter(quarter);
                cells_of(cached, None, slot_of, |slot, cell| each(slot, cell, false))?;
            }
            Kind::Days => {
                let slot_of = |day| cover.slot_of_day(day);
                cells_of(cached, None, slot_of, |slot, cell| each(slot, cell, false))?;
            }
            Kind::Years => {
                let slot_of = |year| cover.history_of_year(year);
                cells_of(cached, None, slot_of, |slot, cell| each(slot, cell, false))?;
            }
            Kind::CustomerQuarters => {
                let days = if by_day { cached.days()? } else { None };
                if let Some(days) = days {
                    let slot_of = |day| cover.slot_of_uncut_day(day);
                    cells_of(days, chosen, slot_of, |slot, cell| each(slot, cell, true))?;
                } else {
                    let slot_of = |quarter| cover.slot_of_quarter(quarter);
                    cells_of(cached, chosen, slot_of, |slot, cell| each(slot, cell, true))?;
                }
            }
            Kind::CustomerMonths => {
                let slot_of = |month| cover.history_of_month(month);
                cells_of(cached, chosen, slot_of, |slot, cell| each(slot, cell, true))?;
            }
            Kind::CustomerYears => {
                let slot_of = |year| cover.history_of_year(year);
                cells_of(cached, chosen, slot_of, |slot, cell| each(slot, cell, true))?;
            }
            Kind::QuarterCustomers
            | Kind::DayCustomers
            | Kind::DayEveryone
            | Kind::HourEveryone => {}
        }
    }
    for cached in sources.batches {
        let slot_of = |quarter| cover.slot_of_quarter(quarter);
        cells_of(cached, chosen, slot_of, |slot, cell| each(slot, cell, true))?;
    }
    for event in sources.events {
        if let Some(slot) = cover.slot_of_time(event.timestamp_us) {
            let cell = Cell {
                customer: event.customer,
                bucket: 0,
                series: event.series,
                events: 1,
                cost: i128::from(event.cost_picocents),
            };
            each(slot, &cell, true)?;
        }
    }
    Ok(())
}

#[inline(always)]
fn cells_of(
    cached: &CachedCells,
    chosen: Option<&[u32]>,
    slot_of: impl Fn(i32) -> Option<Slot>,
    mut each: impl FnMut(Slot, &Cell) -> Result<(), Damaged>,
) -> Result<(), Damaged> {
    // Cells of one bucket mostly lie together.
    let mut last = (0, slot_of(0));
    let in_slot = |cell: Cell| {
        if cell.bucket != last.0 {
            last = (cell.bucket, slot_of(cell.bucket));
        }
        match last.1 {
            Some(slot) => each(slot, &cell),
            None => Ok(()),
        }
    };
    match chosen {
        Some(customers) => cached.for_each_of(customers, in_slot),
        None => cached.cells()?.for_each(in_slot),
    }
}

fn collect_activity(
    cover: &Cover,
    segments: &[(Kind, &CachedCells)],
    selection: &Selection<'_>,
    active: &mut [Set],
) -> Result<(), Damaged> {
    let grouping = Grouping::of(selection);
    for &(kind, cached) in segments {
        if !kind.is_activity() {
            continue;
        }
        let mut entries = cached.entries()?;
        while let Some(entry) = entries.next_entry()? {
            let slot = match kind {
                Kind::QuarterCustomers => cover.slot_of_edge_quarter(entry.bucket),
                Kind::HourEveryone => cover.slot_of_edge_hour(entry.bucket),
                _ => cover.slot_of_day(entry.bucket),
            };
            let Some(slot) = slot.filter(|&slot| slot > 0) else {
                continue;
            };
            let group = if kind.is_by_series() {
                grouping.by_series(entry.series)?
            } else {
                0
            };
            if let Ok(group) = usize::try_from(group) {
                let place = group * cover.slots() + slot;
                active
                    .get_mut(place)
                    .ok_or(Damaged)?
                    .extend(entry.customers)?;
            }
        }
    }
    Ok(())
}

/// The values of greatest cost, of those that have an event in a period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranking {
    /// How many values have an event.
    pub values: usize,
    /// (value, picocents) of the values of greatest cost, the greatest first, and
    /// of all others that cost as much as the last of them.
    pub first: Vec<(u32, i128)>,
}

/// What each value adds up to.
#[derive(Debug, Default)]
struct SumsOfValues {
    /// By value, as far as the values of those that were added fill a good part of it: to
    /// look for each in a table takes as long as to read several cells.
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

/// Lists what the events of each customer, period and series add up to, of a range of
/// customers.
///
/// The bucket of a cell is its slot; nothing of the history is listed. Which group a
/// series is in does not matter.
pub fn list(
    cover: &Cover,
    sources: &Sources<'_>,
    selection: &Selection<'_>,
    customers: Range,
) -> Result<Vec<Cell>, TallyError> {
    selection.check()?;
    let mut grouping = Grouping::of(selection);
    let mut cells: Vec<Cell> = Vec::new();
    for_each_cell(cover, sources, &selection.wanted(true), |slot, cell, _| {
        if slot > 0
            && (customers.0..=customers.1).contains(&cell.customer)
            && grouping.group(cell.customer, cell.series)?.is_some()
        {
            cells.push(Cell {
                bucket: slot as i32,
                ..*cell
            });
        }
        Ok(())
    })?;
    combine(&mut cells);
    Ok(cells)
}
