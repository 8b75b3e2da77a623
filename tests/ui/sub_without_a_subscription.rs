use ironhouse::Context;
use ironhouse::socket::Sub;

fn main() {
    Context::new().unwrap().typed::<Sub>().open().unwrap();
}
