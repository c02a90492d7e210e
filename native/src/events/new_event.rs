//! An event as a caller wrote it: read, not yet checked.
//!
//! Holds what requests of any format can say, faults included: a text that is not
//! UTF-8, a value of a wrong type, more metadata than allowed. Texts borrow from the
//! request. A text of protobuf that is not UTF-8 stays what it is, whatever follows,
//! because the generated classes would have refused it.
#![forbid(unsafe_code)]

/// Text as it came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Text<'a> {
    /// Text.
    Utf8(&'a str),
    /// Bytes that are not UTF-8.
    Bytes(&'a [u8]),
    /// A value of another type than text.
    Other(&'static str),
}

impl Default for Text<'_> {
    fn default() -> Self {
        // Empty, yet at an address that exists, unlike that of `""`: see `Series`.
        Text::Utf8(" ".split_at(0).0)
    }
}

impl<'a> Text<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        str::from_utf8(bytes).map_or(Text::Bytes(bytes), Text::Utf8)
    }

    /// The bytes, whatever they are.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Text::Utf8(text) => text.as_bytes(),
            Text::Bytes(bytes) => bytes,
            Text::Other(_) => &[],
        }
    }

    pub(super) fn set(&mut self, bytes: &'a [u8]) {
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
    /// The digits of a number that may be no double: an amount, a count, or a number
    /// that is too large for one. JSON has a sign, digits, a fraction and an exponent.
    Digits(&'a str),
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
    pub(super) fn is_malformed(&self) -> bool {
        matches!(self, Leaf::Text(Text::Bytes(_)))
    }

    pub(super) fn set(&mut self, value: Leaf<'a>) {
        if !self.is_malformed() {
            *self = value;
        }
    }

    pub(super) fn set_text(&mut self, bytes: &'a [u8]) {
        self.set(Leaf::Text(Text::new(bytes)));
    }
}

/// `Cost`, or the object under `_cost`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost<'a> {
    /// The amount in cents.
    pub amount: Leaf<'a>,
    /// The currency of the amount.
    pub currency: Leaf<'a>,
}

/// `Llm`, or the object under `_llm`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Llm<'a> {
    /// The vendor that runs the model.
    pub vendor: Leaf<'a>,
    /// The model.
    pub model: Leaf<'a>,
    /// Tokens read.
    pub input_tokens: Leaf<'a>,
    /// Tokens written.
    pub output_tokens: Leaf<'a>,
    /// The number of all tokens.
    pub total_tokens: Leaf<'a>,
    /// Tokens read from a cache.
    pub cached_input_tokens: Leaf<'a>,
    /// The prompt.
    pub prompt: Leaf<'a>,
    /// The response.
    pub response: Leaf<'a>,
}

/// Members of an object that have a meaning.
pub(super) trait Members<'a>: Default {
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

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timestamp {
    /// Since 1970.
    pub seconds: i64,
    /// On top of the seconds.
    pub nanos: i32,
}

/// A field that holds a message: an object without members of a wrong type, or what
/// stands there instead.
pub type Message<'a, M> = Option<(Leaf<'a>, M)>;

/// The field that names the customer.
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
    pub(super) fn set(&mut self, value: Self) {
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
    /// A time, or what stands there instead: a text that is none, digits of a number
    /// that is out of range, or another type.
    pub timestamp: Option<Result<Timestamp, Leaf<'a>>>,
    pub external_id: Text<'a>,
    pub parent_id: Text<'a>,
    pub external_member_id: Text<'a>,
    pub cost: Message<'a, Cost<'a>>,
    pub llm: Message<'a, Llm<'a>>,
    pub product_id: Text<'a>,
    pub metadata: Metadata<'a>,
    /// Not a field of the proto: the compatible API has it.
    pub organization_id: Leaf<'a>,
}

impl<'a> NewEvent<'a> {
    /// Resets every field to its default, field by field: overwriting the whole event
    /// would move half a kilobyte.
    pub(super) fn clear(&mut self) {
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
            organization_id,
        } = self;
        for text in [name, external_id, parent_id, external_member_id, product_id] {
            *text = Text::default();
        }
        *customer = Customer::Absent;
        *timestamp = None;
        *cost = None;
        *llm = None;
        *organization_id = Leaf::Absent;
        metadata.clear();
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

/// The metadata of an event.
#[derive(Debug, Default)]
pub struct Metadata<'a> {
    /// The entries but `_cost` and `_llm`, in the order of their keys' bytes, each key once.
    pub entries: Vec<Entry<'a>>,
    /// Whether there are more entries than these.
    pub overflowed: bool,
    /// The value of `_cost`; its members count if it is an object.
    pub cost: Message<'a, Cost<'a>>,
    /// The value of `_llm`; its members count if it is an object.
    pub llm: Message<'a, Llm<'a>>,
    /// The value of the metadata if it is not an object.
    pub instead: Leaf<'a>,
}

impl<'a> Metadata<'a> {
    /// The number of entries of one event that are kept. A key costs a caller a few bytes
    /// and the service some fifty, so memory needs this bound; it lies well
    /// above any limit on keys.
    pub const ENTRIES_MAX: usize = 4096;

    pub(super) fn clear(&mut self) {
        let Self {
            entries,
            overflowed,
            cost,
            llm,
            instead,
        } = self;
        entries.clear();
        *overflowed = false;
        *cost = None;
        *llm = None;
        *instead = Leaf::Absent;
    }

    /// Bounds the entries after one was added; sorting drops repeated keys first.
    #[inline]
    pub(super) fn bound(&mut self) {
        if self.entries.len() > 2 * Self::ENTRIES_MAX {
            self.sort();
            self.overflowed = self.entries.len() > Self::ENTRIES_MAX;
        }
    }

    /// Sorts the entries by key and keeps the last entry of each key.
    pub(super) fn sort(&mut self) {
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
