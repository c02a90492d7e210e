//! `_native.amounts`: amounts as text and as numbers, and exact sums.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};

use super::convert::{Numbers, group_error};
use super::faults::Fault;
use crate::amount::{self, AmountError, column, sum};
use crate::events::fault;

/// An integer, or what is wrong with the amount.
#[derive(IntoPyObject)]
pub enum Amount<T> {
    Picocents(T),
    Fault(Fault),
}

impl<T> Amount<T> {
    fn new(result: Result<T, AmountError>, found: fault::Found<'_>) -> Self {
        match result {
            Ok(picocents) => Self::Picocents(picocents),
            Err(error) => Self::Fault(Fault(fault::Fault::of_request("", found, error.into()))),
        }
    }

    fn read(
        text: &Bound<'_, PyString>,
        parse: impl FnOnce(&str) -> Result<T, AmountError>,
    ) -> Self {
        // Python's text may hold halves of surrogate pairs, which are no text here
        // and no digits anywhere.
        let text = text.to_string_lossy();
        Self::new(parse(&text), fault::Found::Text(text.as_bytes()))
    }
}

/// The picocents of a decimal string, exactly.
#[pyfunction]
pub fn parse_amount(text: &Bound<'_, PyString>) -> Amount<i64> {
    Amount::read(text, |text| amount::parse(text).map(amount::Picocents::get))
}

/// The picocents of a decimal string with the range of an order, exactly.
#[pyfunction]
pub fn parse_money(text: &Bound<'_, PyString>) -> Amount<i128> {
    Amount::read(text, amount::parse_money)
}

/// The picocents of many decimal strings.
#[pyfunction]
pub fn parse_amounts<'py>(
    text: &Bound<'py, PyAny>,
    ends: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = text.py();
    let text = Numbers::<u8>::get(text, "text")?;
    let ends = Numbers::<u32>::get(ends, "ends")?;
    let (text, ends) = (text.as_slice(), ends.as_slice());
    // The amounts are read into the answer, which nobody else has yet: copying
    // megabytes into fresh memory would take a fifth of the time.
    let mut result = Ok(());
    let amounts = PyBytes::new_with(py, size_of::<i64>() * ends.len(), |amounts| {
        let (amounts, _) = amounts.as_chunks_mut();
        result = py.detach(|| column::parse_column(text, ends, amounts));
        Ok(())
    })?;
    match result {
        Ok(()) => Ok(amounts.into_any()),
        Err(column::ColumnError::Faults(faults)) => {
            Ok(PyList::new(py, faults.iter().map(fault_of_text))?.into_any())
        }
        Err(error) => Err(PyValueError::new_err(error.to_string())),
    }
}

fn fault_of_text(fault: &column::TextFault) -> Fault {
    let found = fault::Found::Text(&fault.text);
    let kind = match fault.error {
        Some(error) => error.into(),
        None => fault::FaultKind::TextNotUtf8 { what: "the amount" },
    };
    Fault(fault::Fault::of_column(fault.place, found, kind))
}

/// The picocents of a double.
#[pyfunction]
pub fn round_amount(number: f64) -> Amount<i64> {
    let picocents = amount::round(number).map(amount::Picocents::get);
    Amount::new(picocents, fault::Found::Number(number))
}

/// Cents as decimal text without trailing zeros.
#[pyfunction]
pub fn format_amount(picocents: i128) -> String {
    amount::format(picocents)
}

/// The exact sum of a contiguous buffer of native i64.
#[pyfunction]
pub fn sum_picocents(py: Python<'_>, amounts: &Bound<'_, PyAny>) -> PyResult<i128> {
    let amounts = Numbers::<i64>::get(amounts, "amounts")?;
    Ok(py.detach(|| sum(amounts.as_slice())))
}

/// The sum by the widest columns that this processor has.
fn sum(numbers: &[i64]) -> i128 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: The processor has AVX2, which is all that the function asks for.
        return unsafe { sum::sum_avx2(numbers) };
    }
    sum::sum(numbers)
}

/// The exact sum of each group.
#[pyfunction]
pub fn sum_by_group(
    py: Python<'_>,
    amounts: &Bound<'_, PyAny>,
    groups: &Bound<'_, PyAny>,
    group_count: usize,
) -> PyResult<Vec<i128>> {
    let amounts = Numbers::<i64>::get(amounts, "amounts")?;
    let groups = Numbers::<i32>::get(groups, "groups")?;
    py.detach(|| sum::sum_by_group(amounts.as_slice(), groups.as_slice(), group_count))
        .map_err(group_error)
}
