//! The rules of an event: the values each one allows, and the full text of its faults.

mod support;

use cost_insights_native::events::batch::{Customer, EventBatch, Parent, RowTexts};
use cost_insights_native::events::fault::{FAULTS_MAX, Fault};
use cost_insights_native::events::limits::Limits;
use cost_insights_native::events::{decode, decode_json, system_events};
use cost_insights_native::ids::{self, Uuid};
use support::*;

fn decode(request: impl AsRef<[u8]>) -> EventBatch {
    decode::decode(request.as_ref(), &context())
}

/// A batch of one valid event: name, customer and these fields.
fn valid<const N: usize>(fields: [Vec<u8>; N]) -> EventBatch {
    let batch = decode(request([named(), fields.concat()].concat()));
    assert_eq!(batch.faults, []);
    assert_eq!((batch.rows.len(), batch.faulty), (1, 0));
    batch
}

/// Path, reason and message of each fault of one event: name, customer and these fields.
fn faults<const N: usize>(fields: [Vec<u8>; N]) -> Vec<(String, &'static str, String)> {
    faults_of([named(), fields.concat()].concat())
}

fn faults_of(event: Vec<u8>) -> Vec<(String, &'static str, String)> {
    let batch = decode(request(event));
    assert_eq!(batch.rows.len(), 0);
    assert_eq!(
        batch.texts, "",
        "nothing is left of an event that is not stored"
    );
    assert_eq!(batch.faulty, 1);
    batch.faults.iter().map(told).collect()
}

fn told(fault: &Fault) -> (String, &'static str, String) {
    (fault.path.clone(), fault.kind.reason(), fault.to_string())
}

/// Asserts that there is one fault, and what it says.
#[track_caller]
fn assert_fault<const N: usize>(fields: [Vec<u8>; N], path: &str, reason: &str, message: &str) {
    let found: Vec<(String, &str, String)> = faults(fields);
    assert_eq!(
        found,
        [(format!("events[0].{path}"), reason, message.to_owned())]
    );
}

fn texts(batch: &EventBatch) -> RowTexts<'_> {
    batch.texts_of(&batch.rows[0])
}

fn cost(amount: Vec<u8>) -> Vec<u8> {
    entry(
        "_cost",
        object([entry("amount", amount), entry("currency", text("usd"))]),
    )
}

fn timestamp(seconds: i64, nanos: i64) -> Vec<u8> {
    field(4, message([integer(1, seconds), integer(2, nanos)]))
}

// The request.

/// No events are allowed and make an empty batch.
#[test]
fn an_empty_request() {
    let batch = decode([]);
    assert_eq!(
        (batch.rows.len(), batch.faulty, batch.accept_valid),
        (0, 0, false)
    );
    assert_eq!(batch.faults, []);
    assert!(decode(integer(2, 1)).accept_valid);
}

/// Bytes that are no message have one fault, and nothing of them is kept.
#[test]
fn malformed_bytes() {
    let event = request(named());
    for bytes in [
        &event[..event.len() - 1],
        &[&event[..], &request([0x0a, 9])].concat(),
        &[&event[..], &request(metadata([field(1, [0x12, 5, 0])]))].concat(),
    ] {
        let batch = decode(bytes);
        assert_eq!((batch.rows.len(), batch.faulty), (0, 0));
        let fault = &batch.faults[0];
        assert_eq!(
            (batch.faults.len(), fault.index, &*fault.path, &*fault.value),
            (1, None, "", "")
        );
        assert_eq!(
            fault.to_string(),
            "the request is not a valid cost_insights.v1.IngestEventsRequest"
        );
    }
}

/// One event too many refuses the request as a whole.
#[test]
fn too_many_events() {
    let mut context = context();
    context.limits.events_max = 2;
    let events = |count| [integer(2, 1), request(named()).repeat(count)].concat();
    assert_eq!(decode::decode(&events(2), &context).rows.len(), 2);
    let batch = decode::decode(&events(3), &context);
    assert_eq!(
        (batch.rows.len(), batch.faulty, batch.accept_valid),
        (0, 3, true)
    );
    assert_eq!(batch.faults[0].index, None);
    let expected = "the request holds 3 events; at most 2 are allowed".to_owned();
    assert_eq!(
        told(&batch.faults[0]),
        ("events".to_owned(), "TOO_MANY_EVENTS", expected)
    );
}

/// Valid events keep their place in the request when others have faults.
#[test]
fn valid_events_among_faulty_ones() {
    let events = [request(""), request(named()), request(""), request(named())];
    let batch = decode(events.concat());
    assert_eq!(batch.faulty, 2);
    assert_eq!(
        batch.rows.iter().map(|row| row.index).collect::<Vec<_>>(),
        [1, 3]
    );
    let indices: Vec<_> = batch.faults.iter().map(|fault| fault.index).collect();
    assert_eq!(indices, [Some(0), Some(0), Some(2), Some(2)]);
}

/// Beyond a thousand, faults are counted and no longer kept, where nothing is stored.
#[test]
fn faults_are_bounded() {
    let batch = decode(request("").repeat(10_000));
    assert_eq!((batch.faults.len(), batch.faulty), (FAULTS_MAX, 10_000));
    assert_eq!(batch.faults_total, 20_000);
    assert_eq!(batch.faults[FAULTS_MAX - 1].index, Some(499));

    let entries = (0..3_000).map(|key| entry(format!("key {key}"), null()));
    let batch = decode(request(
        [named(), field(11, entries.collect::<Vec<_>>().concat())].concat(),
    ));
    assert_eq!((batch.faults.len(), batch.faulty), (FAULTS_MAX, 1));
    assert_eq!(batch.faults_total, 3_001);
}

