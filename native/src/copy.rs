//! PostgreSQL's binary COPY: what `COPY event (…) FROM STDIN (FORMAT binary)` reads.
#![forbid(unsafe_code)]

use crate::group::{Group, Record};

/// The columns of a row, in order.
pub const EVENT_COLUMNS: [&str; 12] = [
    "id",
    "organization_number",
    "series_number",
    "customer_number",
    "timestamp_us",
    "cost_picocents",
    "content_digest",
    "parent_id",
    "external_id",
    "external_member_id",
    "llm",
    "metadata",
];

/// The signature, no flags, no header extension.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: i16 = -1;
const NULL: i32 = -1;

/// A row without its texts: the count of its columns, a length before each, two
/// UUIDs, three numbers of four bytes and three of eight.
const FIXED_BYTES_MAX: usize = 2 + 4 * EVENT_COLUMNS.len() + 2 * 16 + 3 * 4 + 3 * 8;

/// The events of a group that are left to insert.
pub fn payload(group: &Group) -> Vec<u8> {
    let size = group.len() * FIXED_BYTES_MAX + group.texts_bytes();
    let mut out = Vec::with_capacity(HEADER.len() + size + size_of_val(&TRAILER));
    out.extend(HEADER);
    for record in group.records() {
        push_row(&mut out, &record);
    }
    out.extend(TRAILER.to_be_bytes());
    out
}

fn push_row(out: &mut Vec<u8>, record: &Record<'_>) {
    // What has a fixed size is put together first, where the compiler knows
    // every place, and appended in one piece.
    let mut row = Fixed {
        bytes: [0; FIXED_BYTES_MAX],
        end: 0,
    };
    row.push((EVENT_COLUMNS.len() as i16).to_be_bytes());
    row.push_field(Some(*record.id));
    row.push_field(Some(record.organization_number.to_be_bytes()));
    row.push_field(Some(record.series_number.to_be_bytes()));
    row.push_field(Some(record.customer_number.to_be_bytes()));
    row.push_field(Some(record.timestamp_us.to_be_bytes()));
    row.push_field(record.cost_picocents.map(i64::to_be_bytes));
    row.push_field(Some(record.content_digest.to_be_bytes()));
    row.push_field(record.parent_id);
    out.extend_from_slice(&row.bytes[..row.end]);
    push_text(out, record.texts.external_id);
    push_text(out, record.texts.external_member_id);
    push_text(out, record.texts.llm);
    push_text(out, Some(record.texts.metadata));
}

struct Fixed {
    bytes: [u8; FIXED_BYTES_MAX],
    end: usize,
}

impl Fixed {
    #[inline(always)]
    fn push<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes[self.end..self.end + N].copy_from_slice(&bytes);
        self.end += N;
    }

    /// A length and as many bytes; the length of null is −1.
    #[inline(always)]
    fn push_field<const N: usize>(&mut self, field: Option<[u8; N]>) {
        match field {
            Some(bytes) => {
                self.push((N as i32).to_be_bytes());
                self.push(bytes);
            }
            None => self.push(NULL.to_be_bytes()),
        }
    }
}

/// The same of a text. The limit on an event keeps its length an i32.
fn push_text(out: &mut Vec<u8>, text: Option<&str>) {
    let length = text.map_or(NULL, |text| text.len() as i32);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.unwrap_or_default().as_bytes());
}
