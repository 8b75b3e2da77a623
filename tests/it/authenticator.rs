//! The authenticator's life and end: every order of drops, callbacks that drop, contexts of a host.

use std::ptr::NonNull;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use ironhouse::security::{
    Authenticator, CertificateStore, CurveClient, CurvePolicy, CurveServer, Domain, NullServer,
    Policy, SecretCertificate, Verdict,
};
use ironhouse::{Context, Error, SocketType};
use zmq_sys_wrap::Api;

use crate::common::{SOON, endpoint, secured, within};

#[test]
fn handles_sockets_and_context_may_be_dropped_in_any_order() {
    // Every order of four drops, by index.
    let mut orders = Vec::new();
    for a in 0..4 {
        for b in (0..4).filter(|&b| b != a) {
            for c in (0..4).filter(|&c| c != a && c != b) {
                orders.push([a, b, c, 6 - a - b - c]);
            }
        }
    }
    within(SOON, move || {
        for order in orders {
            let context = Context::new().unwrap();
            let authenticator = Authenticator::start(&context).unwrap();
            let domain = authenticator.domain("d", Policy::new().null()).unwrap();
            let server = context
                .socket(SocketType::Rep)
                .secure(NullServer::new(&domain))
                .open()
                .unwrap();
            server.bind(&endpoint("tcp")).unwrap();
            let mut all: [Option<Box<dyn std::any::Any>>; 4] = [
                Some(Box::new(context)),
                Some(Box::new(authenticator)),
                Some(Box::new(domain)),
                Some(Box::new(server)),
            ];
            for index in order {
                all[index] = None;
            }
        }
    });
}

#[test]
fn a_shut_down_context_ends_the_authenticator_and_later_use_says_so() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let events = authenticator.events();
        context.shutdown().unwrap();
        assert_eq!(events.next(None), None);
        let domain = authenticator.domain("d", Policy::new().null()).unwrap();
        let socket = context
            .socket(SocketType::Rep)
            .secure(NullServer::new(&domain))
            .open();
        assert!(matches!(socket, Err(Error::Terminated)));
        assert!(matches!(
            Authenticator::start(&context),
            Err(Error::Terminated)
        ));
    });
}

/// A context as a host in C has it.
#[allow(unsafe_code)]
fn hosts_context() -> NonNull<std::ffi::c_void> {
    // SAFETY: no precondition.
    NonNull::new(unsafe { (Api::linked().ctx_new)() }).unwrap()
}

#[allow(unsafe_code)]
fn terminate(context: NonNull<std::ffi::c_void>) {
    // SAFETY: a context of `hosts_context`, not terminated before.
    assert_eq!(unsafe { (Api::linked().ctx_term)(context.as_ptr()) }, 0);
}

#[test]
fn a_host_may_terminate_its_context_before_or_after_the_authenticator_is_dropped() {
    within(SOON, || {
        for host_first in [true, false] {
            let host = hosts_context();
            // SAFETY: the context is live until `terminate`; after that the handles are only dropped.
            #[allow(unsafe_code)]
            let context = unsafe { Context::borrow_raw(host, Api::linked()) };
            let authenticator = Authenticator::start(&context).unwrap();
            let _domain = authenticator.domain("d", Policy::new().null()).unwrap();
            if host_first {
                // Waits for the authenticator's socket, which its thread closes when it sees the end.
                terminate(host);
                drop((_domain, authenticator, context));
            } else {
                drop((_domain, authenticator, context));
                terminate(host);
            }
        }
    });
}

#[test]
fn a_callback_may_drop_the_last_share_of_its_authenticator() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let last = Arc::new(Mutex::new(None));
        let (called, calls) = channel();
        let callback = CurvePolicy::callback({
            let last = last.clone();
            move |_| {
                let share = last.lock().unwrap().take();
                called.send(Option::is_some(&share)).unwrap();
                drop(share);
                Verdict::admit()
            }
        });
        let domain = authenticator
            .domain("d", Policy::new().curve(callback))
            .unwrap();
        let certificate = SecretCertificate::generate().unwrap();
        let curve = CurveServer::new(&certificate, &domain);
        let (server, endpoint) = secured(&context, SocketType::Rep, curve);
        *last.lock().unwrap() = Some(server);
        drop((authenticator, domain));

        let client = SecretCertificate::generate().unwrap();
        let client = context
            .socket(SocketType::Req)
            .secure(CurveClient::new(&client, *certificate.public_key()))
            .open()
            .unwrap();
        client.connect(&endpoint).unwrap();
        assert!(calls.recv().unwrap());
    });
}

#[test]
fn what_a_callback_owns_is_freed_when_the_authenticator_ends() {
    within(SOON, || {
        let owned = Arc::new(());
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let callback = {
            let owned = owned.clone();
            CurvePolicy::callback(move |_| {
                let _ = &owned;
                Verdict::refuse()
            })
        };
        let domain = authenticator
            .domain("d", Policy::new().curve(callback))
            .unwrap();
        assert_eq!(Arc::strong_count(&owned), 2);
        drop((authenticator, domain));
        assert_eq!(Arc::strong_count(&owned), 1);
    });
}

#[test]
fn a_store_may_outlive_or_precede_its_authenticator() {
    within(SOON, || {
        let folder = crate::common::folder();
        let store = Arc::new(CertificateStore::directory(folder.path()).unwrap());
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        authenticator
            .set_fallback(Policy::new().curve(CurvePolicy::store(store.clone())))
            .unwrap();
        drop(authenticator);
        store.sync(SOON).unwrap();
    });
}

#[test]
fn what_a_replaced_policy_owns_may_use_the_authenticator_when_it_is_dropped() {
    struct Last(Domain);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.update(|policy| policy).unwrap();
        }
    }
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let domain = authenticator.domain("d", Policy::new()).unwrap();
        for replace in [
            |domain: &Domain| domain.set_policy(Policy::new()),
            |domain: &Domain| domain.update(|_| Policy::new()),
        ] {
            let last = Last(domain.clone());
            let callback = CurvePolicy::callback(move |_| {
                let _ = &last;
                Verdict::refuse()
            });
            domain.set_policy(Policy::new().curve(callback)).unwrap();
            replace(&domain).unwrap();
        }
    });
}
