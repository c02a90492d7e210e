//! Segments: what batches become once they are compacted.
//!
//! A segment holds the cells or the active customers of one span of time and, of
//! cells that are each customer's own, of one range of customers. There may be
//! several of one span and range: they add up. New ones are merged with those
//! stored ones that are at most about as large, so that a cell is rewritten as
//! often as its segment doubles and a span has few segments.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use super::activity;
use super::cell::{self, Cell, combine};
use super::codec::Damaged;
use super::kind::Kind;
use crate::time::{day_of, hour_of, month_and_year_of};

/// A kind and the number of the day, month or year that it is of; 0 for all time.
pub type Span = (Kind, i32);

/// The customers from the first to the second number, both included.
pub type Range = (u32, u32);

/// The range of all possible customers: their numbers are positive integers of 32 bits.
pub const EVERY_CUSTOMER: Range = (0, i32::MAX as u32);

/// A segment that is stored, without what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its kind and the number of its span.
    pub span: Span,
    /// The customers it holds.
    pub customers: Range,
    /// Its size.
    pub bytes: usize,
}

/// A segment to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its kind and the number of its span.
    pub span: Span,
    /// The customers it holds.
    pub customers: Range,
    /// Packed cells or packed activity, as its kind says.
    pub packed: Vec<u8>,
}

/// A segment of customers that has grown beyond this is split into two or more
/// ranges: a question about one customer reads a whole segment a month.
const SPLIT_BYTES: usize = 128 * 1024;

/// Into parts of about this size.
const PART_BYTES: usize = 64 * 1024;

/// The addition of new cells to one span.
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

/// The plan for the stored segments of one span and range.
#[derive(Debug)]
struct Planned {
    span: Span,
    customers: Range,
    /// The places of the stored segments that are merged with the addition.
    replaced: Vec<usize>,
    /// Whether these are all stored segments of the span and range.
    is_all: bool,
}

impl Compaction {
    /// Sorts combined cells of customers and quarters of an hour into spans.
    pub fn new(cells: &[Cell]) -> Self {
        Self {
            additions: additions(cells),
            planned: Vec::new(),
        }
    }

