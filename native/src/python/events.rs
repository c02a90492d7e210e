//! `_native.events`: from the bytes of a request to a batch of valid events.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::convert::uuids;
use super::faults::Fault;
use crate::blank;
use crate::events::check::Context;
use crate::events::{batch, decode, decode_json, limits};
use crate::ids::Uuid;

/// The limits of a request; each is a setting.
#[pyclass(frozen, module = "cost_insights._native.events")]
pub struct Limits(limits::Limits);

#[pymethods]
impl Limits {
    #[new]
    #[pyo3(signature = (
        *,
        events_max = 10_000,
        event_bytes_max = 32_768,
        metadata_keys_max = 128,
        metadata_key_chars_max = 128,
        metadata_text_chars_max = 2_000,
        clock_skew_us = 60_000_000,
    ))]
    fn new(
        events_max: u32,
        event_bytes_max: u32,
        metadata_keys_max: u32,
        metadata_key_chars_max: u32,
        metadata_text_chars_max: u32,
        clock_skew_us: i64,
    ) -> PyResult<Self> {
        at_most(
            "event_bytes_max",
            event_bytes_max,
            limits::Limits::EVENT_BYTES_MAX,
        )?;
        at_most(
            "metadata_keys_max",
            metadata_keys_max,
            limits::Limits::METADATA_KEYS_MAX,
        )?;
        Ok(Self(limits::Limits {
            events_max,
            event_bytes_max,
            metadata_keys_max,
            metadata_key_chars_max,
            metadata_text_chars_max,
            clock_skew_us,
        }))
    }
}

fn at_most(name: &str, value: u32, max: u32) -> PyResult<()> {
    if value > max {
        return Err(PyValueError::new_err(format!(
            "{name} is {value}; at most {max} is allowed"
        )));
    }
    Ok(())
}

/// The valid events of one request, in order. It never changes.
#[pyclass(frozen, module = "cost_insights._native.events")]
pub struct EventBatch(pub Arc<batch::EventBatch>);

#[pymethods]
impl EventBatch {
    fn __len__(&self) -> usize {
        self.0.rows.len()
    }

    #[getter]
    fn accept_valid(&self) -> bool {
        self.0.accept_valid
    }

    #[getter]
    fn faults(&self) -> Vec<Fault> {
        self.0.faults.iter().cloned().map(Fault).collect()
    }

    #[getter]
    fn faults_total(&self) -> usize {
        self.0.faults_total
    }

    #[getter]
    fn request_fault(&self) -> Option<Fault> {
        self.0.request_fault().cloned().map(Fault)
    }

    #[getter]
    fn faulty(&self) -> usize {
        self.0.faulty
    }

    #[getter]
    fn holds_system_events(&self) -> bool {
        self.0.holds_system_events
    }

    #[getter]
    fn external_customer_ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.0.external_customer_ids.iter())
    }

    #[getter]
    fn customer_ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        uuids(py, &self.0.customer_ids)
    }

    #[getter]
    fn series<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.0.series().map(<(_, _, _, _)>::from))
    }

    #[getter]
    fn uncertain_parents<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        uuids(py, &self.0.uncertain_parents)
    }

    fn without_customers(&self, py: Python<'_>, unknown: Vec<usize>) -> Self {
        let batch = py.detach(|| self.0.without_customers(&unknown));
        Self(Arc::new(batch))
    }

    fn without_new_customers(&self, py: Python<'_>, new: Vec<usize>, customers_max: u32) -> Self {
        let batch = py.detach(|| self.0.without_new_customers(&new, customers_max));
        Self(Arc::new(batch))
    }
}

/// Reads and checks the bytes of a `cost_insights.v1.IngestEventsRequest`.
#[pyfunction]
#[pyo3(signature = (request, *, organization_id, now_us, entropy, limits))]
pub fn decode_events(
    py: Python<'_>,
    request: &[u8],
    organization_id: Uuid,
    now_us: i64,
    entropy: [u8; 32],
    limits: &Limits,
) -> EventBatch {
    let context = Context {
        organization_id,
        now_us,
        entropy,
        limits: limits.0,
    };
    let batch = py.detach(|| decode::decode(request, &context));
    EventBatch(Arc::new(batch))
}

/// Reads and checks the bytes of an `IngestEventsRequest` written as JSON.
#[pyfunction]
#[pyo3(signature = (body, *, organization_id, now_us, entropy, limits))]
pub fn decode_events_json(
    py: Python<'_>,
    body: &[u8],
    organization_id: Uuid,
    now_us: i64,
    entropy: [u8; 32],
    limits: &Limits,
) -> EventBatch {
    let context = Context {
        organization_id,
        now_us,
        entropy,
        limits: limits.0,
    };
    let batch = py.detach(|| decode_json::decode_json(body, &context));
    EventBatch(Arc::new(batch))
}

/// A batch of a stream, and where in the stream it stands.
#[pyclass(frozen, module = "cost_insights._native.events")]
pub struct StreamedBatch {
    stream_id: String,
    sequence: i64,
    batch: Arc<batch::EventBatch>,
}

#[pymethods]
impl StreamedBatch {
    #[getter]
    fn stream_id(&self) -> &str {
        &self.stream_id
    }

    #[getter]
    fn sequence(&self) -> i64 {
        self.sequence
    }

    #[getter]
    fn batch(&self) -> EventBatch {
        EventBatch(self.batch.clone())
    }
}

/// Reads the bytes of a `cost_insights.v1.StreamEventsRequest`.
#[pyfunction]
#[pyo3(signature = (request, *, stream_id, organization_id, now_us, entropy, limits))]
pub fn decode_streamed(
    py: Python<'_>,
    request: &[u8],
    stream_id: &str,
    organization_id: Uuid,
    now_us: i64,
    entropy: [u8; 32],
    limits: &Limits,
) -> StreamedBatch {
    let context = Context {
        organization_id,
        now_us,
        entropy,
        limits: limits.0,
    };
    let streamed = py.detach(|| decode::decode_streamed(request, stream_id, &context));
    StreamedBatch {
        stream_id: streamed.stream_id,
        sequence: streamed.sequence,
        batch: Arc::new(streamed.batch),
    }
}

/// Whether no character of the text can be seen.
#[pyfunction]
pub fn is_blank(text: &str) -> bool {
    blank::is_blank(text)
}
