//! The cells of events and batches: counted anew, cut at a quarter and merged.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use super::soundness::sound_cells;
use crate::cells::cell::{self, Cell, combine, pack_combined, unpack_all};
use crate::cells::codec::Damaged;
use crate::cells::event_cells::{EventCells, Packed};
use crate::cells::tokens;
use crate::events::tokens::Tokens;
use crate::time::{day_of, month_and_year_of, quarter_of};

/// The columns of events are not equally long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthsDiffer;

impl std::fmt::Display for LengthsDiffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the columns of events must be equally long")
    }
}

/// The columns of some events.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the columns of an event")]
pub struct Columns<'a> {
    pub timestamps_us: &'a [i64],
    pub costs_picocents: &'a [i64],
    pub customers: &'a [i32],
    pub series: &'a [i32],
    /// The tokens of those that have any: the place of the event, in ascending order, and how many.
    pub tokens: &'a [(usize, Tokens)],
}

/// The packed cells of events.
pub fn of_events(events: &Columns<'_>) -> Result<Packed, LengthsDiffer> {
    let (customers, series) = (events.customers, events.series);
    let lengths = [events.costs_picocents.len(), customers.len(), series.len()];
    let is_longer = |&length: &usize| length != events.timestamps_us.len();
    if lengths.iter().any(is_longer) {
        return Err(LengthsDiffer);
    }
    let mut all = EventCells::default();
    let mut of_tokens = events.tokens.iter().peekable();
    for (place, (&time_us, &cost)) in events
        .timestamps_us
        .iter()
        .zip(events.costs_picocents)
        .enumerate()
    {
        let event = Cell {
            customer: customers[place] as u32,
            bucket: quarter_of(time_us),
            series: series[place] as u32,
            events: 1,
            cost: i128::from(cost),
        };
        let tokens = of_tokens.next_if(|(of_place, _)| *of_place == place);
        all.add(event, tokens.map(|(_, tokens)| tokens));
    }
    if of_tokens.next().is_some() {
        return Err(LengthsDiffer);
    }
    Ok(all.pack())
}

/// The cells of batches by month, and the places of batches that are damaged. Cells of
/// quarters before the first quarter are left out.
pub fn by_month(batches: &[&[u8]], first_quarter: i32) -> (BTreeMap<i32, Vec<u8>>, Vec<usize>) {
    let mut months: BTreeMap<i32, Vec<Cell>> = BTreeMap::new();
    let mut damaged = Vec::new();
    for (place, &packed) in batches.iter().enumerate() {
        match sound_cells(packed) {
            Ok(cells) => {
                for cell in cells {
                    if cell.bucket >= first_quarter {
                        months.entry(month_of(&cell)).or_default().push(cell);
                    }
                }
            }
            Err(Damaged) => damaged.push(place),
        }
    }
    let packed = months.into_iter().map(|(month, mut cells)| {
        combine(&mut cells);
        (month, cell::pack(&cells))
    });
    (packed.collect(), damaged)
}

fn month_of(cell: &Cell) -> i32 {
    month_and_year_of(day_of(cell.bucket)).0
}

/// The cells of quarters before this one.
pub fn before(packed: &[u8], quarter: i32) -> Result<Vec<u8>, Damaged> {
    let mut cells = unpack_all([packed])?;
    cells.retain(|cell| cell.bucket < quarter);
    Ok(cell::pack(&cells))
}

/// The cells with those of negative series numbers, which are beyond the limit of series, added up
/// in the series that counts them all.
pub fn folded(packed: &[u8], other: u32) -> Result<Vec<u8>, Damaged> {
    let mut cells = unpack_all([packed])?;
    for cell in &mut cells {
        if cell.series > i32::MAX as u32 {
            cell.series = other;
        }
    }
    combine(&mut cells);
    Ok(cell::pack(&cells))
}

/// The cells of tokens with those of negative series added up in one other series.
pub fn folded_tokens(packed: &[u8], other: u32) -> Result<Vec<u8>, Damaged> {
    let mut cells = unpack_all([packed])?;
    for cell in &mut cells {
        let (series, measure) = tokens::series_and_measure(cell.series);
        if series > i32::MAX as u32 {
            cell.series = tokens::series_of(other, measure);
        }
    }
    Ok(pack_combined(cells))
}

