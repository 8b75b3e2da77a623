use ironhouse::Context;
use ironhouse::socket::Pull;

fn main() {
    let pull = Context::new().unwrap().typed::<Pull>().open().unwrap();
    pull.send("x").unwrap();
}
