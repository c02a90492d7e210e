//! Checking: whether stored segments hold what the events say.
//!
//! The cells of events are counted anew and every kind of segment is derived from
//! them, a month at a time. The stored segments are then compared cell by cell.
//! Everything but the cells of one day stays packed, so that a month takes about as
//! many bytes as its segments.
#![forbid(unsafe_code)]

mod comparison;
mod counting;
mod derivation;
mod pairs;
mod soundness;

pub use comparison::{Comparison, Difference, compare};
pub use counting::{
    Columns, LengthsDiffer, before, by_month, events_before, folded, folded_tokens, merge,
    of_events,
};
pub use derivation::{Derived, derive, derive_tokens, segments_of};
pub use pairs::Sums;
pub use soundness::is_sound;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cells::cell::{self, Cell, combine};
    use crate::cells::codec::seal;
    use crate::cells::kind::{KINDS, Kind};
    use crate::cells::segment::{Compaction, EVERY_CUSTOMER};
    use crate::time::{DAY_US, QUARTER_US};

    const CUSTOMER_DAYS: [(i32, i64); 4] = [(0, 0), (0, 40), (7, 40), (7, 400)];

    /// The events of some customers and days, each of one cent and of a series.
    pub(super) fn events(series: i32) -> Vec<u8> {
        let times = CUSTOMER_DAYS.map(|(_, day)| day * DAY_US + 3 * QUARTER_US);
        let customers = CUSTOMER_DAYS.map(|(customer, _)| customer);
        let columns = Columns {
            timestamps_us: &times,
            costs_picocents: &[10; 4],
            customers: &customers,
            series: &[series; 4],
            tokens: &[],
        };
        of_events(&columns).unwrap().cells
    }

    pub(super) fn lists(packed: &[Vec<u8>]) -> Vec<&[u8]> {
        packed.iter().map(Vec::as_slice).collect()
    }

    /// Cells that are taken back leave no trace in segments of any kind.
    #[test]
    fn derived_without_what_is_taken_back() {
        let (one, other) = (events(1), events(2));
        let expected = derive(&[&one], &[]).unwrap();
        let actual = derive(&[&one, &other], &[&other]).unwrap();
        assert_eq!(actual, expected);
        let kinds: std::collections::BTreeSet<Kind> = expected.keys().map(|span| span.0).collect();
        let of_costs = KINDS.map(|layout| layout.kind).into_iter();
        assert_eq!(
            kinds,
            of_costs.filter(|kind| !kind.is_of_tokens()).collect()
        );
        for ((kind, span), packed) in &expected {
            for packed in packed {
                assert!(is_sound((*kind, *span), EVERY_CUSTOMER, packed));
                assert!(!is_sound((*kind, span + 1), EVERY_CUSTOMER, packed));
                assert!(!is_sound((*kind, *span), EVERY_CUSTOMER, &packed[1..]));
            }
        }
    }

    /// Cells of tokens that are taken back leave no trace either, and are of kinds of their own.
    #[test]
    fn derived_of_tokens() {
        let (one, other) = (events(1), events(2));
        let expected = derive_tokens(&[&one], &[]).unwrap();
        assert_eq!(
            derive_tokens(&[&one, &other], &[&other]),
            Ok(expected.clone())
        );
        let kinds: std::collections::BTreeSet<Kind> = expected.keys().map(|span| span.0).collect();
        let all = KINDS.map(|layout| layout.kind).into_iter();
        assert_eq!(kinds, all.filter(|kind| kind.is_of_tokens()).collect());
        for ((kind, span), packed) in &expected {
            let packed = merge(&lists(packed)).unwrap();
            assert!(is_sound((*kind, *span), EVERY_CUSTOMER, &packed));
            assert!(!is_sound((*kind, span + 1), EVERY_CUSTOMER, &packed));
        }
        assert_eq!(derive_tokens(&[], &[]), Ok(Derived::new()));
    }

    /// A span that is written anew holds what its lists add up to.
    #[test]
    fn written_anew() {
        for (span, packed) in derive(&[&events(1), &events(2)], &[]).unwrap() {
            let segments = segments_of(span, &lists(&packed)).unwrap();
            let stored: Vec<&[u8]> = segments.iter().map(|one| &one.packed[..]).collect();
            let found = compare(span.0, &stored, &lists(&packed), 9).unwrap();
            assert_eq!((found.differing, found.first.len()), (0, 0));
            assert!(found.compared > 0);
            assert!(segments.iter().all(|one| one.span == span));
            assert_eq!(segments_of(span, &[]), Ok(vec![]));
        }
    }

    fn any_events() -> impl Strategy<Value = Vec<Cell>> {
        let cell = (0_u32..4, -3_000_i32..3_000, 0_u32..3, -9_i128..9);
        let cells = cell.prop_map(|(customer, bucket, series, cost)| Cell {
            customer,
            bucket,
            series,
            events: 1,
            cost,
        });
        prop::collection::vec(cells, 0..40)
    }

    fn packed(mut cells: Vec<Cell>) -> Vec<u8> {
        combine(&mut cells);
        cell::pack(&cells)
    }

    proptest! {
        /// However events are spread over lists, the same segments are derived as by a
        /// compaction of all of them, and one event less makes a difference to each kind
        /// that holds sums.
        #[test]
        fn derived_like_compacted(parts in prop::collection::vec(any_events(), 1..4)) {
            let all: Vec<Cell> = parts.iter().flatten().copied().collect();
            let parts: Vec<Vec<u8>> = parts.into_iter().map(packed).collect();
            let derived = derive(&lists(&parts), &[]).unwrap();
            let mut combined = all.clone();
            combine(&mut combined);
            let mut compaction = Compaction::new(&combined);
            compaction.plan(&[]);
            let segments = compaction.merge(&[]).unwrap();
            prop_assert_eq!(derived.len(), segments.len());
            for segment in segments {
                let found = compare(
                    segment.span.0,
                    &[&segment.packed],
                    &lists(&derived[&segment.span]),
                    usize::MAX,
                ).unwrap();
                prop_assert_eq!(found.first, vec![]);
                prop_assert!(found.compared > 0);
            }
            if let Some(&one) = all.first() {
                let fewer = derive(&lists(&parts), &[&packed(vec![one])]).unwrap();
                let years = (Kind::Years, 0);
                let fewer = fewer.get(&years).map(|packed| lists(packed)).unwrap_or_default();
                let found = compare(Kind::Years, &fewer, &lists(&derived[&years]), 5).unwrap();
                prop_assert_eq!(found.differing, 1);
                let difference = &found.first[0];
                prop_assert_eq!(difference.stored.events + 1, difference.expected.events);
                prop_assert_eq!(difference.stored.cost + one.cost, difference.expected.cost);
            }
        }

        /// No stored bytes cause a panic.
        #[test]
        fn any_bytes(bytes: Vec<u8>, kind in 0..KINDS.len(), span: i32) {
            let mut stored = vec![1];
            stored.extend(bytes);
            seal(&mut stored);
            let span = (KINDS[kind].kind, span);
            if is_sound(span, EVERY_CUSTOMER, &stored) {
                compare(span.0, &[&stored], &[&stored], 3).unwrap();
                segments_of(span, &[&stored]).unwrap();
            }
            let _ = by_month(&[&stored], 0);
        }
    }
}
