//! `ServerKeys`: which public key the server at an endpoint must hold, as SSH's `known_hosts`.
//!
//! ```text
//! file    = *(line LF)
//! line    = blank / comment / pattern 1*(1*WS key) [1*WS comment]
//! key     = 40 characters of Z85
//! comment = "#" …
//! ```
//! A comment begins at the start of a line or behind white space, and nowhere within a field: `#` is a digit of Z85, but no key starts
//! with it, since five digits that do exceed 32 bits. Patterns are those of [`endpoint`](super::endpoint).

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::hash::RandomState;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::endpoint::{Endpoint, Pattern};
use super::file::{self, Access, Fault, FileProblem, Stamp};
use super::keys::{PublicKey, TEXT_CHARS};
use super::mark::Mark;
use super::probe::ServerProof;
use super::zpl::{SyntaxProblem, is_space};
use crate::error::{Error, Result};
use crate::socket::probe::{Answer, Finding, Question};
use crate::socket::{HandshakeProblem, Role};

/// Largest file in bytes: some ten thousand endpoints.
const LIMIT: u64 = 1024 * 1024;

/// Keys of one endpoint: each may cost a connection to ask for it.
const MAX_KEYS: usize = 8;

/// The public keys of servers, by endpoint: in memory, or from a file that is followed. Clones share one set.
///
/// CURVE never sends the server's key, so there is no trust on first use: the client must have it beforehand, by a channel that it
/// trusts, or cannot connect. This is where it keeps them:
///
/// ```text
/// # endpoint                  its server's public key
/// tcp://db.example.org:5555   Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID
/// tcp://[2001:db8::7]:5555    rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7    # the spare one
/// tcp://*.lab.example.org:*   C3ak7aW)j:2qPjl6Nbc8/)-S^WyK0)NK:&[Av=i7 D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs
/// ipc:///run/archive/*        ]}bd5yL0b/hRRsNHF>s)nIc1mM1M<fF2z.Rb{3l8
/// ```
///
/// A line has an endpoint, or a pattern of endpoints, and then one key, or several while the server changes from one to the next (at most
/// 8). In a pattern, `*` is any port, `*` any host, `*.example.org` any host whose name ends so, and, but for tcp, a final `*` any rest.
/// Of the patterns that fit an endpoint **the most precise one counts alone**, by host first, then by port; so a line for one host overrides
/// that for its network. Lines with the same pattern add up. Hosts are compared as they are written, and never resolved.
///
/// Everything is strict: an endpoint without a line is an error, and so is any line that cannot be read, for as long as it is there: nobody
/// is connected by the rest of such a file, since the line may have been the one that counts. A file that others can write to or replace is
/// refused: it belongs to root or to the user of this process and is writable for its owner alone; and so is its directory (or that has the
/// sticky bit), and the directory of each symbolic link on the way. What lies above these is your part.
///
/// A file's change counts for the next endpoint that is looked up, at the price of one `stat` for each. A connection keeps the key that it
/// was made with, and libzmq's reconnections use that: where a server has a new one, open a new socket, or give it to
/// [`expect_server`](super::rotation::expect_server) and connect anew.
///
/// ```
/// # fn main() -> ironhouse::Result<()> {
/// use ironhouse::security::{Keypair, ServerKeys};
///
/// let key = *Keypair::generate()?.public();
/// let pins = ServerKeys::in_memory(); // in earnest: ServerKeys::load("known_servers")?
/// pins.add("tcp://*.example.org:5555", key)?;
/// assert_eq!(pins.keys_for("tcp://db.example.org:5555")?, [key]);
/// assert!(pins.keys_for("tcp://db.example.com:5555").is_err());
/// # Ok(())
/// # }
/// ```
#[doc(alias = "known_hosts")]
#[derive(Clone)]
pub struct ServerKeys {
    shared: Arc<Shared>,
}

struct Shared {
    /// Absolute.
    path: Option<PathBuf>,
    state: Mutex<State>,
    seed: RandomState,
}

struct State {
    table: Table,
    /// The file as it was when its reading began.
    mark: Mark,
}

/// A key, and how people find the line that it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pinned {
    pub(super) key: PublicKey,
    pub(super) origin: Option<String>,
}

impl ServerKeys {
    /// No keys yet; [`ServerKeys::add`] adds them.
    pub fn in_memory() -> Self {
        Self::new(None)
    }

