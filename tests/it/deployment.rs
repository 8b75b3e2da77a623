//! `examples/deployment/`, by the commands of its README: what its operators live through, in processes of their own.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use ironhouse::security::{Certificate, PublicKey};
use serde_json::Value;

use crate::common::{SOON, folder, within};
use crate::examples::example;

/// A copy of the directory, with what the README's "Begin" makes in it.
struct Place {
    folder: tempfile::TempDir,
    readme: String,
}

impl Place {
    /// Its `ironhouse.toml` has Anna's key, and these changes.
    fn new(changes: &[(&str, &str)]) -> Self {
        let folder = folder();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deployment");
        for entry in fs::read_dir(source).unwrap() {
            let entry = entry.unwrap();
            let copy = folder.path().join(entry.file_name());
            fs::copy(entry.path(), &copy).unwrap();
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
        }
        let readme = fs::read_to_string(folder.path().join("README.md")).unwrap();
        let place = Self { folder, readme };
        let [make, check] = &place.commands("Begin")[..] else {
            panic!("two blocks of commands are wanted");
        };
        let said = place.run(make);
        let key = said.lines().find_map(|line| line.split_once(": ed25519:"));
        let key = format!("ed25519:{}", key.unwrap().1);
        let mut toml = fs::read_to_string(place.path("ironhouse.toml")).unwrap();
        for (from, to) in [("ed25519:KEY-OF-anna.pub", key.as_str())]
            .iter()
            .chain(changes)
        {
            assert!(toml.contains(from), "{from}");
            toml = toml.replace(from, to);
        }
        fs::write(place.path("ironhouse.toml"), toml).unwrap();
        assert_eq!(place.run(check), "ironhouse.toml: good\n");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The blocks of commands below a heading.
    fn commands(&self, heading: &str) -> Vec<String> {
        let (_, section) = self
            .readme
            .split_once(&format!("\n## {heading}\n"))
            .expect(heading);
        let section = section.split("\n## ").next().unwrap();
        let blocks = section.split("```sh\n").skip(1);
        let blocks = blocks.map(|block| block.split("```").next().unwrap().to_owned());
        blocks.collect()
    }

    /// The one block of commands below a heading.
    fn command(&self, heading: &str) -> String {
        let [command] = &self.commands(heading)[..] else {
            panic!("{heading}: one block of commands is wanted");
        };
        command.clone()
    }

    fn shell(&self, commands: &str) -> Command {
        let programs = example("deployment_admin");
        let programs = Path::new(programs.get_program()).parent().unwrap();
        let others = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        shell
            .args(["-euc", &format!("umask 022\n{commands}")])
            .env("PATH", format!("{}:{others}", programs.display()))
            .current_dir(self.folder.path());
        shell
    }

    /// What the commands print.
    #[track_caller]
    fn run(&self, commands: &str) -> String {
        let mut shell = self.shell(commands);
        let output = within(SOON, move || shell.output().unwrap());
        assert!(output.status.success(), "{commands}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts the server, and waits until it listens: at which endpoints.
    fn serve(&self, command: &str) -> (Running, [String; 2]) {
        let command = command.replace(":5555", ":*").replace(":5556", ":*");
        let mut server = Running::start(
            self,
            &command.replace("deployment_server", "exec deployment_server"),
        );
        let endpoints = [(); 2].map(|()| {
            let line = server.until(|line| line.starts_with("listening at "));
            line.split(' ').nth(2).unwrap().to_owned()
        });
        (server, endpoints)
    }

    fn server(&self) -> (Running, [String; 2]) {
        self.serve(&self.command("Start the server"))
    }

    /// Starts a client that knows both of the server's keys.
    fn client(&self, name: &str, [first, second]: &[String; 2]) -> Running {
        let [pin, start] = &self.commands("Start a client")[..] else {
            panic!("two blocks of commands are wanted");
        };
        let ours = |command: &str| {
            let command = command.replace("pump", name);
            command
                .replace("tcp://127.0.0.1:5555", first)
                .replace("tcp://127.0.0.1:5556", second)
        };
        let _ = fs::remove_file(self.path(name).join("known_servers"));
        fs::create_dir_all(self.path(name)).unwrap();
        self.run(&ours(pin));
        Running::start(
            self,
            &ours(start).replace("deployment_client", "exec deployment_client"),
        )
    }

    /// Keys for one more client, signed as those of the README's.
    fn enrol(&self, name: &str) {
        let begin = &self.commands("Begin")[0];
        let lines = begin.lines().filter(|line| line.contains("pump/client"));
        let lines: Vec<_> = lines.map(|line| line.replace("pump", name)).collect();
        self.run(&format!("mkdir -p {name}\n{}", lines.join("\n")));
    }

    fn key(&self, certificate: &str) -> PublicKey {
        *Certificate::load(self.path(certificate))
            .unwrap()
            .public_key()
    }

    /// The audit file's lines.
    fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("state/audit.jsonl")).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    /// Waits for such a line among those from the `from`th on; its number.
    #[track_caller]
    fn audited(&self, from: usize, what: &str, is_it: impl Fn(&Value) -> bool) -> usize {
        let start = Instant::now();
        loop {
            let lines = self.audit();
            let found = lines.iter().skip(from).position(&is_it);
            if let Some(found) = found {
                return from + found;
            }
            assert!(start.elapsed() < SOON, "{what}: {lines:#?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for a decision on this key; the number of its line.
    #[track_caller]
    fn decided(&self, from: usize, key: &PublicKey, reason: &str) -> usize {
        let key = key.to_string();
        self.audited(from, reason, |line| {
            line["event"] == "decision" && line["identity"] == *key && line["reason"] == reason
        })
    }
}

/// A program and what it prints; ended with this.
struct Running {
    process: Child,
    lines: Receiver<String>,
    /// Numbers that a client had answers to, and those that it lost.
    answered: BTreeSet<u64>,
    lost: BTreeSet<u64>,
}

impl Running {
    fn start(place: &Place, command: &str) -> Self {
        let mut process = place.shell(command).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            let mut lines = output.lines().map_while(Result::ok);
            lines.try_for_each(|line| sender.send(line))
        });
        Self {
            process,
            lines,
            answered: BTreeSet::new(),
            lost: BTreeSet::new(),
        }
    }

    /// Reads on until such a line comes.
    #[track_caller]
    fn until(&mut self, is_it: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        let mut before = Vec::new();
        loop {
            let left = SOON.saturating_sub(start.elapsed());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("the line did not come after {before:#?}");
            };
            if let Some((number, _)) = line.split_once(": ") {
                self.answered.extend(number.parse::<u64>());
            }
            if let Some(number) = line.strip_prefix("lost ") {
                self.lost.insert(number.parse().unwrap());
            }
            if is_it(&line) {
                return line;
            }
            before.push(line);
        }
    }

    #[track_caller]
    fn says(&mut self, words: &str) -> String {
        self.until(|line| line.contains(words))
    }

    /// Waits for an answer to this client, with its present key and role.
    #[track_caller]
    fn is_answered(&mut self, key: &PublicKey, role: &str) {
        self.says(&format!(": {key} {role}"));
    }

    /// Waits for so many more answers.
    #[track_caller]
    fn goes_on(&mut self, count: usize) {
        let goal = self.answered.len() + count;
        while self.answered.len() < goal {
            self.until(|line| line.contains(": "));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Nobody is locked out, and dates are taken at their word.
const EXACT: [(&str, &str); 3] = [
    ("by-address = 20", "by-address = false"),
    ("by-credential = 10", "by-credential = false"),
    ("[audit]", "[authenticator]\nclock-skew = \"0s\"\n\n[audit]"),
];

#[test]
fn client_is_admitted_put_out_at_its_end_disabled_and_signed_again_and_nothing_old_counts() {
    within(SOON * 4, || {
        let place = Place::new(&EXACT);
        let (mut server, endpoints) = place.server();
        let mut pump = place.client("pump", &endpoints);
        let key = place.key("pump/client");
        pump.says("connected to");
        pump.is_answered(&key, "writer");
        let mut seen = place.decided(0, &key, "admitted");

        // Its certificate ends while it is connected.
        let sign = place.command("Sign again");
        place.run(&sign.replace("365days", "2s"));
        pump.says("the server refused us (status 400)");
        seen = place.audited(seen, "closed", |line| line["event"] == "closed");
        seen = place.decided(seen, &key, "expired");
        place.run(&sign);
        pump.is_answered(&key, "writer");
        seen = place.decided(seen, &key, "admitted");

        let before = fs::read(place.path("clients/pump")).unwrap();
        place.run(&place.command("Disable a client"));
        pump.says("the server refused us (status 400)");
        seen = place.decided(seen, &key, "disabled");

        // Whoever distributes the files puts the one from before back.
        let disabled = fs::read(place.path("clients/pump")).unwrap();
        fs::write(place.path("clients/pump"), &before).unwrap();
        let problem = server.says("older than");
        assert!(
            problem.starts_with("PROBLEM ") && problem.contains("clients/pump:"),
            "{problem}"
        );
        let refused = place.decided(seen, &key, "unknown_key");
        let decisions = &place.audit()[seen..refused];
        assert!(decisions.iter().all(|line| line["verdict"] != "admitted"));
        seen = refused;
        fs::write(place.path("clients/pump"), &disabled).unwrap();
        place.run(&sign);
        pump.is_answered(&key, "writer");
        seen = place.decided(seen, &key, "admitted");

        // And an old list.
        let list = place.path("anna.revoked");
        let before = fs::read(&list).unwrap();
        let issued = place.run(&place.command("Issue the next revocation list"));
        let (_, serial) = issued.trim().split_once("serial ").unwrap();
        let start = Instant::now();
        while !fs::read_to_string(place.path("state/serials"))
            .unwrap_or_default()
            .contains(serial)
        {
            assert!(start.elapsed() < SOON);
            thread::sleep(Duration::from_millis(20));
        }
        let newest = fs::read(&list).unwrap();
        fs::write(&list, &before).unwrap();
        let problem = server.says("was seen before");
        assert!(problem.contains("anna.revoked"), "{problem}");
        pump.goes_on(20);

        // Which is not forgotten: the server ends, and starts again.
        drop((pump, server));
        let (mut server, endpoints) = place.server();
        server.says("was seen before");
        let mut pump = place.client("pump", &endpoints);
        pump.says("the server refused us (status 400)");
        seen = place.decided(seen, &key, "unknown_key");
        fs::write(&list, newest).unwrap();
        pump.is_answered(&key, "writer");
        place.decided(seen, &key, "admitted");
    });
}

#[test]
fn server_and_clients_change_their_keys_under_traffic_and_nothing_is_lost() {
    within(SOON * 4, || {
        let place = Place::new(&EXACT);
        place.enrol("meter");
        let (_server, endpoints) = place.server();
        let mut clients = ["pump", "meter"].map(|name| (name, place.client(name, &endpoints)));
        for (_, client) in &mut clients {
            client.says(&format!("connected to {}", endpoints[0]));
            client.goes_on(50);
        }

        // The clients leave the server's old key one by one.
        let unpin = place.command("Give the server another key");
        for moved in 0..clients.len() {
            let (name, client) = &mut clients[moved];
            place.run(
                &unpin
                    .replace("pump", name)
                    .replace("tcp://127.0.0.1:5555", &endpoints[0]),
            );
            client.says(&format!("connected to {}", endpoints[1]));
            clients
                .iter_mut()
                .for_each(|(_, client)| client.goes_on(50));
        }

        // Each has another key, and then its old one ends.
        let [renew, end] = &place.commands("Give a client another key")[..] else {
            panic!("two blocks of commands are wanted");
        };
        for moved in 0..clients.len() {
            let (name, client) = &mut clients[moved];
            fs::create_dir(place.path(&format!("thief-{name}"))).unwrap();
            for file in ["client", "client_secret"] {
                let stolen = place.path(&format!("thief-{name}/{file}"));
                fs::copy(place.path(&format!("{name}/{file}")), stolen).unwrap();
            }
            place.run(&renew.replace("pump", name));
            let key = place.key(&format!("{name}/client"));
            client.says(&format!("as {}", key.fingerprint()));
            client.is_answered(&key, "writer");
            clients
                .iter_mut()
                .for_each(|(_, client)| client.goes_on(50));
        }
        for (name, client) in &clients {
            let (answered, lost) = (client.answered.len(), client.lost.len());
            println!("{name}: two changes of keys under traffic, {answered} answers, {lost} lost");
            assert_eq!(client.lost, BTreeSet::new());
            // One number after the other.
            assert_eq!(client.answered.last(), Some(&(answered as u64 - 1)));
        }

        // Who has stolen an old key is in as long as that counts.
        for (name, client) in &mut clients {
            let mut thief = place.client(&format!("thief-{name}"), &endpoints);
            thief.says("connected to");
            let seen = place.audit().len();
            place.run(&end.replace("pump", name));
            thief.says("the server refused us (status 400)");
            let stolen = place.key(&format!("thief-{name}/client"));
            place.decided(seen, &stolen, "unknown_key");
            client.goes_on(50);
        }
    });
}

#[test]
fn stranger_is_locked_out_for_a_while_and_nobody_else_is() {
    within(SOON * 4, || {
        let place = Place::new(&[
            ("by-address = 20", "by-address = 2"),
            ("by-credential = 10", "by-credential = 2"),
            ("half-life = \"10m\"", "half-life = \"5s\""),
        ]);
        place.enrol("meter");
        let (mut server, endpoints) = place.server();
        let mut pump = place.client("pump", &endpoints);
        pump.says("connected to");

        place.run("mkdir stranger && deployment_admin pair stranger/client");
        let stranger = place.key("stranger/client");
        let mut asks = place.client("stranger", &endpoints);
        asks.says("the server refused us (status 400)");
        server.says("LOCKED OUT");
        let key = stranger.to_string();
        let of_key = |line: &Value| line["event"] == "locked_out" && line["identity"] == *key;
        let of_address =
            |line: &Value| line["event"] == "locked_out" && line["address"] == "127.0.0.1";
        let shut = place.audited(0, "lock-out of the key", of_key);
        place.audited(0, "lock-out of the address", of_address);
        // Others have the same address: one is connected, one comes now.
        let mut meter = place.client("meter", &endpoints);
        meter.says("connected to");
        place.decided(shut, &place.key("meter/client"), "admitted");
        for client in [&mut pump, &mut meter] {
            client.goes_on(50);
        }
        let shut = place.decided(shut, &stranger, "locked_out");

        // It passes, by and by: its key is looked at again.
        place.decided(shut, &stranger, "unknown_key");
        place.run(
            "deployment_admin sign admin/anna stranger/client clients/stranger 1day role=reader",
        );
        asks.is_answered(&stranger, "reader");
    });
}

#[test]
fn server_starts_by_its_unit_with_the_credentials_that_this_loads_and_not_without() {
    within(SOON * 2, || {
        let place = Place::new(&[]);
        let unit = fs::read_to_string(place.path("ironhouse-server.service")).unwrap();
        let values = |key: &str| -> Vec<&str> {
            let lines = unit.lines();
            lines
                .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .collect()
        };
        // As systemd does: each below its name in a directory of the unit's.
        fs::create_dir(place.path("run")).unwrap();
        for credential in values("LoadCredential") {
            let (name, path) = credential.split_once(':').unwrap();
            let from = path.replace("/etc/ironhouse/secret", "credentials");
            fs::copy(place.path(&from), place.path("run").join(name)).unwrap();
            fs::set_permissions(
                place.path("run").join(name),
                fs::Permissions::from_mode(0o400),
            )
            .unwrap();
        }
        let [command] = values("ExecStart")[..] else {
            panic!("one ExecStart is wanted");
        };
        let command = command
            .replace("/usr/local/bin/", "")
            .replace("/etc/ironhouse/", "")
            .replace("//*:", "//127.0.0.1:");
        let (_server, endpoints) =
            place.serve(&format!("CREDENTIALS_DIRECTORY=$PWD/run {command}"));
        place.client("pump", &endpoints).says("connected to");

        let mut shell = place.shell(&format!("unset CREDENTIALS_DIRECTORY; {command}"));
        let output = within(SOON, move || shell.output().unwrap());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("LoadCredential="),
            "{said}"
        );
    });
}
