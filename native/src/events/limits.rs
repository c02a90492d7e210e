//! Limits: what a request may hold.
#![forbid(unsafe_code)]

use super::new_event::Metadata;

/// The limits of a request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Events in a request.
    pub events_max: u32,
    /// Bytes of an event's stored metadata and LLM call together.
    pub event_bytes_max: u32,
    /// Metadata keys of an event, `_cost` and `_llm` aside.
    pub metadata_keys_max: u32,
    /// Characters of a metadata key.
    pub metadata_key_chars_max: u32,
    /// Characters of a metadata text.
    pub metadata_text_chars_max: u32,
    /// The time by which the clock of a client may be ahead.
    pub clock_skew_us: i64,
}

impl Limits {
    /// The greatest `event_bytes_max`: PostgreSQL's greatest field.
    pub const EVENT_BYTES_MAX: u32 = 1 << 30;
    /// The greatest `metadata_keys_max`.
    pub const METADATA_KEYS_MAX: u32 = Metadata::ENTRIES_MAX as u32;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            events_max: 10_000,
            event_bytes_max: 32_768,
            metadata_keys_max: 128,
            metadata_key_chars_max: 128,
            metadata_text_chars_max: 2_000,
            clock_skew_us: 60_000_000,
        }
    }
}
