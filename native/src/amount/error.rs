//! Why a text or a number is not an amount.
#![forbid(unsafe_code)]

/// The greatest number of significant digits of an amount.
pub const DIGITS_MAX: u32 = 17;
/// The greatest number of digits after the point.
pub const DECIMALS_MAX: u32 = 12;

/// Why a text or a number is not an amount, with the facts that its words need besides
/// the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the facts say what they are")]
pub enum AmountError {
    /// It is not a decimal number.
    Malformed,
    /// It has too many digits, or too many of them after the point.
    TooPrecise { digits: u32, decimals: i64 },
    /// It is further from zero than allowed.
    OutOfRange { cents_max: i64 },
}

impl AmountError {
    /// The slug that clients branch on: an `ErrorReason` without its prefix.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "AMOUNT_MALFORMED",
            Self::TooPrecise { .. } => "AMOUNT_TOO_PRECISE",
            Self::OutOfRange { .. } => "AMOUNT_OUT_OF_RANGE",
        }
    }

    /// The variable parts of the message besides the value.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Malformed => Vec::new(),
            Self::TooPrecise { .. } => vec![
                ("digits_max", DIGITS_MAX.to_string()),
                ("decimals_max", DECIMALS_MAX.to_string()),
            ],
            Self::OutOfRange { cents_max } => vec![
                ("min", (-cents_max).to_string()),
                ("max", cents_max.to_string()),
            ],
        }
    }

    /// The message about a value that is shown as this text.
    pub fn message(&self, value: &str) -> String {
        match self {
            Self::Malformed => {
                format!("the amount \"{value}\" is not a decimal number such as 0.025")
            }
            Self::TooPrecise { digits, decimals } => {
                let found = if *decimals > i64::from(DECIMALS_MAX) {
                    format!("{decimals} decimals")
                } else {
                    format!("{digits} digits")
                };
                format!(
                    "the amount {value} has {found}; at most {DIGITS_MAX} digits of which at most \
                     {DECIMALS_MAX} decimals are allowed"
                )
            }
            Self::OutOfRange { cents_max } => format!(
                "the amount {value} is out of range; -{cents_max} to {cents_max} cents are allowed"
            ),
        }
    }
}
