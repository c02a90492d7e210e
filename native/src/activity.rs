//! Who was active: the customers that have an event in a bucket, per series.
//!
//! Packed, a set of customers is either its numbers, each as what it is more than
//! the one before, or a roaring bitmap. A bitmap is read many times faster, a list of
//! few numbers is smaller.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use roaring::{MultiOps, RoaringBitmap};

use crate::packed::{Damaged, Unpacker, push_signed, push_unsigned, seal};

const VERSION: u8 = 1;

/// A set of fewer customers is a list.
const BITMAP_CUSTOMERS_MIN: usize = 64;

/// A larger one is a list where that is so many times smaller.
const LIST_TIMES_SMALLER: usize = 2;

/// The lowest bit of the size of a set tells that it is a bitmap.
const IS_BITMAP: u64 = 1;

/// A packed set of customers.
#[derive(Clone, Copy, Debug)]
pub enum Customers<'a> {
    /// Numbers, as differences.
    Few(&'a [u8]),
    /// A serialized roaring bitmap.
    Many(&'a [u8]),
}

impl Customers<'_> {
    /// Appends the numbers to a list, or the bitmap to another.
    pub fn append_to(
        self,
        few: &mut Vec<u32>,
        many: &mut Vec<RoaringBitmap>,
    ) -> Result<(), Damaged> {
        match self {
            Self::Few(bytes) => {
                let mut unpacker = Unpacker::new(bytes);
                let mut customer = 0_u32;
                while !unpacker.is_empty() {
                    customer = customer.checked_add(unpacker.number()?).ok_or(Damaged)?;
                    few.push(customer);
                }
            }
            Self::Many(bytes) => {
                many.push(RoaringBitmap::deserialize_from(bytes).map_err(|_| Damaged)?);
            }
        }
        Ok(())
    }
}

/// The customers of one bucket and series.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The number of the quarter of an hour, or of the day.
    pub bucket: i32,
    /// The number of the series; 0 where the customers are those of all.
    pub series: u32,
    /// Who.
    pub customers: Customers<'a>,
    /// All that follows bucket and series.
    packed: &'a [u8],
}

/// Reads packed entries in order of bucket and series.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    unpacker: Unpacker<'a>,
    left: usize,
    before: Option<(i32, u32)>,
}

impl<'a> Entries<'a> {
    /// A reader of what [`Packer`] has written.
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

    /// The next entry; `None` at the end.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'a>>, Damaged> {
        if self.left == 0 {
            return if self.unpacker.is_empty() {
                Ok(None)
            } else {
                Err(Damaged)
            };
        }
        self.left -= 1;
        let further = self.unpacker.signed()?;
        let bucket = i64::from(self.before.map_or(0, |before| before.0)).checked_add(further);
        let bucket = bucket.and_then(|b| i32::try_from(b).ok()).ok_or(Damaged)?;
        let mut series = self.unpacker.number()?;
        if let Some((_, series_before)) = self.before.filter(|before| before.0 == bucket) {
            series = series_before.checked_add(series).ok_or(Damaged)?;
        }
        self.before = Some((bucket, series));

        let packed = self.unpacker.rest();
        let size = self.unpacker.unsigned()?;
        let bytes = usize::try_from(size >> 1).map_err(|_| Damaged)?;
        let bytes = self.unpacker.bytes(bytes)?;
        let customers = if size & IS_BITMAP == 0 {
            Customers::Few(bytes)
        } else {
            Customers::Many(bytes)
        };
        let packed = &packed[..packed.len() - self.unpacker.rest().len()];
        Ok(Some(Entry {
            bucket,
            series,
            customers,
            packed,
        }))
    }
}

/// Writes entries, which must come in ascending order of bucket and series.
#[derive(Debug, Default)]
pub struct Packer {
    count: u64,
    out: Vec<u8>,
    before: Option<(i32, u32)>,
    /// Room for one list.
    list: Vec<u8>,
}

