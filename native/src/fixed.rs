//! Numbers with twelve decimals, as integers, and divisions rounded half-even.
#![forbid(unsafe_code)]

/// One, with twelve decimals.
pub const ONE_E12: i128 = 10_i128.pow(12);

/// A number times a factor that is counted in 10⁻¹², rounded half-even.
pub fn times(amount: i128, factor_e12: i128) -> i128 {
    // Whole units and the rest apart: the product may have more than 127 bits.
    let (whole, rest) = (amount.div_euclid(ONE_E12), amount.rem_euclid(ONE_E12));
    let rest = rest * factor_e12;
    let floor = whole * factor_e12 + rest.div_euclid(ONE_E12);
    round_up(floor, rest.rem_euclid(ONE_E12), ONE_E12)
}

/// A quotient, rounded half-even. The divisor is positive.
pub fn divide(dividend: i128, divisor: i128) -> i128 {
    let floor = dividend.div_euclid(divisor);
    round_up(floor, dividend.rem_euclid(divisor), divisor)
}

fn round_up(floor: i128, rest: i128, divisor: i128) -> i128 {
    match (2 * rest).cmp(&divisor) {
        std::cmp::Ordering::Less => floor,
        std::cmp::Ordering::Equal => floor + (floor & 1),
        std::cmp::Ordering::Greater => floor + 1,
    }
}
