//! Kinds of segments: one table of what each holds, by which buckets and over which span.
#![forbid(unsafe_code)]

use crate::time::{HOUR_US, QUARTER_US, date, day_of, month_and_year_of, rfc3339};

/// The kind of a segment. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Everyone's cells of the quarters of an hour of one day.
    Quarters = 1,
    /// Everyone's cells of the days of one month.
    Days = 2,
    /// Everyone's cells of all years.
    Years = 3,
    /// The customers active in each quarter of an hour of one day, by series.
    QuarterCustomers = 4,
    /// The customers active on each day of one month, by series.
    DayCustomers = 5,
    /// The customers active on each day of one month.
    DayEveryone = 6,
    /// Each customer's cells of the quarters of an hour of one month.
    CustomerQuarters = 7,
    /// Each customer's cells of the months of one year, over all series.
    CustomerMonths = 8,
    /// Each customer's cells of all years.
    CustomerYears = 9,
    /// The customers active in each hour of one day.
    HourEveryone = 10,
    /// Everyone's cells of tokens of the quarters of an hour of one day.
    TokenQuarters = 11,
    /// Everyone's cells of tokens of the days of one month.
    TokenDays = 12,
    /// Each customer's cells of tokens of the quarters of an hour of one month.
    CustomerTokenQuarters = 13,
}

/// The contents of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Cells of all customers together.
    Everyone,
    /// Cells of each customer.
    Customers,
    /// Sets of active customers, and no cells.
    Activity,
}

/// The buckets of a segment, and the span that they lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say both")]
pub enum Buckets {
    QuartersOfDay,
    QuartersOfMonth,
    HoursOfDay,
    DaysOfMonth,
    MonthsOfYear,
    YearsOfAllTime,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The kind.
    pub kind: Kind,
    /// The name of the kind in Python.
    pub name: &'static str,
    /// The contents of a segment.
    pub contents: Contents,
    /// Its buckets and span.
    pub buckets: Buckets,
    /// Whether its series are told apart; if not, all are series 0.
    pub is_by_series: bool,
}

/// Every kind, in the order of their numbers.
pub const KINDS: [Layout; 13] = {
    use Buckets::{
        DaysOfMonth, HoursOfDay, MonthsOfYear, QuartersOfDay, QuartersOfMonth, YearsOfAllTime,
    };
    use Contents::{Activity, Customers, Everyone};
    const BY_SERIES: bool = true;
    const OVER_ALL: bool = false;
    #[rustfmt::skip]
    let kinds = [
        layout(Kind::Quarters, "QUARTERS", Everyone, QuartersOfDay, BY_SERIES),
        layout(Kind::Days, "DAYS", Everyone, DaysOfMonth, BY_SERIES),
        layout(Kind::Years, "YEARS", Everyone, YearsOfAllTime, BY_SERIES),
        layout(Kind::QuarterCustomers, "QUARTER_CUSTOMERS", Activity, QuartersOfDay, BY_SERIES),
        layout(Kind::DayCustomers, "DAY_CUSTOMERS", Activity, DaysOfMonth, BY_SERIES),
        layout(Kind::DayEveryone, "DAY_EVERYONE", Activity, DaysOfMonth, OVER_ALL),
        layout(Kind::CustomerQuarters, "CUSTOMER_QUARTERS", Customers, QuartersOfMonth, BY_SERIES),
        layout(Kind::CustomerMonths, "CUSTOMER_MONTHS", Customers, MonthsOfYear, OVER_ALL),
        layout(Kind::CustomerYears, "CUSTOMER_YEARS", Customers, YearsOfAllTime, BY_SERIES),
        layout(Kind::HourEveryone, "HOUR_EVERYONE", Activity, HoursOfDay, OVER_ALL),
        layout(Kind::TokenQuarters, "TOKEN_QUARTERS", Everyone, QuartersOfDay, BY_SERIES),
        layout(Kind::TokenDays, "TOKEN_DAYS", Everyone, DaysOfMonth, BY_SERIES),
        layout(Kind::CustomerTokenQuarters, "CUSTOMER_TOKEN_QUARTERS", Customers, QuartersOfMonth, BY_SERIES),
    ];
    kinds
};

