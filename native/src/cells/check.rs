//! Checking: whether stored segments hold what the events say.
//!
//! The cells of events are counted anew and every kind of segment is derived from
//! them, a month at a time. What is stored beside is then compared cell by cell.
//! All of it stays packed but for the cells of one day, so that a month takes about
//! as many bytes as its segments.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BinaryHeap};

use roaring::RoaringBitmap;

use super::activity::{self, Entries, united};
use super::cell::{self, Cell, Cells, combine, unpack_all};
use super::codec::Damaged;
use super::kind::Kind;
use super::segment::{self, Compaction, EVERY_CUSTOMER, Range, Segment, Span};
use crate::time::{day_of, month_and_year_of, quarter_of};

/// The columns of events are not equally long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthsDiffer;

impl std::fmt::Display for LengthsDiffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the columns of events must be equally long")
    }
}

/// The packed cells of events, whose numbers are counted from 0.
pub fn of_events(
    timestamps_us: &[i64],
    costs_picocents: &[i64],
    customers: &[i32],
    series: &[i32],
) -> Result<Vec<u8>, LengthsDiffer> {
    let lengths = [costs_picocents.len(), customers.len(), series.len()];
    if lengths.iter().any(|&length| length != timestamps_us.len()) {
        return Err(LengthsDiffer);
    }
    let mut cells: Vec<Cell> = timestamps_us
        .iter()
        .zip(costs_picocents)
        .zip(customers.iter().zip(series))
        .map(|((&time_us, &cost), (&customer, &series))| Cell {
            customer: customer as u32,
            bucket: quarter_of(time_us),
            series: series as u32,
            events: 1,
            cost: i128::from(cost),
        })
        .collect();
    combine(&mut cells);
    Ok(cell::pack(&cells))
}

/// The cells of batches by month, and the places of batches that are damaged. Those
/// of quarters before the first are left out.
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

/// How many events the cells of quarters before this one count.
pub fn events_before(lists: &[&[u8]], quarter: i32) -> Result<i64, Damaged> {
    let cells = unpack_all(lists.iter().copied())?;
    let earlier = cells.iter().filter(|cell| cell.bucket < quarter);
    Ok(earlier.map(|cell| cell.events).sum())
}

/// Packed lists of cells as one.
pub fn merge(lists: &[&[u8]]) -> Result<Vec<u8>, Damaged> {
    Ok(cell::pack(&unpack_all(lists.iter().copied())?))
}

/// More than any number of events comes to. What says so is damaged; sums of what does
/// not are far from the end of their integers.
const EVENTS_MAX: u64 = 1 << 40;
const COST_MAX: u128 = 1 << 104;

/// Cells that are in order, each once, and none of them beyond what can be.
fn sound_cells(packed: &[u8]) -> Result<Vec<Cell>, Damaged> {
    let mut cells: Vec<Cell> = Vec::new();
    Cells::new(packed)?.append_to(&mut cells)?;
    let is_sorted = cells.is_sorted_by(|one, next| one.key() < next.key());
    let can_be = |cell: &Cell| {
        cell.events.unsigned_abs() <= EVENTS_MAX && cell.cost.unsigned_abs() <= COST_MAX
    };
    if is_sorted && cells.iter().all(can_be) {
        Ok(cells)
    } else {
        Err(Damaged)
    }
}

/// Whether a stored segment can be read, and holds nothing that readers would not look
/// for in that span and range.
pub fn is_sound(span: Span, customers: Range, packed: &[u8]) -> bool {
    if span.0.is_activity() {
        return is_sound_activity(span, packed);
    }
    let (kind, buckets) = (span.0, span.0.layout().buckets);
    let is_within = |cell: &Cell| {
        let is_of_range = (customers.0..=customers.1).contains(&cell.customer);
        buckets.span_of(cell.bucket) == span.1 && (is_of_range || !kind.is_by_customer())
    };
    sound_cells(packed).is_ok_and(|cells| cells.iter().all(is_within))
}

fn is_sound_activity(span: Span, packed: &[u8]) -> bool {
    let buckets = span.0.layout().buckets;
    let read = || {
        let mut before = None;
        let mut entries = Entries::new(packed)?;
        while let Some(entry) = entries.next_entry()? {
            let place = Some((entry.bucket, entry.series));
            if before >= place || buckets.span_of(entry.bucket) != span.1 {
                return Err(Damaged);
            }
            before = place;
            let (mut few, mut many) = (Vec::new(), Vec::new());
            entry.customers.append_to(&mut few, &mut many)?;
            if united(few, many).max() > Some(EVERY_CUSTOMER.1) {
                return Err(Damaged);
            }
        }
        Ok(())
    };
    read().is_ok()
}

