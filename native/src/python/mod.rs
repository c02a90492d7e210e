//! The module `cost_insights._native`: all that knows Python.
//!
//! Every function takes what it needs out of Python's objects, detaches from the
//! interpreter for the work, and builds the answer. `_native.pyi` documents the
//! surface; `stubtest` compares the two.

use std::any::type_name;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use pyo3::buffer::{Element, PyBuffer, PyUntypedBuffer};
use pyo3::exceptions::{PyMemoryError, PyOverflowError, PyValueError};
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyDict, PyFrozenSet, PyList, PyString, PyTuple};

use crate::amount::{self, column, sum};
use crate::answers;
use crate::blank;
use crate::cells::{cached, cell, check, codec, cover, segment, tally};
use crate::commit::numbers::{self, Numbered};
use crate::commit::{group, pg_array, pg_copy};
use crate::events::batch;
use crate::events::check::{Context, SYSTEM_EVENTS};
use crate::events::id::{self, Uuid};
use crate::events::{decode, fault, limits};
use crate::ledger;

#[pymodule]
mod _native {
    use super::*;

    #[pymodule_export]
    use super::{
        Compaction, Cover, EventBatch, Fault, Group, Kept, Ledger, LedgerQuestion, LedgerTally,
        Limits, NumberCache, Receipt, Sources, StreamedBatch, Tally, cells_before, cells_by_month,
        cells_of_copy, cells_of_events, compare_segments, decode_events, decode_streamed,
        derive_segments, encode_periods, event_id, events_before, format_amount, is_blank,
        is_sound_segment, list_cells, merge_cells, pack_segments, parse_amount, parse_amounts,
        parse_money, rank_cells, round_amount, sum_by_group, sum_picocents, tally_cells,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        module.add("AMOUNT_CENTS_MAX", amount::CENTS_MAX)?;
        module.add("MONEY_CENTS_MAX", amount::MONEY_CENTS_MAX)?;
        module.add("LEDGER_FACTS", PyTuple::new(py, ledger::FACTS)?)?;
        module.add("REASONS", PyFrozenSet::new(py, fault::REASONS)?)?;
        module.add("SYSTEM_EVENTS", PyFrozenSet::new(py, SYSTEM_EVENTS)?)?;
        module.add("PanicException", py.get_type::<PanicException>())?;
        module.add("EVENT_COLUMNS", PyTuple::new(py, pg_copy::EVENT_COLUMNS)?)
    }
}

/// One thing that is wrong with one event, or with the whole request.
#[pyclass(frozen, module = "cost_insights._native")]
struct Fault(fault::Fault);

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

/// What a request may hold; each is a setting.
#[pyclass(frozen, module = "cost_insights._native")]
struct Limits(limits::Limits);

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
#[pyclass(frozen, module = "cost_insights._native")]
struct EventBatch(Arc<batch::EventBatch>);

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
}