impl Packer {
    /// Adds the customers of a bucket and series: ascending numbers, each once.
    pub fn push(&mut self, bucket: i32, series: u32, customers: &[u32]) {
        self.push_place(bucket, series);
        self.list.clear();
        let mut before = 0;
        for &customer in customers {
            push_unsigned(&mut self.list, u64::from(customer - before));
            before = customer;
        }
        if customers.len() >= BITMAP_CUSTOMERS_MIN {
            let bitmap: RoaringBitmap = customers.iter().copied().collect();
            if bitmap.serialized_size() <= LIST_TIMES_SMALLER * self.list.len() {
                self.push_bitmap(&bitmap);
                return;
            }
        }
        push_unsigned(&mut self.out, (self.list.len() as u64) << 1);
        self.out.extend_from_slice(&self.list);
    }

    /// The same of a bitmap, which is kept one if it is large.
    fn push_set(&mut self, bucket: i32, series: u32, customers: &RoaringBitmap) {
        if customers.len() < BITMAP_CUSTOMERS_MAX_AS_LIST {
            let customers: Vec<u32> = customers.iter().collect();
            self.push(bucket, series, &customers);
        } else {
            self.push_place(bucket, series);
            self.push_bitmap(customers);
        }
    }

    fn push_packed(&mut self, entry: &Entry<'_>) {
        self.push_place(entry.bucket, entry.series);
        self.out.extend_from_slice(entry.packed);
    }

    fn push_place(&mut self, bucket: i32, series: u32) {
        let (bucket_before, series_before) = self.before.unwrap_or_default();
        push_signed(&mut self.out, i64::from(bucket) - i64::from(bucket_before));
        let series_from = if self.before.is_some() && bucket == bucket_before {
            series_before
        } else {
            0
        };
        push_unsigned(&mut self.out, u64::from(series - series_from));
        self.before = Some((bucket, series));
        self.count += 1;
    }

    fn push_bitmap(&mut self, bitmap: &RoaringBitmap) {
        let size = bitmap.serialized_size();
        push_unsigned(&mut self.out, (size as u64) << 1 | IS_BITMAP);
        // A vector takes whatever is written to it.
        let _ = bitmap.serialize_into(&mut self.out);
    }

    /// All that was added.
    pub fn finish(self) -> Vec<u8> {
        let mut packed = Vec::with_capacity(self.out.len() + 15);
        packed.push(VERSION);
        push_unsigned(&mut packed, self.count);
        packed.extend(self.out);
        seal(&mut packed);
        packed
    }
}

/// A bitmap of more customers is not compared with a list any more: it wins
/// unless the numbers lie far apart, and then by little.
const BITMAP_CUSTOMERS_MAX_AS_LIST: u64 = 4_096;

/// Writes the customers of (bucket, series, customer), sorted, each once.
pub fn pack(active: impl IntoIterator<Item = (i32, u32, u32)>) -> Vec<u8> {
    let mut packer = Packer::default();
    let mut customers = Vec::new();
    let mut place = None;
    for (bucket, series, customer) in active {
        if let Some((bucket_before, series_before)) = place
            && (bucket_before, series_before) != (bucket, series)
        {
            packer.push(bucket_before, series_before, &customers);
            customers.clear();
        }
        place = Some((bucket, series));
        customers.push(customer);
    }
    if let Some((bucket, series)) = place {
        packer.push(bucket, series, &customers);
    }
    packer.finish()
}

/// The entries of several packed lists as one: customers of one bucket and series
/// are united.
pub fn merge(lists: &[&[u8]]) -> Result<Vec<u8>, Damaged> {
    let mut readers = Vec::with_capacity(lists.len());
    let mut heads = Vec::with_capacity(lists.len());
    let mut next = BinaryHeap::with_capacity(lists.len());
    for (at, list) in lists.iter().enumerate() {
        let mut reader = Entries::new(list)?;
        let head = reader.next_entry()?;
        if let Some(entry) = &head {
            next.push(Reverse((entry.bucket, entry.series, at)));
        }
        readers.push(reader);
        heads.push(head);
    }
    let mut packer = Packer::default();
    let mut met: Vec<Entry<'_>> = Vec::new();
    while let Some(Reverse((bucket, series, at))) = next.pop() {
        if let Some(entry) = heads[at].take() {
            met.push(entry);
        }
        let head = readers[at].next_entry()?;
        if let Some(entry) = &head {
            if (entry.bucket, entry.series) <= (bucket, series) {
                return Err(Damaged);
            }
            next.push(Reverse((entry.bucket, entry.series, at)));
        }
        heads[at] = head;
        let more = next
            .peek()
            .is_some_and(|Reverse((b, s, _))| (*b, *s) == (bucket, series));
        if !more {
            push_united(&mut packer, &met)?;
            met.clear();
        }
    }
    Ok(packer.finish())
}

