//! Segments: what batches become once they are compacted.
//!
//! A segment holds the cells or the active customers of one span of time and, of
//! cells that are each customer's own, of one range of customers. There may be
//! several of one span and range: they add up. New ones are merged with those
//! stored ones that are at most about as large, so that a cell is rewritten as
//! often as its segment doubles and a span has few segments.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use crate::activity;
use crate::cell::{self, Cell, combine};
use crate::packed::Damaged;
use crate::time::{day_of, month_and_year_of};

/// What a segment holds, and of which span. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Everyone's cells of the quarters of an hour of one day.
    Quarters = 1,
    /// Everyone's cells of the days of one month.
    Days = 2,
    /// Everyone's cells of all years.
    Years = 3,
    /// Who was active in each quarter of an hour of one day, by series.
    QuarterCustomers = 4,
    /// Who was active on each day of one month, by series.
    DayCustomers = 5,
    /// Who was active on each day of one month.
    DayEveryone = 6,
    /// Each customer's cells of the quarters of an hour of one month.
    CustomerQuarters = 7,
    /// Each customer's cells of the months of one year, over all series.
    CustomerMonths = 8,
    /// Each customer's cells of all years.
    CustomerYears = 9,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Quarters,
        Self::Days,
        Self::Years,
        Self::QuarterCustomers,
        Self::DayCustomers,
        Self::DayEveryone,
        Self::CustomerQuarters,
        Self::CustomerMonths,
        Self::CustomerYears,
    ];

    /// The kind of that number.
    pub fn of(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|&kind| kind as i16 == number)
    }

    /// Whether its cells are each customer's own.
    pub fn is_by_customer(self) -> bool {
        matches!(
            self,
            Self::CustomerQuarters | Self::CustomerMonths | Self::CustomerYears
        )
    }

    /// Whether it holds sets of customers and no cells.
    pub fn is_activity(self) -> bool {
        matches!(
            self,
            Self::QuarterCustomers | Self::DayCustomers | Self::DayEveryone
        )
    }
}

/// A kind and the number of the day, month or year that it is of; 0 for all time.
pub type Span = (Kind, i32);

/// The customers from the first to the second number, both included.
pub type Range = (u32, u32);

/// All customers there can be: their numbers are positive integers of 32 bits.
pub const EVERY_CUSTOMER: Range = (0, i32::MAX as u32);

/// A segment that is stored, without what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What it holds.
    pub span: Span,
    /// Of whom.
    pub customers: Range,
    /// How large it is.
    pub bytes: usize,
}

/// A segment to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// What it holds.
    pub span: Span,
    /// Of whom.
    pub customers: Range,
    /// Packed cells or packed activity, as its kind says.
    pub packed: Vec<u8>,
}

/// A segment of customers that has grown beyond this is split into two or more
/// ranges: a question about one customer reads a whole segment a month.
const SPLIT_BYTES: usize = 128 * 1024;

/// Into parts of about this size.
const PART_BYTES: usize = 64 * 1024;

/// What new cells add to one span.
#[derive(Debug)]
enum Addition {
    Cells(Vec<Cell>),
    Activity(Vec<u8>),
}

/// The cells of pending batches, on their way into segments.
#[derive(Debug, Default)]
pub struct Compaction {
    additions: BTreeMap<Span, Addition>,
    planned: Vec<Planned>,
}

/// What becomes of the stored segments of one span and range.
#[derive(Debug)]
struct Planned {
    span: Span,
    customers: Range,
    /// Which of the stored ones are merged with what is new.
    replaced: Vec<usize>,
    /// Whether these are all there are.
    is_all: bool,
}

impl Compaction {
    /// Sorts combined cells of customers and quarters of an hour into spans.
    pub fn new(cells: Vec<Cell>) -> Self {
        Self {
            additions: additions(cells),
            planned: Vec::new(),
        }
    }

    /// The spans that get something new.
    pub fn spans(&self) -> impl Iterator<Item = Span> {
        self.additions.keys().copied()
    }

