//! The module `cost_insights._native`: all that knows Python.
//!
//! Every function takes what it needs out of Python's objects, detaches from the
//! interpreter for the work, and builds the answer. Each sub-module has a stub in
//! `service/cost_insights/_native` that documents it; `stubtest` compares them.

mod amounts;
mod answers;
mod cells;
mod commit;
mod convert;
mod events;
mod faults;
mod ids;
mod ledger;

use pyo3::prelude::*;

/// The module that Python sees.
#[pymodule(module = "cost_insights")]
mod _native {
    use pyo3::panic::PanicException;
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        module.add("PanicException", py.get_type::<PanicException>())?;
        // A statement such as `from cost_insights._native.amounts import …` looks for the
        // sub-module here, because there is no file of it.
        let loaded = py.import("sys")?.getattr("modules")?;
        for name in [
            "amounts", "answers", "cells", "commit", "events", "faults", "ids", "ledger",
        ] {
            let submodule = module.getattr(name)?;
            loaded.set_item(submodule.getattr("__name__")?, submodule)?;
        }
        Ok(())
    }

    #[pymodule]
    mod amounts {
        use crate::amount;

        #[pymodule_export]
        use crate::python::amounts::{
            format_amount, parse_amount, parse_amounts, parse_money, round_amount, sum_by_group,
            sum_picocents,
        };

        #[pymodule_export]
        const AMOUNT_CENTS_MAX: i64 = amount::CENTS_MAX;

        #[pymodule_export]
        const MONEY_CENTS_MAX: i64 = amount::MONEY_CENTS_MAX;
    }

    #[pymodule]
    mod answers {
        #[pymodule_export]
        use crate::python::answers::encode_periods;
    }

    #[pymodule]
    mod cells {
        use pyo3::prelude::*;
        use pyo3::types::PyTuple;

        use crate::cells::kind;

        #[pymodule_export]
        use crate::python::cells::{
            CachedCells, Compaction, Cover, SegmentKind, Sources, Tally, cells_before,
            cells_by_month, compare_segments, derive_segments, derive_token_segments,
            events_before, fold_series, fold_token_series, is_sound_segment, list_cells,
            merge_cells, pack_segments, rank_cells, tally_cells, tally_tokens, verify_copy,
            verify_rows,
        };

        #[pymodule_init]
        fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
            let kinds = PyTuple::new(module.py(), kind::KINDS.iter().map(SegmentKind))?;
            module.add("SEGMENT_KINDS", kinds)
        }
    }

    #[pymodule]
    mod commit {
        use pyo3::prelude::*;
        use pyo3::types::PyTuple;

        use crate::commit::columns;

        #[pymodule_export]
        use crate::python::commit::{Commit, NumberCache, Receipt};

        #[pymodule_init]
        fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
            let py = module.py();
            let names = PyTuple::new(py, columns::TABLE.map(|(name, _)| name))?;
            module.add("EVENT_COLUMNS", names)?;
            let types = PyTuple::new(py, columns::TABLE.map(|(_, kind)| kind.name()))?;
            module.add("EVENT_COLUMN_TYPES", types)
        }
    }

    #[pymodule]
    mod events {
        use pyo3::prelude::*;
        use pyo3::types::PyFrozenSet;

        use crate::events::system_events;

        #[pymodule_export]
        use crate::python::events::{
            EventBatch, Limits, StreamedBatch, decode_events, decode_events_json, decode_streamed,
            is_blank,
        };

        #[pymodule_init]
        fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
            let names = PyFrozenSet::new(module.py(), system_events::SYSTEM_EVENTS)?;
            module.add("SYSTEM_EVENTS", names)
        }
    }

    #[pymodule]
    mod faults {
        use pyo3::prelude::*;
        use pyo3::types::PyFrozenSet;

        use crate::events::fault;

        #[pymodule_export]
        use crate::python::faults::Fault;

        #[pymodule_init]
        fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
            let reasons = PyFrozenSet::new(module.py(), fault::REASONS)?;
            module.add("REASONS", reasons)
        }
    }

    #[pymodule]
    mod ids {
        #[pymodule_export]
        use crate::python::ids::{customer_id, event_id, member_signature};
    }

    #[pymodule]
    mod ledger {
        use pyo3::prelude::*;
        use pyo3::types::PyTuple;

        use crate::ledger;

        #[pymodule_export]
        use crate::python::ledger::{Ledger, LedgerQuestion, LedgerTally};

        #[pymodule_init]
        fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
            let facts = PyTuple::new(module.py(), ledger::FACTS)?;
            module.add("LEDGER_FACTS", facts)
        }
    }
}
