//! Cells as a database holds them, and answers counted from each event.
#![allow(
    dead_code,
    reason = "each test and fuzz target that includes this uses a part of it"
)]

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cost_insights_native::cells::cached::CachedCells;
use cost_insights_native::cells::cell::{self, Cell, pack_combined};
use cost_insights_native::cells::cover::Cover;
use cost_insights_native::cells::kind::Kind;
use cost_insights_native::cells::segment::{Compaction, Segment, Stored};
use cost_insights_native::cells::tally::{
    LooseEvent, Selection, Sources, Tally, list, rank, tally, tally_tokens,
};
use cost_insights_native::cells::tokens;
use cost_insights_native::events::tokens::MEASURES;
use cost_insights_native::time::{DAY_US, QUARTER_US, quarter_of};
use proptest::prelude::*;

pub const SERIES: u32 = 4;

/// The cells that a database would hold of one organization.
#[derive(Default)]
pub struct Database {
    pub events: Vec<LooseEvent>,
    pub batches: Vec<Vec<u8>>,
    /// The cells of tokens of each batch.
    pub tokens: Vec<Vec<u8>>,
    pub segments: Vec<Segment>,
}

impl Database {
    pub fn ingest(&mut self, events: &[LooseEvent]) {
        let cells: Vec<Cell> = events
            .iter()
            .map(|event| Cell {
                customer: event.customer,
                bucket: quarter_of(event.timestamp_us),
                series: event.series,
                events: 1,
                cost: i128::from(event.cost_picocents),
            })
            .collect();
        let mut of_tokens = Vec::new();
        for (cell, event) in cells.iter().zip(events) {
            tokens::push(&mut of_tokens, cell, &event.tokens);
        }
        self.batches.push(pack_combined(cells));
        self.tokens.push(pack_combined(of_tokens));
        self.events.extend(events);
    }

    pub fn compact(&mut self) {
        let cells = cell::unpack_all(self.batches.iter().map(Vec::as_slice)).unwrap();
        let tokens = cell::unpack_all(self.tokens.iter().map(Vec::as_slice)).unwrap();
        self.batches.clear();
        self.tokens.clear();
        let mut compaction = Compaction::new(&cells).with_tokens(&tokens);
        let spans: HashSet<_> = compaction
            .spans()
            .map(|(kind, of)| (kind as i16, of))
            .collect();
        let touched: Vec<usize> = (0..self.segments.len())
            .filter(|&at| {
                let (kind, of) = self.segments[at].span;
                spans.contains(&(kind as i16, of))
            })
            .collect();
        let stored: Vec<Stored> = touched
            .iter()
            .map(|&at| Stored {
                span: self.segments[at].span,
                customers: self.segments[at].customers,
                bytes: self.segments[at].packed.len(),
            })
            .collect();
        let replaced: Vec<usize> = compaction
            .plan(&stored)
            .iter()
            .map(|&at| touched[at])
            .collect();
        let packed: Vec<&[u8]> = replaced
            .iter()
            .map(|&at| self.segments[at].packed.as_slice())
            .collect();
        let new = compaction.merge(&packed).unwrap();
        let replaced: HashSet<usize> = replaced.into_iter().collect();
        let mut at = 0;
        self.segments.retain(|_| {
            at += 1;
            !replaced.contains(&(at - 1))
        });
        self.segments.extend(new);
    }

