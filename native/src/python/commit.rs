//! `_native.commit`: what one transaction stores.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use super::convert::uuids;
use super::events::EventBatch;
use crate::cells::event_cells;
use crate::commit::columns::Value;
use crate::commit::numbers::{self, Numbered};
use crate::commit::{batches, pg_array, pg_copy};
use crate::ids::Uuid;

/// The numbers of customers and series that the process knows.
#[pyclass(frozen, module = "cost_insights._native.commit")]
pub struct NumberCache(Mutex<numbers::NumberCache>);

impl NumberCache {
    fn lock(&self) -> MutexGuard<'_, numbers::NumberCache> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type KnownNumbers = (Vec<Option<i32>>, Vec<Option<i32>>, Vec<Option<i32>>);

#[pymethods]
impl NumberCache {
    #[new]
    fn new(bytes_max: usize) -> Self {
        Self(Mutex::new(numbers::NumberCache::new(bytes_max)))
    }

    fn known(&self, py: Python<'_>, organization_number: i32, batch: &EventBatch) -> KnownNumbers {
        let known = py.detach(|| self.lock().known(organization_number, &batch.0));
        (known.external_customers, known.customers, known.series)
    }

    fn commit_of(&self, py: Python<'_>, batches: Vec<(Py<EventBatch>, i32)>) -> Option<Commit> {
        let batches: Vec<_> = batches
            .into_iter()
            .map(|(batch, organization_number)| (batch.get().0.clone(), organization_number))
            .collect();
        py.detach(|| {
            let members = self.lock().members(batches)?;
            Some(Commit(batches::Commit::new(members, &HashSet::new())))
        })
    }

    fn add(
        &self,
        py: Python<'_>,
        organization_number: i32,
        external_customers: HashMap<String, i32>,
        customers: HashMap<Uuid, i32>,
        series: HashMap<(String, String, String, String), i32>,
    ) {
        py.detach(|| {
            let mut cache = self.lock();
            let mut add = |numbered, number| cache.add(organization_number, numbered, number);
            for (text, number) in &external_customers {
                add(Numbered::ExternalCustomer(text), *number);
            }
            for (id, number) in &customers {
                add(Numbered::Customer(id), *number);
            }
            for ((name, vendor, model, product), number) in &series {
                add(Numbered::Series([name, vendor, model, product]), *number);
            }
        });
    }
}

/// The outcome of the events of one batch.
#[pyclass(frozen, module = "cost_insights._native.commit")]
pub struct Receipt(batches::Receipt);

#[pymethods]
impl Receipt {
    #[getter]
    fn inserted(&self) -> usize {
        self.0.inserted
    }

    #[getter]
    fn duplicates(&self) -> usize {
        self.0.duplicates
    }

    #[getter]
    fn conflicts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let conflicts = self.0.conflicts.iter();
        PyList::new(
            py,
            conflicts.map(|(index, external_id, id)| (index, external_id, PyBytes::new(py, id))),
        )
    }
}

/// (batch, organization number, customer numbers, series numbers)
type Member = (Py<EventBatch>, i32, Vec<i32>, Vec<i32>);

/// (organization number, packed cells, packed cells of tokens)
type OrganizationCells<'py> = (i32, Bound<'py, PyBytes>, Option<Bound<'py, PyBytes>>);

/// The batches that one transaction stores.
#[pyclass(module = "cost_insights._native.commit")]
pub struct Commit(batches::Commit);

#[pymethods]
impl Commit {
    #[new]
    #[pyo3(signature = (members, known_parents = Vec::new()), text_signature = "(members, known_parents=())")]
    fn new(
        py: Python<'_>,
        members: Vec<Member>,
        known_parents: Vec<(i32, Uuid)>,
    ) -> PyResult<Self> {
        let members = members
            .into_iter()
            .map(|(batch, organization, customers, series)| {
                batches::Member::new(batch.get().0.clone(), organization, customers, series)
            })
            .collect::<Result<_, _>>()
            .map_err(
                |batches::WrongCount {
                     what,
                     expected,
                     actual,
                 }| {
                    PyValueError::new_err(format!(
                        "the batch needs {expected} {what}, not {actual}"
                    ))
                },
            )?;
        let known_parents = HashSet::from_iter(known_parents);
        Ok(Self(
            py.detach(|| batches::Commit::new(members, &known_parents)),
        ))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn keyed_ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        uuids(py, self.0.keyed_ids())
    }

    fn set_aside(&mut self, py: Python<'_>, stored: Vec<(Uuid, i64)>) {
        py.detach(|| self.0.set_aside(&stored));
    }

    fn copy_payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let payload = py.detach(|| pg_copy::payload(&self.0));
        PyBytes::new(py, &payload)
    }

    fn arrays<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        let columns = py.detach(|| pg_array::columns(&self.0));
        columns.iter().map(|one| PyBytes::new(py, one)).collect()
    }

    fn rows<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(py);
        let mut scratch = Vec::new();
        for record in self.0.records() {
            rows.append(PyTuple::new(py, record.values(&mut scratch))?)?;
        }
        Ok(rows)
    }

    fn cells<'py>(&self, py: Python<'py>) -> Vec<OrganizationCells<'py>> {
        let by_organization = py.detach(|| event_cells::of_commit(&self.0));
        by_organization
            .into_iter()
            .map(|(organization, packed)| {
                let tokens = packed.tokens.map(|tokens| PyBytes::new(py, &tokens));
                (organization, PyBytes::new(py, &packed.cells), tokens)
            })
            .collect()
    }

    fn receipts(&self, py: Python<'_>) -> Vec<Receipt> {
        let receipts = py.detach(|| self.0.receipts());
        receipts.into_iter().map(Receipt).collect()
    }
}

impl<'py> IntoPyObject<'py> for Value<'_> {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        match self {
            Value::Null => Ok(py.None().into_bound(py)),
            Value::Uuid(id) => PyBytes::new(py, id).into_bound_py_any(py),
            Value::Int4(number) => number.into_bound_py_any(py),
            Value::Int8(number) => number.into_bound_py_any(py),
            Value::Text(text) => text.into_bound_py_any(py),
        }
    }
}
