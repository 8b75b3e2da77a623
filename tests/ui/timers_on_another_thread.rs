use ironhouse::Context;
use ironhouse::socket::Timers;

fn main() {
    let mut timers = Timers::new(&Context::new().unwrap()).unwrap();
    std::thread::spawn(move || timers.due());
}
