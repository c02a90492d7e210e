//! The facts of checkouts: each counts once, in the period that holds its time.

use super::book::Ledger;
use super::groups::Tables;
use super::question::{Fact, Question};
use super::sums::{Overflow, Sums};

impl Ledger {
    /// Adds the checkouts of the span, and notes in `present`, if it has a place for each
    /// group, which have one.
    pub(super) fn add_checkouts(
        &self,
        question: &Question,
        tables: &Tables,
        sums: &mut Sums,
        present: &mut [bool],
    ) -> Result<(), Overflow> {
        for checkout in self.checkouts.states() {
            let period = checkout
                .counted_us
                .and_then(|time| question.period_of(time));
            let Some(period) = period else {
                continue;
            };
            let Some(group) = tables.of_offer(checkout.customer, checkout.offer) else {
                continue;
            };
            if let Some(present) = present.get_mut(group) {
                *present = true;
            }
            sums.add(group, period, Fact::Checkouts, 1)?;
            if checkout.has_succeeded {
                sums.add(group, period, Fact::SucceededCheckouts, 1)?;
            }
        }
        Ok(())
    }
}
