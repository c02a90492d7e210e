//! Numbers that are remembered: whose they are, and for how long.

mod support;

use std::sync::Arc;

use cost_insights_native::commit::numbers::{Known, NumberCache, Numbered};
use cost_insights_native::events::decode;
use support::*;

const BYTES_MAX: usize = 1 << 20;

/// A number is found by its organization, its kind and all of its text, and by nothing else.
#[test]
fn numbers_do_not_meet() {
    let id = *b"sixteen letters!";
    let numbered = [
        Numbered::ExternalCustomer("sixteen letters!"),
        Numbered::Customer(&id),
        Numbered::Series(["sixteen letters!", "", "", ""]),
        Numbered::Series(["", "sixteen letters!", "", ""]),
        Numbered::Series(["sixteen", " letters!", "", ""]),
        Numbered::ExternalCustomer(""),
    ];
    let mut cache = NumberCache::new(BYTES_MAX);
    for organization in [1, 256] {
        for (number, one) in (organization..).zip(numbered) {
            assert_eq!(cache.get(organization, one), None);
            cache.add(organization, one, number);
        }
    }
    for organization in [1, 256] {
        let found = numbered.map(|one| cache.get(organization, one));
        assert_eq!(found, [0, 1, 2, 3, 4, 5].map(|n| Some(organization + n)));
    }
}

/// Whatever is added, few are kept: those that were added or asked for last.
#[test]
fn what_is_not_asked_for_is_forgotten() {
    let mut cache = NumberCache::new(64 * 1024);
    let texts: Vec<String> = (0..100_000).map(|n| format!("customer {n}")).collect();
    for (number, text) in (0..).zip(&texts) {
        cache.add(1, Numbered::ExternalCustomer(text), number);
        assert_eq!(cache.get(1, Numbered::ExternalCustomer(&texts[0])), Some(0));
    }
    let is_kept = |text: &String| cache.get(1, Numbered::ExternalCustomer(text)).is_some();
    let kept: Vec<bool> = texts.iter().map(is_kept).collect();
    let first = kept[1..].iter().position(|&is_kept| is_kept).unwrap() + 1;
    assert!((99_000..100_000).contains(&first), "{first} is kept");
}

/// The numbers of a batch come in the order of its lists, and a commit needs all of them.
#[test]
fn numbers_of_a_batch() {
    let uuid = "1dbfc517-0bbf-4301-9ba8-555ca42b9737";
    let event = |name, number, who| request(message([field(1, name), field(number, who)]));
    let events = [event("a", 2, "x"), event("b", 2, "y"), event("a", 3, uuid)];
    let batch = Arc::new(decode::decode(&events.concat(), &context()));
    let mut cache = NumberCache::new(BYTES_MAX);
    cache.add(7, Numbered::ExternalCustomer("y"), 1);
    cache.add(7, Numbered::Customer(&batch.customer_ids[0]), 2);
    cache.add(7, Numbered::Series(["a", "", "", ""]), 3);
    let known = Known {
        external_customers: vec![None, Some(1)],
        customers: vec![Some(2)],
        series: vec![Some(3), None],
    };
    assert_eq!(cache.known(7, &batch), known);
    let are_known = |cache: &mut NumberCache, organization| {
        cache.members([(batch.clone(), organization)]).is_some()
    };
    assert!(!are_known(&mut cache, 7));
    cache.add(7, Numbered::ExternalCustomer("x"), 4);
    assert!(!are_known(&mut cache, 7));
    cache.add(7, Numbered::Series(["b", "", "", ""]), 5);
    assert!(are_known(&mut cache, 7) && !are_known(&mut cache, 8));
}
