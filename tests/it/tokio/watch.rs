//! Monitors, handshakes and proxies, awaited.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use ironhouse::Error;
use ironhouse::security::{
    AuditEvent, CertificateStore, CurveClient, RevocationScope, SecretCertificate,
};
use ironhouse::socket::{
    AsyncSocket, Context, EventKind, HandshakeOutcome, HandshakeProblem, HandshakeWatch, Message,
    Monitor, SocketType,
};

use super::{number, on_each, roomy};
use crate::common::{SOON, bound};
use crate::revoke::Server;

#[test]
fn a_monitor_tells_a_task_until_its_socket_is_closed() {
    on_each(|context| async move {
        let (server, endpoint) = bound(&context, SocketType::Rep);
        let mut monitor = Monitor::attach(&server).unwrap();
        let mut other = Monitor::attach(&server).unwrap();
        assert!(monitor.next_event().now_or_never().is_none());
        let told = tokio::spawn(async move {
            let mut kinds = Vec::new();
            while let Ok(event) = monitor.next_event().await {
                kinds.push(event.kind);
            }
            kinds
        });
        let client = context.socket(SocketType::Req).open().unwrap();
        client.connect(&endpoint).unwrap();
        loop {
            // A stream as well.
            let event = StreamExt::next(&mut other).await.unwrap();
            if event.kind == EventKind::HandshakeSucceeded {
                break;
            }
        }
        drop(server);
        let told = told.await.unwrap();
        assert!(told.contains(&EventKind::HandshakeSucceeded), "{told:?}");
        while StreamExt::next(&mut other).await.is_some() {}
    });
}

#[test]
fn a_connection_is_awaited_until_it_is_secured() {
    on_each(|_| async move {
        let server = Server::with(RevocationScope::Exact, CertificateStore::in_memory());
        let (pull, endpoint) = server.open(SocketType::Pull, "tcp");
        let mut pull = AsyncSocket::new(pull).unwrap();
        let certificate = SecretCertificate::generate().unwrap();
        server
            .store
            .insert(certificate.certificate().clone())
            .unwrap();
        let key = *server.certificate.public_key();
        let mut push = server
            .context
            .socket(SocketType::Push)
            .secure(CurveClient::new(&certificate, key))
            .connect_checked_async(&endpoint, SOON / 2)
            .await
            .unwrap();
        push.send("secured").await.unwrap();
        let message = pull.recv().await.unwrap();
        assert_eq!(message, "secured");
        assert_eq!(
            message.user_id(),
            Some(certificate.public_key().to_string().as_str())
        );
    });
}

#[test]
fn a_connection_that_fails_says_why() {
    on_each(|_| async move {
        let server = Server::with(RevocationScope::Exact, CertificateStore::in_memory());
        let (pull, endpoint) = server.open(SocketType::Pull, "tcp");
        let stranger = SecretCertificate::generate().unwrap();
        let key = *server.certificate.public_key();
        let secured = || {
            let socket = server.context.socket(SocketType::Push);
            socket.secure(CurveClient::new(&stranger, key))
        };
        let mut events = server.authenticator.events();
        let told = tokio::spawn(async move {
            loop {
                match events.next_event().await {
                    Some(AuditEvent::Decision(decision)) => return (decision, events),
                    other => assert!(other.is_some()),
                }
            }
        });
        let refused = secured().connect_checked_async(&endpoint, SOON / 2).await;
        match refused.unwrap_err() {
            Error::Handshake { problem, .. } => {
                assert_eq!(problem, HandshakeProblem::Refused { status: 400 });
            }
            other => panic!("{other}"),
        }
        let (decision, mut events) = told.await.unwrap();
        assert_eq!(decision.verdict(), "refused");
        // Without a mechanism, by the watch.
        let open = server.context.socket(SocketType::Push).open().unwrap();
        let mut watch = HandshakeWatch::attach(&open).unwrap();
        assert!(watch.next_event().now_or_never().is_none());
        open.connect(&endpoint).unwrap();
        let event = watch.next_event().await.unwrap();
        assert!(
            matches!(
                event.outcome,
                HandshakeOutcome::Failed(HandshakeProblem::MechanismMismatch { .. })
            ),
            "{event:?}"
        );
        drop(open);
        assert!(matches!(watch.next_event().await, Err(Error::Terminated)));
        // Nobody there, for as long as we like to wait; cancelled, and in its own time.
        let nobody = "tcp://127.0.0.1:1";
        let wait = secured().connect_checked_async(nobody, SOON);
        assert!(
            tokio::time::timeout(Duration::from_millis(5), wait)
                .await
                .is_err()
        );
        let wait = secured().connect_checked_async(nobody, Duration::from_millis(50));
        match wait.await.unwrap_err() {
            Error::Handshake { problem, .. } => assert!(
                matches!(problem, HandshakeProblem::Unreachable { .. }),
                "{problem}"
            ),
            other => panic!("{other}"),
        }
        drop((server, pull));
        while events.next_event().await.is_some() {}
    });
}

/// A ROUTER and its client, a DEALER and its worker, to be joined by a proxy; and what is to capture, with who receives that.
fn broker(context: &Context) -> [AsyncSocket; 6] {
    let joined = |binds, connects| {
        super::awaited(super::joined(
            roomy(context, binds),
            roomy(context, connects),
            "tcp",
        ))
    };
    let (frontend, client) = joined(SocketType::Router, SocketType::Dealer);
    let (backend, worker) = joined(SocketType::Dealer, SocketType::Router);
    let (capture, captured) = joined(SocketType::Push, SocketType::Pull);
    [frontend, client, backend, worker, capture, captured]
}

#[test]
fn a_proxy_passes_messages_both_ways_and_a_copy_of_each() {
    on_each(|context| async move {
        let [
            mut frontend,
            mut client,
            mut backend,
            mut worker,
            mut capture,
            mut captured,
        ] = broker(&context);
        let proxy =
            tokio::spawn(async move { frontend.proxy(&mut backend, Some(&mut capture)).await });
        let echo = tokio::spawn(async move {
            for _ in 0..1000 {
                let request = worker.recv_multipart().await.unwrap();
                worker.send_multipart(request).await.unwrap();
            }
        });
        for n in 0..1000u32 {
            client.send(&n.to_ne_bytes()).await.unwrap();
        }
        for n in 0..1000 {
            assert_eq!(number(&client.recv().await.unwrap()), n);
        }
        for _ in 0..2000 {
            assert_eq!(captured.recv_multipart().await.unwrap().len(), 2);
        }
        echo.await.unwrap();
        context.shutdown().unwrap();
        proxy.await.unwrap().unwrap();
    });
}

#[test]
fn a_proxy_that_is_stopped_and_started_loses_nothing() {
    on_each(|context| async move {
        let [mut frontend, mut client, mut backend, mut worker, ..] = broker(&context);
        let proxy = tokio::spawn(async move {
            loop {
                let stop = async {
                    for _ in 0..3 {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::select! {
                    ended = frontend.proxy(&mut backend, None) => return ended,
                    () = stop => {}
                }
            }
        });
        let sender = tokio::spawn(async move {
            for n in 0..5000u32 {
                client.send(&n.to_ne_bytes()).await.unwrap();
            }
            client
        });
        for n in 0..5000 {
            let message: Vec<Message> = worker.recv_multipart().await.unwrap();
            assert_eq!(number(&message[2]), n);
        }
        sender.await.unwrap();
        context.shutdown().unwrap();
        proxy.await.unwrap().unwrap();
    });
}
