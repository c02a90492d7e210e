//! Properties of decoding that hold for any bytes: no panic, bounded faults, and every event
//! accounted for.

#[path = "support/accounting.rs"]
mod accounting;
mod support;

use accounting::{check_json, check_protobuf, small};
use cost_insights_native::events::decode;
use proptest::prelude::*;
use support::*;

fn texts() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-z]{1,4}".prop_map(String::into_bytes),
        1 => ".{0,14}".prop_map(String::into_bytes),
        1 => Just(b"1dbfc517-0bbf-4301-9ba8-555ca42b9737".to_vec()),
        1 => Just(b"01890a5d-ac96-774b-bcce-b302099a8057".to_vec()),
        1 => Just(Vec::new()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ]
}

fn numbers() -> impl Strategy<Value = f64> {
    prop_oneof![
        prop::num::f64::ANY,
        (0..1000).prop_map(f64::from),
        -10.0..10.0
    ]
}

/// A `google.protobuf.Value`, of one kind mostly, of several or none sometimes.
fn values() -> impl Strategy<Value = Vec<u8>> {
    let simple = prop_oneof![
        Just(null()),
        any::<bool>().prop_map(boolean),
        numbers().prop_map(number),
        texts().prop_map(text),
        texts().prop_map(text),
    ];
    let value = simple.prop_recursive(4, 24, 4, |inner| {
        let keys = prop_oneof![
            Just(b"amount".to_vec()),
            Just(b"currency".to_vec()),
            Just(b"vendor".to_vec()),
            Just(b"model".to_vec()),
            Just(b"prompt".to_vec()),
            texts(),
        ];
        let entries = (keys, inner.clone()).prop_map(|(key, value)| entry(key, value));
        prop_oneof![
            prop::collection::vec(entries, 0..5).prop_map(|entries| field(5, entries.concat())),
            prop::collection::vec(inner, 0..3).prop_map(|values| {
                field(
                    6,
                    values
                        .into_iter()
                        .map(|value| field(1, value))
                        .collect::<Vec<_>>()
                        .concat(),
                )
            }),
        ]
    });
    prop::collection::vec(value, 0..3).prop_map(|parts| parts.concat())
}

fn entries() -> impl Strategy<Value = Vec<u8>> {
    let cost = (numbers(), texts(), any::<bool>()).prop_map(|(amount, currency, good)| {
        let currency = if good { b"usd".to_vec() } else { currency };
        entry(
            "_cost",
            object([
                entry("amount", number(amount)),
                entry("currency", text(currency)),
            ]),
        )
    });
    let special = prop_oneof![Just("_cost"), Just("_llm")];
    prop_oneof![
        3 => (texts(), numbers()).prop_map(|(key, value)| entry(key, number(value))),
        3 => (texts(), texts()).prop_map(|(key, value)| entry(key, text(value))),
        2 => cost,
        1 => (texts(), values()).prop_map(|(key, value)| entry(key, value)),
        1 => (special, values()).prop_map(|(key, value)| entry(key, value)),
    ]
}

/// A field of an event, well-formed mostly.
fn event_fields() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (prop::sample::select(&[1_u32, 2, 3, 5, 6, 7, 10][..]), texts()).prop_map(|(at, text)| field(at, text)),
        1 => (any::<i64>(), any::<i64>()).prop_map(|(seconds, nanos)| {
            field(4, message([integer(1, seconds), integer(2, nanos)]))
        }),
        1 => (0..2_000_000_000_i64).prop_map(|seconds| field(4, integer(1, seconds))),
        1 => texts().prop_map(|amount| field(8, message([field(1, amount), field(2, "usd")]))),
        1 => (texts(), any::<i64>()).prop_map(|(vendor, count)| {
            field(9, message([field(1, vendor), field(2, "m"), integer(3, count)]))
        }),
        3 => prop::collection::vec(entries(), 0..6).prop_map(|entries| field(11, entries.concat())),
        1 => (1_u32..20, prop::collection::vec(any::<u8>(), 0..8)).prop_map(|(at, bytes)| field(at, bytes)),
    ]
}

