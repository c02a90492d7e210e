//! Events in batches, compacted at any moment: the answers are those of the events.
#![no_main]

#[path = "../../../tests/support/cell_database.rs"]
mod cell_database;

use cost_insights_fuzz::drawn;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    cell_database::check_answers(drawn(&cell_database::any_case(), bytes));
});
