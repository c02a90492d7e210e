//! `_native.answers`: answers as messages of protobuf.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyBytes;

use crate::answers;

/// (field, whether the numbers are amounts, numbers)
type PeriodsColumn<'py> = (u32, bool, Vec<Bound<'py, PyAny>>);

/// The periods of an answer, as messages of protobuf.
#[pyfunction]
pub fn encode_periods<'py>(
    py: Python<'py>,
    field: u32,
    starts: Vec<PyBackedStr>,
    columns: Vec<PeriodsColumn<'py>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let starts: Vec<&str> = starts.iter().map(|start| &**start).collect();
    let columns = columns
        .into_iter()
        .map(|(field, are_amounts, numbers)| {
            if numbers.len() != starts.len() {
                return Err(PyValueError::new_err(
                    "a column must have a number a period",
                ));
            }
            let numbers = numbers.iter();
            let column = if are_amounts {
                answers::Column::Amounts(numbers.map(small_or_large).collect::<PyResult<_>>()?)
            } else {
                answers::Column::Counts(numbers.map(|one| one.extract()).collect::<PyResult<_>>()?)
            };
            Ok((field, column))
        })
        .collect::<PyResult<Vec<_>>>()?;
    Ok(PyBytes::new(py, &answers::write(field, &starts, &columns)))
}

/// An integer; those of 64 bits, which nearly all are, are read many times faster.
fn small_or_large(number: &Bound<'_, PyAny>) -> PyResult<i128> {
    match number.extract::<i64>() {
        Ok(number) => Ok(number.into()),
        Err(_) => number.extract(),
    }
}
