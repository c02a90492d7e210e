//! `IngestEventsRequest` as it came: read, not yet checked.
//!
//! Means what protobuf says: the last of several values wins, messages that come
//! in parts are merged, fields that are unknown or of another wire type are
//! skipped. Texts borrow from the request. A text that is not UTF-8 stays what
//! it is, whatever follows, because the generated classes would have refused it.
//!
//! Nothing here recurses: `_cost` and `_llm` are the only objects inside
//! metadata that are entered, all others are only found to be well-formed.
#![forbid(unsafe_code)]

use crate::wire::{Malformed, Reader, Value};

/// The events of a request, each still as bytes.
#[derive(Debug)]
pub struct Request<'a> {
    reader: Reader<'a>,
    /// The events, up to the limit.
    pub events: Vec<&'a [u8]>,
    /// How many events there are, those beyond the limit included.
    pub count: usize,
    /// Whether to store the valid events although others are malformed.
    pub accept_valid: bool,
}

impl<'a> Request<'a> {
    /// Finds the events.
    pub fn read(bytes: &'a [u8], events_max: usize) -> Result<Self, Malformed> {
        let reader = Reader::new(bytes);
        let mut request = Self::new(reader);
        request.merge(reader, events_max)?;
        Ok(request)
    }

    fn new(reader: Reader<'a>) -> Self {
        Self {
            reader,
            events: Vec::new(),
            count: 0,
            accept_valid: false,
        }
    }

    fn merge(&mut self, mut fields: Reader<'a>, events_max: usize) -> Result<(), Malformed> {
        while let Some(field) = fields.next_field()? {
            match field {
                (1, Value::Bytes(event)) => {
                    self.count += 1;
                    if self.count <= events_max {
                        self.events.push(event);
                    }
                }
                (2, Value::Varint(flag)) => self.accept_valid = flag != 0,
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads one of the events into `event`, whose memory is used again.
    pub fn read_event(&self, bytes: &'a [u8], event: &mut NewEvent<'a>) -> Result<(), Malformed> {
        event.read(self.reader.inside(bytes)?)
    }
}

/// A `StreamEventsRequest`.
#[derive(Debug)]
pub struct StreamRequest<'a> {
    /// The stream; empty where the request leaves it out.
    pub stream_id: &'a str,
    /// The number of the batch.
    pub sequence: i64,
    /// The batch.
    pub batch: Request<'a>,
}

impl<'a> StreamRequest<'a> {
    /// Finds the events of the batch.
    pub fn read(bytes: &'a [u8], events_max: usize) -> Result<Self, Malformed> {
        let mut fields = Reader::new(bytes);
        let mut request = Self {
            stream_id: "",
            sequence: 0,
            batch: Request::new(fields.inside(&[])?),
        };
        while let Some(field) = fields.next_field()? {
            match field {
                (1, Value::Bytes(stream_id)) => {
                    request.stream_id = str::from_utf8(stream_id).map_err(|_| Malformed)?;
                }
                (2, Value::Varint(sequence)) => request.sequence = sequence as i64,
                (3, Value::Bytes(batch)) => {
                    request.batch.merge(fields.inside(batch)?, events_max)?;
                }
                _ => {}
            }
        }
        Ok(request)
    }
}

/// Text as it came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Text<'a> {
    /// Text.
    Utf8(&'a str),
    /// Bytes that are not UTF-8.
    Bytes(&'a [u8]),
}

impl Default for Text<'_> {
    fn default() -> Self {
        // Empty, yet at an address that exists, unlike that of `""`: see `Series`.
        Text::Utf8(" ".split_at(0).0)
    }
}

impl<'a> Text<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        str::from_utf8(bytes).map_or(Text::Bytes(bytes), Text::Utf8)
    }

    /// The bytes, whatever they are.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Text::Utf8(text) => text.as_bytes(),
            Text::Bytes(bytes) => bytes,
        }
    }

    fn set(&mut self, bytes: &'a [u8]) {
        if let Text::Utf8(_) = self {
            *self = Text::new(bytes);
        }
    }
}

/// The value of a field whose type is not known beforehand.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Leaf<'a> {
    /// The field is not there.
    #[default]
    Absent,
    /// Null, or a `google.protobuf.Value` that holds nothing.
    Null,
    /// A double.
    Number(f64),
    /// An integer of a typed message.
    Integer(i64),
    /// A boolean.
    Bool(bool),
    /// A text.
    Text(Text<'a>),
    /// An object.
    Object,
    /// A list.
    List,
}