/// The numbers of customers and series that the process knows.
#[pyclass(frozen, module = "cost_insights._native")]
struct NumberCache(Mutex<numbers::NumberCache>);

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

    fn group(&self, py: Python<'_>, batches: Vec<(Py<EventBatch>, i32)>) -> Option<Group> {
        let batches: Vec<_> = batches
            .into_iter()
            .map(|(batch, organization_number)| (batch.get().0.clone(), organization_number))
            .collect();
        py.detach(|| {
            let members = self.lock().members(batches)?;
            Some(Group(group::Group::new(members, &HashSet::new())))
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

/// What became of the events of one batch.
#[pyclass(frozen, module = "cost_insights._native")]
struct Receipt(group::Receipt);

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

/// The batches that one transaction stores.
#[pyclass(module = "cost_insights._native")]
struct Group(group::Group);

#[pymethods]
impl Group {
    #[new]
    #[pyo3(signature = (members, known_parents = Vec::new()), text_signature = "(members, known_parents=())")]
    fn new(py: Python<'_>, members: Vec<Member>, known_parents: Vec<Uuid>) -> PyResult<Self> {
        let members = members
            .into_iter()
            .map(|(batch, organization, customers, series)| {
                group::Member::new(batch.get().0.clone(), organization, customers, series)
            })
            .collect::<Result<_, _>>()
            .map_err(
                |group::WrongCount {
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
            py.detach(|| group::Group::new(members, &known_parents)),
        ))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn any_id<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.0.any_id().map(|id| PyBytes::new(py, id))
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
        for record in self.0.records() {
            rows.append((
                PyBytes::new(py, record.id),
                record.organization_number,
                record.series_number,
                record.customer_number,
                record.timestamp_us,
                record.cost_picocents,
                record.content_digest,
                record.parent_id.map(|id| PyBytes::new(py, &id)),
                record.texts.external_id,
                record.texts.external_member_id,
                record.texts.llm,
                record.texts.metadata,
            ))?;
        }
        Ok(rows)
    }

    fn cells<'py>(&self, py: Python<'py>) -> Vec<(i32, Bound<'py, PyBytes>)> {
        let by_organization = py.detach(|| cell::of_group(&self.0));
        by_organization
            .into_iter()
            .map(|(organization, packed)| (organization, PyBytes::new(py, &packed)))
            .collect()
    }

    fn receipts(&self, py: Python<'_>) -> Vec<Receipt> {
        let receipts = py.detach(|| self.0.receipts());
        receipts.into_iter().map(Receipt).collect()
    }
}

/// Reads and checks the bytes of a `cost_insights.v1.IngestEventsRequest`.
#[pyfunction]
#[pyo3(signature = (request, *, organization_id, now_us, entropy, limits))]
fn decode_events(
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

/// A batch of a stream, and where in the stream it stands.
#[pyclass(frozen, module = "cost_insights._native")]
struct StreamedBatch {
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
fn decode_streamed(
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

/// The id of the event with that external id.
#[pyfunction]
fn event_id<'py>(py: Python<'py>, organization_id: Uuid, external_id: &str) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &id::event_id(&organization_id, external_id))
}

/// An integer, or what is wrong with the amount.
#[derive(IntoPyObject)]
enum Amount<T> {
    Picocents(T),
    Fault(Fault),
}

impl<T> Amount<T> {
    fn new(result: Result<T, fault::FaultKind>, found: fault::Found<'_>) -> Self {
        match result {
            Ok(picocents) => Self::Picocents(picocents),
            Err(kind) => Self::Fault(Fault(fault::Fault::of_request("", found, kind))),
        }
    }

    fn read(
        text: &Bound<'_, PyString>,
        parse: impl FnOnce(&str) -> Result<T, fault::FaultKind>,
    ) -> Self {
        // Python's text may hold halves of surrogate pairs, which are no text here
        // and no digits anywhere.
        let text = text.to_string_lossy();
        Self::new(parse(&text), fault::Found::Text(text.as_bytes()))
    }
}

/// The picocents of a decimal string, exactly.
#[pyfunction]
fn parse_amount(text: &Bound<'_, PyString>) -> Amount<i64> {
    Amount::read(text, |text| amount::parse(text).map(amount::Picocents::get))
}

/// The picocents of a decimal string with the range of an order, exactly.
#[pyfunction]
fn parse_money(text: &Bound<'_, PyString>) -> Amount<i128> {
    Amount::read(text, amount::parse_money)
}

/// The picocents of many decimal strings.
#[pyfunction]
fn parse_amounts<'py>(
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
            Ok(PyList::new(py, faults.into_iter().map(Fault))?.into_any())
        }
        Err(error) => Err(PyValueError::new_err(error.to_string())),
    }
}

/// The picocents of a double.
#[pyfunction]
fn round_amount(number: f64) -> Amount<i64> {
    let picocents = amount::round(number).map(amount::Picocents::get);
    Amount::new(picocents, fault::Found::Number(number))
}

/// Cents as decimal text without trailing zeros.
#[pyfunction]
fn format_amount(picocents: i128) -> String {
    amount::format(picocents)
}

/// Whether no character of the text can be seen.
#[pyfunction]
fn is_blank(text: &str) -> bool {
    blank::is_blank(text)
}

