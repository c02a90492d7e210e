//! Commits: which events are inserted, are duplicates or are in conflict, and their rows.

mod support;

use std::collections::HashSet;
use std::sync::Arc;

use cost_insights_native::commit::batches::{Commit, Member, Receipt, WrongCount};
use cost_insights_native::commit::pg_copy;
use cost_insights_native::events::batch::EventBatch;
use cost_insights_native::events::check::Context;
use cost_insights_native::events::decode;
use cost_insights_native::events::signature::{self, Value};
use cost_insights_native::ids::{self, Uuid};
use support::*;

/// A batch of events with these external ids and names.
fn batch(events: &[(&str, &str)]) -> Arc<EventBatch> {
    of_organization(context().organization_id, events)
}

fn of_organization(organization_id: Uuid, events: &[(&str, &str)]) -> Arc<EventBatch> {
    let event = |(external_id, name): &(&str, &str)| {
        request(message([
            field(1, name),
            field(2, "user_123"),
            field(5, external_id),
        ]))
    };
    let request: Vec<u8> = events.iter().flat_map(event).collect();
    // Other random bytes for each batch, as the service has them.
    let entropy = [request.len() as u8; 32];
    let context = Context {
        organization_id,
        entropy,
        ..context()
    };
    let batch = decode::decode(&request, &context);
    assert_eq!(batch.faults, []);
    Arc::new(batch)
}

fn member(batch: &Arc<EventBatch>) -> Member {
    let customers = (1_000..).take(batch.customer_count()).collect();
    let series = (2_000..).take(batch.series_count()).collect();
    Member::new(batch.clone(), 7, customers, series).unwrap()
}

fn commit(batches: &[&Arc<EventBatch>]) -> Commit {
    Commit::new(
        batches.iter().map(|batch| member(batch)).collect(),
        &HashSet::new(),
    )
}

fn own_id(external_id: &str) -> Uuid {
    ids::event_id(&context().organization_id, external_id)
}

fn receipt(inserted: usize, duplicates: usize, conflicts: &[(u32, &str)]) -> Receipt {
    let conflict = |&(index, key): &(u32, &str)| (index, key.to_owned(), own_id(key));
    Receipt {
        inserted,
        duplicates,
        conflicts: conflicts.iter().map(conflict).collect(),
    }
}

/// The first event of an id is inserted; the same again is a duplicate, other content a conflict.
#[test]
fn one_id_once() {
    let batch = batch(&[
        ("k", "a"),
        ("k", "a"),
        ("k", "b"),
        ("", "a"),
        ("", "a"),
        ("l", "a"),
    ]);
    let commit = commit(&[&batch]);
    assert_eq!(commit.receipts(), [receipt(4, 1, &[(2, "k")])]);
    assert_eq!(commit.len(), 4);
    assert_eq!(
        commit.keyed_ids().copied().collect::<Vec<_>>(),
        [own_id("k"), own_id("l")]
    );
}

/// Batches of one commit are taken in order, each with a receipt of its own.
#[test]
fn one_id_once_among_members() {
    let (first, second) = (
        batch(&[("k", "a")]),
        batch(&[("k", "b"), ("k", "a"), ("l", "a")]),
    );
    let receipts = commit(&[&first, &second]).receipts();
    assert_eq!(receipts, [receipt(1, 0, &[]), receipt(1, 1, &[(0, "k")])]);
    let receipts = commit(&[&second, &first]).receipts();
    assert_eq!(
        receipts,
        [receipt(2, 0, &[(1, "k")]), receipt(0, 0, &[(0, "k")])]
    );
}

/// An external id names another event in another organization.
#[test]
fn organizations_do_not_meet() {
    let (ours, theirs) = (
        batch(&[("k", "a")]),
        of_organization([9; 16], &[("k", "b")]),
    );
    let commit = commit(&[&ours, &theirs]);
    assert_eq!(commit.receipts(), [receipt(1, 0, &[]), receipt(1, 0, &[])]);
    assert_eq!(commit.len(), 2);
}

/// Events that are stored already are compared with what is stored, not with each other.
#[test]
fn stored_events_are_set_aside() {
    let batch = batch(&[("k", "b"), ("k", "a"), ("l", "a"), ("m", "a")]);
    let digest = |row: usize| batch.rows[row].content_digest;
    let mut commit = commit(&[&batch]);
    assert_eq!(commit.receipts(), [receipt(3, 0, &[(1, "k")])]);
    // `k` is stored with the content of the second event that has it.
    commit.set_aside(&[
        (own_id("k"), digest(1)),
        (own_id("l"), digest(2)),
        (own_id("?"), 1),
    ]);
    assert_eq!(commit.receipts(), [receipt(1, 2, &[(0, "k")])]);
    assert_eq!((commit.len(), commit.is_empty()), (1, false));
    assert_eq!(
        commit.keyed_ids().copied().collect::<Vec<_>>(),
        [own_id("m")]
    );
    commit.set_aside(&[(own_id("m"), 0)]);
    assert_eq!(commit.receipts(), [receipt(0, 2, &[(0, "k"), (3, "m")])]);
    assert!(commit.is_empty() && commit.records().next().is_none());
}

/// Conflicts tell where the event stands in its request, faulty events counted.
#[test]
fn conflicts_tell_the_index_in_the_request() {
    let event = |name: &str| request(message([field(1, name), field(2, "u"), field(5, "k")]));
    let events = [request(""), event("a"), request(""), event("b")];
    let batch = Arc::new(decode::decode(&events.concat(), &context()));
    assert_eq!(commit(&[&batch]).receipts(), [receipt(1, 0, &[(3, "k")])]);
}

