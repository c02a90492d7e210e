//! Reads an event written as JSON, and checks nothing but that it is JSON.
//!
//! The fields are those of `cost_insights.v1.NewEvent`, in snake_case or lowerCamelCase,
//! with `member_id` as another name of `external_member_id`. The last of several values
//! of a key wins, as in protobuf's JSON and in `JSON.parse`. Null is absent, except inside
//! metadata and instead of it. Unknown fields are skipped, whatever they hold.
#![forbid(unsafe_code)]

use bumpalo::Bump;

use super::new_event::{
    Customer, Entry, Leaf, Llm, Members, Message, Metadata, NewEvent, Text, Timestamp,
};
use crate::json_reader::{Malformed, RawText, Reader, Value};
use crate::time;

/// Reads events. Texts that had escapes are written into the arena.
#[derive(Clone, Copy)]
pub(super) struct EventReader<'a> {
    pub(super) arena: &'a Bump,
}

impl<'a> EventReader<'a> {
    /// Reads the rest of an event, whose opening bracket has been read, into `event`,
    /// whose memory is used again.
    pub(super) fn read(
        self,
        json: &mut Reader<'a>,
        event: &mut NewEvent<'a>,
    ) -> Result<(), Malformed> {
        event.clear();
        let (mut external_customer_id, mut customer_id) = (None, None);
        let (mut external_member_id, mut member_id) = (None, None);
        json.members(|json, key| {
            match key.unescape(self.arena).unwrap_or_default() {
                "name" => event.name = self.text(json)?.unwrap_or_default(),
                "external_customer_id" | "externalCustomerId" => {
                    external_customer_id = self.text(json)?;
                }
                "customer_id" | "customerId" => customer_id = self.text(json)?,
                "timestamp" => event.timestamp = self.timestamp(json)?,
                "external_id" | "externalId" => {
                    event.external_id = self.text(json)?.unwrap_or_default();
                }
                "parent_id" | "parentId" => {
                    event.parent_id = self.text(json)?.unwrap_or_default();
                }
                "external_member_id" | "externalMemberId" => {
                    external_member_id = self.text(json)?
                }
                "member_id" | "memberId" => member_id = self.text(json)?,
                "cost" => event.cost = self.message(json, |name| name)?,
                "llm" => {
                    event.llm = self.message(json, llm_field)?;
                    if let Some((_, llm)) = &mut event.llm {
                        read_counts(llm);
                    }
                }
                "product_id" | "productId" => {
                    event.product_id = self.text(json)?.unwrap_or_default();
                }
                "metadata" => self.metadata(json, &mut event.metadata)?,
                "organization_id" | "organizationId" => {
                    event.organization_id = absent_if_null(self.leaf(json)?);
                }
                _ => json.skip()?,
            }
            Ok(())
        })?;
        event.customer = match (external_customer_id, customer_id) {
            (Some(text), _) => Customer::External(text),
            (None, Some(text)) => Customer::Id(text),
            (None, None) => Customer::Absent,
        };
        event.external_member_id = external_member_id.or(member_id).unwrap_or_default();
        Ok(())
    }

