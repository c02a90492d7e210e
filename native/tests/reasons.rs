//! Faults as the contract describes them: reasons, facts and their names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cost_insights_native::amount::{AmountError, CENTS_MAX};
use cost_insights_native::events::fault::{Fault, FaultKind, Found, Place, REASONS};
use serde_json::Value;

/// The examples of `error_reason.proto`: the metadata of each reason.
fn examples() -> BTreeMap<String, BTreeMap<String, String>> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/cost_insights/v1/error_reason.proto");
    let proto = std::fs::read_to_string(path).unwrap();
    let comments: String = proto
        .lines()
        .map(|line| line.trim().strip_prefix("//").unwrap_or("\n"))
        .collect();
    comments
        .lines()
        .filter_map(|comment| comment.find('{').map(|start| &comment[start..]))
        .map(|example| {
            let info: Value = serde_json::from_str(example).unwrap();
            let metadata = serde_json::from_value(info["metadata"].clone()).unwrap();
            (info["reason"].as_str().unwrap().to_owned(), metadata)
        })
        .collect()
}

/// A fault of each kind, with the facts of the examples.
fn faults() -> Vec<Fault> {
    use FaultKind::*;
    let event = |place, found, kind| Fault::of_event(0, place, found, kind);
    let what = "the name";
    let long = "x".repeat(129);
    let name = Place::Field("name");
    let amount = Place::Member("cost", "amount");
    let timestamp = Place::Field("timestamp");
    let customer = b"\x1d\xbf\xc5\x17\x0b\xbf\x43\x01\x9b\xa8\x55\x5c\xa4\x2b\x97\x37";
    vec![
        Fault::of_request("", Found::Nothing, MalformedRequest),
        Fault::of_request(
            "",
            Found::Position { line: 1, column: 2 },
            MalformedJson {
                expected: "a value",
            },
        ),
        Fault::of_request("", Found::Byte(7), MalformedUtf8),
        Fault::of_request("events", Found::Nothing, EventsRequired),
        Fault::of_request(
            "events",
            Found::Count(10_001),
            TooManyEvents { events_max: 10_000 },
        ),
        event(name, Found::Nothing, FieldRequired { what }),
        event(
            Place::Field("external_customer_id"),
            Found::Nothing,
            CustomerRequired,
        ),
        event(name, Found::Text("\u{200b}".as_bytes()), TextBlank { what }),
        event(Place::Key(b"a"), Found::Nothing, TextEmpty { what }),
        event(
            Place::Field("metadata._cost"),
            Found::Nothing,
            FieldsConflict { other: "cost" },
        ),
        event(
            name,
            Found::Text(long.as_bytes()),
            TextTooLong {
                what,
                characters: 129,
                characters_max: 128,
            },
        ),
        event(name, Found::Text(b"a\xff"), TextNotUtf8 { what }),
        event(name, Found::Text(b"a\0b"), TextHoldsNul { what }),
        event(
            Place::Key(b"tags"),
            Found::Type("list"),
            TypeUnsupported {
                allowed: "number, boolean, text",
            },
        ),
        event(
            Place::Member("llm", "input_tokens"),
            Found::Integer(-1),
            TokensOutOfRange,
        ),
        event(Place::Key(b"a"), Found::Number(f64::NAN), NumberNotFinite),
        event(Place::Key(b"a"), Found::Text(b"1e400"), NumberTooLarge),
        event(
            Place::Field("organization_id"),
            Found::Nothing,
            OrganizationGiven,
        ),
        event(timestamp, Found::Text(b"2026-11-23"), TimestampMalformed),
        event(
            Place::Field("metadata"),
            Found::Count(129),
            MetadataTooManyKeys { keys_max: 128 },
        ),
        event(
            Place::Field("metadata"),
            Found::Count(40_000),
            EventTooLarge { bytes_max: 32_768 },
        ),
        event(amount, Found::Text(b"NaN"), Amount(AmountError::Malformed)),
        event(
            amount,
            Found::Text(b"1e-13"),
            Amount(AmountError::TooPrecise {
                digits: 1,
                decimals: 13,
            }),
        ),
        event(
            amount,
            Found::Text(b"9000000.01"),
            Amount(AmountError::OutOfRange {
                cents_max: CENTS_MAX,
            }),
        ),
        event(
            Place::Member("cost", "currency"),
            Found::Text(b"eur"),
            CurrencyUnsupported,
        ),
        event(
            timestamp,
            Found::Time(32_472_144_000_000_000),
            TimestampInFuture {
                max_us: 1_795_435_260_000_000,
            },
        ),
        event(
            timestamp,
            Found::NoTime {
                seconds: -62_135_596_801,
                nanos: 0,
            },
            TimestampOutOfRange,
        ),
        event(timestamp, Found::Time(0), TimestampZero),
        event(
            Place::Field("customer_id"),
            Found::Uuid(customer),
            CustomerNotFound,
        ),
        event(
            Place::Field("external_customer_id"),
            Found::Text(b"user_1"),
            TooManyCustomers {
                customers_max: 1_000,
            },
        ),
        event(
            Place::Field("parent_id"),
            Found::Text(b"call-17"),
            ParentIsSelf,
        ),
        event(name, Found::Text(b"order.paid"), NameReserved),
    ]
}