    /// Reads a file, and follows it from now on. An empty one will do to begin with.
    ///
    /// # Errors
    /// [`Error::Io`]: not there, or not readable. [`Error::File`]: a line that cannot be used; a file that others can write to or
    /// replace, is larger than 1 MiB, or none at all.
    pub fn load(path: impl Into<PathBuf>) -> Result<Self> {
        let keys = Self::new(Some(file::absolute(&path.into())?));
        drop(keys.current()?);
        Ok(keys)
    }

    fn new(path: Option<PathBuf>) -> Self {
        let state = State {
            table: Table::default(),
            mark: Mark::UNSETTLED,
        };
        Self {
            shared: Arc::new(Shared {
                path,
                state: Mutex::new(state),
                seed: RandomState::new(),
            }),
        }
    }

    /// The keys of which the server at `endpoint` must hold one, in the order of the file: one, or several during a rotation.
    ///
    /// # Errors
    /// [`Error::NotPinned`]: there is none. [`Error::InvalidOption`]: not an endpoint to connect to. Otherwise as [`ServerKeys::load`], if the
    /// file has changed.
    pub fn keys_for(&self, endpoint: &str) -> Result<Vec<PublicKey>> {
        let pinned = self.pinned_for(endpoint)?;
        Ok(pinned.into_iter().map(|pinned| pinned.key).collect())
    }

    fn pinned_for(&self, endpoint: &str) -> Result<Vec<Pinned>> {
        let place = Endpoint::parse(endpoint).map_err(|problem| Error::InvalidOption {
            name: "endpoint",
            reason: format!("{endpoint:?} cannot be connected to: {problem}"),
        })?;
        let state = self.current()?;
        let Some(keys) = state.table.find(&place) else {
            return Err(self.not_pinned(endpoint));
        };
        let path = self.shared.path.as_deref();
        let pinned = keys.iter().map(|(key, line)| Pinned {
            key: *key,
            origin: path.map(|path| format!("{}:{line}", path.display())),
        });
        Ok(pinned.collect())
    }

    /// Which of its keys the server at `endpoint` (tcp or ipc) holds at this moment. Each key is asked for by a short connection, and the
    /// answer proves it; nothing of a client's own key is needed, and the server's authenticator hears nothing of it.
    ///
    /// # Errors
    /// [`Error::Handshake`]: none of them, with the keys that were expected; or nobody is there, or another mechanism. Otherwise as
    /// [`ServerKeys::keys_for`].
    ///
    /// Source: RFC 26/CURVEZMQ, The HELLO Command.
    pub fn prove(&self, endpoint: &str, timeout: Duration) -> Result<PublicKey> {
        let pinned = self.pinned_for(endpoint)?;
        Ok(prove(endpoint, pinned, timeout)?.key)
    }

    /// The key for a connection to `endpoint` at this moment.
    pub(super) fn choose(&self, endpoint: &str, timeout: Duration) -> Result<Pinned> {
        let mut pinned = self.pinned_for(endpoint)?;
        match pinned.len() {
            1 => pinned.pop().ok_or_else(|| self.not_pinned(endpoint)),
            _ => prove(endpoint, pinned, timeout),
        }
    }

    fn not_pinned(&self, endpoint: &str) -> Error {
        Error::NotPinned {
            endpoint: endpoint.to_owned(),
            path: self.shared.path.clone(),
        }
    }

    /// Pins a key for an endpoint or a pattern of endpoints, and writes that to the file at once, if it is one: in the line of that
    /// pattern, or a new one. All else in the file stays as it is, comments too.
    ///
    /// The file is written beside and renamed. Of two programs that change it at the same moment, one is lost.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]: not a pattern. [`Error::Key`]: the key of zeros. [`Error::File`]: more than 8 keys of one endpoint, or
    /// more than 1 MiB. Otherwise as [`ServerKeys::load`], and where the file cannot be written.
    pub fn add(&self, pattern: &str, key: PublicKey) -> Result<()> {
        key.usable()?;
        self.change(pattern, |table, pattern| table.with(pattern, key))?;
        Ok(())
    }

    /// Takes a key back from an endpoint or a pattern, as [`ServerKeys::add`] gave it, and a line that has none left out. Whether there was
    /// one.
    ///
    /// # Errors
    /// As [`ServerKeys::add`].
    pub fn remove(&self, pattern: &str, key: &PublicKey) -> Result<bool> {
        self.change(pattern, |table, pattern| table.without(pattern, key))
    }

