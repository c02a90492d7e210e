//! Exact sums of picocents: over everything, by group and by period.
#![forbid(unsafe_code)]

/// The exact sum.
///
/// Adds every number twice, in columns of 64 bits that vector units have: all of
/// its bits, letting them wrap, and its upper 32. The first sum is right modulo
/// 2⁶⁴. The second, times 2³², is what the true sum is without the lower halves,
/// and those are less than 2⁶⁴ together. Both name one number.
#[inline(always)]
pub fn sum(numbers: &[i64]) -> i128 {
    numbers.chunks(SUM_BLOCK).map(sum_block).sum()
}

/// [`sum`] for processors with AVX2, whose columns are twice as wide: within
/// their caches it is half as fast again.
///
/// # Safety
///
/// The processor must have AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
pub fn sum_avx2(numbers: &[i64]) -> i128 {
    sum(numbers)
}

/// Any count below 2³² would do.
const SUM_BLOCK: usize = 1 << 16;

// Both are inlined so that the loop may use what their caller may.
#[inline(always)]
fn sum_block(numbers: &[i64]) -> i128 {
    // An exclusive or of the sign adds 2⁶³, which makes every number positive:
    // most vector units shift 64 bits with zeros only.
    const BIAS: u64 = 1 << 63;
    let (mut low, mut high) = (0_u64, 0_u64);
    for &number in numbers {
        let biased = number as u64 ^ BIAS;
        // The second never wraps; a check for that would keep both from vectors.
        low = low.wrapping_add(biased);
        high = high.wrapping_add(biased >> 32);
    }
    let known = i128::from(high) << 32;
    let missed = i128::from(low.wrapping_sub(known as u64));
    known + missed - numbers.len() as i128 * i128::from(BIAS)
}

/// The exact sum of each group, that is, of the amounts that have its number.
///
/// Adds in 64 bits, which overflow every few thousand real amounts at most, and
/// moves a sum that would overflow to one of 128 bits. Adding in 128 bits at once
/// takes half as long again; several tables in turns, so that amounts of one group
/// need not wait for each other, gain nothing.
pub fn sum_by_group(
    amounts: &[i64],
    groups: &[i32],
    group_count: usize,
) -> Result<Vec<i128>, GroupError> {
    if amounts.len() != groups.len() {
        return Err(GroupError::LengthsDiffer {
            amounts: amounts.len(),
            groups: groups.len(),
        });
    }
    let mut narrow: Vec<i64> = zeros(group_count)?;
    let mut wide: Vec<i128> = zeros(group_count)?;
    for (&amount, &group) in amounts.iter().zip(groups) {
        // A negative number becomes one beyond all sums.
        let place = group as usize;
        let Some(sum) = narrow.get_mut(place) else {
            return Err(GroupError::OutOfRange { group, group_count });
        };
        match sum.checked_add(amount) {
            Some(next) => *sum = next,
            None => {
                wide[place] += i128::from(*sum);
                *sum = amount;
            }
        }
    }
    for (wide, narrow) in wide.iter_mut().zip(narrow) {
        *wide += i128::from(narrow);
    }
    Ok(wide)
}

/// As many zeros, if there is memory for them: the count is the caller's, whom a
/// failed allocation must not take down.
fn zeros<T: Clone + Default>(count: usize) -> Result<Vec<T>, GroupError> {
    let mut zeros = Vec::new();
    zeros
        .try_reserve_exact(count)
        .map_err(|_| GroupError::TooMany { group_count: count })?;
    zeros.resize(count, T::default());
    Ok(zeros)
}

/// What groups must be but are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the lengths say what they are of")]
pub enum GroupError {
    /// There is not one group for each amount.
    LengthsDiffer { amounts: usize, groups: usize },
    /// A group has a number that none has.
    OutOfRange { group: i32, group_count: usize },
    /// There is no memory for that many sums.
    TooMany { group_count: usize },
}

impl std::fmt::Display for GroupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LengthsDiffer { amounts, groups } => write!(
                f,
                "there are {amounts} amounts and {groups} groups; \
                 there must be one group for each amount"
            ),
            Self::OutOfRange { group, group_count } => write!(
                f,
                "there is a group {group}; numbers from 0 up to, not including, \
                 {group_count} are allowed"
            ),
            Self::TooMany { group_count } => {
                write!(f, "there is no memory for the sums of {group_count} groups")
            }
        }
    }
}

/// What the events of each period add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeriodSums {
    /// How many events each period has.
    pub events: Vec<u64>,
    /// The picocents of each period.
    pub costs: Vec<i128>,
    /// How many distinct customers each period has.
    pub customers: Vec<u64>,
    /// How many distinct customers all periods have together.
    pub customers_distinct: u64,
}

