//! The sums of each customer, period and series.
#![forbid(unsafe_code)]

use super::error::TallyError;
use super::selection::{Grouping, Selection};
use super::walk::{Sources, for_each_cell};
use crate::cells::cell::{Cell, combine};
use crate::cells::cover::Cover;
use crate::cells::segment::Range;

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
