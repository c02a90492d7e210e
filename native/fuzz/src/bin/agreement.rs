//! One request in both formats: what is stored of it, and what is wrong with it, is the same.
#![no_main]

#[path = "../../../tests/support/accounting.rs"]
mod accounting;
#[path = "../../../tests/support/mod.rs"]
mod support;

use std::collections::HashSet;
use std::sync::Arc;

use cost_insights_native::commit::batches::{Commit, Member};
use cost_insights_native::commit::pg_copy;
use cost_insights_native::events::batch::EventBatch;
use cost_insights_native::events::decode::decode;
use cost_insights_native::events::decode_json::decode_json;
use cost_insights_native::time::rfc3339;
use cost_insights_native::wire::DEPTH_MAX;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use support::{boolean, entry, field, integer, null, number, request, text};

#[derive(Arbitrary, Debug)]
struct Event<'a> {
    name: &'a str,
    customer: Customer<'a>,
    time_us: Option<u64>,
    /// External id, parent, member and product.
    texts: [&'a str; 4],
    cost: Option<(&'a str, &'a str)>,
    llm: Option<(&'a str, &'a str, i32)>,
    metadata: Option<Vec<(Key<'a>, Json<'a>)>>,
}

#[derive(Arbitrary, Debug)]
enum Customer<'a> {
    External(&'a str),
    Id(&'a str),
    Nobody,
}

#[derive(Arbitrary, Debug)]
enum Key<'a> {
    Cost,
    Llm,
    Amount,
    Currency,
    Vendor,
    Model,
    Tokens,
    Text(&'a str),
}

impl<'a> Key<'a> {
    fn text(&self) -> &'a str {
        match self {
            Self::Cost => "_cost",
            Self::Llm => "_llm",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::Vendor => "vendor",
            Self::Model => "model",
            Self::Tokens => "input_tokens",
            Self::Text(text) => text,
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Json<'a> {
    Null,
    Bool(bool),
    Integer(i32),
    /// Picocents, as a decimal number.
    Amount(i64),
    Number(f64),
    Text(&'a str),
    Usd,
    List(Vec<Json<'a>>),
    Object(Vec<(Key<'a>, Json<'a>)>),
}

impl Json<'_> {
    fn double(&self) -> f64 {
        match self {
            Self::Integer(number) => f64::from(*number),
            Self::Amount(picocents) => *picocents as f64 / 1e12,
            Self::Number(number) if number.is_finite() => *number,
            _ => 0.0,
        }
    }

    /// How many messages lie in each other in protobuf, the `Value` itself included.
    fn levels(&self) -> usize {
        match self {
            Self::List(items) => 2 + items.iter().map(Self::levels).max().unwrap_or(0),
            Self::Object(members) => {
                3 + members
                    .iter()
                    .map(|(_, value)| value.levels())
                    .max()
                    .unwrap_or(0)
            }
            _ => 1,
        }
    }

    /// As a `google.protobuf.Value`.
    fn protobuf(&self) -> Vec<u8> {
        match self {
            Self::Null => null(),
            Self::Bool(flag) => boolean(*flag),
            Self::Integer(_) | Self::Amount(_) | Self::Number(_) => number(self.double()),
            Self::Text(content) => text(content),
            Self::Usd => text("usd"),
            Self::List(items) => {
                let items = items.iter().flat_map(|item| field(1, item.protobuf()));
                field(6, items.collect::<Vec<_>>())
            }
            Self::Object(members) => field(5, struct_of(members)),
        }
    }

    fn json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Self::Integer(_) | Self::Amount(_) | Self::Number(_) => {
                out.push_str(&format!("{:?}", self.double()));
            }
            Self::Text(content) => push_text(out, content),
            Self::Usd => out.push_str("\"usd\""),
            Self::List(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    out.push_str(if place > 0 { "," } else { "" });
                    item.json(out);
                }
                out.push(']');
            }
            Self::Object(members) => push_members(out, members),
        }
    }
}

fn struct_of(members: &[(Key<'_>, Json<'_>)]) -> Vec<u8> {
    let entries = members
        .iter()
        .map(|(key, value)| entry(key.text(), value.protobuf()));
    entries.collect::<Vec<_>>().concat()
}

fn push_members(out: &mut String, members: &[(Key<'_>, Json<'_>)]) {
    out.push('{');
    for (place, (key, value)) in members.iter().enumerate() {
        out.push_str(if place > 0 { "," } else { "" });
        push_text(out, key.text());
        out.push(':');
        value.json(out);
    }
    out.push('}');
}

fn push_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

const TEXTS: [(u32, &str); 4] = [
    (5, "external_id"),
    (6, "parent_id"),
    (7, "external_member_id"),
    (10, "product_id"),
];
const YEARS_100_US: u64 = 100 * 366 * 86_400 * 1_000_000;

