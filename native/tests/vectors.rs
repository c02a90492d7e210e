//! The vectors that Rust and Python share, in `tests/vectors`.

mod support;

use std::collections::HashSet;
use std::path::Path;

use cost_insights_native::amount;
use cost_insights_native::blank::is_blank;
use cost_insights_native::cells::check;
use cost_insights_native::events::tokens::of_llm;
use cost_insights_native::events::{decode, decode_json};
use cost_insights_native::ids;
use serde_json::Value;

/// The lines of a file, each of which says in `why` what it is there for.
fn vectors(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/vectors")
        .join(name);
    let lines = std::fs::read_to_string(&path).unwrap();
    let vectors: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let reasons: HashSet<&str> = vectors.iter().map(|vector| text(vector, "why")).collect();
    assert_eq!(
        reasons.len(),
        vectors.len(),
        "each vector has its own reason to be"
    );
    vectors
}

fn text<'a>(vector: &'a Value, key: &str) -> &'a str {
    vector[key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {vector}"))
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// Text is blank or not as its vector says.
#[test]
fn blank_texts() {
    for vector in vectors("blank.jsonl") {
        let expected = vector["is_blank"].as_bool().unwrap();
        assert_eq!(is_blank(text(&vector, "text")), expected, "{vector}");
    }
}

/// The packed cells of the tokens of a stored call are those of its vector.
#[test]
fn cells_of_tokens() {
    for vector in vectors("token_cells.jsonl") {
        let number = |key: &str| vector[key].as_i64().unwrap();
        let packed = check::of_events(&check::Columns {
            timestamps_us: &[number("timestamp_us")],
            costs_picocents: &[0],
            customers: &[number("customer") as i32],
            series: &[number("series") as i32],
            tokens: &[(0, of_llm(text(&vector, "llm")))],
        });
        let expected = vector["packed"].as_str().map(bytes);
        assert_eq!(packed.unwrap().tokens, expected, "{vector}");
    }
}

/// Every amount gives the picocents or the reason that stand in its vector.
#[test]
fn amounts() {
    for vector in vectors("amount.jsonl") {
        let result = match vector.get("text") {
            Some(_) => amount::parse(text(&vector, "text")),
            None => amount::round(text(&vector, "number").parse().unwrap()),
        };
        let found = result.map_or_else(
            |kind| kind.reason().to_owned(),
            |picocents| picocents.get().to_string(),
        );
        let expected = if vector.get("picocents").is_some() {
            "picocents"
        } else {
            "reason"
        };
        assert_eq!(found, text(&vector, expected), "{vector}");
    }
}

/// Every amount that is a JSON number gives the picocents or the reason of its vector.
#[test]
fn amounts_as_numbers() {
    for vector in vectors("amount_number.jsonl") {
        let found = amount::round_text(text(&vector, "digits")).map_or_else(
            |kind| kind.reason().to_owned(),
            |picocents| picocents.get().to_string(),
        );
        let expected = vector.get("picocents").unwrap_or(&vector["reason"]);
        assert_eq!(found, expected.as_str().unwrap(), "{vector}");
    }
}

/// Every time in JSON gives the microseconds or the reason of its vector.
#[test]
fn timestamps_in_json() {
    for vector in vectors("json_timestamp.jsonl") {
        let timestamp = text(&vector, "timestamp");
        let body = format!(
            r#"{{"events":[{{"name":"a","external_customer_id":"b","timestamp":{timestamp}}}]}}"#
        );
        let batch = decode_json::decode_json(body.as_bytes(), &support::context());
        match vector.get("time_us") {
            Some(time_us) => {
                assert_eq!(batch.faults, [], "{vector}");
                assert_eq!(
                    Some(batch.rows[0].timestamp_us),
                    time_us.as_i64(),
                    "{vector}"
                );
            }
            None => {
                let [fault] = &batch.faults[..] else {
                    panic!("{vector}: {:?}", batch.faults);
                };
                assert_eq!(fault.path, "events[0].timestamp", "{vector}");
                assert_eq!(fault.kind.reason(), text(&vector, "reason"), "{vector}");
            }
        }
    }
}

/// Every body in JSON gives the events and the faults of its vector.
#[test]
fn requests_in_json() {
    for vector in vectors("json_request.jsonl") {
        let body = match vector.get("body") {
            Some(body) => body.as_str().unwrap().as_bytes().to_vec(),
            None => bytes(text(&vector, "body_hex")),
        };
        let batch = decode_json::decode_json(&body, &support::context());
        let found: Vec<_> = batch
            .faults
            .iter()
            .map(|fault| serde_json::json!([fault.path, fault.kind.reason()]))
            .collect();
        assert_eq!(Value::from(found), vector["faults"], "{vector}");
        assert_eq!(batch.faults_total, batch.faults.len(), "{vector}");
        assert_eq!(
            Some(batch.rows.len() as u64),
            vector["events"].as_u64(),
            "{vector}"
        );
        if let Some(message) = vector.get("message") {
            assert_eq!(batch.faults[0].to_string(), message.as_str().unwrap());
        }
    }
}

/// Every amount of an order gives the picocents or the reason that stand in its vector.
#[test]
fn money() {
    for vector in vectors("money.jsonl") {
        let found = amount::parse_money(text(&vector, "text")).map_err(|kind| kind.reason());
        let expected = match vector.get("picocents") {
            Some(_) => Ok(text(&vector, "picocents").parse().unwrap()),
            None => Err(text(&vector, "reason")),
        };
        assert_eq!(found, expected, "{vector}");
    }
}

/// Every sum is written as its vector says.
#[test]
fn formats() {
    for vector in vectors("format.jsonl") {
        let picocents = text(&vector, "picocents").parse().unwrap();
        assert_eq!(amount::format(picocents), text(&vector, "text"), "{vector}");
    }
}

/// Every external id makes the event id that stands in its vector, for ever.
#[test]
fn event_ids() {
    for vector in vectors("event_id.jsonl") {
        let organization_id = ids::parse(text(&vector, "organization_id")).unwrap();
        let found = ids::event_id(&organization_id, text(&vector, "external_id"));
        assert_eq!(ids::format(&found), text(&vector, "event_id"), "{vector}");
    }
}

/// Every external id makes the customer id that stands in its vector, for ever.
#[test]
fn customer_ids() {
    for vector in vectors("customer_id.jsonl") {
        let organization_id = ids::parse(text(&vector, "organization_id")).unwrap();
        let found = ids::customer_id(&organization_id, text(&vector, "external_id"));
        assert_eq!(
            ids::format(&found),
            text(&vector, "customer_id"),
            "{vector}"
        );
    }
}

/// Every place in a stream makes the event id that stands in its vector, for ever.
#[test]
fn streamed_event_ids() {
    for vector in vectors("stream_id.jsonl") {
        let found = ids::streamed_event_id(
            &ids::parse(text(&vector, "organization_id")).unwrap(),
            text(&vector, "stream_id"),
            text(&vector, "sequence").parse().unwrap(),
            text(&vector, "index").parse().unwrap(),
        );
        assert_eq!(ids::format(&found), text(&vector, "event_id"), "{vector}");
    }
}

/// Every event has the content digest that stands in its vector, for ever.
#[test]
fn content_digests() {
    for vector in vectors("content_digest.jsonl") {
        let event = bytes(text(&vector, "event"));
        let batch = decode::decode(&support::request(event), &support::context());
        assert_eq!(batch.faults, [], "{vector}");
        let found = batch.rows[0].content_digest.to_string();
        assert_eq!(found, text(&vector, "content_digest"), "{vector}");
    }
}
