//! The soundness of one list of cells or one segment, apart from what events say.
#![forbid(unsafe_code)]

use crate::cells::activity::{Entries, united};
use crate::cells::cell::{Cell, Cells};
use crate::cells::codec::Damaged;
use crate::cells::segment::{EVERY_CUSTOMER, Range, Span};

/// The greatest count of events and the greatest cost of a cell. Cells beyond them are
/// damaged, and sums of cells within them stay far below the limits of their integers.
const EVENTS_MAX: u64 = 1 << 40;
const COST_MAX: u128 = 1 << 104;

/// Unpacks cells; they are damaged unless they are sorted, distinct and within the limits.
pub(super) fn sound_cells(packed: &[u8]) -> Result<Vec<Cell>, Damaged> {
    let mut cells: Vec<Cell> = Vec::new();
    Cells::new(packed)?.append_to(&mut cells)?;
    let is_sorted = cells.is_sorted_by(|one, next| one.key() < next.key());
    let can_be = |cell: &Cell| {
        cell.events.unsigned_abs() <= EVENTS_MAX && cell.cost.unsigned_abs() <= COST_MAX
    };
    if is_sorted && cells.iter().all(can_be) {
        Ok(cells)
    } else {
        Err(Damaged)
    }
}

/// Whether a stored segment can be read, and everything in it belongs to that span and
/// range of customers.
pub fn is_sound(span: Span, customers: Range, packed: &[u8]) -> bool {
    if span.0.is_activity() {
        return is_sound_activity(span, packed);
    }
    let (kind, buckets) = (span.0, span.0.layout().buckets);
    let is_within = |cell: &Cell| {
        let is_of_range = (customers.0..=customers.1).contains(&cell.customer);
        buckets.span_of(cell.bucket) == span.1 && (is_of_range || !kind.is_by_customer())
    };
    sound_cells(packed).is_ok_and(|cells| cells.iter().all(is_within))
}

fn is_sound_activity(span: Span, packed: &[u8]) -> bool {
    let buckets = span.0.layout().buckets;
    let read = || {
        let mut before = None;
        let mut entries = Entries::new(packed)?;
        while let Some(entry) = entries.next_entry()? {
            let place = Some((entry.bucket, entry.series));
            if before >= place || buckets.span_of(entry.bucket) != span.1 {
                return Err(Damaged);
            }
            before = place;
            let (mut few, mut many) = (Vec::new(), Vec::new());
            entry.customers.append_to(&mut few, &mut many)?;
            if united(few, many).max() > Some(EVERY_CUSTOMER.1) {
                return Err(Damaged);
            }
        }
        Ok(())
    };
    read().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::cell;
    use crate::cells::check::tests::{events, lists};
    use crate::cells::check::{derive, merge};
    use crate::cells::kind::Kind;

    /// A customer whom readers would not look for in a range does not belong there.
    #[test]
    fn ranges_hold_their_customers() {
        let packed = &derive(&[&events(0)], &[]).unwrap()[&(Kind::CustomerYears, 0)];
        let all = merge(&lists(packed)).unwrap();
        assert!(is_sound((Kind::CustomerYears, 0), (0, 7), &all));
        assert!(!is_sound((Kind::CustomerYears, 0), (0, 6), &all));
        assert!(!is_sound((Kind::CustomerYears, 0), (1, 7), &all));
    }

    /// Cells out of order, twice, or of impossible sums are damaged.
    #[test]
    fn cells_that_cannot_be() {
        let cell = |events, cost, customer| Cell {
            customer,
            events,
            cost,
            ..Cell::default()
        };
        for (cells, expected) in [
            (vec![cell(1, 1, 0), cell(1, 1, 1)], true),
            (vec![cell(1, 1, 0), cell(1, 1, 0)], false),
            (vec![cell(1 << 40, -1 << 104, 0)], true),
            (vec![cell((1 << 40) + 1, 0, 0)], false),
            (vec![cell(0, (1 << 104) + 1, 0)], false),
        ] {
            let packed = cell::pack(&cells);
            assert_eq!(sound_cells(&packed).is_ok(), expected, "{cells:?}");
        }
    }
}
