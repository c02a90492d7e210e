//! The differences between what is stored of a span and what is expected of it.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use super::pairs::{Sums, for_each_pair};
use crate::cells::activity::{Entries, united};
use crate::cells::codec::Damaged;
use crate::cells::kind::Kind;

/// A cell, or a customer of an activity, whose stored sums differ from those of the
/// events. An active customer counts as one event of an activity.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the parts of a cell")]
pub struct Difference {
    pub customer: u32,
    pub bucket: i32,
    pub series: u32,
    pub stored: Sums,
    pub expected: Sums,
}

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The number of cells, or customers of activities, that either side has.
    pub compared: u64,
    /// The number of those that differ.
    pub differing: u64,
    /// The first of the differences.
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
