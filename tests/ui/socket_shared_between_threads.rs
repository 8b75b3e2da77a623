use ironhouse::socket::{Context, SocketType};

fn main() {
    let context = Context::new().unwrap();
    let socket = context.socket(SocketType::Pull).open().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| socket.recv());
    });
}
