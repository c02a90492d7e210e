//! A stream of batches that goes on where it broke.

use std::time::Duration;

use tokio_stream::StreamExt as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::connect::Connection;
use crate::v1::event_service_client::EventServiceClient;
use crate::v1::new_event::Customer;
use crate::v1::stream_events_response::Outcome;
use crate::v1::{Cost, IngestEventsRequest, NewEvent, StreamEventsRequest};
use crate::{Failure, timestamp};

const BATCHES: i64 = 20;
const EVENTS_PER_BATCH: i64 = 50;
const ATTEMPTS_MAX: u32 = 10;

/// 2026-11-15T12:00:00Z.
const START_SECONDS: i64 = 1_794_744_000;

/// The acknowledgements that a stream has received.
#[derive(Default)]
struct Acknowledged {
    sequence: i64,
    events: i32,
}

/// Sends all batches.
///
/// When the connection breaks or the service has too much to do, another stream sends those that
/// were not acknowledged again, under the same id and with the same sequences: each event counts
/// once, though a batch may have been stored whose acknowledgement was lost.
pub async fn stream(connection: Connection, stream_id: &str) -> Result<(), Failure> {
    let mut client = EventServiceClient::new(connection);
    let mut done = Acknowledged::default();
    let mut attempt = 1;
    while let Err(status) = send(&mut client, stream_id, &mut done).await {
        if !is_passing(&status) || attempt == ATTEMPTS_MAX {
            return Err(status.into());
        }
        eprintln!("the stream broke after batch {}: {status}", done.sequence);
        tokio::time::sleep(Duration::from_millis(100)).await;
        attempt += 1;
    }
    println!(
        "acknowledged {} batches of {} events",
        done.sequence, done.events
    );
    Ok(())
}

/// Whether the connection failed or the service asks for another attempt.
///
/// A connection that breaks in the middle of a stream is `Unknown` or `Internal` to tonic. What the
/// service itself says carries an `ErrorInfo`.
fn is_passing(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::ResourceExhausted)
        || status.get_details_error_info().is_none()
}

/// Sends what is not acknowledged, and waits for the acknowledgements.
async fn send(
    client: &mut EventServiceClient<Connection>,
    stream_id: &str,
    done: &mut Acknowledged,
) -> Result<(), Status> {
    let stream_id = stream_id.to_owned();
    let batches =
        tokio_stream::iter(done.sequence + 1..=BATCHES).map(move |sequence| StreamEventsRequest {
            stream_id: stream_id.clone(),
            sequence,
            batch: Some(batch(sequence)),
        });
    let mut answers = client.stream_events(batches).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        match answer.outcome {
            Some(Outcome::Batch(batch)) => done.events += batch.inserted + batch.duplicates,
            Some(Outcome::Error(refused)) => return Err(status_of(&refused)),
            None => return Err(Status::internal("an acknowledgement says nothing")),
        }
        done.sequence = answer.sequence;
    }
    Ok(())
}

fn status_of(refused: &tonic_types::pb::Status) -> Status {
    let details = prost::Message::encode_to_vec(refused);
    Status::with_details(
        Code::from_i32(refused.code),
        &refused.message,
        details.into(),
    )
}

/// The events of a batch. A batch that is sent again must be the same.
fn batch(sequence: i64) -> IngestEventsRequest {
    let first = (sequence - 1) * EVENTS_PER_BATCH;
    let events = (first..first + EVENTS_PER_BATCH).map(|number| NewEvent {
        name: "llm.inference".to_owned(),
        customer: Some(Customer::ExternalCustomerId(format!("user_{}", number % 4))),
        timestamp: Some(timestamp(START_SECONDS + number, 0)),
        cost: Some(Cost {
            amount: format!("0.{number:04}"),
            currency: "usd".to_owned(),
        }),
        ..NewEvent::default()
    });
    IngestEventsRequest {
        events: events.collect(),
        ..IngestEventsRequest::default()
    }
}
