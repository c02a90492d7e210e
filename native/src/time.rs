//! Times of UTC: in words, and by quarters of an hour, days, months and years.
#![forbid(unsafe_code)]

const DAY_SECONDS: i64 = 86_400;

/// How long a quarter of an hour is.
pub const QUARTER_US: i64 = 900_000_000;

/// How long a day is.
pub const DAY_US: i64 = DAY_SECONDS * 1_000_000;

/// How long an hour is.
pub const HOUR_US: i64 = 3_600_000_000;

/// How many quarters an hour has.
pub const HOUR_QUARTERS: i32 = 4;

/// How many quarters of an hour a day has.
pub const DAY_QUARTERS: i32 = 96;

/// When the year 1 begins.
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