    /// Writes all of it to a file, mode 0644 under the umask. It is not followed: for that [`load`](Self::load) it.
    ///
    /// # Errors
    /// [`Error::Io`]: no such directory, no permission, no space. Otherwise as [`ServerKeys::load`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let state = self.current()?;
        file::write_atomically(
            path.as_ref(),
            state.table.text.as_bytes(),
            file::PUBLIC_MODE,
        )
    }

    /// Changes the text; whether there was anything to change.
    fn change(
        &self,
        pattern: &str,
        edit: impl FnOnce(&Table, &Pattern) -> Option<String>,
    ) -> Result<bool> {
        let pattern = Pattern::parse(pattern).map_err(|problem| Error::InvalidOption {
            name: "endpoint",
            reason: format!("{pattern:?} cannot be pinned: {problem}"),
        })?;
        let mut state = self.current()?;
        let Some(text) = edit(&state.table, &pattern) else {
            return Ok(false);
        };
        let path = self.shared.path.as_deref();
        let table = Table::parse(text).map_err(|fault| fault.at(path.unwrap_or(Path::new(""))))?;
        if let Some(path) = path {
            let mode = fs::metadata(path).map_or(file::PUBLIC_MODE, |meta| meta.mode());
            let mode = mode & 0o777 & !file::OTHERS_WRITE;
            file::write_atomically(path, table.text.as_bytes(), mode)?;
            state.mark = Mark::UNSETTLED;
        }
        state.table = table;
        Ok(true)
    }

    /// What is in force: the file as it is now.
    fn current(&self) -> Result<MutexGuard<'_, State>> {
        let lock = self.shared.state.lock();
        let mut state = lock.unwrap_or_else(PoisonError::into_inner);
        let Some(path) = &self.shared.path else {
            return Ok(state);
        };
        // The mark comes first: a change during the reading makes another one.
        let mark = fs::metadata(path).map_or(Mark::UNSETTLED, |meta| {
            Mark::of(&Stamp::from(&meta), &self.shared.seed)
        });
        if mark == Mark::UNSETTLED || mark != state.mark {
            state.mark = Mark::UNSETTLED;
            state.table = Table::default();
            state.table = read(path)?;
            state.mark = mark;
        }
        Ok(state)
    }
}

fn read(path: &Path) -> Result<Table> {
    let bytes = file::read(path, LIMIT, Access::PublicGuarded)?;
    file::text(&bytes)
        .and_then(|text| Table::parse(text.to_owned()))
        .map_err(|fault| fault.at(path))
}

/// Finds out which of these keys the server at `endpoint` holds.
pub(super) fn prove(endpoint: &str, pinned: Vec<Pinned>, timeout: Duration) -> Result<Pinned> {
    let start = Instant::now();
    let role = Role {
        mechanism: "CURVE",
        as_server: false,
    };
    let failed = |problem| {
        Err(Error::Handshake {
            endpoint: endpoint.to_owned(),
            problem,
        })
    };
    let mut expected = Vec::new();
    for pinned in pinned {
        let proof = Arc::new(ServerProof {
            key: pinned.key,
            origin: pinned.origin.clone(),
        });
        let question = Question::new(endpoint, role, Some(proof.clone()))?;
        match question.ask_now(timeout.saturating_sub(start.elapsed())) {
            Finding::Greeted(theirs, Answer::Met) if theirs.mechanism == role.mechanism => {
                return Ok(pinned);
            }
            Finding::Greeted(_, Answer::Unmet) => expected.push(proof.to_string()),
            found => return failed(found.problem(role, timeout, String::new)),
        }
    }
    failed(HandshakeProblem::WrongServerKey {
        expected: expected.join(" or "),
    })
}

/// The text of a file, and what it says.
#[derive(Debug, Default)]
pub(super) struct Table {
    text: String,
    pins: HashMap<Pattern, Vec<(PublicKey, u32)>>,
}

type Entry = (Pattern, Vec<(PublicKey, usize)>);

impl Table {
    /// Reads a text, all or nothing.
    pub(super) fn parse(text: String) -> Result<Self, Fault> {
        if text.len() as u64 > LIMIT {
            return Err(Fault::new(None, FileProblem::TooLarge { limit: LIMIT }));
        }
        let mut pins: HashMap<Pattern, Vec<(PublicKey, u32)>> = HashMap::new();
        for (line, number) in text.split('\n').zip(1..) {
            let at = |problem| Fault::new(Some(number), problem);
            let Some((pattern, keys)) = parse_line(line).map_err(at)? else {
                continue;
            };
            let known = pins.entry(pattern).or_default();
            for (key, _) in keys {
                if !known.iter().any(|(one, _)| *one == key) {
                    known.push((key, number));
                }
            }
            if known.len() > MAX_KEYS {
                return Err(at(FileProblem::TooManyServerKeys { limit: MAX_KEYS }));
            }
        }
        Ok(Self { text, pins })
    }

