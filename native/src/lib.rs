//! The work that Cost Insights does once per event or once per cell.
//!
//! The crate reads request bytes, checks events, writes what databases take in,
//! and adds up costs. It does no I/O, reads no clock and draws no random bytes:
//! the caller hands them in. Only `python/` knows Python.
//!
//! A folder may use those above it in this list, and nothing below:
//! `blank`, `fixed`, `ids`, `json`, `json_reader`, `time`, `wire`; `amount`; `events`; `commit`; `cells`; `ledger`; `answers`; `python`.

pub mod amount;
pub mod answers;
pub mod blank;
pub mod fixed;
pub mod ids;
pub mod json;
pub mod json_reader;
pub mod ledger;
#[cfg(feature = "python")]
mod python;
pub mod time;
pub mod wire;

/// From the bytes of a request to a batch of valid events and the faults of the others.
pub mod events {
    pub mod batch;
    pub mod check;
    pub mod decode;
    pub mod decode_json;
    mod distinct;
    pub mod fault;
    mod json_event;
    pub mod limits;
    mod metadata;
    pub mod new_event;
    pub mod request;
    pub mod signature;
    pub mod system_events;
    mod text_field;
    pub mod tokens;
}

/// The events that one transaction stores, in the forms that databases take in.
pub mod commit {
    pub mod batches;
    pub mod checksum;
    pub mod columns;
    pub mod numbers;
    pub mod pg_array;
    pub mod pg_copy;
}

/// Cells, the sums of events: how they are stored, merged, checked and added up.
pub mod cells {
    pub mod activity;
    pub mod cached;
    pub mod cell;
    pub mod check;
    pub mod codec;
    pub mod cover;
    pub mod event_cells;
    pub mod kind;
    pub mod segment;
    pub mod tally;
    pub mod tokens;
}
