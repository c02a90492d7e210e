//! Decoding of a request that is JSON: the same events, checks and faults as of a
//! request that is protobuf.
#![forbid(unsafe_code)]

use bumpalo::Bump;

use super::batch::EventBatch;
use super::check::{Checker, Context};
use super::decode::refused;
use super::fault::{FAULTS_MAX, FaultKind, Found};
use super::json_event::EventReader;
use super::new_event::NewEvent;
use crate::json_reader::{Malformed, Reader, Value};

/// A byte order mark, which RFC 8259 lets a reader ignore.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// About as few bytes as an event has.
const EVENT_BYTES_MIN: usize = 128;

/// Reads and checks a request of the form `{"events": [...], "accept_valid": false}`.
///
/// A fault of the whole request is the only one, and the batch is empty.
pub fn decode_json(body: &[u8], context: &Context) -> EventBatch {
    let text = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let text = match str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            let at = body.len() - text.len() + error.valid_up_to();
            return refused("", Found::Byte(at), FaultKind::MalformedUtf8);
        }
    };
    let arena = Bump::new();
    read_request(text, &arena, context).unwrap_or_else(|malformed| {
        let (line, column) = malformed.line_and_column(text);
        let expected = malformed.expected;
        refused(
            "",
            Found::Position { line, column },
            FaultKind::MalformedJson { expected },
        )
    })
}

/// The events of a request, as far as they are checked.
struct Events<'a, 'c> {
    checker: Checker<'a, 'c>,
    /// The number of events, including those beyond the limit.
    count: usize,
}

/// A fault of the whole request is reported only if the text is JSON up to its end.
fn read_request<'a>(
    text: &'a str,
    arena: &'a Bump,
    context: &Context,
) -> Result<EventBatch, Malformed> {
    let wrong_type = |path, type_name, allowed| {
        let kind = FaultKind::TypeUnsupported { allowed };
        refused(path, Found::Type(type_name), kind)
    };
    let mut json = Reader::new(text);
    let value = json.value()?;
    let Value::Object = value else {
        json.skip_rest(&value)?;
        json.finish()?;
        return Ok(wrong_type("", value.type_name(), "object"));
    };
    let null = Value::Null.type_name();
    // Where they have a wrong type, its name.
    let (mut events, mut accept_valid) = (Err(null), Ok(false));
    json.members(|json, key| {
        match key.unescape(arena).unwrap_or_default() {
            "events" => {
                let value = json.value()?;
                events = Err(value.type_name());
                match value {
                    Value::List => events = Ok(read_events(json, text, arena, context)?),
                    other => json.skip_rest(&other)?,
                }
            }
            "accept_valid" | "acceptValid" => {
                let value = json.value()?;
                json.skip_rest(&value)?;
                accept_valid = match value {
                    Value::Bool(flag) => Ok(flag),
                    Value::Null => Ok(false),
                    other => Err(other.type_name()),
                };
            }
            _ => json.skip()?,
        }
        Ok(())
    })?;
    json.finish()?;

    let events = match events {
        Ok(events) => events,
        Err(type_name) if type_name == null => {
            return Ok(refused("events", Found::Nothing, FaultKind::EventsRequired));
        }
        Err(type_name) => return Ok(wrong_type("events", type_name, "list")),
    };
    let accept_valid = match accept_valid {
        Ok(accept_valid) => accept_valid,
        Err(type_name) => return Ok(wrong_type("accept_valid", type_name, "boolean")),
    };
    Ok(batch_of(events, accept_valid, context))
}

fn batch_of(events: Events<'_, '_>, accept_valid: bool, context: &Context) -> EventBatch {
    let Events { checker, count } = events;
    let events_max = context.limits.events_max;
    if count > events_max as usize {
        let kind = FaultKind::TooManyEvents { events_max };
        return EventBatch {
            accept_valid,
            faulty: count,
            ..refused("events", Found::Count(count), kind)
        };
    }
    let mut faults = checker.faults.kept;
    if !accept_valid {
        faults.truncate(FAULTS_MAX);
    }
    EventBatch {
        accept_valid,
        faults,
        faults_total: checker.faults.count,
        ..checker.batch
    }
}

/// Reads and checks each event in turn. Finding all of the events first would read the
/// whole text twice; the price is that events in front of a fault of the whole request
/// are checked in vain.
fn read_events<'a, 'c>(
    json: &mut Reader<'a>,
    text: &str,
    arena: &'a Bump,
    context: &'c Context,
) -> Result<Events<'a, 'c>, Malformed> {
    let events_max = context.limits.events_max as usize;
    let events = (text.len() / EVENT_BYTES_MIN).min(events_max);
    // Whether valid events are stored without the others may stand behind them: the
    // faults that are kept if they are begin with those that are kept if they are not.
    let mut checker = Checker::new(context, None, events, true);
    let mut event = NewEvent::default();
    let mut count = 0;
    json.items(|json| {
        let index = count as u32;
        count += 1;
        if count > events_max {
            return json.skip();
        }
        match json.value()? {
            Value::Object => {
                EventReader { arena }.read(json, &mut event)?;
                checker.check(index, &event);
                Ok(())
            }
            other => {
                checker.refuse(index, other.type_name());
                json.skip_rest(&other)
            }
        }
    })?;
    Ok(Events { checker, count })
}
