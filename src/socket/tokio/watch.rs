//! What happens to a socket's connections, awaited: monitors, handshakes, and a connection with its verdict.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::time::timeout;

use super::AsyncSocket;
use crate::error::Result;
use crate::socket::handshake::{self, Check};
use crate::socket::{HandshakeEvent, HandshakeWatch, Monitor, MonitorEvent, Socket, SocketBuilder};

/// What happens to a socket's connections, until the socket is closed or its context shut down. Feature `tokio`; on any runtime.
impl Stream for Monitor {
    type Item = MonitorEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<MonitorEvent>> {
        self.poll_event(cx).map(Result::ok)
    }
}

impl HandshakeWatch {
    /// The next outcome, awaited on tokio (feature `tokio`). Cancel-safe: what was not returned is still to come.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    ///
    /// # Panics
    /// Where the runtime was made without time (`enable_time`).
    pub async fn next_event(&mut self) -> Result<HandshakeEvent> {
        loop {
            if let Some(event) = self.due() {
                return Ok(event);
            }
            let told = match self.patience_left() {
                None => self.monitor().next_event().await?,
                Some(patience) => match timeout(patience, self.monitor().next_event()).await {
                    Ok(told) => told?,
                    Err(_) => continue,
                },
            };
            if let Some(event) = self.take(told) {
                return Ok(event);
            }
        }
    }
}

impl SocketBuilder {
    /// As [`connect_checked`](Self::connect_checked), awaited on tokio (feature `tokio`): an [`AsyncSocket`] whose connection stands and is secured, or
    /// why not. Cancelled, it leaves nothing behind.
    ///
    /// # Errors
    /// As [`connect_checked`](Self::connect_checked), and as [`AsyncSocket::new`].
    ///
    /// # Panics
    /// Where the runtime was made without time or I/O (`enable_all`).
    pub async fn connect_checked_async(
        self,
        endpoint: &str,
        timeout: Duration,
    ) -> Result<AsyncSocket> {
        let mut socket = self.open()?;
        let verdict = connect(&mut socket, endpoint, timeout).await;
        handshake::rest(&socket);
        verdict?;
        AsyncSocket::new(socket)
    }
}

/// Exclusive, so that the future may move between threads with the socket.
async fn connect(socket: &mut Socket, endpoint: &str, limit: Duration) -> Result<()> {
    let Some(mut check) = Check::start(socket, endpoint, limit)? else {
        return Ok(());
    };
    loop {
        let event = match timeout(check.left(), check.watch.next_event()).await {
            Ok(event) => Some(event?),
            Err(_) => None,
        };
        if let Some(verdict) = check.judge(event) {
            return verdict.or_else(|problem| check.fail(socket, problem));
        }
    }
}
