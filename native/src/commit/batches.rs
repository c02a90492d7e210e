//! The batches that one transaction stores, and what becomes of their events.
#![forbid(unsafe_code)]

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::events::batch::{EventBatch, Parent, Row, RowTexts};
use crate::ids::Uuid;

/// A batch and the numbers that the database has given to its organization, its
/// customers and its series, in the order of the batch's lists.
#[derive(Debug)]
pub struct Member {
    batch: Arc<EventBatch>,
    organization_number: i32,
    customer_numbers: Vec<i32>,
    series_numbers: Vec<i32>,
    /// Whether each of the batch's uncertain parents is the id of an event.
    parent_is_id: Vec<bool>,
}

/// The numbers given for a batch are not as many as its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongCount {
    /// Numbers of what.
    pub what: &'static str,
    /// The number that the batch has.
    pub expected: usize,
    /// The number that was given.
    pub actual: usize,
}

impl Member {
    /// Checks that there is a number for everything in the batch.
    pub fn new(
        batch: Arc<EventBatch>,
        organization_number: i32,
        customer_numbers: Vec<i32>,
        series_numbers: Vec<i32>,
    ) -> Result<Self, WrongCount> {
        let counts = [
            (
                "customer numbers",
                batch.customer_count(),
                customer_numbers.len(),
            ),
            ("series numbers", batch.series_count(), series_numbers.len()),
        ];
        for (what, expected, actual) in counts {
            if expected != actual {
                return Err(WrongCount {
                    what,
                    expected,
                    actual,
                });
            }
        }
        Ok(Self {
            batch,
            organization_number,
            customer_numbers,
            series_numbers,
            parent_is_id: Vec::new(),
        })
    }
}

/// The one event of a commit that may be inserted under its id.
#[derive(Debug)]
struct Claim {
    id: Uuid,
    /// The digest of the content that all others with the id are compared with.
    content_digest: i64,
    member: u32,
    row: u32,
    stored: bool,
}

/// An event that is left to insert, with everything that a row of the database holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the columns of an event, as the stub documents them"
)]
pub struct Record<'a> {
    pub id: &'a Uuid,
    pub organization_number: i32,
    pub series_number: i32,
    pub customer_number: i32,
    pub timestamp_us: i64,
    pub cost_picocents: Option<i64>,
    pub content_digest: i64,
    pub parent_id: Option<Uuid>,
    pub metadata_signature: i64,
    pub texts: RowTexts<'a>,
}

/// The outcome of the events of one batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The number of events that are inserted.
    pub inserted: usize,
    /// The number of events that were stored already with the same content.
    pub duplicates: usize,
    /// The events whose external id is taken by other content: index in the request,
    /// external id, id of the event that has it.
    pub conflicts: Vec<(u32, String, Uuid)>,
}

/// Several batches, with each id once.
#[derive(Debug)]
pub struct Commit {
    members: Vec<Member>,
    claims: Vec<Claim>,
    /// The claim on each id.
    claim_of: HashMap<Uuid, u32>,
    /// The claim that each event of each member makes or meets, in order.
    met: Vec<u32>,
}

impl Commit {
    /// Finds the events that have one id. `known_parents` are those of the uncertain parents that
    /// are ids of events, each after the number of the organization that both belong to.
    pub fn new(mut members: Vec<Member>, known_parents: &HashSet<(i32, Uuid)>) -> Self {
        let events = members.iter().map(|member| member.batch.rows.len()).sum();
        let mut claims: Vec<Claim> = Vec::with_capacity(events);
        let mut claim_of = HashMap::with_capacity(events);
        let mut met = Vec::with_capacity(events);
        for (at, member) in members.iter_mut().enumerate() {
            member.parent_is_id = member
                .batch
                .uncertain_parents
                .iter()
                .map(|parent| known_parents.contains(&(member.organization_number, *parent)))
                .collect();
            for (row, event) in member.batch.rows.iter().enumerate() {
                let claim = match claim_of.entry(event.id) {
                    Entry::Occupied(taken) => *taken.get(),
                    Entry::Vacant(free) => {
                        claims.push(Claim {
                            id: event.id,
                            content_digest: event.content_digest,
                            member: at as u32,
                            row: row as u32,
                            stored: false,
                        });
                        *free.insert(claims.len() as u32 - 1)
                    }
                };
                met.push(claim);
            }
        }
        Self {
            members,
            claims,
            claim_of,
            met,
        }
    }

