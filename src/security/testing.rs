//! What unit tests of several files share.

use proptest::test_runner::Config;

use super::keys::PublicKey;
use super::signing::SigningKey;

/// The administrator of this number.
pub(crate) fn administrator(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).unwrap()
}

/// The key of this number.
pub(crate) fn key(n: u8) -> PublicKey {
    PublicKey::from_bytes([n; 32])
}

/// How often to try what depends on chance: `usually`, or less where `PROPTEST_CASES` asks for fewer cases than its usual 256.
pub(crate) fn rounds(usually: u32) -> u32 {
    (usually * Config::default().cases.min(256) / 256).max(1)
}

/// So many cases at the most, where each is costly.
pub(crate) fn few(most: u32) -> Config {
    let mut config = Config::default();
    config.cases = config.cases.min(most);
    config
}