    /// Chooses which of the segments that these spans have are replaced, and
    /// returns their places.
    pub fn plan(&mut self, stored: &[Stored]) -> Vec<usize> {
        let mut by_span: BTreeMap<Span, Vec<usize>> = BTreeMap::new();
        for (place, one) in stored.iter().enumerate() {
            by_span.entry(one.span).or_default().push(place);
        }
        self.planned.clear();
        for (&span, addition) in &self.additions {
            let places = by_span.remove(&span).unwrap_or_default();
            for (customers, mut places) in by_range(stored, places) {
                let added = match addition {
                    Addition::Activity(packed) => packed.len(),
                    Addition::Cells(cells) => CELL_BYTES * within(cells, span, customers).len(),
                };
                if added == 0 {
                    continue;
                }
                places.sort_by_key(|&place| stored[place].bytes);
                let mut size = added;
                let smaller = places.iter().take_while(|&&place| {
                    let bytes = stored[place].bytes;
                    let is_small = bytes <= size.saturating_mul(2);
                    size = size.saturating_add(bytes);
                    is_small
                });
                let count = smaller.count();
                let is_all = count == places.len();
                places.truncate(count);
                self.planned.push(Planned {
                    span,
                    customers,
                    replaced: places,
                    is_all,
                });
            }
        }
        let replaced = self.planned.iter().flat_map(|planned| &planned.replaced);
        replaced.copied().collect()
    }

    /// The segments that take the place of those chosen by the last plan, whose
    /// packed contents are given in that order.
    pub fn merge(&self, replaced: &[&[u8]]) -> Result<Vec<Segment>, Damaged> {
        let mut rest = replaced;
        let mut segments = Vec::new();
        for planned in &self.planned {
            let (old, others) = rest
                .split_at_checked(planned.replaced.len())
                .ok_or(Damaged)?;
            rest = others;
            match &self.additions[&planned.span] {
                Addition::Activity(packed) => {
                    let mut lists = vec![packed.as_slice()];
                    lists.extend(old);
                    segments.push(Segment {
                        span: planned.span,
                        customers: planned.customers,
                        packed: activity::merge(&lists)?,
                    });
                }
                Addition::Cells(cells) => {
                    let mut merged = Vec::new();
                    for packed in old {
                        cell::Cells::new(packed)?.append_to(&mut merged)?;
                    }
                    merged.extend(within(cells, planned.span, planned.customers));
                    combine(&mut merged);
                    push_segments(&mut segments, planned, &merged);
                }
            }
        }
        if rest.is_empty() {
            Ok(segments)
        } else {
            Err(Damaged)
        }
    }
}

/// The places of stored segments of one span, by range. Every customer is in exactly
/// one range, so that nothing new is counted twice or lost: ranges that overlap, as
/// those that two processes have split at once, are one, and gaps belong to the next.
fn by_range(stored: &[Stored], mut places: Vec<usize>) -> Vec<(Range, Vec<usize>)> {
    places.sort_by_key(|&place| stored[place].customers);
    let mut ranges: Vec<(Range, Vec<usize>)> = Vec::new();
    for place in places {
        let (first, last) = stored[place].customers;
        match ranges.last_mut() {
            Some((range, members)) if first <= range.1 => {
                range.1 = range.1.max(last);
                members.push(place);
            }
            before => {
                let from = before.map_or(EVERY_CUSTOMER.0, |(range, _)| range.1 + 1);
                ranges.push(((from, last), vec![place]));
            }
        }
    }
    match ranges.last_mut() {
        Some((range, _)) => range.1 = EVERY_CUSTOMER.1,
        None => ranges.push((EVERY_CUSTOMER, Vec::new())),
    }
    ranges
}

/// About how large a packed cell is.
const CELL_BYTES: usize = 8;

/// The cells of a range of customers.
fn within(cells: &[Cell], span: Span, customers: Range) -> &[Cell] {
    if !span.0.is_by_customer() {
        return cells;
    }
    let from = cells.partition_point(|cell| cell.customer < customers.0);
    let to = cells.partition_point(|cell| cell.customer <= customers.1);
    &cells[from..to]
}