/// The number of events in the cells of quarters before this one.
pub fn events_before(lists: &[&[u8]], quarter: i32) -> Result<i64, Damaged> {
    let cells = unpack_all(lists.iter().copied())?;
    let earlier = cells.iter().filter(|cell| cell.bucket < quarter);
    Ok(earlier.map(|cell| cell.events).sum())
}

/// Packed lists of cells as one.
pub fn merge(lists: &[&[u8]]) -> Result<Vec<u8>, Damaged> {
    Ok(cell::pack(&unpack_all(lists.iter().copied())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::check::tests::events;
    use crate::time::{DAY_US, QUARTER_US};

    /// Events are counted up to a quarter, and not those of the quarter itself.
    #[test]
    fn events_of_earlier_quarters() {
        let (one, other) = (events(1), events(2));
        let quarter = |day: i64| quarter_of(day * DAY_US + 3 * QUARTER_US);
        for (end, expected) in [
            (0, 0),
            (quarter(0), 0),
            (quarter(0) + 1, 2),
            (quarter(400), 6),
        ] {
            assert_eq!(events_before(&[&one, &other], end), Ok(expected), "{end}");
        }
        assert_eq!(events_before(&[&one[1..]], 0), Err(Damaged));
    }

    /// Only negative series are folded, and no event is lost.
    #[test]
    fn series_beyond_the_limit() {
        let packed = merge(&[&events(1), &events(-1), &events(-2)]).unwrap();
        let expected = merge(&[&events(1), &events(3), &events(3)]).unwrap();
        assert_eq!(folded(&packed, 3), Ok(expected));
        assert_eq!(folded(&events(1), 3), Ok(events(1)));
        assert_eq!(folded(b"?", 3), Err(Damaged));
    }

    /// Tokens are folded as their events are: each measure stays what it is.
    #[test]
    fn tokens_of_series_beyond_the_limit() {
        let tokens_of = |series: &[i32; 3]| {
            let columns = Columns {
                timestamps_us: &[0; 3],
                costs_picocents: &[0; 3],
                customers: &[1, 1, 2],
                series,
                tokens: &[(0, [10, 4, 5, 0]), (1, [1, 0, 0, -1]), (2, [0, 0, 7, 0])],
            };
            of_events(&columns).unwrap().tokens.unwrap()
        };
        let expected = tokens_of(&[3, 3, 2]);
        assert_eq!(folded_tokens(&tokens_of(&[-1, -2, 2]), 3), Ok(expected));
        assert_eq!(folded_tokens(b"?", 3), Err(Damaged));
    }

    /// Months are told apart, what is before the first quarter is left out, and damage
    /// hides nothing else.
    #[test]
    fn batches_by_month() {
        let batch = events(0);
        let (months, damaged) = by_month(&[&batch, b"?", &batch], i32::MIN);
        assert_eq!(damaged, [1]);
        assert_eq!(months.keys().copied().collect::<Vec<_>>(), [0, 1, 13]);
        let events_of = |packed: &[u8]| -> i64 {
            let cells = unpack_all([packed]).unwrap();
            cells.iter().map(|cell| cell.events).sum()
        };
        assert_eq!(events_of(&months[&1]), 4);
        let (later, _) = by_month(&[&batch], 40 * 96 + 3);
        assert_eq!(later.keys().copied().collect::<Vec<_>>(), [1, 13]);
        assert_eq!(events_of(&before(&batch, 40 * 96 + 3).unwrap()), 1);
    }

    /// Columns of events belong together.
    #[test]
    fn columns_are_equally_long() {
        let whole = Columns {
            timestamps_us: &[1],
            costs_picocents: &[1],
            customers: &[1],
            series: &[1],
            tokens: &[(0, [1; 4])],
        };
        assert!(of_events(&whole).is_ok());
        for other in [
            Columns {
                costs_picocents: &[],
                ..whole
            },
            Columns {
                series: &[1, 2],
                ..whole
            },
            Columns {
                tokens: &[(1, [1; 4])],
                ..whole
            },
        ] {
            assert_eq!(of_events(&other), Err(LengthsDiffer), "{other:?}");
        }
    }
}
