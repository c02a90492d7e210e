//! The speed of one core: `cargo bench -p cost-insights-native`.

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::HashSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cost_insights_native::amount::{self, sum};
use cost_insights_native::cells::cached::CachedCells;
use cost_insights_native::cells::cell::{self, Cell};
use cost_insights_native::cells::cover::Cover;
use cost_insights_native::cells::kind::Kind;
use cost_insights_native::cells::segment;
use cost_insights_native::cells::tally::{self, Selection, Sources};
use cost_insights_native::commit::batches::{Commit, Member};
use cost_insights_native::commit::pg_copy;
use cost_insights_native::events::decode;
use cost_insights_native::time::QUARTER_US;

const EVENTS: usize = 1_000;
const NUMBERS: usize = 1 << 20;

fn main() {
    let context = support::context();
    let request = support::documented(EVENTS);
    let keyed: Vec<u8> = (0..EVENTS)
        .flat_map(|index| {
            let event = support::named();
            support::request([event, support::field(5, format!("evt-{index}"))].concat())
        })
        .collect();

    let decoded = median(|| decode::decode(black_box(&request), &context));
    report("decode 1000 documented events", decoded, request.len());
    let decoded = median(|| decode::decode(black_box(&keyed), &context));
    report("decode 1000 events with external ids", decoded, keyed.len());

    let batch = Arc::new(decode::decode(&request, &context));
    let commit = || {
        let customers = vec![1; batch.customer_count()];
        let member = Member::new(batch.clone(), 1, customers, vec![1; batch.series_count()]);
        Commit::new(
            vec![member.expect("as many numbers as the batch needs")],
            &HashSet::new(),
        )
    };
    report("commit 1000 events", median(commit), 0);
    let commit = commit();
    let payload = pg_copy::payload(&commit);
    report(
        "copy payload of 1000 events",
        median(|| pg_copy::payload(&commit)),
        payload.len(),
    );
    report(
        "memcpy of that payload",
        median(|| black_box(&payload).clone()),
        payload.len(),
    );

    let numbers: Vec<i64> = (0..NUMBERS as i64)
        .map(|n| n.wrapping_mul(0x1E37_79B9_7F4A_7C15))
        .collect();
    report(
        "exact sum of 2^20 numbers",
        median(|| sum::sum(black_box(&numbers))),
        NUMBERS * 8,
    );
    let wrapping = || {
        black_box(&numbers)
            .iter()
            .fold(0_i64, |sum, n| sum.wrapping_add(*n))
    };
    report(
        "wrapping sum of 2^20 numbers",
        median(wrapping),
        NUMBERS * 8,
    );

    let groups: Vec<i32> = numbers.iter().map(|n| n.rem_euclid(1_000) as i32).collect();
    // As large as the costs of events are.
    let costs: Vec<i64> = numbers.iter().map(|n| n >> 16).collect();
    report(
        "exact sums of 2^20 numbers in 1000 groups",
        median(|| sum::sum_by_group(black_box(&costs), &groups, 1_000)),
        NUMBERS * 12,
    );

    let (mut text, mut ends) = (String::new(), Vec::new());
    for cost in &costs {
        text.push_str(&amount::format((cost / 100).into()));
        ends.push(text.len() as u32);
    }
    let mut parsed = vec![[0; 8]; NUMBERS];
    let parse = || amount::column::parse_column(black_box(text.as_bytes()), &ends, &mut parsed);
    report("parse 2^20 amounts", median(parse), text.len());

    let customers = |n: i64| (n * 7_919 % 50_000) as u32;
    let mut cells: Vec<Cell> = numbers
        .iter()
        .zip(0_i64..)
        .map(|(&cost, n)| Cell {
            customer: customers(n),
            bucket: (n * 2_880 / NUMBERS as i64) as i32,
            series: (n % 20) as u32,
            events: 1,
            cost: i128::from(cost),
        })
        .collect();
    cell::combine(&mut cells);
    let packed = cell::pack(&cells);
    report(
        "pack cells of 2^20 events",
        median(|| cell::pack(&cells)),
        packed.len(),
    );
    let unpack = || cell::unpack_all([black_box(&packed[..])]);
    report("unpack them", median(unpack), packed.len());
    let cover = Cover::new(vec![0, 2_880 * QUARTER_US]).expect("bounds ascend");
    let cached = CachedCells::new(packed[..].into());
    let segments = [(Kind::CustomerQuarters, &cached)];
    let sources = Sources {
        segments: &segments,
        batches: &[],
        events: &[],
    };
    let selection = Selection {
        series_groups: &[0; 20],
        customer_groups: None,
        groups: 1,
    };
    let ranking = || tally::rank(&cover, black_box(&sources), &selection, true, 100);
    report("rank their customers", median(ranking), packed.len());
    let one = Selection {
        customer_groups: Some([(cells[cells.len() / 2].customer, 0)].into_iter().collect()),
        ..selection.clone()
    };
    let of_one = || tally::tally(&cover, black_box(&sources), &one, true);
    report("add up one customer", median(of_one), packed.len());
    let days = || {
        let cached = CachedCells::new(packed[..].into());
        cached.days().is_ok() && cached.days().is_ok()
    };
    report("add them up to days", median(days), packed.len());
    let compaction = || segment::Compaction::new(black_box(&cells));
    report(
        "what they add to segments",
        median(compaction),
        packed.len(),
    );
}

fn median<T>(mut run: impl FnMut() -> T) -> Duration {
    let mut times: Vec<Duration> = Vec::new();
    let start = Instant::now();
    while times.len() < 15 || start.elapsed() < Duration::from_millis(700) {
        let start = Instant::now();
        black_box(run());
        times.push(start.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

fn report(what: &str, time: Duration, bytes: usize) {
    let rate = bytes as f64 / time.as_secs_f64() / 1e9;
    println!(
        "{what:40} {:10.1} µs {rate:8.2} GB/s",
        time.as_secs_f64() * 1e6
    );
}