/// The exact sum of a contiguous buffer of native i64.
#[pyfunction]
fn sum_picocents(py: Python<'_>, amounts: &Bound<'_, PyAny>) -> PyResult<i128> {
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
fn sum_by_group(
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

fn group_error(error: sum::GroupError) -> PyErr {
    match error {
        sum::GroupError::TooMany { .. } => PyMemoryError::new_err(error.to_string()),
        _ => value_error(error),
    }
}

fn tally_error(error: tally::TallyError) -> PyErr {
    match error {
        tally::TallyError::Groups(error) => group_error(error),
        tally::TallyError::Damaged => value_error(error),
    }
}

/// Which cells add up to the periods that are asked for.
#[pyclass(frozen, module = "cost_insights._native")]
struct Cover(cover::Cover);

#[pymethods]
impl Cover {
    #[new]
    fn new(bounds_us: Vec<i64>) -> PyResult<Self> {
        cover::Cover::new(bounds_us).map(Self).map_err(value_error)
    }

    #[getter]
    fn cut_days(&self) -> Vec<i32> {
        self.0.cut_days()
    }

    #[getter]
    fn cuts_hours(&self) -> bool {
        self.0.cuts_hours()
    }

    #[getter]
    fn cut_quarters(&self) -> Vec<i32> {
        self.0.cut_quarters()
    }

    #[getter]
    fn months(&self) -> (i32, i32) {
        self.0.months()
    }

    #[getter]
    fn history_month(&self) -> i32 {
        self.0.history_month()
    }
}

/// Packed cells or activity that stay in memory.
#[pyclass(frozen, module = "cost_insights._native")]
struct Kept(cached::Kept);

#[pymethods]
impl Kept {
    #[new]
    fn new(packed: PyBackedBytes) -> Self {
        Self(cached::Kept::new(Box::from(&packed[..])))
    }

    #[getter]
    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

/// What is added up.
#[pyclass(frozen, module = "cost_insights._native")]
struct Sources {
    segments: Vec<(segment::Kind, Py<Kept>)>,
    batches: Vec<Py<Kept>>,
    events: Vec<tally::LooseEvent>,
}

#[pymethods]
impl Sources {
    #[new]
    #[pyo3(
        signature = (*, segments, batches, events = Vec::new()),
        text_signature = "(*, segments, batches, events=())",
    )]
    fn new(
        segments: Vec<(i16, Py<Kept>)>,
        batches: Vec<Py<Kept>>,
        events: Vec<(i64, i64, u32, u32)>,
    ) -> PyResult<Self> {
        let segments = segments
            .into_iter()
            .map(|(kind, kept)| Ok((kind_of(kind)?, kept)))
            .collect::<PyResult<_>>()?;
        let events = events
            .into_iter()
            .map(
                |(timestamp_us, cost_picocents, customer, series)| tally::LooseEvent {
                    timestamp_us,
                    cost_picocents,
                    customer,
                    series,
                },
            )
            .collect();
        Ok(Self {
            segments,
            batches,
            events,
        })
    }
}

impl Sources {
    fn with<T>(&self, work: impl FnOnce(&tally::Sources<'_>) -> T) -> T {
        let segments: Vec<(segment::Kind, &cached::Kept)> = self
            .segments
            .iter()
            .map(|(kind, kept)| (*kind, &kept.get().0))
            .collect();
        let batches: Vec<&cached::Kept> = self.batches.iter().map(|kept| &kept.get().0).collect();
        work(&tally::Sources {
            segments: &segments,
            batches: &batches,
            events: &self.events,
        })
    }
}

/// What the events of each group and slot add up to.
#[pyclass(frozen, module = "cost_insights._native")]
struct Tally(tally::Tally);

#[pymethods]
impl Tally {
    #[getter]
    fn slots(&self) -> usize {
        self.0.slots
    }

    #[getter]
    fn events(&self) -> &[i64] {
        &self.0.events
    }

    #[getter]
    fn costs(&self) -> &[i128] {
        &self.0.costs
    }

    #[getter]
    fn customers(&self) -> &[u64] {
        &self.0.customers
    }

    #[getter]
    fn customers_of_groups(&self) -> &[u64] {
        &self.0.customers_of_groups
    }

    #[getter]
    fn customers_of_slots(&self) -> &[u64] {
        &self.0.customers_of_slots
    }

    #[getter]
    fn customers_in_all(&self) -> u64 {
        self.0.customers_in_all
    }
}

/// Adds up what counts.
#[pyfunction]
#[pyo3(signature = (cover, sources, *, series_groups, groups, customer_groups = None, customers_wanted))]
fn tally_cells(
    py: Python<'_>,
    cover: &Cover,
    sources: &Sources,
    series_groups: &Bound<'_, PyAny>,
    groups: usize,
    customer_groups: Option<Vec<(u32, i32)>>,
    customers_wanted: bool,
) -> PyResult<Tally> {
    let series_groups = Numbers::<i32>::get(series_groups, "series_groups")?;
    py.detach(|| {
        let selection = tally::Selection {
            series_groups: series_groups.as_slice(),
            customer_groups: customer_groups.map(|groups| groups.into_iter().collect()),
            groups,
        };
        sources.with(|sources| tally::tally(&cover.0, sources, &selection, customers_wanted))
    })
    .map(Tally)
    .map_err(tally_error)
}

/// Ranks values by what they cost.
#[pyfunction]
#[pyo3(signature = (cover, sources, *, series_groups, groups, customers = None, by_customer, count))]
#[expect(clippy::too_many_arguments, reason = "each has a name in Python")]
fn rank_cells(
    py: Python<'_>,
    cover: &Cover,
    sources: &Sources,
    series_groups: &Bound<'_, PyAny>,
    groups: usize,
    customers: Option<Vec<u32>>,
    by_customer: bool,
    count: usize,
) -> PyResult<(usize, Vec<(u32, i128)>)> {
    let series_groups = Numbers::<i32>::get(series_groups, "series_groups")?;
    py.detach(|| {
        let selection = tally::Selection {
            series_groups: series_groups.as_slice(),
            customer_groups: customers.map(|all| all.into_iter().map(|one| (one, -1)).collect()),
            groups,
        };
        sources.with(|sources| tally::rank(&cover.0, sources, &selection, by_customer, count))
    })
    .map(|ranking| (ranking.values, ranking.first))
    .map_err(tally_error)
}

/// (field, whether the numbers are amounts, numbers)
type PeriodsColumn<'py> = (u32, bool, Vec<Bound<'py, PyAny>>);

/// The periods of an answer, as messages of protobuf.
#[pyfunction]
fn encode_periods<'py>(
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

/// (customer, slot, series, events, picocents)
type ListedCell = (u32, i32, u32, i64, i128);

/// Lists what each customer, period and series adds up to.
#[pyfunction]
#[pyo3(signature = (cover, sources, *, series_groups, customers = None, customer_first, customer_last))]
fn list_cells(
    py: Python<'_>,
    cover: &Cover,
    sources: &Sources,
    series_groups: &Bound<'_, PyAny>,
    customers: Option<Vec<u32>>,
    customer_first: u32,
    customer_last: u32,
) -> PyResult<Vec<ListedCell>> {
    let series_groups = Numbers::<i32>::get(series_groups, "series_groups")?;
    py.detach(|| {
        let selection = tally::Selection {
            series_groups: series_groups.as_slice(),
            customer_groups: customers.map(|all| all.into_iter().map(|one| (one, -1)).collect()),
            groups: 1,
        };
        let range = (customer_first, customer_last);
        let cells = sources.with(|sources| tally::list(&cover.0, sources, &selection, range))?;
        let listed = |c: cell::Cell| (c.customer, c.bucket, c.series, c.events, c.cost);
        Ok(cells.into_iter().map(listed).collect())
    })
    .map_err(tally_error)
}

/// The cells of pending batches, on their way into segments.
#[pyclass(module = "cost_insights._native")]
struct Compaction(segment::Compaction);

/// (kind, day or month, first customer, last customer, bytes)
type StoredSegment = (i16, i32, u32, u32, usize);

/// (kind, day or month, first customer, last customer, packed)
type NewSegment<'py> = (i16, i32, u32, u32, Bound<'py, PyBytes>);

