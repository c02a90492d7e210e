//! Cells: the exact aggregate of all events of one customer, bucket and series.
//!
//! A list of cells is sorted by customer, bucket and series and holds each of them
//! once. Packed, a cell of one event takes about eight bytes: what it shares with
//! the one before is left out, and the zeros at the end of an amount are counted
//! and not written. What is written lies in the database, so that it may never be
//! read otherwise.
#![forbid(unsafe_code)]

use super::codec::{Damaged, Unpacker, push_unsigned, seal};

/// The aggregate of some events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// The number of the customer; 0 where the cell is everyone's.
    pub customer: u32,
    /// The number of the quarter of an hour, the day or the year.
    pub bucket: i32,
    /// The number of the series.
    pub series: u32,
    /// The number of events; negative in a cell that takes back events of another.
    pub events: i64,
    /// The total cost of the events in picocents; of a cell of tokens, how many there are.
    pub cost: i128,
}

impl Cell {
    /// The sort key of cells, as one number because that compares fast.
    #[inline]
    pub fn key(&self) -> u128 {
        let bucket = (self.bucket ^ i32::MIN) as u32;
        u128::from(self.customer) << 64 | u128::from(bucket) << 32 | u128::from(self.series)
    }

    /// Whether it holds no event and no cost.
    pub fn is_empty(&self) -> bool {
        self.events == 0 && self.cost == 0
    }
}

/// Sorts cells and adds up those of one customer, bucket and series. What adds up
/// to nothing goes.
pub fn combine(cells: &mut Vec<Cell>) {
    // Mostly a few sorted lists, one after the other, which this sort merges.
    cells.sort_by_key(Cell::key);
    cells.dedup_by(|next, kept| {
        let same = next.key() == kept.key();
        if same {
            kept.events += next.events;
            kept.cost += next.cost;
        }
        same
    });
    cells.retain(|cell| !cell.is_empty());
}

/// Combines cells and writes them.
pub fn pack_combined(mut cells: Vec<Cell>) -> Vec<u8> {
    combine(&mut cells);
    pack(&cells)
}

const VERSION: u8 = 1;

// A packed cell begins with two bytes that say how long its numbers are: reading has
// nothing to look for then, and nearly nothing to foresee. From the lowest bit on:
// how many zeros end the amount (4), how many bytes the rest of it has (4), and the
// place in these lists of the bytes of customer, bucket, series and events (2 each).
const DIGITS_AT: u32 = 4;
const CUSTOMER_AT: u32 = 8;
const BUCKET_AT: u32 = 10;
const SERIES_AT: u32 = 12;
const EVENTS_AT: u32 = 14;
const WIDTHS: [usize; 4] = [0, 1, 2, 4];
const EVENTS_WIDTHS: [usize; 4] = [0, 1, 4, 8];

/// An amount that does not fit into eight bytes is said to have nine and has sixteen.
const WIDE: u16 = 9;

/// The longest packed cell, and what may be read beyond its end.
const CELL_BYTES_MAX: usize = 2 + 3 * 4 + 8 + 16 + 8;