/// How many cells of a day lie unpacked until all of its cells are known.
const UNPACKED_CELLS_MAX: usize = 4_096;

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

/// What segments of every kind and span hold if these cells of customers and quarters
/// are counted and those taken back: packed lists, which add up.
pub fn derive(
    counted: &[&[u8]],
    taken_back: &[&[u8]],
) -> Result<BTreeMap<Span, Vec<Vec<u8>>>, Damaged> {
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
    let mut derived: BTreeMap<Span, Vec<Vec<u8>>> = BTreeMap::new();
    for day in days.into_values() {
        let mut compaction = Compaction::new(&day.finish()?);
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

/// Events and picocents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named by their type")]
pub struct Sums {
    pub events: i64,
    pub cost: i128,
}

/// A cell, or a customer of an activity, of which something else is stored than the
/// events say. Who is active has one event in a cell of an activity.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the parts of a cell")]
pub struct Difference {
    pub customer: u32,
    pub bucket: i32,
    pub series: u32,
    pub stored: Sums,
    pub expected: Sums,
}

/// What a comparison has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// How many cells, or customers of activities, either side has.
    pub compared: u64,
    /// How many of them differ.
    pub differing: u64,
    /// The first of those.
    pub first: Vec<Difference>,
}

impl Comparison {
    fn add(&mut self, differences_max: usize, one: Difference) {
        self.compared += 1;
        if one.stored != one.expected {
            self.differing += 1;
            if self.first.len() < differences_max {
                self.first.push(one);
            }
        }
    }
}

/// Compares what is stored of one span with what is expected, both as packed lists that
/// add up.
pub fn compare(
    kind: Kind,
    stored: &[&[u8]],
    expected: &[&[u8]],
    differences_max: usize,
) -> Result<Comparison, Damaged> {
    let mut comparison = Comparison::default();
    if kind.is_activity() {
        compare_activity(stored, expected, differences_max, &mut comparison)?;
        return Ok(comparison);
    }
    for_each_pair(stored, expected, |pair| {
        comparison.add(
            differences_max,
            Difference {
                customer: pair.place.customer,
                bucket: pair.place.bucket,
                series: pair.place.series,
                stored: pair.left,
                expected: pair.right,
            },
        );
    })?;
    Ok(comparison)
}

type Active = BTreeMap<(i32, u32), RoaringBitmap>;

fn compare_activity(
    stored: &[&[u8]],
    expected: &[&[u8]],
    differences_max: usize,
    comparison: &mut Comparison,
) -> Result<(), Damaged> {
    let (stored, mut expected) = (active_of(stored)?, active_of(expected)?);
    let nobody = RoaringBitmap::new();
    let mut add = |(bucket, series), stored: &RoaringBitmap, expected: &RoaringBitmap| {
        comparison.compared += stored.union_len(expected);
        comparison.differing +=
            stored.len() + expected.len() - 2 * stored.intersection_len(expected);
        let wanted = differences_max - comparison.first.len();
        for customer in (stored ^ expected).iter().take(wanted) {
            let sums = |set: &RoaringBitmap| Sums {
                events: set.contains(customer).into(),
                cost: 0,
            };
            comparison.first.push(Difference {
                customer,
                bucket,
                series,
                stored: sums(stored),
                expected: sums(expected),
            });
        }
    };
    for (place, customers) in &stored {
        add(
            *place,
            customers,
            &expected.remove(place).unwrap_or_default(),
        );
    }
    for (place, customers) in &expected {
        add(*place, &nobody, customers);
    }
    Ok(())
}

fn active_of(lists: &[&[u8]]) -> Result<Active, Damaged> {
    let mut active = Active::new();
    for packed in lists {
        let mut entries = Entries::new(packed)?;
        while let Some(entry) = entries.next_entry()? {
            let (mut few, mut many) = (Vec::new(), Vec::new());
            entry.customers.append_to(&mut few, &mut many)?;
            *active.entry((entry.bucket, entry.series)).or_default() |= united(few, many);
        }
    }
    Ok(active)
}

/// What two sides have of one customer, bucket and series.
struct Pair {
    place: Cell,
    left: Sums,
    right: Sums,
}

/// Calls with each customer, bucket and series that either side has, in order. The
/// lists of a side add up.
fn for_each_pair(
    left: &[&[u8]],
    right: &[&[u8]],
    mut each: impl FnMut(Pair),
) -> Result<(), Damaged> {
    let mut merged = Merged::new(left.iter().chain(right))?;
    let Some(mut next) = merged.next_cell()? else {
        return Ok(());
    };
    loop {
        let place = next.1;
        let (mut left_sums, mut right_sums) = (Sums::default(), Sums::default());
        let following = loop {
            let (list, cell) = next;
            let sums = if list < left.len() {
                &mut left_sums
            } else {
                &mut right_sums
            };
            sums.events += cell.events;
            sums.cost += cell.cost;
            match merged.next_cell()? {
                Some(one) if one.1.key() == place.key() => next = one,
                following => break following,
            }
        };
        each(Pair {
            place,
            left: left_sums,
            right: right_sums,
        });
        match following {
            Some(one) => next = one,
            None => return Ok(()),
        }
    }
}

/// The cells of several packed lists in one order.
struct Merged<'a> {
    readers: Vec<Cells<'a>>,
    heads: Vec<Cell>,
    /// (key of the head, number of the list)
    next: BinaryHeap<Reverse<(u128, usize)>>,
}

