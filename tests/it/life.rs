//! Certificates with a life: who is admitted when, and put out when it ends.

mod files;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use ironhouse::security::{
    AuditEvent, AuditEvents, Authenticator, CertificateStore, Credential, CurveClient, CurvePolicy,
    CurveServer, Decision, Domain, PeerAddress, PeerIdentity, Policy, PublicKey, Reason, Refusal,
    RevocationScope, SecretCertificate, Validity,
};
use ironhouse::socket::{EventKind, HandshakeProblem, Monitor, options};
use ironhouse::{Context, Error, Socket, SocketType};

use crate::common::{SOON, serve, within};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A server, and the clock by which it judges.
struct House {
    authenticator: Authenticator,
    domain: Domain,
    events: AuditEvents,
    certificate: SecretCertificate,
    store: Arc<CertificateStore>,
    server: Socket,
    endpoint: String,
    clock: Arc<Mutex<SystemTime>>,
    start: SystemTime,
    context: Context,
}

impl House {
    /// Its clock stands still until it is set; nothing is allowed for.
    fn new(store: CertificateStore) -> Self {
        Self::with(store, |shown| shown)
    }

    /// Its clock shows what `runs` makes of the time that it was set to.
    fn with(
        store: CertificateStore,
        runs: impl Fn(SystemTime) -> SystemTime + Send + Sync + 'static,
    ) -> Self {
        let start = SystemTime::now();
        let clock = Arc::new(Mutex::new(start));
        let shown = clock.clone();
        let context = Context::new().unwrap();
        let authenticator = Authenticator::builder(&context)
            .clock_skew(Duration::ZERO)
            // So that nobody is closed for another who connected at the same time.
            .revocation(RevocationScope::Exact)
            .clock_for_test(move || runs(*shown.lock().unwrap()))
            .start()
            .unwrap();
        let store = Arc::new(store);
        let policy = Policy::new().curve(CurvePolicy::store(store.clone()));
        let domain = authenticator.domain("d", policy).unwrap();
        let certificate = SecretCertificate::generate().unwrap();
        let server = context
            .socket(SocketType::Pull)
            .set(options::RCV_TIMEO, Some(SOON / 2))
            .secure(CurveServer::new(&certificate, &domain));
        let (server, endpoint) = serve(server);
        Self {
            events: authenticator.events(),
            authenticator,
            domain,
            certificate,
            store,
            server,
            endpoint,
            clock,
            start,
            context,
        }
    }

    fn set_clock(&self, time: SystemTime) {
        *self.clock.lock().unwrap() = time;
    }

    /// A client whose certificate with this life is in the store.
    fn client(&self, life: Validity) -> SecretCertificate {
        let made = SecretCertificate::generate().unwrap();
        let made = made.with_validity(life).unwrap();
        self.store.insert(made.certificate().clone()).unwrap();
        made
    }

    fn connect(&self, client: &SecretCertificate) -> Result<Socket, HandshakeProblem> {
        let mechanism = CurveClient::new(client, *self.certificate.public_key());
        let socket = self
            .context
            .socket(SocketType::Push)
            .set(options::RECONNECT_IVL, Some(Duration::from_millis(10)))
            .secure(mechanism)
            .connect_checked(&self.endpoint, SOON);
        socket.map_err(|error| match error {
            Error::Handshake { problem, .. } => problem,
            error => panic!("{error}"),
        })
    }

    #[track_caller]
    fn admits(&self, client: &SecretCertificate) -> Socket {
        let socket = self.connect(client).unwrap();
        self.decides(client.public_key(), Reason::Admitted);
        socket
    }

    #[track_caller]
    fn refuses(&self, client: &SecretCertificate, reason: Reason) -> Decision {
        self.refuses_without_a_look(client);
        self.decides(client.public_key(), reason)
    }

    #[track_caller]
    fn refuses_without_a_look(&self, client: &SecretCertificate) {
        let problem = self.connect(client).unwrap_err();
        assert_eq!(problem, HandshakeProblem::Refused { status: 400 });
    }

    /// Waits for this decision. A socket that was dropped a moment ago may have caused another.
    #[track_caller]
    fn decides(&self, key: &PublicKey, reason: Reason) -> Decision {
        let key = key.to_string();
        loop {
            let decision = self.events.next_decision(SOON / 2).unwrap();
            if decision.identity.name().as_deref() == Some(&*key) && decision.reason == reason {
                return decision;
            }
        }
    }

    /// Connects, and is known to be in: nobody else can be taken for it.
    #[track_caller]
    fn lets_in(&self, client: &SecretCertificate) -> Inside {
        let socket = self.admits(client);
        let identity = PeerIdentity::Key(*client.public_key());
        let start = Instant::now();
        loop {
            let peers = self.authenticator.peers();
            let known: Vec<_> = peers.iter().filter_map(|peer| peer.identity()).collect();
            if known.len() == peers.len() && known.contains(&&identity) {
                break;
            }
            assert!(start.elapsed() < SOON / 2, "{peers:?}");
            std::thread::yield_now();
        }
        Inside {
            monitor: Monitor::attach(&socket).unwrap(),
            key: *client.public_key(),
            socket,
        }
    }
}

