//! A ledger, compared with a look at each record for each period.

#[path = "support/ledger_twin.rs"]
mod ledger_twin;

use cost_insights_native::ledger::{
    CheckoutState, Entry, FACTS, Keys, Ledger, Question, QuestionError, RecordError, Records,
    SeatState, State, Tally, TallyError,
};
use cost_insights_native::time::DAY_US;
use proptest::prelude::*;

use ledger_twin::*;

proptest! {
    /// Whatever is asked of whatever records, however they were added, each number is
    /// what its formula says.
    #[test]
    fn like_the_formulas(
        adds in prop::collection::vec(records(), 1..4),
        asked in asked(),
    ) {
        check_ledger(adds, &asked);
    }
}

/// An entry that each test changes.
fn plain_entry() -> Entry {
    Entry {
        revenue_us: 0,
        order_us: 0,
        customer: 1,
        product_id: "p".to_owned(),
        billing_type: "one_time".to_owned(),
        subscription_id: String::new(),
        currency: "usd".to_owned(),
        exchange_rate_e12: 1_000_000_000_000,
        revenue: 10,
        net_revenue: 9,
        orders: 1,
        order_revenue: 10,
        order_net_revenue: 9,
        records: 1,
    }
}

fn plain_state() -> State {
    State {
        subscription_id: "s".to_owned(),
        customer: 1,
        product_id: "q".to_owned(),
        currency: "usd".to_owned(),
        amount: 1200,
        recurring_interval: "month".to_owned(),
        recurring_interval_count: 1,
        started_us: 0,
        trial_end_us: None,
        canceled_us: None,
        cancel_reason: String::new(),
        uncanceled_us: None,
        ends_us: None,
        ended_us: None,
    }
}

fn plain_checkout() -> CheckoutState {
    CheckoutState {
        checkout_id: "k".to_owned(),
        customer: 1,
        product_id: "p".to_owned(),
        billing_type: "one_time".to_owned(),
        status: "succeeded".to_owned(),
        counted_us: Some(0),
    }
}

fn plain_seat() -> SeatState {
    SeatState {
        seat_id: "z".to_owned(),
        customer: 1,
        product_id: "p".to_owned(),
        billing_type: "one_time".to_owned(),
        created_us: 0,
        claimed_us: Some(5),
        revoked_us: None,
    }
}

fn of_entries(entries: &[Entry]) -> Records {
    of(entries, &[])
}

fn of(entries: &[Entry], subscriptions: &[State]) -> Records {
    Records {
        entries: entries.to_vec(),
        subscriptions: subscriptions.to_vec(),
        ..Records::default()
    }
}

fn question(bounds: &[i64]) -> Question {
    Question::new(bounds.to_vec(), bounds.to_vec(), false).unwrap()
}

fn column(tally: &Tally, name: &str) -> Vec<i128> {
    tally.column(name).unwrap().collect()
}

/// Many entries of a month in any order are found by their times as few are.
#[test]
fn many_entries_out_of_order() {
    let mut entries = Vec::new();
    let mut random = 1_u64;
    for number in 0..5000 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let hours = (random >> 33) % (24 * 60);
        let us = hours as i64 * HOUR_US;
        // Half of them come in order, as orders mostly do.
        let order_us = if number % 2 == 0 {
            us
        } else {
            number * 900_000_000
        };
        entries.push(Entry {
            revenue_us: if number % 7 == 0 { us } else { order_us },
            order_us,
            customer: (random >> 40) as i32 % 5,
            subscription_id: ["", "s", "t"][number as usize % 3].to_owned(),
            revenue: i128::from(random) * if number == 4000 { 1 << 40 } else { 1 },
            order_revenue: i128::from(random >> 8),
            ..plain_entry()
        });
    }
    let asked = Asked {
        bounds: vec![5 * DAY_US, 8 * DAY_US, 31 * DAY_US, 40 * DAY_US + HOUR_US],
        whole: vec![0, 8 * DAY_US, 31 * DAY_US, 50 * DAY_US],
        by_year: false,
        customers: None,
        products: None,
        billing_types: None,
    };
    let (mut ledger, mut all) = (Ledger::default(), All::default());
    for (position, part) in (1..).zip(entries.chunks(777)) {
        let records = of(part, &[plain_state()]);
        ledger.add(&records, position).unwrap();
        all.add(records);
    }
    assert_like_twin(&ledger, &all, &asked);
}

/// Records that are added twice change nothing, and records with a fault are not added.
#[test]
fn all_or_none() {
    let mut ledger = Ledger::default();
    ledger.add(&of_entries(&[plain_entry()]), 2).unwrap();
    ledger.add(&of_entries(&[plain_entry()]), 2).unwrap();
    let late = Entry {
        order_us: 253_402_300_800_000_000,
        ..plain_entry()
    };
    let error = ledger
        .add(&of_entries(&[plain_entry(), late]), 3)
        .unwrap_err();
    assert_eq!(error, RecordError::Time(253_402_300_800_000_000));
    assert_eq!(ledger.position(), 2);
    let tally = ledger.tally(&question(&[0, 1]), &Keys::Nothing).unwrap();
    assert_eq!(column(&tally, "revenue"), [10]);
}

