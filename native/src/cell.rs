//! Exact sums of picocents, over everything and per period.
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