impl<'a> Merged<'a> {
    fn new(lists: impl Iterator<Item = &'a &'a [u8]>) -> Result<Self, Damaged> {
        let mut merged = Self {
            readers: Vec::new(),
            heads: Vec::new(),
            next: BinaryHeap::new(),
        };
        for packed in lists {
            let mut reader = Cells::new(packed)?;
            if let Some(head) = reader.next_cell()? {
                merged
                    .next
                    .push(Reverse((head.key(), merged.readers.len())));
                merged.heads.push(head);
            } else {
                merged.heads.push(Cell::default());
            }
            merged.readers.push(reader);
        }
        Ok(merged)
    }

    /// The next cell, with the number of its list.
    fn next_cell(&mut self) -> Result<Option<(usize, Cell)>, Damaged> {
        let Some(mut first) = self.next.peek_mut() else {
            return Ok(None);
        };
        let Reverse((key, list)) = *first;
        let cell = self.heads[list];
        match self.readers[list].next_cell()? {
            Some(head) if head.key() <= key => return Err(Damaged),
            Some(head) => {
                self.heads[list] = head;
                *first = Reverse((head.key(), list));
            }
            None => {
                PeekMut::pop(first);
            }
        }
        Ok(Some((list, cell)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cells::codec::seal;
    use crate::cells::kind::KINDS;
    use crate::time::{DAY_US, QUARTER_US};

    const CUSTOMER_DAYS: [(i32, i64); 4] = [(0, 0), (0, 40), (7, 40), (7, 400)];

    /// The events of some customers and days, each of one cent and of a series.
    fn events(series: i32) -> Vec<u8> {
        let times = CUSTOMER_DAYS.map(|(_, day)| day * DAY_US + 3 * QUARTER_US);
        let customers = CUSTOMER_DAYS.map(|(customer, _)| customer);
        of_events(&times, &[10; 4], &customers, &[series; 4]).unwrap()
    }

    fn lists(packed: &[Vec<u8>]) -> Vec<&[u8]> {
        packed.iter().map(Vec::as_slice).collect()
    }

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

    /// What is taken back is as if it had never been counted, in segments of each kind.
    #[test]
    fn derived_without_what_is_taken_back() {
        let (one, other) = (events(1), events(2));
        let expected = derive(&[&one], &[]).unwrap();
        let actual = derive(&[&one, &other], &[&other]).unwrap();
        assert_eq!(actual, expected);
        let kinds: std::collections::BTreeSet<Kind> = expected.keys().map(|span| span.0).collect();
        assert_eq!(kinds, KINDS.map(|layout| layout.kind).into());
        for ((kind, span), packed) in &expected {
            for packed in packed {
                assert!(is_sound((*kind, *span), EVERY_CUSTOMER, packed));
                assert!(!is_sound((*kind, span + 1), EVERY_CUSTOMER, packed));
                assert!(!is_sound((*kind, *span), EVERY_CUSTOMER, &packed[1..]));
            }
        }
    }

    /// A customer whom readers would not look for in a range does not belong there.
    #[test]
    fn ranges_hold_their_customers() {
        let packed = &derive(&[&events(0)], &[]).unwrap()[&(Kind::CustomerYears, 0)];
        let all = merge(&lists(packed)).unwrap();
        assert!(is_sound((Kind::CustomerYears, 0), (0, 7), &all));
        assert!(!is_sound((Kind::CustomerYears, 0), (0, 6), &all));
        assert!(!is_sound((Kind::CustomerYears, 0), (1, 7), &all));
    }

    /// Cells out of order, twice, or of impossible sums are damaged.
    #[test]
    fn cells_that_cannot_be() {
        let cell = |events, cost, customer| Cell {
            customer,
            events,
            cost,
            ..Cell::default()
        };
        for (cells, expected) in [
            (vec![cell(1, 1, 0), cell(1, 1, 1)], true),
            (vec![cell(1, 1, 0), cell(1, 1, 0)], false),
            (vec![cell(1 << 40, -1 << 104, 0)], true),
            (vec![cell((1 << 40) + 1, 0, 0)], false),
            (vec![cell(0, (1 << 104) + 1, 0)], false),
        ] {
            let packed = cell::pack(&cells);
            assert_eq!(sound_cells(&packed).is_ok(), expected, "{cells:?}");
        }
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

    /// A span that is written anew holds what its lists add up to.
    #[test]
    fn written_anew() {
        for (span, packed) in derive(&[&events(1), &events(2)], &[]).unwrap() {
            let segments = segments_of(span, &lists(&packed)).unwrap();
            let stored: Vec<&[u8]> = segments.iter().map(|one| &one.packed[..]).collect();
            let found = compare(span.0, &stored, &lists(&packed), 9).unwrap();
            assert_eq!((found.differing, found.first.len()), (0, 0));
            assert!(found.compared > 0);
            assert!(segments.iter().all(|one| one.span == span));
            assert_eq!(segments_of(span, &[]), Ok(vec![]));
        }
    }

    /// Columns of events belong together.
    #[test]
    fn columns_are_equally_long() {
        assert_eq!(of_events(&[1], &[], &[1], &[1]), Err(LengthsDiffer));
        assert_eq!(of_events(&[1], &[1], &[1], &[1, 2]), Err(LengthsDiffer));
    }

    fn any_events() -> impl Strategy<Value = Vec<Cell>> {
        let cell = (0_u32..4, -3_000_i32..3_000, 0_u32..3, -9_i128..9);
        let cells = cell.prop_map(|(customer, bucket, series, cost)| Cell {
            customer,
            bucket,
            series,
            events: 1,
            cost,
        });
        prop::collection::vec(cells, 0..40)
    }

    fn packed(mut cells: Vec<Cell>) -> Vec<u8> {
        combine(&mut cells);
        cell::pack(&cells)
    }

    proptest! {
        /// However events are spread over lists, the same segments are derived as by a
        /// compaction of all of them, and one event less makes a difference to each kind
        /// that holds sums.
        #[test]
        fn derived_like_compacted(parts in prop::collection::vec(any_events(), 1..4)) {
            let all: Vec<Cell> = parts.iter().flatten().copied().collect();
            let parts: Vec<Vec<u8>> = parts.into_iter().map(packed).collect();
            let derived = derive(&lists(&parts), &[]).unwrap();
            let mut combined = all.clone();
            combine(&mut combined);
            let mut compaction = Compaction::new(&combined);
            compaction.plan(&[]);
            let segments = compaction.merge(&[]).unwrap();
            prop_assert_eq!(derived.len(), segments.len());
            for segment in segments {
                let found = compare(
                    segment.span.0,
                    &[&segment.packed],
                    &lists(&derived[&segment.span]),
                    usize::MAX,
                ).unwrap();
                prop_assert_eq!(found.first, vec![]);
                prop_assert!(found.compared > 0);
            }
            if let Some(&one) = all.first() {
                let fewer = derive(&lists(&parts), &[&packed(vec![one])]).unwrap();
                let years = (Kind::Years, 0);
                let fewer = fewer.get(&years).map(|packed| lists(packed)).unwrap_or_default();
                let found = compare(Kind::Years, &fewer, &lists(&derived[&years]), 5).unwrap();
                prop_assert_eq!(found.differing, 1);
                let difference = &found.first[0];
                prop_assert_eq!(difference.stored.events + 1, difference.expected.events);
                prop_assert_eq!(difference.stored.cost + one.cost, difference.expected.cost);
            }
        }

        /// No stored bytes make it panic.
        #[test]
        fn any_bytes(bytes: Vec<u8>, kind in 0_usize..10, span: i32) {
            let mut stored = vec![1];
            stored.extend(bytes);
            seal(&mut stored);
            let span = (KINDS[kind].kind, span);
            if is_sound(span, EVERY_CUSTOMER, &stored) {
                compare(span.0, &[&stored], &[&stored], 3).unwrap();
                segments_of(span, &[&stored]).unwrap();
            }
            let _ = by_month(&[&stored], 0);
        }
    }
}