impl<'a> Leaf<'a> {
    fn is_malformed(&self) -> bool {
        matches!(self, Leaf::Text(Text::Bytes(_)))
    }

    fn set(&mut self, value: Leaf<'a>) {
        if !self.is_malformed() {
            *self = value;
        }
    }

    fn set_text(&mut self, bytes: &'a [u8]) {
        self.set(Leaf::Text(Text::new(bytes)));
    }
}

/// `Cost`, or the object under `_cost`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost<'a> {
    /// How much, in cents.
    pub amount: Leaf<'a>,
    /// Of which currency.
    pub currency: Leaf<'a>,
}

impl<'a> Cost<'a> {
    fn read(&mut self, mut fields: Reader<'a>) -> Result<(), Malformed> {
        while let Some(field) = fields.next_field()? {
            match field {
                (1, Value::Bytes(text)) => self.amount.set_text(text),
                (2, Value::Bytes(text)) => self.currency.set_text(text),
                _ => {}
            }
        }
        Ok(())
    }
}

/// `Llm`, or the object under `_llm`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Llm<'a> {
    /// Who runs the model.
    pub vendor: Leaf<'a>,
    /// The model.
    pub model: Leaf<'a>,
    /// Tokens read.
    pub input_tokens: Leaf<'a>,
    /// Tokens written.
    pub output_tokens: Leaf<'a>,
    /// All tokens.
    pub total_tokens: Leaf<'a>,
    /// Tokens read from a cache.
    pub cached_input_tokens: Leaf<'a>,
    /// What was asked.
    pub prompt: Leaf<'a>,
    /// What was answered.
    pub response: Leaf<'a>,
}