#[pymethods]
impl Compaction {
    #[new]
    fn new(py: Python<'_>, batches: Vec<PyBackedBytes>) -> PyResult<Self> {
        py.detach(|| {
            let cells = cell::unpack_all(batches.iter().map(|packed| &packed[..]))?;
            Ok(Self(segment::Compaction::new(&cells)))
        })
        .map_err(value_error::<codec::Damaged>)
    }

    #[getter]
    fn spans(&self) -> Vec<(i16, i32)> {
        let spans = self.0.spans();
        spans.map(|(kind, of)| (kind as i16, of)).collect()
    }

    fn plan(&mut self, py: Python<'_>, stored: Vec<StoredSegment>) -> PyResult<Vec<usize>> {
        let stored = stored
            .into_iter()
            .map(|(kind, of, first, last, bytes)| {
                Ok(segment::Stored {
                    span: (kind_of(kind)?, of),
                    customers: (first, last),
                    bytes,
                })
            })
            .collect::<PyResult<Vec<_>>>()?;
        Ok(py.detach(|| self.0.plan(&stored)))
    }

    fn merge<'py>(
        &self,
        py: Python<'py>,
        replaced: Vec<PyBackedBytes>,
    ) -> PyResult<Vec<NewSegment<'py>>> {
        let segments = py.detach(|| self.0.merge(&slices(&replaced)));
        Ok(new_segments(py, segments.map_err(value_error)?))
    }
}