const ZEROS_MAX: usize = 15;
const POWERS_OF_TEN: [i64; ZEROS_MAX + 1] = {
    let mut powers = [1; ZEROS_MAX + 1];
    let mut at = 1;
    while at <= ZEROS_MAX {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// Writes cells that are combined.
///
/// Customer and bucket are written as what they are more than those of the cell
/// before, events only where there is not one.
pub fn pack(cells: &[Cell]) -> Vec<u8> {
    let mut out = Vec::with_capacity(20 + 12 * cells.len());
    out.push(VERSION);
    push_unsigned(&mut out, cells.len() as u64);
    let mut before = Cell::default();
    for cell in cells {
        push_cell(&mut out, cell, &before);
        before = *cell;
    }
    seal(&mut out);
    out
}

fn push_cell(out: &mut Vec<u8>, cell: &Cell, before: &Cell) {
    let (digits, zeros) = without_zeros(cell.cost);
    let start = out.len();
    out.extend([0; 2]);
    let mut widths = u16::from(zeros);
    let customer = u64::from(cell.customer - before.customer);
    // Around the end of the 32 bits, where the difference would take 33 of them.
    let bucket = zigzag(i64::from(cell.bucket.wrapping_sub(before.bucket)));
    widths |= push_in(out, customer, &WIDTHS) << CUSTOMER_AT;
    widths |= push_in(out, bucket, &WIDTHS) << BUCKET_AT;
    widths |= push_in(out, u64::from(cell.series), &WIDTHS) << SERIES_AT;
    // One event is zero here, and takes no byte.
    let events = zigzag(cell.events.wrapping_sub(1));
    widths |= push_in(out, events, &EVENTS_WIDTHS) << EVENTS_AT;
    widths |= match i64::try_from(digits) {
        Ok(digits) => {
            let digits = zigzag(digits);
            let width = 8 - digits.leading_zeros() as usize / 8;
            out.extend_from_slice(&digits.to_le_bytes()[..width]);
            (width as u16) << DIGITS_AT
        }
        Err(_) => {
            out.extend(digits.to_le_bytes());
            WIDE << DIGITS_AT
        }
    };
    out[start..start + 2].copy_from_slice(&widths.to_le_bytes());
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

#[inline(always)]
fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Writes a number in the least of these widths that holds it, and returns its place.
fn push_in(out: &mut Vec<u8>, number: u64, widths: &[usize; 4]) -> u16 {
    let needed = 8 - number.leading_zeros() as usize / 8;
    let place = widths
        .iter()
        .position(|&width| width >= needed)
        .unwrap_or(3);
    out.extend_from_slice(&number.to_le_bytes()[..widths[place]]);
    place as u16
}

fn without_zeros(amount: i128) -> (i128, u8) {
    let Ok(mut digits) = i64::try_from(amount) else {
        // Too rare to be worth a division of 128 bits.
        return (amount, 0);
    };
    if digits == 0 {
        return (0, 0);
    }
    let mut zeros = 0;
    for (power, step) in [(100_000_000, 8), (10_000, 4), (100, 2), (10, 1)] {
        if digits % power == 0 {
            digits /= power;
            zeros += step;
        }
    }
    (i128::from(digits), zeros)
}

/// Reads packed cells, one after the other and in order.
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    rest: &'a [u8],
    left: usize,
    /// The customer and the bucket of the cell before.
    before: (u32, i32),
}

/// A place in packed cells.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The number of bytes that follow.
    bytes: usize,
    left: usize,
    before: (u32, i32),
}

impl<'a> Cells<'a> {
    /// A reader of what [`pack`] has written.
    pub fn new(packed: &'a [u8]) -> Result<Self, Damaged> {
        Self::read(Unpacker::unsealed(packed)?)
    }

    /// Reads bytes whose seal was checked.
    pub fn read(mut unpacker: Unpacker<'a>) -> Result<Self, Damaged> {
        if unpacker.byte()? != VERSION {
            return Err(Damaged);
        }
        let left = unpacker.count()?;
        Ok(Self {
            rest: unpacker.rest(),
            left,
            before: (0, 0),
        })
    }

    /// The place of the next cell.
    pub fn place(&self) -> Place {
        Place {
            bytes: self.rest.len(),
            left: self.left,
            before: self.before,
        }
    }

    /// Passes over the cells before a place, unless that has been passed already;
    /// `first` is a reader of all these cells, from which the place was taken.
    pub fn go_on_to(&mut self, place: Place, first: &Self) {
        let passed = first.rest.len().checked_sub(place.bytes);
        if let Some(rest) = passed.and_then(|passed| first.rest.get(passed..))
            && place.left < self.left
        {
            self.rest = rest;
            self.left = place.left;
            self.before = place.before;
        }
    }

    /// The number of cells that are left.
    pub fn left(&self) -> usize {
        self.left
    }

    /// The next cell; `None` at the end.
    #[inline(always)]
    pub fn next_cell(&mut self) -> Result<Option<Cell>, Damaged> {
        if self.left == 0 {
            return if self.rest.is_empty() {
                Ok(None)
            } else {
                Err(Damaged)
            };
        }
        self.left -= 1;
        let (cell, bytes) = match self.rest.first_chunk() {
            Some(chunk) => read_cell(chunk, self.before)?,
            None => self.last_cell()?,
        };
        self.rest = self.rest.get(bytes..).ok_or(Damaged)?;
        self.before = (cell.customer, cell.bucket);
        Ok(Some(cell))
    }

    /// Calls with each of the cells that are left: faster than to ask for one after the other.
    #[inline(always)]
    pub fn for_each(
        mut self,
        mut each: impl FnMut(Cell) -> Result<(), Damaged>,
    ) -> Result<(), Damaged> {
        self.for_each_while(|cell| {
            each(cell)?;
            Ok(true)
        })?;
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Damaged)
        }
    }

    /// Calls `each` with the cells in order, until it returns false.
    #[inline(always)]
    pub fn for_each_while(
        &mut self,
        mut each: impl FnMut(Cell) -> Result<bool, Damaged>,
    ) -> Result<(), Damaged> {
        while self.left > 0 {
            self.left -= 1;
            let (cell, bytes) = match self.rest.first_chunk() {
                Some(chunk) => read_cell(chunk, self.before)?,
                None => self.last_cell()?,
            };
            self.rest = self.rest.get(bytes..).ok_or(Damaged)?;
            self.before = (cell.customer, cell.bucket);
            if !each(cell)? {
                break;
            }
        }
        Ok(())
    }

    /// A cell so close to the end that it must be read from a longer copy.
    #[cold]
    #[inline(never)]
    fn last_cell(&self) -> Result<(Cell, usize), Damaged> {
        let mut chunk = [0; CELL_BYTES_MAX];
        chunk[..self.rest.len()].copy_from_slice(self.rest);
        read_cell(&chunk, self.before)
    }

    /// Appends the cells that are left to a list.
    pub fn append_to(mut self, cells: &mut Vec<Cell>) -> Result<(), Damaged> {
        cells.reserve(self.left);
        while let Some(cell) = self.next_cell()? {
            cells.push(cell);
        }
        Ok(())
    }
}

