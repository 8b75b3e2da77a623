//! What sending and receiving allocates, counted; and that what need not be copied is not. A binary of its own, for it replaces the allocator.
#![allow(unsafe_code)]
// The helpers of a test are no `#[test]` functions, where clippy allows these by itself.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;
use ironhouse::Error;
use ironhouse::socket::{Context, Message, Socket, SocketType};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, with a count for each thread: libzmq's own allocations do not come here.
struct Counting;

// SAFETY: every call is passed on as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: our caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many allocations `body` makes on this thread.
fn allocations(body: impl FnOnce()) -> usize {
    let before = COUNT.get();
    body();
    COUNT.get() - before
}

/// Nothing, one byte, the most that libzmq keeps inline and one more, below and at the border of zero copy, several pages.
const SIZES: [usize; 8] = [0, 1, 33, 34, 255, 256, 4096, 1 << 20];

static DATA: [u8; 1 << 20] = [7; 1 << 20];

fn pair(transport: &str) -> (Socket, Socket) {
    let context = Context::new().unwrap();
    let pull = context.socket(SocketType::Pull).open().unwrap();
    let endpoint = match transport {
        "inproc" => "inproc://allocations",
        _ => "tcp://127.0.0.1:*",
    };
    let endpoint = pull.bind(endpoint).unwrap();
    let push = context.socket(SocketType::Push).open().unwrap();
    push.connect(&endpoint).unwrap();
    (push, pull)
}

fn data(size: usize) -> &'static [u8] {
    &DATA[..size]
}

#[test]
fn slices_vectors_constants_and_shared_slices_leave_without_an_allocation() {
    for transport in ["tcp", "inproc"] {
        let (push, pull) = pair(transport);
        for size in SIZES {
            let vec = data(size).to_vec();
            let text = String::from_utf8(vec.clone()).unwrap();
            let boxed = vec.clone().into_boxed_slice();
            let shared: Arc<[u8]> = data(size).into();
            let count = allocations(|| {
                push.send(data(size)).unwrap();
                push.send(vec).unwrap();
                push.send(text).unwrap();
                push.send(boxed).unwrap();
                push.send(shared.clone()).unwrap();
                push.send(Message::from_static(data(size))).unwrap();
            });
            assert_eq!(count, 0, "{size} bytes over {transport}");
            for _ in 0..6 {
                assert_eq!(pull.recv().unwrap(), data(size));
            }
        }
    }
}

#[test]
fn a_shared_buffer_costs_a_record_of_its_owner_from_256_bytes_on() {
    let (push, pull) = pair("tcp");
    for size in SIZES {
        let bytes = Bytes::from(data(size).to_vec());
        let kept = bytes.clone();
        let count = allocations(|| push.send(bytes).unwrap());
        assert_eq!(count, usize::from(size >= 256), "{size} bytes");
        assert_eq!(pull.recv().unwrap(), kept);
    }
}

#[test]
fn receiving_allocates_nothing_into_a_message_used_before_or_a_new_one() {
    let (push, pull) = pair("tcp");
    let mut message = Message::new();
    for size in SIZES {
        push.send(data(size)).unwrap();
        push.send(data(size)).unwrap();
        let count = allocations(|| pull.recv_into(&mut message).unwrap());
        assert_eq!((count, message.len()), (0, size));
        let count = allocations(|| assert_eq!(pull.recv().unwrap().len(), size));
        assert_eq!(count, 0);
    }
    let count = allocations(|| {
        assert!(matches!(pull.try_recv(), Err(Error::Again)));
        assert!(matches!(
            pull.try_recv_into(&mut message),
            Err(Error::Again)
        ));
    });
    assert_eq!(count, 0);
}

#[test]
fn messages_of_up_to_eight_frames_need_no_list() {
    let (push, pull) = pair("tcp");
    let count = allocations(|| {
        push.send_multipart([data(5), data(4096), data(0)]).unwrap();
        push.send_tuple((data(300), "x", [1, 2, 3])).unwrap();
        push.send_multipart([data(9); 8]).unwrap();
    });
    assert_eq!(count, 0);
    let count = allocations(|| {
        let [a, b, c] = pull.recv_array().unwrap();
        assert_eq!((a.len(), b.len(), c.len()), (5, 4096, 0));
        assert_eq!(
            pull.frames()
                .map(|frame| frame.unwrap().len())
                .sum::<usize>(),
            304
        );
        assert_eq!(pull.frames().count(), 8);
    });
    assert_eq!(count, 0);
}

#[test]
fn what_is_sent_is_the_memory_it_was_and_what_is_received_stays_where_it_is() {
    let (push, pull) = pair("inproc");
    let received_at = |message: Message, at: *const u8, what: &str| {
        push.send(message).unwrap();
        let received = pull.recv().unwrap();
        assert_eq!(received.as_ptr(), at, "{what} was copied on its way out");
        received
    };
    for size in [256, 4096, 1 << 20] {
        let vec = data(size).to_vec();
        let at = vec.as_ptr();
        let message = received_at(vec.into(), at, "Vec");
        let bytes = Bytes::from(message);
        assert_eq!(bytes.as_ptr(), at, "copied on its way in");
        let bytes = Bytes::from(received_at(bytes.into(), at, "Bytes of a message"));
        assert_eq!((bytes.as_ptr(), bytes.len()), (at, size));
        drop(bytes);

        let shared: Arc<[u8]> = data(size).into();
        let message = received_at(shared.clone().into(), shared.as_ptr(), "Arc");
        assert!(message.is_shared());
        drop(message);
        assert_eq!(Arc::strong_count(&shared), 1);

        let at = data(size).as_ptr();
        received_at(Message::from_static(data(size)), at, "&'static");
        received_at(Bytes::from_static(data(size)).into(), at, "static Bytes");
        let text = "x".repeat(size);
        let at = text.as_ptr();
        received_at(text.into(), at, "String");
    }
}

#[test]
fn a_clone_shares_the_memory() {
    for message in [
        Message::from(data(4096).to_vec()),
        Message::from(data(4096)),
        Message::from_static(data(4096)),
        Message::from(Bytes::from(data(4096).to_vec())),
    ] {
        let (clone, count) = {
            let mut clone = None;
            let count = allocations(|| clone = Some(message.clone()));
            (clone.unwrap(), count)
        };
        assert_eq!(clone.as_ptr(), message.as_ptr());
        assert!(clone.is_shared() && message.is_shared());
        assert!(count <= 1, "{count}"); // a `Bytes` counts its owners from the first clone on
    }
}
