//! The errors of a tally.
#![forbid(unsafe_code)]

use crate::amount::sum::GroupError;
use crate::cells::codec::Damaged;

/// Why nothing was added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TallyError {
    /// The stored bytes are damaged, or have a series that the selection does not know.
    Damaged,
    /// The groups of the selection are not valid.
    Groups(GroupError),
}

impl From<Damaged> for TallyError {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

impl From<GroupError> for TallyError {
    fn from(error: GroupError) -> Self {
        Self::Groups(error)
    }
}

impl std::fmt::Display for TallyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Damaged => Damaged.fmt(f),
            Self::Groups(error) => error.fmt(f),
        }
    }
}