/// A cell and how many bytes it takes.
#[inline(always)]
fn read_cell(
    chunk: &[u8; CELL_BYTES_MAX],
    (customer_before, bucket_before): (u32, i32),
) -> Result<(Cell, usize), Damaged> {
    let [low, high, ..] = *chunk;
    let layout = &LAYOUTS[usize::from(high)];
    let take = |at: u8| {
        let mut bytes = [0; 8];
        // None starts beyond this: what the compiler knows it need not check.
        let at = usize::from(at & 31);
        bytes.copy_from_slice(&chunk[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let number = |at: u8, shift: u32| take(at) as u32 & WIDTH_MASKS[usize::from(high >> shift & 3)];
    let customer = number(2, CUSTOMER_AT - 8);
    let bucket = number(layout.bucket, BUCKET_AT - 8);
    let series = number(layout.series, SERIES_AT - 8);
    let events_width = EVENTS_WIDTHS[usize::from(high >> (EVENTS_AT - 8))];
    let events = unzigzag(take(layout.events) & MASKS[events_width]);
    let width = low >> DIGITS_AT;
    let end = usize::from(layout.digits);
    let (cost, bytes) = if u16::from(width) < WIDE {
        let digits = unzigzag(take(layout.digits) & MASKS[usize::from(width)]);
        let power = POWERS_OF_TEN[usize::from(low & 15)];
        // Two numbers of 64 bits: their product has 128.
        let cost = i128::from(digits).wrapping_mul(i128::from(power));
        (cost, end + usize::from(width))
    } else {
        let wide = u128::from(take(layout.digits + 8)) << 64 | u128::from(take(layout.digits));
        (wide as i128, end + 16)
    };
    let cell = Cell {
        customer: customer_before.checked_add(customer).ok_or(Damaged)?,
        bucket: bucket_before.wrapping_add(unzigzag(bucket.into()) as i32),
        series,
        events: events.wrapping_add(1),
        cost,
    };
    Ok((cell, bytes))
}

/// The places where the numbers of a packed cell begin, after the two bytes and the customer.
struct Layout {
    bucket: u8,
    series: u8,
    events: u8,
    digits: u8,
}

/// The layouts by the second of the two bytes. Finding the numbers one after the other
/// would take as long as everything else.
const LAYOUTS: [Layout; 256] = {
    let mut layouts = [const {
        Layout {
            bucket: 0,
            series: 0,
            events: 0,
            digits: 0,
        }
    }; 256];
    let mut widths = 0;
    while widths < 256 {
        let bucket = 2 + WIDTHS[widths & 3];
        let series = bucket + WIDTHS[widths >> (BUCKET_AT - 8) & 3];
        let events = series + WIDTHS[widths >> (SERIES_AT - 8) & 3];
        let digits = events + EVENTS_WIDTHS[widths >> (EVENTS_AT - 8) & 3];
        layouts[widths] = Layout {
            bucket: bucket as u8,
            series: series as u8,
            events: events as u8,
            digits: digits as u8,
        };
        widths += 1;
    }
    layouts
};

const WIDTH_MASKS: [u32; 4] = [0, 0xff, 0xffff, u32::MAX];

const MASKS: [u64; 9] = {
    let mut masks = [u64::MAX; 9];
    let mut width = 0;
    while width < 8 {
        masks[width] = (1 << (8 * width)) - 1;
        width += 1;
    }
    masks
};

/// The cells of several packed lists, combined.
pub fn unpack_all<'a>(lists: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Cell>, Damaged> {
    let mut cells = Vec::new();
    for packed in lists {
        Cells::new(packed)?.append_to(&mut cells)?;
    }
    combine(&mut cells);
    Ok(cells)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Few values of each kind, so that cells meet, and the greatest ones.
    pub(crate) fn any_cell() -> impl Strategy<Value = Cell> {
        let customer = prop_oneof![0_u32..5, 0_u32..100_000, Just(u32::MAX)];
        let bucket = prop_oneof![
            -3_i32..3,
            1_900_000_i32..2_000_000,
            Just(i32::MAX),
            Just(i32::MIN)
        ];
        let series = prop_oneof![0_u32..3, 0_u32..500, Just(u32::MAX)];
        let events = prop_oneof![8 => Just(1_i64), 2 => -3_i64..1_000, 1 => Just(1 << 40)];
        let cost = prop_oneof![
            (-1_000_i128..1_000, 0_u32..13).prop_map(|(digits, zeros)| digits * 10_i128.pow(zeros)),
            any::<i64>().prop_map(i128::from),
            any::<i64>().prop_map(|high| i128::from(high) << 40),
        ];
        (customer, bucket, series, events, cost).prop_map(
            |(customer, bucket, series, events, cost)| Cell {
                customer,
                bucket,
                series,
                events,
                cost,
            },
        )
    }

    /// A cell of one event that shares customer and bucket with the one before takes four bytes.
    #[test]
    fn cells_are_small() {
        let cell = |series, cost| Cell {
            customer: 7,
            bucket: 1_994_928,
            series,
            events: 1,
            cost,
        };
        let one = pack(&[cell(0, 25_000_000_000)]);
        let two = pack(&[cell(0, 25_000_000_000), cell(3, -1_000_000_000_000)]);
        assert_eq!(one.len(), 2 + 2 + 1 + 4 + 1 + 4);
        assert_eq!(two.len() - one.len(), 2 + 1 + 1);
    }

    fn sealed(bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        seal(&mut out);
        out
    }

    /// Bytes that are cut short, go on, or have another version are damaged, even if
    /// their seal is whole.
    #[test]
    fn damage_is_noticed() {
        let packed = pack(&[Cell {
            events: 2,
            cost: 5,
            ..Cell::default()
        }]);
        assert_eq!(unpack_all([&packed[..]]).unwrap().len(), 1);
        let (bytes, _) = packed.split_last_chunk::<4>().unwrap();
        for end in 0..bytes.len() {
            assert_eq!(unpack_all([&packed[..end]]), Err(Damaged), "{end}");
            assert_eq!(
                unpack_all([&sealed(&bytes[..end])[..]]),
                Err(Damaged),
                "{end}"
            );
        }
        let longer = sealed(&[bytes, &[0]].concat());
        assert_eq!(unpack_all([&longer[..]]), Err(Damaged));
        let other = sealed(&[&[9], &bytes[1..]].concat());
        assert_eq!(unpack_all([&other[..]]), Err(Damaged));
    }

    proptest! {
        /// Combined cells are what a map adds up, and are read as they were written.
        #[test]
        fn combined_like_a_map(lists in prop::collection::vec(prop::collection::vec(any_cell(), 0..20), 0..4)) {
            let mut expected: BTreeMap<(u32, i32, u32), (i64, i128)> = BTreeMap::new();
            for cell in lists.iter().flatten() {
                let sums = expected.entry((cell.customer, cell.bucket, cell.series)).or_default();
                sums.0 += cell.events;
                sums.1 += cell.cost;
            }
            expected.retain(|_, sums| *sums != (0, 0));
            let packed: Vec<Vec<u8>> = lists
                .into_iter()
                .map(|mut cells| {
                    combine(&mut cells);
                    pack(&cells)
                })
                .collect();
            let actual = unpack_all(packed.iter().map(Vec::as_slice)).unwrap();
            let actual: Vec<_> = actual
                .into_iter()
                .map(|c| ((c.customer, c.bucket, c.series), (c.events, c.cost)))
                .collect();
            prop_assert_eq!(actual, expected.into_iter().collect::<Vec<_>>());
        }

        /// No bytes cause a panic.
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let mut packed = vec![VERSION];
            packed.extend(bytes);
            seal(&mut packed);
            if let Ok(mut cells) = Cells::new(&packed) {
                while let Ok(Some(_)) = cells.next_cell() {}
            }
        }
    }
}
