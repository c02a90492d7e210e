//! Why records were not added, or nothing was added up.
#![forbid(unsafe_code)]

use std::fmt;

use super::sums::Overflow;
use crate::amount::sum::GroupError;

/// Why records were not added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// A time is not of the years 1 to 9999.
    Time(i64),
    /// A number of a customer below −1.
    Customer(i32),
    /// An entry of more than one order.
    Orders(i64),
    /// An entry that is neither one record nor takes one back.
    Records(i64),
    /// There is no such interval.
    RecurringInterval(String),
    /// Not this many intervals.
    RecurringIntervalCount(i64),
    /// A subscription of more than [`SUBSCRIPTION_PICOCENTS_MAX`].
    Amount(i128),
}

/// The greatest amount of a subscription, either way: ten times what is ever recorded,
/// and no rate and no interval makes more than 127 bits of it.
pub const SUBSCRIPTION_PICOCENTS_MAX: i128 = 10_i128.pow(28);

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(us) => write!(f, "the time {us} is not of the years 1 to 9999"),
            Self::Customer(number) => {
                write!(f, "there is no customer {number}; -1 or more is allowed")
            }
            Self::Records(records) => {
                write!(f, "an entry of {records} records; -1 and 1 are allowed")
            }
            Self::Orders(orders) => {
                write!(f, "an entry of {orders} orders; -1, 0 and 1 are allowed")
            }
            Self::RecurringInterval(text) => write!(
                f,
                "there is no interval {text:?}; day, week, month and year are allowed"
            ),
            Self::RecurringIntervalCount(count) => {
                write!(f, "every {count} intervals; 1 to {} are allowed", u32::MAX)
            }
            Self::Amount(amount) => write!(
                f,
                "a subscription of {amount} picocents; at most 10^28 are allowed"
            ),
        }
    }
}

/// Why nothing was added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TallyError {
    /// A sum has more than 127 bits.
    Overflow,
    /// A key comes twice.
    KeyTwice(String),
    /// There is no memory for that many groups.
    Groups(GroupError),
}

impl From<Overflow> for TallyError {
    fn from(_: Overflow) -> Self {
        Self::Overflow
    }
}

impl From<GroupError> for TallyError {
    fn from(error: GroupError) -> Self {
        Self::Groups(error)
    }
}

impl fmt::Display for TallyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overflow => f.write_str("a sum of the ledger has more than 127 bits"),
            Self::KeyTwice(key) => write!(f, "the key {key} comes twice"),
            Self::Groups(error) => fmt::Display::fmt(error, f),
        }
    }
}
