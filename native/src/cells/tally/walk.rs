//! The walk over all cells of a cover that a selection wants.
#![forbid(unsafe_code)]

use crate::cells::cached::CachedCells;
use crate::cells::cell::Cell;
use crate::cells::codec::Damaged;
use crate::cells::cover::{Cover, Slot};
use crate::cells::kind::Kind;
use crate::cells::tokens;
use crate::events::tokens::Tokens;

/// The sources of a tally: segments, batches and single events.
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
    pub tokens: Tokens,
}

impl LooseEvent {
    /// The cell of the event alone, in no bucket.
    fn cell(&self) -> Cell {
        Cell {
            customer: self.customer,
            bucket: 0,
            series: self.series,
            events: 1,
            cost: i128::from(self.cost_picocents),
        }
    }
}

/// The cells that a walk visits.
pub(super) struct Wanted {
    /// The customers in ascending order; `None` for all customers.
    pub(super) customers: Option<Vec<u32>>,
    /// Whether cells must be told apart by series; if not, fewer cells hold the same sums.
    pub(super) by_series: bool,
}

/// Calls with (slot, cell, whether the cell is one customer's own) for each cell that
/// is wanted and that some slot holds.
pub(super) fn for_each_cell(
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
            | Kind::HourEveryone
            | Kind::TokenQuarters
            | Kind::TokenDays
            | Kind::CustomerTokenQuarters => {}
        }
    }
    for cached in sources.batches {
        let slot_of = |quarter| cover.slot_of_quarter(quarter);
        cells_of(cached, chosen, slot_of, |slot, cell| each(slot, cell, true))?;
    }
    for event in sources.events {
        if let Some(slot) = cover.slot_of_time(event.timestamp_us) {
            each(slot, &event.cell(), true)?;
        }
    }
    Ok(())
}

/// Calls with (slot, cell) for each cell of tokens of these customers, in ascending order, or of
/// all, that some period holds.
pub(super) fn for_each_token_cell(
    cover: &Cover,
    sources: &Sources<'_>,
    chosen: Option<&[u32]>,
    mut each: impl FnMut(Slot, &Cell) -> Result<(), Damaged>,
) -> Result<(), Damaged> {
    for &(kind, cached) in sources.segments {
        match kind {
            Kind::TokenQuarters => {
                let slot_of = |quarter| cover.slot_of_edge_quarter(quarter);
                cells_of(cached, None, slot_of, &mut each)?;
            }
            Kind::TokenDays => {
                cells_of(cached, None, |day| cover.slot_of_day(day), &mut each)?;
            }
            Kind::CustomerTokenQuarters => {
                let slot_of = |quarter| cover.slot_of_quarter(quarter);
                cells_of(cached, chosen, slot_of, &mut each)?;
            }
            _ => {}
        }
    }
    for cached in sources.batches {
        if let Some(of_tokens) = cached.tokens() {
            let slot_of = |quarter| cover.slot_of_quarter(quarter);
            cells_of(of_tokens, chosen, slot_of, &mut each)?;
        }
    }
    let mut of_event = Vec::new();
    for event in sources.events {
        if let Some(slot) = cover.slot_of_time(event.timestamp_us) {
            tokens::push(&mut of_event, &event.cell(), &event.tokens);
            for cell in of_event.drain(..) {
                each(slot, &cell)?;
            }
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
