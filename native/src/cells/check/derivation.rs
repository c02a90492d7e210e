//! The segments of every kind that follow from the cells of events.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use super::pairs::for_each_pair;
use crate::cells::activity;
use crate::cells::cell::{self, Cell, unpack_all};
use crate::cells::codec::Damaged;
use crate::cells::segment::{self, Compaction, EVERY_CUSTOMER, Segment, Span};
use crate::time::day_of;

/// The greatest number of cells of a day that stay unpacked while others are still to come.
const UNPACKED_CELLS_MAX: usize = 4_096;

/// The contents of segments by kind and span, as packed lists that add up.
pub type Derived = BTreeMap<Span, Vec<Vec<u8>>>;

/// The cells of one day, most of them packed.
#[derive(Default)]
struct Day {
    packed: Vec<Vec<u8>>,
    cells: Vec<Cell>,
}

impl Day {
    fn push(&mut self, cell: Cell) {
        self.cells.push(cell);
        if self.cells.len() == UNPACKED_CELLS_MAX {
            self.packed.push(cell::pack(&self.cells));
            self.cells.clear();
        }
    }

    fn finish(self) -> Result<Vec<Cell>, Damaged> {
        let mut cells = unpack_all(self.packed.iter().map(Vec::as_slice))?;
        cells.extend(self.cells);
        Ok(cells)
    }
}

/// The contents of segments of every kind and span but those of tokens, derived from counted cells
/// of customers and quarters without those taken back: packed lists, which add up.
pub fn derive(counted: &[&[u8]], taken_back: &[&[u8]]) -> Result<Derived, Damaged> {
    derive_by(counted, taken_back, Compaction::new)
}

/// The contents of segments of tokens, derived from cells of tokens in the same way.
pub fn derive_tokens(counted: &[&[u8]], taken_back: &[&[u8]]) -> Result<Derived, Damaged> {
    derive_by(counted, taken_back, |cells| {
        Compaction::default().with_tokens(cells)
    })
}

fn derive_by(
    counted: &[&[u8]],
    taken_back: &[&[u8]],
    compaction_of: impl Fn(&[Cell]) -> Compaction,
) -> Result<Derived, Damaged> {
    let mut days: BTreeMap<i32, Day> = BTreeMap::new();
    for_each_pair(counted, taken_back, |pair| {
        let cell = Cell {
            events: pair.left.events - pair.right.events,
            cost: pair.left.cost - pair.right.cost,
            ..pair.place
        };
        if (cell.events, cell.cost) != (0, 0) {
            days.entry(day_of(cell.bucket)).or_default().push(cell);
        }
    })?;
    let mut derived = Derived::new();
    for day in days.into_values() {
        let mut compaction = compaction_of(&day.finish()?);
        compaction.plan(&[]);
        for segment in compaction.merge(&[])? {
            derived
                .entry(segment.span)
                .or_default()
                .push(segment.packed);
        }
    }
    Ok(derived)
}

/// The segments that hold what these packed lists add up to and are alone in their span.
pub fn segments_of(span: Span, lists: &[&[u8]]) -> Result<Vec<Segment>, Damaged> {
    if lists.is_empty() {
        return Ok(Vec::new());
    }
    if span.0.is_activity() {
        return Ok(vec![Segment {
            span,
            customers: EVERY_CUSTOMER,
            packed: activity::merge(lists)?,
        }]);
    }
    Ok(segment::of_cells(span, &unpack_all(lists.iter().copied())?))
}
