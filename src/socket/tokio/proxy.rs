//! `AsyncSocket::proxy`: passes messages between two sockets.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use super::AsyncSocket;
use crate::error::{Error, Result};

/// Messages that go one way before the other way has its turn.
const TURN: usize = 16;

impl AsyncSocket {
    /// Passes messages between this socket and `backend`, both ways, and a copy of each to `capture`, until the context is shut down.
    ///
    /// To steer it, drop the future: that stops it at once, and another call resumes it. Nothing is lost by that: a message that
    /// was on its way to a socket without room stays with that socket, and goes out before whatever it sends next.
    ///
    /// Security stays with each socket: what either side's mechanism admitted is passed on, in clear text in between.
    ///
    /// # Errors
    /// [`Error::Os`] where the runtime was shut down.
    ///
    /// Source: `zmq_proxy(3)`.
    #[doc(alias = "zmq_proxy")]
    pub async fn proxy(
        &mut self,
        backend: &mut Self,
        mut capture: Option<&mut Self>,
    ) -> Result<()> {
        let done = poll_fn(|cx| {
            loop {
                let there = pass(cx, self, backend, capture.as_deref_mut())?;
                let back = pass(cx, backend, self, capture.as_deref_mut())?;
                if there.is_pending() && back.is_pending() {
                    return Poll::<Result<()>>::Pending;
                }
            }
        });
        match done.await {
            Err(Error::Terminated) => Ok(()),
            result => result,
        }
    }
}

/// Passes some messages on.
fn pass(
    cx: &mut Context<'_>,
    from: &mut AsyncSocket,
    to: &mut AsyncSocket,
    mut capture: Option<&mut AsyncSocket>,
) -> Poll<Result<()>> {
    for _ in 0..TURN {
        ready!(to.poll_queued(cx))?;
        if let Some(capture) = &mut capture {
            ready!(capture.poll_queued(cx))?;
        }
        let message = ready!(from.poll_recv(cx))?;
        if let Some(capture) = &mut capture {
            capture.take(message.clone())?;
        }
        to.take(message)?;
    }
    Poll::Ready(Ok(()))
}