const fn layout(
    kind: Kind,
    name: &'static str,
    contents: Contents,
    buckets: Buckets,
    is_by_series: bool,
) -> Layout {
    Layout {
        kind,
        name,
        contents,
        buckets,
        is_by_series,
    }
}

impl Kind {
    /// The kind of that number.
    pub fn of(number: i16) -> Option<Self> {
        KINDS
            .iter()
            .map(|layout| layout.kind)
            .find(|&kind| kind as i16 == number)
    }

    /// The line of the table.
    pub fn layout(self) -> &'static Layout {
        &KINDS[self as usize - 1]
    }

    /// Whether its cells are each customer's own.
    pub fn is_by_customer(self) -> bool {
        self.layout().contents == Contents::Customers
    }

    /// Whether it holds sets of customers and no cells.
    pub fn is_activity(self) -> bool {
        self.layout().contents == Contents::Activity
    }

    /// Whether its series are told apart.
    pub fn is_by_series(self) -> bool {
        self.layout().is_by_series
    }

    /// Whether its cells are those of tokens.
    pub fn is_of_tokens(self) -> bool {
        matches!(
            self,
            Self::TokenQuarters | Self::TokenDays | Self::CustomerTokenQuarters
        )
    }
}

impl Buckets {
    /// The span in which segments of these buckets hold that bucket.
    pub fn span_of(self, bucket: i32) -> i32 {
        match self {
            Self::QuartersOfDay => day_of(bucket),
            Self::QuartersOfMonth => month_and_year_of(day_of(bucket)).0,
            Self::HoursOfDay => bucket.div_euclid(24),
            Self::DaysOfMonth => month_and_year_of(bucket).0,
            Self::MonthsOfYear => 1970 + bucket.div_euclid(12),
            Self::YearsOfAllTime => 0,
        }
    }

    /// The unit of the spans: `day`, `month`, `year`, or `all` time.
    pub fn span(self) -> &'static str {
        match self {
            Self::QuartersOfDay | Self::HoursOfDay => "day",
            Self::QuartersOfMonth | Self::DaysOfMonth => "month",
            Self::MonthsOfYear => "year",
            Self::YearsOfAllTime => "all",
        }
    }

    /// A bucket in words: the beginning of a quarter or an hour, a day, a month or a year.
    pub fn in_words(self, bucket: i32) -> String {
        match self {
            Self::QuartersOfDay | Self::QuartersOfMonth => rfc3339(i64::from(bucket) * QUARTER_US),
            Self::HoursOfDay => rfc3339(i64::from(bucket) * HOUR_US),
            Self::DaysOfMonth => date(i64::from(bucket)),
            Self::MonthsOfYear => {
                let (year, month) = (bucket.div_euclid(12), bucket.rem_euclid(12));
                format!("{:04}-{:02}", i64::from(year) + 1970, month + 1)
            }
            Self::YearsOfAllTime => format!("{bucket:04}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table has a line for each number, from 1 on.
    #[test]
    fn numbers_are_places() {
        for (number, layout) in (1..).zip(&KINDS) {
            assert_eq!(layout.kind as i16, number);
            assert_eq!(Kind::of(number), Some(layout.kind));
            assert_eq!(layout.kind.layout().name, layout.name);
        }
        assert_eq!(Kind::of(0), None);
        assert_eq!(Kind::of(KINDS.len() as i16 + 1), None);
    }

    /// Each kind names its bucket in its own way.
    #[test]
    fn buckets_in_words() {
        for (kind, bucket, words) in [
            (Kind::Quarters, 1, "1970-01-01T00:15:00Z"),
            (Kind::HourEveryone, 25, "1970-01-02T01:00:00Z"),
            (Kind::DayCustomers, -1, "1969-12-31"),
            (Kind::CustomerMonths, 671, "2025-12"),
            (Kind::CustomerMonths, i32::MIN, "-178955001-05"),
            (Kind::Years, 987, "0987"),
        ] {
            assert_eq!(kind.layout().buckets.in_words(bucket), words);
        }
        for layout in KINDS {
            for bucket in [i32::MIN, i32::MAX] {
                assert!(!layout.buckets.in_words(bucket).is_empty());
            }
        }
    }
}
