//! Which policy decides on a request.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::security::explain::PolicySource;
use crate::security::generation::FETCH;
use crate::security::gssapi::GssapiServers;
use crate::security::keys::PublicKey;
use crate::security::policy::Policy;
use crate::security::zap::{Credential, Found, Frames, ZapRequest};

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

    /// Looks the keys of these requests up in one go, where that pays; what each has found.
    pub(super) fn look_up(&self, requests: &[Frames], found: &mut Vec<Option<Found>>) {
        found.clear();
        found.resize_with(requests.len(), || None);
        let all = self.domains.values().chain(&self.fallback);
        if requests.len() < 2
            || !all
                .flat_map(|policy| policy.stores())
                .any(|store| store.is_far())
        {
            return;
        }
        let mut rest = requests.iter().zip(found).filter_map(|(frames, found)| {
            let (domain, key) = frames.curve_key()?;
            Some((domain, key, found))
        });
        let mut next = rest.next();
        while let Some((domain, ..)) = next {
            let mut keys = [PublicKey::from_bytes([0; 32]); FETCH];
            let mut places = [const { None }; FETCH];
            let mut count = 0;
            for (key, place) in keys.iter_mut().zip(&mut places) {
                let Some((_, asked, found)) = next.take_if(|(other, ..)| *other == domain) else {
                    break;
                };
                (*key, *place) = (asked, Some(found));
                count += 1;
                next = rest.next();
            }
            let (policy, _) = self.of(std::str::from_utf8(domain).ok());
            for store in policy.iter().flat_map(|policy| policy.stores()) {
                let certificates = store.look_up(keys.get(..count).unwrap_or_default());
                for (place, certificate) in places.iter_mut().flatten().zip(certificates) {
                    if place.is_none() {
                        **place = certificate.map(|certificate| Found::new(store, certificate));
                    }
                }
            }
        }
    }

    /// Whether the key of this request, if it has one, was revoked.
    pub(super) fn revokes(&self, request: &ZapRequest<'_>) -> bool {
        matches!(&request.credential, Credential::Curve(key) if self.revoked.contains(key))
    }
}