/// A record has the numbers that were given for the places of the batch.
#[test]
fn records_have_their_numbers() {
    let uuid = "1dbfc517-0bbf-4301-9ba8-555ca42b9737";
    let event = |name, number, who| request(message([field(1, name), field(number, who)]));
    let events = [event("a", 3, uuid), event("b", 2, "x"), event("a", 2, "y")];
    let batch = Arc::new(decode::decode(&events.concat(), &context()));
    let member = Member::new(batch, 7, vec![10, 11, 12], vec![20, 21]).unwrap();
    let commit = Commit::new(vec![member], &HashSet::new());
    let numbers: Vec<_> = commit
        .records()
        .map(|record| {
            (
                record.organization_number,
                record.customer_number,
                record.series_number,
            )
        })
        .collect();
    assert_eq!(numbers, [(7, 12, 20), (7, 10, 21), (7, 11, 20)]);
}

/// Numbers that are too few or too many are the caller's mistake, told in numbers.
#[test]
fn numbers_must_fit_the_batch() {
    let batch = batch(&[("k", "a")]);
    let new = |customers, series| Member::new(batch.clone(), 7, customers, series).err();
    assert_eq!(new(vec![1], vec![1]), None);
    let wrong = |what, actual| {
        Some(WrongCount {
            what,
            expected: 1,
            actual,
        })
    };
    assert_eq!(new(vec![], vec![1]), wrong("customer numbers", 0));
    assert_eq!(new(vec![1], vec![1, 2]), wrong("series numbers", 2));
}

/// An uncertain parent is an id if it is known as one, and an external id otherwise.
#[test]
fn uncertain_parents_are_settled() {
    let texts = [
        "01890a5d-ac96-774b-bcce-b302099a8057",
        "01890a5d-ac96-774b-bcce-b302099a8058",
    ];
    let event = |parent| request([named(), field(6, parent)].concat());
    let batch = Arc::new(decode::decode(&texts.map(event).concat(), &context()));
    let [first, second] = texts.map(|text| ids::parse(text).unwrap());
    // The first one is an event of another organization.
    let known = HashSet::from([(8, first), (7, second)]);
    let commit = Commit::new(vec![member(&batch)], &known);
    let parents: Vec<_> = commit.records().map(|record| record.parent_id).collect();
    assert_eq!(parents, [Some(own_id(texts[0])), Some(second)]);
}

/// Rows stand in the order of their ids, so that two transactions with the same
/// events wait for each other in one direction only.
#[test]
fn rows_stand_in_the_order_of_ids() {
    let keys = ["a", "b", "c", "d", "e", "f"];
    let first = batch(&keys.map(|key| (key, "x")));
    let second = batch(&[("g", "x"), ("", "x")]);
    let commit = commit(&[&first, &second]);
    let ids: Vec<Uuid> = commit.records().map(|record| *record.id).collect();
    assert_eq!(ids.len(), 8);
    assert!(ids.is_sorted());
}

/// The payload is what PostgreSQL documents: a header, counted and measured columns, a trailer.
#[test]
fn copy_payload() {
    let full = message([
        field(5, "evt-1"),
        field(6, "evt-0"),
        field(7, "member"),
        field(8, message([field(1, "-0.5"), field(2, "usd")])),
        field(9, message([field(1, "v"), field(2, "m")])),
        metadata([entry("ä", number(1.0))]),
    ]);
    let events = [request(named()), request([named(), full].concat())].concat();
    let batch = Arc::new(decode::decode(&events, &context()));
    let [plain, full] = &batch.rows[..] else {
        panic!("{} rows", batch.rows.len())
    };
    assert!(plain.id < full.id);

    let mut expected = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    let mut row = |columns: [Option<&[u8]>; 13]| {
        expected.extend(14_i16.to_be_bytes());
        let start = expected.len();
        for column in columns {
            expected.extend(column.map_or(-1, |bytes| bytes.len() as i32).to_be_bytes());
            expected.extend(column.unwrap_or_default());
        }
        let checksum = crc32fast::hash(&expected[start..]);
        expected.extend(4_i32.to_be_bytes());
        expected.extend(checksum.to_be_bytes());
    };
    row([
        Some(&plain.id),
        Some(&7_i32.to_be_bytes()),
        Some(&2_000_i32.to_be_bytes()),
        Some(&1_000_i32.to_be_bytes()),
        Some(&NOW_US.to_be_bytes()),
        None,
        Some(&0_i64.to_be_bytes()),
        None,
        None,
        None,
        None,
        Some(b"{}"),
        Some(&0_i64.to_be_bytes()),
    ]);
    row([
        Some(&own_id("evt-1")),
        Some(&7_i32.to_be_bytes()),
        Some(&2_001_i32.to_be_bytes()),
        Some(&1_000_i32.to_be_bytes()),
        Some(&NOW_US.to_be_bytes()),
        Some(&(-500_000_000_000_i64).to_be_bytes()),
        Some(&full.content_digest.to_be_bytes()),
        Some(&own_id("evt-0")),
        Some(b"evt-1"),
        Some(b"member"),
        Some(br#"{"input_tokens":0,"output_tokens":0,"total_tokens":0}"#),
        Some("{\"ä\":1}".as_bytes()),
        Some(&signature::of_pair("ä", Value::Number(1.0)).to_be_bytes()),
    ]);
    expected.extend((-1_i16).to_be_bytes());
    assert_eq!(pg_copy::payload(&commit(&[&batch])), expected);
}

/// A commit of no events is a header and a trailer.
#[test]
fn empty_groups() {
    let empty = Commit::new(vec![], &HashSet::new());
    assert_eq!(empty.receipts(), []);
    assert_eq!(pg_copy::payload(&empty).len(), 19 + 2);
    let commit = commit(&[&batch(&[])]);
    assert_eq!(commit.receipts(), [receipt(0, 0, &[])]);
}