impl Event<'_> {
    fn protobuf(&self) -> Vec<u8> {
        let mut out = field(1, self.name);
        match self.customer {
            Customer::External(id) => out.extend(field(2, id)),
            Customer::Id(id) => out.extend(field(3, id)),
            Customer::Nobody => {}
        }
        if let Some(us) = self.time_us {
            let us = (us % YEARS_100_US) as i64;
            let parts = [
                integer(1, us.div_euclid(1_000_000)),
                integer(2, us.rem_euclid(1_000_000) * 1_000),
            ];
            out.extend(field(4, parts.concat()));
        }
        for ((number, _), text) in TEXTS.into_iter().zip(self.texts) {
            if !text.is_empty() {
                out.extend(field(number, text));
            }
        }
        if let Some((amount, currency)) = self.cost {
            out.extend(field(8, [field(1, amount), field(2, currency)].concat()));
        }
        if let Some((vendor, model, tokens)) = self.llm {
            let parts = [field(1, vendor), field(2, model), integer(3, tokens.into())];
            out.extend(field(9, parts.concat()));
        }
        if let Some(metadata) = &self.metadata {
            out.extend(field(11, struct_of(metadata)));
        }
        out
    }

    fn json(&self, out: &mut String) {
        let mut member = |name: &str, write: &dyn Fn(&mut String)| {
            out.push_str(if out.ends_with('{') { "\"" } else { ",\"" });
            out.push_str(name);
            out.push_str("\":");
            write(out);
        };
        let mut text = |name: &str, text: &str| member(name, &|out| push_text(out, text));
        text("name", self.name);
        match self.customer {
            Customer::External(id) => text("external_customer_id", id),
            Customer::Id(id) => text("customer_id", id),
            Customer::Nobody => {}
        }
        if let Some(us) = self.time_us {
            text("timestamp", &rfc3339((us % YEARS_100_US) as i64));
        }
        for ((_, name), content) in TEXTS.into_iter().zip(self.texts) {
            if !content.is_empty() {
                text(name, content);
            }
        }
        if let Some((amount, currency)) = self.cost {
            member("cost", &|out| {
                out.push_str("{\"amount\":");
                push_text(out, amount);
                out.push_str(",\"currency\":");
                push_text(out, currency);
                out.push('}');
            });
        }
        if let Some((vendor, model, tokens)) = self.llm {
            member("llm", &|out| {
                out.push_str("{\"vendor\":");
                push_text(out, vendor);
                out.push_str(",\"model\":");
                push_text(out, model);
                out.push_str(&format!(",\"input_tokens\":{tokens}}}"));
            });
        }
        if let Some(metadata) = &self.metadata {
            member("metadata", &|out| push_members(out, metadata));
        }
    }
}

/// Everything that a database would store, digests and ids included.
fn stored(batch: &Arc<EventBatch>) -> (Vec<u8>, Vec<String>) {
    let customers = (1..=batch.customer_count() as i32).collect();
    let series = (1..=batch.series_count() as i32).collect();
    let member = Member::new(batch.clone(), 1, customers, series).unwrap();
    let commit = Commit::new(vec![member], &HashSet::new());
    let names = batch.external_customer_ids.iter().map(str::to_owned);
    let texts = batch.series().flatten().map(str::to_owned);
    (pg_copy::payload(&commit), names.chain(texts).collect())
}

fuzz_target!(|input: (Vec<Event<'_>>, bool)| {
    let (events, accept_valid) = input;
    // An event, its metadata and an entry of that lie around each value. JSON has no such limit.
    let values = events
        .iter()
        .flat_map(|event| event.metadata.iter().flatten());
    if values.map(|(_, value)| 3 + value.levels()).max() > Some(DEPTH_MAX) {
        return;
    }
    let mut protobuf: Vec<u8> = events
        .iter()
        .flat_map(|event| request(event.protobuf()))
        .collect();
    protobuf.extend(integer(2, accept_valid.into()));
    let mut json = String::from("{\"events\":[");
    for (place, event) in events.iter().enumerate() {
        json.push_str(if place > 0 { ",{" } else { "{" });
        event.json(&mut json);
        json.push('}');
    }
    json.push_str(&format!("],\"accept_valid\":{accept_valid}}}"));

    let context = accounting::small();
    let one = Arc::new(decode(&protobuf, &context));
    let other = Arc::new(decode_json(json.as_bytes(), &context));
    let faults = |batch: &EventBatch| -> Vec<_> {
        let reasons = batch.faults.iter();
        reasons
            .map(|fault| (fault.index, fault.path.clone(), fault.kind.reason()))
            .collect()
    };
    assert_eq!(faults(&one), faults(&other), "{json}");
    assert_eq!(
        (one.accept_valid, one.faults_total, one.faulty),
        (other.accept_valid, other.faults_total, other.faulty),
        "{json}"
    );
    assert_eq!(stored(&one), stored(&other), "{json}");
});
