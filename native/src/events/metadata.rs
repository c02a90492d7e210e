//! Reads the metadata of an event, a `google.protobuf.Struct`, and checks nothing.
//!
//! Nothing here recurses: `_cost` and `_llm` are the only objects inside metadata
//! whose members are read; of all others it is only checked that they are well-formed.
#![forbid(unsafe_code)]

use super::new_event::{Entry, Leaf, Members, Message, Metadata, Text};
use crate::wire::{Malformed, Reader, Value};

/// Reads a part of a struct into `metadata`.
pub(super) fn read_metadata<'a>(
    mut fields: Reader<'a>,
    metadata: &mut Metadata<'a>,
) -> Result<(), Malformed> {
    while let Some(field) = fields.next_field()? {
        if let (1, Value::Bytes(message)) = field {
            metadata.read_entry(fields.inside(message)?)?;
        }
    }
    Ok(())
}

impl<'a> Metadata<'a> {
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
}

/// Reads an entry with a special key. The last one counts.
fn read_special<'a, M: Members<'a>>(
    special: &mut Message<'a, M>,
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
    /// The number of parts of the value.
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
