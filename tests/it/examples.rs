//! The examples: each is run as it stands, and must end well within five seconds of its own.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use crate::common::{SOON, folder, within};

#[path = "../../examples/diagnose.rs"]
mod diagnose;
#[path = "../../examples/grasslands.rs"]
mod grasslands;
#[path = "../../examples/ironhouse.rs"]
mod ironhouse;
#[path = "../../examples/smol.rs"]
mod smol;
#[path = "../../examples/stonehouse.rs"]
mod stonehouse;
#[path = "../../examples/strawhouse.rs"]
mod strawhouse;
#[path = "../../examples/woodhouse.rs"]
mod woodhouse;

#[test]
fn the_five_patterns_do_what_they_say() {
    let patterns = [
        grasslands::main,
        strawhouse::main,
        woodhouse::main,
        stonehouse::main,
        ironhouse::main,
    ];
    for pattern in patterns {
        within(SOON, pattern).unwrap();
    }
}

#[test]
fn a_socket_is_awaited_on_another_runtime_by_its_descriptor() {
    within(SOON, smol::main).unwrap();
}

#[test]
fn every_cause_of_a_failure_has_its_own_words() {
    within(SOON, diagnose::main).unwrap();
}

/// An example that was built beside this test, as `cargo test` does.
pub fn example(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let path: PathBuf = tests
        .parent()
        .and_then(|deps| deps.parent())
        .unwrap()
        .join("examples")
        .join(name);
    assert!(
        path.exists(),
        "{} is missing: run cargo build --examples first",
        path.display()
    );
    Command::new(path)
}

/// A running example; ended with the test.
struct Running {
    process: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Self { process, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(SOON).unwrap()
    }

    /// All that it says until it ends by itself, which it does well.
    fn until_it_ends(mut self) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            match self.lines.recv_timeout(SOON) {
                Ok(line) => said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("neither a word nor an end: {said:?}"),
            }
        }
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}: {said:?}");
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// What an example says, which ends by itself.
fn says(name: &'static str) -> Vec<String> {
    within(3 * SOON, move || {
        Running::start(&mut example(name)).until_it_ends()
    })
}

#[test]
fn each_reader_of_the_weather_has_the_updates_of_its_place() {
    let expected =
        ["Bergen: 8", "Cairo: 30"].map(|place| format!("{place} degrees, the mean of 20 updates"));
    assert_eq!(says("weather"), expected);
}

#[test]
fn tasks_are_shared_among_workers_and_each_is_done_once() {
    let said = says("tasks");
    let (last, workers) = said.split_last().unwrap();
    assert_eq!(last, "all 60 tasks done");
    assert!(
        workers.len() > 1 && workers.iter().all(|line| line.starts_with("worker ")),
        "{said:?}"
    );
}

#[test]
fn clients_have_their_answers_through_a_broker() {
    assert_eq!(says("broker"), ["3 clients had 10 answers each"]);
}

#[test]
fn a_lost_request_is_made_again_until_it_is_answered() {
    let said = says("lazy_pirate");
    let answered = said.iter().filter(|line| line.ends_with(": answered"));
    assert_eq!(answered.count(), 5, "{said:?}");
    assert!(
        said.contains(&"request 3: no answer, try 1".into()),
        "{said:?}"
    );
}

#[test]
fn a_late_subscriber_is_told_the_last_value() {
    assert_eq!(
        says("last_value_cache"),
        ["late, and told at once: copper 9150"]
    );
}

#[test]
fn over_two_terminals_a_certificate_copied_in_admits_and_removed_refuses() {
    within(SOON, || {
        let folder = folder();
        let server = Running::start(example("ironhouse_server").args([
            folder.path().to_str().unwrap(),
            "tcp://127.0.0.1:*",
            "127.0.0.0/8",
        ]));
        let listening = server.line();
        let endpoint = listening
            .strip_prefix("listening at ")
            .unwrap()
            .split(',')
            .next()
            .unwrap()
            .to_owned();
        let client = || -> Output {
            example("ironhouse_client")
                .arg(folder.path())
                .arg(&endpoint)
                .output()
                .unwrap()
        };

        let stranger = client();
        assert_eq!(stranger.status.code(), Some(1));
        let reason = String::from_utf8(stranger.stderr).unwrap();
        assert!(
            reason.contains("not admitted") && reason.contains("status 400"),
            "{reason}"
        );
        assert!(server.line().starts_with("REFUSED CURVE from 127.0.0.1"));

        let copy = folder.path().join("clients/client");
        std::fs::copy(folder.path().join("client"), &copy).unwrap();
        let friend = client();
        assert!(friend.status.success(), "{friend:?}");
        assert_eq!(
            String::from_utf8(friend.stdout).unwrap(),
            "Server answers \"World\"\n"
        );
        // Printed by two threads, so in either order.
        let mut lines = [server.line(), server.line()];
        lines.sort();
        assert!(
            lines[0].starts_with("ADMITTED CURVE from 127.0.0.1"),
            "{lines:?}"
        );
        assert_eq!(lines[1], "Client says \"Hello\"");

        std::fs::remove_file(&copy).unwrap();
        assert_eq!(client().status.code(), Some(1));
        let refused = server.line();
        assert!(
            refused.starts_with("REFUSED") && refused.ends_with("no certificate with this key"),
            "{refused}"
        );
    });
}

#[test]
fn checked_configuration_is_good_or_each_mistake_has_its_line() {
    let folder = folder();
    let path = folder.path().join("ironhouse.toml");
    let check = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let output = example("check_config").arg(&path).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let shown = path.display();
    let good = check("[domain.d]\nnull = true\n");
    assert_eq!(good, (Some(0), format!("{shown}: good\n")));
    let (code, said) = check("[domain.d]\nnull = 1\nplain = \"passwords\"\nfoo = 2\n");
    assert_eq!((code, said.lines().count()), (Some(1), 2), "{said}");
    for (said, line) in said.lines().zip([2, 4]) {
        assert!(said.starts_with(&format!("{shown}:{line}: ")), "{said}");
    }
}

#[test]
fn every_call_in_the_migration_table_is_in_code_that_compiles() {
    let text = include_str!("../../docs/migrating.md");
    let words = |code: &str| code.split_whitespace().collect::<String>();
    // Tables and code take turns; doctests compile the code.
    let mut calls = Vec::new();
    let mut tables = 0;
    for (part, code) in text.split("\n```").enumerate().map(|(i, c)| (i % 2, c)) {
        if part == 0 {
            let rows = code.lines().filter(|line| line.starts_with("| "));
            for row in rows.skip(1) {
                let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
                assert_eq!(cells.len(), 5, "{row}");
                calls.extend(cells[4].split('`').skip(1).step_by(2).map(words));
            }
        } else {
            assert!(code.starts_with("rust"), "{code}");
            assert!(calls.len() > 5, "a table of {} calls", calls.len());
            let code = words(code);
            for call in calls.drain(..) {
                assert!(code.contains(&call), "{call} is not in the code below it");
            }
            tables += 1;
        }
    }
    assert_eq!((tables, calls.len()), (4, 0));
}
