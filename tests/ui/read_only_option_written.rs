use ironhouse::socket::{Context, SocketType, options};

fn main() {
    let context = Context::new().unwrap();
    let socket = context.socket(SocketType::Rep).open().unwrap();
    socket.set(options::MECHANISM, 2).unwrap();
}
