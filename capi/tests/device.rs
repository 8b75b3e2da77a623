//! The device server in C++ and its client, as programs: built by make and by CMake from an installed prefix, and run.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use common::{cmake, copy_examples, install, make, output};

/// How long anything may take that is expected to happen, in seconds; a program under valgrind on a busy machine too.
const SECONDS: u64 = 120;
const SOON: Duration = Duration::from_secs(SECONDS);

/// The prefix that the library is installed to, once in a run of the tests.
fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = fresh("prefix");
        install(&prefix);
        prefix
    })
}

/// A folder that is not there yet; what an earlier run of the tests left is gone.
fn fresh(name: &str) -> PathBuf {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR")).join("device");
    let folder = parent.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(parent).unwrap();
    folder
}

/// Where the programs are that a compiler made, once in a run of the tests.
fn made_by(compiler: &'static str) -> PathBuf {
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
struct Device {
    programs: PathBuf,
    valgrind: Vec<String>,
    folder: tempfile::TempDir,
}

impl Device {
    fn new(programs: PathBuf) -> Self {
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

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The public key in a certificate.
    fn key(&self, name: &str) -> String {
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

    fn start(&self, program: &str, arguments: &[&str]) -> Program {
        Program::start(self.command(program, arguments))
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Said {
        self.start(program, arguments).end()
    }

    /// A server that is ready.
    fn server(&self, arguments: &[&str]) -> Server {
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
    fn client(&self, server: &Server, arguments: &[&str]) -> Said {
        self.start_client(server, arguments).end()
    }

    fn start_client(&self, server: &Server, arguments: &[&str]) -> Program {
        let timeout = SECONDS.to_string();
        let all = [&[&server.admin, "--timeout", &timeout], arguments].concat();
        self.start("event_client", &all)
    }
}

/// A program that runs, and is ended when this is dropped.
struct Program {
    child: Child,
    lines: Receiver<String>,
    errors: Option<thread::JoinHandle<String>>,
}

/// What a program left when it ended.
struct Said {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

impl Program {
    fn start(mut command: Command) -> Self {
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
    fn line_with(&mut self, text: &str) -> String {
        let until = Instant::now() + SOON;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(error) => {
                    let _ = self.child.kill();
                    let errors = self.errors.take().unwrap().join().unwrap();
                    panic!("no line with {text:?}: {error}\n{errors}");
                }
            }
        }
    }

    /// As ctrl-C does.
    fn interrupt(&self) {
        let id = self.child.id().to_string();
        output(Command::new("sh").args(["-c", "kill -INT \"$0\"", &id]));
    }

    /// Waits for its end.
    fn end(mut self) -> Said {
        let until = Instant::now() + SOON;
        let mut stdout = String::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // The channel ends with the program.
            match self.lines.recv_timeout(left) {
                Ok(line) => stdout.extend([line.as_str(), "\n"]),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
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
    fn well(self) -> String {
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
    fn fails(self, code: i32, words: &[&str]) {
        assert_eq!(self.status.code(), Some(code), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{word}: {}", self.stderr);
        }
    }
}

struct Server {
    program: Program,
    admin: String,
    heartbeat: String,
    events: String,
    key: String,
}

impl Server {
    /// Ends it as ctrl-C does.
    fn stop(self) {
        self.program.interrupt();
        let said = self.program.end().well();
        assert!(said.ends_with("stopped\n"), "{said}");
    }
}

/// A connection by ZMTP 3.0 without security, as far as it gets.
struct Raw {
    stream: TcpStream,
    /// What the other end's greeting says its mechanism is.
    mechanism: String,
}

impl Raw {
    fn greet(mut stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        let mut greeting = [0; 64];
        greeting[0] = 0xff;
        greeting[9] = 0x7f;
        greeting[10] = 3;
        greeting[12..16].copy_from_slice(b"NULL");
        // First what has the other end answer; after the rest it may hang up at once.
        stream.write_all(&greeting[..11]).unwrap();
        let mut answer = [0; 64];
        stream.read_exact(&mut answer).unwrap();
        stream.write_all(&greeting[11..]).unwrap();
        let mechanism = String::from_utf8_lossy(&answer[12..32]);
        Self {
            mechanism: mechanism.trim_end_matches('\0').to_owned(),
            stream,
        }
    }

    fn connect(endpoint: &str) -> Self {
        Self::greet(TcpStream::connect(endpoint.strip_prefix("tcp://").unwrap()).unwrap())
    }

    fn shake_hands(mut self, socket_type: &[u8; 3]) -> Self {
        assert_eq!(self.mechanism, "NULL");
        self.write(
            4,
            &[b"\x05READY\x0bSocket-Type\0\0\0\x03", &socket_type[..]].concat(),
        );
        assert!(self.read().1.starts_with(b"\x05READY"));
        self
    }

    /// A client that has shaken hands.
    fn request(endpoint: &str) -> Self {
        Self::connect(endpoint).shake_hands(b"REQ")
    }

    /// Serves one request, as an admin socket that may be anybody's.
    fn serve_one(listener: &TcpListener, reply: &[&str]) {
        let mut raw = Self::greet(listener.accept().unwrap().0).shake_hands(b"REP");
        while raw.read().0 & 1 == 1 {}
        raw.send(&[&[""], reply].concat());
        // Until the client has gone.
        let _ = raw.stream.read_to_end(&mut Vec::new());
    }

    fn write(&mut self, flags: u8, frame: &[u8]) {
        let size = u8::try_from(frame.len()).expect("a short frame");
        self.stream
            .write_all(&[&[flags, size], frame].concat())
            .unwrap();
    }

    fn read(&mut self) -> (u8, Vec<u8>) {
        let mut flags = [0; 1];
        self.stream.read_exact(&mut flags).unwrap();
        let size = if flags[0] & 2 == 0 {
            let mut size = [0; 1];
            self.stream.read_exact(&mut size).unwrap();
            u64::from(size[0])
        } else {
            let mut size = [0; 8];
            self.stream.read_exact(&mut size).unwrap();
            u64::from_be_bytes(size)
        };
        let mut frame = vec![0; usize::try_from(size).unwrap()];
        self.stream.read_exact(&mut frame).unwrap();
        (flags[0], frame)
    }

    fn send(&mut self, frames: &[&str]) {
        for (at, frame) in frames.iter().enumerate() {
            self.write(u8::from(at + 1 < frames.len()), frame.as_bytes());
        }
    }

    /// Calls a command, and takes the reply without its delimiter.
    fn call(&mut self, command: &str, arguments: &[&str]) -> Vec<String> {
        self.send(&[&["", command], arguments].concat());
        let mut reply = Vec::new();
        loop {
            let (flags, frame) = self.read();
            reply.push(String::from_utf8(frame).unwrap());
            if flags & 1 == 0 {
                assert_eq!(reply.remove(0), "");
                return reply;
            }
        }
    }
}

const SUBSCRIBE: &str = "ZmqEventSubscriptionChange";
const FIVE: [&str; 5] = ["sys/pump/7", "pressure", "subscribe", "change", "5"];

/// A protected admin socket hands the key out, and events come encrypted.
fn events_by_the_key_of_a_protected_admin_connection(device: &Device) {
    let server = device.server(&["--admin-keys", "admin", "--clients", "clients"]);
    let said = device
        .client(
            &server,
            &["--keys", "ada", "--admin-key", "admin", "--events", "3"],
        )
        .well();
    assert!(
        said.starts_with(&format!("key {} from the server\n", server.key)),
        "{said}"
    );
    assert!(said.contains("\nheartbeat "), "{said}");
    assert_eq!(said.matches("\nevent pressure ").count(), 3, "{said}");
    // And there is no other way to them than encrypted.
    for endpoint in [&server.admin, &server.heartbeat, &server.events] {
        assert_eq!(Raw::connect(endpoint).mechanism, "CURVE");
    }
    server.stop();
}

/// A certificate that is not in the directory: at the admin socket, and at the event sockets.
fn unknown_certificate_is_refused(device: &Device) {
    let mut server = device.server(&["--admin-keys", "admin", "--clients", "clients"]);
    device
        .client(&server, &["--keys", "eve", "--admin-key", "admin"])
        .fails(1, &["admin socket", "refused us", "400"]);
    let refused = server.program.line_with("REFUSED CURVE");
    assert!(refused.contains(&device.key("eve")), "{refused}");
    server.stop();

    let server = device.server(&["--keys", "events", "--clients", "clients"]);
    assert_eq!(server.key, device.key("events"));
    let pinned = ["--event-key", "events", "--events", "1", "--keys"];
    device
        .client(&server, &[&pinned[..], &["eve"]].concat())
        .fails(1, &["refused us", "400"]);
    let said = device
        .client(&server, &[&pinned[..], &["ada"]].concat())
        .well();
    assert!(said.contains("from a file\n"), "{said}");
    server.stop();
}

/// Over plain text the key is refused with a reason, and given where both ends were told so.
fn key_over_plain_text_is_refused_unless_told_otherwise(device: &Device) {
    let server = device.server(&["--clients", "clients"]);
    device
        .client(&server, &["--key-over-plain"])
        .fails(1, &["API_NotProtected", "plain text"]);
    server.stop();

    let server = device.server(&["--key-over-plain"]);
    let said = device
        .client(&server, &["--key-over-plain", "--events", "1"])
        .well();
    assert!(said.starts_with(&format!("key {} ", server.key)), "{said}");
    server.stop();
}

/// GNU's compiler made these.
fn device() -> Device {
    Device::new(made_by("g++"))
}

#[test]
fn programs_made_by_make_work() {
    events_by_the_key_of_a_protected_admin_connection(&device());
}

#[test]
#[ignore = "needs clang"]
fn programs_made_by_clang_work() {
    events_by_the_key_of_a_protected_admin_connection(&Device::new(made_by("clang++")));
}

#[test]
#[ignore = "needs cmake"]
fn programs_made_by_cmake_work() {
    let (sources, build) = (fresh("cmake-sources"), fresh("cmake"));
    copy_examples("cpp", &sources);
    cmake(&sources, &build, prefix());
    events_by_the_key_of_a_protected_admin_connection(&Device::new(build));
}

#[test]
fn client_with_an_unknown_certificate_is_refused() {
    unknown_certificate_is_refused(&device());
}

#[test]
fn key_asked_over_plain_text_is_refused() {
    key_over_plain_text_is_refused_unless_told_otherwise(&device());
}

#[test]
fn client_does_not_ask_over_plain_text_unasked() {
    device()
        .run("event_client", &["tcp://127.0.0.1:1"])
        .fails(2, &["--admin-key", "usage:"]);
}

#[test]
fn client_that_expects_another_key_gets_nothing() {
    let device = device();
    let server = device.server(&["--admin-keys", "admin"]);
    device
        .client(&server, &["--admin-key", "events"])
        .fails(1, &["does not prove", &device.key("events")]);
    server.stop();
    let server = device.server(&["--keys", "events"]);
    device
        .client(&server, &["--event-key", "admin"])
        .fails(1, &["does not prove", &device.key("admin")]);
    server.stop();
}

/// Whoever answers over a plain admin connection: the client does not go on in plain text.
#[test]
fn client_takes_no_plain_text_whatever_the_server_says() {
    let device = device();
    let topics = ["heartbeats", "events"];
    let plain = ["OK", "0", "tcp://127.0.0.1:1", "tcp://127.0.0.1:1"];
    let multicast = [
        "OK",
        "0",
        "epgm://127.0.0.1;239.0.0.1:1",
        "tcp://127.0.0.1:1",
    ];
    let (asked, pinned) = (["--key-over-plain"].as_slice(), ["--event-key", "events"]);
    let cases: [(&[&str], Vec<&str>, &str); 6] = [
        (asked, [&plain[..], &topics].concat(), "gave no key"),
        (asked, [&plain[..], &topics, &[""]].concat(), "40"),
        (asked, [&plain[..3], &["key"]].concat(), "gave no key"),
        (&pinned, [&multicast[..], &topics].concat(), "epgm://"),
        (&pinned, plain.to_vec(), "2 strings"),
        (&pinned, vec!["OK"], "no reply"),
    ];
    for (arguments, reply, reason) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        let client = device.start("event_client", &[&[&endpoint[..]], arguments].concat());
        Raw::serve_one(&listener, &reply);
        client.end().fails(1, &[reason]);
    }
}

/// Clients that know nothing of keys read the last two strings of an even number.
#[test]
fn old_client_gets_an_even_number_of_strings_and_no_key() {
    let device = device();
    for protection in [&["--key-over-plain"][..], &[]] {
        let server = device.server(protection);
        let said = device.client(&server, &["--old"]).well();
        assert!(said.starts_with("4 strings, heartbeats tango://"), "{said}");
        assert!(!said.contains(&server.key), "{said}");

        let mut raw = Raw::request(&server.admin);
        let reply = raw.call(SUBSCRIBE, &FIVE);
        assert_eq!(reply[0], "OK");
        assert_eq!(reply[1].split(' ').count(), 6, "{reply:?}");
        let strings = &reply[2..];
        assert_eq!(strings.len() % 2, 0, "{strings:?}");
        assert_eq!(strings[..2], [&server.heartbeat[..], &server.events]);
        assert!(strings[strings.len() - 2].ends_with(".heartbeat"));
        assert!(strings[strings.len() - 1].ends_with("/pressure.change"));
        // Only "1" asks.
        for unasked in ["", "0", "yes", "11"] {
            assert_eq!(
                raw.call(SUBSCRIBE, &[&FIVE[..], &[unasked]].concat()),
                reply
            );
        }
        let asked = raw.call(SUBSCRIBE, &[&FIVE[..], &["1"]].concat());
        if protection.is_empty() {
            assert_eq!(asked[..2], ["FAILED", "API_NotProtected"]);
            assert!(!asked.concat().contains(&server.key), "{asked:?}");
        } else {
            assert_eq!(asked[..reply.len()], reply);
            assert_eq!(asked[reply.len()..], [server.key.as_str()]);
        }
        server.stop();
    }
}

#[test]
fn admin_socket_outlives_senseless_requests() {
    let device = device();
    let server = device.server(&[]);
    let mut raw = Raw::request(&server.admin);
    let mut fails = |reason: &str, command: &str, arguments: &[&str]| {
        let reply = raw.call(command, arguments);
        assert_eq!(reply[..2], ["FAILED", reason], "{reply:?}");
        assert_eq!(reply.len(), 3);
    };
    fails("API_CommandNotFound", "Status", &[]);
    fails("API_WrongNumberOfArgs", SUBSCRIBE, &FIVE[..4]);
    fails(
        "API_WrongNumberOfArgs",
        SUBSCRIBE,
        &[&FIVE[..], &["1", "1"]].concat(),
    );
    for (at, reason) in [
        "API_DeviceNotFound",
        "API_AttrNotFound",
        "API_NotSupportedFeature",
        "API_NotSupportedFeature",
    ]
    .iter()
    .enumerate()
    {
        let mut arguments = FIVE;
        arguments[at] = "\u{0}nonsense";
        fails(reason, SUBSCRIBE, &arguments);
    }
    // Without a delimiter, without a command, with too many frames: no answer. The next request has one.
    raw.send(&["nothing"]);
    raw.send(&[""]);
    raw.send(&["", SUBSCRIBE].repeat(100));
    assert_eq!(raw.call(SUBSCRIBE, &FIVE)[0], "OK");
    // A frame that is too large ends its connection, and no other.
    let mut other = Raw::request(&server.admin);
    other
        .stream
        .write_all(&[2, 0, 0, 0, 1, 0, 0, 0, 0])
        .unwrap();
    let mut rest = Vec::new();
    // An end or a reset, whichever the system makes of it.
    let _ = other.stream.read_to_end(&mut rest);
    assert_eq!(raw.call(SUBSCRIBE, &FIVE)[0], "OK");
    server.stop();
}

#[test]
fn client_whose_certificate_is_removed_is_put_out() {
    let device = device();
    let server = device.server(&["--admin-keys", "admin", "--clients", "clients"]);
    let mut client = device.start_client(&server, &["--keys", "ada", "--admin-key", "admin"]);
    client.line_with("event pressure");
    fs::remove_file(device.path("clients/ada")).unwrap();
    client.end().fails(1, &["refused us", "400"]);
    server.stop();
}

#[test]
fn client_ends_by_ctrl_c() {
    let device = device();
    let server = device.server(&["--admin-keys", "admin"]);
    let mut client = device.start_client(&server, &["--admin-key", "admin"]);
    client.line_with("event pressure");
    client.interrupt();
    let said = client.end().well();
    assert!(said.ends_with("stopped\n"), "{said}");
    server.stop();
}

#[test]
fn senseless_command_lines_are_refused_with_a_reason() {
    let device = device();
    let fails = |program, code, words: &[&str], arguments: &[&str]| {
        device.run(program, arguments).fails(code, words);
    };
    let server = "device_server";
    fails(server, 2, &["--loud", "no such option"], &["--loud"]);
    fails(server, 2, &["--keys", "value"], &["--keys"]);
    fails(server, 2, &["beside"], &["admin"]);
    let twice = ["--key-over-plain", "--key-over-plain"];
    fails(server, 2, &["twice"], &twice);
    for period in ["0", "-1", "1s", "", "99999999999999999999"] {
        fails(server, 2, &["--period"], &["--period", period]);
    }
    for host in ["0.0.0.0", "*", "localhost", "::1"] {
        fails(server, 2, &["--host", "IPv4"], &["--host", host]);
    }
    let folder = ["--clients", "nowhere"];
    fails(server, 2, &["nowhere", "directory"], &folder);
    let both = ["--key-over-plain", "--admin-keys", "admin"];
    fails(server, 2, &["--key-over-plain"], &both);
    fails(server, 1, &["nothing_secret"], &["--keys", "nothing"]);
    fails(server, 1, &["192.0.2.7"], &["--host", "192.0.2.7"]);

    let client = "event_client";
    fails(client, 2, &["usage"], &[]);
    fails(client, 2, &["ipc://pump", "endpoint"], &["ipc://pump"]);
    let attribute = ["tcp://127.0.0.1:1", "pressure", "--old"];
    fails(client, 2, &["pressure", "attribute"], &attribute);
    fails(client, 1, &["tcp://nowhere"], &["tcp://nowhere", "--old"]);
    let key = ["tcp://127.0.0.1:1", "--admin-key", "nothing"];
    fails(client, 1, &["nothing"], &key);

    let keys = "make_keys";
    fails(keys, 2, &["usage"], &[]);
    fails(keys, 1, &["admin", "exists"], &["admin"]);
    fails(keys, 1, &["nowhere"], &["nowhere/key"]);
}

#[test]
#[ignore = "needs valgrind"]
fn programs_make_no_error_under_valgrind() {
    let device = Device {
        valgrind: common::valgrind(),
        ..device()
    };
    device.run("make_keys", &["new", "Ada"]).well();
    events_by_the_key_of_a_protected_admin_connection(&device);
    unknown_certificate_is_refused(&device);
    key_over_plain_text_is_refused_unless_told_otherwise(&device);
}