impl<'a> Llm<'a> {
    fn read(&mut self, mut fields: Reader<'a>) -> Result<(), Malformed> {
        while let Some(field) = fields.next_field()? {
            match field {
                (1, Value::Bytes(text)) => self.vendor.set_text(text),
                (2, Value::Bytes(text)) => self.model.set_text(text),
                (3, Value::Varint(count)) => self.input_tokens = Leaf::Integer(count as i64),
                (4, Value::Varint(count)) => self.output_tokens = Leaf::Integer(count as i64),
                (5, Value::Varint(count)) => self.total_tokens = Leaf::Integer(count as i64),
                (6, Value::Varint(count)) => self.cached_input_tokens = Leaf::Integer(count as i64),
                (7, Value::Bytes(text)) => self.prompt.set_text(text),
                (8, Value::Bytes(text)) => self.response.set_text(text),
                _ => {}
            }
        }
        Ok(())
    }
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timestamp {
    /// Since 1970.
    pub seconds: i64,
    /// On top of the seconds.
    pub nanos: i32,
}

impl Timestamp {
    fn read(&mut self, mut fields: Reader<'_>) -> Result<(), Malformed> {
        while let Some(field) = fields.next_field()? {
            match field {
                (1, Value::Varint(seconds)) => self.seconds = seconds as i64,
                (2, Value::Varint(nanos)) => self.nanos = nanos as i32,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Which of the two fields names the customer.
#[derive(Clone, Copy, Debug, Default)]
pub enum Customer<'a> {
    /// Neither.
    #[default]
    Absent,
    /// `external_customer_id`.
    External(Text<'a>),
    /// `customer_id`.
    Id(Text<'a>),
}

impl<'a> Customer<'a> {
    fn set(&mut self, value: Self) {
        if !matches!(
            self,
            Self::External(Text::Bytes(_)) | Self::Id(Text::Bytes(_))
        ) {
            *self = value;
        }
    }
}

/// `NewEvent`; an absent text is empty.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the proto documents its fields")]
pub struct NewEvent<'a> {
    pub name: Text<'a>,
    pub customer: Customer<'a>,
    pub timestamp: Option<Timestamp>,
    pub external_id: Text<'a>,
    pub parent_id: Text<'a>,
    pub external_member_id: Text<'a>,
    pub cost: Option<Cost<'a>>,
    pub llm: Option<Llm<'a>>,
    pub product_id: Text<'a>,
    pub metadata: Metadata<'a>,
}

impl<'a> NewEvent<'a> {
    /// Makes it what it is by default. Overwriting all of it with a new one would
    /// move half a kilobyte.
    fn clear(&mut self) {
        let Self {
            name,
            customer,
            timestamp,
            external_id,
            parent_id,
            external_member_id,
            cost,
            llm,
            product_id,
            metadata,
        } = self;
        for text in [name, external_id, parent_id, external_member_id, product_id] {
            *text = Text::default();
        }
        *customer = Customer::Absent;
        *timestamp = None;
        *cost = None;
        *llm = None;
        metadata.entries.clear();
        metadata.overflowed = false;
        metadata.cost = None;
        metadata.llm = None;
    }

    // Out of line, like the digest: inside the loop over events there would not be
    // registers enough for either part of it, which takes a twentieth more time.
    #[inline(never)]
    fn read(&mut self, mut fields: Reader<'a>) -> Result<(), Malformed> {
        self.clear();
        while let Some(field) = fields.next_field()? {
            match field {
                (1, Value::Bytes(text)) => self.name.set(text),
                (2, Value::Bytes(text)) => self.customer.set(Customer::External(Text::new(text))),
                (3, Value::Bytes(text)) => self.customer.set(Customer::Id(Text::new(text))),
                (4, Value::Bytes(message)) => {
                    self.timestamp
                        .get_or_insert_default()
                        .read(fields.inside(message)?)?;
                }
                (5, Value::Bytes(text)) => self.external_id.set(text),
                (6, Value::Bytes(text)) => self.parent_id.set(text),
                (7, Value::Bytes(text)) => self.external_member_id.set(text),
                (8, Value::Bytes(message)) => {
                    self.cost
                        .get_or_insert_default()
                        .read(fields.inside(message)?)?;
                }
                (9, Value::Bytes(message)) => {
                    self.llm
                        .get_or_insert_default()
                        .read(fields.inside(message)?)?;
                }
                (10, Value::Bytes(text)) => self.product_id.set(text),
                (11, Value::Bytes(message)) => self.metadata.read(fields.inside(message)?)?,
                _ => {}
            }
        }
        self.metadata.sort();
        Ok(())
    }
}

/// One key of metadata and its value.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The key.
    pub key: Text<'a>,
    /// The value.
    pub value: Leaf<'a>,
}

/// The `google.protobuf.Struct` of an event.
#[derive(Debug, Default)]
pub struct Metadata<'a> {
    /// All but `_cost` and `_llm`, in the order of their keys' bytes, each key once.
    pub entries: Vec<Entry<'a>>,
    /// Whether there are more entries than these.
    pub overflowed: bool,
    /// What stands under `_cost`; its members count if it is an object.
    pub cost: Option<(Leaf<'a>, Cost<'a>)>,
    /// What stands under `_llm`; its members count if it is an object.
    pub llm: Option<(Leaf<'a>, Llm<'a>)>,
}

impl<'a> Metadata<'a> {
    /// How many entries are kept of one event. A key costs a caller a few bytes
    /// and the service some fifty, so memory needs this bound; it lies well
    /// above any limit on keys.
    pub const ENTRIES_MAX: usize = 4096;

    fn read(&mut self, mut fields: Reader<'a>) -> Result<(), Malformed> {
        while let Some(field) = fields.next_field()? {
            if let (1, Value::Bytes(message)) = field {
                self.read_entry(fields.inside(message)?)?;
            }
        }
        Ok(())
    }

    fn read_entry(&mut self, fields: Reader<'a>) -> Result<(), Malformed> {
        let entry = EntryParts::read(fields)?;
        match entry.key {
            Text::Utf8("_cost") => read_special(&mut self.cost, &entry),
            Text::Utf8("_llm") => read_special(&mut self.llm, &entry),
            key if entry.known && !self.overflowed => {
                let value = Leaf::Null;
                self.entries.push(Entry { key, value });
                if let Some(Entry { value, .. }) = self.entries.last_mut() {
                    entry.read_value(value, |fields, value| read_simple(fields, value))?;
                }
                self.bound();
                Ok(())
            }
            key => {
                let mut value = Leaf::Null;
                entry.read_value(&mut value, |fields, value| read_simple(fields, value))?;
                if entry.is_malformed(&value) && !self.overflowed {
                    self.entries.push(Entry { key, value });
                    self.bound();
                }
                Ok(())
            }
        }
    }

    /// Sees to it that there are not too many entries.
    #[inline]
    fn bound(&mut self) {
        if self.entries.len() > 2 * Self::ENTRIES_MAX {
            self.sort();
            self.overflowed = self.entries.len() > Self::ENTRIES_MAX;
        }
    }

    /// Brings the entries in order and leaves the last of each key.
    fn sort(&mut self) {
        let in_order = |pair: &[Entry<'_>]| pair[0].key.bytes() < pair[1].key.bytes();
        if self.entries.windows(2).all(in_order) {
            return;
        }
        self.entries.sort_by_key(|entry| entry.key.bytes());
        self.entries.dedup_by(|later, earlier| {
            let same = later.key.bytes() == earlier.key.bytes();
            if same {
                earlier.value.set(later.value);
            }
            same
        });
    }
}

/// What stands under a special key: its type, and its members if it is an object.
type Special<'a, M> = Option<(Leaf<'a>, M)>;

/// Members of an object that have a meaning.
trait Members<'a>: Default {
    /// The member of that name, if it has a meaning.
    fn member(&mut self, name: &str) -> Option<&mut Leaf<'a>>;
}

impl<'a> Members<'a> for Cost<'a> {
    fn member(&mut self, name: &str) -> Option<&mut Leaf<'a>> {
        Some(match name {
            "amount" => &mut self.amount,
            "currency" => &mut self.currency,
            _ => return None,
        })
    }
}