/// If valid events are stored, every faulty event is reported with at least its first fault.
#[test]
fn every_faulty_event_is_named() {
    let batch = decode([request("").repeat(10_000), integer(2, 1)].concat());
    assert_eq!((batch.faulty, batch.faults_total), (10_000, 20_000));
    assert_eq!(batch.faults.len(), FAULTS_MAX + 9_500);
    let mut indices: Vec<_> = batch
        .faults
        .iter()
        .map(|fault| fault.index.unwrap())
        .collect();
    indices.dedup();
    assert!(indices.into_iter().eq(0..10_000));
    let firsts = &batch.faults[FAULTS_MAX..];
    assert!(firsts.iter().all(|fault| fault.path.ends_with(".name")));
}

/// Every fault of an event is told, in the order of its fields.
#[test]
fn faults_stand_in_the_order_of_fields() {
    let event = message([
        metadata([
            entry("product_id", text("p")),
            entry("b", null()),
            entry("_llm", null()),
            entry("a", null()),
            entry("_cost", null()),
        ]),
        field(10, "p".repeat(129)),
        field(9, ""),
        field(8, ""),
        field(7, "m".repeat(257)),
        field(6, "\0"),
        field(5, "\0"),
        timestamp(i64::MAX, 0),
    ]);
    let paths: Vec<String> = faults_of(event)
        .into_iter()
        .map(|(path, ..)| path)
        .collect();
    let expected = [
        "name",
        "external_customer_id",
        "timestamp",
        "external_id",
        "parent_id",
        "external_member_id",
        "cost.amount",
        "cost.currency",
        "llm.vendor",
        "llm.model",
        "product_id",
        "metadata._cost",
        "metadata._llm",
        "metadata.product_id",
        "metadata.a",
        "metadata.b",
    ];
    assert_eq!(paths, expected.map(|path| format!("events[0].{path}")));
}

/// A batch tells whether any event has one of the reserved names, faulty or not.
#[test]
fn system_events() {
    assert!(system_events::SYSTEM_EVENTS.is_sorted());
    assert!(!decode(request(named())).holds_system_events);
    for name in system_events::SYSTEM_EVENTS {
        let own = message([field(1, name), field(2, "user_123")]);
        for event in [own, field(1, name).to_vec()] {
            let batch = decode([request(named()), request(event)].concat());
            assert!(batch.holds_system_events);
        }
        let longer = message([field(1, format!("{name}s")), field(2, "user_123")]);
        assert!(!decode(request(longer)).holds_system_events);
    }
}

// Texts.

/// A name has 1 to 128 characters, whatever their bytes.
#[test]
fn names() {
    let event = |name: &str| message([field(1, name), field(2, "user_123")]);
    assert_eq!(decode(request(event(&"ß".repeat(128)))).rows.len(), 1);
    let path = "events[0].name".to_owned();
    let required = "the name is absent or empty; it is required".to_owned();
    for absent in [event(""), field(2, "user_123")] {
        assert_eq!(
            faults_of(absent),
            [(path.clone(), "FIELD_REQUIRED", required.clone())]
        );
    }
    let long = "the name has 129 characters; at most 128 are allowed".to_owned();
    assert_eq!(
        faults_of(event(&"ß".repeat(129))),
        [(path, "TEXT_TOO_LONG", long)]
    );
}

/// U+0000 and bytes that are not UTF-8 are refused wherever text stands.
#[test]
fn malformed_texts() {
    const NUL: &str = "holds the character U+0000; every other character is allowed";
    const UTF8: &str = "is not UTF-8; only UTF-8 is allowed";
    for (number, path, what) in [
        (1, "name", "the name"),
        (2, "external_customer_id", "the external customer id"),
        (3, "customer_id", "the customer id"),
        (5, "external_id", "the external id"),
        (6, "parent_id", "the parent id"),
        (7, "external_member_id", "the external member id"),
        (10, "product_id", "the product id"),
    ] {
        assert_fault(
            [field(number, "a\0b")],
            path,
            "TEXT_MALFORMED",
            &format!("{what} {NUL}"),
        );
        assert_fault(
            [field(number, b"\xff")],
            path,
            "TEXT_MALFORMED",
            &format!("{what} {UTF8}"),
        );
    }
    for (member, what) in [
        ("vendor", "the vendor"),
        ("model", "the model"),
        ("prompt", "the prompt"),
    ] {
        let names = [
            entry("vendor", text("v")),
            entry("model", text("m")),
            entry(member, text("\0")),
        ];
        let path = format!("metadata._llm.{member}");
        let llm = metadata([entry("_llm", object(names))]);
        assert_fault([llm], &path, "TEXT_MALFORMED", &format!("{what} {NUL}"));
    }
    let fault = |entry, path, what: &str, why| {
        assert_fault(
            [metadata([entry])],
            path,
            "TEXT_MALFORMED",
            &format!("{what} {why}"),
        );
    };
    fault(
        entry("a\0", text("b")),
        r#"metadata["a\u0000"]"#,
        "the key",
        NUL,
    );
    fault(
        entry(b"a\xff", text("b")),
        "metadata[\"a\u{fffd}\"]",
        "the key",
        UTF8,
    );
    fault(entry("a", text("\0")), "metadata.a", "the text", NUL);
    fault(entry("a", text(b"\xff")), "metadata.a", "the text", UTF8);
    fault(
        entry("a", list([text(b"\xff")])),
        "metadata.a",
        "the text",
        UTF8,
    );
    fault(
        cost(text("1\0")),
        "metadata._cost.amount",
        "the amount",
        NUL,
    );
    fault(cost(text(b"\xff")), "metadata._cost", "the object", UTF8);
}

/// A text that is not UTF-8 is a fault even if a valid text follows: the generated
/// classes would have refused the request.
#[test]
fn a_malformed_text_cannot_be_replaced() {
    assert_eq!(
        faults([field(5, b"\xff"), field(5, "evt-1")])[0].1,
        "TEXT_MALFORMED"
    );
    assert_eq!(
        faults([field(3, b"\xff"), field(2, "user_123")])[0].1,
        "TEXT_MALFORMED"
    );
    let entries = [entry("a", text(b"\xff")), entry("a", text("b"))];
    assert_eq!(faults([metadata(entries)])[0].1, "TEXT_MALFORMED");
    let entries = [entry("_cost", text(b"\xff")), cost(number(1.0))];
    assert_eq!(faults([metadata(entries)])[0].1, "TEXT_MALFORMED");
    let entries = [entry("a", [text(b"\xff"), number(1.0)].concat())];
    assert_eq!(faults([metadata(entries)])[0].1, "TEXT_MALFORMED");
}