/// Records that have no meaning are refused in words.
#[test]
fn records_are_checked() {
    let of_entry = |change: fn(&mut Entry)| {
        let mut entry = plain_entry();
        change(&mut entry);
        let error = Ledger::default().add(&of_entries(&[entry]), 1).unwrap_err();
        error.to_string()
    };
    let of_state = |change: fn(&mut State)| {
        let mut state = plain_state();
        change(&mut state);
        let error = Ledger::default().add(&of(&[], &[state]), 1).unwrap_err();
        error.to_string()
    };
    let of_checkout = |change: fn(&mut CheckoutState)| {
        let mut state = plain_checkout();
        change(&mut state);
        let records = Records {
            checkouts: vec![state],
            ..Records::default()
        };
        let error = Ledger::default().add(&records, 1).unwrap_err();
        error.to_string()
    };
    let of_seat = |change: fn(&mut SeatState)| {
        let mut state = plain_seat();
        change(&mut state);
        let records = Records {
            seats: vec![state],
            ..Records::default()
        };
        let error = Ledger::default().add(&records, 1).unwrap_err();
        error.to_string()
    };
    for (words, expected) in [
        (
            of_entry(|entry| entry.revenue_us = i64::MIN),
            "the time -9223372036854775808 is not of the years 1 to 9999",
        ),
        (
            of_entry(|entry| entry.customer = -2),
            "there is no customer -2; -1 or more is allowed",
        ),
        (
            of_entry(|entry| entry.orders = 2),
            "an entry of 2 orders; -1, 0 and 1 are allowed",
        ),
        (
            of_entry(|entry| entry.records = 0),
            "an entry of 0 records; -1 and 1 are allowed",
        ),
        (
            of_state(|state| state.ended_us = Some(i64::MAX)),
            "the time 9223372036854775807 is not of the years 1 to 9999",
        ),
        (
            of_state(|state| state.recurring_interval = "hour".to_owned()),
            "there is no interval \"hour\"; day, week, month and year are allowed",
        ),
        (
            of_state(|state| state.recurring_interval_count = 0),
            "every 0 intervals; 1 to 4294967295 are allowed",
        ),
        (
            of_state(|state| state.amount = 10_i128.pow(28) + 1),
            "a subscription of 10000000000000000000000000001 picocents; at most 10^28 are allowed",
        ),
        (
            of_checkout(|state| state.counted_us = Some(i64::MAX)),
            "the time 9223372036854775807 is not of the years 1 to 9999",
        ),
        (
            of_checkout(|state| state.customer = -2),
            "there is no customer -2; -1 or more is allowed",
        ),
        (
            of_seat(|state| state.revoked_us = Some(i64::MIN)),
            "the time -9223372036854775808 is not of the years 1 to 9999",
        ),
        (
            of_seat(|state| state.customer = i32::MIN),
            "there is no customer -2147483648; -1 or more is allowed",
        ),
    ] {
        assert_eq!(words, expected);
    }
}

/// Questions that have no answer are refused in words.
#[test]
fn questions_are_checked() {
    let bounds_words = "there must be a bound or more, within the years 1 to 9999, none of them \
                        before the one before it; whole bounds must ascend and be the same but \
                        for the first, which may be earlier, and the last, which may be later";
    for (bounds, whole) in [
        (&[0][..], &[1][..]),
        (&[], &[]),
        (&[0, 0], &[0, 0]),
        (&[0, 1], &[1, 1]),
        (&[1, 2], &[0, 1]),
        (&[0, 1, 2], &[0, 2]),
        (&[0, 2, 3], &[0, 1, 3]),
        (&[i64::MIN, 0], &[i64::MIN, 0]),
        (&[0, i64::MAX], &[0, i64::MAX]),
    ] {
        let error = Question::new(bounds.to_vec(), whole.to_vec(), false).unwrap_err();
        assert_eq!(error, QuestionError::Bounds);
        assert_eq!(error.to_string(), bounds_words);
    }
    let error = question(&[0, 1]).asking(["mrr", "arr"]).unwrap_err();
    assert_eq!(error.to_string(), "there is no fact \"arr\"");

    let asked = question(&[0, 1]).asking(["mrr"]).unwrap().without_history();
    let tally = Ledger::default().tally(&asked, &Keys::Nothing).unwrap();
    assert_eq!(column(&tally, "mrr"), [0]);
    let error = tally.column("orders").err().unwrap();
    assert_eq!(error.to_string(), "the fact \"orders\" was not asked for");
    let error = tally.history("revenue").err().unwrap();
    assert_eq!(error.to_string(), "the fact \"revenue\" was not asked for");

    let twice = Keys::Products(vec!["p".to_owned(), "p".to_owned()]);
    let error = Ledger::default().tally(&asked, &twice).unwrap_err();
    assert_eq!(error.to_string(), "the key \"p\" comes twice");
    let twice = Keys::Customers(vec![7, 7]);
    let error = Ledger::default().tally(&asked, &twice).unwrap_err();
    assert_eq!(error.to_string(), "the key 7 comes twice");
}