    /// A field that holds text; none if it is null.
    fn text(self, json: &mut Reader<'a>) -> Result<Option<Text<'a>>, Malformed> {
        Ok(match json.value()? {
            Value::Text(text) => Some(self.unescaped(text)),
            Value::Null => None,
            other => {
                json.skip_rest(&other)?;
                Some(Text::Other(other.type_name()))
            }
        })
    }

    #[inline]
    fn unescaped(self, text: RawText<'a>) -> Text<'a> {
        match text.unescape(self.arena) {
            // See `Text::default`.
            Ok("") => Text::default(),
            Ok(text) => Text::Utf8(text),
            Err(bytes) => Text::Bytes(bytes),
        }
    }

    /// Any value. Numbers stay digits; what objects and lists hold is skipped.
    fn leaf(self, json: &mut Reader<'a>) -> Result<Leaf<'a>, Malformed> {
        let value = json.value()?;
        self.leaf_of(json, value)
    }

    #[inline]
    fn leaf_of(self, json: &mut Reader<'a>, value: Value<'a>) -> Result<Leaf<'a>, Malformed> {
        json.skip_rest(&value)?;
        Ok(match value {
            Value::Null => Leaf::Null,
            Value::Bool(flag) => Leaf::Bool(flag),
            Value::Number(digits) => Leaf::Digits(digits),
            Value::Text(text) => Leaf::Text(self.unescaped(text)),
            Value::Object => Leaf::Object,
            Value::List => Leaf::List,
        })
    }

    fn timestamp(
        self,
        json: &mut Reader<'a>,
    ) -> Result<Option<Result<Timestamp, Leaf<'a>>>, Malformed> {
        let leaf = self.leaf(json)?;
        let time = match leaf {
            Leaf::Null => return Ok(None),
            Leaf::Text(Text::Utf8(text)) => time::parse_rfc3339(text),
            Leaf::Digits(digits) => time::parse_epoch(digits),
            _ => None,
        };
        let time = time.map(|(seconds, nanos)| Timestamp { seconds, nanos });
        Ok(Some(time.ok_or(leaf)))
    }

    /// A field that holds a message, whose members' names `field` turns into snake_case.
    fn message<M: Members<'a>>(
        self,
        json: &mut Reader<'a>,
        field: impl Fn(&str) -> &str,
    ) -> Result<Message<'a, M>, Malformed> {
        let value = json.value()?;
        let mut members = M::default();
        if let Value::Object = value {
            json.members(|json, key| {
                let key = key.unescape(self.arena).unwrap_or_default();
                match members.member(field(key)) {
                    Some(member) => *member = absent_if_null(self.leaf(json)?),
                    None => json.skip()?,
                }
                Ok(())
            })?;
            return Ok(Some((Leaf::Object, members)));
        }
        let leaf = self.leaf_of(json, value)?;
        Ok((!matches!(leaf, Leaf::Null)).then_some((leaf, members)))
    }

    fn metadata(self, json: &mut Reader<'a>, metadata: &mut Metadata<'a>) -> Result<(), Malformed> {
        metadata.clear();
        let value = json.value()?;
        let Value::Object = value else {
            metadata.instead = self.leaf_of(json, value)?;
            return Ok(());
        };
        json.members(|json, key| {
            match self.unescaped(key) {
                Text::Utf8("_cost") => metadata.cost = Some(self.special(json)?),
                Text::Utf8("_llm") => metadata.llm = Some(self.special(json)?),
                key => {
                    let value = as_double(self.leaf(json)?);
                    if !metadata.overflowed {
                        metadata.entries.push(Entry { key, value });
                        metadata.bound();
                    }
                }
            }
            Ok(())
        })?;
        metadata.sort();
        Ok(())
    }

    /// The value under a special key of metadata, where null is a value like any other.
    fn special<M: Members<'a>>(self, json: &mut Reader<'a>) -> Result<(Leaf<'a>, M), Malformed> {
        let value = json.value()?;
        let mut members = M::default();
        let Value::Object = value else {
            return Ok((self.leaf_of(json, value)?, members));
        };
        json.members(|json, key| {
            match members.member(key.unescape(self.arena).unwrap_or_default()) {
                Some(member) => *member = self.leaf(json)?,
                None => json.skip()?,
            }
            Ok(())
        })?;
        Ok((Leaf::Object, members))
    }
}

fn absent_if_null(leaf: Leaf<'_>) -> Leaf<'_> {
    match leaf {
        Leaf::Null => Leaf::Absent,
        leaf => leaf,
    }
}

/// A number as the double that a `google.protobuf.Struct` would hold, unless it is too
/// large for one.
#[inline]
fn as_double(leaf: Leaf<'_>) -> Leaf<'_> {
    match leaf {
        Leaf::Digits(digits) => match digits.parse() {
            Ok(number) if f64::is_finite(number) => Leaf::Number(number),
            _ => leaf,
        },
        leaf => leaf,
    }
}

/// The field of `Llm` that has that name in either case.
fn llm_field(name: &str) -> &str {
    match name {
        "inputTokens" => "input_tokens",
        "outputTokens" => "output_tokens",
        "totalTokens" => "total_tokens",
        "cachedInputTokens" => "cached_input_tokens",
        name => name,
    }
}

/// Makes integers of the counts, which protobuf's JSON writes as text.
fn read_counts(llm: &mut Llm<'_>) {
    for count in [
        &mut llm.input_tokens,
        &mut llm.output_tokens,
        &mut llm.total_tokens,
        &mut llm.cached_input_tokens,
    ] {
        let (Leaf::Text(Text::Utf8(digits)) | Leaf::Digits(digits)) = *count else {
            continue;
        };
        let unsigned = digits.strip_prefix('-').unwrap_or(digits);
        if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
            *count = digits.parse().map_or(Leaf::Digits(digits), Leaf::Integer);
        }
    }
}
