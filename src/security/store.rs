//! x
use super::{Certificate, PublicKey};
use std::sync::Arc;
/// x
#[derive(Debug)]
pub struct CertificateStore;
impl CertificateStore {
    pub(crate) fn lookup(&self, _key: &PublicKey) -> Option<Arc<Certificate>> {
        None
    }
    pub(crate) fn when_current(&self, answer: Box<dyn FnOnce(bool) + Send>) {
        answer(true)
    }
}
