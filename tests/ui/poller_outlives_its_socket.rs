use ironhouse::socket::{Context, Interest, Poller, SocketType};

fn main() {
    let context = Context::new().unwrap();
    let socket = context.socket(SocketType::Pull).open().unwrap();
    let mut poller = Poller::new();
    poller.add(&socket, Interest::READABLE);
    drop(socket);
    let _ = poller.wait(None);
}
