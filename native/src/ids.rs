//! Ids of events and customers, and the digest of an event's content.
//!
//! All ids are stored, so the way they are computed must never change. `tests/vectors` pins
//! each. Ids of records of revenue are made in Python, in `revenue/ids.py`.
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
    digest_id(&digest)
}

/// The id of the event at a place of a streamed batch, where it has no external
/// id: a UUID of version 8 made of the first 16 bytes of SHA-256(organization id ‖
/// U+0000 `stream` U+0000 ‖ stream id ‖ U+0000 ‖ sequence ‖ index), both numbers
/// with their greatest byte first.
///
/// No external id holds U+0000, so none has the same digest.
pub fn streamed_event_id(
    organization_id: &Uuid,
    stream_id: &str,
    sequence: i64,
    index: u32,
) -> Uuid {
    let digest = Sha256::new()
        .chain_update(organization_id)
        .chain_update(b"\0stream\0")
        .chain_update(stream_id)
        .chain_update([0])
        .chain_update(sequence.to_be_bytes())
        .chain_update(index.to_be_bytes())
        .finalize();
    digest_id(&digest)
}

/// The id of the customer with that external id: a UUID of version 8 made of the first 16
/// bytes of SHA-256(organization id ‖ U+0000 `customer` U+0000 ‖ external id).
///
/// No external id holds U+0000, so no event has the same digest.
pub fn customer_id(organization_id: &Uuid, external_id: &str) -> Uuid {
    let digest = Sha256::new()
        .chain_update(organization_id)
        .chain_update(b"\0customer\0")
        .chain_update(external_id)
        .finalize();
    digest_id(&digest)
}

fn digest_id(digest: &[u8]) -> Uuid {
    let mut head = Uuid::default();
    head.copy_from_slice(&digest[..16]);
    stamp(u128::from_be_bytes(head), 8)
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

        let mut random = [0; 8];
        random.copy_from_slice(&digest[lane as usize * 8..][..8]);
        let place = u64::from(index % 4096);
        let in_order = u128::from(self.milliseconds << 16 | place) << 64;
        stamp(in_order | u128::from(u64::from_be_bytes(random)), 7)
    }
}

/// Writes version and variant over the bits that RFC 9562 gives them.
///
/// The UUID of these bits with a version. It is built as a number, because bytes that were
/// written one by one are slow to move.
fn stamp(bits: u128, version: u8) -> Uuid {
    const VERSION_AT: u32 = 76;
    const VARIANT_AT: u32 = 62;
    let others = bits & !(0xf << VERSION_AT | 0b11 << VARIANT_AT);
    (others | u128::from(version) << VERSION_AT | 0b10 << VARIANT_AT).to_be_bytes()
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
    /// A customer named by the caller's own identifier.
    External(&'a str),
    /// A customer named by the UUID that the service gave.
    Id(Uuid),
}

/// The content of an event, without its identity. Absent texts are empty.
#[derive(Clone, Copy, Debug)]
#[expect(
    missing_docs,
    reason = "the fields of an event, as the proto documents them"
)]
pub struct Content<'a> {
    pub name: &'a str,
    pub customer: NamedCustomer<'a>,
    /// The time that the caller gave, if any: the time of arrival is not content.
    pub timestamp_us: Option<i64>,
    pub cost_picocents: Option<i64>,
    pub vendor: &'a str,
    pub model: &'a str,
    /// The LLM call as it is stored.
    pub llm: &'a str,
    pub product_id: &'a str,
    /// The parent as the caller named it.
    pub parent: &'a str,
    pub external_member_id: &'a str,
    /// The metadata as it is stored.
    pub metadata: &'a str,
}

impl Content<'_> {
    /// The digest that tells apart events with one external id: the first eight bytes of
    /// SHA-256 over the fields.
    ///
    /// A length stands before each text and a tag before whatever may be absent,
    /// so two contents never run together.
    // Out of line: see `NewEvent::read`.
    #[inline(never)]
    pub fn digest(&self) -> i64 {
        const VERSION: u8 = 1;
        // Put together first: a hash takes one long text faster than many short ones.
        let mut content = Vec::with_capacity(512);
        content.push(VERSION);
        push_text(&mut content, self.name);
        match &self.customer {
            NamedCustomer::External(text) => {
                content.push(0);
                push_text(&mut content, text);
            }
            NamedCustomer::Id(id) => {
                content.push(1);
                content.extend_from_slice(id);
            }
        }
        for number in [self.timestamp_us, self.cost_picocents] {
            content.push(u8::from(number.is_some()));
            if let Some(number) = number {
                content.extend_from_slice(&number.to_be_bytes());
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
            push_text(&mut content, text);
        }
        let mut head = [0; 8];
        head.copy_from_slice(&Sha256::digest(&content)[..8]);
        i64::from_be_bytes(head)
    }
}