    /// The segments that a cover needs, by the rules that the stub documents.
    pub fn segments(
        &self,
        cover: &Cover,
        by_customer: bool,
        by_series: bool,
    ) -> Vec<(Kind, CachedCells)> {
        let year = 1970 + cover.history_month() / 12;
        let days: HashSet<i32> = cover.cut_days().into_iter().collect();
        let (first, last) = cover.months();
        let from_january = cover.history_month()..=last;
        let by_hour = !by_series && !cover.cuts_hours();
        let needed = |&(kind, of): &(Kind, i32)| match kind {
            Kind::Quarters => !by_customer && days.contains(&of),
            Kind::QuarterCustomers => !by_customer && !by_hour && days.contains(&of),
            Kind::HourEveryone => !by_customer && by_hour && days.contains(&of),
            Kind::Days => !by_customer && from_january.contains(&of),
            Kind::Years => !by_customer,
            Kind::DayCustomers => !by_customer && by_series && (first..=last).contains(&of),
            Kind::DayEveryone => !by_customer && !by_series && (first..=last).contains(&of),
            Kind::CustomerQuarters if by_series => by_customer && from_january.contains(&of),
            Kind::CustomerQuarters => by_customer && (first..=last).contains(&of),
            Kind::CustomerMonths => by_customer && !by_series && of == year,
            Kind::CustomerYears => by_customer,
            Kind::TokenQuarters => !by_customer && days.contains(&of),
            Kind::TokenDays => !by_customer && (first..=last).contains(&of),
            Kind::CustomerTokenQuarters => by_customer && (first..=last).contains(&of),
        };
        self.segments
            .iter()
            .filter(|segment| needed(&segment.span))
            .map(|segment| (segment.span.0, cached(&segment.packed)))
            .collect()
    }

    pub fn loose(&self, cover: &Cover) -> Vec<LooseEvent> {
        let cut: HashSet<i32> = cover.cut_quarters().into_iter().collect();
        let is_loose = |event: &&LooseEvent| cut.contains(&quarter_of(event.timestamp_us));
        self.events.iter().filter(is_loose).copied().collect()
    }
}

pub fn cached(packed: &[u8]) -> CachedCells {
    CachedCells::new(packed.into())
}

pub fn borrowed(segments: &[(Kind, CachedCells)]) -> Vec<(Kind, &CachedCells)> {
    segments
        .iter()
        .map(|(kind, cached)| (*kind, cached))
        .collect()
}

/// The tally, asserted to be the same when the question is asked again and parts are cached.
pub fn asked_again(cover: &Cover, sources: &Sources<'_>, selection: &Selection<'_>) -> Tally {
    let first = tally(cover, sources, selection, true).unwrap();
    for _ in 0..2 {
        assert_eq!(tally(cover, sources, selection, true).unwrap(), first);
    }
    first
}

/// Asserts that the tokens of the sources are those of the events, however often they are asked for.
pub fn check_tokens(
    events: &[LooseEvent],
    cover: &Cover,
    sources: &Sources<'_>,
    selection: &Selection<'_>,
) {
    let slots = cover.slots();
    let mut expected = vec![vec![0_i128; selection.groups * slots]; MEASURES];
    for event in events {
        if let Some(group) = group_of(event, selection)
            && let Some(slot @ 1..) = cover.slot_of_time(event.timestamp_us)
        {
            for (of_measure, count) in expected.iter_mut().zip(event.tokens) {
                of_measure[group * slots + slot] += i128::from(count);
            }
        }
    }
    for _ in 0..3 {
        let actual = tally_tokens(cover, sources, selection).unwrap();
        assert_eq!(actual.as_slice(), expected);
    }
}

/// The group that an event counts in; `None` if it does not count.
fn group_of(event: &LooseEvent, selection: &Selection<'_>) -> Option<usize> {
    let mut group = selection.series_groups[event.series as usize];
    if let Some(groups) = &selection.customer_groups {
        let of_customer = *groups.get(&event.customer)?;
        if group >= 0 && of_customer >= 0 {
            group = of_customer;
        }
    }
    usize::try_from(group).ok()
}

