use ironhouse::socket::{Context, Mechanism, SocketType};

fn secure_late(mechanism: impl Mechanism) {
    let context = Context::new().unwrap();
    let socket = context.socket(SocketType::Rep).open().unwrap();
    socket.secure(mechanism);
}

fn main() {}
