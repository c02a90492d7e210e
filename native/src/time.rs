//! Times of UTC: in words, and by quarters of an hour, days, months and years.
#![forbid(unsafe_code)]

const DAY_SECONDS: i64 = 86_400;

/// The length of a quarter of an hour.
pub const QUARTER_US: i64 = 900_000_000;

/// The length of a day.
pub const DAY_US: i64 = DAY_SECONDS * 1_000_000;

/// The length of an hour.
pub const HOUR_US: i64 = 3_600_000_000;

/// The number of quarters of an hour in an hour.
pub const HOUR_QUARTERS: i32 = 4;

/// The number of quarters of an hour in a day.
pub const DAY_QUARTERS: i32 = 96;

/// The beginning of the year 1.
pub const TIME_US_MIN: i64 = -62_135_596_800_000_000;
/// The first time that is not of the year 9999 any more.
pub const TIME_US_MAX: i64 = 253_402_300_800_000_000;

/// The quarter of an hour that holds a time, counted from 1970. Any time of the
/// years 1 to 9999 has one.
pub fn quarter_of(time_us: i64) -> i32 {
    time_us.div_euclid(QUARTER_US) as i32
}

/// The hour that holds a quarter, counted from 1970.
pub fn hour_of(quarter: i32) -> i32 {
    quarter.div_euclid(HOUR_QUARTERS)
}

/// The day that holds a quarter, counted from 1970-01-01.
pub fn day_of(quarter: i32) -> i32 {
    quarter.div_euclid(DAY_QUARTERS)
}

/// The month that holds a day, counted from January 1970, and the year.
pub fn month_and_year_of(day: i32) -> (i32, i32) {
    let (year, month, _) = civil(i64::from(day));
    (((year - 1970) * 12 + month - 1) as i32, year as i32)
}

