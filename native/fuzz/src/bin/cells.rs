//! Any bytes as stored cells: they are read or found damaged, and written again they say the same.
#![no_main]

use std::collections::BTreeMap;

use cost_insights_native::cells::activity;
use cost_insights_native::cells::cell::{self, Cell, Cells, combine, pack, unpack_all};
use cost_insights_native::cells::codec::seal;
use libfuzzer_sys::fuzz_target;

/// Beyond these a sum would stop the program, and no number of events comes near them.
const EVENTS_MAX: u64 = 1 << 50;
const COST_MAX: u128 = 1 << 100;

fn cells_of(sealed: &[u8]) -> Option<Vec<Cell>> {
    let mut cells = Vec::new();
    Cells::new(sealed).ok()?.append_to(&mut cells).ok()?;
    Some(cells)
}

fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    seal(&mut out);
    out
}

fn check_cells(sealed: &[u8]) {
    let Some(mut cells) = cells_of(sealed) else {
        return;
    };
    assert_eq!(cells_of(&pack(&cells)).as_ref(), Some(&cells));
    let bounded = |cell: &Cell| {
        cell.events.unsigned_abs() < EVENTS_MAX && cell.cost.unsigned_abs() < COST_MAX
    };
    if !cells.iter().all(bounded) {
        return;
    }
    let mut sums: BTreeMap<u128, (i64, i128)> = BTreeMap::new();
    for cell in &cells {
        let sum = sums.entry(cell.key()).or_default();
        // Each list comes twice.
        sum.0 += 2 * cell.events;
        sum.1 += 2 * cell.cost;
    }
    sums.retain(|_, sum| *sum != (0, 0));
    combine(&mut cells);
    let packed = cell::pack(&cells);
    let merged = unpack_all([sealed, &packed]).unwrap();
    let merged: Vec<_> = merged
        .iter()
        .map(|cell| (cell.key(), (cell.events, cell.cost)))
        .collect();
    assert_eq!(merged, sums.into_iter().collect::<Vec<_>>());
}

fn check_activity(sealed: &[u8]) {
    // An entry that is merged with no other is copied unread. Damage inside it, which a checksum
    // would have shown, is therefore found only by a second merge.
    if let Ok(once) = activity::merge(&[sealed])
        && let Ok(twice) = activity::merge(&[&once, &once])
    {
        assert_eq!(activity::merge(&[sealed, &twice]), Ok(twice));
    }
}

fuzz_target!(|bytes: &[u8]| {
    // A checksum that is right is what no mutation finds.
    let sealed = sealed(bytes);
    check_cells(&sealed);
    check_activity(&sealed);
    assert!(cells_of(bytes).is_none_or(|cells| cells.len() <= bytes.len()));
});