fn new_segments(py: Python<'_>, segments: Vec<segment::Segment>) -> Vec<NewSegment<'_>> {
    segments
        .into_iter()
        .map(|segment| {
            let ((kind, of), (first, last)) = (segment.span, segment.customers);
            let packed = PyBytes::new(py, &segment.packed);
            (kind as i16, of, first, last, packed)
        })
        .collect()
}

/// The packed cells of events.
#[pyfunction]
fn cells_of_events<'py>(
    py: Python<'py>,
    timestamps_us: &Bound<'py, PyAny>,
    costs_picocents: &Bound<'py, PyAny>,
    customers: &Bound<'py, PyAny>,
    series: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let timestamps_us = Numbers::<i64>::get(timestamps_us, "timestamps_us")?;
    let costs_picocents = Numbers::<i64>::get(costs_picocents, "costs_picocents")?;
    let customers = Numbers::<i32>::get(customers, "customers")?;
    let series = Numbers::<i32>::get(series, "series")?;
    let packed = py.detach(|| {
        check::of_events(
            timestamps_us.as_slice(),
            costs_picocents.as_slice(),
            customers.as_slice(),
            series.as_slice(),
        )
    });
    Ok(PyBytes::new(py, &packed.map_err(value_error)?))
}

/// The packed cells of events that PostgreSQL has copied, and how many events.
#[pyfunction]
fn cells_of_copy(py: Python<'_>, payload: PyBackedBytes) -> PyResult<(Bound<'_, PyBytes>, usize)> {
    let read = py.detach(|| {
        let columns = pg_copy::read_columns(&payload).map_err(value_error)?;
        let packed = check::of_events(
            &columns.timestamps_us,
            &columns.costs_picocents,
            &columns.customers,
            &columns.series,
        );
        Ok((packed.map_err(value_error)?, columns.series.len()))
    });
    read.map(|(packed, events)| (PyBytes::new(py, &packed), events))
}

/// (month, packed cells)
type OfMonth<'py> = (i32, Bound<'py, PyBytes>);

/// The packed cells of batches by month.
#[pyfunction]
fn cells_by_month(
    py: Python<'_>,
    batches: Vec<PyBackedBytes>,
    first_quarter: i32,
) -> (Vec<OfMonth<'_>>, Vec<usize>) {
    let (months, damaged) = py.detach(|| check::by_month(&slices(&batches), first_quarter));
    let months = months.into_iter();
    let packed = months.map(|(month, packed)| (month, PyBytes::new(py, &packed)));
    (packed.collect(), damaged)
}

/// The packed cells of quarters before this one.
#[pyfunction]
fn cells_before<'py>(
    py: Python<'py>,
    packed: PyBackedBytes,
    quarter: i32,
) -> PyResult<Bound<'py, PyBytes>> {
    let earlier = py.detach(|| check::before(&packed, quarter));
    Ok(PyBytes::new(py, &earlier.map_err(value_error)?))
}

/// How many events the cells of quarters before this one count.
#[pyfunction]
fn events_before(py: Python<'_>, lists: Vec<PyBackedBytes>, quarter: i32) -> PyResult<i64> {
    let counted = py.detach(|| check::events_before(&slices(&lists), quarter));
    counted.map_err(value_error)
}

/// Packed lists of cells as one.
#[pyfunction]
fn merge_cells<'py>(py: Python<'py>, lists: Vec<PyBackedBytes>) -> PyResult<Bound<'py, PyBytes>> {
    let merged = py.detach(|| check::merge(&slices(&lists)));
    Ok(PyBytes::new(py, &merged.map_err(value_error)?))
}

