//! What holds of decoding any bytes: no panic, bounded faults, and every event accounted for.
#![allow(
    dead_code,
    reason = "each test and fuzz target that includes this uses a part of it"
)]

use std::collections::HashSet;
use std::sync::Arc;

use cost_insights_native::commit::batches::{Commit, Member};
use cost_insights_native::commit::pg_copy;
use cost_insights_native::events::batch::EventBatch;
use cost_insights_native::events::check::Context;
use cost_insights_native::events::decode;
use cost_insights_native::events::decode_json;
use cost_insights_native::events::fault::{FAULTS_MAX, SHOWN_CHARS_MAX};
use cost_insights_native::events::limits::Limits;
use cost_insights_native::events::request::Request;
use cost_insights_native::ids;

use crate::support::context;

/// Small, so that generated events meet the limits.
pub fn small() -> Context {
    let limits = Limits {
        events_max: 6,
        event_bytes_max: 300,
        metadata_keys_max: 3,
        metadata_key_chars_max: 8,
        metadata_text_chars_max: 12,
        ..Limits::default()
    };
    Context {
        limits,
        ..context()
    }
}

/// Decodes, and takes what comes of it all the way to the database.
pub fn check_protobuf(bytes: &[u8], context: &Context) {
    let batch = decode::decode(bytes, context);
    check_faults(&batch);
    let whole = batch.request_fault().is_some();
    match Request::read(bytes, usize::MAX) {
        Ok(request) if !whole => assert_eq!(request.count, batch.rows.len() + batch.faulty),
        _ => assert_eq!((whole, batch.rows.len(), batch.faults.len()), (true, 0, 1)),
    }
    check_rows(Arc::new(batch));
}

/// Checks the properties of a request that is JSON.
pub fn check_json(body: &[u8], context: &Context) {
    let batch = decode_json::decode_json(body, context);
    check_faults(&batch);
    match serde_json::from_slice::<serde_json::Value>(body) {
        // The other parser refuses halves of surrogate pairs and numbers that are no doubles.
        Ok(request) if batch.request_fault().is_none() => assert_eq!(
            request["events"].as_array().unwrap().len(),
            batch.rows.len() + batch.faulty
        ),
        _ if batch.request_fault().is_some() => {
            assert_eq!((batch.rows.len(), batch.faults.len()), (0, 1));
        }
        _ => {}
    }
    check_rows(Arc::new(batch));
}

pub fn check_faults(batch: &EventBatch) {
    assert!(batch.faults.len() <= FAULTS_MAX);
    assert!(batch.faults.is_sorted_by_key(|fault| fault.index));
    for fault in &batch.faults {
        assert!(!fault.to_string().is_empty());
        assert!(fault.value.chars().count() <= SHOWN_CHARS_MAX, "{fault:?}");
        assert!(
            !fault
                .path
                .chars()
                .chain(fault.value.chars())
                .any(char::is_control),
            "{fault:?}"
        );
        let _ = fault.facts();
    }
}

pub fn check_rows(batch: Arc<EventBatch>) {
    for row in &batch.rows {
        let texts = batch.texts_of(row);
        assert!(ids::version(&row.id) == Some(if texts.external_id.is_some() { 8 } else { 7 }));
        for json in [Some(texts.metadata), texts.llm].into_iter().flatten() {
            assert!(
                serde_json::from_str::<serde_json::Value>(json)
                    .unwrap()
                    .is_object()
            );
        }
    }
    let customers = vec![1; batch.customer_count()];
    let series = vec![1; batch.series_count()];
    let member = Member::new(batch.clone(), 1, customers, series).unwrap();
    let commit = Commit::new(vec![member], &HashSet::new());
    let receipt = &commit.receipts()[0];
    assert_eq!(receipt.inserted, commit.len());
    assert_eq!(
        receipt.inserted + receipt.duplicates + receipt.conflicts.len(),
        batch.rows.len()
    );
    assert_eq!(commit.records().count(), commit.len());
    assert!(pg_copy::payload(&commit).ends_with(&[0xff, 0xff]));
    let unknown: Vec<usize> = (0..batch.customer_ids.len()).collect();
    let rest = batch.without_customers(&unknown);
    assert_eq!(
        rest.rows.len() + rest.faulty,
        batch.rows.len() + batch.faulty
    );
}
