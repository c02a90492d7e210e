//! Packed cells and activity that stay in memory and answer many questions.
//!
//! Work that reads all of the bytes is done once: the seal is checked on arrival. On the
//! second use, marks are set where the cells of some customers begin, so that a question
//! about one customer does not read the cells of all customers before, and cells of
//! quarters of an hour are added up to cells of days, of which there are far fewer.
#![forbid(unsafe_code)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::activity::Entries;
use super::cell::{self, Cell, Cells, Place};
use super::codec::{Damaged, Unpacker};
use crate::time::day_of;

/// A packed list of cells, or packed activity, in memory.
#[derive(Debug)]
pub struct CachedCells {
    sealed: Box<[u8]>,
    is_whole: OnceLock<bool>,
    marks: FromTheSecond<Box<[Mark]>>,
    days: FromTheSecond<Box<CachedCells>>,
    tokens: Option<Box<CachedCells>>,
}

/// A value computed on its second use: data that is read once and evicted is not worth
/// indexing.
#[derive(Debug)]
struct FromTheSecond<T> {
    was_asked: AtomicBool,
    found: OnceLock<Result<T, Damaged>>,
}

impl<T> FromTheSecond<T> {
    fn new() -> Self {
        Self {
            was_asked: AtomicBool::new(false),
            found: OnceLock::new(),
        }
    }

    /// `None` the first time.
    fn get(&self, find_out: impl FnOnce() -> Result<T, Damaged>) -> Result<Option<&T>, Damaged> {
        if !self.was_asked.swap(true, Ordering::Relaxed) {
            return Ok(None);
        }
        match self.found.get_or_init(find_out) {
            Ok(found) => Ok(Some(found)),
            Err(damaged) => Err(*damaged),
        }
    }

    /// The value, if it was computed.
    fn found(&self) -> Option<&T> {
        self.found.get()?.as_ref().ok()
    }
}

/// The place where the cells of a customer begin.
#[derive(Clone, Copy, Debug)]
struct Mark {
    customer: u32,
    place: Place,
}

/// After so many cells there is a mark, where the next customer begins.
const MARK_CELLS: usize = 128;

impl CachedCells {
    /// Looks at nothing yet.
    pub fn new(sealed: Box<[u8]>) -> Self {
        Self {
            sealed,
            is_whole: OnceLock::new(),
            marks: FromTheSecond::new(),
            days: FromTheSecond::new(),
            tokens: None,
        }
    }

    /// The cells of a batch with those of its tokens.
    pub fn with_tokens(self, tokens: Box<[u8]>) -> Self {
        Self {
            tokens: Some(Box::new(Self::new(tokens))),
            ..self
        }
    }

    /// The cells of the tokens of a batch, if it has any.
    pub fn tokens(&self) -> Option<&Self> {
        self.tokens.as_deref()
    }

    /// The bytes of memory taken, including everything computed so far.
    pub fn bytes(&self) -> usize {
        let marks = self.marks.found().map_or(0, |marks| size_of_val(&**marks));
        let days = self.days.found().map_or(0, |days| days.bytes());
        let tokens = self.tokens.as_ref().map_or(0, |tokens| tokens.bytes());
        size_of::<Self>() + self.sealed.len() + marks + days + tokens
    }

    /// A reader of its cells.
    pub fn cells(&self) -> Result<Cells<'_>, Damaged> {
        Cells::read(self.unpacker()?)
    }

    /// A reader of its activity.
    pub fn entries(&self) -> Result<Entries<'_>, Damaged> {
        Entries::read(self.unpacker()?)
    }

    /// Calls with each cell of these customers, which are in ascending order.
    #[inline(always)]
    pub fn for_each_of(
        &self,
        customers: &[u32],
        each: impl FnMut(Cell) -> Result<(), Damaged>,
    ) -> Result<(), Damaged> {
        self.seeker()?.for_each_of(customers, each)
    }

    /// Each customer's cells of days, over all series, of cells of quarters of an hour;
    /// `None` where they are asked for the first time.
    pub fn days(&self) -> Result<Option<&Self>, Damaged> {
        let days = self.days.get(|| {
            let packed = cell::pack(&days_of(self.cells()?)?);
            Ok(Box::new(Self::new(packed.into())))
        })?;
        Ok(days.map(|days| &**days))
    }

    fn seeker(&self) -> Result<Seeker<'_>, Damaged> {
        let cells = self.cells()?;
        let marks = self.marks.get(|| marks_of(cells.clone()))?;
        Ok(Seeker {
            marks: marks.map_or(&[], |marks| &**marks),
            first: cells.clone(),
            cells,
        })
    }

    fn unpacker(&self) -> Result<Unpacker<'_>, Damaged> {
        let is_whole = || Unpacker::unsealed(&self.sealed).is_ok();
        if *self.is_whole.get_or_init(is_whole) {
            Unpacker::known_whole(&self.sealed)
        } else {
            Err(Damaged)
        }
    }
}

fn marks_of(mut cells: Cells<'_>) -> Result<Box<[Mark]>, Damaged> {
    let mut marks = Vec::new();
    let (mut customer, mut since) = (0, 0);
    loop {
        let place = cells.place();
        let Some(cell) = cells.next_cell()? else {
            return Ok(marks.into());
        };
        if cell.customer != customer && since >= MARK_CELLS {
            marks.push(Mark {
                customer: cell.customer,
                place,
            });
            since = 0;
        }
        customer = cell.customer;
        since += 1;
    }
}