/// Whether a stored segment holds what readers look for in it.
#[pyfunction]
fn is_sound_segment(
    py: Python<'_>,
    kind: i64,
    span: i64,
    customer_first: i64,
    customer_last: i64,
    packed: PyBackedBytes,
) -> bool {
    let kind = i16::try_from(kind).ok().and_then(segment::Kind::of);
    let customers = (u32::try_from(customer_first), u32::try_from(customer_last));
    match (kind, i32::try_from(span), customers) {
        (Some(kind), Ok(span), (Ok(first), Ok(last))) => {
            py.detach(|| check::is_sound((kind, span), (first, last), &packed))
        }
        _ => false,
    }
}

/// (kind, day, month or year, packed)
type Derived<'py> = (i16, i32, Bound<'py, PyBytes>);

/// What segments of every kind hold.
#[pyfunction]
#[pyo3(signature = (counted, *, taken_back))]
fn derive_segments(
    py: Python<'_>,
    counted: Vec<PyBackedBytes>,
    taken_back: Vec<PyBackedBytes>,
) -> PyResult<Vec<Derived<'_>>> {
    let derived = py.detach(|| check::derive(&slices(&counted), &slices(&taken_back)));
    let mut lists = Vec::new();
    for ((kind, of), packed) in derived.map_err(value_error)? {
        let packed = packed.iter().map(|packed| PyBytes::new(py, packed));
        lists.extend(packed.map(|packed| (kind as i16, of, packed)));
    }
    Ok(lists)
}

/// (customer, bucket in words, series, stored events, stored picocents, expected
/// events, expected picocents)
type Difference = (u32, String, u32, i64, i128, i64, i128);

/// Compares the segments of a span with what is expected.
#[pyfunction]
#[pyo3(signature = (kind, stored, expected, *, differences_max))]
fn compare_segments(
    py: Python<'_>,
    kind: i16,
    stored: Vec<PyBackedBytes>,
    expected: Vec<PyBackedBytes>,
    differences_max: usize,
) -> PyResult<(u64, u64, Vec<Difference>)> {
    let kind = kind_of(kind)?;
    let found = py
        .detach(|| check::compare(kind, &slices(&stored), &slices(&expected), differences_max))
        .map_err(value_error)?;
    let first = found.first.iter().map(|one| {
        let bucket = check::bucket_in_words(kind, one.bucket);
        let (stored, expected) = (one.stored, one.expected);
        (
            one.customer,
            bucket,
            one.series,
            stored.events,
            stored.cost,
            expected.events,
            expected.cost,
        )
    });
    Ok((found.compared, found.differing, first.collect()))
}

/// The segments of a span that is written anew.
#[pyfunction]
fn pack_segments(
    py: Python<'_>,
    kind: i16,
    span: i32,
    lists: Vec<PyBackedBytes>,
) -> PyResult<Vec<NewSegment<'_>>> {
    let span = (kind_of(kind)?, span);
    let segments = py.detach(|| check::segments_of(span, &slices(&lists)));
    Ok(new_segments(py, segments.map_err(value_error)?))
}

/// Which periods and what of a ledger is asked for.
#[pyclass(frozen, module = "cost_insights._native")]
struct LedgerQuestion(ledger::Question);

#[pymethods]
impl LedgerQuestion {
    #[new]
    #[pyo3(signature = (
        *,
        bounds_us,
        whole_bounds_us,
        by_year,
        customers = None,
        products = None,
        billing_types = None,
        facts = None,
        history = true,
    ))]
    #[expect(clippy::too_many_arguments, reason = "each has a name in Python")]
    fn new(
        bounds_us: Vec<i64>,
        whole_bounds_us: Vec<i64>,
        by_year: bool,
        customers: Option<Vec<i32>>,
        products: Option<Vec<String>>,
        billing_types: Option<Vec<String>>,
        facts: Option<Vec<String>>,
        history: bool,
    ) -> PyResult<Self> {
        let question = ledger::Question::new(bounds_us, whole_bounds_us, by_year);
        let mut question = question.map_err(value_error)?;
        question = question.of(customers, products, billing_types);
        if let Some(facts) = facts {
            let names = facts.iter().map(String::as_str);
            question = question.asking(names).map_err(value_error)?;
        }
        if !history {
            question = question.without_history();
        }
        Ok(Self(question))
    }
}

/// What each group and period of a ledger adds up to.
#[pyclass(frozen, module = "cost_insights._native")]
struct LedgerTally(ledger::Tally);

#[pymethods]
impl LedgerTally {
    #[getter]
    fn groups(&self) -> usize {
        self.0.groups
    }