/// Optional texts may be empty, which means absent, and have their greatest lengths.
#[test]
fn optional_texts() {
    let batch = valid([field(5, ""), field(6, ""), field(7, ""), field(10, "")]);
    let expected = RowTexts {
        external_id: None,
        external_member_id: None,
        llm: None,
        metadata: "{}",
    };
    assert_eq!(texts(&batch), expected);
    assert_eq!(batch.rows[0].parent, Parent::None);
    let long = "🤖".repeat(256);
    let batch = valid([
        field(5, &long),
        field(6, "p".repeat(256)),
        field(7, &long),
        field(10, "p".repeat(128)),
    ]);
    assert_eq!(texts(&batch).external_id, Some(&*long));
    assert_eq!(texts(&batch).external_member_id, Some(&*long));
    for (number, path, what, chars_max) in [
        (5, "external_id", "the external id", 256),
        (6, "parent_id", "the parent id", 256),
        (7, "external_member_id", "the external member id", 256),
        (10, "product_id", "the product id", 128),
    ] {
        let characters = chars_max + 1;
        let message =
            format!("{what} has {characters} characters; at most {chars_max} are allowed");
        assert_fault(
            [field(number, "x".repeat(characters))],
            path,
            "TEXT_TOO_LONG",
            &message,
        );
    }
}

// Customers.

/// An event names its customer by one of two fields; the last one sent counts.
#[test]
fn customers() {
    let batch = |fields: &[Vec<u8>]| decode(request([field(1, "a"), fields.concat()].concat()));
    let uuid = "1DBFC517-0BBF-4301-9BA8-555CA42B9737";
    let by_id = batch(&[field(2, "user_123"), field(3, uuid)]);
    assert_eq!(by_id.customer_ids, [ids::parse(uuid).unwrap()]);
    assert_eq!(
        (by_id.external_customer_ids.len(), by_id.rows[0].customer),
        (0, Customer::Id(0))
    );
    for fields in [
        [field(3, uuid), field(2, "user_123")],
        [field(2, uuid), field(3, "user_123")],
    ] {
        let by_text = batch(&fields);
        assert!(by_text.external_customer_ids.iter().eq(["user_123"]));
        assert_eq!(by_text.rows[0].customer, Customer::External(0));
    }
}

/// Text that is no UUID means the same in either field, and shares its place.
#[test]
fn customers_share_places() {
    let event = |number, who| request(message([field(1, "a"), field(number, who)]));
    let uuid = "1dbfc517-0bbf-4301-9ba8-555ca42b9737";
    let events = [
        event(2, "x"),
        event(3, "x"),
        event(2, uuid),
        event(3, uuid),
        event(2, "y"),
        event(3, uuid),
    ];
    let batch = decode(events.concat());
    assert!(batch.external_customer_ids.iter().eq(["x", uuid, "y"]));
    assert_eq!(batch.customer_ids.len(), 1);
    let places: Vec<_> = batch
        .rows
        .iter()
        .map(|row| batch.customer_place(row.customer))
        .collect();
    assert_eq!(places, [0, 0, 1, 3, 2, 3]);
}

/// An event without a customer is refused, and so is one whose customer is empty or too long.
#[test]
fn missing_customers() {
    let fault = |event: Vec<u8>, path: &str, reason, message: &str| {
        let expected = (format!("events[0].{path}"), reason, message.to_owned());
        assert_eq!(faults_of([field(1, "a"), event].concat()), [expected]);
    };
    fault(
        vec![],
        "external_customer_id",
        "FIELD_REQUIRED",
        "external_customer_id and customer_id are both absent; one of them is required",
    );
    fault(
        field(2, ""),
        "external_customer_id",
        "FIELD_REQUIRED",
        "the external customer id is absent or empty; it is required",
    );
    fault(
        field(3, ""),
        "customer_id",
        "FIELD_REQUIRED",
        "the customer id is absent or empty; it is required",
    );
    fault(
        field(3, "x".repeat(257)),
        "customer_id",
        "TEXT_TOO_LONG",
        "the customer id has 257 characters; at most 256 are allowed",
    );
}

/// Customers that turn out not to exist take their events with them, as faults
/// among the others in the order of the request.
#[test]
fn customers_that_do_not_exist() {
    let event = |who: &str| request(message([field(1, "a"), field(3, who)]));
    let unknown = "11111111-0bbf-4301-9ba8-555ca42b9737";
    let known = "22222222-0bbf-4301-9ba8-555ca42b9737";
    let events = [
        event(unknown),
        request(""),
        event(known),
        event(unknown),
        event("x"),
    ];
    let batch = decode(events.concat()).without_customers(&[0, 99]);
    assert_eq!(
        batch.rows.iter().map(|row| row.index).collect::<Vec<_>>(),
        [2, 4]
    );
    assert_eq!(batch.faulty, 3);
    let indices: Vec<_> = batch
        .faults
        .iter()
        .map(|fault| fault.index.unwrap())
        .collect();
    assert_eq!(indices, [0, 1, 1, 3]);
    let message = format!(
        "the organization has no customer {unknown}; only the id of one of its customers is allowed"
    );
    let expected = (
        "events[3].customer_id".to_owned(),
        "CUSTOMER_NOT_FOUND",
        message,
    );
    assert_eq!(told(&batch.faults[3]), expected);
    assert_eq!(batch.customer_ids.len(), 2, "the lists stay as they are");

    let many = decode([event(unknown).repeat(2_000), request("")].concat()).without_customers(&[0]);
    assert_eq!((many.faults.len(), many.faulty), (FAULTS_MAX, 2_001));
    assert_eq!(many.faults_total, 2_002);
    assert_eq!(many.faults[FAULTS_MAX - 1].index, Some(999));

    let sent = [event(unknown), request("")].concat().repeat(2_000);
    let all = decode([sent, integer(2, 1)].concat()).without_customers(&[0]);
    assert_eq!((all.faulty, all.faults_total), (4_000, 6_000));
    let mut indices: Vec<_> = all
        .faults
        .iter()
        .map(|fault| fault.index.unwrap())
        .collect();
    assert!(indices.is_sorted());
    indices.dedup();
    assert!(indices.into_iter().eq(0..4_000));
}

