//! Which certificates count: by their signatures, the lists in force, and what was seen of them.

use std::sync::Arc;

use super::{Guard, Trust};
use crate::security::certificate::Certificate;
use crate::security::generation::KeyMap;
use crate::security::revocations::RevocationList;
use crate::security::signing::{SignatureProblem, Signed, VerifyKey};

/// What counts at one moment: judges certificates, on any thread.
#[derive(Default)]
pub(crate) struct Rules {
    pub(super) administrators: Vec<(VerifyKey, String)>,
    lists: Vec<(VerifyKey, Arc<RevocationList>)>,
    /// Whether all lists that are required are in force.
    pub(crate) open: bool,
}

impl Rules {
    pub(crate) fn new(
        trust: &Trust,
        lists: Vec<(VerifyKey, Arc<RevocationList>)>,
        open: bool,
    ) -> Self {
        let administrators = trust.administrators();
        Self {
            administrators: administrators.map(|key| (*key, key.to_string())).collect(),
            lists,
            open,
        }
    }

    /// Whether both admit the same certificates while they are open.
    pub(crate) fn judge_alike(&self, other: &Self) -> bool {
        let same = |(a, b): (&(VerifyKey, Arc<RevocationList>), &(_, _))| {
            a.0 == b.0 && Arc::ptr_eq(&a.1, &b.1)
        };
        self.administrators == other.administrators
            && self.lists.len() == other.lists.len()
            && self.lists.iter().zip(&other.lists).all(same)
    }

    pub(crate) fn lists(&self) -> &[(VerifyKey, Arc<RevocationList>)] {
        &self.lists
    }

    /// Whether a certificate counts, its signature not looked at: for one that was verified before.
    pub(crate) fn admit_verified(&self, certificate: &Certificate) -> Result<(), SignatureProblem> {
        self.claim(certificate).map(|_| ())
    }

    /// Who signed, if he is believed.
    pub(super) fn signer(&self, signed: &Signed<'_>) -> Option<&VerifyKey> {
        let mut known = self.administrators.iter();
        let (key, _) = known.find(|(_, text)| text == signed.signer)?;
        Some(key)
    }

    /// What a certificate says of its signature, if a certificate that says so can count.
    fn claim<'a>(
        &self,
        certificate: &'a Certificate,
    ) -> Result<(Signed<'a>, &VerifyKey), SignatureProblem> {
        let signed = Signed::of(certificate)?;
        let Some(signer) = self.signer(&signed) else {
            return Err(match VerifyKey::parse(signed.signer) {
                Ok(signer) => SignatureProblem::UnknownSigner { signer },
                Err(_) => SignatureProblem::Malformed,
            });
        };
        for (by, list) in &self.lists {
            let entry = list.revocation(certificate.public_key());
            if let Some(entry) = entry.filter(|entry| entry.covers(signed.serial)) {
                return Err(SignatureProblem::Revoked {
                    by: *by,
                    reason: entry.reason().to_owned(),
                });
            }
            if by == signer && signed.serial < list.minimum_serial() {
                return Err(SignatureProblem::Void {
                    serial: signed.serial,
                    minimum: list.minimum_serial(),
                    by: *by,
                });
            }
        }
        Ok((signed, signer))
    }
}

/// What judges the certificates of one reading, on any thread.
pub(crate) struct Vet {
    pub(crate) guard: Arc<Guard>,
    pub(crate) rules: Arc<Rules>,
    /// Certificates that were verified before.
    pub(crate) known: Arc<KeyMap>,
}

impl Vet {
    /// Judges by signatures alone.
    pub(crate) fn by_signature(trust: &Trust) -> Self {
        Self {
            guard: Arc::new(Guard::new(trust.clone())),
            rules: Arc::new(Rules::new(trust, Vec::new(), true)),
            known: Arc::new(KeyMap::new()),
        }
    }

    /// Whether a certificate counts; that it may be older than another one of its key is not looked at.
    pub(crate) fn admit(&self, certificate: &Certificate) -> Result<(), SignatureProblem> {
        let (signed, signer) = self.rules.claim(certificate)?;
        match self.known.get(certificate.public_key()) {
            Some(known) if known == certificate => Ok(()),
            _ => {
                #[cfg(test)]
                self.guard
                    .verified
                    .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                signed.verify(certificate, signer)
            }
        }
    }

    /// Refuses a certificate that is older than another one of its key: `held` now, or one that has left. What administrators signed who
    /// are believed no more does not count.
    pub(crate) fn refuse_older(
        &self,
        certificate: &Certificate,
        held: Option<&Certificate>,
    ) -> Result<(), SignatureProblem> {
        let serial = certificate.serial().unwrap_or(0);
        let held = held.and_then(|held| Signed::of(held).ok());
        let held = held.filter(|held| self.rules.signer(held).is_some());
        let held = held.map_or(0, |held| held.serial);
        let left = self
            .guard
            .newest_left(certificate.public_key(), &self.rules);
        let newest = held.max(left);
        if serial < newest {
            return Err(SignatureProblem::Superseded { serial, newest });
        }
        Ok(())
    }
}