fn push_united(packer: &mut Packer, met: &[Entry<'_>]) -> Result<(), Damaged> {
    let Some(first) = met.first() else {
        return Ok(());
    };
    if met.len() == 1 {
        packer.push_packed(first);
        return Ok(());
    }
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for entry in met {
        entry.customers.append_to(&mut few, &mut many)?;
    }
    if many.is_empty() {
        few.sort_unstable();
        few.dedup();
        packer.push(first.bucket, first.series, &few);
    } else {
        let set = united(few, many);
        packer.push_set(first.bucket, first.series, &set);
    }
    Ok(())
}

/// The union of customers that were collected by [`Customers::append_to`].
pub fn united(few: Vec<u32>, many: Vec<RoaringBitmap>) -> RoaringBitmap {
    let mut many = many;
    match flagged(few) {
        Ok(flags) => many.push(flags.to_bitmap()),
        Err(few) => many.push(few),
    }
    many.into_iter().union()
}

/// From how many numbers on a flag for each possible one is faster than sorting.
const FLAGS_CUSTOMERS_MIN: usize = 256;

/// Up to which number that takes no more than two mebibytes.
const FLAGS_CUSTOMER_MAX: u32 = 1 << 24;

/// The customers as flags where that is fast, else as a bitmap.
fn flagged(mut customers: Vec<u32>) -> Result<Flags, RoaringBitmap> {
    let greatest = customers.iter().copied().max().unwrap_or_default();
    if customers.len() < FLAGS_CUSTOMERS_MIN || greatest > FLAGS_CUSTOMER_MAX {
        customers.sort_unstable();
        return Err(customers.into_iter().collect());
    }
    let mut flags = vec![0_u64; greatest as usize / 64 + 1];
    for customer in customers {
        flags[customer as usize / 64] |= 1 << (customer % 64);
    }
    Ok(Flags(flags))
}

/// A flag for each customer from 0 on.
#[derive(Clone, Debug, Default)]
struct Flags(Vec<u64>);

impl Flags {
    fn add(&mut self, others: &Self) {
        if self.0.len() < others.0.len() {
            self.0.resize(others.0.len(), 0);
        }
        for (flags, others) in self.0.iter_mut().zip(&others.0) {
            *flags |= others;
        }
    }

    fn len(&self) -> u64 {
        self.0
            .iter()
            .map(|flags| u64::from(flags.count_ones()))
            .sum()
    }

    fn to_bitmap(&self) -> RoaringBitmap {
        let bytes: Vec<u8> = self
            .0
            .iter()
            .flat_map(|flags| flags.to_le_bytes())
            .collect();
        RoaringBitmap::from_lsb0_bytes(0, &bytes)
    }
}

/// A set of customers that is counted and united with others, no more. Its two parts
/// may overlap.
#[derive(Clone, Debug, Default)]
pub struct Set {
    flags: Flags,
    bitmap: RoaringBitmap,
}

impl Set {
    /// The set of customers that were collected by [`Customers::append_to`].
    pub fn new(few: Vec<u32>, mut many: Vec<RoaringBitmap>) -> Self {
        let flags = flagged(few).unwrap_or_else(|few| {
            many.push(few);
            Flags::default()
        });
        Self {
            flags,
            bitmap: many.into_iter().union(),
        }
    }

    /// The union of sets.
    pub fn union<'a>(sets: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let mut flags = Flags::default();
        for set in sets.clone() {
            flags.add(&set.flags);
        }
        Self {
            flags,
            bitmap: sets.map(|set| &set.bitmap).union(),
        }
    }

    /// How many customers it has.
    pub fn count(&self) -> u64 {
        match (self.flags.0.is_empty(), self.bitmap.is_empty()) {
            (true, _) => self.bitmap.len(),
            (_, true) => self.flags.len(),
            _ => self.bitmap.union_len(&self.flags.to_bitmap()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    type Sets = BTreeMap<(i32, u32), BTreeSet<u32>>;

    fn packed(sets: &Sets) -> Vec<u8> {
        pack(sets.iter().flat_map(|(&(bucket, series), customers)| {
            customers
                .iter()
                .map(move |&customer| (bucket, series, customer))
        }))
    }

    fn unpacked(bytes: &[u8]) -> Result<Sets, Damaged> {
        let mut sets = Sets::new();
        let mut entries = Entries::new(bytes)?;
        while let Some(entry) = entries.next_entry()? {
            let (mut few, mut many) = (Vec::new(), Vec::new());
            entry.customers.append_to(&mut few, &mut many)?;
            sets.insert(
                (entry.bucket, entry.series),
                united(few, many).iter().collect(),
            );
        }
        Ok(sets)
    }

    /// A few customers take a byte or two each, many take a bit each.
    #[test]
    fn sets_are_small() {
        let few = Sets::from([((1_994_928, 3), BTreeSet::from([5, 7, 300]))]);
        assert_eq!(packed(&few).len(), 2 + 4 + 1 + 1 + 4 + 4);
        let many = Sets::from([((20_780, 0), (0..50_000).step_by(2).collect())]);
        assert_eq!(packed(&many).len(), 8_192 + 2 + 3 + 1 + 3 + 16 + 4);
    }

    fn sealed(bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        seal(&mut out);
        out
    }

    /// Bytes that are cut short or go on are damaged, even if their seal is whole.
    #[test]
    fn damage_is_noticed() {
        let bytes = packed(&Sets::from([
            ((-1, 0), BTreeSet::from([1])),
            ((4, 9), (0..10_000).collect()),
        ]));
        let (inner, _) = bytes.split_last_chunk::<4>().unwrap();
        for end in 0..inner.len() {
            assert_eq!(unpacked(&bytes[..end]), Err(Damaged), "{end}");
            assert_eq!(unpacked(&sealed(&inner[..end])), Err(Damaged), "{end}");
        }
        assert_eq!(unpacked(&sealed(&[inner, &[0]].concat())), Err(Damaged));
        assert_eq!(merge(&[&bytes, &bytes[..9]]), Err(Damaged));
    }

    fn any_sets() -> impl Strategy<Value = Sets> {
        let customers = prop_oneof![
            prop::collection::btree_set(0_u32..20, 1..4),
            prop::collection::btree_set(any::<u32>(), 1..200),
            (0_u32..100_000, 1_u32..20_000)
                .prop_map(|(from, count)| (from..from + count).collect()),
        ];
        prop::collection::btree_map((-2_i32..3, 0_u32..4), customers, 0..6)
    }

    proptest! {
        /// What is packed is read again, and merged lists hold the union of each set.
        #[test]
        fn merged_like_sets(lists in prop::collection::vec(any_sets(), 0..4)) {
            let mut expected = Sets::new();
            for sets in &lists {
                prop_assert_eq!(&unpacked(&packed(sets)).unwrap(), sets);
                for (&place, customers) in sets {
                    expected.entry(place).or_default().extend(customers);
                }
            }
            let bytes: Vec<Vec<u8>> = lists.iter().map(packed).collect();
            let lists: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(unpacked(&merge(&lists).unwrap()).unwrap(), expected);
        }

        /// No bytes make it panic.
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let mut packed = vec![VERSION];
            packed.extend(bytes);
            seal(&mut packed);
            let _ = unpacked(&packed);
            let _ = merge(&[&packed, &packed]);
        }
    }
}