/// New customers beyond the limit take their events with them, too.
#[test]
fn customers_beyond_the_limit() {
    let event = |who: &str| request(message([field(1, "a"), field(2, who)]));
    let sent = [event("x"), event("y"), event("x"), event("z")].concat();
    let batch = decode(sent).without_new_customers(&[0, 2, 99], 7);
    assert_eq!(
        batch.rows.iter().map(|row| row.index).collect::<Vec<_>>(),
        [1]
    );
    assert_eq!(batch.faulty, 3);
    let expected = (
        "events[3].external_customer_id".to_owned(),
        "TOO_MANY_CUSTOMERS",
        "the customer \"z\" is new, and the organization may have at most 7 customers".to_owned(),
    );
    assert_eq!(told(&batch.faults[2]), expected);
    assert_eq!(batch.faults[2].facts(), [("customers_max", "7".to_owned())]);
}

/// A product of another type is a fault, also where metadata name a product.
#[test]
fn a_product_that_is_no_text() {
    let body = br#"{"events": [
        {"name": "a", "external_customer_id": "b", "product_id": {}, "metadata": {"product_id": "p"}}
    ]}"#;
    let batch = decode_json::decode_json(body, &context());
    assert_eq!((batch.rows.len(), batch.faulty), (0, 1));
    let told: Vec<_> = batch.faults.iter().map(told).collect();
    assert_eq!(
        (told[0].0.as_str(), told[0].1),
        ("events[0].product_id", "TYPE_UNSUPPORTED")
    );
    assert_eq!(told.len(), 1);
}

// Times.

/// A time is kept to the microsecond, rounded towards the past; without one the arrival counts.
#[test]
fn timestamps() {
    let time = |fields| valid(fields).rows[0].timestamp_us;
    assert_eq!(time([vec![]]), NOW_US);
    assert_eq!(time([timestamp(0, 1)]), 0);
    assert_eq!(time([timestamp(1, 1_999)]), 1_000_001);
    assert_eq!(time([timestamp(-1, 999_999_999)]), -1);
    assert_eq!(
        time([timestamp(-62_135_596_800, 0)]),
        -62_135_596_800_000_000
    );
    let parts = [field(4, integer(1, 5)), field(4, integer(2, 7_000))];
    assert_eq!(
        time([parts.concat()]),
        5_000_007,
        "messages in parts are merged"
    );
}

/// The very zero of a message is what arrives where a client failed to fill it.
#[test]
fn timestamps_of_zero() {
    for zero in [field(4, ""), timestamp(0, 0)] {
        assert_fault(
            [zero],
            "timestamp",
            "TIMESTAMP_ZERO",
            "the time 1970-01-01T00:00:00Z is 0 seconds and 0 nanoseconds, which is what arrives when \
             a client failed to write a time; set seconds and nanos, as in \
             {\"seconds\": 1795435200, \"nanos\": 0}",
        );
    }
}

/// A time outside the years 1 to 9999 is no time.
#[test]
fn timestamps_out_of_range() {
    for (seconds, nanos) in [
        (-62_135_596_801, 0),
        (253_402_300_800, 0),
        (i64::MIN, 0),
        (i64::MAX, 999_999_999),
        (0, -1),
        (0, 1_000_000_000),
    ] {
        let message = format!(
            "the time {seconds}s {nanos}ns is out of range; the years 1 to 9999 are allowed"
        );
        assert_fault(
            [timestamp(seconds, nanos)],
            "timestamp",
            "TIMESTAMP_OUT_OF_RANGE",
            &message,
        );
    }
}

/// A time may lie ahead by the skew of clocks, and not by a microsecond more.
#[test]
fn timestamps_ahead() {
    let max_us = NOW_US + Limits::default().clock_skew_us;
    let at = |us: i64, nanos: i64| timestamp(us / 1_000_000, us % 1_000_000 * 1_000 + nanos);
    assert_eq!(valid([at(max_us, 999)]).rows[0].timestamp_us, max_us);
    let message = "the time 2026-11-23T12:09:14.123457Z is in the future; \
                   at most 2026-11-23T12:09:14.123456Z is allowed";
    assert_fault(
        [at(max_us + 1, 0)],
        "timestamp",
        "TIMESTAMP_IN_FUTURE",
        message,
    );
}

/// A clock at the end of time stops no request.
#[test]
fn clocks_at_the_end_of_time() {
    for (now_us, skew_us) in [(i64::MAX, i64::MAX), (i64::MIN, i64::MIN)] {
        let mut context = context();
        context.now_us = now_us;
        context.limits.clock_skew_us = skew_us;
        let event = request([named(), timestamp(0, 0)].concat());
        let batch = decode::decode(&event, &context);
        assert_eq!(batch.rows.len() + batch.faulty, 1);
    }
}

// Parents.

/// A parent is named by its id if that is a UUID of version 8, by its external id otherwise.
#[test]
fn parents() {
    let organization_id = context().organization_id;
    let parent = |text: &str| valid([field(6, text)]).rows[0].parent;
    let by_external_id = |text| Parent::Id(ids::event_id(&organization_id, text));
    let version_8 = "11111111-2222-8333-8444-555555555555";
    assert_eq!(
        parent(version_8),
        Parent::Id(ids::parse(version_8).unwrap())
    );
    for text in [
        "call-17",
        "1dbfc517-0bbf-4301-9ba8-555ca42b9737",
        "11111111-2222-8333-c444-555555555555",
        "{11111111-2222-8333-8444-555555555555}",
    ] {
        assert_eq!(parent(text), by_external_id(text), "{text}");
    }
}

