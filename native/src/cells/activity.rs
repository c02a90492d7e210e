//! Activity: the customers that have an event in a bucket, per series.
//!
//! Packed, a set of customers is either its numbers, each as what it is more than
//! the one before, or a roaring bitmap. A bitmap is read many times faster, a list of
//! few numbers is smaller.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use roaring::{MultiOps, RoaringBitmap};

use super::codec::{Damaged, Unpacker, push_signed, push_unsigned, seal};

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
            Self::Few(bytes) => for_each_of(bytes, |customer| few.push(customer)),
            Self::Many(bytes) => {
                many.push(RoaringBitmap::deserialize_from(bytes).map_err(|_| Damaged)?);
                Ok(())
            }
        }
    }
}

/// Calls with each number of a list, in ascending order.
#[inline]
fn for_each_of(mut bytes: &[u8], mut each: impl FnMut(u32)) -> Result<(), Damaged> {
    let mut customer = 0_u32;
    while !bytes.is_empty() {
        let more = match *bytes {
            // Which of the two lengths comes next nobody can foresee: to look at both
            // bytes at once takes less time than a wrong guess.
            [low, high, ..] if low & high & 0x80 == 0 => {
                let has_two = low >> 7;
                bytes = &bytes[1 + usize::from(has_two)..];
                u32::from(low & 0x7f) | u32::from(high * has_two) << 7
            }
            _ => {
                let mut unpacker = Unpacker::new(bytes);
                let number = unpacker.number()?;
                bytes = unpacker.rest();
                number
            }
        };
        customer = customer.checked_add(more).ok_or(Damaged)?;
        each(customer);
    }
    Ok(())
}

/// The customers of one bucket and series.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The number of the quarter of an hour, or of the day.
    pub bucket: i32,
    /// The number of the series; 0 where the customers are those of all.
    pub series: u32,
    /// The active customers.
    pub customers: Customers<'a>,
    /// The bytes after bucket and series.
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
        Self::read(Unpacker::unsealed(packed)?)
    }

    /// Reads bytes whose seal was checked.
    pub fn read(mut unpacker: Unpacker<'a>) -> Result<Self, Damaged> {
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

    /// Adds an entry from a bitmap, which stays a bitmap if it is large.
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

    /// The packed entries.
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
    many.push(bitmap_of(few));
    many.into_iter().union()
}

/// From how many numbers on a flag for each possible one is faster than sorting.
const FLAGS_CUSTOMERS_MIN: usize = 256;

/// Up to which number that takes no more than two mebibytes.
const FLAGS_CUSTOMER_MAX: u32 = 1 << 24;

fn bitmap_of(mut customers: Vec<u32>) -> RoaringBitmap {
    let greatest = customers.iter().copied().max().unwrap_or_default();
    if customers.len() < FLAGS_CUSTOMERS_MIN || greatest > FLAGS_CUSTOMER_MAX {
        customers.sort_unstable();
        return customers.into_iter().collect();
    }
    let mut flags = Flags::default();
    flags.reach(greatest);
    for customer in customers {
        flags.insert(customer);
    }
    flags.to_bitmap()
}

/// A flag for each customer from 0 on.
#[derive(Clone, Debug, Default)]
struct Flags(Vec<u64>);

impl Flags {
    /// Makes room for customers up to this one.
    fn reach(&mut self, customer: u32) {
        let words = customer as usize / 64 + 1;
        if self.0.len() < words {
            self.0.resize(words, 0);
        }
    }

    /// Adds a customer, if there is room for it.
    #[inline(always)]
    fn insert(&mut self, customer: u32) -> bool {
        match self.0.get_mut(customer as usize / 64) {
            Some(flags) => {
                *flags |= 1 << (customer % 64);
                true
            }
            None => false,
        }
    }

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

/// The containers of a serialized bitmap without runs: one for each range of 65,536
/// numbers that is not empty, either a sorted list or, where that is shorter, 65,536 bits.
///
/// Building the bitmap only to unite it would take several times as long.
struct Containers<'a> {
    /// The place of each container and its number of numbers minus one, two bytes each.
    descriptions: &'a [u8],
    contents: &'a [u8],
}

const NO_RUNS: u32 = 12_346;
const LIST_MAX: usize = 4_096;
const BITS_WORDS: usize = 1_024;

