//! Cells of tokens: what the LLM calls of one customer, bucket and series have read and written.
//!
//! They are cells like those of costs, in lists of their own, with a number of tokens in the
//! place of the cost. Each measure has its own cell: the number of the series is multiplied by
//! four, and the measure stands in its two lowest bits, so that negative numbers, those of folded
//! series, stay negative. There is no cell where there are no tokens.
#![forbid(unsafe_code)]

use super::cell::Cell;
use crate::events::tokens::Tokens;

const MEASURE_BITS: u32 = 2;
const MEASURE_MASK: u32 = (1 << MEASURE_BITS) - 1;

/// The number by which cells of tokens know a series and a measure.
#[inline]
pub fn series_of(series: u32, measure: usize) -> u32 {
    series << MEASURE_BITS | measure as u32
}

/// The series and the measure of a cell of tokens.
#[inline]
pub fn series_and_measure(series: u32) -> (u32, usize) {
    // As a signed number, whose sign the shift keeps.
    let of_events = series as i32 >> MEASURE_BITS;
    (of_events as u32, (series & MEASURE_MASK) as usize)
}

/// Adds the cells of the tokens of one event, of which the cell of its costs is given.
#[inline]
pub fn push(cells: &mut Vec<Cell>, event: &Cell, tokens: &Tokens) {
    for (measure, &count) in tokens.iter().enumerate() {
        if count != 0 {
            cells.push(Cell {
                series: series_of(event.series, measure),
                cost: i128::from(count),
                ..*event
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Series and measures are told apart again, negative series too.
    #[test]
    fn series_and_measures() {
        for series in [
            0,
            1,
            12_345,
            (1 << 29) - 1,
            -1_i32 as u32,
            -54_321_i32 as u32,
        ] {
            for measure in 0..4 {
                let of_tokens = series_of(series, measure);
                assert_eq!(series_and_measure(of_tokens), (series, measure));
                assert_eq!((of_tokens as i32) < 0, (series as i32) < 0);
            }
        }
    }

    /// Only measures with tokens have cells.
    #[test]
    fn cells_of_an_event() {
        let event = Cell {
            customer: 7,
            bucket: -3,
            series: 5,
            events: 1,
            cost: 9,
        };
        let mut cells = Vec::new();
        push(&mut cells, &event, &[0; 4]);
        assert!(cells.is_empty());
        push(&mut cells, &event, &[10, 0, 5, -2]);
        let found: Vec<_> = cells.iter().map(|cell| (cell.series, cell.cost)).collect();
        assert_eq!(found, [(20, 10), (22, 5), (23, -2)]);
        assert!(
            cells
                .iter()
                .all(|cell| (cell.customer, cell.bucket, cell.events) == (7, -3, 1))
        );
    }
}
