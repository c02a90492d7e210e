//! Sums that know when they no longer fit, by group and slot.

use std::ops::Range;

use super::question::{FACTS, Fact, LASTING, Question};
use crate::amount::sum::{GroupError, zeros};

/// A sum has more than 127 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

#[inline]
pub fn add(sum: &mut i128, amount: i128) -> Result<(), Overflow> {
    *sum = sum.checked_add(amount).ok_or(Overflow)?;
    Ok(())
}

/// The facts that are asked for, by group and slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    /// The place of each fact in a slot; `None` for facts that are not asked for.
    pub places: [Option<usize>; FACTS.len()],
    stride: usize,
    periods: usize,
    /// Whether the periods share one slot.
    pub is_ranking: bool,
    cells: Vec<i128>,
}

impl Sums {
    pub fn new(question: &Question, groups: usize, is_ranking: bool) -> Result<Self, GroupError> {
        let mut stride = 0;
        let places = question.asked.map(|is_asked| {
            is_asked.then(|| {
                stride += 1;
                stride - 1
            })
        });
        let periods = question.periods();
        let slots = if is_ranking { 1 } else { periods };
        let too_many = GroupError::TooMany {
            group_count: groups,
        };
        let size = groups.checked_mul(slots).ok_or(too_many)?;
        let size = size.checked_mul(stride).ok_or(too_many)?;
        Ok(Self {
            places,
            stride,
            periods,
            is_ranking,
            cells: zeros(size).map_err(|_| too_many)?,
        })
    }

    pub fn slots(&self) -> usize {
        if self.is_ranking { 1 } else { self.periods }
    }

    /// Adds a fact of one period.
    #[inline]
    pub fn add(
        &mut self,
        group: usize,
        period: usize,
        fact: Fact,
        amount: i128,
    ) -> Result<(), Overflow> {
        let Some(place) = self.places[fact as usize] else {
            return Ok(());
        };
        let slot = if self.is_ranking { 0 } else { period };
        let at = (group * self.slots() + slot) * self.stride + place;
        add(&mut self.cells[at], amount)
    }

    /// Adds a fact that lasts through some periods, which is one of [`LASTING`].
    #[inline]
    pub fn add_lasting(
        &mut self,
        group: usize,
        periods: &Range<usize>,
        fact: Fact,
        amount: i128,
    ) -> Result<(), Overflow> {
        if periods.is_empty() {
            return Ok(());
        }
        if self.is_ranking {
            let lasts = periods.end == self.periods;
            return if lasts {
                self.add(group, 0, fact, amount)
            } else {
                Ok(())
            };
        }
        self.add(group, periods.start, fact, amount)?;
        if periods.end < self.periods {
            let taken_back = amount.checked_neg().ok_or(Overflow)?;
            self.add(group, periods.end, fact, taken_back)?;
        }
        Ok(())
    }

    /// Turns what began and ended into what there is.
    pub fn run(&mut self) -> Result<(), Overflow> {
        let slots = self.slots();
        for group in self.cells.chunks_mut((slots * self.stride).max(1)) {
            for place in LASTING.iter().filter_map(|&one| self.places[one as usize]) {
                for at in (place + self.stride..group.len()).step_by(self.stride) {
                    let before = group[at - self.stride];
                    add(&mut group[at], before)?;
                }
            }
        }
        Ok(())
    }

    /// The sums of a fact by the place that it has, by group and slot.
    pub fn column(&self, place: usize) -> impl Iterator<Item = i128> {
        self.cells.iter().skip(place).step_by(self.stride).copied()
    }

    /// The sums of some of the groups.
    pub fn of_groups(&self, groups: &[usize]) -> Self {
        let size = self.slots() * self.stride;
        let cells = groups
            .iter()
            .flat_map(|group| &self.cells[group * size..(group + 1) * size]);
        Self {
            cells: cells.copied().collect(),
            ..*self
        }
    }
}
