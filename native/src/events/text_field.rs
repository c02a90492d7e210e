//! The rules of fields that hold text.
#![forbid(unsafe_code)]

/// A field that holds text.
pub(super) struct TextField {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) chars_max: u32,
    pub(super) required: bool,
}

pub(super) const fn required(name: &'static str, what: &'static str, chars_max: u32) -> TextField {
    TextField {
        name,
        what,
        chars_max,
        required: true,
    }
}

pub(super) const fn optional(name: &'static str, what: &'static str, chars_max: u32) -> TextField {
    TextField {
        name,
        what,
        chars_max,
        required: false,
    }
}
