//! Records, as they are added to a ledger.
#![forbid(unsafe_code)]

/// Records of one organization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is said by its type")]
pub struct Records {
    pub entries: Vec<Entry>,
    pub subscriptions: Vec<State>,
    pub checkouts: Vec<CheckoutState>,
    pub seats: Vec<SeatState>,
}

/// An entry of the ledger: the amounts that an order or a refund adds to metrics, in
/// picocents of usd.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of a ledger entry")]
pub struct Entry {
    pub revenue_us: i64,
    pub order_us: i64,
    /// −1 where it has none.
    pub customer: i32,
    pub product_id: String,
    pub billing_type: String,
    pub subscription_id: String,
    pub currency: String,
    pub exchange_rate_e12: i64,
    pub revenue: i128,
    pub net_revenue: i128,
    /// The number of orders it counts as: −1, 0 or 1.
    pub orders: i64,
    pub order_revenue: i128,
    pub order_net_revenue: i128,
    /// 1, or −1 for an entry that takes another one back.
    pub records: i64,
}

/// The state of a subscription. The amount is picocents of its currency.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of a subscription")]
pub struct State {
    pub subscription_id: String,
    pub customer: i32,
    pub product_id: String,
    pub currency: String,
    pub amount: i128,
    pub recurring_interval: String,
    pub recurring_interval_count: i64,
    pub started_us: i64,
    pub trial_end_us: Option<i64>,
    pub canceled_us: Option<i64>,
    pub cancel_reason: String,
    pub uncanceled_us: Option<i64>,
    pub ends_us: Option<i64>,
    pub ended_us: Option<i64>,
}

/// The state of a checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of a checkout")]
pub struct CheckoutState {
    pub checkout_id: String,
    /// −1 where it has none.
    pub customer: i32,
    pub product_id: String,
    pub billing_type: String,
    pub status: String,
    pub counted_us: Option<i64>,
}

/// The state of a seat.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of a seat")]
pub struct SeatState {
    pub seat_id: String,
    pub customer: i32,
    pub product_id: String,
    pub billing_type: String,
    pub created_us: i64,
    pub claimed_us: Option<i64>,
    pub revoked_us: Option<i64>,
}
