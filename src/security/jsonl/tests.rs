use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

use super::*;
use crate::fanout::Fanout;
use crate::security::{AuditEvent, ZapProblem};
use serde_json::Value;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

const SOON: Duration = Duration::from_secs(20);

struct Log {
    events: Fanout<Timed>,
    emitted: usize,
    writer: JsonLines,
}

impl Log {
    fn to(path: &Path) -> Self {
        let events = Fanout::new();
        let writer = JsonLines::follow(Ready::at(path).unwrap(), events.tap()).unwrap();
        Self {
            events,
            emitted: 0,
            writer,
        }
    }

    /// Each event has a number of its own.
    fn emit(&mut self, events: usize) {
        for _ in 0..events {
            let problem = ZapProblem::FrameCount(self.emitted);
            let event = (SystemTime::now(), AuditEvent::Malformed(problem));
            self.events.emit(|| event);
            self.emitted += 1;
        }
    }

    fn flush(&self) {
        self.writer.flush(SOON).unwrap();
    }

    /// Waits until the writer says that it fails.
    fn fails(&self) {
        self.wait(|status| status.failing.is_some());
    }

    /// Waits until this is true of the file.
    fn wait(&self, what: impl Fn(AuditFile) -> bool) {
        let start = Instant::now();
        while !what(self.writer.status()) {
            assert!(start.elapsed() < SOON, "{}", self.writer.status());
            std::thread::yield_now();
        }
    }
}

/// The numbers of the events in these texts, which are whole lines; `None` stands for lost ones that `lost` counts.
fn numbers<'a>(texts: impl IntoIterator<Item = &'a str>, lost: &mut usize) -> Vec<Option<usize>> {
    let mut numbers = Vec::new();
    for text in texts {
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if line["event"] == "lost" {
                *lost += line["lost"].as_u64().unwrap() as usize;
                numbers.push(None);
            } else {
                let problem = line["problem"].as_str().unwrap();
                let mut words = problem.split(' ').filter_map(|word| word.parse().ok());
                numbers.push(words.next());
            }
        }
    }
    numbers
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn lines_go_where_the_path_leads_and_a_renamed_file_keeps_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let [path, first, second] = ["log", "log.1", "log.2"].map(|name| folder.path().join(name));
    let mut log = Log::to(&path);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    log.emit(3);
    log.flush();
    fs::rename(&path, &first).unwrap();
    log.emit(2);
    log.flush();
    fs::rename(&path, &second).unwrap();
    fs::write(&path, "").unwrap();
    log.emit(1);
    log.flush();
    let kept: Vec<_> = [&first, &second, &path]
        .into_iter()
        .map(|path| read(path))
        .collect();
    let counts: Vec<_> = kept.iter().map(|text| text.lines().count()).collect();
    assert_eq!(counts, [3, 2, 1]);
    let all = numbers(kept.iter().map(String::as_str), &mut 0);
    assert_eq!(all, (0..6).map(Some).collect::<Vec<_>>());
    assert_eq!(log.writer.status().lines, 6);

    // Without an event, by word.
    fs::remove_file(&path).unwrap();
    log.writer.reopen();
    log.flush();
    assert!(path.exists());
}

#[test]
fn last_of_more_lines_than_are_written_at_once_is_written_though_none_follows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = Log::to(&path);
    let problem = ZapProblem::FrameCount(7);
    let event = (SystemTime::now(), AuditEvent::Malformed(problem));
    for round in 1..=3 {
        log.events.emit_all(&mut vec![event.clone(); 4000]);
        log.wait(|status| status.lines == 4000 * round);
    }
    assert!(read(&path).len() > 3 * BATCH);
}

#[test]
fn dropping_writes_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut log = Log::to(&path);
    log.emit(1000);
    drop(log.writer);
    assert_eq!(read(&path).lines().count(), 1000);

    let mut log = Log::to(&path);
    log.emit(1000);
    // The authenticator may end first.
    log.events.close();
    drop(log.writer);
    assert_eq!(read(&path).lines().count(), 2000);
}

#[test]
fn a_full_disk_keeps_what_it_can_and_the_gap_is_told_of_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let [path, next] = ["log", "next"].map(|name| folder.path().join(name));
    symlink("/dev/full", &path).unwrap();
    let mut log = Log::to(&path);
    log.emit(1);
    log.fails();
    log.emit(20_000);
    let status = log.writer.status();
    let (reason, _) = status.failing.as_ref().unwrap();
    assert!(reason.contains("No space left on device"), "{status}");
    assert!(status.lost > 10_000 && status.lines == 0, "{status}");
    let flushed = log.writer.flush(Duration::from_millis(1));
    assert!(matches!(flushed, Err(Error::Again)));

    symlink("real", &next).unwrap();
    fs::rename(&next, &path).unwrap();
    log.writer.reopen();
    log.flush();
    log.emit(1);
    log.flush();
    let lost = log.writer.status().lost as usize;
    let mut told = 0;
    let numbers = numbers([&*read(&path)], &mut told);
    assert_eq!((told, log.writer.status().failing), (lost, None));
    let gap = numbers.iter().position(Option::is_none).unwrap();
    assert_eq!(
        numbers[..gap],
        (0..20_001 - lost).map(Some).collect::<Vec<_>>()
    );
    assert_eq!(numbers[gap + 1..], [Some(20_001)]);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );

    // It does not hold up the end.
    fs::remove_file(&path).unwrap();
    symlink("/dev/full", &path).unwrap();
    log.emit(20_000);
    log.fails();
}

#[test]
fn a_line_that_was_cut_short_is_completed_where_it_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    let no_reader = Ready::at(&path).map(drop);
    assert!(matches!(no_reader, Err(Error::Io { .. })));
    let mut pipe = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&path)
        .unwrap();
    let mut log = Log::to(&path);
    // More than the pipe takes, which it takes in part.
    log.emit(4000);
    log.fails();
    let (mut text, mut part) = (String::new(), [0; 4096]);
    let start = Instant::now();
    while text.lines().count() < 4000 || !text.ends_with('\n') {
        assert!(start.elapsed() < SOON);
        match pipe.read(&mut part) {
            Ok(read) => text.push_str(std::str::from_utf8(&part[..read]).unwrap()),
            Err(_) => log.writer.reopen(),
        }
    }
    log.flush();
    assert_eq!(
        numbers([&*text], &mut 0),
        (0..4000).map(Some).collect::<Vec<_>>()
    );
}

#[test]
fn a_line_that_cannot_be_completed_is_written_anew_on_a_line_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    // Six bytes are written; then the file is found with a content that is as after that write, or not.
    for (found, same, expected) in [
        ("{1}\n{2", true, "{1}\n{2.é}\n"),
        ("{1}\n{2", false, "{1}\n{2\n{2.é}\n"),
        ("{1}\n{2another}\n", false, "{1}\n{2another}\n{2.é}\n"),
        ("", false, "{2.é}\n"),
    ] {
        fs::write(&path, found).unwrap();
        let meta = fs::metadata(&path).unwrap();
        let mut text = Text {
            buffer: "{1}\n{2.é}\n".into(),
            written: 6,
            cut: same.then(|| (identity(&meta), size(&meta))),
            ..Text::new()
        };
        text.write(&mut None, &path).unwrap();
        assert_eq!(read(&path), expected);
        assert_eq!((text.buffer.as_str(), text.written), ("", 0));
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing/log");
    let error = Ready::at(&path).map(drop).unwrap_err();
    assert!(
        error.to_string().contains("missing/log: No such file"),
        "{error}"
    );
}
