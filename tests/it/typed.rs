//! Sockets whose type the compiler knows. What must not compile is in tests/ui.

use ironhouse::socket::{
    Context, Dealer, Interest, Poller, Pub, Pull, Push, Router, SocketType, Sub, Typed, options,
};

use crate::common::{SOON, endpoint, within};

#[test]
fn a_sub_receives_what_it_subscribed_to_and_nothing_else() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let publisher = context.typed::<Pub>().open().unwrap();
        let at = publisher.bind(&endpoint("inproc")).unwrap();
        let sub = context
            .typed::<Sub>()
            .subscribe("a")
            .subscribe("b")
            .open()
            .unwrap();
        sub.connect(&at).unwrap();
        for topic in ["c1", "a1", "b1"] {
            publisher.send(topic).unwrap();
        }
        assert_eq!(sub.recv().unwrap(), "a1");
        assert_eq!(sub.recv().unwrap(), "b1");
        sub.unsubscribe("a").unwrap();
        sub.subscribe("c").unwrap();
        let mut poller = Poller::new();
        poller.add(sub.as_ref(), Interest::READABLE);
        while poller
            .wait(Some(std::time::Duration::ZERO))
            .unwrap()
            .is_empty()
        {
            publisher.send("c2").unwrap();
        }
        drop(poller);
        assert_eq!(sub.recv().unwrap(), "c2");
    });
}

#[test]
fn options_and_calls_are_those_of_the_socket_within() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let push = context
            .typed::<Push>()
            .set(options::SND_HWM, 7)
            .open()
            .unwrap();
        assert_eq!(push.get(options::SND_HWM).unwrap(), 7);
        let at = push.bind(&endpoint("tcp")).unwrap();
        let pull: Typed<Pull> = context.typed().connect_checked(&at, SOON).unwrap();
        push.send_tuple(("a", vec![1])).unwrap();
        let [a, one] = pull.recv_array().unwrap();
        assert_eq!((a.as_str(), &*one), (Some("a"), &[1][..]));
        push.send_slice(b"b").unwrap();
        assert_eq!(pull.recv().unwrap().as_str(), Some("b"));
        assert_eq!(pull.into_inner().kind(), SocketType::Pull);
    });
}

#[test]
fn a_socket_becomes_typed_by_its_own_type_only() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let open = || context.socket(SocketType::Router).open().unwrap();
        assert!(Typed::<Router>::try_from(open()).is_ok());
        let text = Typed::<Dealer>::try_from(open()).unwrap_err().to_string();
        assert!(text.contains("Dealer") && text.contains("Router"), "{text}");
    });
}