/// The expected tally, counted from each event.
pub fn expected(events: &[LooseEvent], cover: &Cover, selection: &Selection<'_>) -> Tally {
    let slots = cover.slots();
    let size = selection.groups * slots;
    let mut tally = Tally {
        slots,
        events: vec![0; size],
        costs: vec![0; size],
        ..Tally::default()
    };
    let mut sets = vec![BTreeSet::new(); size];
    for event in events {
        let Some(group) = group_of(event, selection) else {
            continue;
        };
        if let Some(slot) = cover.slot_of_time(event.timestamp_us) {
            let place = group * slots + slot;
            tally.events[place] += 1;
            tally.costs[place] += i128::from(event.cost_picocents);
            if slot > 0 {
                sets[place].insert(event.customer);
            }
        }
    }
    let union = |places: &mut dyn Iterator<Item = usize>| {
        places
            .flat_map(|place| &sets[place])
            .collect::<BTreeSet<_>>()
            .len() as u64
    };
    tally.customers = (0..size).map(|place| sets[place].len() as u64).collect();
    tally.customers_of_groups = (0..selection.groups)
        .map(|group| union(&mut (group * slots..(group + 1) * slots)))
        .collect();
    tally.customers_of_slots = (0..slots)
        .map(|slot| union(&mut (slot..size).step_by(slots)))
        .collect();
    tally.customers_in_all = union(&mut (0..size));
    tally
}

pub fn any_event() -> impl Strategy<Value = LooseEvent> {
    // Around the turn of the year 1970, with a few far away.
    let time = prop_oneof![
        8 => -40 * DAY_US..40 * DAY_US,
        4 => -QUARTER_US * 8..QUARTER_US * 8,
        1 => -4_000 * DAY_US..4_000 * DAY_US,
    ];
    let customer = prop_oneof![4 => 0_u32..6, 1 => 0_u32..400];
    let tokens = prop_oneof![
        2 => Just([0; MEASURES]),
        1 => prop::array::uniform4(0_i64..2_000),
        1 => prop::array::uniform4(-(1_i64 << 54)..1 << 54),
    ];
    (time, -1_000_i64..i64::MAX, customer, 0..SERIES, tokens).prop_map(
        |(timestamp_us, cost_picocents, customer, series, tokens)| LooseEvent {
            timestamp_us,
            cost_picocents,
            customer,
            series,
            tokens,
        },
    )
}

pub fn any_bounds() -> impl Strategy<Value = Vec<i64>> {
    let unit = prop_oneof![
        Just(DAY_US),
        Just(QUARTER_US),
        Just(4 * QUARTER_US),
        Just(60_000_000)
    ];
    (unit, -200_i64..200, prop::collection::vec(0_i64..20, 1..8)).prop_map(
        |(unit, first, lengths)| {
            let mut bounds = vec![first * unit];
            for length in lengths {
                bounds.push(bounds[bounds.len() - 1] + length * unit);
            }
            bounds
        },
    )
}

/// Events that arrive in parts, of which some are compacted afterwards, and a question.
#[derive(Clone, Debug)]
pub struct Case {
    pub parts: Vec<(Vec<LooseEvent>, bool)>,
    pub bounds: Vec<i64>,
    pub series_groups: Vec<i32>,
    pub customer_groups: Option<BTreeMap<u32, i32>>,
}

pub fn any_case() -> impl Strategy<Value = Case> {
    let part = (prop::collection::vec(any_event(), 0..60), any::<bool>());
    (
        prop::collection::vec(part, 1..8),
        any_bounds(),
        prop::collection::vec(-1_i32..3, SERIES as usize),
        prop::option::of(prop::collection::btree_map(0_u32..8, -1_i32..3, 0..6)),
    )
        .prop_map(|(parts, bounds, series_groups, customer_groups)| Case {
            parts,
            bounds,
            series_groups,
            customer_groups,
        })
}

