//! Decoding: request bytes in, a batch of valid events out, with every fault of the
//! others.
#![forbid(unsafe_code)]

use super::batch::EventBatch;
use super::check::{Checker, Context, StreamPlace};
use super::fault::{Fault, FaultKind, Found};
use super::new_event::NewEvent;
use super::request::{Request, StreamRequest};
use crate::wire;

/// Reads and checks a request.
///
/// A fault of the whole request is the only one, and the batch is empty.
pub fn decode(request: &[u8], context: &Context) -> EventBatch {
    Request::read(request, context.limits.events_max as usize)
        .and_then(|request| check_all(&request, context, None))
        .unwrap_or_else(|wire::Malformed| malformed())
}

/// A batch of a stream, and where in the stream it stands.
#[derive(Debug)]
pub struct StreamedBatch {
    /// The stream.
    pub stream_id: String,
    /// The number of the batch.
    pub sequence: i64,
    /// The batch.
    pub batch: EventBatch,
}

/// Reads a batch of a stream and checks its events, but not the place that it
/// claims in the stream. `stream_id` is the stream's so far, which a request may
/// leave out. An event without an external id is identified by its place.
pub fn decode_streamed(request: &[u8], stream_id: &str, context: &Context) -> StreamedBatch {
    let streamed = |stream_id: &str, sequence, batch| StreamedBatch {
        stream_id: stream_id.to_owned(),
        sequence,
        batch,
    };
    let Ok(request) = StreamRequest::read(request, context.limits.events_max as usize) else {
        return streamed(stream_id, 0, malformed());
    };
    let place = StreamPlace {
        stream_id: match request.stream_id {
            "" => stream_id,
            given => given,
        },
        sequence: request.sequence,
    };
    let batch = check_all(&request.batch, context, Some(place))
        .unwrap_or_else(|wire::Malformed| malformed());
    streamed(place.stream_id, place.sequence, batch)
}

fn malformed() -> EventBatch {
    refused("", Found::Nothing, FaultKind::MalformedRequest)
}

pub(super) fn refused(path: &'static str, found: Found<'_>, kind: FaultKind) -> EventBatch {
    EventBatch {
        faults: vec![Fault::of_request(path, found, kind)],
        faults_total: 1,
        ..EventBatch::default()
    }
}

fn check_all<'a, 'c>(
    request: &Request<'a>,
    context: &'c Context,
    stream: Option<StreamPlace<'c>>,
) -> Result<EventBatch, wire::Malformed> {
    let events_max = context.limits.events_max;
    if request.count > events_max as usize {
        let kind = FaultKind::TooManyEvents { events_max };
        let batch = refused("events", Found::Count(request.count), kind);
        let accept_valid = request.accept_valid;
        return Ok(EventBatch {
            accept_valid,
            faulty: request.count,
            ..batch
        });
    }
    let mut checker = Checker::new(context, stream, request.events.len(), request.accept_valid);
    let mut event = NewEvent::default();
    for (index, bytes) in request.events.iter().enumerate() {
        request.read_event(bytes, &mut event)?;
        checker.check(index as u32, &event);
    }
    let mut batch = checker.batch;
    batch.accept_valid = request.accept_valid;
    batch.faults = checker.faults.kept;
    batch.faults_total = checker.faults.count;
    Ok(batch)
}
