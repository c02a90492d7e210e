//! From events to answers: batches, compactions at any moment, and tallies,
//! compared with a look at each event.

#[path = "support/cell_database.rs"]
mod cell_database;

use std::collections::BTreeMap;

use cost_insights_native::cells::cover::Cover;
use cost_insights_native::cells::kind::Kind;
use cost_insights_native::cells::segment::Range;
use cost_insights_native::cells::tally::{LooseEvent, Selection, Sources};
use cost_insights_native::time::{DAY_US, QUARTER_US, day_of, quarter_of};
use proptest::prelude::*;

use cell_database::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// However events are batched and compacted, the answers are those of the events.
    #[test]
    fn answers_are_those_of_the_events(case in any_case()) {
        check_answers(case);
    }
}

/// Segments of customers are split where they grow large, and stay whole in sum.
#[test]
fn large_segments_are_split() {
    let mut database = Database::default();
    for round in 0..12 {
        let events: Vec<LooseEvent> = (0..20_000)
            .map(|n| LooseEvent {
                timestamp_us: (n * 37 + round) % 2_900 * QUARTER_US,
                cost_picocents: n * 1_234_567,
                customer: (n * n % 701) as u32,
                series: (n % 3) as u32,
                tokens: [n, 0, n % 7, 0],
            })
            .collect();
        database.ingest(&events);
        database.compact();
    }
    let mut ranges: Vec<Range> = database
        .segments
        .iter()
        .filter(|segment| segment.span.0 == Kind::CustomerQuarters)
        .map(|segment| segment.customers)
        .collect();
    ranges.sort();
    ranges.dedup();
    assert!(ranges.len() > 5, "{ranges:?}");
    assert_eq!(ranges[0].0, 0);
    assert_eq!(ranges[ranges.len() - 1].1, i32::MAX as u32);
    assert!(
        ranges.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0),
        "{ranges:?}"
    );
    let greatest = database
        .segments
        .iter()
        .map(|segment| segment.packed.len())
        .max();
    assert!(greatest < Some(1 << 18), "{greatest:?}");

    // Each span keeps few segments, whatever the number of compactions.
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    for segment in &database.segments {
        *counts.entry((segment.span, segment.customers)).or_default() += 1;
    }
    assert!(counts.values().all(|&count| count <= 6), "{counts:?}");

    let cover = Cover::new(vec![0, 31 * DAY_US]).unwrap();
    let segments = database.segments(&cover, true, true);
    let sources = Sources {
        segments: &borrowed(&segments),
        batches: &[],
        events: &[],
    };
    let selection = Selection {
        series_groups: &[0; 3],
        customer_groups: Some((0..701).map(|customer| (customer, 0)).collect()),
        groups: 1,
    };
    let actual = asked_again(&cover, &sources, &selection);
    assert_eq!(actual, expected(&database.events, &cover, &selection));
    check_tokens(&database.events, &cover, &sources, &selection);
}

/// Two processes that split a segment at once, each without the other's, leave ranges
/// that overlap: what comes later is counted once all the same.
#[test]
fn ranges_that_overlap() {
    let events_of = |from: i64| -> Vec<LooseEvent> {
        (from..from + 30_000)
            .map(|n| LooseEvent {
                timestamp_us: n * 37 % 2_900 * QUARTER_US,
                cost_picocents: n * 1_234_567,
                customer: (n * n % 701) as u32,
                series: (n % 3) as u32,
                tokens: [n, 0, n % 7, 0],
            })
            .collect()
    };
    let mut database = Database::default();
    for from in [0, 1_000_000] {
        let mut one = Database::default();
        one.ingest(&events_of(from));
        one.compact();
        database.events.extend(one.events);
        database.segments.extend(one.segments);
    }
    for from in [2_000_000, 3_000_000] {
        database.ingest(&events_of(from));
        database.compact();
    }
    let cover = Cover::new(vec![0, 31 * DAY_US]).unwrap();
    let segments = database.segments(&cover, true, true);
    let sources = Sources {
        segments: &borrowed(&segments),
        batches: &[],
        events: &[],
    };
    let selection = Selection {
        series_groups: &[0; 3],
        customer_groups: Some((0..701).map(|customer| (customer, 0)).collect()),
        groups: 1,
    };
    let actual = asked_again(&cover, &sources, &selection);
    assert_eq!(actual, expected(&database.events, &cover, &selection));
    check_tokens(&database.events, &cover, &sources, &selection);
}

/// Days before 1970 have their own quarters.
#[test]
fn quarters_before_1970() {
    assert_eq!(day_of(quarter_of(-1)), -1);
}
