//! The facts of seats: those of a period, and the customers who pay for them.

use super::book::Ledger;
use super::groups::Tables;
use super::interned::Slot;
use super::latest::Seat;
use super::question::{Fact, Question};
use super::states::ActiveCustomers;
use super::sums::{Overflow, Sums};

/// A look at all seats.
pub struct Seats<'a, 's> {
    pub ledger: &'a Ledger,
    pub question: &'a Question,
    pub tables: &'a Tables,
    pub sums: &'s mut Sums,
}

impl Seats<'_, '_> {
    /// Notes in `present`, if it has a place for each group, which have a seat in the
    /// periods.
    pub fn add(&mut self, present: &mut [bool]) -> Result<(), Overflow> {
        let ledger = self.ledger;
        let mut active = ActiveCustomers::new(Fact::SeatCustomers);
        let mut stays = Stays::default();
        for &slot in &ledger.seats_by_customer {
            let seat = ledger.seats.get(slot);
            let Some(group) = self.tables.of_offer(seat.customer, seat.offer) else {
                continue;
            };
            if self.add_presence(group, seat)?
                && let Some(present) = present.get_mut(group)
            {
                *present = true;
            }
            if let Some((first, end)) = self.add_active(group, seat)? {
                active.add(self.sums, seat.customer, (group, first, end))?;
            }
            stays.add(self.question, self.sums, group, seat)?;
        }
        active.book(self.sums)?;
        stays.book(self.question, self.sums)
    }

    /// Counts a seat that exists in the whole periods; returns whether it does.
    fn add_presence(&mut self, group: usize, seat: &Seat) -> Result<bool, Overflow> {
        let whole_us = self.question.whole_span_us();
        let ends_before = seat
            .revoked_us
            .is_some_and(|revoked| revoked < whole_us.start);
        let is_present = seat.created_us < whole_us.end && !ends_before;
        if is_present {
            let periods = 0..self.question.periods();
            self.sums.add_lasting(group, &periods, Fact::Seats, 1)?;
        }
        Ok(is_present)
    }

    /// The first of the periods at whose ends it is there, and the end of these, if there
    /// are any.
    fn add_active(
        &mut self,
        group: usize,
        seat: &Seat,
    ) -> Result<Option<(usize, usize)>, Overflow> {
        let question = self.question;
        if seat.created_us >= question.span_us.end {
            return Ok(None);
        }
        let ends_us = &question.whole_ends_us;
        let first = ends_us.up_to(seat.created_us);
        let end = seat.revoked_us;
        let end = end.map_or(question.periods(), |revoked| ends_us.up_to(revoked));
        if first >= end {
            return Ok(None);
        }
        let sums = &mut *self.sums;
        sums.add_lasting(group, &(first..end), Fact::SeatsTotal, 1)?;
        if let Some(claimed_us) = seat.claimed_us {
            let claimed = first.max(ends_us.up_to(claimed_us))..end;
            sums.add_lasting(group, &claimed, Fact::SeatsClaimed, 1)?;
        }
        Ok(Some((first, end)))
    }
}

/// From when and until when customers have seats of a group. Those of one customer must
/// come together.
#[derive(Debug, Default)]
struct Stays {
    customer: Slot,
    /// Group, when a seat was created, and when it was revoked.
    of_customer: Vec<(usize, i64, i64)>,
}

/// Not revoked.
const NEVER_US: i64 = i64::MAX;

impl Stays {
    fn add(
        &mut self,
        question: &Question,
        sums: &mut Sums,
        group: usize,
        seat: &Seat,
    ) -> Result<(), Overflow> {
        if seat.customer != self.customer {
            self.book(question, sums)?;
            self.customer = seat.customer;
        }
        let revoked_us = seat.revoked_us.unwrap_or(NEVER_US);
        self.of_customer.push((group, seat.created_us, revoked_us));
        Ok(())
    }

    /// Books the last customer.
    fn book(&mut self, question: &Question, sums: &mut Sums) -> Result<(), Overflow> {
        self.of_customer.sort_unstable();
        for stay in self.of_customer.chunk_by(|one, other| one.0 == other.0) {
            let (group, first_us, _) = stay[0];
            let last_us = stay.iter().map(|one| one.2).max().unwrap_or(NEVER_US);
            if first_us < question.span_us.end
                && let Some(period) = question.whole_period_of(first_us)
            {
                sums.add(group, period, Fact::NewSeatCustomers, 1)?;
            }
            if let Some(period) = question.whole_period_of(last_us) {
                sums.add(group, period, Fact::ChurnedSeatCustomers, 1)?;
            }
        }
        self.of_customer.clear();
        Ok(())
    }
}
