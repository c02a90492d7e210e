//! Tallies: the sums of the cells of a cover, by group and period.
//!
//! Questions about everyone are answered from everyone's cells and activity, those
//! about some customers, or about each, from each customer's own cells. Pending
//! batches hold each customer's cells and serve both.
#![forbid(unsafe_code)]

mod error;
mod list;
mod rank;
mod selection;
mod walk;

pub use error::TallyError;
pub use list::list;
pub use rank::{Ranking, rank};
pub use selection::{CustomerGroups, Selection};
pub use walk::{LooseEvent, Sources};

use self::selection::Grouping;
use self::walk::{for_each_cell, for_each_token_cell};
use super::activity::Set;
use super::cached::CachedCells;
use super::codec::Damaged;
use super::cover::Cover;
use super::kind::Kind;
use super::tokens::series_and_measure;
use crate::amount::sum::{GroupError, zeros};
use crate::events::tokens::MEASURES;

/// The sums of the events of each group and slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The number of slots of a group.
    pub slots: usize,
    /// The number of events, by group and slot.
    pub events: Vec<i64>,
    /// The cost in picocents, by group and slot.
    pub costs: Vec<i128>,
    /// The number of distinct customers, by group and slot; 0 in the history.
    pub customers: Vec<u64>,
    /// The number of distinct customers of each group in all periods together.
    pub customers_of_groups: Vec<u64>,
    /// The number of distinct customers of all groups together, by slot.
    pub customers_of_slots: Vec<u64>,
    /// The number of distinct customers of all groups in all periods together.
    pub customers_in_all: u64,
}

/// Adds up the events that count; distinct customers only if `customers_wanted`.
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

/// Adds up the tokens of the events that count: of each measure the sums by group and slot, which
/// are 0 in the history.
pub fn tally_tokens(
    cover: &Cover,
    sources: &Sources<'_>,
    selection: &Selection<'_>,
) -> Result<[Vec<i128>; MEASURES], TallyError> {
    selection.check()?;
    let slots = cover.slots();
    let too_many = GroupError::TooMany {
        group_count: selection.groups,
    };
    let size = selection.groups.checked_mul(slots).ok_or(too_many)?;
    let mut sums: [Vec<i128>; MEASURES] = Default::default();
    for of_measure in &mut sums {
        *of_measure = zeros(size).map_err(|_| too_many)?;
    }
    let mut grouping = Grouping::of(selection);
    let wanted = selection.wanted(true);
    let customers = wanted.customers.as_deref();
    for_each_token_cell(cover, sources, customers, |slot, cell| {
        let (series, measure) = series_and_measure(cell.series);
        if slot > 0
            && let Some(group) = grouping.group(cell.customer, series)?
        {
            sums[measure][group * slots + slot] += cell.cost;
        }
        Ok(())
    })?;
    Ok(sums)
}

impl Tally {
    fn count_customers(&mut self, mut active: Vec<Set>) {
        let groups = active.len() / self.slots;
        let mut of_groups = vec![Set::default(); groups];
        self.customers = vec![0; active.len()];
        // Sets are dropped once they are counted, so that only those of one slot are in
        // memory twice.
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