fn days_of(cells: Cells<'_>) -> Result<Vec<Cell>, Damaged> {
    let mut days: Vec<Cell> = Vec::new();
    cells.for_each(|cell| {
        let day = day_of(cell.bucket);
        match days.last_mut() {
            Some(last) if last.customer == cell.customer && last.bucket == day => {
                last.events += cell.events;
                last.cost += cell.cost;
                // One for all; of the greatest it is noticed where it is not known.
                last.series = last.series.max(cell.series);
            }
            _ => days.push(Cell {
                bucket: day,
                ..cell
            }),
        }
        Ok(())
    })?;
    Ok(days)
}

/// Reads the cells of some customers.
struct Seeker<'a> {
    /// None where nobody has looked for any.
    marks: &'a [Mark],
    /// All cells.
    first: Cells<'a>,
    /// The cells that are not read or passed over yet.
    cells: Cells<'a>,
}

impl Seeker<'_> {
    #[inline(always)]
    fn for_each_of(
        mut self,
        customers: &[u32],
        mut each: impl FnMut(Cell) -> Result<(), Damaged>,
    ) -> Result<(), Damaged> {
        let mut rest = customers;
        while let Some(&sought) = rest.first() {
            self.go_to(sought);
            let mut wanted = sought;
            self.cells.for_each_while(|cell| {
                if cell.customer > wanted {
                    let passed = rest.iter().take_while(|&&one| one < cell.customer);
                    rest = &rest[passed.count()..];
                    match rest.first() {
                        Some(&next) if next == cell.customer => wanted = next,
                        _ => return Ok(false),
                    }
                }
                if cell.customer == wanted {
                    each(cell)?;
                }
                Ok(true)
            })?;
            if self.cells.left() == 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Goes to the last mark before the cells of a customer, if that is further on.
    fn go_to(&mut self, customer: u32) {
        let count = self.marks.partition_point(|mark| mark.customer <= customer);
        if let Some(mark) = self.marks[..count].last() {
            self.cells.go_on_to(mark.place, &self.first);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cells::cell::{self, combine};

    fn cells_of(cached: &CachedCells, customers: &[u32]) -> Result<Vec<Cell>, Damaged> {
        let mut found = Vec::new();
        let push = |cell| {
            found.push(cell);
            Ok(())
        };
        cached.for_each_of(customers, push)?;
        Ok(found)
    }

    fn one_each(customers: impl Iterator<Item = u32>) -> Vec<Cell> {
        let cell = |customer| Cell {
            customer,
            events: 1,
            ..Cell::default()
        };
        customers.map(cell).collect()
    }

    /// Damage is reported on every use.
    #[test]
    fn damage_is_noticed() {
        let packed = cell::pack(&one_each(0..1_000));
        let mut other = packed.clone();
        other[500] ^= 1;
        for bytes in [&other[..], &packed[..packed.len() - 1], &[]] {
            let cached = CachedCells::new(bytes.into());
            for _ in 0..2 {
                assert!(cached.cells().is_err());
                assert!(cached.entries().is_err());
                assert_eq!(cells_of(&cached, &[1]), Err(Damaged));
            }
        }
        // Two cells are said to be there, and one is.
        let mut short = vec![packed[0], 2, 0, 0];
        crate::cells::codec::seal(&mut short);
        let cached = CachedCells::new(short.into());
        for _ in 0..2 {
            assert_eq!(cells_of(&cached, &[1]), Err(Damaged));
        }
        assert!(cached.days().unwrap().is_none());
        assert!(cached.days().is_err());
    }

    /// The second time a customer is found without a look at all before.
    #[test]
    fn others_are_passed_over() {
        let cached = CachedCells::new(cell::pack(&one_each(0..10_000)).into());
        let mut seeker = cached.seeker().unwrap();
        seeker.go_to(9_000);
        assert_eq!(seeker.cells.left(), 10_000);
        let mut seeker = cached.seeker().unwrap();
        seeker.go_to(9_000);
        assert!(seeker.cells.left() <= 1_000 + MARK_CELLS);
        // Never back.
        let left = seeker.cells.left();
        seeker.go_to(3);
        assert_eq!(seeker.cells.left(), left);
    }

    proptest! {
        /// The cells of some customers are those of all that are theirs.
        #[test]
        fn found_like_by_a_look_at_all(
            runs in prop::collection::vec((0_u32..40, 1_i32..400), 0..40),
            mut customers in prop::collection::vec(0_u32..45, 0..8),
        ) {
            let cell = |customer, bucket| Cell { customer, bucket, events: 1, ..Cell::default() };
            let mut cells: Vec<Cell> = runs
                .into_iter()
                .flat_map(|(customer, count)| (0..count).map(move |n| cell(customer, n)))
                .collect();
            combine(&mut cells);
            customers.sort_unstable();
            customers.dedup();
            let cached = CachedCells::new(cell::pack(&cells).into());
            cells.retain(|cell| customers.contains(&cell.customer));
            for _ in 0..2 {
                prop_assert_eq!(cells_of(&cached, &customers), Ok(cells.clone()));
            }
        }
    }
}