struct Inside {
    key: PublicKey,
    socket: Socket,
    monitor: Monitor,
}

impl Inside {
    /// Waits until its connection is closed and it is refused when it comes back.
    #[track_caller]
    fn is_put_out(&self, house: &House, reason: Reason) {
        let mut closed = false;
        loop {
            match self.monitor.next(Some(SOON)).unwrap().unwrap().kind {
                EventKind::Disconnected { .. } => closed = true,
                EventKind::HandshakeFailedAuth(status) => {
                    assert!(closed && status == 400);
                    house.decides(&self.key, reason);
                    return;
                }
                _ => {}
            }
        }
    }

    #[track_caller]
    fn is_still_in(&self, house: &House) {
        self.socket.send("still in").unwrap();
        assert_eq!(house.server.recv().unwrap(), "still in");
        while let Some(event) = self.monitor.next(Some(Duration::ZERO)).unwrap() {
            let closed = matches!(event.kind, EventKind::Disconnected { .. });
            assert!(!closed);
        }
    }
}

#[test]
fn a_certificate_admits_within_its_life_and_neither_before_nor_after() {
    within(SOON * 2, || {
        let house = House::new(CertificateStore::in_memory());
        let life = Validity::new()
            .with_not_before(house.start + HOUR)
            .with_not_after(house.start + 2 * HOUR);
        let client = house.client(life);
        house.refuses(&client, Reason::NotYetValid);
        house.set_clock(house.start + HOUR);
        house.admits(&client);
        house.set_clock(house.start + 2 * HOUR - SECOND);
        house.admits(&client);
        house.set_clock(house.start + 2 * HOUR);
        let decision = house.refuses(&client, Reason::Expired);
        let fingerprint = client.public_key().fingerprint();
        assert_eq!(decision.fingerprint(), Some(fingerprint));
        let shown = decision.to_string();
        let wanted = format!("({fingerprint}): its certificate has ended");
        assert!(shown.ends_with(&wanted), "{shown}");
        let disabled = house.client(Validity::new().with_disabled(true));
        house.refuses(&disabled, Reason::Disabled);
        // Nobody else cares what time it is.
        house.admits(&house.client(Validity::new()));
    });
}

#[test]
fn explanation_of_a_refusal_states_the_dates_and_the_time() {
    within(SOON * 2, || {
        let house = House::new(CertificateStore::in_memory());
        let time = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let client = house.client(Validity::new().with_not_after(time(1_000_000_000)));
        let explain = |client: &SecretCertificate| {
            let key = *client.public_key();
            let address = PeerAddress::parse("127.0.0.1");
            let told = house
                .authenticator
                .explain("d", &address, Credential::Curve(key));
            (told.reason, told.steps.last().unwrap().detail.clone())
        };
        house.set_clock(time(1_500_000_000));
        let key = client.public_key();
        let (reason, detail) = explain(&client);
        assert_eq!(reason, Reason::Expired);
        let wanted = format!(
            "there is a certificate with the key {key} ({}), valid until 2001-09-09T01:46:40Z; it is 2017-07-14T02:40:00Z, give or take 0ns",
            key.fingerprint()
        );
        assert_eq!(detail, wanted);
        let (reason, detail) = explain(&house.client(Validity::new().with_disabled(true)));
        assert_eq!(reason, Reason::Disabled);
        assert!(detail.ends_with("which is disabled"), "{detail}");
    });
}

#[test]
fn who_is_in_is_put_out_when_the_certificate_ends_and_its_neighbour_stays() {
    within(SOON * 2, || {
        // A clock that goes on by itself.
        let zero = Instant::now();
        let house = House::with(CertificateStore::in_memory(), move |set| {
            set + zero.elapsed()
        });
        let until = |end| Validity::new().with_not_after(end);
        let stays = house.lets_in(&house.client(until(house.start + DAY)));
        let forever = house.lets_in(&house.client(Validity::new()));
        let end = house.start + HOUR;
        let leaves = house.lets_in(&house.client(until(end)));
        // A second before the end.
        let set = end - zero.elapsed() - SECOND;
        house.set_clock(set);
        leaves.is_put_out(&house, Reason::Expired);
        assert!(set + zero.elapsed() >= end);
        for inside in [&stays, &forever] {
            inside.is_still_in(&house);
        }
        assert_eq!(house.authenticator.peers().len(), 2);
    });
}

