//! What fuzz targets share.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const SEED_BYTES: usize = 32;

/// The value that a strategy of the property tests draws with the bytes as its seed.
///
/// Bytes instead of the random ones would be mutated piece by piece, but the strategies never end
/// where these are zeros.
pub fn drawn<S: Strategy>(strategy: &S, bytes: &[u8]) -> S::Value {
    let mut seed = [0; SEED_BYTES];
    for (place, byte) in bytes.iter().enumerate() {
        seed[place % SEED_BYTES] ^= byte;
    }
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let tree = strategy.new_tree(&mut runner);
    tree.expect("no strategy here rejects what it drew")
        .current()
}
