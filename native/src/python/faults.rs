//! `_native.faults`: what is wrong with an event, a request or an amount.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::events::fault;

/// A fault of one event, or of the whole request.
#[pyclass(frozen, module = "cost_insights._native.faults")]
pub struct Fault(pub fault::Fault);

#[pymethods]
impl Fault {
    #[getter]
    fn index(&self) -> i64 {
        self.0.index.map_or(-1, i64::from)
    }

    #[getter]
    fn path(&self) -> &str {
        &self.0.path
    }

    #[getter]
    fn reason(&self) -> &'static str {
        self.0.kind.reason()
    }

    #[getter]
    fn message(&self) -> String {
        self.0.to_string()
    }

    #[getter]
    fn value(&self) -> &str {
        &self.0.value
    }

    #[getter]
    fn facts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let facts = PyDict::new(py);
        for (name, value) in self.0.facts() {
            facts.set_item(name, value)?;
        }
        Ok(facts)
    }

    fn __repr__(&self) -> String {
        format!(
            "<Fault {} at {:?}: {}>",
            self.0.kind.reason(),
            self.0.path,
            self.0
        )
    }
}