#[test]
fn ends_of_several_who_are_in_come_one_by_one() {
    within(SOON * 2, || {
        let house = House::new(CertificateStore::in_memory());
        let until = |hours| Validity::new().with_not_after(house.start + hours * HOUR);
        let [third, first, second] = [3, 1, 2].map(|n| house.lets_in(&house.client(until(n))));
        for (hours, ended, rest) in [
            (1, &first, &[&second, &third][..]),
            (2, &second, &[&third]),
            (3, &third, &[]),
        ] {
            // The clock is set while nothing else happens.
            house.set_clock(house.start + hours * HOUR);
            ended.is_put_out(&house, Reason::Expired);
            rest.iter().for_each(|inside| inside.is_still_in(&house));
        }
    });
}

#[test]
fn clock_set_back_by_a_day_gives_no_ended_certificate_back_and_puts_nobody_out() {
    within(SOON * 2, || {
        let house = House::new(CertificateStore::in_memory());
        let begun = Validity::new().with_not_before(house.start - HOUR);
        let (ends, goes_on) = (begun.with_not_after(house.start + HOUR), begun);
        let inside = house.lets_in(&house.client(goes_on));
        let witness = house.client(begun);
        let witness_inside = house.lets_in(&witness);
        let ended = house.client(ends);
        house.admits(&ended);
        house.set_clock(house.start + HOUR);
        house.refuses(&ended, Reason::Expired);
        house.set_clock(house.start + HOUR - DAY);
        house.refuses(&ended, Reason::Expired);
        house.refuses(&house.client(begun), Reason::NotYetValid);
        // When one is put out, the others have been judged too.
        house.store.remove(witness.public_key());
        witness_inside.is_put_out(&house, Reason::UnknownKey);
        inside.is_still_in(&house);

        let jumps = || -> Vec<_> {
            let events = std::iter::from_fn(|| house.events.next(Some(Duration::ZERO)));
            events
                .filter(|event| matches!(event, AuditEvent::ClockJumped { .. }))
                .collect()
        };
        jumps();
        house.set_clock(house.start + HOUR);
        house.refuses_without_a_look(&ended);
        house.set_clock(house.start + HOUR - DAY);
        house.refuses_without_a_look(&ended);
        let jumps = jumps();
        assert_eq!(jumps.len(), 2, "{jumps:?}");
        let AuditEvent::ClockJumped { expected, found } = &jumps[1] else {
            unreachable!()
        };
        assert_eq!(*found, house.start + HOUR - DAY);
        let by = expected.duration_since(*found).unwrap();
        assert!(by >= DAY && by < DAY + SOON, "{by:?}");
        let shown = jumps[1].to_string();
        assert!(
            shown.contains("certificates that had ended stay so"),
            "{shown}"
        );

        // Somebody says that this is the right time.
        house.authenticator.trust_clock();
        house.set_clock(house.start);
        house.admits(&ended);
    });
}

#[test]
fn who_comes_too_early_and_is_told_to_retry_is_admitted_when_the_time_has_come() {
    within(SOON * 2, || {
        let house = House::new(CertificateStore::in_memory());
        house
            .domain
            .update(|policy| policy.refusal(Refusal::Retry))
            .unwrap();
        let server = house
            .context
            .socket(SocketType::Pull)
            .set(options::RCV_TIMEO, Some(SOON / 2))
            .set(options::HANDSHAKE_IVL, Duration::from_millis(500))
            .secure(CurveServer::new(&house.certificate, &house.domain));
        let (server, endpoint) = serve(server);
        let client = house.client(Validity::new().with_not_before(house.start + HOUR));
        let mechanism = CurveClient::new(&client, *house.certificate.public_key());
        let socket = house
            .context
            .socket(SocketType::Push)
            .secure(mechanism)
            .open()
            .unwrap();
        socket.connect(&endpoint).unwrap();
        socket.send("at last").unwrap();
        house.decides(client.public_key(), Reason::NotYetValid);
        house.set_clock(house.start + HOUR);
        assert_eq!(server.recv().unwrap(), "at last");
    });
}

#[test]
fn a_key_with_certificates_in_several_stores_is_admitted_while_one_of_them_admits() {
    within(SOON * 2, || {
        let house = House::new(CertificateStore::in_memory());
        let other = Arc::new(CertificateStore::in_memory());
        let stores = [house.store.clone(), other.clone()];
        house
            .domain
            .set_policy(Policy::new().curve(CurvePolicy::stores(stores)))
            .unwrap();
        let client = house.client(Validity::new().with_not_after(house.start + HOUR));
        let renewed = Validity::new()
            .with_not_before(house.start + HOUR)
            .with_not_after(house.start + 2 * HOUR);
        let renewed = client.certificate().clone().with_validity(renewed).unwrap();
        other.insert(renewed).unwrap();
        let inside = house.lets_in(&client);
        let until = Validity::new().with_not_after(house.start + HOUR);
        let witness = house.lets_in(&house.client(until));
        house.set_clock(house.start + HOUR);
        witness.is_put_out(&house, Reason::Expired);
        inside.is_still_in(&house);
        house.set_clock(house.start + 2 * HOUR);
        inside.is_put_out(&house, Reason::Expired);
    });
}