fn requests() -> impl Strategy<Value = Vec<u8>> {
    let event = prop::collection::vec(event_fields(), 0..8)
        .prop_map(|fields| request([named(), fields.concat()].concat()));
    prop::collection::vec(event, 0..8).prop_map(|events| events.concat())
}

/// A value in JSON, well-formed mostly.
fn json_values() -> impl Strategy<Value = String> {
    let simple = prop_oneof![
        any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
        "[a-z]{1,6}".prop_map(|text| format!("\"{text}\"")),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        prop::sample::select(
            &[
                "null",
                "true",
                "\"\\ud83e\"",
                "\"usd\"",
                "\"2026-11-23T12:08:14Z\"",
                "\"01890a5d-ac96-774b-bcce-b302099a8057\"",
                "[",
                "}",
            ][..]
        )
        .prop_map(str::to_owned),
    ];
    simple.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            3 => prop::collection::vec((json_keys(), inner.clone()), 0..6).prop_map(object_of),
            1 => prop::collection::vec(inner, 0..3)
                .prop_map(|items| format!("[{}]", items.join(","))),
        ]
    })
}

fn json_keys() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        &[
            "name",
            "external_customer_id",
            "customerId",
            "timestamp",
            "external_id",
            "parent_id",
            "member_id",
            "cost",
            "llm",
            "product_id",
            "metadata",
            "organization_id",
            "_cost",
            "_llm",
            "amount",
            "currency",
            "vendor",
            "model",
            "input_tokens",
            "prompt",
            "other",
            "\\u0061mount",
            "",
        ][..],
    )
}

fn object_of(members: Vec<(&str, String)>) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(key, value)| format!("\"{key}\":{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn json_requests() -> impl Strategy<Value = String> {
    let event = prop::collection::vec((json_keys(), json_values()), 0..8).prop_map(|fields| {
        let named = [
            ("name", "\"a\"".to_owned()),
            ("external_customer_id", "\"b\"".to_owned()),
        ];
        object_of(named.into_iter().chain(fields).collect())
    });
    prop::collection::vec(event, 0..8).prop_map(|events| {
        format!(
            "{{\"events\": [{}], \"accept_valid\": true}}",
            events.join(", ")
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Bytes of any kind are refused or decoded.
    #[test]
    fn any_bytes(bytes: Vec<u8>) {
        check_protobuf(&bytes, &small());
    }

    /// Messages of any content are decoded, with every event stored or at fault.
    #[test]
    fn any_message(bytes in requests()) {
        check_protobuf(&bytes, &small());
        check_protobuf(&bytes, &context());
    }

    /// Messages with a byte changed, or cut, are refused or decoded.
    #[test]
    fn any_damage(bytes in requests(), at: prop::sample::Index, byte: u8, cut: bool) {
        let mut bytes = bytes;
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
        }
        check_protobuf(&bytes, &small());
    }

    /// Bodies of any bytes are refused or decoded as JSON.
    #[test]
    fn any_body(bytes: Vec<u8>) {
        check_json(&bytes, &small());
    }

    /// Bodies of JSON are decoded, with every event stored or at fault.
    #[test]
    fn any_json(body in json_requests()) {
        check_json(body.as_bytes(), &small());
        check_json(body.as_bytes(), &context());
    }

    /// Bodies of JSON with a byte changed, or cut, are refused or decoded.
    #[test]
    fn any_damaged_json(body in json_requests(), at: prop::sample::Index, byte: u8, cut: bool) {
        let mut body = body.into_bytes();
        let at = at.index(body.len());
        if cut { body.truncate(at) } else { body[at] = byte }
        check_json(&body, &small());
    }

    /// The order in which unlike fields of an event arrive changes nothing.
    #[test]
    fn any_order(fields in prop::collection::vec(entries(), 0..5)) {
        let event = |parts: [Vec<u8>; 2]| request(parts.concat());
        let metadata = field(11, fields.concat());
        let forwards = decode::decode(&event([named(), metadata.clone()]), &context());
        let backwards = decode::decode(&event([metadata, named()]), &context());
        prop_assert_eq!(forwards.faults, backwards.faults);
        prop_assert_eq!(forwards.texts, backwards.texts);
    }
}
