//! `_native.cells`: cells, segments, and what they add up to.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyByteArray, PyBytes, PyList, PyString, PyTuple};

use super::convert::{Numbers, group_error, slices, value_error};
use crate::cells::kind::{self, Contents, Kind};
use crate::cells::{cached, cell, check, codec, cover, segment, tally};
use crate::commit::checksum::{StoredRows, push_bytes, push_value};
use crate::commit::columns::{COLUMNS, TABLE, Type, Value};
use crate::commit::pg_copy;
use crate::events::tokens::{MEASURES, of_llm};

fn tally_error(error: tally::TallyError) -> PyErr {
    match error {
        tally::TallyError::Groups(error) => group_error(error),
        tally::TallyError::Damaged => value_error(error),
    }
}

/// The cells that add up to the periods of a question.
#[pyclass(frozen, module = "cost_insights._native.cells")]
pub struct Cover(cover::Cover);

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

/// A kind of segments.
#[pyclass(frozen, module = "cost_insights._native.cells")]
pub struct SegmentKind(pub &'static kind::Layout);

#[pymethods]
impl SegmentKind {
    #[getter]
    fn number(&self) -> i16 {
        self.0.kind as i16
    }

    #[getter]
    fn name(&self) -> &'static str {
        self.0.name
    }

    #[getter]
    fn span(&self) -> &'static str {
        self.0.buckets.span()
    }

    #[getter]
    fn is_by_customer(&self) -> bool {
        self.0.contents == Contents::Customers
    }

    #[getter]
    fn is_activity(&self) -> bool {
        self.0.contents == Contents::Activity
    }

    #[getter]
    fn is_by_series(&self) -> bool {
        self.0.is_by_series
    }

    #[getter]
    fn is_of_tokens(&self) -> bool {
        self.0.kind.is_of_tokens()
    }
}

/// Packed cells or activity that stay in memory.
#[pyclass(frozen, module = "cost_insights._native.cells")]
pub struct CachedCells(cached::CachedCells);

#[pymethods]
impl CachedCells {
    #[new]
    #[pyo3(signature = (packed, tokens = None))]
    fn new(packed: PyBackedBytes, tokens: Option<PyBackedBytes>) -> Self {
        let cached = cached::CachedCells::new(Box::from(&packed[..]));
        Self(match tokens {
            Some(tokens) => cached.with_tokens(Box::from(&tokens[..])),
            None => cached,
        })
    }

