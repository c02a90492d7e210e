//! `_native.ids`: the ids that are derived from what callers send.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::ids::{self, Uuid};

/// The id of the event with that external id.
#[pyfunction]
pub fn event_id<'py>(
    py: Python<'py>,
    organization_id: Uuid,
    external_id: &str,
) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &ids::event_id(&organization_id, external_id))
}

/// The id of the customer with that external id.
#[pyfunction]
pub fn customer_id<'py>(
    py: Python<'py>,
    organization_id: Uuid,
    external_id: &str,
) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &ids::customer_id(&organization_id, external_id))
}
