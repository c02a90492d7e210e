//! Any bytes as a request that is JSON.
#![no_main]

#[path = "../../../tests/support/accounting.rs"]
mod accounting;
#[path = "../../../tests/support/mod.rs"]
mod support;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| accounting::check_json(bytes, &accounting::small()));