impl<'a> Members<'a> for Llm<'a> {
    fn member(&mut self, name: &str) -> Option<&mut Leaf<'a>> {
        Some(match name {
            "vendor" => &mut self.vendor,
            "model" => &mut self.model,
            "input_tokens" => &mut self.input_tokens,
            "output_tokens" => &mut self.output_tokens,
            "total_tokens" => &mut self.total_tokens,
            "cached_input_tokens" => &mut self.cached_input_tokens,
            "prompt" => &mut self.prompt,
            "response" => &mut self.response,
            _ => return None,
        })
    }
}

/// Reads an entry with a special key. The last one counts.
fn read_special<'a, M: Members<'a>>(
    special: &mut Special<'a, M>,
    entry: &EntryParts<'a>,
) -> Result<(), Malformed> {
    let mut spare = None;
    let is_settled = matches!(special, Some((value, _)) if value.is_malformed());
    let counts = entry.known && !is_settled;
    let place = if counts { &mut *special } else { &mut spare };
    let (value, members) = place.insert((Leaf::Null, M::default()));
    entry.read_value(value, |fields, value| read_object(fields, value, members))?;
    if !counts && !is_settled && entry.is_malformed(value) {
        *special = spare;
    }
    Ok(())
}

/// Reads a part of a `google.protobuf.Value`, and its members if it is an object.
fn read_object<'a>(
    mut fields: Reader<'a>,
    value: &mut Leaf<'a>,
    members: &mut impl Members<'a>,
) -> Result<(), Malformed> {
    while let Some(field) = fields.next_field()? {
        if let (5, Value::Bytes(message)) = field {
            // An object after something else starts anew; after an object it is merged.
            if !matches!(value, Leaf::Object) {
                *members = Default::default();
                value.set(Leaf::Object);
            }
            read_members(fields.inside(message)?, value, members)?;
        } else {
            read_simple_value(&fields, field, value)?;
        }
    }
    Ok(())
}

fn read_members<'a>(
    mut fields: Reader<'a>,
    whole: &mut Leaf<'a>,
    members: &mut impl Members<'a>,
) -> Result<(), Malformed> {
    while let Some(field) = fields.next_field()? {
        let (1, Value::Bytes(message)) = field else {
            continue;
        };
        let entry = EntryParts::read(fields.inside(message)?)?;
        let mut spare = Leaf::Null;
        let value = match entry.key {
            Text::Utf8(name) if entry.known => members.member(name).unwrap_or(&mut spare),
            _ => &mut spare,
        };
        *value = Leaf::Null;
        entry.read_value(value, |fields, value| read_simple(fields, value))?;
        // One text that is not UTF-8 spoils the object, whatever its key.
        if value.is_malformed() {
            whole.set(*value);
        } else if let Text::Bytes(_) = entry.key {
            whole.set(Leaf::Text(entry.key));
        }
    }
    Ok(())
}

/// An entry of `Struct.fields`, of which only the key is read yet: the key tells
/// where the value belongs, so that it need not be moved there.
struct EntryParts<'a> {
    key: Text<'a>,
    /// Whether it has no unknown field. The generated classes put an entry that has
    /// one among the unknown fields of the struct. They check its texts first, so one
    /// that is not UTF-8 is a fault there too.
    known: bool,
    /// The last part of the value.
    value: &'a [u8],
    /// How many parts the value has.
    value_parts: usize,
    fields: Reader<'a>,
}

