//! The cells of events that are stored: those of their costs, and those of their tokens.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use super::cell::{Cell, pack_combined};
use super::tokens;
use crate::commit::batches::Commit;
use crate::events::tokens::{Tokens, of_llm};
use crate::time::quarter_of;

/// The cells of some events, one after the other.
#[derive(Clone, Debug, Default)]
pub struct EventCells {
    cells: Vec<Cell>,
    tokens: Vec<Cell>,
}

/// Packed cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Those of costs.
    pub cells: Vec<u8>,
    /// Those of tokens; `None` where there are no tokens.
    pub tokens: Option<Vec<u8>>,
}

impl EventCells {
    /// Adds an event, given as the cell of its costs.
    #[inline]
    pub fn add(&mut self, event: Cell, tokens: Option<&Tokens>) {
        if let Some(tokens) = tokens {
            tokens::push(&mut self.tokens, &event, tokens);
        }
        self.cells.push(event);
    }

    /// Combines and writes them.
    pub fn pack(self) -> Packed {
        let has_tokens = !self.tokens.is_empty();
        Packed {
            cells: pack_combined(self.cells),
            tokens: has_tokens.then(|| pack_combined(self.tokens)),
        }
    }
}

/// The packed cells of what a commit inserts, by organization: those of each customer,
/// quarter of an hour and series.
pub fn of_commit(commit: &Commit) -> BTreeMap<i32, Packed> {
    let mut by_organization: BTreeMap<i32, EventCells> = BTreeMap::new();
    for record in commit.records() {
        let event = Cell {
            // Numbers are counted from 0.
            customer: record.customer_number as u32,
            bucket: quarter_of(record.timestamp_us),
            series: record.series_number as u32,
            events: 1,
            cost: i128::from(record.cost_picocents.unwrap_or_default()),
        };
        by_organization
            .entry(record.organization_number)
            .or_default()
            .add(event, record.texts.llm.map(of_llm).as_ref());
    }
    by_organization
        .into_iter()
        .map(|(organization, cells)| (organization, cells.pack()))
        .collect()
}
