//! The orders, subscriptions, checkouts and seats of one organization, kept in memory and
//! ready to be added up: by period, by customer or by product, of all or of some.
//!
//! Entries never change; a correction is a negative entry. They lie in columns by the
//! month of their time (`chunk`), because questions are about spans of time. The state
//! of a subscription, a checkout or a seat does change, so that everything about it is
//! decided when a question is asked (`tally`), never when a record arrives.
#![forbid(unsafe_code)]

mod book;
mod checkouts;
mod chunk;
mod error;
mod groups;
mod interned;
mod latest;
mod orders;
mod question;
mod rates;
mod record;
mod seats;
mod states;
mod subscription;
mod sums;
mod tally;

pub use book::Ledger;
pub use error::{RecordError, SUBSCRIPTION_PICOCENTS_MAX, TallyError};
pub use groups::Keys;
pub use question::{FACTS, Fact, Question, QuestionError};
pub use record::{CheckoutState, Entry, Records, SeatState, State};
pub use tally::Tally;