    #[getter]
    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

/// The sources of a tally.
#[pyclass(frozen, module = "cost_insights._native.cells")]
pub struct Sources {
    segments: Vec<(Kind, Py<CachedCells>)>,
    batches: Vec<Py<CachedCells>>,
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
        segments: Vec<(i16, Py<CachedCells>)>,
        batches: Vec<Py<CachedCells>>,
        events: Vec<(i64, i64, u32, u32, Option<PyBackedStr>)>,
    ) -> PyResult<Self> {
        let segments = segments
            .into_iter()
            .map(|(kind, cached)| Ok((kind_of(kind)?, cached)))
            .collect::<PyResult<_>>()?;
        let events = events
            .into_iter()
            .map(
                |(timestamp_us, cost_picocents, customer, series, llm)| tally::LooseEvent {
                    timestamp_us,
                    cost_picocents,
                    customer,
                    series,
                    tokens: llm.map(|llm| of_llm(&llm)).unwrap_or_default(),
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
        let segments: Vec<(Kind, &cached::CachedCells)> = self
            .segments
            .iter()
            .map(|(kind, cached)| (*kind, &cached.get().0))
            .collect();
        let batches: Vec<&cached::CachedCells> =
            self.batches.iter().map(|cached| &cached.get().0).collect();
        work(&tally::Sources {
            segments: &segments,
            batches: &batches,
            events: &self.events,
        })
    }
}

/// The sums of the events of each group and slot.
#[pyclass(frozen, module = "cost_insights._native.cells")]
pub struct Tally(tally::Tally);

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
pub fn tally_cells(
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

/// Adds up the tokens of what counts, by measure.
#[pyfunction]
#[pyo3(signature = (cover, sources, *, series_groups, groups, customer_groups = None))]
pub fn tally_tokens(
    py: Python<'_>,
    cover: &Cover,
    sources: &Sources,
    series_groups: &Bound<'_, PyAny>,
    groups: usize,
    customer_groups: Option<Vec<(u32, i32)>>,
) -> PyResult<[Vec<i128>; MEASURES]> {
    let series_groups = Numbers::<i32>::get(series_groups, "series_groups")?;
    py.detach(|| {
        let selection = tally::Selection {
            series_groups: series_groups.as_slice(),
            customer_groups: customer_groups.map(|groups| groups.into_iter().collect()),
            groups,
        };
        sources.with(|sources| tally::tally_tokens(&cover.0, sources, &selection))
    })
    .map_err(tally_error)
}

/// Ranks values by what they cost.
#[pyfunction]
#[pyo3(signature = (cover, sources, *, series_groups, groups, customers = None, by_customer, count))]
#[expect(clippy::too_many_arguments, reason = "each has a name in Python")]
pub fn rank_cells(
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

/// (customer, slot, series, events, picocents)
type ListedCell = (u32, i32, u32, i64, i128);

/// Lists what each customer, period and series adds up to.
#[pyfunction]
#[pyo3(signature = (cover, sources, *, series_groups, customers = None, customer_first, customer_last))]
pub fn list_cells(
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
#[pyclass(module = "cost_insights._native.cells")]
pub struct Compaction(segment::Compaction);

/// (kind, day or month, first customer, last customer, bytes)
type StoredSegment = (i16, i32, u32, u32, usize);

/// (kind, day or month, first customer, last customer, packed)
type NewSegment<'py> = (i16, i32, u32, u32, Bound<'py, PyBytes>);

#[pymethods]
impl Compaction {
    #[new]
    #[pyo3(signature = (batches, tokens = Vec::new()), text_signature = "(batches, tokens=())")]
    fn new(
        py: Python<'_>,
        batches: Vec<PyBackedBytes>,
        tokens: Vec<PyBackedBytes>,
    ) -> PyResult<Self> {
        py.detach(|| {
            let cells = cell::unpack_all(batches.iter().map(|packed| &packed[..]))?;
            let tokens = cell::unpack_all(tokens.iter().map(|packed| &packed[..]))?;
            Ok(Self(segment::Compaction::new(&cells).with_tokens(&tokens)))
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

/// The packed cells of stored events that are not damaged, those of their tokens, if they have any,
/// and a verdict on each event.
type Verified<'py> = (
    Bound<'py, PyBytes>,
    Option<Bound<'py, PyBytes>>,
    Bound<'py, PyBytes>,
);

/// The cells of events that PostgreSQL has copied, and a verdict on each.
#[pyfunction]
pub fn verify_copy(py: Python<'_>, payload: PyBackedBytes) -> PyResult<Verified<'_>> {
    let rows = py.detach(|| pg_copy::read_rows(&payload).map_err(value_error))?;
    verified(py, &rows)
}

/// The cells of events that were selected, and a verdict on each.
#[pyfunction]
pub fn verify_rows<'py>(py: Python<'py>, rows: &Bound<'py, PyList>) -> PyResult<Verified<'py>> {
    let mut read = StoredRows::default();
    let mut encoded = Vec::new();
    for row in rows.iter() {
        encoded.clear();
        if encode_row(&row.cast_into()?, &mut encoded).is_some() {
            read.add(&encoded);
        } else {
            read.add_damaged();
        }
    }
    verified(py, &read)
}

/// Encodes a row as its checksum is computed; `None` where a value is not of the type of its
/// column, whatever else it is.
fn encode_row(row: &Bound<'_, PyTuple>, encoded: &mut Vec<u8>) -> Option<()> {
    if row.len() != COLUMNS {
        return None;
    }
    for (value, (_, kind)) in row.iter_borrowed().zip(TABLE) {
        if value.is_none() {
            push_value(encoded, Value::Null);
            continue;
        }
        match kind {
            Type::Uuid => {
                let id = value.cast::<PyBytes>().ok()?;
                push_value(encoded, Value::Uuid(id.as_bytes().try_into().ok()?));
            }
            Type::Int4 => push_value(encoded, Value::Int4(value.extract().ok()?)),
            Type::Int8 => push_value(encoded, Value::Int8(value.extract().ok()?)),
            Type::Text | Type::Json => {
                if let Ok(text) = value.cast::<PyString>() {
                    push_bytes(encoded, text.to_cow().ok()?.as_bytes());
                } else {
                    push_bytes(encoded, &value.cast::<PyByteArray>().ok()?.to_vec());
                }
            }
        }
    }
    Some(())
}

fn verified<'py>(py: Python<'py>, rows: &StoredRows) -> PyResult<Verified<'py>> {
    let packed = py.detach(|| {
        check::of_events(&check::Columns {
            timestamps_us: &rows.timestamps_us,
            costs_picocents: &rows.costs_picocents,
            customers: &rows.customers,
            series: &rows.series,
            tokens: &rows.tokens,
        })
    });
    let verdicts: Vec<u8> = rows.verdicts.iter().map(|one| *one as u8).collect();
    let packed = packed.map_err(value_error)?;
    Ok((
        PyBytes::new(py, &packed.cells),
        packed.tokens.map(|tokens| PyBytes::new(py, &tokens)),
        PyBytes::new(py, &verdicts),
    ))
}

/// (month, packed cells)
type OfMonth<'py> = (i32, Bound<'py, PyBytes>);

/// The packed cells of batches by month.
#[pyfunction]
pub fn cells_by_month(
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
pub fn cells_before<'py>(
    py: Python<'py>,
    packed: PyBackedBytes,
    quarter: i32,
) -> PyResult<Bound<'py, PyBytes>> {
    let earlier = py.detach(|| check::before(&packed, quarter));
    Ok(PyBytes::new(py, &earlier.map_err(value_error)?))
}

/// The cells with those of negative series added up in one other series.
#[pyfunction]
pub fn fold_series<'py>(
    py: Python<'py>,
    packed: PyBackedBytes,
    other: u32,
) -> PyResult<Bound<'py, PyBytes>> {
    let folded = py.detach(|| check::folded(&packed, other));
    Ok(PyBytes::new(py, &folded.map_err(value_error)?))
}

/// The cells of tokens with those of negative series added up in one other series.
#[pyfunction]
pub fn fold_token_series<'py>(
    py: Python<'py>,
    packed: PyBackedBytes,
    other: u32,
) -> PyResult<Bound<'py, PyBytes>> {
    let folded = py.detach(|| check::folded_tokens(&packed, other));
    Ok(PyBytes::new(py, &folded.map_err(value_error)?))
}

