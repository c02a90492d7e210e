//! The latest states of checkouts and seats, which are known by their ids.

use std::collections::HashMap;
use std::mem::size_of;

use foldhash::fast::RandomState;

use super::interned::Slot;

/// The latest known state of a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// None where it does not count.
    pub counted_us: Option<i64>,
    pub has_succeeded: bool,
    pub customer: Slot,
    pub offer: Slot,
}

/// The latest known state of a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    pub created_us: i64,
    pub claimed_us: Option<i64>,
    pub revoked_us: Option<i64>,
    pub customer: Slot,
    pub offer: Slot,
}

/// About what an id takes beside its text.
const ID_BYTES: usize = 32;

/// States in the order in which their ids came first.
#[derive(Debug)]
pub struct Latest<T> {
    slots: HashMap<Box<str>, Slot, RandomState>,
    states: Vec<T>,
    ids_bytes: usize,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self {
            slots: HashMap::default(),
            states: Vec::new(),
            ids_bytes: 0,
        }
    }
}

impl<T> Latest<T> {
    /// Puts a state in the place of the one before; the slot of the id if it is new.
    pub fn put(&mut self, id: &str, state: T) -> Option<Slot> {
        if let Some(&slot) = self.slots.get(id) {
            self.states[slot as usize] = state;
            return None;
        }
        let slot = self.states.len() as Slot;
        self.slots.insert(id.into(), slot);
        self.states.push(state);
        self.ids_bytes += id.len() + ID_BYTES;
        Some(slot)
    }

    pub fn get(&self, slot: Slot) -> &T {
        &self.states[slot as usize]
    }

    pub fn states(&self) -> &[T] {
        &self.states
    }

    pub fn bytes(&self) -> usize {
        self.states.capacity() * size_of::<T>() + self.ids_bytes
    }
}
