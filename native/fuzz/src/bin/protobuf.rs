//! Any bytes as a request that is protobuf.
#![no_main]

#[path = "../../../tests/support/accounting.rs"]
mod accounting;
#[path = "../../../tests/support/mod.rs"]
mod support;

use cost_insights_native::events::decode::decode_streamed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    accounting::check_protobuf(bytes, &accounting::small());
    let streamed = decode_streamed(bytes, "stream", &accounting::small());
    assert!(!streamed.stream_id.is_empty());
});
