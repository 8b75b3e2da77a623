//! A socket on another runtime than tokio, by its descriptor: here on async-io, that of smol and async-std.
//!
//! The rules of [`PollableSocket`]: try first, wait after `Again` only, look at the events before waiting to send.

use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use async_io::{Async, Timer, block_on};
use futures_util::future::{join, select};
use ironhouse::socket::{PollableSocket, options};
use ironhouse::{Context, Error, Message, SocketType};

/// Room for a message, in `EVENTS` (`ZMQ_POLLOUT`).
const WRITABLE: i32 = 2;

async fn recv(socket: &Async<PollableSocket>) -> Result<Message> {
    loop {
        match socket.get_ref().try_recv() {
            Err(Error::Again) => socket.readable().await?,
            result => return Ok(result?),
        }
    }
}

async fn send(socket: &Async<PollableSocket>, message: Message) -> Result<()> {
    loop {
        // What was tried is gone; a clone copies nothing.
        match socket.get_ref().try_send(message.clone()) {
            Err(Error::Again) if socket.get_ref().get(options::EVENTS)? & WRITABLE == 0 => {
                socket.readable().await?;
            }
            Err(Error::Again) => {}
            result => return Ok(result?),
        }
    }
}

pub fn main() -> Result<()> {
    let context = Context::new()?;
    let server = context.socket(SocketType::Rep).open()?;
    let endpoint = server.bind("tcp://127.0.0.1:*")?;
    let client = context.socket(SocketType::Req).open()?;
    client.connect(&endpoint)?;
    let server = Async::new_nonblocking(PollableSocket::new(server)?)?;
    let client = Async::new_nonblocking(PollableSocket::new(client)?)?;

    block_on(async {
        let asks = async {
            send(&client, "Hello".into()).await?;
            recv(&client).await
        };
        let answers = async {
            let question = recv(&server).await?;
            assert_eq!(question, "Hello");
            send(&server, "World".into()).await
        };
        let (answer, answered) = join(asks, answers).await;
        answered?;
        assert_eq!(answer?, "World");

        // Nothing more comes: a wait that is given up has received nothing.
        let nothing = pin!(recv(&server));
        select(nothing, Timer::after(Duration::from_millis(10))).await;
        println!("Hello, World, and silence");
        Ok(())
    })
}