/// Microseconds since 1970 as RFC 3339, with a fraction only where there is one.
pub fn rfc3339(time_us: i64) -> String {
    let (seconds, us) = (time_us.div_euclid(1_000_000), time_us.rem_euclid(1_000_000));
    let (day, second) = (
        seconds.div_euclid(DAY_SECONDS),
        seconds.rem_euclid(DAY_SECONDS),
    );
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut text = format!("{}T{hour:02}:{minute:02}:{second:02}", date(day));
    if us != 0 {
        text.push_str(format!(".{us:06}").trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// A day counted from 1970-01-01, as RFC 3339 writes it.
pub fn date(day: i64) -> String {
    let (year, month, day) = civil(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Reads a time of RFC 3339 with its offset, as seconds since 1970 and nanoseconds on
/// top of them; digits beyond nanoseconds are dropped. A `t`, a `z` and a blank instead
/// of the `T` are allowed; a second 60 is not, because nobody could tell it from the next
/// one afterwards.
pub fn parse_rfc3339(text: &str) -> Option<(i64, i32)> {
    let bytes = text.as_bytes();
    let (head, rest) = bytes.split_at_checked("2026-11-23T12:08:14".len())?;
    let separators = [head[4], head[7], head[13], head[16]];
    if separators != *b"--::" || !matches!(head[10], b'T' | b't' | b' ') {
        return None;
    }
    let (year, month, day) = (
        number(&head[..4])?,
        number(&head[5..7])?,
        number(&head[8..10])?,
    );
    let (hour, minute, second) = (
        number(&head[11..13])?,
        number(&head[14..16])?,
        number(&head[17..])?,
    );
    let (nanos, rest) = fraction(rest)?;
    let offset_minutes = match *rest {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[h1, h2])?, number(&[m1, m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = 60 * hours + minutes;
            if sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    let date = day_number(year, month, day)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let minutes = 60 * hour + minute - offset_minutes;
    Some((date * DAY_SECONDS + 60 * minutes + second, nanos))
}

/// The greatest distance from zero of a number of seconds since 1970; numbers further away
/// are milliseconds.
const EPOCH_SECONDS_MAX: i128 = 20_000_000_000;

/// Reads the digits of a JSON number as seconds since 1970 or, beyond
/// [`EPOCH_SECONDS_MAX`], as milliseconds; `None` of a number that is no time of 64 bits.
/// The result is seconds, and nanoseconds on top of them; digits beyond those are dropped.
pub fn parse_epoch(digits: &str) -> Option<(i64, i32)> {
    const NANOS: i128 = 1_000_000_000;
    let magnitude = digits.strip_prefix('-').unwrap_or(digits);
    let (mantissa, power) = magnitude.split_once(['e', 'E']).unwrap_or((magnitude, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // How many digits stand in front of the point if it is moved as far as the exponent
    // says and by nine places more.
    let power: i64 = power.parse().ok()?;
    let places = power.checked_add(whole.len() as i64 + 9)?;
    let mut seen = whole.bytes().chain(fraction.bytes());
    let mut nanos = 0_i128;
    for place in 0..places {
        let Some(digit) = seen.next() else {
            let zeros = u32::try_from(places - place).ok();
            nanos = match nanos {
                0 => 0,
                nanos => nanos.checked_mul(10_i128.checked_pow(zeros?)?)?,
            };
            break;
        };
        nanos = nanos
            .checked_mul(10)?
            .checked_add(i128::from(digit - b'0'))?;
    }
    if nanos > EPOCH_SECONDS_MAX * NANOS {
        nanos /= 1_000;
    }
    if magnitude.len() < digits.len() {
        nanos = -nanos;
    }
    let seconds = i64::try_from(nanos.div_euclid(NANOS)).ok()?;
    Some((seconds, nanos.rem_euclid(NANOS) as i32))
}

/// The number that digits stand for, which must be nothing but digits.
fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        Some(10 * number + i64::from(digit))
    })
}

/// A point and digits, if there is one, as nanoseconds, and what follows.
fn fraction(text: &[u8]) -> Option<(i32, &[u8])> {
    let [b'.', rest @ ..] = text else {
        return Some((0, text));
    };
    let end = rest.iter().position(|byte| !byte.is_ascii_digit());
    let (digits, rest) = rest.split_at(end.unwrap_or(rest.len()));
    let nanos = (0..9).fold(0, |nanos, place| {
        10 * nanos + digits.get(place).map_or(0, |digit| i32::from(digit - b'0'))
    });
    (!digits.is_empty()).then_some((nanos, rest))
}

/// The number of a day, counted from 1970-01-01, if the calendar has it.
///
/// Howard Hinnant's `days_from_civil`, the inverse of [`civil`].
fn day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    let march_year = year - i64::from(month <= 2);
    let (era, year_of_era) = (march_year.div_euclid(400), march_year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let number = era * 146_097 + day_of_era - 719_468;
    (civil(number) == (year, month, day)).then_some(number)
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic
/// Gregorian calendar.
///
/// Howard Hinnant's `civil_from_days`: years begin in March, so that the leap
/// day is the last of its year, and 400 years are one era.
fn civil(day: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    let shifted = day + 719_468;
    let (era, day) = (shifted.div_euclid(ERA_DAYS), shifted.rem_euclid(ERA_DAYS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march_month = (5 * day + 2) / 153;
    let day = day - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The day of UTC, counted from 1970-01-01, that holds a time of the years 1 to 9999.
pub fn utc_day_of(time_us: i64) -> i32 {
    time_us.div_euclid(DAY_US) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A time is written in UTC, with a fraction only where there is one.
    #[test]
    fn times_in_words() {
        for (time_us, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_500_000, "1970-01-01T00:00:01.5Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00Z"),
            (4_107_542_399_000_000, "2100-02-28T23:59:59Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00Z"),
            (1_795_435_694_123_456, "2026-11-23T12:08:14.123456Z"),
            (-62_135_596_800_000_000, "0001-01-01T00:00:00Z"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(rfc3339(time_us), text);
        }
    }

    /// Days follow each other through four centuries, after which the calendar repeats.
    #[test]
    fn every_day_of_an_era() {
        const MONTH_DAYS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for number in 0..=146_097 {
            assert_eq!(civil(number), (year, month, day));
            assert_eq!(day_number(year, month, day), Some(number));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days = MONTH_DAYS[month as usize - 1] + i64::from(leap && month == 2);
            (day, month) = if day < days {
                (day + 1, month)
            } else {
                (1, month + 1)
            };
            (month, year) = if month <= 12 {
                (month, year)
            } else {
                (1, year + 1)
            };
        }
        assert_eq!((year, month, day), (2370, 1, 2));
    }

    /// A time has one quarter, a quarter one day, a day one month and year.
    #[test]
    fn buckets_of_a_time() {
        assert_eq!(quarter_of(0), 0);
        assert_eq!(quarter_of(-1), -1);
        assert_eq!(quarter_of(QUARTER_US), 1);
        assert_eq!((day_of(95), day_of(96), day_of(-1)), (0, 1, -1));
        assert_eq!(month_and_year_of(0), (0, 1970));
        assert_eq!(month_and_year_of(-1), (-1, 1969));
        assert_eq!(month_and_year_of(20_780), (682, 2026));
    }

    /// No time is too far away to be written.
    #[test]
    fn any_time_has_words() {
        assert_eq!(rfc3339(i64::MAX), "294247-01-10T04:00:54.775807Z");
        assert_eq!(rfc3339(i64::MIN), "-290308-12-21T19:59:05.224192Z");
    }
}
