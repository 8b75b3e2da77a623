use ironhouse::Context;
use ironhouse::socket::options::IO_THREADS;

fn main() {
    Context::new().unwrap().set(IO_THREADS, 4).unwrap();
}
