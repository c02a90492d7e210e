//! Any records and any question: each number of a ledger is what its formula says.
#![no_main]

#[path = "../../../tests/support/ledger_twin.rs"]
mod ledger_twin;

use cost_insights_fuzz::drawn;
use libfuzzer_sys::fuzz_target;
use proptest::prelude::*;

fuzz_target!(|bytes: &[u8]| {
    let adds = prop::collection::vec(ledger_twin::records(), 1..4);
    let (adds, asked) = drawn(&(adds, ledger_twin::asked()), bytes);
    ledger_twin::check_ledger(adds, &asked);
});
