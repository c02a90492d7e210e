//! `_native.ledger`: the revenue records of one organization.

use std::sync::{PoisonError, RwLock};

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

use super::convert::{group_error, value_error};
use crate::ledger;

/// A question to a ledger: the periods, the records that count, and the facts.
#[pyclass(frozen, module = "cost_insights._native.ledger")]
pub struct LedgerQuestion(ledger::Question);

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

/// The sums of each group and period of a ledger.
#[pyclass(frozen, module = "cost_insights._native.ledger")]
pub struct LedgerTally(ledger::Tally);

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

/// The revenue records of one organization.
#[pyclass(frozen, module = "cost_insights._native.ledger")]
pub struct Ledger(RwLock<ledger::Ledger>);

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

    #[pyo3(
        signature = (
            position,
            *,
            entries = vec![],
            subscriptions = vec![],
            checkouts = vec![],
            seats = vec![],
        ),
        text_signature = "(self, position, *, entries=(), subscriptions=(), checkouts=(), seats=())",
    )]
    fn add(
        &self,
        py: Python<'_>,
        position: i64,
        entries: Vec<LedgerEntry>,
        subscriptions: Vec<LedgerSubscription>,
        checkouts: Vec<LedgerCheckout>,
        seats: Vec<LedgerSeat>,
    ) -> PyResult<()> {
        py.detach(|| {
            let records = ledger::Records {
                entries: entries.into_iter().map(|entry| entry.0).collect(),
                subscriptions: subscriptions.into_iter().map(|state| state.0).collect(),
                checkouts: checkouts.into_iter().map(|state| state.0).collect(),
                seats: seats.into_iter().map(|state| state.0).collect(),
            };
            let mut ledger = self.0.write().unwrap_or_else(PoisonError::into_inner);
            ledger.add(&records, position)
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

/// A state of a checkout, as a tuple.
struct LedgerCheckout(ledger::CheckoutState);

impl<'py> FromPyObject<'_, 'py> for LedgerCheckout {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let mut items = Items::of(&object, 6)?;
        Ok(Self(ledger::CheckoutState {
            checkout_id: items.next()?,
            customer: items.next()?,
            product_id: items.next()?,
            billing_type: items.next()?,
            status: items.next()?,
            counted_us: items.next()?,
        }))
    }
}

/// A state of a seat, as a tuple.
struct LedgerSeat(ledger::SeatState);

impl<'py> FromPyObject<'_, 'py> for LedgerSeat {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let mut items = Items::of(&object, 7)?;
        Ok(Self(ledger::SeatState {
            seat_id: items.next()?,
            customer: items.next()?,
            product_id: items.next()?,
            billing_type: items.next()?,
            created_us: items.next()?,
            claimed_us: items.next()?,
            revoked_us: items.next()?,
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
