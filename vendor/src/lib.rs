//! Recipe that builds libzmq with CURVE from its source package.
