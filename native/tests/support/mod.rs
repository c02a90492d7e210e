//! Writes requests as bytes, as a generated class would, and as none would.
#![allow(
    dead_code,
    reason = "each test and benchmark that includes this uses a part of it"
)]

use cost_insights_native::events::check::Context;
use cost_insights_native::events::limits::Limits;

/// When the requests of tests arrive: 2026-11-23T12:08:14.123456Z.
pub const NOW_US: i64 = 1_795_435_694_123_456;

/// A context with the usual limits.
pub fn context() -> Context {
    Context {
        organization_id: *b"\x11\x11\x11\x11\x22\x22\x83\x33\x84\x44\x55\x55\x55\x55\x55\x55",
        now_us: NOW_US,
        entropy: [7; 32],
        limits: Limits::default(),
    }
}

pub fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A field of a message that is being written.
pub fn field(number: u32, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut bytes = varint(u64::from(number) << 3 | 2);
    bytes.extend(varint(content.len() as u64));
    bytes.extend(content);
    bytes
}

pub fn integer(number: u32, value: i64) -> Vec<u8> {
    let mut bytes = varint(u64::from(number) << 3);
    bytes.extend(varint(value as u64));
    bytes
}

pub fn double(number: u32, value: f64) -> Vec<u8> {
    let mut bytes = varint(u64::from(number) << 3 | 1);
    bytes.extend(value.to_bits().to_le_bytes());
    bytes
}

/// Several fields one after the other.
pub fn message<const N: usize>(fields: [Vec<u8>; N]) -> Vec<u8> {
    fields.concat()
}

/// An entry of a `google.protobuf.Struct`; `value` is a `google.protobuf.Value`.
pub fn entry(key: impl AsRef<[u8]>, value: Vec<u8>) -> Vec<u8> {
    field(1, message([field(1, key), field(2, value)]))
}

pub fn null() -> Vec<u8> {
    integer(1, 0)
}

pub fn number(value: f64) -> Vec<u8> {
    double(2, value)
}

pub fn text(value: impl AsRef<[u8]>) -> Vec<u8> {
    field(3, value)
}

pub fn boolean(value: bool) -> Vec<u8> {
    integer(4, value.into())
}

pub fn object<const N: usize>(entries: [Vec<u8>; N]) -> Vec<u8> {
    field(5, entries.concat())
}

pub fn list<const N: usize>(values: [Vec<u8>; N]) -> Vec<u8> {
    field(6, values.map(|value| field(1, value)).concat())
}

/// The field `metadata` of an event.
pub fn metadata<const N: usize>(entries: [Vec<u8>; N]) -> Vec<u8> {
    field(11, entries.concat())
}

/// The fields `name` and `external_customer_id`, without which no event is valid.
pub fn named() -> Vec<u8> {
    message([field(1, "llm.inference"), field(2, "user_123")])
}

/// A request of one event.
pub fn request(event: impl AsRef<[u8]>) -> Vec<u8> {
    field(1, event)
}

/// A request of events like those of the documentation, of a few customers.
pub fn documented(events: usize) -> Vec<u8> {
    let cost = |amount: f64| {
        entry(
            "_cost",
            object([
                entry("amount", number(amount)),
                entry("currency", text("usd")),
            ]),
        )
    };
    let event = |index: usize| {
        let customer = field(2, format!("user_{}", index % 97));
        match index % 5 {
            0 => message([field(1, "llm.inference"), customer, metadata([cost(0.025)])]),
            1 => message([
                field(1, "video.processing"),
                customer,
                metadata([
                    cost(45.5),
                    entry("duration_seconds", number(120.0)),
                    entry("resolution", text("1080p")),
                ]),
            ]),
            2 => message([
                field(1, "email.sent"),
                customer,
                metadata([
                    cost(0.0001),
                    entry("provider", text("sendgrid")),
                    entry("recipients", number(1.0)),
                ]),
            ]),
            3 => message([
                field(1, "llm.completion"),
                customer,
                metadata([
                    cost(0.000125),
                    entry("model", text("gpt-4-turbo")),
                    entry("tokens", number(1000.0)),
                    entry("feature", text("chatbot")),
                ]),
            ]),
            _ => message([
                field(1, "gpt4.completion"),
                field(3, "cus_abc123"),
                metadata([
                    cost(0.045000000000000005),
                    entry(
                        "_llm",
                        object([
                            entry("vendor", text("openai")),
                            entry("model", text("gpt-4")),
                            entry("input_tokens", number(57.0)),
                            entry("output_tokens", number(123.0)),
                            entry("total_tokens", number(180.0)),
                        ]),
                    ),
                ]),
            ]),
        }
    };
    (0..events)
        .flat_map(|index| request(event(index)))
        .collect()
}