impl<'a> Containers<'a> {
    /// `None` where it has runs, which are nowhere written.
    fn of(bytes: &'a [u8]) -> Result<Option<Self>, Damaged> {
        let (cookie, rest) = bytes.split_first_chunk().ok_or(Damaged)?;
        if u32::from_le_bytes(*cookie) != NO_RUNS {
            return Ok(None);
        }
        let (count, rest) = rest.split_first_chunk().ok_or(Damaged)?;
        let bytes = u32::from_le_bytes(*count) as usize * 4;
        let (descriptions, rest) = rest.split_at_checked(bytes).ok_or(Damaged)?;
        // Where each begins, which follows from how long those before it are.
        let (_, contents) = rest.split_at_checked(bytes).ok_or(Damaged)?;
        Ok(Some(Self {
            descriptions,
            contents,
        }))
    }

    /// (place, how many numbers) of each.
    fn each(&self) -> impl DoubleEndedIterator<Item = (usize, usize)> {
        self.descriptions.chunks_exact(4).map(|one| {
            let number = |at: usize| usize::from(u16::from_le_bytes([one[at], one[at + 1]]));
            (number(0), number(2) + 1)
        })
    }

    /// The number of numbers.
    fn len(&self) -> usize {
        self.each().map(|(_, numbers)| numbers).sum()
    }

    /// An upper bound of the numbers.
    fn greatest(&self) -> u32 {
        let last = self.each().next_back();
        last.map_or(0, |(place, _)| (place as u32) << 16 | 0xffff)
    }

    /// Sets the flags of all numbers, for which there must be room.
    fn add_to(&self, flags: &mut Flags) -> Result<(), Damaged> {
        let mut contents = self.contents;
        for (place, numbers) in self.each() {
            let here = flags.0.get_mut(place * BITS_WORDS..).ok_or(Damaged)?;
            let here = here.first_chunk_mut::<BITS_WORDS>().ok_or(Damaged)?;
            let is_list = numbers <= LIST_MAX;
            let bytes = if is_list { 2 * numbers } else { 8 * BITS_WORDS };
            let (content, rest) = contents.split_at_checked(bytes).ok_or(Damaged)?;
            contents = rest;
            if is_list {
                for number in content.chunks_exact(2) {
                    let number = u16::from_le_bytes([number[0], number[1]]);
                    here[usize::from(number / 64)] |= 1 << (number % 64);
                }
            } else {
                for (flags, bits) in here.iter_mut().zip(content.as_chunks().0) {
                    *flags |= u64::from_le_bytes(*bits);
                }
            }
        }
        if contents.is_empty() {
            Ok(())
        } else {
            Err(Damaged)
        }
    }
}

/// A set of customers that grows, is united with others and counted, no more.
///
/// It has flags up to the greatest customer as soon as these take little more than
/// what was added: a flag is set many times faster than a list is sorted or a bitmap
/// is searched. What is beyond the flags waits beside them, and may be in both.
#[derive(Clone, Debug, Default)]
pub struct Set {
    flags: Flags,
    few: Vec<u32>,
    many: Vec<RoaringBitmap>,
    /// The number of additions; a customer who is added twice counts twice.
    added: usize,
    greatest: u32,
}

/// Flags take at most sixteen bytes for each customer that was added.
const FLAGS_PER_CUSTOMER: usize = 128;

impl Set {
    /// Adds a customer.
    #[inline]
    pub fn insert(&mut self, customer: u32) {
        if self.flags.insert(customer) || self.few.last() == Some(&customer) {
            return;
        }
        self.greatest = self.greatest.max(customer);
        self.added += 1;
        if self.few.len() == self.few.capacity() {
            self.use_flags();
        }
        if !self.flags.insert(customer) {
            self.few.push(customer);
        }
    }

