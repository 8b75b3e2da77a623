//! The data path by the crate `arzmq`: `arzmq KIND TRANSPORT MECHANISM SIZE COUNT`.

#[path = "../../common/datapath.rs"]
mod datapath;

use arzmq::context::Context;
use arzmq::prelude::{
    PullSocket, PushSocket, Receiver, RecvFlags, ReplySocket, RequestSocket, SendFlags, Sender,
};
use arzmq::security::SecurityMechanism;
use arzmq::security::curve::curve_keypair;
use datapath::Job;

/// Both sockets, connected; they are of types without a name in common.
macro_rules! pair {
    ($job:ident, $server:ident, $client:ident) => {{
        let context = Context::new().unwrap();
        let other = match $job.is_inproc() {
            true => context.clone(),
            false => Context::new().unwrap(),
        };
        let server = $server::from_context(&context).unwrap();
        let client = $client::from_context(&other).unwrap();
        server.set_send_highwater_mark($job.limit()).unwrap();
        server.set_receive_highwater_mark($job.limit()).unwrap();
        client.set_send_highwater_mark($job.limit()).unwrap();
        client.set_receive_highwater_mark($job.limit()).unwrap();
        if $job.is_curve() {
            let [(server_key, server_secret), (public_key, secret_key)] =
                [(); 2].map(|()| curve_keypair().unwrap());
            let of_server = SecurityMechanism::CurveServer {
                secret_key: server_secret,
            };
            server.set_security_mechanism(&of_server).unwrap();
            let of_client = SecurityMechanism::CurveClient {
                server_key,
                public_key,
                secret_key,
            };
            client.set_security_mechanism(&of_client).unwrap();
        }
        server.bind($job.endpoint()).unwrap();
        client.connect(server.last_endpoint().unwrap()).unwrap();
        (server, client)
    }};
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let job = Job::parse(&arguments).expect("KIND TRANSPORT MECHANISM SIZE COUNT");
    let (major, minor, patch) = arzmq::version();
    let version = format!("{major}.{minor}.{patch}");
    let (wait, send_wait) = (RecvFlags::empty(), SendFlags::empty());
    if job.latency {
        let (server, client) = pair!(job, ReplySocket, RequestSocket);
        let ask = |content: &[u8]| {
            client.send_msg(content, send_wait).unwrap();
            client.recv_msg(wait).unwrap().len()
        };
        job.latency(&version, ask, move || {
            let question = server.recv_msg(wait).unwrap();
            server.send_msg(question, send_wait).unwrap();
        })
    }
    let (server, client) = pair!(job, PullSocket, PushSocket);
    let send = move |content: &[u8]| client.send_msg(content, send_wait).unwrap();
    job.throughput(&version, send, || server.recv_msg(wait).unwrap().len())
}
