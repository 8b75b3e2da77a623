use ironhouse::Context;
use ironhouse::socket::Pair;

fn main() {
    let pair = Context::new().unwrap().typed::<Pair>().open().unwrap();
    pair.subscribe("x").unwrap();
}
