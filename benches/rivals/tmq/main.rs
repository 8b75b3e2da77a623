//! Awaited sockets by the crate `tmq`: `tmq KIND TRANSPORT RUNTIMES SIZE COUNT`.

#[path = "../../common/asyncpath.rs"]
mod asyncpath;
#[path = "../../common/datapath.rs"]
mod datapath;

use asyncpath::{End, Library};
use datapath::Job;
use futures::stream::BoxStream;
use futures::{SinkExt, StreamExt};
use tmq::push::Push;
use tmq::request_reply::{RequestReceiver, RequestSender};
use tmq::{AsZmqSocket, Context, Message, Multipart};

/// Server's and client's.
#[derive(Clone)]
struct Contexts(Context, Context);

/// REQ and REP become another type by each call.
enum Socket {
    /// Buffered, as it is fastest.
    Pull(BoxStream<'static, tmq::Result<Multipart>>),
    Push(Push),
    Asks(Option<RequestSender>),
    Waits(Option<RequestReceiver>),
}

impl Socket {
    async fn reply(&mut self) -> Multipart {
        let Self::Waits(socket) = self else {
            panic!("nothing was asked");
        };
        let (message, socket) = socket.take().unwrap().recv().await.unwrap();
        *self = Self::Asks(Some(socket));
        message
    }

    async fn ask(&mut self, message: Multipart) {
        let Self::Asks(socket) = self else {
            panic!("an answer is to come");
        };
        let socket = socket.take().unwrap().send(message).await.unwrap();
        *self = Self::Waits(Some(socket));
    }
}

impl End for Socket {
    async fn send(&mut self, content: &[u8]) {
        match self {
            Self::Push(socket) => socket.send(Message::from(content)).await.unwrap(),
            other => other.ask(Message::from(content).into()).await,
        }
    }

    async fn receive(&mut self) -> usize {
        let message = match self {
            Self::Pull(socket) => socket.next().await.unwrap().unwrap(),
            other => other.reply().await,
        };
        message[0].len()
    }

    async fn echo(&mut self) {
        let message = self.reply().await;
        self.ask(message).await;
    }
}

impl Library for Contexts {
    type End = Socket;

    async fn server(self, job: &Job) -> (Socket, String) {
        let (limit, at) = (job.limit(), job.endpoint());
        if job.latency {
            let socket = tmq::reply(&self.0).set_sndhwm(limit).set_rcvhwm(limit);
            let socket = socket.bind(&at).unwrap();
            let bound = socket.get_socket().get_last_endpoint();
            (Socket::Waits(Some(socket)), bound.unwrap().unwrap())
        } else {
            let socket = tmq::pull(&self.0).set_rcvhwm(limit).bind(&at).unwrap();
            let bound = socket.get_socket().get_last_endpoint();
            (
                Socket::Pull(socket.buffered(limit as usize).boxed()),
                bound.unwrap().unwrap(),
            )
        }
    }

    async fn client(self, job: &Job, endpoint: &str) -> Socket {
        let limit = job.limit();
        if job.latency {
            let socket = tmq::request(&self.1).set_sndhwm(limit).set_rcvhwm(limit);
            Socket::Asks(Some(socket.connect(endpoint).unwrap()))
        } else {
            let socket = tmq::push(&self.1).set_sndhwm(limit);
            Socket::Push(socket.connect(endpoint).unwrap())
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let job = Job::parse(&arguments).expect("KIND TRANSPORT RUNTIMES SIZE COUNT");
    let context = Context::new();
    let other = match job.is_inproc() {
        true => context.clone(),
        false => Context::new(),
    };
    let (major, minor, patch) = zmq::version();
    let version = format!("{major}.{minor}.{patch}").leak();
    asyncpath::run(Contexts(context, other), &job, version)
}
