//! Records, as they are added to a ledger.
#![forbid(unsafe_code)]

/// What an order or a refund adds to metrics. Amounts are picocents of usd.
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
    /// How many orders it is: −1, 0 or 1.
    pub orders: i64,
    pub order_revenue: i128,
    pub order_net_revenue: i128,
    /// 1, or −1 where it takes another one back.
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