    /// Adds combined cells of tokens, of customers and quarters of an hour too.
    pub fn with_tokens(mut self, tokens: &[Cell]) -> Self {
        self.additions.extend(token_additions(tokens));
        self
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

/// The segments of a span that hold these combined cells and are alone.
pub fn of_cells(span: Span, cells: &[Cell]) -> Vec<Segment> {
    let planned = Planned {
        span,
        customers: EVERY_CUSTOMER,
        replaced: Vec::new(),
        is_all: true,
    };
    let mut segments = Vec::new();
    push_segments(&mut segments, &planned, cells);
    segments
}

/// The additions of cells of customers and quarters of an hour to each span.
fn additions(cells: &[Cell]) -> BTreeMap<Span, Addition> {
    let mut additions = Additions::default();
    additions.of_customers(cells);
    // Cells of one day are few enough to be sorted where the processor has them at hand.
    let mut by_day: Vec<u64> = (0_u64..)
        .zip(cells)
        .map(|(at, cell)| u64::from(order_of(day_of(cell.bucket))) << 32 | at)
        .collect();
    by_day.sort_unstable();
    let mut of_day = Vec::new();
    for places in by_day.chunk_by(|one, next| one >> 32 == next >> 32) {
        of_day.clear();
        of_day.extend(places.iter().map(|&place| cells[place as u32 as usize]));
        additions.of_day(&of_day);
    }
    additions.finish()
}

/// The additions of cells of tokens to each span.
fn token_additions(tokens: &[Cell]) -> BTreeMap<Span, Addition> {
    let mut by_span: BTreeMap<Span, Vec<Cell>> = BTreeMap::new();
    for of_day in tokens.chunk_by(|one, next| day_of(one.bucket) == day_of(next.bucket)) {
        let day = day_of(of_day[0].bucket);
        let (month, _) = month_and_year_of(day);
        let mut add = |span, cell_of: &dyn Fn(&Cell) -> Cell| {
            let cells = by_span.entry(span).or_default();
            cells.extend(of_day.iter().map(cell_of));
        };
        add((Kind::CustomerTokenQuarters, month), &|cell| *cell);
        add((Kind::TokenQuarters, day), &|cell| Cell {
            customer: 0,
            ..*cell
        });
        add((Kind::TokenDays, month), &|cell| Cell {
            customer: 0,
            bucket: day,
            ..*cell
        });
    }
    by_span
        .into_iter()
        .filter_map(|(span, mut cells)| {
            combine(&mut cells);
            (!cells.is_empty()).then_some((span, Addition::Cells(cells)))
        })
        .collect()
}

/// A signed number as one without sign that is in the same order.
fn order_of(number: i32) -> u32 {
    (number ^ i32::MIN) as u32
}

#[derive(Default)]
struct Additions {
    customer_quarters: BTreeMap<i32, Vec<Cell>>,
    customer_months: BTreeMap<i32, Vec<Cell>>,
    customer_years: Vec<Cell>,
    quarters: BTreeMap<i32, Vec<Cell>>,
    days: BTreeMap<i32, Vec<Cell>>,
    years: Vec<Cell>,
    quarter_customers: BTreeMap<i32, activity::Packer>,
    day_customers: BTreeMap<i32, activity::Packer>,
    day_everyone: BTreeMap<i32, activity::Packer>,
    hour_everyone: BTreeMap<i32, activity::Packer>,
}

impl Additions {
    /// Cells in the order of customers.
    fn of_customers(&mut self, cells: &[Cell]) {
        let month_of = |cell: &Cell| month_and_year_of(day_of(cell.bucket));
        for of_month in cells
            .chunk_by(|one, next| one.customer == next.customer && month_of(one) == month_of(next))
        {
            let (month, year) = month_of(&of_month[0]);
            let quarters = self.customer_quarters.entry(month).or_default();
            quarters.extend_from_slice(of_month);
            let (events, cost) = sum_of(of_month);
            let months = self.customer_months.entry(year).or_default();
            months.push(Cell {
                customer: of_month[0].customer,
                bucket: month,
                series: 0,
                events,
                cost,
            });
        }
        let year_of = |cell: &Cell| month_of(cell).1;
        let mut by_series = Vec::new();
        for of_year in cells
            .chunk_by(|one, next| one.customer == next.customer && year_of(one) == year_of(next))
        {
            let year = year_of(&of_year[0]);
            by_series.clear();
            by_series.extend(of_year.iter().map(|cell| Cell {
                bucket: year,
                ..*cell
            }));
            combine(&mut by_series);
            self.customer_years.extend(&by_series);
        }
    }

    /// All cells of one day, in the order of customers.
    fn of_day(&mut self, cells: &[Cell]) {
        let day = day_of(cells[0].bucket);
        let (month, year) = month_and_year_of(day);
        let mut customers: Vec<u32> = cells.iter().map(|cell| cell.customer).collect();
        customers.dedup();
        let everyone = self.day_everyone.entry(month).or_default();
        everyone.push(day, 0, &customers);

        let mut by_series: Vec<u64> = (0_u64..)
            .zip(cells)
            .map(|(at, cell)| u64::from(cell.series) << 32 | at)
            .collect();
        by_series.sort_unstable();
        let in_series: Vec<Cell> = by_series
            .iter()
            .map(|&place| cells[place as u32 as usize])
            .collect();
        let active = self.day_customers.entry(month).or_default();
        let days = self.days.entry(month).or_default();
        for of_series in in_series.chunk_by(|one, next| one.series == next.series) {
            customers.clear();
            customers.extend(of_series.iter().map(|cell| cell.customer));
            customers.dedup();
            active.push(day, of_series[0].series, &customers);
            days.push(everyones(of_series, day));
            self.years.push(everyones(of_series, year));
        }

        let mut by_quarter: Vec<u64> = (0_u64..)
            .zip(&in_series)
            .map(|(at, cell)| u64::from(order_of(cell.bucket)) << 32 | at)
            .collect();
        by_quarter.sort_unstable();
        let in_quarters: Vec<Cell> = by_quarter
            .iter()
            .map(|&place| in_series[place as u32 as usize])
            .collect();
        let active = self.quarter_customers.entry(day).or_default();
        let quarters = self.quarters.entry(day).or_default();
        for of_place in
            in_quarters.chunk_by(|one, next| (one.bucket, one.series) == (next.bucket, next.series))
        {
            customers.clear();
            customers.extend(of_place.iter().map(|cell| cell.customer));
            active.push(of_place[0].bucket, of_place[0].series, &customers);
            quarters.push(everyones(of_place, of_place[0].bucket));
        }
        let everyone = self.hour_everyone.entry(day).or_default();
        for of_hour in in_quarters.chunk_by(|one, next| hour_of(one.bucket) == hour_of(next.bucket))
        {
            customers.clear();
            customers.extend(of_hour.iter().map(|cell| cell.customer));
            customers.sort_unstable();
            customers.dedup();
            everyone.push(hour_of(of_hour[0].bucket), 0, &customers);
        }
    }

    fn finish(mut self) -> BTreeMap<Span, Addition> {
        combine(&mut self.years);
        let of_all_time = |cells: Vec<Cell>| BTreeMap::from([(0, cells)]);
        let cells = [
            (Kind::Quarters, self.quarters),
            (Kind::Days, self.days),
            (Kind::Years, of_all_time(self.years)),
            (Kind::CustomerQuarters, self.customer_quarters),
            (Kind::CustomerMonths, self.customer_months),
            (Kind::CustomerYears, of_all_time(self.customer_years)),
        ];
        let activity = [
            (Kind::QuarterCustomers, self.quarter_customers),
            (Kind::DayCustomers, self.day_customers),
            (Kind::DayEveryone, self.day_everyone),
            (Kind::HourEveryone, self.hour_everyone),
        ];
        let mut additions = BTreeMap::new();
        for (kind, by_span) in cells {
            for (span, mut cells) in by_span {
                cells.retain(|cell| !cell.is_empty());
                if !cells.is_empty() {
                    additions.insert((kind, span), Addition::Cells(cells));
                }
            }
        }
        for (kind, by_span) in activity {
            for (span, packer) in by_span {
                additions.insert((kind, span), Addition::Activity(packer.finish()));
            }
        }
        additions
    }
}

/// The sum of the events and the costs of cells.
fn sum_of(cells: &[Cell]) -> (i64, i128) {
    let events = cells.iter().map(|cell| cell.events).sum();
    (events, cells.iter().map(|cell| cell.cost).sum())
}

/// The cell of everyone of what cells of one series add up to.
fn everyones(cells: &[Cell], bucket: i32) -> Cell {
    let (events, cost) = sum_of(cells);
    Cell {
        customer: 0,
        bucket,
        series: cells[0].series,
        events,
        cost,
    }
}