/// What buffers must be but are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the lengths say what they are of")]
pub enum ShapeError {
    /// There is not one time, one cost and one customer for each event.
    LengthsDiffer {
        timestamps: usize,
        costs: usize,
        customers: usize,
    },
    /// The bounds of the periods do not ascend.
    BoundsDescend,
}

impl std::fmt::Display for ShapeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LengthsDiffer {
                timestamps,
                costs,
                customers,
            } => write!(
                f,
                "there are {timestamps} timestamps, {costs} costs and {customers} customer numbers; \
                 there must be one of each for each event"
            ),
            Self::BoundsDescend => f.write_str("the bounds must ascend"),
        }
    }
}

/// Groups events into periods, of which period `i` holds the times from
/// `bounds_us[i]` up to, not including, `bounds_us[i + 1]`.
pub fn sum_by_period(
    bounds_us: &[i64],
    timestamps_us: &[i64],
    costs_picocents: &[i64],
    customer_numbers: &[i32],
) -> Result<PeriodSums, ShapeError> {
    let lengths = (
        timestamps_us.len(),
        costs_picocents.len(),
        customer_numbers.len(),
    );
    if lengths.0 != lengths.1 || lengths.0 != lengths.2 {
        let (timestamps, costs, customers) = lengths;
        return Err(ShapeError::LengthsDiffer {
            timestamps,
            costs,
            customers,
        });
    }
    if !bounds_us.is_sorted() {
        return Err(ShapeError::BoundsDescend);
    }
    let periods = bounds_us.len().saturating_sub(1);
    let mut sums = PeriodSums {
        events: vec![0; periods],
        costs: vec![0; periods],
        customers: vec![0; periods],
        customers_distinct: 0,
    };
    // Sorting (period, customer) pairs counts distinct customers in memory that
    // the events bound, whatever their numbers are; a flag for each possible
    // customer would be faster and would trust the greatest number.
    let mut seen = Vec::new();
    let mut period = 0;
    for ((&time, &cost), &customer) in timestamps_us
        .iter()
        .zip(costs_picocents)
        .zip(customer_numbers)
    {
        // Events mostly come in the order of time: try the period of the last one.
        let holds = |period: usize| {
            bounds_us.get(period).is_some_and(|&from| from <= time)
                && bounds_us.get(period + 1).is_some_and(|&to| time < to)
        };
        if !holds(period) {
            let after = bounds_us.partition_point(|&bound| bound <= time);
            let Some(found) = after.checked_sub(1).filter(|&found| found < periods) else {
                continue;
            };
            period = found;
        }
        sums.events[period] += 1;
        sums.costs[period] += i128::from(cost);
        seen.push((period as u64) << 32 | u64::from(customer as u32));
    }
    seen.sort_unstable();
    seen.dedup();
    for pair in &seen {
        sums.customers[(pair >> 32) as usize] += 1;
    }
    for pair in &mut seen {
        *pair &= u64::from(u32::MAX);
    }
    seen.sort_unstable();
    seen.dedup();
    sums.customers_distinct = seen.len() as u64;
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// A sum is exact at every edge of 64 bits and across blocks.
    #[test]
    fn sums_at_the_edges() {
        for number in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX] {
            for count in [
                0,
                1,
                2,
                3,
                SUM_BLOCK - 1,
                SUM_BLOCK,
                SUM_BLOCK + 1,
                3 * SUM_BLOCK,
            ] {
                let expected = i128::from(number) * count as i128;
                assert_eq!(
                    sum(&vec![number; count]),
                    expected,
                    "{count} times {number}"
                );
            }
        }
    }

    /// The sum of a group may exceed 64 bits; a group without amounts sums to zero.
    #[test]
    fn sums_of_groups_are_wide() {
        let amounts = [i64::MAX, i64::MIN, i64::MAX, i64::MIN, 5];
        assert_eq!(
            sum_by_group(&amounts, &[0, 2, 0, 2, 3], 4),
            Ok(vec![
                2 * i128::from(i64::MAX),
                0,
                2 * i128::from(i64::MIN),
                5
            ])
        );
        assert_eq!(sum_by_group(&[], &[], 0), Ok(vec![]));
    }

    /// Groups that do not fit are refused in words.
    #[test]
    fn groups_are_checked() {
        let words = |amounts: &[i64], groups: &[i32], group_count| {
            let error = sum_by_group(amounts, groups, group_count).unwrap_err();
            error.to_string()
        };
        assert_eq!(
            words(&[1, 2], &[0], 1),
            "there are 2 amounts and 1 groups; there must be one group for each amount"
        );
        for group in [3, -1, i32::MAX, i32::MIN] {
            assert_eq!(
                words(&[1, 2], &[0, group], 3),
                format!(
                    "there is a group {group}; numbers from 0 up to, not including, 3 are allowed"
                )
            );
        }
        assert_eq!(
            words(&[], &[], usize::MAX),
            format!("there is no memory for the sums of {} groups", usize::MAX)
        );
    }

    /// A time belongs to the period that starts with it, not to the one that ends there.
    #[test]
    fn bounds_belong_to_the_period_after_them() {
        let sums = sum_by_period(
            &[0, 10, 20],
            &[-1, 0, 9, 10, 19, 20],
            &[1, 2, 3, 4, 5, 6],
            &[7; 6],
        );
        let expected = PeriodSums {
            events: vec![2, 2],
            costs: vec![5, 9],
            customers: vec![1, 1],
            customers_distinct: 1,
        };
        assert_eq!(sums, Ok(expected));
    }

    /// Without two bounds there is no period, and no event is counted.
    #[test]
    fn no_bounds_no_periods() {
        for bounds in [&[][..], &[5]] {
            assert_eq!(
                sum_by_period(bounds, &[5], &[1], &[1]),
                Ok(PeriodSums::default())
            );
        }
    }

    /// A period between equal bounds is empty; the next one takes its times.
    #[test]
    fn equal_bounds_make_an_empty_period() {
        let sums = sum_by_period(&[0, 5, 5, 9], &[4, 5, 5], &[1, 1, 1], &[1, 2, 3]).unwrap();
        assert_eq!(sums.events, [1, 0, 2]);
    }

    /// The costs of a period may exceed 64 bits.
    #[test]
    fn costs_of_a_period_are_wide() {
        let sums = sum_by_period(&[0, 1], &[0; 4], &[i64::MAX; 4], &[1; 4]).unwrap();
        assert_eq!(sums.costs, [4 * i128::from(i64::MAX)]);
    }

    /// Buffers that do not fit together are refused in words.
    #[test]
    fn shapes_are_checked() {
        let error = sum_by_period(&[0, 1], &[0], &[], &[1, 2]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there are 1 timestamps, 0 costs and 2 customer numbers; \
             there must be one of each for each event"
        );
        let error = sum_by_period(&[1, 0], &[], &[], &[]).unwrap_err();
        assert_eq!(error.to_string(), "the bounds must ascend");
    }

    proptest! {
        /// A sum is what adding one number after the other in 128 bits gives.
        #[test]
        fn sums_like_one_by_one(numbers: Vec<i64>) {
            let expected: i128 = numbers.iter().map(|&number| i128::from(number)).sum();
            prop_assert_eq!(sum(&numbers), expected);
        }

        /// A group's sum is that of its amounts picked one by one.
        #[test]
        fn groups_like_one_by_one(pairs in prop::collection::vec((any::<i64>(), 0_i32..9), 0..200)) {
            let (amounts, groups): (Vec<i64>, Vec<i32>) = pairs.iter().copied().unzip();
            let expected: Vec<i128> = (0..9)
                .map(|group| {
                    let own = pairs.iter().filter(|pair| pair.1 == group);
                    own.map(|pair| i128::from(pair.0)).sum()
                })
                .collect();
            prop_assert_eq!(sum_by_group(&amounts, &groups, 9), Ok(expected));
        }

        /// Periods hold what a slow look at each event gives, in any order of the events.
        #[test]
        fn periods_like_one_by_one(
            bounds in prop::collection::vec(-50_i64..50, 0..8),
            events in prop::collection::vec((-60_i64..60, any::<i64>(), -3_i32..3), 0..60),
        ) {
            let mut bounds = bounds;
            bounds.sort();
            let mut by_period = BTreeMap::new();
            let mut everyone = BTreeSet::new();
            for &(time, cost, customer) in &events {
                let period = bounds.windows(2).position(|pair| pair[0] <= time && time < pair[1]);
                if let Some(period) = period {
                    let (count, sum, customers) =
                        by_period.entry(period).or_insert((0, 0, BTreeSet::new()));
                    *count += 1;
                    *sum += i128::from(cost);
                    customers.insert(customer);
                    everyone.insert(customer);
                }
            }
            let mut expected = PeriodSums {
                customers_distinct: everyone.len() as u64,
                ..PeriodSums::default()
            };
            for period in 1..bounds.len() {
                let found = by_period.remove(&(period - 1)).unwrap_or_default();
                expected.events.push(found.0);
                expected.costs.push(found.1);
                expected.customers.push(found.2.len() as u64);
            }
            let times: Vec<i64> = events.iter().map(|event| event.0).collect();
            let costs: Vec<i64> = events.iter().map(|event| event.1).collect();
            let customers: Vec<i32> = events.iter().map(|event| event.2).collect();
            prop_assert_eq!(sum_by_period(&bounds, &times, &costs, &customers), Ok(expected));
        }
    }
}