    #[getter]
    fn slots(&self) -> usize {
        self.0.slots
    }

    fn column(&self, fact: &str) -> PyResult<Vec<i128>> {
        let column = self.0.column(fact).map_err(value_error)?;
        Ok(column.collect())
    }

    fn history(&self, fact: &str) -> PyResult<Vec<i128>> {
        let history = self.0.history(fact).map_err(value_error)?;
        Ok(history.collect())
    }
}

/// The orders and subscriptions of one organization.
#[pyclass(frozen, module = "cost_insights._native")]
struct Ledger(RwLock<ledger::Ledger>);

impl Ledger {
    fn read<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&ledger::Ledger) -> T + Send) -> T {
        py.detach(|| work(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[pymethods]
impl Ledger {
    #[new]
    fn new() -> Self {
        Self(RwLock::default())
    }

    #[getter]
    fn position(&self, py: Python<'_>) -> i64 {
        self.read(py, ledger::Ledger::position)
    }

    #[getter]
    fn bytes(&self, py: Python<'_>) -> usize {
        self.read(py, ledger::Ledger::bytes)
    }

    fn add(
        &self,
        py: Python<'_>,
        entries: Vec<LedgerEntry>,
        subscriptions: Vec<LedgerSubscription>,
        position: i64,
    ) -> PyResult<()> {
        py.detach(|| {
            let entries: Vec<_> = entries.into_iter().map(|entry| entry.0).collect();
            let states: Vec<_> = subscriptions.into_iter().map(|state| state.0).collect();
            let mut ledger = self.0.write().unwrap_or_else(PoisonError::into_inner);
            ledger.add(&entries, &states, position)
        })
        .map_err(value_error)
    }

    fn billed_products(&self, py: Python<'_>, billing_types: Vec<String>) -> Vec<String> {
        self.read(py, |ledger| {
            let products = ledger.billed_products(&billing_types);
            products.into_iter().map(str::to_owned).collect()
        })
    }

    #[pyo3(
        signature = (question, *, by = "", keys = None),
        text_signature = "(self, question, *, by='', keys=())",
    )]
    fn tally(
        &self,
        py: Python<'_>,
        question: &LedgerQuestion,
        by: &str,
        keys: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<LedgerTally> {
        let keys = ledger_keys(by, keys)?;
        self.read(py, |ledger| ledger.tally(&question.0, &keys))
            .map(LedgerTally)
            .map_err(ledger_error)
    }

    #[pyo3(signature = (question, *, by))]
    fn rank<'py>(
        &self,
        py: Python<'py>,
        question: &LedgerQuestion,
        by: &str,
    ) -> PyResult<(Bound<'py, PyList>, LedgerTally)> {
        match by {
            "customer" => {
                let ranking = self.read(py, |ledger| ledger.rank_customers(&question.0));
                let (customers, tally) = ranking.map_err(ledger_error)?;
                Ok((PyList::new(py, customers)?, LedgerTally(tally)))
            }
            "product" => {
                let ranking = self.read(py, |ledger| ledger.rank_products(&question.0));
                let (products, tally) = ranking.map_err(ledger_error)?;
                let products = products.iter().map(|product| &**product);
                Ok((PyList::new(py, products)?, LedgerTally(tally)))
            }
            other => Err(no_such_groups(other)),
        }
    }
}

fn ledger_keys(by: &str, keys: Option<&Bound<'_, PyAny>>) -> PyResult<ledger::Keys> {
    let has_keys = keys.map_or(Ok(false), |keys| keys.len().map(|count| count > 0))?;
    match by {
        "" if has_keys => Err(PyValueError::new_err("there are keys, but no groups")),
        "" => Ok(ledger::Keys::Nothing),
        "customer" => Ok(ledger::Keys::Customers(extract_keys(keys)?)),
        "product" => Ok(ledger::Keys::Products(extract_keys(keys)?)),
        other => Err(no_such_groups(other)),
    }
}

fn extract_keys<'py, K: FromPyObjectOwned<'py>>(
    keys: Option<&Bound<'py, PyAny>>,
) -> PyResult<Vec<K>> {
    keys.map_or(Ok(Vec::new()), |keys| keys.extract())
}

fn no_such_groups(by: &str) -> PyErr {
    PyValueError::new_err(format!(
        "there are no groups by {by:?}; customer and product are allowed"
    ))
}

fn ledger_error(error: ledger::TallyError) -> PyErr {
    match error {
        ledger::TallyError::Overflow => PyOverflowError::new_err(error.to_string()),
        ledger::TallyError::KeyTwice(_) => value_error(error),
        ledger::TallyError::Groups(error) => group_error(error),
    }
}

/// An entry of a ledger, as a tuple.
struct LedgerEntry(ledger::Entry);

impl<'py> FromPyObject<'_, 'py> for LedgerEntry {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let mut items = Items::of(&object, 14)?;
        Ok(Self(ledger::Entry {
            revenue_us: items.next()?,
            order_us: items.next()?,
            customer: items.next()?,
            product_id: items.next()?,
            billing_type: items.next()?,
            subscription_id: items.next()?,
            currency: items.next()?,
            exchange_rate_e12: items.next()?,
            revenue: items.next_wide()?,
            net_revenue: items.next_wide()?,
            orders: items.next()?,
            order_revenue: items.next_wide()?,
            order_net_revenue: items.next_wide()?,
            records: items.next()?,
        }))
    }
}

