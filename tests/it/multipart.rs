//! Messages of several frames: arrays, tuples, iterators.

use ironhouse::Error;
use ironhouse::socket::{Context, Message, Socket, SocketType};

use crate::common::{SOON, connected, within};

fn pair() -> (Socket, Socket) {
    let context = Context::new().unwrap();
    connected(&context, "inproc", (SocketType::Pair, SocketType::Pair))
}

#[test]
fn an_array_takes_a_message_of_as_many_frames() {
    within(SOON, || {
        let (a, b) = pair();
        a.send_multipart(["1", "", "3"]).unwrap();
        let [one, two, three] = b.recv_array().unwrap();
        assert_eq!((&*one, &*two, &*three), (&b"1"[..], &b""[..], &b"3"[..]));
        assert!(matches!(b.try_recv_array::<2>(), Err(Error::Again)));
        a.send("only").unwrap();
        let (only,): (Message,) = b.recv_array::<1>().unwrap().into();
        assert_eq!(only, "only");
    });
}

#[test]
fn a_message_of_another_number_of_frames_is_dropped_as_a_whole() {
    within(SOON, || {
        let (a, b) = pair();
        for (frames, expected) in [(1, 3), (4, 3), (9, 3)] {
            a.send_multipart(vec!["x"; frames]).unwrap();
            a.send_multipart(["n", "e", "xt"]).unwrap();
            match b.recv_array::<3>() {
                Err(Error::FrameCount {
                    expected: e,
                    received,
                }) => {
                    assert_eq!((e, received), (expected, frames));
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(
                b.recv_array::<3>().unwrap(),
                ["n", "e", "xt"].map(Message::from)
            );
        }
        let text = {
            a.send("x").unwrap();
            b.recv_array::<0>().unwrap_err().to_string()
        };
        assert!(text.contains("recv_multipart"), "{text}");
    });
}

#[test]
fn a_tuple_of_any_types_is_one_message() {
    within(SOON, || {
        let (a, b) = pair();
        a.send_tuple(("a", b"b", vec![1, 2], String::from("d"), Message::new()))
            .unwrap();
        let frames = b.recv_multipart().unwrap();
        assert_eq!(frames, ["a", "b", "\x01\x02", "d", ""]);
        a.try_send_tuple(("alone",)).unwrap();
        assert_eq!(b.recv_multipart().unwrap(), ["alone"]);
    });
}

#[test]
fn frames_come_one_by_one_and_those_not_asked_for_go() {
    within(SOON, || {
        let (a, b) = pair();
        for _ in 0..2 {
            a.send_multipart(["1", "2", "3", "4"]).unwrap();
        }
        a.send("next").unwrap();
        let all: Vec<_> = b.frames().map(Result::unwrap).collect();
        assert_eq!(all, ["1", "2", "3", "4"]);
        let mut some = b.frames();
        assert_eq!(some.next().unwrap().unwrap(), "1");
        drop(some);
        drop(b.frames()); // nothing asked for, nothing taken
        assert_eq!(b.recv().unwrap(), "next");
    });
}

#[test]
fn messages_of_more_frames_than_the_short_list_holds_arrive_whole() {
    within(SOON, || {
        let (a, b) = pair();
        for frames in [0, 1, 7, 8, 9, 100] {
            a.send_multipart((0..frames).map(|i: u32| i.to_string()))
                .unwrap();
            if frames > 0 {
                let got = b.recv_multipart().unwrap();
                let expected: Vec<_> = (0..frames).map(|i| i.to_string()).collect();
                assert_eq!(got, expected);
            }
        }
        assert!(matches!(b.try_recv(), Err(Error::Again)));
    });
}
