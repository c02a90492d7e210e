//! Identities: UUIDs of events, and the digest of what an event says.
//!
//! Both are stored, so neither may ever be computed otherwise.
#![forbid(unsafe_code)]

use sha2::{Digest, Sha256};

/// A UUID in the order of its text.
pub type Uuid = [u8; 16];

/// The id of the event with that external id: a UUID of version 8 made of the
/// first 16 bytes of SHA-256(organization id ‖ external id).
pub fn event_id(organization_id: &Uuid, external_id: &str) -> Uuid {
    let digest = Sha256::new()
        .chain_update(organization_id)
        .chain_update(external_id)
        .finalize();
    let mut id = Uuid::default();
    id.copy_from_slice(&digest[..16]);
    stamp(&mut id, 8);
    id
}

/// Makes the ids of events without an external id: UUIDs of version 7 in the
/// order of the events, unlike any other made from other entropy.
#[derive(Debug)]
pub struct IdMaker {
    milliseconds: u64,
    entropy: [u8; 32],
    /// A digest is 256 bits and an id takes 64 of them.
    digest: Option<(u32, [u8; 32])>,
}

impl IdMaker {
    const IDS_PER_DIGEST: u32 = 4;

    /// A maker of ids for one request that arrived at that time.
    pub fn new(now_us: i64, entropy: [u8; 32]) -> Self {
        let milliseconds = u64::try_from(now_us.div_euclid(1000)).unwrap_or(0);
        Self {
            milliseconds,
            entropy,
            digest: None,
        }
    }

    /// The id of the event at that place in the request.
    pub fn id(&mut self, index: u32) -> Uuid {
        let (block, lane) = (index / Self::IDS_PER_DIGEST, index % Self::IDS_PER_DIGEST);
        let digest = match self.digest {
            Some((kept, digest)) if kept == block => digest,
            _ => Sha256::new()
                .chain_update(self.entropy)
                .chain_update(block.to_be_bytes())
                .finalize()
                .into(),
        };
        self.digest = Some((block, digest));

        let mut id = Uuid::default();
        id[..6].copy_from_slice(&self.milliseconds.to_be_bytes()[2..]);
        id[6..8].copy_from_slice(&((index % 4096) as u16).to_be_bytes());
        let random = lane as usize * 8;
        id[8..].copy_from_slice(&digest[random..random + 8]);
        stamp(&mut id, 7);
        id
    }
}

/// Writes version and variant over the bits that RFC 9562 gives them.
fn stamp(id: &mut Uuid, version: u8) {
    id[6] = id[6] & 0x0f | version << 4;
    id[8] = id[8] & 0x3f | 0x80;
}

/// The version of a UUID of the variant of RFC 9562; `None` of other variants.
pub fn version(id: &Uuid) -> Option<u8> {
    (id[8] >> 6 == 0b10).then_some(id[6] >> 4)
}

/// Reads hexadecimal digits of any case in groups of 8-4-4-4-12, nothing looser.
pub fn parse(text: &str) -> Option<Uuid> {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let mut id = Uuid::default();
    let mut nibbles = 0;
    for (at, &byte) in text.iter().enumerate() {
        if HYPHENS.contains(&at) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        let nibble = char::from(byte).to_digit(16)? as u8;
        id[nibbles / 2] = id[nibbles / 2] << 4 | nibble;
        nibbles += 1;
    }
    Some(id)
}

/// The UUID as text, in lower case.
pub fn format(id: &Uuid) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in id.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for nibble in [byte >> 4, byte & 0xf] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or_default());
        }
    }
    text
}

/// A customer, as an event names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedCustomer<'a> {
    /// By the caller's own identifier.
    External(&'a str),
    /// By the UUID that we gave.
    Id(Uuid),
}

/// What an event says, its identity aside. Absent texts are empty.
#[derive(Clone, Copy, Debug)]
#[expect(
    missing_docs,
    reason = "the fields of an event, as the proto documents them"
)]
pub struct Content<'a> {
    pub name: &'a str,
    pub customer: NamedCustomer<'a>,
    /// Only if the caller gave one: the time of arrival is no content.
    pub timestamp_us: Option<i64>,
    pub cost_picocents: Option<i64>,
    pub vendor: &'a str,
    pub model: &'a str,
    /// As it is stored.
    pub llm: &'a str,
    pub product_id: &'a str,
    /// As it was named.
    pub parent: &'a str,
    pub external_member_id: &'a str,
    /// As it is stored.
    pub metadata: &'a str,
}

impl Content<'_> {
    /// By which two events with one external id are told apart: the first eight
    /// bytes of SHA-256 over the fields.
    ///
    /// A length stands before each text and a tag before whatever may be absent,
    /// so two contents never run together.
    pub fn digest(&self) -> i64 {
        const VERSION: u8 = 1;
        let mut hash = Sha256::new().chain_update([VERSION]);
        hash_text(&mut hash, self.name);
        match &self.customer {
            NamedCustomer::External(text) => {
                hash.update([0]);
                hash_text(&mut hash, text);
            }
            NamedCustomer::Id(id) => {
                hash.update([1]);
                hash.update(id);
            }
        }
        for number in [self.timestamp_us, self.cost_picocents] {
            hash.update([u8::from(number.is_some())]);
            if let Some(number) = number {
                hash.update(number.to_be_bytes());
            }
        }
        for text in [
            self.vendor,
            self.model,
            self.llm,
            self.product_id,
            self.parent,
            self.external_member_id,
            self.metadata,
        ] {
            hash_text(&mut hash, text);
        }
        let mut head = [0; 8];
        head.copy_from_slice(&hash.finalize()[..8]);
        i64::from_be_bytes(head)
    }
}

fn hash_text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}
