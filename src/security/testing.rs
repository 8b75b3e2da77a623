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

/// So many cases at the most, where each is costly.
pub(crate) fn few(most: u32) -> Config {
    let mut config = Config::default();
    config.cases = config.cases.min(most);
    config
}