/// Asserts that the answers are those of the events, however these are batched and compacted.
pub fn check_answers(case: Case) {
    let Case {
        parts,
        bounds,
        series_groups,
        customer_groups,
    } = case;
    let mut database = Database::default();
    for (events, compacts) in parts {
        database.ingest(&events);
        if compacts {
            database.compact();
        }
    }
    let cover = Cover::new(bounds).unwrap();
    let batches: Vec<CachedCells> = database
        .batches
        .iter()
        .zip(&database.tokens)
        .map(|(packed, tokens)| cached(packed).with_tokens(tokens.as_slice().into()))
        .collect();
    let batches: Vec<&CachedCells> = batches.iter().collect();
    let loose = database.loose(&cover);
    let selection = Selection {
        series_groups: &series_groups,
        customer_groups: customer_groups.map(|groups| groups.into_iter().collect()),
        groups: 3,
    };
    let by_customer = selection.customer_groups.is_some();
    let segments = database.segments(&cover, by_customer, true);
    let sources = Sources {
        segments: &borrowed(&segments),
        batches: &batches,
        events: &loose,
    };
    let actual = asked_again(&cover, &sources, &selection);
    assert_eq!(&actual, &expected(&database.events, &cover, &selection));
    check_tokens(&database.events, &cover, &sources, &selection);

    // Everyone in one group needs no sets of customers by series.
    let all_series = [0; SERIES as usize];
    let everyone = Selection {
        series_groups: &all_series,
        customer_groups: None,
        groups: 1,
    };
    let segments = database.segments(&cover, false, false);
    let sources = Sources {
        segments: &borrowed(&segments),
        batches: &batches,
        events: &loose,
    };
    let actual = asked_again(&cover, &sources, &everyone);
    assert_eq!(&actual, &expected(&database.events, &cover, &everyone));
    check_tokens(&database.events, &cover, &sources, &everyone);

    // Customers in all their series are answered without cells by series.
    let customers = Selection {
        customer_groups: Some(
            (0..8)
                .map(|customer| (customer, customer as i32 % 3))
                .collect(),
        ),
        groups: 3,
        ..everyone
    };
    let segments = database.segments(&cover, true, false);
    let sources = Sources {
        segments: &borrowed(&segments),
        batches: &batches,
        events: &loose,
    };
    let actual = asked_again(&cover, &sources, &customers);
    assert_eq!(&actual, &expected(&database.events, &cover, &customers));
    check_tokens(&database.events, &cover, &sources, &customers);

    // Lists of ranges of customers, one after the other, hold each event once.
    let by_series = Selection {
        series_groups: &series_groups,
        customer_groups: None,
        groups: 3,
    };
    let segments = database.segments(&cover, true, true);
    let sources = Sources {
        segments: &borrowed(&segments),
        batches: &batches,
        events: &loose,
    };
    let mut expected_cells: BTreeMap<(u32, usize, u32), (i64, i128)> = BTreeMap::new();
    for event in &database.events {
        if let Some(slot @ 1..) = cover.slot_of_time(event.timestamp_us)
            && series_groups[event.series as usize] >= 0
        {
            let place = (event.customer, slot, event.series);
            let sums = expected_cells.entry(place).or_default();
            sums.0 += 1;
            sums.1 += i128::from(event.cost_picocents);
        }
    }
    let mut listed = Vec::new();
    for range in [(0, 2), (3, 3), (4, u32::MAX)] {
        let cells = list(&cover, &sources, &by_series, range).unwrap();
        listed.extend(cells.into_iter().map(|cell| {
            let place = (cell.customer, cell.bucket as usize, cell.series);
            (place, (cell.events, cell.cost))
        }));
    }
    assert_eq!(listed, expected_cells.into_iter().collect::<Vec<_>>());

    // The ranking of customers is that of their own sums.
    let sources = Sources {
        segments: &borrowed(&segments),
        batches: &batches,
        events: &loose,
    };
    let mut sums: BTreeMap<u32, i128> = BTreeMap::new();
    for event in &database.events {
        if cover
            .slot_of_time(event.timestamp_us)
            .is_some_and(|slot| slot > 0)
        {
            *sums.entry(event.customer).or_default() += i128::from(event.cost_picocents);
        }
    }
    for count in [0, 2, 1_000] {
        let ranking = rank(&cover, &sources, &everyone, true, count).unwrap();
        assert_eq!(ranking.values, sums.len());
        let mut order: Vec<(u32, i128)> = sums.iter().map(|(&c, &cost)| (c, cost)).collect();
        order.sort_by_key(|&(customer, cost)| (std::cmp::Reverse(cost), customer));
        let least = order.get(count.wrapping_sub(1)).map(|one| one.1);
        order.retain(|one| match (count, least) {
            (0, _) => false,
            (_, Some(least)) => one.1 >= least,
            (_, None) => true,
        });
        assert_eq!(ranking.first, order);
    }
}
