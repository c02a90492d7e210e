//! What Cost Insights does once per event or once per cell.
//!
//! The crate reads request bytes, checks events, writes what databases take in,
//! and adds up costs. It does no I/O, reads no clock and draws no random bytes:
//! the caller hands them in. Only `python.rs` knows Python.

pub mod activity;
pub mod amount;
pub mod array;
pub mod batch;
pub mod blank;
pub mod cell;
pub mod check;
pub mod copy;
pub mod cover;
pub mod error;
pub mod event;
pub mod group;
pub mod id;
pub mod json;
pub mod kept;
pub mod ledger;
pub mod message;
pub mod number_cache;
pub mod packed;
pub mod periods;
#[cfg(feature = "python")]
mod python;
pub mod segment;
pub mod sum;
pub mod tally;
pub mod time;
pub mod wire;
