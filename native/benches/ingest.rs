//! What one core does: `cargo bench -p cost-insights-native`.

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::HashSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cost_insights_native::group::{Group, Member};
use cost_insights_native::{amount, cell, copy, event};

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

    let decoded = median(|| event::decode(black_box(&request), &context));
    report("decode 1000 documented events", decoded, request.len());
    let decoded = median(|| event::decode(black_box(&keyed), &context));
    report("decode 1000 events with external ids", decoded, keyed.len());

    let batch = Arc::new(event::decode(&request, &context));
    let group = || {
        let customers = vec![1; batch.customer_count()];
        let member = Member::new(batch.clone(), 1, customers, vec![1; batch.series_count()]);
        Group::new(
            vec![member.expect("as many numbers as the batch needs")],
            &HashSet::new(),
        )
    };
    report("group 1000 events", median(group), 0);
    let group = group();
    let payload = copy::payload(&group);
    report(
        "copy payload of 1000 events",
        median(|| copy::payload(&group)),
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
        median(|| cell::sum(black_box(&numbers))),
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
        median(|| cell::sum_by_group(black_box(&costs), &groups, 1_000)),
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

    let hour = 3_600_000_000;
    let times: Vec<i64> = (0..NUMBERS as i64)
        .map(|n| n * 720 * hour / NUMBERS as i64)
        .collect();
    let bounds: Vec<i64> = (0..=720).map(|n| n * hour).collect();
    let customers: Vec<i32> = numbers
        .iter()
        .map(|n| n.rem_euclid(50_000) as i32)
        .collect();
    let sums = || cell::sum_by_period(&bounds, black_box(&times), &numbers, &customers);
    report("720 periods of 2^20 events", median(sums), 0);
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
