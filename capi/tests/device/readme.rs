//! What the examples' READMEs say is typed, by somebody who has an empty folder and two terminals; and that what they say is printed, is.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use crate::programs::{Program, SOON, interrupt};

/// How long a block may take: one of them builds the library.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What a README has typed, and what it says is printed.
enum Block {
    Typed(String),
    Printed(String),
}

fn blocks(readme: &str) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(readme);
    let text = fs::read_to_string(path).unwrap();
    // Behind every other fence is what it fences.
    let fenced = text.split("```").skip(1).step_by(2);
    let blocks = fenced.map(|block| match block.split_once('\n').unwrap() {
        ("sh", typed) => Block::Typed(typed.to_owned()),
        ("text", printed) => Block::Printed(printed.to_owned()),
        (other, _) => panic!("{readme}: what is {other:?}?"),
    });
    blocks.collect()
}

/// A shell, as somebody opens one to type at.
struct Terminal {
    shell: Program,
    keyboard: ChildStdin,
}

impl Terminal {
    fn open(prefix: &Path) -> Self {
        let mut command = Command::new("bash");
        command
            .arg("--norc")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .env("prefix", prefix)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut shell = Program::start(command);
        let keyboard = shell.child.stdin.take().unwrap();
        let mut terminal = Self { shell, keyboard };
        // On a terminal both are seen.
        terminal.write("exec 2>&1\n");
        terminal
    }

    fn write(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// What the commands print, to their end.
    fn type_in(&mut self, commands: &str) -> Vec<String> {
        const END: &str = "== these are over";
        self.write(&format!("{commands}\necho '{END}'\n"));
        self.shell.lines_until(END, PATIENCE)
    }
}

/// A line but for its numbers, keys and fingerprints.
fn shape(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let one_of_many = word.len() > 25 || word.contains(|c: char| c.is_ascii_digit());
        if one_of_many { "#" } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// That the lines are among those that were printed, in this order.
fn prints(printed: &[String], expected: &str) {
    let mut shapes = printed.iter().map(|line| shape(line));
    for line in expected.lines() {
        let found = shapes.any(|shape| shape == self::shape(line));
        assert!(
            found,
            "{line:?} is missing, or comes too soon: {printed:#?}"
        );
    }
}

#[test]
#[ignore = "needs cmake, and builds the library as it is shipped"]
fn readmes_of_the_examples_hold_to_the_letter() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("prefix");
    let mut terminal = Terminal::open(&prefix);
    let mut printed = Vec::new();
    for block in blocks("README.md") {
        match block {
            Block::Typed(commands) => printed = terminal.type_in(&commands),
            Block::Printed(expected) => prints(&printed, &expected),
        }
    }

    let device = blocks("cpp/README.md");
    let [
        Block::Typed(build),
        Block::Typed(serve),
        Block::Printed(ready),
        Block::Typed(client),
        Block::Printed(events),
        Block::Typed(stranger),
        Block::Printed(told),
        Block::Printed(refused),
    ] = &device[..]
    else {
        panic!("cpp/README.md has other blocks than this test knows");
    };
    terminal.type_in(build);
    terminal.write(serve);
    let lines = terminal.shell.lines_until("ready", SOON);
    prints(&lines, ready);
    // The one that the system chose, in the place of the README's.
    let endpoint = |text: &str| {
        let admin = text.split("admin ").nth(1).unwrap();
        admin.split(' ').next().unwrap().to_owned()
    };
    let (written, chosen) = (endpoint(ready), endpoint(&lines.join("\n")));

    let mut other = Terminal::open(&prefix);
    for (commands, expected) in [(client, events), (stranger, told)] {
        assert!(commands.contains(&written), "{commands}");
        let printed = other.type_in(&commands.replace(&written, &chosen));
        prints(&printed, expected);
    }
    prints(&terminal.shell.lines_until("REFUSED", SOON), refused);
    // Ctrl-C goes to what runs in the foreground.
    let shell = terminal.shell.child.id();
    let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    interrupt(children.trim());
    terminal.shell.line_with("stopped");
}

#[test]
fn keys_and_numbers_may_differ() {
    let printed = ["event pressure 7 0.700000".to_owned(), "stopped".to_owned()];
    prints(&printed, "event pressure 3 0.300000\nstopped\n");
}

#[test]
#[should_panic(expected = "is missing")]
fn words_may_not() {
    prints(&["event speed 3".to_owned()], "event pressure 3\n");
}