/// A UUID of version 7 may be an id or an external id: both readings are kept.
#[test]
fn uncertain_parents() {
    let text = "01890A5D-ac96-774b-bcce-b302099a8057";
    let event = request([named(), field(6, text)].concat());
    let batch = decode(event.repeat(2));
    assert_eq!(batch.uncertain_parents, [ids::parse(text).unwrap()]);
    let by_external_id = ids::event_id(&context().organization_id, text);
    for row in &batch.rows {
        assert_eq!(
            row.parent,
            Parent::Uncertain {
                place: 0,
                by_external_id
            }
        );
    }
}

/// An event cannot be its own parent, by external id or by id.
#[test]
fn parents_that_are_the_event() {
    let own = ids::format(&ids::event_id(&context().organization_id, "call-17"));
    for parent in ["call-17", &own, &own.to_uppercase()] {
        let message =
            format!("the parent \"{parent}\" is the event itself; only another event is allowed");
        let event = [field(5, "call-17"), field(6, parent)];
        assert_fault(event, "parent_id", "PARENT_IS_SELF", &message);
    }
    valid([field(5, "call-17"), field(6, "call-18")]);
    valid([field(6, &own)]);
}

// Costs.

/// A cost may stand in its field or in the metadata, as text or there as a number.
#[test]
fn costs() {
    let picocents = |fields| valid(fields).rows[0].cost.map(|cost| cost.get());
    let typed = |amount: &str| field(8, message([field(1, amount), field(2, "usd")]));
    assert_eq!(picocents([vec![]]), None);
    assert_eq!(picocents([typed("0.025")]), Some(25_000_000_000));
    assert_eq!(picocents([typed("-0")]), Some(0));
    assert_eq!(
        picocents([metadata([cost(text("0.025"))])]),
        Some(25_000_000_000)
    );
    assert_eq!(
        picocents([metadata([cost(number(0.1 + 0.2))])]),
        Some(300_000_000_000)
    );
    assert_eq!(
        texts(&valid([metadata([cost(number(1.0))])])).metadata,
        "{}"
    );
}

/// An amount that cannot be kept exactly is refused with its value and the limits.
#[test]
fn refused_amounts() {
    for (value, reason, message) in [
        (
            text("1e-13"),
            "AMOUNT_TOO_PRECISE",
            "the amount 1e-13 has 13 decimals; at most 17 digits of which at most 12 decimals are allowed",
        ),
        (
            text("123456.123456789012"),
            "AMOUNT_TOO_PRECISE",
            "the amount 123456.123456789012 has 18 digits; \
             at most 17 digits of which at most 12 decimals are allowed",
        ),
        (
            text("9000000.01"),
            "AMOUNT_OUT_OF_RANGE",
            "the amount 9000000.01 is out of range; -9000000 to 9000000 cents are allowed",
        ),
        (
            number(-1e300),
            "AMOUNT_OUT_OF_RANGE",
            "the amount -1e+300 is out of range; -9000000 to 9000000 cents are allowed",
        ),
        (
            text("1,5"),
            "AMOUNT_MALFORMED",
            "the amount \"1,5\" is not a decimal number such as 0.025",
        ),
        (
            number(f64::NAN),
            "AMOUNT_MALFORMED",
            "the amount \"NaN\" is not a decimal number such as 0.025",
        ),
        (
            text(""),
            "FIELD_REQUIRED",
            "the amount is absent or empty; it is required",
        ),
        (
            null(),
            "TYPE_UNSUPPORTED",
            "the value has the type null; allowed: number, text",
        ),
        (
            boolean(true),
            "TYPE_UNSUPPORTED",
            "the value has the type boolean; allowed: number, text",
        ),
        (
            object([]),
            "TYPE_UNSUPPORTED",
            "the value has the type object; allowed: number, text",
        ),
    ] {
        assert_fault(
            [metadata([cost(value)])],
            "metadata._cost.amount",
            reason,
            message,
        );
    }
    let empty = field(8, field(2, "usd"));
    let message = "the amount is absent or empty; it is required";
    assert_fault([empty], "cost.amount", "FIELD_REQUIRED", message);
}

/// The currency is usd in any letter case, as a whole.
#[test]
fn currencies() {
    let currency = |value: Vec<u8>| {
        metadata([entry(
            "_cost",
            object([entry("amount", number(1.0)), value]),
        )])
    };
    for usd in ["usd", "USD", "uSd"] {
        valid([currency(entry("currency", text(usd)))]);
    }
    for other in ["eur", "xusdx", " usd", "us"] {
        let message = format!("the currency \"{other}\" is not supported; only usd is allowed");
        let event = [currency(entry("currency", text(other)))];
        assert_fault(
            event,
            "metadata._cost.currency",
            "CURRENCY_UNSUPPORTED",
            &message,
        );
    }
    let required = "the currency is absent or empty; it is required";
    for absent in [vec![], entry("currency", text(""))] {
        assert_fault(
            [currency(absent)],
            "metadata._cost.currency",
            "FIELD_REQUIRED",
            required,
        );
    }
    let message = "the value has the type number; allowed: text";
    let event = [currency(entry("currency", number(1.0)))];
    assert_fault(
        event,
        "metadata._cost.currency",
        "TYPE_UNSUPPORTED",
        message,
    );
}

