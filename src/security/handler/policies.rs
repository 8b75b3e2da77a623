//! Which policy decides on a request.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::security::explain::PolicySource;
use crate::security::generation::FETCH;
use crate::security::gssapi::GssapiServers;
use crate::security::keys::PublicKey;
use crate::security::policy::Policy;
use crate::security::zap::{Credential, Frames, ZapRequest};

#[derive(Default)]
pub(super) struct Policies {
    /// A server has few: finding one among them is cheaper than hashing its name.
    pub(super) domains: BTreeMap<Arc<str>, Arc<Policy>>,
    pub(super) fallback: Option<Arc<Policy>>,
    pub(super) gssapi: GssapiServers,
    /// Refused whatever the policies say.
    pub(super) revoked: HashSet<PublicKey>,
}

impl Policies {
    /// Whose policy it is, if anybody's.
    pub(super) fn of(&self, domain: Option<&str>) -> (Option<&Arc<Policy>>, PolicySource) {
        match (
            domain.and_then(|name| self.domains.get(name)),
            &self.fallback,
        ) {
            (Some(policy), _) => (Some(policy), PolicySource::Domain),
            (None, Some(policy)) => (Some(policy), PolicySource::Fallback),
            (None, None) => (None, PolicySource::None),
        }
    }

    /// Has what will be asked of stores by these requests fetched from memory.
    pub(super) fn fetch(&self, requests: &[Frames]) {
        let all = self.domains.values().chain(&self.fallback);
        if !all
            .flat_map(|policy| policy.stores())
            .any(|store| store.is_far())
        {
            return;
        }
        let mut rest = requests.iter().filter_map(Frames::curve_key).peekable();
        while let Some((domain, _)) = rest.peek().copied() {
            let mut keys = [PublicKey::from_bytes([0; 32]); FETCH];
            let mut count = 0;
            while let Some((_, key)) = rest.next_if(|(other, _)| *other == domain) {
                if let Some(place) = keys.get_mut(count) {
                    *place = key;
                    count += 1;
                }
            }
            let (policy, _) = self.of(std::str::from_utf8(domain).ok());
            for store in policy.iter().flat_map(|policy| policy.stores()) {
                store.fetch(keys.get(..count).unwrap_or_default());
            }
        }
    }

    /// Whether the key of this request, if it has one, was revoked.
    pub(super) fn revokes(&self, request: &ZapRequest<'_>) -> bool {
        matches!(&request.credential, Credential::Curve(key) if self.revoked.contains(key))
    }
}
