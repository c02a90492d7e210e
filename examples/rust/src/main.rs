//! Sends events to Cost Insights and asks what they cost.

mod connect;
mod json;
mod stream;

/// The code of the protos.
#[allow(clippy::all)]
mod v1 {
    tonic::include_proto!("cost_insights.v1");
}

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use prost_types::value::Kind;
use prost_types::{Struct, Timestamp, Value};
use tonic::{Code, Status};
use tonic_types::{ErrorDetail, StatusExt as _};

use crate::connect::{Connection, connect};
use crate::v1::event_service_client::EventServiceClient;
use crate::v1::metrics_service_client::MetricsServiceClient;
use crate::v1::new_event::Customer;
use crate::v1::{Cost, GetMetricsRequest, GroupBy, IngestEventsRequest, Interval, Llm, NewEvent};

type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "\
costs ingest               sends two events
costs stream ID            sends a thousand events as a stream, and goes on where it broke
costs metrics START END    shows the costs of each customer, such as of 2026-11-01 to 2026-11-30
costs call METHOD FILE...  sends requests in JSON, each to its method, and shows the answers";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            match failure.downcast_ref::<Status>() {
                Some(status) => show(status),
                None => eprintln!("{failure}"),
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[&str]) -> Result<(), Failure> {
    match arguments {
        ["ingest"] => ingest(connect()?).await,
        ["stream", id] => stream::stream(connect()?, id).await,
        ["metrics", start, end] => metrics(connect()?, start, end).await,
        ["call", rest @ ..] if !rest.is_empty() && rest.len() % 2 == 0 => {
            let connection = connect()?;
            for call in rest.chunks_exact(2) {
                json::call(connection.clone(), call[0], call[1]).await?;
            }
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

/// Sends two events. Their external ids make it safe to send them again: each counts once.
async fn ingest(connection: Connection) -> Result<(), Failure> {
    let metadata = [
        ("region", Kind::StringValue("eu".to_owned())),
        ("attempts", Kind::NumberValue(2.0)),
        ("cached", Kind::BoolValue(true)),
    ];
    let events = vec![
        NewEvent {
            name: "llm.inference".to_owned(),
            customer: Some(Customer::ExternalCustomerId("user_123".to_owned())),
            external_id: "example-1".to_owned(),
            // 2026-11-23T12:00:00.250Z.
            timestamp: Some(timestamp(1_795_435_200, 250_000_000)),
            cost: Some(Cost {
                amount: "0.025".to_owned(),
                currency: "usd".to_owned(),
            }),
            llm: Some(Llm {
                vendor: "openai".to_owned(),
                model: "gpt-4".to_owned(),
                input_tokens: 57,
                output_tokens: 123,
                ..Llm::default()
            }),
            metadata: Some(structure(metadata)),
            ..NewEvent::default()
        },
        NewEvent {
            name: "email.sent".to_owned(),
            customer: Some(Customer::ExternalCustomerId("user_456".to_owned())),
            external_id: "example-2".to_owned(),
            timestamp: Some(timestamp(1_795_435_201, 0)),
            cost: Some(Cost {
                amount: "0.0001".to_owned(),
                currency: "usd".to_owned(),
            }),
            ..NewEvent::default()
        },
    ];
    let request = IngestEventsRequest {
        events,
        ..IngestEventsRequest::default()
    };
    let answer = EventServiceClient::new(connection)
        .ingest_events(request)
        .await?
        .into_inner();
    println!(
        "inserted {}, duplicates {}, conflicts {}",
        answer.inserted,
        answer.duplicates,
        answer.conflicts.len()
    );
    Ok(())
}

fn timestamp(seconds: i64, nanos: i32) -> Timestamp {
    Timestamp { seconds, nanos }
}

fn structure<const N: usize>(members: [(&str, Kind); N]) -> Struct {
    let fields: BTreeMap<_, _> = members
        .into_iter()
        .map(|(name, kind)| (name.to_owned(), Value { kind: Some(kind) }))
        .collect();
    Struct { fields }
}

/// Shows the costs of each customer in a span of days. A metric that was not asked for is `None`.
async fn metrics(connection: Connection, start: &str, end: &str) -> Result<(), Failure> {
    let request = GetMetricsRequest {
        start_date: start.to_owned(),
        end_date: end.to_owned(),
        interval: Interval::Month.into(),
        metrics: vec!["costs".to_owned()],
        group_by: GroupBy::Customer.into(),
        groups_max: 20,
        ..GetMetricsRequest::default()
    };
    let answer = MetricsServiceClient::new(connection)
        .get_metrics(request)
        .await?
        .into_inner();
    for group in answer.groups {
        let name = if group.others { "others" } else { &group.value };
        println!("{name}: {}", group.totals.unwrap_or_default().costs());
    }
    println!("all: {}", answer.totals.unwrap_or_default().costs());
    Ok(())
}

/// Prints what an error says: the code, why, which fields are wrong, and when to try again.
fn show(status: &Status) {
    println!("{}: {}", name_of(status.code()), status.message());
    for detail in status.get_error_details_vec() {
        match detail {
            ErrorDetail::ErrorInfo(info) => println!("reason {}", info.reason),
            ErrorDetail::BadRequest(bad_request) => {
                for fault in bad_request.field_violations {
                    println!("fault {}: {}", fault.field, fault.description);
                }
            }
            ErrorDetail::RetryInfo(retry) => {
                let delay = retry.retry_delay.unwrap_or(Duration::ZERO);
                println!("retry after {} ms", delay.as_millis());
            }
            _ => {}
        }
    }
}

/// The name of a code as the protos have it: INVALID_ARGUMENT for `InvalidArgument`.
fn name_of(code: Code) -> String {
    let mut name = String::new();
    for character in format!("{code:?}").chars() {
        if character.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(character.to_ascii_uppercase());
    }
    name
}