/// A field and its twin in the metadata are one too many, even if one says nothing.
#[test]
fn twins() {
    let typed = field(8, message([field(1, "1"), field(2, "usd")]));
    for value in [cost(number(1.0)), entry("_cost", null())] {
        let message =
            "events[0].cost is also given and means the same; only one of them is allowed";
        let event = [typed.clone(), metadata([value])];
        assert_fault(event, "metadata._cost", "FIELDS_CONFLICT", message);
    }
    let typed = field(9, message([field(1, "v"), field(2, "m")]));
    let message = "events[0].llm is also given and means the same; only one of them is allowed";
    let event = [typed, metadata([entry("_llm", null())])];
    assert_fault(event, "metadata._llm", "FIELDS_CONFLICT", message);
    let message =
        "events[0].product_id is also given and means the same; only one of them is allowed";
    let event = [field(10, "p"), metadata([entry("product_id", text("p"))])];
    assert_fault(event, "metadata.product_id", "FIELDS_CONFLICT", message);
}

/// A product may be named by the metadata, where it stays, also by a whole number that a
/// double holds exactly; what could be no product id is metadata like any other.
#[test]
fn products_in_metadata() {
    let product_id = |value: Vec<u8>| metadata([entry("product_id", value)]);
    let product_of = |batch: &EventBatch| batch.series().next().unwrap()[3].to_owned();
    for named in ["p".to_owned(), "ß".repeat(128)] {
        let batch = valid([product_id(text(&named))]);
        assert_eq!(product_of(&batch), named);
        let kept = format!("{{\"product_id\":\"{named}\"}}");
        assert_eq!(texts(&batch).metadata, kept);
    }
    let most = 9_007_199_254_740_991.0;
    for (value, named) in [
        (7.0, "7"),
        (-0.0, "0"),
        (-7.0, "-7"),
        (most, "9007199254740991"),
    ] {
        let batch = valid([product_id(number(value))]);
        assert_eq!(product_of(&batch), named);
        assert_eq!(
            texts(&batch).metadata,
            format!("{{\"product_id\":{named}}}")
        );
    }
    for value in [
        text("p".repeat(129)),
        number(1.5),
        number(most + 1.0),
        number(1e300),
        boolean(true),
    ] {
        let batch = valid([product_id(value.clone())]);
        assert_eq!(product_of(&batch), "");
        assert_ne!(texts(&batch).metadata, "{}");
        let batch = valid([field(10, "p"), product_id(value)]);
        assert_eq!(product_of(&batch), "p");
    }
    let empty = "the text is empty; at least 1 character is required";
    let event = [field(10, "p"), product_id(text(""))];
    assert_fault(event, "metadata.product_id", "FIELD_REQUIRED", empty);
}

/// A product that the metadata names is a part of what two events must share.
#[test]
fn products_in_metadata_are_content() {
    let digest = |fields: Vec<u8>| valid([field(5, "evt-1"), fields]).rows[0].content_digest;
    let named = digest(metadata([entry("product_id", text("p"))]));
    assert_ne!(named, digest(metadata([entry("product_id", text("q"))])));
    assert_ne!(named, digest(field(10, "p")));
}

/// Only an object can stand under a special key; keys without a meaning are passed over in it.
#[test]
fn special_keys_hold_objects() {
    for (value, name) in [
        (null(), "null"),
        (number(1.0), "number"),
        (list([]), "list"),
        (text("1"), "text"),
    ] {
        for key in ["_cost", "_llm"] {
            let message = format!("the value has the type {name}; allowed: object");
            let event = [metadata([entry(key, value.clone())])];
            assert_fault(
                event,
                &format!("metadata.{key}"),
                "TYPE_UNSUPPORTED",
                &message,
            );
        }
    }
    let members = [
        entry("amount", number(1.0)),
        entry("currency", text("usd")),
        entry("note", list([object([entry("deep", null())])])),
        entry("", null()),
    ];
    valid([metadata([entry("_cost", object(members))])]);
}

// LLM calls.

/// Vendor and model go into the series, the rest into JSON, the same from both places.
#[test]
fn llm_calls() {
    let typed = field(
        9,
        message([
            field(1, "openai"),
            field(2, "gpt-4"),
            integer(3, 57),
            integer(6, 0),
            field(7, "a\"b"),
            field(8, ""),
        ]),
    );
    let members = [
        entry("response", text("")),
        entry("prompt", text("a\"b")),
        entry("cached_input_tokens", number(0.0)),
        entry("input_tokens", number(57.0)),
        entry("model", text("gpt-4")),
        entry("vendor", text("openai")),
    ];
    let json = r#"{"input_tokens":57,"output_tokens":0,"total_tokens":0,"cached_input_tokens":0,"prompt":"a\"b","response":""}"#;
    for fields in [typed, metadata([entry("_llm", object(members))])] {
        let batch = valid([fields]);
        assert!(
            batch
                .series()
                .eq([["llm.inference", "openai", "gpt-4", ""]])
        );
        assert_eq!(texts(&batch).llm, Some(json));
        assert_eq!(texts(&batch).metadata, "{}");
    }
}

/// A member of metadata that may be null counts as absent if it is null.
#[test]
fn llm_members_that_are_null() {
    let members = [
        entry("vendor", text("v")),
        entry("model", text("m")),
        entry("cached_input_tokens", null()),
        entry("prompt", null()),
        entry("response", vec![]),
    ];
    let batch = valid([metadata([entry("_llm", object(members))])]);
    let json = r#"{"input_tokens":0,"output_tokens":0,"total_tokens":0}"#;
    assert_eq!(texts(&batch).llm, Some(json));
}