fn push_text(content: &mut Vec<u8>, text: &str) {
    content.extend_from_slice(&(text.len() as u64).to_be_bytes());
    content.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const ENTROPY: [u8; 32] = [7; 32];

    /// Only the form 8-4-4-4-12 of hexadecimal digits in any case is a UUID.
    #[test]
    fn uuids_have_one_form() {
        let id = *b"\x1d\xbf\xc5\x17\x0b\xbf\x43\x01\x9b\xa8\x55\x5c\xa4\x2b\x97\x37";
        assert_eq!(parse("1dbfc517-0bbf-4301-9ba8-555ca42b9737"), Some(id));
        assert_eq!(parse("1DBFC517-0BBF-4301-9BA8-555CA42B9737"), Some(id));
        assert_eq!(format(&id), "1dbfc517-0bbf-4301-9ba8-555ca42b9737");
        for other in [
            "",
            "1dbfc5170bbf43019ba8555ca42b9737",
            "{1dbfc517-0bbf-4301-9ba8-555ca42b9737}",
            "urn:uuid:1dbfc517-0bbf-4301-9ba8-555ca42b9737",
            " 1dbfc517-0bbf-4301-9ba8-555ca42b9737",
            "1dbfc517-0bbf-4301-9ba8-555ca42b973",
            "1dbfc517-0bbf-4301-9ba8-555ca42b973g",
            "1dbfc517-0bbf-4301-9ba8+555ca42b9737",
            "1dbfc5170-bbf-4301-9ba8-555ca42b9737",
            "1dbfc517-0bbf-4301-9ba8-555ca42b973٣",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    /// A version counts only in the variant of RFC 9562.
    #[test]
    fn versions_belong_to_a_variant() {
        let version_of = |text| version(&parse(text).unwrap());
        assert_eq!(version_of("01890a5d-ac96-774b-bcce-b302099a8057"), Some(7));
        assert_eq!(version_of("11111111-2222-8333-8444-555555555555"), Some(8));
        assert_eq!(version_of("11111111-2222-8333-b444-555555555555"), Some(8));
        assert_eq!(version_of("11111111-2222-8333-c444-555555555555"), None);
        assert_eq!(version_of("11111111-2222-8333-4444-555555555555"), None);
    }

    /// The id of an event with an external id is a UUID of version 8.
    #[test]
    fn external_ids_make_version_8() {
        assert_eq!(version(&event_id(&[0; 16], "evt-1")), Some(8));
    }

    /// Ids made for a request carry its time and stand in the order of its events.
    #[test]
    fn made_ids_are_in_order() {
        let mut maker = IdMaker::new(1_795_435_694_123_456, ENTROPY);
        let ids: Vec<Uuid> = (0..4096).map(|index| maker.id(index)).collect();
        assert!(ids.is_sorted());
        for (index, id) in ids.iter().enumerate() {
            assert_eq!(version(id), Some(7));
            assert_eq!(&id[..6], &1_795_435_694_123_u64.to_be_bytes()[2..]);
            assert_eq!(usize::from(id[6] & 0x0f) << 8 | usize::from(id[7]), index);
        }
    }

    /// Made ids differ, within a request and between requests of one millisecond.
    #[test]
    fn made_ids_never_repeat() {
        let mut seen = HashSet::new();
        for entropy in [[0; 32], ENTROPY] {
            let mut maker = IdMaker::new(0, entropy);
            for index in 0..10_000 {
                assert!(seen.insert(maker.id(index)));
            }
        }
    }

    /// An id depends on nothing but time, entropy and place.
    #[test]
    fn made_ids_can_be_made_again() {
        let mut maker = IdMaker::new(0, ENTROPY);
        let forwards: Vec<Uuid> = (0..9).map(|index| maker.id(index)).collect();
        let mut backwards: Vec<Uuid> = (0..9).rev().map(|index| maker.id(index)).collect();
        backwards.reverse();
        assert_eq!(forwards, backwards);
    }

    /// A time before 1970 or beyond 48 bits of milliseconds makes an id all the same.
    #[test]
    fn any_time_makes_an_id() {
        for now_us in [i64::MIN, -1, i64::MAX] {
            assert_eq!(
                version(&IdMaker::new(now_us, ENTROPY).id(u32::MAX)),
                Some(7)
            );
        }
    }

    /// Each field of the content changes the digest, and none can be taken for another.
    #[test]
    fn every_field_is_content() {
        let content = Content {
            name: "a",
            customer: NamedCustomer::External("a"),
            timestamp_us: None,
            cost_picocents: None,
            vendor: "",
            model: "",
            llm: "",
            product_id: "",
            parent: "",
            external_member_id: "",
            metadata: "{}",
        };
        let digests = [
            content,
            Content {
                name: "b",
                ..content
            },
            Content {
                customer: NamedCustomer::External("b"),
                ..content
            },
            Content {
                customer: NamedCustomer::Id([b'a'; 16]),
                ..content
            },
            Content {
                timestamp_us: Some(0),
                ..content
            },
            Content {
                cost_picocents: Some(0),
                ..content
            },
            Content {
                cost_picocents: Some(1),
                ..content
            },
            Content {
                vendor: "a",
                ..content
            },
            Content {
                model: "a",
                ..content
            },
            Content {
                llm: "a",
                ..content
            },
            Content {
                product_id: "a",
                ..content
            },
            Content {
                parent: "a",
                ..content
            },
            Content {
                external_member_id: "a",
                ..content
            },
            Content {
                metadata: "a",
                ..content
            },
        ]
        .map(|content| content.digest());
        assert_eq!(HashSet::from(digests).len(), digests.len());
    }
}
