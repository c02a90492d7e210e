//! Reads `IngestEventsRequest` and `StreamEventsRequest`, and checks nothing.
//!
//! Follows protobuf's rules: the last of several values wins, messages that come
//! in parts are merged, fields that are unknown or of another wire type are
//! skipped.
#![forbid(unsafe_code)]

use super::metadata::read_metadata;
use super::new_event::{Cost, Customer, Leaf, Llm, NewEvent, Text, Timestamp};
use crate::wire::{Malformed, Reader, Value};

/// The events of a request, each still as bytes.
#[derive(Debug)]
pub struct Request<'a> {
    reader: Reader<'a>,
    /// The events, up to the limit.
    pub events: Vec<&'a [u8]>,
    /// The number of events, including those beyond the limit.
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

impl<'a> NewEvent<'a> {
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
                    let timestamp = self.timestamp.get_or_insert(Ok(Timestamp::default()));
                    if let Ok(timestamp) = timestamp {
                        timestamp.read(fields.inside(message)?)?;
                    }
                }
                (5, Value::Bytes(text)) => self.external_id.set(text),
                (6, Value::Bytes(text)) => self.parent_id.set(text),
                (7, Value::Bytes(text)) => self.external_member_id.set(text),
                (8, Value::Bytes(message)) => {
                    let (_, cost) = self.cost.get_or_insert((Leaf::Object, Cost::default()));
                    cost.read(fields.inside(message)?)?;
                }
                (9, Value::Bytes(message)) => {
                    let (_, llm) = self.llm.get_or_insert((Leaf::Object, Llm::default()));
                    llm.read(fields.inside(message)?)?;
                }
                (10, Value::Bytes(text)) => self.product_id.set(text),
                (11, Value::Bytes(message)) => {
                    read_metadata(fields.inside(message)?, &mut self.metadata)?
                }
                _ => {}
            }
        }
        self.metadata.sort();
        Ok(())
    }
}