    /// Adds packed customers.
    pub fn extend(&mut self, customers: Customers<'_>) -> Result<(), Damaged> {
        match customers {
            Customers::Few(bytes) => {
                let (few, flags) = (&mut self.few, self.flags.0.as_mut_slice());
                let (mut added, mut last) = (0, 0);
                for_each_of(bytes, |customer| {
                    added += 1;
                    last = customer;
                    match flags.get_mut(customer as usize / 64) {
                        Some(flags) => *flags |= 1 << (customer % 64),
                        None => few.push(customer),
                    }
                })?;
                self.added += added;
                self.greatest = self.greatest.max(last);
            }
            Customers::Many(bytes) => match Containers::of(bytes)? {
                Some(containers)
                    if self.may_have_flags(containers.greatest(), containers.len()) =>
                {
                    self.flags.reach(containers.greatest());
                    self.added += containers.len();
                    containers.add_to(&mut self.flags)?;
                }
                _ => {
                    let bitmap = RoaringBitmap::deserialize_from(bytes).map_err(|_| Damaged)?;
                    self.added += bitmap.len() as usize;
                    self.greatest = self.greatest.max(bitmap.max().unwrap_or_default());
                    self.many.push(bitmap);
                }
            },
        }
        self.use_flags();
        Ok(())
    }

    /// Whether flags up to a customer are small enough once `more` customers are added.
    fn may_have_flags(&self, greatest: u32, more: usize) -> bool {
        greatest as usize / FLAGS_PER_CUSTOMER <= self.added + more
    }

    /// Moves the customers beside the flags into them once the flags are small enough.
    fn use_flags(&mut self) {
        let has_others = !self.few.is_empty() || !self.many.is_empty();
        if !has_others || !self.may_have_flags(self.greatest, 0) {
            return;
        }
        self.flags.reach(self.greatest);
        let many = self.many.drain(..).flatten();
        for customer in self.few.drain(..).chain(many) {
            self.flags.insert(customer);
        }
    }

    /// Adds the customers of another set.
    pub fn unite(&mut self, other: &Self) {
        self.flags.add(&other.flags);
        self.few.extend(&other.few);
        if !other.many.is_empty() {
            self.many = vec![self.many.iter().chain(&other.many).union()];
        }
        self.added += other.added;
        self.greatest = self.greatest.max(other.greatest);
        self.use_flags();
    }

    /// The number of distinct customers.
    pub fn count(mut self) -> u64 {
        self.use_flags();
        if self.many.is_empty() {
            if self.flags.0.is_empty() {
                self.few.sort_unstable();
                self.few.dedup();
                return self.few.len() as u64;
            }
            if self.few.is_empty() {
                return self.flags.len();
            }
        }
        self.many.push(self.flags.to_bitmap());
        united(self.few, self.many).len()
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

    /// Many customers are counted by flags, far more of them than were added by none.
    #[test]
    fn flags_are_few() {
        let mut set = Set::default();
        for customer in (0..50_000).rev() {
            set.insert(customer);
        }
        assert_eq!(set.flags.0.len(), 50_000_usize.div_ceil(64));
        assert!(set.few.is_empty());
        let mut far = Set::default();
        for customer in (0..100).map(|n| u32::MAX - n) {
            far.insert(customer);
        }
        assert!(far.flags.0.is_empty());
        far.unite(&set);
        assert_eq!(far.count(), 50_100);
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
        /// Packed sets are read as they were, and merged lists hold the union of each set.
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

        /// A set that grows counts each customer once, however it came to have it.
        #[test]
        fn counted_like_sets(
            lists in prop::collection::vec(any_sets(), 0..4),
            single in prop::collection::vec(0_u32..70_000, 0..600),
        ) {
            let (mut one, mut other) = (Set::default(), Set::default());
            let mut expected: BTreeSet<u32> = single.iter().copied().collect();
            for sets in &lists {
                let bytes = packed(sets);
                let mut entries = Entries::new(&bytes).unwrap();
                while let Some(entry) = entries.next_entry().unwrap() {
                    one.extend(entry.customers).unwrap();
                }
                expected.extend(sets.values().flatten());
            }
            for &customer in &single {
                other.insert(customer);
            }
            prop_assert_eq!(other.clone().count(), BTreeSet::from_iter(single).len() as u64);
            one.unite(&other);
            prop_assert_eq!(one.count(), expected.len() as u64);
        }

        /// No bytes cause a panic.
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let mut set = Set::default();
            let _ = set.extend(Customers::Many(&bytes));
            let bitmap = [&NO_RUNS.to_le_bytes()[..], &bytes].concat();
            let _ = set.extend(Customers::Many(&bitmap));
            let mut packed = vec![VERSION];
            packed.extend(bytes);
            seal(&mut packed);
            let _ = unpacked(&packed);
            let _ = merge(&[&packed, &packed]);
        }
    }
}