    /// Takes out the events that are stored already, given as id and content
    /// digest. Ids that no event has are passed over.
    pub fn set_aside(&mut self, stored: &[(Uuid, i64)]) {
        for (id, content_digest) in stored {
            if let Some(&claim) = self.claim_of.get(id) {
                let claim = &mut self.claims[claim as usize];
                claim.stored = true;
                claim.content_digest = *content_digest;
            }
        }
    }

    /// The number of events that are left to insert.
    pub fn len(&self) -> usize {
        self.claims.iter().filter(|claim| !claim.stored).count()
    }

    /// Whether no event is left to insert.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids of the events left to insert that may be stored already.
    pub fn keyed_ids(&self) -> impl Iterator<Item = &Uuid> {
        self.left()
            .filter(|(_, _, row)| row.is_keyed)
            .map(|(claim, _, _)| &claim.id)
    }

    /// The events left to insert, in the order of their ids: transactions that
    /// insert the same events then wait for each other in one direction only.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let mut left: Vec<_> = self.left().collect();
        left.sort_unstable_by_key(|(claim, _, _)| claim.id);
        left.into_iter().map(|(_, member, row)| Record {
            id: &row.id,
            organization_number: member.organization_number,
            series_number: member.series_numbers[row.series as usize],
            customer_number: member.customer_numbers[member.batch.customer_place(row.customer)],
            timestamp_us: row.timestamp_us,
            cost_picocents: row.cost.map(|cost| cost.get()),
            content_digest: row.content_digest,
            parent_id: match row.parent {
                Parent::None => None,
                Parent::Id(id) => Some(id),
                Parent::Uncertain { place, .. } if member.parent_is_id[place as usize] => {
                    Some(member.batch.uncertain_parents[place as usize])
                }
                Parent::Uncertain { by_external_id, .. } => Some(by_external_id),
            },
            metadata_signature: row.metadata_signature as i64,
            texts: member.batch.texts_of(row),
        })
    }

    /// The number of bytes of all texts of the events that are left to insert.
    pub fn texts_bytes(&self) -> usize {
        self.left().map(|(_, _, row)| row.texts_bytes()).sum()
    }

    /// The receipt of each member, provided that the events that are left are inserted.
    pub fn receipts(&self) -> Vec<Receipt> {
        let mut met = self.met.iter();
        self.members
            .iter()
            .enumerate()
            .map(|(at, member)| {
                let mut receipt = Receipt::default();
                for ((row, event), &claim) in member.batch.rows.iter().enumerate().zip(&mut met) {
                    let claim = &self.claims[claim as usize];
                    let holds = (claim.member as usize, claim.row as usize) == (at, row);
                    if holds && !claim.stored {
                        receipt.inserted += 1;
                    } else if event.content_digest == claim.content_digest {
                        receipt.duplicates += 1;
                    } else {
                        let external_id = member.batch.texts_of(event).external_id;
                        receipt.conflicts.push((
                            event.index,
                            external_id.unwrap_or_default().to_owned(),
                            event.id,
                        ));
                    }
                }
                receipt
            })
            .collect()
    }

    fn left(&self) -> impl Iterator<Item = (&Claim, &Member, &Row)> {
        self.claims
            .iter()
            .filter(|claim| !claim.stored)
            .map(|claim| {
                let member = &self.members[claim.member as usize];
                (claim, member, &member.batch.rows[claim.row as usize])
            })
    }
}
