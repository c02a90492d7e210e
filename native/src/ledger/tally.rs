//! Adding up a ledger, by group and period.
//!
//! Entries are gone through period by period, so that a subscription counts once in
//! each by a mark of the period. What is true of a subscription from one period to
//! another is added where it begins and taken back where it ends: running sums then
//! say how much there is in each period.

use super::book::{Ledger, NOBODY};
use super::chunk::{Kind, Pair};
use super::error::TallyError;
use super::groups::{Keys, LEFT_OUT, Table, Tables};
use super::orders::{OrderSums, Scan, Subscriptions};
use super::question::{Fact, Question, QuestionError, Wants};
use super::seats::Seats;
use super::states::States;
use super::sums::{Overflow, Sums};
use crate::amount::sum::{GroupError, zeros};
use crate::time::TIME_US_MIN;

/// The sums of each group and period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The number of groups.
    pub groups: usize,
    /// The number of values of each fact in a group.
    pub slots: usize,
    sums: Sums,
    history: Option<Vec<Pair<i128>>>,
}

impl Tally {
    /// The numbers of a fact, that of slot s of group g at g · slots + s.
    pub fn column(&self, name: &str) -> Result<impl Iterator<Item = i128>, QuestionError> {
        let place = self.sums.places[Fact::place_of(name)?];
        let place = place.ok_or_else(|| QuestionError::NotAsked(name.to_owned()))?;
        Ok(self.sums.column(place))
    }

    /// The revenue or the net revenue before the first period, by group.
    pub fn history(&self, name: &str) -> Result<impl Iterator<Item = i128>, QuestionError> {
        let is_net = match name {
            "revenue" => false,
            "net_revenue" => true,
            other => return Err(QuestionError::NoFact(other.to_owned())),
        };
        let history = self.history.as_ref();
        let history = history.ok_or_else(|| QuestionError::NotAsked(name.to_owned()))?;
        Ok(history
            .iter()
            .map(move |&(revenue, net)| if is_net { net } else { revenue }))
    }

    fn of_groups(&self, groups: &[usize]) -> Self {
        let history = self.history.as_ref();
        Self {
            groups: groups.len(),
            slots: self.slots,
            sums: self.sums.of_groups(groups),
            history: history.map(|all| groups.iter().map(|&group| all[group]).collect()),
        }
    }
}

impl Ledger {
    /// Adds up the records that count, by period and group.
    pub fn tally(&self, question: &Question, keys: &Keys) -> Result<Tally, TallyError> {
        let tables = Tables::of_keys(self, question, keys)?;
        Tallying::new(self, question, &tables, false)?.tally()
    }

    /// The customers of the span, and a tally of one slot with a group for each.
    pub fn rank_customers(&self, question: &Question) -> Result<(Vec<i32>, Tally), TallyError> {
        let group_of = |slot| if slot == NOBODY { LEFT_OUT } else { slot };
        let tables = Tables {
            customers: Table::of(
                self.customers.len(),
                self.chosen_customers(question),
                group_of,
            ),
            ..Tables::of_no_group(self, question)
        };
        self.rank(question, &tables, self.customers.keys())
    }

    /// The products of the span, and a tally of one slot with a group for each.
    pub fn rank_products(&self, question: &Question) -> Result<(Vec<Box<str>>, Tally), TallyError> {
        let products = Table::of(
            self.products.len(),
            self.chosen_products(question),
            |slot| slot,
        );
        let tables = Tables::of_products(self, question, products, self.products.len());
        self.rank(question, &tables, self.products.keys())
    }

    fn rank<K: Clone + Ord>(
        &self,
        question: &Question,
        tables: &Tables,
        keys: &[K],
    ) -> Result<(Vec<K>, Tally), TallyError> {
        let tables = Tables {
            count: keys.len(),
            ..tables.clone()
        };
        let ranking = Tallying::new(self, question, &tables, true)?;
        let (tally, present) = ranking.rank()?;
        let mut groups: Vec<usize> = (0..keys.len()).filter(|&group| present[group]).collect();
        groups.sort_unstable_by(|&one, &other| keys[one].cmp(&keys[other]));
        let keys = groups.iter().map(|&group| keys[group].clone()).collect();
        Ok((keys, tally.of_groups(&groups)))
    }
}

/// The state of answering one question.
struct Tallying<'a> {
    ledger: &'a Ledger,
    question: &'a Question,
    tables: &'a Tables,
    wants: Wants,
    sums: Sums,
    orders: Vec<OrderSums>,
    subscriptions: Subscriptions,
}

