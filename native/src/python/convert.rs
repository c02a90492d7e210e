//! Buffers, lists and errors, from Python and to it.

use std::any::type_name;

use pyo3::buffer::{Element, PyBuffer, PyUntypedBuffer};
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList};

use crate::amount::sum;
use crate::ids::Uuid;

pub fn group_error(error: sum::GroupError) -> PyErr {
    match error {
        sum::GroupError::TooMany { .. } => PyMemoryError::new_err(error.to_string()),
        _ => value_error(error),
    }
}

pub fn slices(lists: &[PyBackedBytes]) -> Vec<&[u8]> {
    lists.iter().map(|packed| &packed[..]).collect()
}

pub fn value_error<E: std::fmt::Display>(error: E) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A contiguous buffer of native integers; `None` where it has no items, because
/// the empty buffers of Python point anywhere.
pub struct Numbers<T: Element>(Option<PyBuffer<T>>);

impl<T: Element> Numbers<T> {
    pub fn get(object: &Bound<'_, PyAny>, name: &str) -> PyResult<Self> {
        let wrong = || {
            let kind = type_name::<T>();
            PyValueError::new_err(format!(
                "{name} must be a contiguous buffer of native {kind}"
            ))
        };
        let buffer = PyUntypedBuffer::get(object)?;
        let fits = buffer.item_size() == size_of::<T>() && T::is_compatible_format(buffer.format());
        if !fits || !buffer.is_c_contiguous() {
            return Err(wrong());
        }
        if buffer.item_count() == 0 {
            return Ok(Self(None));
        }
        buffer
            .into_typed()
            .map(|buffer| Self(Some(buffer)))
            .map_err(|_| wrong())
    }

    pub fn as_slice(&self) -> &[T] {
        match self.0.as_ref().and_then(PyBuffer::as_slice_ptr) {
            // SAFETY: The buffer, which `self` keeps from being released, is
            // contiguous, aligned, and of items of this size and kind: all that is
            // checked above. That nobody writes to it while detached is what the
            // stub asks of the caller; Python itself cannot promise it.
            Some(numbers) => unsafe { numbers.as_ref() },
            None => &[],
        }
    }
}

pub fn uuids<'a, 'py>(
    py: Python<'py>,
    ids: impl IntoIterator<Item = &'a Uuid>,
) -> PyResult<Bound<'py, PyList>> {
    let ids: Vec<_> = ids.into_iter().map(|id| PyBytes::new(py, id)).collect();
    PyList::new(py, ids)
}