/// The number of events in the cells of quarters before this one.
#[pyfunction]
pub fn events_before(py: Python<'_>, lists: Vec<PyBackedBytes>, quarter: i32) -> PyResult<i64> {
    let counted = py.detach(|| check::events_before(&slices(&lists), quarter));
    counted.map_err(value_error)
}

/// Packed lists of cells as one.
#[pyfunction]
pub fn merge_cells<'py>(
    py: Python<'py>,
    lists: Vec<PyBackedBytes>,
) -> PyResult<Bound<'py, PyBytes>> {
    let merged = py.detach(|| check::merge(&slices(&lists)));
    Ok(PyBytes::new(py, &merged.map_err(value_error)?))
}

/// Whether a stored segment can be read and holds only what belongs to it.
#[pyfunction]
pub fn is_sound_segment(
    py: Python<'_>,
    kind: i64,
    span: i64,
    customer_first: i64,
    customer_last: i64,
    packed: PyBackedBytes,
) -> bool {
    let kind = i16::try_from(kind).ok().and_then(Kind::of);
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

/// The contents of segments of every kind.
#[pyfunction]
#[pyo3(signature = (counted, *, taken_back))]
pub fn derive_segments(
    py: Python<'_>,
    counted: Vec<PyBackedBytes>,
    taken_back: Vec<PyBackedBytes>,
) -> PyResult<Vec<Derived<'_>>> {
    let derived = py.detach(|| check::derive(&slices(&counted), &slices(&taken_back)));
    Ok(derived_lists(py, &derived.map_err(value_error)?))
}

/// The contents of segments of tokens.
#[pyfunction]
#[pyo3(signature = (counted, *, taken_back))]
pub fn derive_token_segments(
    py: Python<'_>,
    counted: Vec<PyBackedBytes>,
    taken_back: Vec<PyBackedBytes>,
) -> PyResult<Vec<Derived<'_>>> {
    let derived = py.detach(|| check::derive_tokens(&slices(&counted), &slices(&taken_back)));
    Ok(derived_lists(py, &derived.map_err(value_error)?))
}

fn derived_lists<'py>(py: Python<'py>, derived: &check::Derived) -> Vec<Derived<'py>> {
    let mut lists = Vec::new();
    for ((kind, of), packed) in derived {
        let packed = packed.iter().map(|packed| PyBytes::new(py, packed));
        lists.extend(packed.map(|packed| (*kind as i16, *of, packed)));
    }
    lists
}

/// (customer, bucket in words, series, stored events, stored picocents, expected
/// events, expected picocents)
type Difference = (u32, String, u32, i64, i128, i64, i128);

/// Compares the segments of a span with what is expected.
#[pyfunction]
#[pyo3(signature = (kind, stored, expected, *, differences_max))]
pub fn compare_segments(
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
        let bucket = kind.layout().buckets.in_words(one.bucket);
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
pub fn pack_segments(
    py: Python<'_>,
    kind: i16,
    span: i32,
    lists: Vec<PyBackedBytes>,
) -> PyResult<Vec<NewSegment<'_>>> {
    let span = (kind_of(kind)?, span);
    let segments = py.detach(|| check::segments_of(span, &slices(&lists)));
    Ok(new_segments(py, segments.map_err(value_error)?))
}

fn kind_of(number: i16) -> PyResult<Kind> {
    Kind::of(number)
        .ok_or_else(|| PyValueError::new_err(format!("there is no segment of kind {number}")))
}