impl<'a> Tallying<'a> {
    fn new(
        ledger: &'a Ledger,
        question: &'a Question,
        tables: &'a Tables,
        is_ranking: bool,
    ) -> Result<Self, GroupError> {
        let wants = Wants::of(question, is_ranking);
        Ok(Self {
            ledger,
            question,
            tables,
            sums: Sums::new(question, tables.count, is_ranking)?,
            orders: zeros(tables.count)?,
            subscriptions: Subscriptions::of(wants.classes.then_some(ledger)),
            wants,
        })
    }

    fn tally(mut self) -> Result<Tally, TallyError> {
        for period in 0..self.question.periods() {
            self.add_entries(period)?;
            self.book_orders(period)?;
            self.orders.fill(OrderSums::default());
        }
        self.add_states(&mut [])?;
        self.finish()
    }

    /// A tally of one slot, and whether each group has a record.
    fn rank(mut self) -> Result<(Tally, Vec<bool>), TallyError> {
        for period in 0..self.question.periods() {
            self.add_entries(period)?;
        }
        self.book_orders(0)?;
        let mut present: Vec<bool> = self.orders.iter().map(|one| one.entries > 0).collect();
        self.add_states(&mut present)?;
        Ok((self.finish()?, present))
    }

    fn finish(mut self) -> Result<Tally, TallyError> {
        if !self.sums.is_ranking {
            self.sums.run()?;
        }
        let asks_history = self.question.asks_history;
        Ok(Tally {
            groups: self.tables.count,
            slots: self.sums.slots(),
            history: asks_history.then(|| self.history()).transpose()?,
            sums: self.sums,
        })
    }

    fn history(&self) -> Result<Vec<Pair<i128>>, TallyError> {
        let (tables, start_us) = (self.tables, self.question.span_us.start);
        let mut sums: Vec<Pair<i128>> = zeros(tables.count)?;
        for kind in Kind::ALL.into_iter().filter(|kind| kind.has_revenue()) {
            for chunk in self.ledger.chunks_within(kind, TIME_US_MIN, start_us) {
                chunk.for_each_range(TIME_US_MIN, start_us, |range| {
                    if tables.are_plain() {
                        return chunk.revenue.add_range(&mut sums[0], range);
                    }
                    for place in range {
                        if let Some(group) = tables.of_entry(chunk, place) {
                            chunk.revenue.add(&mut sums[group], place)?;
                        }
                    }
                    Ok(())
                })?;
            }
        }
        Ok(sums)
    }
}

/// The facts of orders.
impl Tallying<'_> {
    fn add_entries(&mut self, period: usize) -> Result<(), Overflow> {
        let (ledger, tables, orders) = (self.ledger, self.tables, &mut self.orders);
        let bounds_us = self.question.bounds_of(period);
        if bounds_us.is_empty() {
            return Ok(());
        }
        self.subscriptions
            .start_period(period, self.question.whole_bounds_of(period));
        let mut scan = Scan {
            tables,
            span_us: self.question.span_us.clone(),
            wants: self.wants,
            subscriptions: &mut self.subscriptions,
        };
        for kind in Kind::ALL {
            if !self.wants.looks_at(kind) {
                continue;
            }
            for chunk in ledger.chunks_within(kind, bounds_us.start, bounds_us.end - 1) {
                chunk.for_each_range(bounds_us.start, bounds_us.end, |range| {
                    if tables.are_plain() {
                        scan.add_plain(&mut orders[0], kind, chunk, range)
                    } else {
                        scan.add_grouped(orders, kind, chunk, range)
                    }
                })?;
            }
        }
        Ok(())
    }

    /// Books what the orders of a period add up to.
    fn book_orders(&mut self, period: usize) -> Result<(), Overflow> {
        let mut groups = self.orders.iter().enumerate();
        groups.try_for_each(|(group, orders)| orders.book(group, period, &mut self.sums))
    }

    /// Adds subscriptions, checkouts and seats. Notes in `present`, if it has a place for
    /// each group, which have one of them in the span.
    fn add_states(&mut self, present: &mut [bool]) -> Result<(), Overflow> {
        let (ledger, question, tables) = (self.ledger, self.question, self.tables);
        let sums = &mut self.sums;
        if self.wants.checkouts {
            ledger.add_checkouts(question, tables, sums, present)?;
        }
        if self.wants.seats {
            let mut seats = Seats {
                ledger,
                question,
                tables,
                sums,
            };
            seats.add(present)?;
        }
        if self.wants.subscriptions {
            let mut states = States {
                ledger,
                question,
                tables,
                sums,
            };
            states.add(present)?;
        }
        Ok(())
    }
}
