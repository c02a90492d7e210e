//! Streamed batches: where they stand, and the identity that their place gives to events.

mod support;

use std::collections::HashSet;
use std::sync::Arc;

use cost_insights_native::commit::batches::{Commit, Member};
use cost_insights_native::events::decode::{self, StreamedBatch};
use cost_insights_native::ids::{self, Uuid};
use proptest::prelude::*;
use support::*;

/// A message of a stream.
fn streamed(stream_id: &str, sequence: i64, events: &[Vec<u8>]) -> Vec<u8> {
    let batch: Vec<u8> = events.iter().flat_map(request).collect();
    message([field(1, stream_id), integer(2, sequence), field(3, batch)])
}

fn decode(request: &[u8]) -> StreamedBatch {
    decode::decode_streamed(request, "so far", &context())
}

fn place_id(stream_id: &str, sequence: i64, index: u32) -> Uuid {
    ids::streamed_event_id(&context().organization_id, stream_id, sequence, index)
}

fn keyed(external_id: &str) -> Vec<u8> {
    message([named(), field(5, external_id)])
}

fn ids(streamed: &StreamedBatch) -> Vec<Uuid> {
    streamed.batch.rows.iter().map(|row| row.id).collect()
}

/// A message that leaves the stream out belongs to the stream so far.
#[test]
fn the_stream_may_be_left_out() {
    let given = decode(&streamed("other", 3, &[named()]));
    assert_eq!((given.stream_id.as_str(), given.sequence), ("other", 3));
    assert_eq!(ids(&given), [place_id("other", 3, 0)]);
    let left_out = decode(&streamed("", 3, &[named()]));
    assert_eq!(left_out.stream_id, "so far");
    assert_eq!(ids(&left_out), [place_id("so far", 3, 0)]);
}

/// An event is identified by its external id if it has one and by its place
/// otherwise, in which events with faults count; either way it may be stored already.
#[test]
fn places_identify() {
    let batch = decode(&streamed("s", 7, &[named(), vec![], keyed("k"), named()]));
    let own = ids::event_id(&context().organization_id, "k");
    assert_eq!(ids(&batch), [place_id("s", 7, 0), own, place_id("s", 7, 3)]);
    for row in &batch.batch.rows {
        assert!(row.is_keyed && row.content_digest != 0);
    }
    assert_eq!(batch.batch.faults[0].path, "events[1].name");
}

/// A stream refuses each system event, and takes the others.
#[test]
fn system_events() {
    let paid = message([field(1, "order.paid"), field(2, "user_123")]);
    let batch = decode(&streamed("s", 7, &[paid.clone(), named(), paid])).batch;
    assert!(batch.holds_system_events);
    assert_eq!((batch.rows.len(), batch.faulty), (1, 2));
    assert_eq!((batch.series_count(), batch.customer_count()), (1, 1));
    let told = batch
        .faults
        .iter()
        .map(|fault| (fault.path.as_str(), fault.kind.reason(), fault.to_string()));
    let words = "the name \"order.paid\" is reserved for system events, which StreamEvents \
                 does not take; send it with IngestEvents";
    let fault = |path| (path, "NAME_RESERVED", words.to_owned());
    assert!(told.eq([fault("events[0].name"), fault("events[2].name")]));
}

/// The digest of content does not depend on its place.
#[test]
fn places_are_no_content() {
    let batch = decode(&streamed("s", 7, &[named(), named()])).batch;
    assert_eq!(batch.rows[0].content_digest, batch.rows[1].content_digest);
}

/// An event of a stream that names its own place's id as its parent is its own parent.
#[test]
fn no_event_is_its_own_parent() {
    let parent = ids::format(&place_id("s", 7, 1));
    let child = message([named(), field(6, &parent)]);
    let batch = decode(&streamed("s", 7, &[child.clone(), child])).batch;
    assert_eq!(batch.rows.len(), 1);
    assert_eq!(batch.faults[0].path, "events[1].parent_id");
    assert_eq!(batch.faults[0].kind.reason(), "PARENT_IS_SELF");
}

/// An event that is streamed again is a duplicate, or a conflict without an external id if
/// its place holds other content.
#[test]
fn streamed_again() {
    let commit = |request: &[u8]| {
        let batch = Arc::new(decode(request).batch);
        let customers = vec![1; batch.customer_count()];
        let series = vec![1; batch.series_count()];
        let member = Member::new(batch, 1, customers, series).unwrap();
        Commit::new(vec![member], &HashSet::new())
    };
    let first = commit(&streamed("s", 1, &[named(), named()]));
    assert_eq!(first.keyed_ids().count(), 2);
    let stored: Vec<(Uuid, i64)> = first
        .records()
        .map(|record| (*record.id, record.content_digest))
        .collect();
    let other = message([named(), field(7, "member")]);
    let mut again = commit(&streamed("s", 1, &[other, named()]));
    again.set_aside(&stored);
    let [receipt] = &again.receipts()[..] else {
        panic!("one member, one receipt");
    };
    assert_eq!((receipt.inserted, receipt.duplicates), (0, 1));
    assert_eq!(receipt.conflicts, [(0, String::new(), place_id("s", 1, 0))]);
}

/// A batch that comes in parts is put together, and its events count on.
#[test]
fn parts_are_merged() {
    let part = |event: Vec<u8>| field(3, request(event));
    let accept = field(3, integer(2, 1));
    let bytes = message([
        part(named()),
        integer(2, 1),
        accept,
        field(99, "unknown"),
        part(keyed("k")),
        field(1, "first"),
        integer(2, 2),
        field(1, "last"),
        part(named()),
    ]);
    let batch = decode(&bytes);
    assert_eq!((batch.stream_id.as_str(), batch.sequence), ("last", 2));
    assert!(batch.batch.accept_valid);
    let own = ids::event_id(&context().organization_id, "k");
    assert_eq!(
        ids(&batch),
        [place_id("last", 2, 0), own, place_id("last", 2, 2)]
    );
}

/// Bytes that are no message, and a stream that is not UTF-8, are one fault of the whole.
#[test]
fn malformed_messages() {
    let events = streamed("s", 1, &[named()]);
    for bytes in [
        &events[..events.len() - 1],
        b"\x0a\x01\xff",
        b"\x1a\x01\x0a",
        b"\x1a\x02\x0a\x01",
        b"\x07",
    ] {
        let batch = decode(bytes).batch;
        assert_eq!(batch.faults.len(), 1, "{bytes:x?}");
        assert_eq!(batch.faults[0].kind.reason(), "MALFORMED_REQUEST");
        assert_eq!((batch.faults[0].index, batch.rows.len()), (None, 0));
    }
}

/// A message without anything in it is an empty batch; its place is left to the caller.
#[test]
fn empty_messages() {
    let batch = decode(b"");
    assert_eq!((batch.stream_id.as_str(), batch.sequence), ("so far", 0));
    assert_eq!((batch.batch.rows.len(), batch.batch.faults.len()), (0, 0));
}

proptest! {
    /// Any bytes are a batch or one that is refused.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..80), events in 0..3_usize) {
        decode(&bytes);
        decode(&[streamed("s", 1, &vec![bytes.clone(); events]), bytes].concat());
    }
}
