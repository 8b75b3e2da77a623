//! Awaited sockets by the crate `zeromq`: `zeromq KIND TRANSPORT RUNTIMES SIZE COUNT`.
//!
//! Its queues have lengths of their own, which cannot be set.

#[path = "../../common/asyncpath.rs"]
mod asyncpath;
#[path = "../../common/datapath.rs"]
mod datapath;

use asyncpath::{End, Library};
use bytes::Bytes;
use datapath::Job;
use zeromq::{
    PullSocket, PushSocket, RepSocket, ReqSocket, Socket as _, SocketRecv, SocketSend, ZmqMessage,
};

#[derive(Clone)]
struct Zeromq;

enum Socket {
    Pull(PullSocket),
    Push(PushSocket),
    Rep(RepSocket),
    Req(ReqSocket),
}

impl Socket {
    async fn give(&mut self, message: ZmqMessage) {
        match self {
            Self::Push(socket) => socket.send(message).await,
            Self::Rep(socket) => socket.send(message).await,
            Self::Req(socket) => socket.send(message).await,
            Self::Pull(_) => panic!("a PULL sends nothing"),
        }
        .unwrap();
    }

    async fn take(&mut self) -> ZmqMessage {
        match self {
            Self::Pull(socket) => socket.recv().await,
            Self::Rep(socket) => socket.recv().await,
            Self::Req(socket) => socket.recv().await,
            Self::Push(_) => panic!("a PUSH receives nothing"),
        }
        .unwrap()
    }
}

impl End for Socket {
    async fn send(&mut self, content: &[u8]) {
        self.give(Bytes::copy_from_slice(content).into()).await;
    }

    async fn receive(&mut self) -> usize {
        self.take().await.get(0).unwrap().len()
    }

    async fn echo(&mut self) {
        let message = self.take().await;
        self.give(message).await;
    }
}

impl Library for Zeromq {
    type End = Socket;

    async fn server(self, job: &Job) -> (Socket, String) {
        let endpoint = match job.is_tcp() {
            true => "tcp://127.0.0.1:0".into(),
            // tokio's spelling of an abstract name.
            false => job.endpoint().replace('@', "\0"),
        };
        let (socket, bound) = if job.latency {
            let mut socket = RepSocket::new();
            let bound = socket.bind(&endpoint).await.unwrap();
            (Socket::Rep(socket), bound)
        } else {
            let mut socket = PullSocket::new();
            let bound = socket.bind(&endpoint).await.unwrap();
            (Socket::Pull(socket), bound)
        };
        let bound = if job.is_tcp() {
            bound.to_string()
        } else {
            endpoint
        };
        (socket, bound)
    }

    async fn client(self, job: &Job, endpoint: &str) -> Socket {
        if job.latency {
            let mut socket = ReqSocket::new();
            socket.connect(endpoint).await.unwrap();
            Socket::Req(socket)
        } else {
            let mut socket = PushSocket::new();
            socket.connect(endpoint).await.unwrap();
            Socket::Push(socket)
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let job = Job::parse(&arguments).expect("KIND TRANSPORT RUNTIMES SIZE COUNT");
    if job.is_inproc() {
        println!("unsupported");
        return;
    }
    asyncpath::run(Zeromq, &job, "none")
}