    /// The keys of the most precise pattern that stands for `endpoint`, each with its line.
    pub(super) fn find(&self, endpoint: &Endpoint) -> Option<&[(PublicKey, u32)]> {
        let fitting = self
            .pins
            .iter()
            .filter_map(|(pattern, keys)| Some((pattern.precision(endpoint)?, keys)));
        let (_, keys) = fitting.max_by_key(|(precision, _)| *precision)?;
        Some(keys)
    }

    /// Every key, with its pattern.
    #[cfg(any(test, fuzzing))]
    pub(super) fn keys(&self) -> impl Iterator<Item = (&Pattern, &PublicKey)> {
        self.pins
            .iter()
            .flat_map(|(pattern, keys)| keys.iter().map(move |(key, _)| (pattern, key)))
    }

    /// The text with one key more; `None` where it has it.
    pub(super) fn with(&self, pattern: &Pattern, key: PublicKey) -> Option<String> {
        let mut place = None;
        let mut start = 0;
        for line in self.text.split_inclusive('\n') {
            let keys = keys_of(line, pattern);
            if keys.iter().any(|(one, _)| *one == key) {
                return None;
            }
            if let Some((_, at)) = keys.last() {
                place = Some(start + at + TEXT_CHARS);
            }
            start += line.len();
        }
        let mut text = self.text.clone();
        match place {
            Some(end) => text.insert_str(end, &format!(" {key}")),
            None => {
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push('\n');
                }
                text.push_str(&format!("{pattern} {key}\n"));
            }
        }
        Some(text)
    }

    /// The text with one key less; `None` where it has not got it.
    pub(super) fn without(&self, pattern: &Pattern, key: &PublicKey) -> Option<String> {
        let mut text = String::with_capacity(self.text.len());
        let mut found = false;
        for line in self.text.split_inclusive('\n') {
            let keys = keys_of(line, pattern);
            let (gone, left): (Vec<_>, Vec<_>) = keys.iter().partition(|(one, _)| one == key);
            found |= !gone.is_empty();
            if left.is_empty() && !gone.is_empty() {
                continue;
            }
            let mut from = 0;
            for (_, at) in gone {
                // With the blanks before it.
                let before = line.get(from..at).unwrap_or_default();
                text.push_str(before.trim_end_matches(is_space));
                from = at + TEXT_CHARS;
            }
            text.push_str(line.get(from..).unwrap_or_default());
        }
        found.then_some(text)
    }
}

/// The keys of a line with this pattern, and where their text begins in it; none of any other line.
fn keys_of(line: &str, pattern: &Pattern) -> Vec<(PublicKey, usize)> {
    match parse_line(line) {
        Ok(Some((one, keys))) if one == *pattern => keys,
        _ => Vec::new(),
    }
}

/// What a line says: its pattern, and its keys, each with the index where its text begins. `None` where it is blank or a comment.
pub(super) fn parse_line(line: &str) -> Result<Option<Entry>, FileProblem> {
    if line.contains('\0') {
        return Err(SyntaxProblem::Nul.into());
    }
    let mut next = 0;
    let mut fields = line
        .split(is_space)
        .map(|field| {
            let at = next;
            // White space of one byte each.
            next += field.len() + 1;
            (at, field)
        })
        .filter(|(_, field)| !field.is_empty())
        .take_while(|(_, field)| !field.starts_with('#'));
    let Some((_, pattern)) = fields.next() else {
        return Ok(None);
    };
    let pattern = Pattern::parse(pattern)?;
    let keys = fields
        .map(|(at, field)| Ok((PublicKey::parse(field)?, at)))
        .collect::<Result<Vec<_>, FileProblem>>()?;
    if keys.is_empty() {
        return Err(FileProblem::NoServerKey);
    }
    Ok(Some((pattern, keys)))
}

/// The text, as it was read last.
impl fmt::Display for ServerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state.lock();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        f.write_str(&state.table.text)
    }
}

impl fmt::Debug for ServerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerKeys({:?})", self.shared.path)
    }
}

#[cfg(test)]
mod tests;
