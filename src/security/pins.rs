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
        let path = path.into();
        let absolute = std::path::absolute(&path).map_err(|source| Error::Io { path, source })?;
        let keys = Self::new(Some(absolute));
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

    pub(super) fn pinned_for(&self, endpoint: &str) -> Result<Vec<Pinned>> {
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
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;
    use crate::security::endpoint::EndpointProblem;
    use crate::security::keys::KeyProblem;

    fn key(n: u8) -> PublicKey {
        PublicKey::from_bytes([n; 32])
    }

    fn pins(text: &str) -> ServerKeys {
        let pins = ServerKeys::in_memory();
        pins.shared.state.lock().unwrap().table = Table::parse(text.into()).unwrap();
        pins
    }

    fn write(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    #[test]
    fn most_precise_line_counts_alone_and_equal_ones_add_up() {
        let pins = pins(&format!(
            "# all of them\r\n\n\
             tcp://*.example.org:* {}\r\n\
             \ttcp://db.example.org:* {} # old\n\
             tcp://db.example.org:5555\t{}  {} #{}\n\
             tcp://DB.example.org.:5555 {} {}",
            key(1),
            key(2),
            key(3),
            key(4),
            key(9),
            key(4),
            key(5),
        ));
        for (endpoint, wanted) in [
            ("tcp://x.example.org:5555", &[1][..]),
            ("tcp://db.example.org:1", &[2]),
            ("tcp://db.example.org:5555", &[3, 4, 5]),
        ] {
            let wanted: Vec<_> = wanted.iter().map(|n| key(*n)).collect();
            assert_eq!(pins.keys_for(endpoint).unwrap(), wanted, "{endpoint}");
        }
        let error = pins.keys_for("tcp://example.org:5555").unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, Error::NotPinned { path: None, .. }),
            "{text}"
        );
        assert!(text.contains("`tcp://example.org:5555 KEY`"), "{text}");
        let error = pins.keys_for("example.org").unwrap_err().to_string();
        assert!(
            error.contains("\"example.org\" cannot be connected to"),
            "{error}"
        );
    }

    #[test]
    fn key_may_hold_the_sign_of_a_comment() {
        let text = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hI#";
        let key: PublicKey = text.parse().unwrap();
        let pins = pins(&format!("tcp://x:1 {text} #{text}"));
        assert_eq!(pins.keys_for("tcp://x:1").unwrap(), [key]);
    }

    #[test]
    fn wrong_line_is_named_and_nothing_else_counts() {
        let good = key(1).to_string();
        for (line, problem) in [
            ("tcp://x:1".to_owned(), FileProblem::NoServerKey),
            (format!("tcp://x:1 # {good}"), FileProblem::NoServerKey),
            (
                format!("x:1 {good}"),
                FileProblem::Endpoint(EndpointProblem::Transport),
            ),
            (
                format!("tcp://x {good}"),
                FileProblem::Endpoint(EndpointProblem::Port),
            ),
            (
                format!("{good} tcp://x:1"),
                FileProblem::Endpoint(EndpointProblem::Transport),
            ),
            (
                format!("tcp://x:1 {good}#"),
                FileProblem::Key(KeyProblem::Length(41)),
            ),
            (
                format!("tcp://x:1 {good} and"),
                FileProblem::Key(KeyProblem::Length(3)),
            ),
            (
                format!("tcp://x:1 {}", "0".repeat(40)),
                FileProblem::Key(KeyProblem::Zero),
            ),
            (
                format!("tcp://x:1 {}", "~".repeat(40)),
                FileProblem::Z85 { position: 0 },
            ),
            (format!("tcp://x:1 {good}\0"), SyntaxProblem::Nul.into()),
        ] {
            let text = format!("tcp://y:1 {good}\n{line}\n");
            let fault = Table::parse(text).unwrap_err();
            assert_eq!(fault, Fault::new(Some(2), problem), "{line}");
        }
        let many = (1..=9).map(|n| format!("tcp://x:1 {}\n", key(n)));
        let fault = Table::parse(many.collect()).unwrap_err();
        assert_eq!(
            fault,
            Fault::new(Some(9), FileProblem::TooManyServerKeys { limit: 8 })
        );
    }

    #[test]
    fn keys_come_and_go_and_comments_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_servers");
        write(
            &path,
            &format!(
                "# ours\ntcp://x:1 {}  # one\r\ntcp://y:1 {}",
                key(1),
                key(2)
            ),
        );
        let pins = ServerKeys::load(&path).unwrap();
        pins.add("tcp://X:1", key(3)).unwrap();
        pins.add("tcp://X:1", key(3)).unwrap();
        pins.add("tcp://z:*", key(4)).unwrap();
        let text = format!(
            "# ours\ntcp://x:1 {} {}  # one\r\ntcp://y:1 {}\ntcp://z:* {}\n",
            key(1),
            key(3),
            key(2),
            key(4)
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(pins.to_string(), text);
        assert_eq!(pins.keys_for("tcp://x:1").unwrap(), [key(1), key(3)]);
        assert!(pins.remove("tcp://x:1", &key(1)).unwrap());
        assert!(!pins.remove("tcp://x:1", &key(1)).unwrap());
        assert!(pins.remove("tcp://y:1", &key(2)).unwrap());
        let text = format!(
            "# ours\ntcp://x:1 {}  # one\r\ntcp://z:* {}\n",
            key(3),
            key(4)
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert!(pins.add("tcp://x", key(1)).is_err());
        assert!(pins.add("tcp://x:1", key(0)).is_err());
        let copy = folder.path().join("copy");
        pins.save(&copy).unwrap();
        assert_eq!(ServerKeys::load(&copy).unwrap().to_string(), text);
    }

    #[test]
    fn a_file_is_followed_and_trusted_only_whole_and_guarded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_servers");
        let error = ServerKeys::load(&path).unwrap_err();
        assert!(matches!(error, Error::Io { .. }));
        write(&path, &format!("tcp://x:1 {}\n", key(1)));
        let pins = ServerKeys::load(&path).unwrap();
        assert_eq!(pins.keys_for("tcp://x:1").unwrap(), [key(1)]);
        write(&path, &format!("tcp://x:1 {}\n", key(2)));
        assert_eq!(pins.clone().keys_for("tcp://x:1").unwrap(), [key(2)]);
        // The wildcard may not stand in for a line that is broken.
        write(&path, &format!("tcp://*:* {}\ntcp://x:1\n", key(3)));
        for _ in 0..2 {
            let error = pins.keys_for("tcp://x:1").unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{}:2: no key", path.display())),
                "{error}"
            );
            assert!(pins.add("tcp://y:1", key(1)).is_err());
        }
        write(&path, &format!("tcp://x:1 {}\n", key(2)));
        for mode in [0o664, 0o646, 0o622] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = pins.keys_for("tcp://x:1").unwrap_err().to_string();
            let cure = format!("chmod go-w {}", path.display());
            assert!(error.contains(&cure), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let directory = folder.path().canonicalize().unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
        let said = ServerKeys::load(&path).unwrap_err().to_string();
        let wanted = format!(
            "{}: mode 0777 of {1} lets others put another file in its place: run `chmod go-w {1}`, and see whether they did",
            path.display(),
            directory.display()
        );
        assert_eq!(said, wanted);
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o1777)).unwrap();
        pins.add("tcp://x:1", key(3)).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_file(&path).unwrap();
        assert!(pins.keys_for("tcp://x:1").is_err());
        write(&path, "");
        let error = pins.keys_for("tcp://x:1").unwrap_err().to_string();
        let wanted = format!("no server key is pinned for it in {}", path.display());
        assert!(error.contains(&wanted), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "((tcp|ipc)://[a-z*.]{1,5}(:[0-9*]{1,3})?|#|[ \t\n\r]|\\PC|[!-~]{40}){0,20}") {
            let lines = text.split('\n').count();
            match Table::parse(text) {
                Ok(_) => {}
                Err(fault) => prop_assert!((1..=lines as u32).contains(&fault.line.unwrap())),
            }
        }

        #[test]
        fn what_is_added_is_found_and_what_is_removed_is_not(
            steps in prop::collection::vec((any::<bool>(), "tcp://[xy]:[12*]", 1..5u8), 0..30),
        ) {
            let pins = pins("# begin\n");
            let mut known = std::collections::BTreeSet::new();
            for (add, pattern, n) in steps {
                let pinned = (pattern.clone(), key(n));
                if add {
                    pins.add(&pattern, key(n)).unwrap();
                    known.insert(pinned);
                } else {
                    prop_assert_eq!(pins.remove(&pattern, &key(n)).unwrap(), known.remove(&pinned));
                }
            }
            let state = pins.shared.state.lock().unwrap();
            let found: std::collections::BTreeSet<_> =
                state.table.keys().map(|(pattern, key)| (pattern.to_string(), *key)).collect();
            prop_assert_eq!(found, known);
            prop_assert!(state.table.text.starts_with("# begin\n"));
        }
    }
}
