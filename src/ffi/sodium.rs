//! libsodium behind safe functions.