impl<'a> EntryParts<'a> {
    #[inline(always)]
    fn read(fields: Reader<'a>) -> Result<Self, Malformed> {
        let mut entry = Self {
            key: Text::default(),
            known: true,
            value: &[],
            value_parts: 0,
            fields,
        };
        let mut left = fields;
        while let Some(field) = left.next_field()? {
            match field {
                (1, Value::Bytes(text)) => entry.key.set(text),
                (2, Value::Bytes(message)) => {
                    entry.value = message;
                    entry.value_parts += 1;
                }
                _ => entry.known = false,
            }
        }
        Ok(entry)
    }

    /// Reads the value by `read`, which reads one part after the parts before.
    #[inline(always)]
    fn read_value(
        &self,
        value: &mut Leaf<'a>,
        mut read: impl FnMut(Reader<'a>, &mut Leaf<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        match self.value_parts {
            0 => Ok(()),
            1 => read(self.fields.inside(self.value)?, value),
            _ => self.read_parts(&mut |fields| read(fields, value)),
        }
    }

    #[cold]
    fn read_parts(
        &self,
        read: &mut dyn FnMut(Reader<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let mut fields = self.fields;
        while let Some(field) = fields.next_field()? {
            if let (2, Value::Bytes(message)) = field {
                read(fields.inside(message)?)?;
            }
        }
        Ok(())
    }

    fn is_malformed(&self, value: &Leaf<'a>) -> bool {
        matches!(self.key, Text::Bytes(_)) || value.is_malformed()
    }
}

/// Reads a part of a `google.protobuf.Value` without entering an object.
#[inline(always)]
fn read_simple<'a>(mut fields: Reader<'a>, value: &mut Leaf<'a>) -> Result<(), Malformed> {
    while let Some(field) = fields.next_field()? {
        read_simple_value(&fields, field, value)?;
    }
    Ok(())
}

/// Reads one field of a `google.protobuf.Value` without entering an object.
#[inline(always)]
fn read_simple_value<'a>(
    fields: &Reader<'a>,
    field: (u32, Value<'a>),
    value: &mut Leaf<'a>,
) -> Result<(), Malformed> {
    match field {
        (1, Value::Varint(_)) => value.set(Leaf::Null),
        (2, Value::Fixed64(bits)) => value.set(Leaf::Number(f64::from_bits(bits))),
        (3, Value::Bytes(text)) => value.set_text(text),
        (4, Value::Varint(flag)) => value.set(Leaf::Bool(flag != 0)),
        (5, Value::Bytes(message)) => {
            value.set(Leaf::Object);
            check_nested(Nested::Struct, fields.inside(message)?, value)?;
        }
        (6, Value::Bytes(message)) => {
            value.set(Leaf::List);
            check_nested(Nested::List, fields.inside(message)?, value)?;
        }
        _ => {}
    }
    Ok(())
}

/// The messages of which nested metadata is made.
#[derive(Clone, Copy)]
enum Nested {
    Struct,
    Entry,
    List,
    Value,
}

/// Finds out whether nested metadata is well-formed, and spoils `value` if one
/// of its texts is not UTF-8. Keeps the open messages on a list, which the wire
/// format's depth bounds, and not on the call stack.
#[cold]
#[inline(never)]
fn check_nested<'a>(
    message: Nested,
    fields: Reader<'a>,
    value: &mut Leaf<'a>,
) -> Result<(), Malformed> {
    let mut open = vec![(message, fields)];
    while let Some((message, fields)) = open.last_mut() {
        let Some((number, content)) = fields.next_field()? else {
            open.pop();
            continue;
        };
        let Value::Bytes(bytes) = content else {
            continue;
        };
        let inner = match (*message, number) {
            (Nested::Entry, 1) | (Nested::Value, 3) => {
                let text = Text::new(bytes);
                if let Text::Bytes(_) = text {
                    value.set(Leaf::Text(text));
                }
                continue;
            }
            (Nested::Struct, 1) => Nested::Entry,
            (Nested::Entry, 2) | (Nested::List, 1) => Nested::Value,
            (Nested::Value, 5) => Nested::Struct,
            (Nested::Value, 6) => Nested::List,
            _ => continue,
        };
        let inside = fields.inside(bytes)?;
        open.push((inner, inside));
    }
    Ok(())
}
