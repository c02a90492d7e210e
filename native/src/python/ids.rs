//! `_native.ids`: ids and signatures that are derived from what callers send.

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyBytes;

use crate::events::signature::{self, Value};
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

/// The bits that a member of metadata sets in the signature of its event.
#[pyfunction]
pub fn member_signature(key: &str, value: MemberValue) -> i64 {
    let value = match &value {
        MemberValue::Bool(flag) => Value::Bool(*flag),
        MemberValue::Number(number) => Value::Number(*number),
        MemberValue::Text(text) => Value::Text(text),
    };
    signature::of_pair(key, value) as i64
}

/// In this order, because True is a number too.
#[derive(FromPyObject)]
pub enum MemberValue {
    Bool(bool),
    Number(f64),
    Text(PyBackedStr),
}