/// Counts of tokens are whole numbers from 0 to 2⁵³.
#[test]
fn token_counts() {
    let llm = |member: Vec<u8>| {
        metadata([entry(
            "_llm",
            object([
                entry("vendor", text("v")),
                entry("model", text("m")),
                member,
            ]),
        )])
    };
    valid([llm(entry("input_tokens", number(9_007_199_254_740_992.0)))]);
    for (value, shown) in [
        (-1.0, "-1"),
        (1.5, "1.5"),
        (9_007_199_254_740_994.0, "9007199254740994.0"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "inf"),
        (1e300, "1e+300"),
    ] {
        let message = format!(
            "the number {shown} is not allowed; it must be whole and from 0 to 9007199254740992"
        );
        let event = [llm(entry("total_tokens", number(value)))];
        assert_fault(
            event,
            "metadata._llm.total_tokens",
            "NUMBER_OUT_OF_RANGE",
            &message,
        );
    }
    for (value, allowed) in [
        ("input_tokens", "number"),
        ("cached_input_tokens", "number, null"),
    ] {
        let message = format!("the value has the type text; allowed: {allowed}");
        let event = [llm(entry(value, text("1")))];
        assert_fault(
            event,
            &format!("metadata._llm.{value}"),
            "TYPE_UNSUPPORTED",
            &message,
        );
    }
    let null_count = [llm(entry("input_tokens", null()))];
    let message = "the value has the type null; allowed: number";
    assert_fault(
        null_count,
        "metadata._llm.input_tokens",
        "TYPE_UNSUPPORTED",
        message,
    );
    let typed = field(9, message_of_llm([integer(4, -1)]));
    let message = "the number -1 is not allowed; it must be whole and from 0 to 9007199254740992";
    assert_fault([typed], "llm.output_tokens", "NUMBER_OUT_OF_RANGE", message);
}

fn message_of_llm<const N: usize>(fields: [Vec<u8>; N]) -> Vec<u8> {
    [field(1, "v"), field(2, "m"), fields.concat()].concat()
}

/// Vendor and model are texts of 1 to 128 characters; prompt and response are texts.
#[test]
fn llm_texts() {
    let typed = |vendor: &str| field(9, message([field(1, vendor), field(2, "m")]));
    let required = "the vendor is absent or empty; it is required";
    assert_fault([typed("")], "llm.vendor", "FIELD_REQUIRED", required);
    let long = "the vendor has 129 characters; at most 128 are allowed";
    assert_fault(
        [typed(&"v".repeat(129))],
        "llm.vendor",
        "TEXT_TOO_LONG",
        long,
    );
    let llm = |key, value| {
        let vendor = entry("vendor", text("v"));
        metadata([entry(
            "_llm",
            object([vendor, entry("model", text("m")), entry(key, value)]),
        )])
    };
    let message = "the value has the type null; allowed: text";
    assert_fault(
        [llm("model", null())],
        "metadata._llm.model",
        "TYPE_UNSUPPORTED",
        message,
    );
    let message = "the value has the type number; allowed: text, null";
    assert_fault(
        [llm("prompt", number(1.0))],
        "metadata._llm.prompt",
        "TYPE_UNSUPPORTED",
        message,
    );
}

// Metadata.

/// Metadata is stored as canonical JSON, without the special keys.
#[test]
fn metadata_is_canonical() {
    let entries = [
        entry("z", boolean(false)),
        entry("ä", text("\n")),
        cost(number(1.0)),
        entry("B", number(-0.0)),
        entry("a b", number(0.5)),
        entry("a", number(1e21)),
    ];
    let json = r#"{"B":0,"a":1e+21,"a b":0.5,"z":false,"ä":"\u000a"}"#;
    assert_eq!(texts(&valid([metadata(entries)])).metadata, json);
}

