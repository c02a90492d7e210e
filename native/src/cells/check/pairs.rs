//! Two sides of packed cells, walked together in one order.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::cells::cell::{Cell, Cells};
use crate::cells::codec::Damaged;

/// Events and picocents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named by their type")]
pub struct Sums {
    pub events: i64,
    pub cost: i128,
}

/// The sums of one customer, bucket and series on both sides.
pub(super) struct Pair {
    pub(super) place: Cell,
    pub(super) left: Sums,
    pub(super) right: Sums,
}

/// Calls with each customer, bucket and series that either side has, in order. The
/// lists of a side add up.
pub(super) fn for_each_pair(
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