/// A state of a subscription, as a tuple.
struct LedgerSubscription(ledger::State);

impl<'py> FromPyObject<'_, 'py> for LedgerSubscription {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let mut items = Items::of(&object, 14)?;
        Ok(Self(ledger::State {
            subscription_id: items.next()?,
            customer: items.next()?,
            product_id: items.next()?,
            currency: items.next()?,
            amount: items.next_wide()?,
            recurring_interval: items.next()?,
            recurring_interval_count: items.next()?,
            started_us: items.next()?,
            trial_end_us: items.next()?,
            canceled_us: items.next()?,
            cancel_reason: items.next()?,
            uncanceled_us: items.next()?,
            ends_us: items.next()?,
            ended_us: items.next()?,
        }))
    }
}

/// The items of a tuple, one after the other.
struct Items<'a, 'py> {
    tuple: Borrowed<'a, 'py, PyTuple>,
    at: usize,
}

impl<'a, 'py> Items<'a, 'py> {
    fn of(object: &Borrowed<'a, 'py, PyAny>, count: usize) -> PyResult<Self> {
        let tuple = object.cast::<PyTuple>()?;
        if tuple.len() != count {
            return Err(PyValueError::new_err(format!(
                "a record of {} items; there must be {count}",
                tuple.len()
            )));
        }
        Ok(Self { tuple, at: 0 })
    }

    fn item(&mut self) -> PyResult<Borrowed<'_, 'py, PyAny>> {
        self.at += 1;
        self.tuple.get_borrowed_item(self.at - 1)
    }

    fn next<T: FromPyObjectOwned<'py>>(&mut self) -> PyResult<T> {
        self.item()?.extract().map_err(Into::into)
    }

    /// An integer, or the decimal digits of one.
    fn next_wide(&mut self) -> PyResult<i128> {
        let item = self.item()?;
        let Ok(text) = item.cast::<PyString>() else {
            return item.extract();
        };
        let text = text.to_string_lossy();
        text.parse().map_err(|_| {
            PyValueError::new_err(format!("{text:?} is not an integer of up to 127 bits"))
        })
    }
}

fn slices(lists: &[PyBackedBytes]) -> Vec<&[u8]> {
    lists.iter().map(|packed| &packed[..]).collect()
}

fn kind_of(number: i16) -> PyResult<segment::Kind> {
    segment::Kind::of(number)
        .ok_or_else(|| PyValueError::new_err(format!("there is no segment of kind {number}")))
}

fn value_error<E: std::fmt::Display>(error: E) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A contiguous buffer of native integers; `None` where it has no items, because
/// the empty buffers of Python point anywhere.
struct Numbers<T: Element>(Option<PyBuffer<T>>);

impl<T: Element> Numbers<T> {
    fn get(object: &Bound<'_, PyAny>, name: &str) -> PyResult<Self> {
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

    fn as_slice(&self) -> &[T] {
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

fn uuids<'a, 'py>(
    py: Python<'py>,
    ids: impl IntoIterator<Item = &'a Uuid>,
) -> PyResult<Bound<'py, PyList>> {
    let ids: Vec<_> = ids.into_iter().map(|id| PyBytes::new(py, id)).collect();
    PyList::new(py, ids)
}