/// The last value of a repeated key counts; parts of the struct are merged.
#[test]
fn the_last_value_of_a_key_counts() {
    let parts = [
        metadata([entry("a", number(1.0)), entry("b", number(1.0))]),
        metadata([entry("b", null()), entry("b", text("2")), cost(text("bad"))]),
        metadata([cost(number(3.0))]),
    ];
    let batch = valid([parts.concat()]);
    assert_eq!(texts(&batch).metadata, r#"{"a":1,"b":"2"}"#);
    assert_eq!(
        batch.rows[0].cost.map(|cost| cost.get()),
        Some(3_000_000_000_000)
    );
}

/// Objects that come in parts within one value are merged; after another value they start anew.
#[test]
fn objects_in_parts() {
    let parts = [
        object([entry("amount", number(1.0)), entry("currency", text("eur"))]),
        object([entry("currency", text("usd"))]),
    ];
    valid([metadata([entry("_cost", parts.concat())])]);
    let anew = [
        object([entry("amount", number(1.0))]),
        null(),
        object([entry("currency", text("usd"))]),
    ];
    let message = "the amount is absent or empty; it is required";
    let event = [metadata([entry("_cost", anew.concat())])];
    assert_fault(event, "metadata._cost.amount", "FIELD_REQUIRED", message);
}

/// Value and key of an entry may come in any order, and either may be missing.
#[test]
fn entries_in_any_order() {
    let reversed = field(
        1,
        message([
            field(
                2,
                object([entry("amount", number(1.0)), entry("currency", text("usd"))]),
            ),
            field(1, "_cost"),
        ]),
    );
    assert!(valid([metadata([reversed])]).rows[0].cost.is_some());
    let without_value = [metadata([field(1, field(1, "a"))])];
    let message = "the value has the type null; allowed: number, boolean, text";
    assert_fault(without_value, "metadata.a", "TYPE_UNSUPPORTED", message);
    let without_key = [metadata([field(1, field(2, number(1.0)))])];
    let message = "the key is empty; at least 1 character is required";
    assert_fault(without_key, "metadata[\"\"]", "FIELD_REQUIRED", message);
}

/// An entry with a field that nobody knows is unknown as a whole, as it is to the generated classes.
#[test]
fn entries_with_unknown_fields() {
    let unknown = field(1, message([field(1, "a"), field(2, null()), integer(9, 1)]));
    assert_eq!(texts(&valid([metadata([unknown])])).metadata, "{}");
}

/// Numbers, booleans and texts can be kept, and nothing else.
#[test]
fn metadata_types() {
    for (value, name) in [
        (null(), "null"),
        (vec![], "null"),
        (list([number(1.0)]), "list"),
        (object([entry("a", number(1.0))]), "object"),
    ] {
        let message = format!("the value has the type {name}; allowed: number, boolean, text");
        let event = [metadata([entry("tags", value)])];
        assert_fault(event, "metadata.tags", "TYPE_UNSUPPORTED", &message);
    }
    for (value, shown) in [(f64::NAN, "NaN"), (f64::NEG_INFINITY, "-inf")] {
        let message = format!("the number {shown} is not allowed; it must be finite");
        let event = [metadata([entry("a", number(value))])];
        assert_fault(event, "metadata.a", "NUMBER_OUT_OF_RANGE", &message);
    }
}

/// Keys and texts in the metadata have 1 to so many characters.
#[test]
fn metadata_lengths() {
    let (key, value) = ("ß".repeat(128), "ß".repeat(2_000));
    valid([metadata([entry(&key, text(&value))])]);
    let long = [metadata([entry("k".repeat(129), number(1.0))])];
    let path = format!("metadata[\"{}…\"]", "k".repeat(63));
    let message = "the key has 129 characters; at most 128 are allowed";
    assert_fault(long, &path, "TEXT_TOO_LONG", message);
    let long = [metadata([entry("a", text("x".repeat(2_001)))])];
    let message = "the text has 2001 characters; at most 2000 are allowed";
    assert_fault(long, "metadata.a", "TEXT_TOO_LONG", message);
    let empty = [metadata([entry("a", text(""))])];
    let message = "the text is empty; at least 1 character is required";
    assert_fault(empty, "metadata.a", "FIELD_REQUIRED", message);
}

/// An event has at most 128 keys, those that are special not counted.
#[test]
fn metadata_keys() {
    let keys = |count: usize| {
        let entries = (0..count).map(|key| entry(format!("key_{key}"), number(1.0)));
        field(
            11,
            entries
                .chain([cost(number(1.0))])
                .collect::<Vec<_>>()
                .concat(),
        )
    };
    valid([keys(128)]);
    valid([keys(128).repeat(100)]);
    let message = "the metadata has 129 keys; at most 128 are allowed";
    assert_fault([keys(129)], "metadata", "METADATA_TOO_MANY_KEYS", message);
    let message = "the metadata has more than 4096 keys; at most 128 are allowed";
    assert_fault(
        [keys(10_000)],
        "metadata",
        "METADATA_TOO_MANY_KEYS",
        message,
    );
}

/// The stored form of metadata and LLM call together is bounded.
#[test]
fn event_sizes() {
    let llm = field(9, message_of_llm([field(7, "p".repeat(30_000))]));
    let json = r#"{"input_tokens":0,"output_tokens":0,"total_tokens":0,"prompt":""}"#;
    let rest = 32_768 - 30_000 - json.len() - r#"{"a":"","b":""}"#.len();
    let event = |bytes: usize| {
        let texts = [
            entry("a", text("a".repeat(1_500))),
            entry("b", text("b".repeat(bytes - 1_500))),
        ];
        [llm.clone(), metadata(texts)]
    };
    valid(event(rest));
    let message = "the event takes 32769 bytes to store; at most 32768 are allowed";
    assert_fault(event(rest + 1), "metadata", "EVENT_TOO_LARGE", message);
}

/// Values nested as deep as protobuf takes them are told by their path, deeper ones are malformed.
#[test]
fn nesting_is_bounded() {
    let nested = |depth| {
        let value = (0..depth).fold(null(), |value, _| field(6, field(1, value)));
        request([named(), metadata([entry("deep", value)])].concat())
    };
    // A list in a list is two messages deeper, and the outermost value is the fourth.
    let deepest = decode(nested(48));
    assert_eq!(&*deepest.faults[0].path, "events[0].metadata.deep");
    for depth in [49, 10_000] {
        assert_eq!(
            decode(nested(depth)).faults[0].kind.reason(),
            "MALFORMED_REQUEST"
        );
    }
}

// Identity and series.

/// With an external id the event's id is a function of it; without, it is made from the entropy.
#[test]
fn ids() {
    let keyed = valid([field(5, "evt-1")]);
    assert_eq!(
        keyed.rows[0].id,
        ids::event_id(&context().organization_id, "evt-1")
    );
    assert_ne!(keyed.rows[0].content_digest, 0);
    let made = valid([]);
    assert_eq!(ids::version(&made.rows[0].id), Some(7));
    assert_eq!(made.rows[0].content_digest, 0);
    let ids: Vec<Uuid> = decode(request(named()).repeat(3))
        .rows
        .iter()
        .map(|row| row.id)
        .collect();
    assert!(ids.is_sorted() && ids[0] != ids[1] && ids[1] != ids[2]);
}

/// Events are of one series if name, vendor, model and product are the same.
#[test]
fn series() {
    let event = |fields: &[Vec<u8>]| request([named(), fields.concat()].concat());
    let llm = field(9, message_of_llm([]));
    let events = [
        event(&[]),
        event(std::slice::from_ref(&llm)),
        event(&[field(10, "p")]),
        event(&[llm, field(10, "p")]),
        event(&[field(10, "")]),
    ];
    let batch = decode(events.concat());
    assert_eq!(
        batch.rows.iter().map(|row| row.series).collect::<Vec<_>>(),
        [0, 1, 2, 3, 0]
    );
    let name = "llm.inference";
    let expected = [
        [name, "", "", ""],
        [name, "v", "m", ""],
        [name, "", "", "p"],
        [name, "v", "m", "p"],
    ];
    assert!(batch.series().eq(expected));
}

/// Fields that are unknown, or of another type than the proto says, are skipped.
#[test]
fn unknown_fields() {
    let odd = [
        integer(1, 5),
        integer(8, 5),
        double(11, 1.0),
        field(99, "?"),
        vec![0xa3, 0x06, 0x08, 0x01, 0xa4, 0x06],
        field(
            8,
            message([field(1, "1"), field(2, "usd"), field(9, "?"), integer(1, 3)]),
        ),
    ];
    let batch = valid([odd.concat()]);
    assert_eq!(
        batch.rows[0].cost.map(|cost| cost.get()),
        Some(1_000_000_000_000)
    );
}