/// A day that the local calendar leaves out has no period, but a history.
#[test]
fn no_period() {
    let mut ledger = Ledger::default();
    let before = Entry {
        revenue_us: 5,
        order_us: 5,
        revenue: 7,
        ..plain_entry()
    };
    ledger.add(&of_entries(&[before]), 1).unwrap();
    let asked = question(&[10]);
    let tally = ledger.tally(&asked, &Keys::Nothing).unwrap();
    assert_eq!(tally.slots, 0);
    assert!(column(&tally, "revenue").is_empty());
    assert_eq!(tally.history("revenue").unwrap().collect::<Vec<_>>(), [7]);
    let (customers, _) = ledger.rank_customers(&asked).unwrap();
    assert!(customers.is_empty());
}

/// A part of the facts is the same as all of them.
#[test]
fn facts_alone() {
    let mut ledger = Ledger::default();
    let subscribed = Entry {
        subscription_id: "s".to_owned(),
        order_us: 5,
        ..plain_entry()
    };
    let renewed = Entry {
        order_us: 15,
        ..subscribed.clone()
    };
    let state = State {
        canceled_us: Some(12),
        trial_end_us: Some(11),
        ends_us: Some(25),
        ..plain_state()
    };
    let entries = [plain_entry(), subscribed, renewed];
    let records = Records {
        checkouts: vec![plain_checkout()],
        seats: vec![plain_seat()],
        ..of(&entries, &[state])
    };
    ledger.add(&records, 1).unwrap();
    let asked = question(&[0, 10, 20, 30]);
    let all = ledger.tally(&asked, &Keys::Nothing).unwrap();
    for name in FACTS {
        let asked = asked.clone().asking([name]).unwrap();
        let one = ledger.tally(&asked, &Keys::Nothing).unwrap();
        assert_eq!(column(&one, name), column(&all, name), "{name}");
        let (_, one) = ledger.rank_customers(&asked).unwrap();
        assert_eq!(column(&one, name).len(), 1, "{name}");
    }
}

/// A sum of more than 127 bits is an error, never a wrong number.
#[test]
fn sums_have_an_end() {
    let huge = Entry {
        revenue: i128::MAX,
        ..plain_entry()
    };
    let later = Entry {
        revenue_us: 1,
        order_us: 1,
        ..huge.clone()
    };
    let mut ledger = Ledger::default();
    ledger.add(&of_entries(&[huge, later]), 1).unwrap();
    let of = |bounds: &[i64]| ledger.tally(&question(bounds), &Keys::Nothing);
    assert_eq!(column(&of(&[0, 1, 2]).unwrap(), "revenue"), [i128::MAX; 2]);
    for bounds in [&[0, 2][..], &[2, 3]] {
        let error = of(bounds).unwrap_err();
        assert_eq!(error, TallyError::Overflow);
        assert_eq!(
            error.to_string(),
            "a sum of the ledger has more than 127 bits"
        );
    }
}

/// Products are known by the types of their orders, and of the subscriptions to them; not by
/// checkouts, which may come to nothing, nor by seats.
#[test]
fn billed_products() {
    let mut ledger = Ledger::default();
    let refund = Entry {
        product_id: "refunded".to_owned(),
        orders: 0,
        ..plain_entry()
    };
    let nothing = Entry {
        product_id: String::new(),
        ..plain_entry()
    };
    let renewal = Entry {
        product_id: "r".to_owned(),
        billing_type: "recurring".to_owned(),
        ..plain_entry()
    };
    let taken_back = Entry {
        product_id: "t".to_owned(),
        ..plain_entry()
    };
    let back = Entry {
        orders: -1,
        records: -1,
        ..taken_back.clone()
    };
    let entries = [plain_entry(), refund, nothing, renewal, taken_back, back];
    let records = Records {
        checkouts: vec![CheckoutState {
            product_id: "checked out".to_owned(),
            ..plain_checkout()
        }],
        seats: vec![SeatState {
            product_id: "seated".to_owned(),
            ..plain_seat()
        }],
        ..of(&entries, &[plain_state()])
    };
    ledger.add(&records, 1).unwrap();
    let of = |types: &[&str]| {
        let types: Vec<String> = types.iter().map(|&one| one.to_owned()).collect();
        ledger.billed_products(&types).join(" ")
    };
    assert_eq!(of(&[]), "");
    assert_eq!(of(&["one_time"]), "p");
    assert_eq!(of(&["recurring"]), "q r");
    assert_eq!(of(&["one_time", "recurring"]), "p q r");
}