/// Every reason is one of the contract's, and every reason that is exported can happen.
#[test]
fn reasons() {
    let examples = examples();
    for reason in REASONS {
        assert!(
            examples.contains_key(reason),
            "{reason} is not in error_reason.proto"
        );
    }
    let told: BTreeSet<_> = faults().iter().map(|fault| fault.kind.reason()).collect();
    assert!(told.into_iter().eq(REASONS));
}

/// The facts of a fault, its path and its value are those of the contract's example.
#[test]
fn facts() {
    let examples = examples();
    for fault in faults() {
        let reason = fault.kind.reason();
        let example = &examples[reason];
        let names: BTreeSet<_> = example.keys().map(String::as_str).collect();
        let facts: BTreeMap<_, _> = fault.facts().into_iter().collect();
        let mut found: BTreeSet<_> = facts.keys().copied().collect();
        if reason != "MALFORMED_REQUEST" {
            found.extend(["path", "value"]);
        }
        assert_eq!(found, names, "{reason}");
        // Of several kinds with one reason, one is the example.
        if example.get("value") == Some(&fault.value) && example["path"] == fault.path {
            for (name, value) in facts {
                assert_eq!(value, example[name], "{reason}");
            }
        }
    }
}

/// Every example of the contract that is native's is what native tells.
#[test]
fn examples_are_told() {
    let faults = faults();
    for (reason, mut example) in examples() {
        if !REASONS.contains(&&*reason) || reason == "TEXT_TOO_LONG" {
            continue; // The example of a long text is shortened for the reader.
        }
        let told = faults
            .iter()
            .filter(|fault| fault.kind.reason() == reason)
            .any(|fault| {
                let mut metadata: BTreeMap<String, String> = fault
                    .facts()
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect();
                if reason != "MALFORMED_REQUEST" {
                    metadata.insert("path".to_owned(), fault.path.clone());
                    metadata.insert("value".to_owned(), fault.value.clone());
                }
                metadata == example
            });
        example.remove("path");
        assert!(told, "{reason}: {example:?}");
    }
}

/// A value is shown in at most 64 characters, on one line.
#[test]
fn values_are_fit_to_be_shown() {
    let shown = |bytes: &[u8]| {
        Fault::of_request("", Found::Text(bytes), AmountError::Malformed.into()).value
    };
    assert_eq!(shown(b""), "");
    assert_eq!(shown("Größe \"🤖\" \\".as_bytes()), "Größe \"🤖\" \\");
    assert_eq!(shown(b"a\nb\x7f\xc2\x85"), "a\\u000ab\\u007f\\u0085");
    assert_eq!(shown(b"a\xff\xfeb"), "a\u{fffd}\u{fffd}b");
    assert_eq!(shown("ß".repeat(64).as_bytes()), "ß".repeat(64));
    assert_eq!(
        shown("ß".repeat(65).as_bytes()),
        format!("{}…", "ß".repeat(63))
    );
    assert_eq!(
        shown("🤖".repeat(1_000_000).as_bytes()),
        format!("{}…", "🤖".repeat(63))
    );
    // An escape is shown whole or not at all.
    assert_eq!(shown(&[1; 11]), format!("{}…", "\\u0001".repeat(10)));
    assert_eq!(
        shown(&[&[b'x'; 58][..], &[1]].concat()),
        format!("{}\\u0001", "x".repeat(58))
    );
    assert_eq!(
        shown(&[&[b'x'; 59][..], &[1]].concat()),
        format!("{}…", "x".repeat(59))
    );
}

/// A path names a metadata key as it is if it is plain, and in quotes otherwise.
#[test]
fn paths_of_metadata_keys() {
    let path = |key: &[u8]| {
        Fault::of_event(
            3,
            Place::Key(key),
            Found::Nothing,
            FaultKind::NumberNotFinite,
        )
        .path
    };
    assert_eq!(path(b"key_1"), "events[3].metadata.key_1");
    assert_eq!(
        path(&[b'k'; 64]),
        format!("events[3].metadata.{}", "k".repeat(64))
    );
    assert_eq!(
        path(&[b'k'; 65]),
        format!("events[3].metadata[\"{}…\"]", "k".repeat(63))
    );
    assert_eq!(path(b""), "events[3].metadata[\"\"]");
    assert_eq!(path(b"a.b"), "events[3].metadata[\"a.b\"]");
    assert_eq!(
        path("schlüssel".as_bytes()),
        "events[3].metadata[\"schlüssel\"]"
    );
    assert_eq!(path(b"a\"\\\n"), r#"events[3].metadata["a\"\\\u000a"]"#);
    assert_eq!(path(b"\xff"), "events[3].metadata[\"\u{fffd}\"]");
}
