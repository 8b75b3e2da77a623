//! libzmq's draft API: groups, routing ids, peers. A library without it answers [`Error::Unsupported`](crate::Error::Unsupported).

use super::{Message, Socket};
use crate::error::Result;
use crate::ffi::c_string;

/// What `peer_state` says: a message to this peer would not wait.
const WRITABLE: u32 = zmq_sys_wrap::zmq::ZMQ_POLLOUT;

/// Draft API.
impl Socket {
    /// Receives what is sent to `group`, 1 to 255 bytes (DISH).
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported); [`Error::Zmq`](crate::Error::Zmq) where it is in the group already, and on a socket of another type.
    ///
    /// Source: `zmq_join(3)`.
    #[doc(alias = "zmq_join")]
    pub fn join(&self, group: &str) -> Result<()> {
        let name = c_string("group", group)?;
        self.raw.join(&name).map_err(|e| e.on(group))
    }

    /// Takes back [`join`](Self::join).
    ///
    /// # Errors
    /// As [`join`](Self::join), where it is not in the group.
    ///
    /// Source: `zmq_leave(3)`.
    #[doc(alias = "zmq_leave")]
    pub fn leave(&self, group: &str) -> Result<()> {
        let name = c_string("group", group)?;
        self.raw.leave(&name).map_err(|e| e.on(group))
    }

    /// Connects to `endpoint`; the routing id by which messages go there (PEER). It waits until the connection stands.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); [`Error::Unsupported`](crate::Error::Unsupported).
    ///
    /// Source: `zmq_connect_peer(3)`.
    #[doc(alias = "zmq_connect_peer")]
    pub fn connect_peer(&self, endpoint: &str) -> Result<u32> {
        self.connect_by(endpoint, |text| self.raw.connect_peer(text))
    }

    /// Whether a message to the peer of this routing id would not wait (ROUTER).
    ///
    /// # Errors
    /// [`Error::Zmq`](crate::Error::Zmq) (`EHOSTUNREACH`) for a peer that is not connected; [`Error::Unsupported`](crate::Error::Unsupported).
    #[doc(alias = "zmq_socket_get_peer_state")]
    pub fn peer_is_writable(&self, routing_id: &[u8]) -> Result<bool> {
        Ok(self.raw.peer_state(routing_id)? & WRITABLE != 0)
    }

    /// Has the socket's [`Monitor`](super::Monitor)s report, for each connection, how many messages wait
    /// ([`EventKind::PipesStats`](super::EventKind::PipesStats)). The reports come as the socket is used next, be it to read
    /// [`EVENTS`](super::options::EVENTS).
    ///
    /// # Errors
    /// [`Error::Zmq`](crate::Error::Zmq) (`EINVAL`) without a monitor; [`Error::Unsupported`](crate::Error::Unsupported).
    ///
    /// Source: `zmq_socket_monitor_versioned(3)`.
    #[doc(alias = "zmq_socket_monitor_pipes_stats")]
    pub fn report_pipes_stats(&self) -> Result<()> {
        self.raw.pipes_stats()
    }
}

/// Draft API.
impl Message {
    /// The connection it came by, as a SERVER or PEER numbers it: for the answer's [`with_routing_id`](Self::with_routing_id).
    ///
    /// Source: `zmq_msg_routing_id(3)`.
    #[doc(alias = "zmq_msg_routing_id")]
    pub fn routing_id(&self) -> Option<u32> {
        self.raw().map(|raw| raw.routing_id()).filter(|&id| id != 0)
    }

    /// The group it was sent to (DISH).
    ///
    /// Source: `zmq_msg_group(3)`.
    #[doc(alias = "zmq_msg_group")]
    pub fn group(&self) -> Option<&str> {
        let group = self.raw()?.group()?.to_str().ok()?;
        Some(group).filter(|group| !group.is_empty())
    }

    /// Says by which connection it is to leave (SERVER, PEER). For sockets of the library this program is linked with.
    ///
    /// # Errors
    /// [`Error::Zmq`](crate::Error::Zmq) for 0; [`Error::Unsupported`](crate::Error::Unsupported).
    ///
    /// Source: `zmq_msg_set_routing_id(3)`.
    #[cfg(feature = "linked")]
    #[doc(alias = "zmq_msg_set_routing_id")]
    pub fn with_routing_id(self, id: u32) -> Result<Self> {
        let mut raw = self.into_raw(zmq_sys_wrap::Api::linked())?;
        raw.set_routing_id(id)?;
        Ok(Self::received(raw))
    }

    /// Says to which group it is to go, of 1 to 255 bytes (RADIO). For sockets of the library this program is linked with.
    ///
    /// # Errors
    /// [`Error::Zmq`](crate::Error::Zmq) for a longer name; [`Error::Unsupported`](crate::Error::Unsupported).
    ///
    /// Source: `zmq_msg_set_group(3)`.
    #[cfg(feature = "linked")]
    #[doc(alias = "zmq_msg_set_group")]
    pub fn with_group(self, group: &str) -> Result<Self> {
        let name = c_string("group", group)?;
        let mut raw = self.into_raw(zmq_sys_wrap::Api::linked())?;
        raw.set_group(&name).map_err(|e| e.on(group))?;
        Ok(Self::received(raw))
    }
}
