//! The faults of a request: facts, and the words for them.
#![forbid(unsafe_code)]

use std::fmt;

use crate::amount::AmountError;
use crate::{ids, json, time};

/// The number of faults of one request that are kept. More are counted, and kept only if
/// valid events are stored and a faulty event would otherwise not be named at all.
pub const FAULTS_MAX: usize = 1_000;
/// The number of characters of a value that are shown, including the ellipsis.
pub const SHOWN_CHARS_MAX: usize = 64;
/// The message that the bytes of a request should be.
pub const REQUEST_MESSAGE: &str = "cost_insights.v1.IngestEventsRequest";
/// The greatest count of tokens: 2⁵³, up to which doubles hold every whole number.
pub const TOKENS_MAX: i64 = 1 << 53;
/// The currency that amounts are in.
pub const CURRENCY: &str = "usd";

/// A kind of fault, with the facts that its words need besides the value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the facts say what they are")]
pub enum FaultKind {
    /// The bytes are no message.
    MalformedRequest,
    /// The body is no JSON.
    MalformedJson { expected: &'static str },
    /// The body is no UTF-8.
    MalformedUtf8,
    /// The request has no list of events.
    EventsRequired,
    /// The request holds more events than allowed.
    TooManyEvents { events_max: u32 },
    /// A field that must be there is absent or empty.
    FieldRequired { what: &'static str },
    /// Neither of the two fields that name a customer is there.
    CustomerRequired,
    /// A text that must say something has no character that can be seen.
    TextBlank { what: &'static str },
    /// A text inside metadata is empty.
    TextEmpty { what: &'static str },
    /// A field and its twin inside metadata are both there.
    FieldsConflict { other: &'static str },
    /// An event names an organization, which the access token does.
    OrganizationGiven,
    /// A text has too many characters.
    TextTooLong {
        what: &'static str,
        characters: usize,
        characters_max: u32,
    },
    /// A text is not UTF-8.
    TextNotUtf8 { what: &'static str },
    /// A text holds U+0000, which PostgreSQL cannot store.
    TextHoldsNul { what: &'static str },
    /// A value has none of the types allowed.
    TypeUnsupported { allowed: &'static str },
    /// A count of tokens is no whole number in its range.
    TokensOutOfRange,
    /// A number is infinite or not a number.
    NumberNotFinite,
    /// A number is too large for a double.
    NumberTooLarge,
    /// There are more metadata keys than allowed.
    MetadataTooManyKeys { keys_max: u32 },
    /// The stored form of an event is too large.
    EventTooLarge { bytes_max: u32 },
    /// A text or a number is not an amount.
    Amount(AmountError),
    /// A currency is not the supported one.
    CurrencyUnsupported,
    /// A text is no time.
    TimestampMalformed,
    /// A time lies further ahead than clocks differ.
    TimestampInFuture { max_us: i64 },
    /// A time is not one of the years 1 to 9999.
    TimestampOutOfRange,
    /// A time is 0 seconds and 0 nanoseconds.
    TimestampZero,
    /// A customer id is none of the organization's.
    CustomerNotFound,
    /// A customer would be one more than the organization may have.
    TooManyCustomers { customers_max: u32 },
    /// An event names itself as its parent.
    ParentIsSelf,
    /// A stream holds a system event.
    NameReserved,
}

/// Every reason that a fault can have, sorted.
pub const REASONS: [&str; 22] = [
    "AMOUNT_MALFORMED",
    "AMOUNT_OUT_OF_RANGE",
    "AMOUNT_TOO_PRECISE",
    "CURRENCY_UNSUPPORTED",
    "CUSTOMER_NOT_FOUND",
    "EVENT_TOO_LARGE",
    "FIELDS_CONFLICT",
    "FIELD_REQUIRED",
    "MALFORMED_REQUEST",
    "METADATA_TOO_MANY_KEYS",
    "NAME_RESERVED",
    "NUMBER_OUT_OF_RANGE",
    "PARENT_IS_SELF",
    "TEXT_MALFORMED",
    "TEXT_TOO_LONG",
    "TIMESTAMP_IN_FUTURE",
    "TIMESTAMP_MALFORMED",
    "TIMESTAMP_OUT_OF_RANGE",
    "TIMESTAMP_ZERO",
    "TOO_MANY_CUSTOMERS",
    "TOO_MANY_EVENTS",
    "TYPE_UNSUPPORTED",
];

impl FaultKind {
    /// The slug that clients branch on: an `ErrorReason` without its prefix.
    pub fn reason(&self) -> &'static str {
        use FaultKind::*;
        match self {
            MalformedRequest | MalformedJson { .. } | MalformedUtf8 => "MALFORMED_REQUEST",
            TooManyEvents { .. } => "TOO_MANY_EVENTS",
            EventsRequired
            | FieldRequired { .. }
            | CustomerRequired
            | TextBlank { .. }
            | TextEmpty { .. } => "FIELD_REQUIRED",
            FieldsConflict { .. } | OrganizationGiven => "FIELDS_CONFLICT",
            TextTooLong { .. } => "TEXT_TOO_LONG",
            TextNotUtf8 { .. } | TextHoldsNul { .. } => "TEXT_MALFORMED",
            TypeUnsupported { .. } => "TYPE_UNSUPPORTED",
            TokensOutOfRange | NumberNotFinite | NumberTooLarge => "NUMBER_OUT_OF_RANGE",
            MetadataTooManyKeys { .. } => "METADATA_TOO_MANY_KEYS",
            EventTooLarge { .. } => "EVENT_TOO_LARGE",
            Amount(error) => error.reason(),
            CurrencyUnsupported => "CURRENCY_UNSUPPORTED",
            TimestampMalformed => "TIMESTAMP_MALFORMED",
            TimestampInFuture { .. } => "TIMESTAMP_IN_FUTURE",
            TimestampOutOfRange => "TIMESTAMP_OUT_OF_RANGE",
            TimestampZero => "TIMESTAMP_ZERO",
            CustomerNotFound => "CUSTOMER_NOT_FOUND",
            TooManyCustomers { .. } => "TOO_MANY_CUSTOMERS",
            ParentIsSelf => "PARENT_IS_SELF",
            NameReserved => "NAME_RESERVED",
        }
    }
}

impl From<AmountError> for FaultKind {
    fn from(error: AmountError) -> Self {
        Self::Amount(error)
    }
}

/// A fault of one event, or of the whole request.
///
/// `Display` writes the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The index of the event in the request; `None` for a fault of the request.
    pub index: Option<u32>,
    /// The path of the value, such as `events[3].metadata._cost.amount`.
    pub path: String,
    /// The value that was found, fit to be shown.
    pub value: String,
    /// The kind of fault.
    pub kind: FaultKind,
}

impl Fault {
    /// A fault of one event.
    pub fn of_event(index: u32, place: Place<'_>, found: Found<'_>, kind: FaultKind) -> Self {
        Self {
            index: Some(index),
            path: place.path(index),
            value: found.shown(),
            kind,
        }
    }

    /// A fault of the whole request, or of a value that is in no request.
    pub fn of_request(path: &'static str, found: Found<'_>, kind: FaultKind) -> Self {
        Self {
            index: None,
            path: path.to_owned(),
            value: found.shown(),
            kind,
        }
    }

    /// A fault of one text of a column; places beyond 32 bits are as good as those.
    pub fn of_column(place: usize, found: Found<'_>, kind: FaultKind) -> Self {
        Self {
            index: Some(u32::try_from(place).unwrap_or(u32::MAX)),
            path: format!("[{place}]"),
            value: found.shown(),
            kind,
        }
    }

    /// The variable parts of the message besides path and value.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        use FaultKind::*;
        match &self.kind {
            MalformedRequest | MalformedJson { .. } | MalformedUtf8 => {
                vec![("message", REQUEST_MESSAGE.to_owned())]
            }
            TooManyEvents { events_max } => vec![("events_max", events_max.to_string())],
            FieldsConflict { other } => vec![("other", self.sibling(other))],
            OrganizationGiven => vec![("other", "the access token".to_owned())],
            TextTooLong {
                characters,
                characters_max,
                ..
            } => vec![
                ("characters", characters.to_string()),
                ("characters_max", characters_max.to_string()),
            ],
            TypeUnsupported { allowed } => vec![("allowed", (*allowed).to_owned())],
            TokensOutOfRange => vec![("min", 0.to_string()), ("max", TOKENS_MAX.to_string())],
            NumberNotFinite | NumberTooLarge => {
                vec![
                    ("min", number_text(f64::MIN)),
                    ("max", number_text(f64::MAX)),
                ]
            }
            MetadataTooManyKeys { keys_max } => vec![("keys_max", keys_max.to_string())],
            EventTooLarge { bytes_max } => vec![("bytes_max", bytes_max.to_string())],
            TooManyCustomers { customers_max } => {
                vec![("customers_max", customers_max.to_string())]
            }
            Amount(error) => error.facts(),
            CurrencyUnsupported => vec![("allowed", CURRENCY.to_owned())],
            TimestampInFuture { max_us } => vec![("max", time::rfc3339(*max_us))],
            EventsRequired
            | FieldRequired { .. }
            | CustomerRequired
            | TextBlank { .. }
            | TextEmpty { .. }
            | TextNotUtf8 { .. }
            | TextHoldsNul { .. }
            | TimestampMalformed
            | TimestampOutOfRange
            | TimestampZero
            | CustomerNotFound
            | ParentIsSelf
            | NameReserved => Vec::new(),
        }
    }

    /// The path of another field of the same event.
    fn sibling(&self, field: &str) -> String {
        event_path(self.index.unwrap_or_default(), field)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use FaultKind::*;
        let value = &self.value;
        match &self.kind {
            MalformedRequest => write!(f, "the request is not a valid {REQUEST_MESSAGE}"),
            MalformedJson { expected } => {
                write!(
                    f,
                    "the request is not valid JSON: {expected} is expected at {value}"
                )
            }
            MalformedUtf8 => write!(
                f,
                "the request is not UTF-8 from {value} on; only UTF-8 is allowed"
            ),
            EventsRequired => write!(f, "events is absent; it is required, even if it is empty"),
            TooManyEvents { events_max } => {
                write!(
                    f,
                    "the request holds {value} events; at most {events_max} are allowed"
                )
            }
            FieldRequired { what } => write!(f, "{what} is absent or empty; it is required"),
            CustomerRequired => write!(
                f,
                "external_customer_id and customer_id are both absent; one of them is required"
            ),
            TextBlank { what } => {
                write!(f, "{what} has no visible character; at least 1 is required")
            }
            TextEmpty { what } => write!(f, "{what} is empty; at least 1 character is required"),
            FieldsConflict { other } => write!(
                f,
                "{} is also given and means the same; only one of them is allowed",
                self.sibling(other)
            ),
            OrganizationGiven => write!(
                f,
                "the access token decides the organization; organization_id must be left out"
            ),
            TextTooLong {
                what,
                characters,
                characters_max,
            } => {
                write!(
                    f,
                    "{what} has {characters} characters; at most {characters_max} are allowed"
                )
            }
            TextNotUtf8 { what } => write!(f, "{what} is not UTF-8; only UTF-8 is allowed"),
            TextHoldsNul { what } => write!(
                f,
                "{what} holds the character U+0000; every other character is allowed"
            ),
            TypeUnsupported { allowed } => {
                write!(f, "the value has the type {value}; allowed: {allowed}")
            }
            TokensOutOfRange => write!(
                f,
                "the number {value} is not allowed; it must be whole and from 0 to {TOKENS_MAX}"
            ),
            NumberNotFinite => {
                write!(f, "the number {value} is not allowed; it must be finite")
            }
            NumberTooLarge => write!(
                f,
                "the number {value} is not allowed; at most {} either way is allowed",
                number_text(f64::MAX)
            ),
            MetadataTooManyKeys { keys_max } => {
                write!(
                    f,
                    "the metadata has {value} keys; at most {keys_max} are allowed"
                )
            }
            EventTooLarge { bytes_max } => {
                write!(
                    f,
                    "the event takes {value} bytes to store; at most {bytes_max} are allowed"
                )
            }
            Amount(error) => f.write_str(&error.message(value)),
            CurrencyUnsupported => {
                write!(
                    f,
                    "the currency \"{value}\" is not supported; only {CURRENCY} is allowed"
                )
            }
            TimestampMalformed => write!(
                f,
                "the time \"{value}\" is not allowed; only a time of RFC 3339 with an offset, \
                 such as 2026-11-23T12:08:14Z, or a number of seconds since 1970 is"
            ),
            TimestampInFuture { max_us } => {
                write!(
                    f,
                    "the time {value} is in the future; at most {} is allowed",
                    time::rfc3339(*max_us)
                )
            }
            TimestampOutOfRange => {
                write!(
                    f,
                    "the time {value} is out of range; the years 1 to 9999 are allowed"
                )
            }
            TimestampZero => write!(
                f,
                "the time {value} is 0 seconds and 0 nanoseconds, which is what arrives when \
                 a client failed to write a time; set seconds and nanos, as in \
                 {{\"seconds\": 1795435200, \"nanos\": 0}}"
            ),
            CustomerNotFound => write!(
                f,
                "the organization has no customer {value}; only the id of one of its customers is allowed"
            ),
            TooManyCustomers { customers_max } => write!(
                f,
                "the customer \"{value}\" is new, and the organization may have at most {customers_max} customers"
            ),
            ParentIsSelf => {
                write!(
                    f,
                    "the parent \"{value}\" is the event itself; only another event is allowed"
                )
            }
            NameReserved => {
                write!(
                    f,
                    "the name \"{value}\" is reserved for system events, which StreamEvents does not take; send it with IngestEvents"
                )
            }
        }
    }
}

/// The place of a fault in an event.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// The event itself.
    Event,
    /// A field, such as `name` or `metadata._cost`.
    Field(&'static str),
    /// A field of a field.
    Member(&'static str, &'static str),
    /// A key of the metadata, in whatever bytes it came.
    Key(&'a [u8]),
}

/// The value that was found at the place of a fault.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names of the parts are those of the proto")]
pub enum Found<'a> {
    /// Nothing that could be shown.
    Nothing,
    /// A text, in whatever bytes it came.
    Text(&'a [u8]),
    /// The name of a type.
    Type(&'static str),
    /// A number as a double.
    Number(f64),
    /// A number as an integer.
    Integer(i64),
    /// A count.
    Count(usize),
    /// A count that is greater than this one.
    MoreThan(usize),
    /// Microseconds since 1970.
    Time(i64),
    /// A `google.protobuf.Timestamp` that is no time.
    NoTime { seconds: i64, nanos: i32 },
    /// A place in a text of JSON.
    Position { line: usize, column: usize },
    /// The number of a byte.
    Byte(usize),
    /// A UUID.
    Uuid(&'a ids::Uuid),
}

impl Found<'_> {
    fn shown(self) -> String {
        match self {
            Found::Nothing => String::new(),
            Found::Text(bytes) => shown(bytes, false),
            Found::Type(name) => name.to_owned(),
            Found::Number(number) => number_text(number),
            Found::Integer(number) => number.to_string(),
            Found::Count(count) => count.to_string(),
            Found::MoreThan(count) => format!("more than {count}"),
            Found::Time(time_us) => time::rfc3339(time_us),
            Found::NoTime { seconds, nanos } => format!("{seconds}s {nanos}ns"),
            Found::Position { line, column } => format!("line {line}, column {column}"),
            Found::Byte(at) => format!("byte {at}"),
            Found::Uuid(id) => ids::format(id),
        }
    }
}

/// The faults of one request, in the order they were found.
#[derive(Debug)]
pub struct Faults {
    /// The first [`FAULTS_MAX`] of them and, where valid events are stored without
    /// the others, the first fault of each further event.
    pub kept: Vec<Fault>,
    /// The number of faults.
    pub count: usize,
    accept_valid: bool,
}

impl Faults {
    /// No faults yet, of a request that asks to store the valid events or does not.
    pub fn new(accept_valid: bool) -> Self {
        Self {
            kept: Vec::new(),
            count: 0,
            accept_valid,
        }
    }

    /// Adds a fault of an event.
    pub fn push(&mut self, index: u32, place: Place<'_>, found: Found<'_>, kind: FaultKind) {
        self.count += 1;
        // Whoever sends nothing but faults does not get to spend memory and time on
        // words for each of them. But an event that is left out while others are
        // stored must be named: nothing else tells the caller which one it is.
        let is_first = || self.kept.last().and_then(|fault| fault.index) != Some(index);
        if self.kept.len() < FAULTS_MAX || (self.accept_valid && is_first()) {
            self.kept.push(Fault::of_event(index, place, found, kind));
        }
    }
}

impl Place<'_> {
    fn path(self, index: u32) -> String {
        match self {
            Place::Event => format!("events[{index}]"),
            Place::Field(field) => event_path(index, field),
            Place::Member(field, member) => format!("events[{index}].{field}.{member}"),
            Place::Key(key) => {
                let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                let short = (1..=SHOWN_CHARS_MAX).contains(&key.len());
                match str::from_utf8(key) {
                    Ok(key) if short && key.bytes().all(|byte| plain(&byte)) => {
                        format!("events[{index}].metadata.{key}")
                    }
                    _ => format!("events[{index}].metadata[\"{}\"]", shown(key, true)),
                }
            }
        }
    }
}

fn event_path(index: u32, field: &str) -> String {
    format!("events[{index}].{field}")
}

/// Bytes as text of at most [`SHOWN_CHARS_MAX`] characters. Control characters
/// are escaped, as are quotes and backslashes where the text stands in quotes.
fn shown(bytes: &[u8], in_quotes: bool) -> String {
    // No character has more than four bytes: what lies beyond is never shown.
    let head = &bytes[..bytes.len().min(4 * (SHOWN_CHARS_MAX + 1))];
    let mut text = String::new();
    let mut count = 0;
    // Where to cut if there turns out to be too much: the ellipsis needs a place.
    let mut cut = 0;
    for character in String::from_utf8_lossy(head).chars() {
        let start = text.len();
        match character {
            '"' | '\\' if in_quotes => text.extend(['\\', character]),
            _ if character.is_control() => json::push_escape(&mut text, character.into()),
            _ => text.push(character),
        }
        let width = text[start..].chars().count();
        if count + width > SHOWN_CHARS_MAX {
            text.truncate(cut);
            text.push('…');
            return text;
        }
        count += width;
        if count < SHOWN_CHARS_MAX {
            cut = text.len();
        }
    }
    text
}

fn number_text(number: f64) -> String {
    let mut text = String::new();
    json::push_number(&mut text, number);
    text
}
