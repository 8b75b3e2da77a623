//! ZAP messages, their frames separated by `|`, to a running authenticator: none is ever answered with an admission; an answer goes back by
//! the way the request came and repeats nothing but its id; and the next good request is served.
#![no_main]

use ironhouse::Error;
use ironhouse::security::{Authenticator, Domain, Policy};
use ironhouse::socket::{Context, Socket, SocketType};
use libfuzzer_sys::fuzz_target;

struct House {
    _authenticator: Authenticator,
    _open: Domain,
    asker: Socket,
}

impl House {
    fn new() -> Self {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        authenticator.set_fallback(Policy::new()).unwrap();
        let open = authenticator.domain("open", Policy::new().null()).unwrap();
        let asker = context.socket(SocketType::Dealer).open().unwrap();
        asker.connect("inproc://zeromq.zap.01").unwrap();
        Self {
            _authenticator: authenticator,
            _open: open,
            asker,
        }
    }
}

thread_local!(static HOUSE: House = House::new());

fuzz_target!(|data: &[u8]| {
    // The one domain that admits somebody is asked at the end.
    if data.windows(4).any(|domain| domain == b"open") {
        return;
    }
    HOUSE.with(|House { asker, .. }| {
        let given: Vec<&[u8]> = data.split(|&byte| byte == b'|').collect();
        asker.send_multipart(given.iter().copied()).unwrap();
        asker
            .send_multipart(["", "1.0", "last", "open", "::1", "", "NULL"])
            .unwrap();
        loop {
            let reply = match asker.recv_multipart() {
                // By libFuzzer's clock.
                Err(Error::Interrupted) => continue,
                reply => reply.unwrap(),
            };
            let delimiter = reply.iter().position(|frame| frame.is_empty()).unwrap();
            let (way, reply) = reply.split_at(delimiter + 1);
            let [version, id, status, _text, user, metadata] = reply else {
                panic!("{} frames", reply.len());
            };
            assert!(version == b"1.0" && user.is_empty() && metadata.is_empty());
            if status == b"200" {
                assert!(id == b"last");
                break;
            }
            assert!(status == b"400");
            assert!(way.iter().zip(&given).all(|(frame, given)| frame == given));
            assert!(id == given[delimiter + 2]);
        }
    });
});
