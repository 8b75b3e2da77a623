use ironhouse::Context;
use ironhouse::socket::Push;

fn main() {
    let push = Context::new().unwrap().typed::<Push>().open().unwrap();
    push.recv().unwrap();
}
