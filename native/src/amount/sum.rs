//! Exact sums of picocents: over everything and by group.
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

/// A list of `count` zeros, or an error if there is no memory for them: the caller of the
/// service chooses the count, and a failed allocation must not end the process.
pub(crate) fn zeros<T: Clone + Default>(count: usize) -> Result<Vec<T>, GroupError> {
    let mut zeros = Vec::new();
    zeros
        .try_reserve_exact(count)
        .map_err(|_| GroupError::TooMany { group_count: count })?;
    zeros.resize(count, T::default());
    Ok(zeros)
}

/// The rule that groups break.
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

#[cfg(test)]
mod tests {
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
    }
}
