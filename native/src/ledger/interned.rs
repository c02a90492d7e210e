//! Small numbers for what comes again and again.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

/// The place of something in a list of distinct ones.
pub type Slot = u32;

/// Distinct keys, in the order in which they came.
#[derive(Debug)]
pub struct Interned<K> {
    slots: HashMap<K, Slot, RandomState>,
    keys: Vec<K>,
}

impl<K> Default for Interned<K> {
    fn default() -> Self {
        Self {
            slots: HashMap::default(),
            keys: Vec::new(),
        }
    }
}

impl<K: Clone + Eq + Hash> Interned<K> {
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn keys(&self) -> &[K] {
        &self.keys
    }

    pub fn get(&self, slot: Slot) -> &K {
        &self.keys[slot as usize]
    }

    pub fn known<Q: ?Sized + Eq + Hash>(&self, key: &Q) -> Option<Slot>
    where
        K: Borrow<Q>,
    {
        self.slots.get(key).copied()
    }

    /// The slot of a key, which is a new one where the key is.
    pub fn slot(&mut self, key: &K) -> Slot {
        self.known(key).unwrap_or_else(|| self.insert(key.clone()))
    }

    fn insert(&mut self, key: K) -> Slot {
        let slot = self.keys.len() as Slot;
        self.slots.insert(key.clone(), slot);
        self.keys.push(key);
        slot
    }
}

impl Interned<Box<str>> {
    /// The slot of a text, which is added if it is new.
    pub fn slot_of_text(&mut self, text: &str) -> Slot {
        self.known(text).unwrap_or_else(|| self.insert(text.into()))
    }
}
