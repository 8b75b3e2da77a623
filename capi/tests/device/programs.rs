//! The device server, its client and make_keys: built once, started, listened to and ended.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{copy_examples, install, make, output};

/// How long anything may take that is expected to happen, in seconds; a program under valgrind on a busy machine too.
const SECONDS: u64 = 120;
pub const SOON: Duration = Duration::from_secs(SECONDS);

/// The prefix that the library is installed to, once in a run of the tests.
pub fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = fresh("prefix");
        install(&prefix);
        prefix
    })
}

/// A folder that is not there yet; what an earlier run of the tests left is gone.
pub fn fresh(name: &str) -> PathBuf {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR")).join("device");
    let folder = parent.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(parent).unwrap();
    folder
}

/// Where the programs are that a compiler made, once in a run of the tests.
pub fn made_by(compiler: &'static str) -> PathBuf {
    static MADE: Mutex<Vec<(&str, PathBuf)>> = Mutex::new(Vec::new());
    let mut made = MADE.lock().unwrap();
    if let Some((_, folder)) = made.iter().find(|(by, _)| *by == compiler) {
        return folder.clone();
    }
    let folder = fresh(compiler);
    copy_examples("cpp", &folder);
    output(
        make(&folder, prefix())
            .arg(format!("CXX={compiler}"))
            .arg("CXXFLAGS=-g -Werror"),
    );
    made.push((compiler, folder.clone()));
    folder
}

/// Programs, and a folder with keys: the server's (`admin` and `events`), Ada's, whom it knows (`clients`), and Eve's.
pub struct Device {
    programs: PathBuf,
    /// What they are run by, if by anything.
    pub valgrind: Vec<String>,
    folder: tempfile::TempDir,
}

impl Device {
    pub fn new(programs: PathBuf) -> Self {
        let device = Self {
            programs,
            valgrind: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        for name in ["admin", "events", "ada", "eve"] {
            let said = device.run("make_keys", &[name, name]);
            assert!(said.status.success(), "{}", said.stderr);
            assert_eq!(said.stdout, format!("{}\n", device.key(name)));
        }
        fs::create_dir(device.path("clients")).unwrap();
        fs::copy(device.path("ada"), device.path("clients/ada")).unwrap();
        device
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The public key in a certificate.
    pub fn key(&self, name: &str) -> String {
        let text = fs::read_to_string(self.path(name)).unwrap();
        let key = text.split("public-key = \"").nth(1).unwrap();
        key[..40].to_owned()
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut words = self.valgrind.clone();
        words.push(self.programs.join(program).display().to_string());
        words.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .current_dir(self.folder.path())
            .env("LD_LIBRARY_PATH", prefix().join("lib"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn start(&self, program: &str, arguments: &[&str]) -> Program {
        Program::start(self.command(program, arguments))
    }

    pub fn run(&self, program: &str, arguments: &[&str]) -> Said {
        self.start(program, arguments).end()
    }

    /// A server that is ready.
    pub fn server(&self, arguments: &[&str]) -> Server {
        let mut program = self.start("device_server", arguments);
        let [admin, heartbeat, events, key] = ["admin", "heartbeat", "events", "key"].map(|name| {
            let line = program.line_with(name);
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(words[0], name);
            words[1].to_owned()
        });
        program.line_with("ready");
        Server {
            program,
            admin,
            heartbeat,
            events,
            key,
        }
    }

    /// A client that ends by itself.
    pub fn client(&self, server: &Server, arguments: &[&str]) -> Said {
        self.start_client(server, arguments).end()
    }

    pub fn start_client(&self, server: &Server, arguments: &[&str]) -> Program {
        let timeout = SECONDS.to_string();
        let all = [&[&server.admin, "--timeout", &timeout], arguments].concat();
        self.start("event_client", &all)
    }
}

/// Ends a process as ctrl-C does.
pub fn interrupt(id: &str) {
    output(Command::new("sh").args(["-c", "kill -INT \"$0\"", id]));
}

/// A program that runs, and is ended when this is dropped.
pub struct Program {
    pub child: Child,
    lines: Receiver<String>,
    errors: Option<thread::JoinHandle<String>>,
}

/// What a program left when it ended.
pub struct Said {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

impl Program {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let errors = thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        Self {
            child,
            lines,
            errors: Some(errors),
        }
    }

    /// The next line with this text; those before it are passed over.
    pub fn line_with(&mut self, text: &str) -> String {
        self.lines_until(text, SOON).pop().unwrap()
    }

    /// All lines to the next one with this text.
    pub fn lines_until(&mut self, text: &str, patience: Duration) -> Vec<String> {
        let until = Instant::now() + patience;
        let mut lines = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let found = line.contains(text);
                    lines.push(line);
                    if found {
                        return lines;
                    }
                }
                Err(error) => {
                    let _ = self.child.kill();
                    let errors = self.errors.take().unwrap().join().unwrap();
                    panic!("no line with {text:?}: {error}\n{lines:#?}\n{errors}");
                }
            }
        }
    }

    pub fn interrupt(&self) {
        interrupt(&self.child.id().to_string());
    }

    /// Waits for its end.
    pub fn end(mut self) -> Said {
        let until = Instant::now() + SOON;
        let mut stdout = String::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // The channel ends with the program.
            match self.lines.recv_timeout(left) {
                Ok(line) => stdout.extend([line.as_str(), "\n"]),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(error) => panic!("the program does not end: {error}\n{stdout}"),
            }
        }
        Said {
            status: self.child.wait().unwrap(),
            stdout,
            stderr: self.errors.take().unwrap().join().unwrap(),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Said {
    /// That it ended well.
    pub fn well(self) -> String {
        assert!(
            self.status.success() && self.stderr.is_empty(),
            "{}: {}{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self.stdout
    }

    /// That it ended with an error that has these words.
    pub fn fails(self, code: i32, words: &[&str]) {
        assert_eq!(self.status.code(), Some(code), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{word}: {}", self.stderr);
        }
    }
}

pub struct Server {
    pub program: Program,
    pub admin: String,
    pub heartbeat: String,
    pub events: String,
    pub key: String,
}

impl Server {
    /// Ends it as ctrl-C does.
    pub fn stop(self) {
        self.program.interrupt();
        let said = self.program.end().well();
        assert!(said.ends_with("stopped\n"), "{said}");
    }
}

/// GNU's compiler made these.
pub fn device() -> Device {
    Device::new(made_by("g++"))
}
