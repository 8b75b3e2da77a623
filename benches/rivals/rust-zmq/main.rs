//! The data path by the crate `zmq`: `rust-zmq KIND TRANSPORT MECHANISM SIZE COUNT`.

#[path = "../../common/datapath.rs"]
mod datapath;

use datapath::Job;
use zmq::{Context, CurveKeyPair, Message, SocketType};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let job = Job::parse(&arguments).expect("KIND TRANSPORT MECHANISM SIZE COUNT");
    // The libzmq that the crate builds may be without libsodium.
    if job.is_curve() && zmq::has("curve") != Some(true) {
        println!("unsupported");
        return;
    }
    let context = Context::new();
    let other = if job.is_inproc() {
        context.clone()
    } else {
        Context::new()
    };
    let kinds = match job.latency {
        true => [SocketType::REP, SocketType::REQ],
        false => [SocketType::PULL, SocketType::PUSH],
    };
    let server = context.socket(kinds[0]).unwrap();
    let client = other.socket(kinds[1]).unwrap();
    for socket in [&server, &client] {
        socket.set_sndhwm(job.limit()).unwrap();
        socket.set_rcvhwm(job.limit()).unwrap();
    }
    if job.is_curve() {
        let [pair, own] = [(); 2].map(|()| CurveKeyPair::new().unwrap());
        server.set_curve_server(true).unwrap();
        server.set_curve_secretkey(&pair.secret_key).unwrap();
        client.set_curve_serverkey(&pair.public_key).unwrap();
        client.set_curve_publickey(&own.public_key).unwrap();
        client.set_curve_secretkey(&own.secret_key).unwrap();
    }
    server.bind(&job.endpoint()).unwrap();
    let endpoint = server.get_last_endpoint().unwrap().unwrap();
    client.connect(&endpoint).unwrap();
    let (major, minor, patch) = zmq::version();
    let version = format!("{major}.{minor}.{patch}");
    let mut message = Message::new();
    if job.latency {
        let ask = |content: &[u8]| {
            client.send(content, 0).unwrap();
            client.recv(&mut message, 0).unwrap();
            message.len()
        };
        job.latency(&version, ask, move || {
            server.send(server.recv_msg(0).unwrap(), 0).unwrap();
        })
    }
    let send = move |content: &[u8]| client.send(content, 0).unwrap();
    job.throughput(&version, send, || {
        server.recv(&mut message, 0).unwrap();
        message.len()
    })
}
