//! The names of system events.
#![forbid(unsafe_code)]

/// The names of the events that record revenue, sorted. They are not stored as events:
/// the reader of a batch that holds some records orders, refunds and subscriptions.
pub const SYSTEM_EVENTS: [&str; 14] = [
    "balance.credit_order",
    "balance.dispute",
    "balance.dispute_reversal",
    "balance.order",
    "balance.refund",
    "balance.refund_reversal",
    "order.paid",
    "subscription.canceled",
    "subscription.created",
    "subscription.cycled",
    "subscription.product_updated",
    "subscription.reinstated",
    "subscription.revoked",
    "subscription.uncanceled",
];

/// Whether an event of that name is a system event.
pub(super) fn is_system_event(name: &str) -> bool {
    SYSTEM_EVENTS.binary_search(&name).is_ok()
}