fn push_segments(segments: &mut Vec<Segment>, planned: &Planned, cells: &[Cell]) {
    let packed = cell::pack(cells);
    let is_split = planned.is_all && planned.span.0.is_by_customer() && packed.len() > SPLIT_BYTES;
    if !is_split {
        segments.push(Segment {
            span: planned.span,
            customers: planned.customers,
            packed,
        });
        return;
    }
    let part_cells = cells.len() * PART_BYTES / packed.len();
    let (mut first, last) = planned.customers;
    let mut rest = cells;
    while !rest.is_empty() {
        // A customer's cells stay together, however many they are.
        let end = rest.get(part_cells).map_or(rest.len(), |next| {
            rest.partition_point(|cell| cell.customer <= next.customer)
        });
        let (part, others) = rest.split_at(end);
        let to = others.first().map_or(last, |next| next.customer - 1);
        segments.push(Segment {
            span: planned.span,
            customers: (first, to),
            packed: cell::pack(part),
        });
        (first, rest) = (to.saturating_add(1), others);
    }
}

/// What cells of customers and quarters of an hour add to each span.
fn additions(cells: Vec<Cell>) -> BTreeMap<Span, Addition> {
    let mut additions = BTreeMap::new();
    push_cells(&mut additions, Kind::CustomerYears, &cells, |cell| {
        let (_, year) = month_and_year_of(day_of(cell.bucket));
        (
            0,
            Cell {
                bucket: year,
                ..*cell
            },
        )
    });
    push_cells(&mut additions, Kind::CustomerMonths, &cells, |cell| {
        let (month, year) = month_and_year_of(day_of(cell.bucket));
        (
            year,
            Cell {
                bucket: month,
                series: 0,
                ..*cell
            },
        )
    });
    push_cells(&mut additions, Kind::CustomerQuarters, &cells, |cell| {
        let (month, _) = month_and_year_of(day_of(cell.bucket));
        (month, *cell)
    });
    push_cells(&mut additions, Kind::Years, &cells, |cell| {
        let (_, year) = month_and_year_of(day_of(cell.bucket));
        (
            0,
            Cell {
                bucket: year,
                customer: 0,
                ..*cell
            },
        )
    });
    push_cells(&mut additions, Kind::Days, &cells, |cell| {
        let day = day_of(cell.bucket);
        let (month, _) = month_and_year_of(day);
        (
            month,
            Cell {
                bucket: day,
                customer: 0,
                ..*cell
            },
        )
    });
    push_cells(&mut additions, Kind::Quarters, &cells, |cell| {
        (
            day_of(cell.bucket),
            Cell {
                customer: 0,
                ..*cell
            },
        )
    });
    push_activity(&mut additions, Kind::QuarterCustomers, &cells, |cell| {
        (day_of(cell.bucket), cell.bucket, cell.series)
    });
    push_activity(&mut additions, Kind::DayCustomers, &cells, |cell| {
        let day = day_of(cell.bucket);
        (month_and_year_of(day).0, day, cell.series)
    });
    push_activity(&mut additions, Kind::DayEveryone, &cells, |cell| {
        let day = day_of(cell.bucket);
        (month_and_year_of(day).0, day, 0)
    });
    additions
}

/// Adds up the cells that each of these turns into, by span.
fn push_cells(
    additions: &mut BTreeMap<Span, Addition>,
    kind: Kind,
    cells: &[Cell],
    turn: impl Fn(&Cell) -> (i32, Cell),
) {
    let mut by_span: BTreeMap<i32, Vec<Cell>> = BTreeMap::new();
    for cell in cells {
        let (span, turned) = turn(cell);
        by_span.entry(span).or_default().push(turned);
    }
    for (span, mut list) in by_span {
        combine(&mut list);
        if !list.is_empty() {
            additions.insert((kind, span), Addition::Cells(list));
        }
    }
}

/// Collects customers by the (day or month of the span, bucket, series) of each cell.
fn push_activity(
    additions: &mut BTreeMap<Span, Addition>,
    kind: Kind,
    cells: &[Cell],
    place: impl Fn(&Cell) -> (i32, i32, u32),
) {
    let mut active: Vec<(i32, i32, u32, u32)> = cells
        .iter()
        .map(|cell| {
            let (span, bucket, series) = place(cell);
            (span, bucket, series, cell.customer)
        })
        .collect();
    active.sort_unstable();
    active.dedup();
    for of_span in active.chunk_by(|one, next| one.0 == next.0) {
        let packed = activity::pack(
            of_span
                .iter()
                .map(|&(_, bucket, series, customer)| (bucket, series, customer)),
        );
        additions.insert((kind, of_span[0].0), Addition::Activity(packed));
    }
}
