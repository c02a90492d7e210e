//! Cells: the exact aggregate of all events of one customer, bucket and series.
//!
//! A list of cells is sorted by customer, bucket and series and holds each of them
//! once. Packed, a cell of one event takes about eight bytes: what it shares with
//! the one before is left out, and the zeros at the end of an amount are counted
//! and not written.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use crate::group::Group;
use crate::packed::{Damaged, Unpacker, push_signed, push_unsigned, push_wide, seal};
use crate::time::quarter_of;

/// The aggregate of some events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// The number of the customer; 0 where the cell is everyone's.
    pub customer: u32,
    /// The number of the quarter of an hour, the day or the year.
    pub bucket: i32,
    /// The number of the series.
    pub series: u32,
    /// How many events; negative where a cell takes back what another holds.
    pub events: i64,
    /// What they cost together, in picocents.
    pub cost: i128,
}

impl Cell {
    /// By what cells are sorted, as one number that compares fast.
    #[inline]
    pub fn key(&self) -> u128 {
        let bucket = (self.bucket ^ i32::MIN) as u32;
        u128::from(self.customer) << 64 | u128::from(bucket) << 32 | u128::from(self.series)
    }

    fn is_empty(&self) -> bool {
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

/// The packed cells of what a group inserts, by organization: those of each customer,
/// quarter of an hour and series.
pub fn of_group(group: &Group) -> BTreeMap<i32, Vec<u8>> {
    let mut by_organization: BTreeMap<i32, Vec<Cell>> = BTreeMap::new();
    for record in group.records() {
        let cells = by_organization
            .entry(record.organization_number)
            .or_default();
        cells.push(Cell {
            // Numbers are counted from 0.
            customer: record.customer_number as u32,
            bucket: quarter_of(record.timestamp_us),
            series: record.series_number as u32,
            events: 1,
            cost: i128::from(record.cost_picocents.unwrap_or_default()),
        });
    }
    let pack_combined = |mut cells: Vec<Cell>| {
        combine(&mut cells);
        pack(&cells)
    };
    by_organization
        .into_iter()
        .map(|(organization, cells)| (organization, pack_combined(cells)))
        .collect()
}

const VERSION: u8 = 1;

// The first byte of a packed cell: how many zeros end the amount, and what follows.
const ZEROS: u8 = 0x0f;
const ONE_EVENT: u8 = 0x10;
const SAME_CUSTOMER: u8 = 0x20;
const SAME_BUCKET: u8 = 0x40;

const ZEROS_MAX: usize = ZEROS as usize;
const POWERS_OF_TEN: [i128; ZEROS_MAX + 1] = {
    let mut powers = [1; ZEROS_MAX + 1];
    let mut at = 1;
    while at <= ZEROS_MAX {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// Writes cells that are combined.
pub fn pack(cells: &[Cell]) -> Vec<u8> {
    let mut out = Vec::with_capacity(20 + 10 * cells.len());
    out.push(VERSION);
    push_unsigned(&mut out, cells.len() as u64);
    let mut before: Option<&Cell> = None;
    for cell in cells {
        push_cell(&mut out, cell, before);
        before = Some(cell);
    }
    seal(&mut out);
    out
}

fn push_cell(out: &mut Vec<u8>, cell: &Cell, before: Option<&Cell>) {
    let same_customer = before.is_some_and(|before| before.customer == cell.customer);
    let same_bucket = before.is_some_and(|before| before.bucket == cell.bucket);
    let start = before.copied().unwrap_or_default();
    let (digits, zeros) = without_zeros(cell.cost);
    let mut first = zeros;
    for (flag, is_set) in [
        (ONE_EVENT, cell.events == 1),
        (SAME_CUSTOMER, same_customer),
        (SAME_BUCKET, same_bucket),
    ] {
        first |= if is_set { flag } else { 0 };
    }
    out.push(first);
    if !same_customer {
        push_unsigned(out, u64::from(cell.customer - start.customer));
    }
    if !same_bucket {
        push_signed(out, i64::from(cell.bucket) - i64::from(start.bucket));
    }
    let series = if same_customer && same_bucket {
        cell.series - start.series
    } else {
        cell.series
    };
    push_unsigned(out, u64::from(series));
    if cell.events != 1 {
        push_signed(out, cell.events);
    }
    push_wide(out, digits);
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
    unpacker: Unpacker<'a>,
    left: usize,
    before: Option<Cell>,
}

impl<'a> Cells<'a> {
    /// A reader of what [`pack`] has written.
    pub fn new(packed: &'a [u8]) -> Result<Self, Damaged> {
        let mut unpacker = Unpacker::unsealed(packed)?;
        if unpacker.byte()? != VERSION {
            return Err(Damaged);
        }
        let left = unpacker.count()?;
        Ok(Self {
            unpacker,
            left,
            before: None,
        })
    }

    /// How many cells are left.
    pub fn left(&self) -> usize {
        self.left
    }

    /// The next cell; `None` at the end.
    #[inline]
    pub fn next_cell(&mut self) -> Result<Option<Cell>, Damaged> {
        if self.left == 0 {
            return if self.unpacker.is_empty() {
                Ok(None)
            } else {
                Err(Damaged)
            };
        }
        self.left -= 1;
        let first = self.unpacker.byte()?;
        let start = self.before.unwrap_or_default();
        let same_customer = first & SAME_CUSTOMER != 0;
        let same_bucket = first & SAME_BUCKET != 0;
        let customer = if same_customer {
            start.customer
        } else {
            let further = self.unpacker.number()?;
            start.customer.checked_add(further).ok_or(Damaged)?
        };
        let bucket = if same_bucket {
            start.bucket
        } else {
            let further = self.unpacker.signed()?;
            let bucket = i64::from(start.bucket).checked_add(further);
            bucket.and_then(|b| i32::try_from(b).ok()).ok_or(Damaged)?
        };
        let mut series = self.unpacker.number()?;
        if same_customer && same_bucket {
            series = start.series.checked_add(series).ok_or(Damaged)?;
        }
        let events = if first & ONE_EVENT != 0 {
            1
        } else {
            self.unpacker.signed()?
        };
        let digits = self.unpacker.wide()?;
        let power = POWERS_OF_TEN[usize::from(first & ZEROS)];
        let cell = Cell {
            customer,
            bucket,
            series,
            events,
            cost: digits.checked_mul(power).ok_or(Damaged)?,
        };
        self.before = Some(cell);
        Ok(Some(cell))
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
        assert_eq!(one.len(), 2 + 1 + 1 + 4 + 1 + 1 + 4);
        assert_eq!(two.len() - one.len(), 3);
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

        /// No bytes make it panic.
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
