//! Explanations, beside the decisions they are of.

use ironhouse::security::{PasswordFile, PeerAddress, Reason, StatusCode, Verdict};

use super::*;

#[test]
fn an_explanation_names_the_rule_that_decided_and_those_before_it() {
    within(SOON, || {
        let store = CertificateStore::in_memory();
        let known = SecretCertificate::generate().unwrap();
        store.insert(known.certificate().clone()).unwrap();
        let policy = Policy::new()
            .deny(rule("192.0.2.1"))
            .allow(rule("192.0.2.0/24"))
            .curve(CurvePolicy::store(store));
        let bench = Bench::new(policy);
        let explain = |domain, address, credential| {
            bench
                .authenticator
                .explain(domain, &PeerAddress::parse(address), credential)
        };
        let denied = explain("d", "192.0.2.1", Credential::Null);
        assert_eq!(
            (denied.status, denied.reason),
            (StatusCode::AuthenticationFailure, Reason::AddressDenied)
        );
        assert_eq!(denied.steps.len(), 1);
        let admitted = explain("d", "192.0.2.2", Credential::Curve(*known.public_key()));
        assert_eq!(
            admitted.to_string(),
            format!(
                "admitted (status 200)\n  policy: the domain's own\n  deny list: 192.0.2.2 is not on the deny list\n  \
                 allow list: 192.0.2.2 is allowed by 192.0.2.0/24\n  mechanism: the policy takes CURVE\n  \
                 credential: there is a certificate with the key {} ({})",
                known.public_key(),
                known.public_key().fingerprint()
            )
        );
        let elsewhere = explain("e", "192.0.2.2", Credential::Null);
        assert_eq!(
            (elsewhere.reason, elsewhere.steps.len()),
            (Reason::UnknownDomain, 0)
        );
        let secret = Credential::Plain {
            name: b"ada",
            password: b"open sesame",
        };
        let plain = explain("d", "192.0.2.2", secret);
        assert_eq!(plain.reason, Reason::MechanismNotAllowed);
        assert!(!format!("{plain} {plain:?} {secret:?}").contains("sesame"));
    });
}

const ADDRESSES: [&str; 8] = [
    "127.0.0.1",
    "192.0.2.1",
    "192.0.2.77",
    "2001:db8::1",
    "::ffff:192.0.2.1",
    "localhost:1000:100:7",
    "localhost:0:0:1",
    "?",
];
const RULES: [&str; 8] = [
    "127.0.0.0/8",
    "192.0.2.0/24",
    "192.0.2.1",
    "2001:db8::/32",
    "0.0.0.0/0",
    "uid:1000",
    "gid:0",
    "::/0",
];

fn rules() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..RULES.len(), 0..3)
}

/// `explain` and the answer to the same request over the ZAP socket, for random policies and peers: 10,000 pairs.
#[test]
fn an_explanation_agrees_with_the_decision() {
    within(4 * SOON, || {
        let bench = Bench::new(Policy::new());
        let events = bench.authenticator.events();
        let keys = [(); 3].map(|()| key());
        let store = Arc::new(CertificateStore::in_memory());
        store
            .insert(ironhouse::security::Certificate::new(keys[0]))
            .unwrap();
        let passwords = PasswordFile::in_memory();
        passwords.insert("ada", "secret").unwrap();
        let passwords = Arc::new(passwords);
        let callback_key = keys[1];
        let callback = CurvePolicy::callback(move |peer| {
            if peer.key == callback_key {
                Verdict::admit()
            } else {
                Verdict::refuse()
            }
        });
        let peers = (0..ADDRESSES.len(), 0..6usize);
        let policies = (
            rules(),
            rules(),
            any::<(bool, bool)>(),
            0..4usize,
            0..5usize,
        );
        let config = ProptestConfig {
            cases: 500,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        proptest!(config, |((allow, deny, (null, plain), curve, refusal) in policies, peers in proptest::collection::vec(peers, 20))| {
            let mut policy = Policy::new();
            policy = allow.iter().fold(policy, |policy, &at| policy.allow(rule(RULES[at])));
            policy = deny.iter().fold(policy, |policy, &at| policy.deny(rule(RULES[at])));
            if null { policy = policy.null(); }
            if plain { policy = policy.plain(passwords.clone()); }
            policy = match curve {
                0 => policy,
                1 => policy.curve(CurvePolicy::any_key()),
                2 => policy.curve(CurvePolicy::store(store.clone())),
                _ => policy.curve(callback.clone()),
            };
            let rules = [Rule::DenyList, Rule::AllowList, Rule::Mechanism, Rule::Credential];
            if let Some(&rule) = rules.get(refusal) { policy = policy.refusal_by(rule, Refusal::Retry); }
            bench.domain.set_policy(policy).unwrap();
            for (address, credential) in peers {
                let address = ADDRESSES[address];
                let (credential, mechanism, frames): (_, _, Vec<&[u8]>) = match credential {
                    0 => (Credential::Null, "NULL", vec![]),
                    1 => (Credential::Plain { name: b"ada", password: b"secret" }, "PLAIN", vec![b"ada", b"secret"]),
                    2 => (Credential::Plain { name: b"ada", password: b"guess" }, "PLAIN", vec![b"ada", b"guess"]),
                    n => (Credential::Curve(keys[n - 3]), "CURVE", vec![keys[n - 3].as_bytes()]),
                };
                let explained = bench.authenticator.explain("d", &PeerAddress::parse(address), credential);
                prop_assert_eq!(bench.asker.ask("d", address, mechanism, &frames), explained.status.to_string());
                prop_assert_eq!(events.next_decision(SOON).unwrap().reason, explained.reason);
            }
        });
    });
}
