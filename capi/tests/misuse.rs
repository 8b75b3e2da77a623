//! Every function of the header, with one argument at a time that will not do: an error with a reason, and nothing else.
//!
//! The calls are made of the header, so that no function can be forgotten; `c/misuse.c` has what they are made with.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod common;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::{library, output};

/// Parameters that may be NULL: a name, or `FUNCTION.PARAMETER` without the prefix.
const OPTIONAL: &[&str] = &[
    "authenticator_explain.status",
    "authenticator_start.options",
    "disabled",
    "free_user_data",
    "length",
    "not_after",
    "not_before",
    "socket_gssapi_client.principal",
    "socket_gssapi_server.principal",
    "trust_believe.revocations",
    "user_data",
];

/// Texts that need not be UTF-8.
const BYTES: &[&str] = &[
    "endpoint",
    "password",
    "passwords_insert.name",
    "passwords_remove.name",
    "path",
    "revocations",
];

/// A function, what is said of it, and its parameters with their types.
struct Function {
    name: String,
    comment: String,
    parameters: Vec<Parameter>,
}

struct Parameter {
    of: String,
    name: String,
}

/// Those of the header that answer whether they succeeded.
fn functions() -> Vec<Function> {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/ironhouse.h");
    let text = fs::read_to_string(header).unwrap();
    let functions = text.match_indices("\nironhouse_result_t ironhouse_");
    let functions = functions.map(|(at, start)| {
        let (before, part) = (&text[..at], &text[at + start.len()..]);
        let (_, comment) = before.rsplit_once("/**").unwrap();
        let (name, rest) = part.split_once('(').unwrap();
        let (list, _) = rest.split_once(");").unwrap();
        let parameters = list.split(',').map(|parameter| {
            let (of, name) = parameter.split_at(parameter.rfind([' ', '*']).unwrap() + 1);
            let [of, name] = [of.trim(), name].map(str::to_owned);
            Parameter { of, name }
        });
        Function {
            name: name.to_owned(),
            comment: comment.to_owned(),
            parameters: parameters.collect(),
        }
    });
    functions.collect()
}

impl Function {
    fn is(&self, parameter: &Parameter, list: &[&str]) -> bool {
        let whole = format!("{}.{}", self.name, parameter.name);
        list.contains(&parameter.name.as_str()) || list.contains(&&*whole)
    }

    /// Whether it takes a handle back.
    fn takes_back(&self) -> bool {
        self.name.ends_with("_destroy") || self.name == "reply_answer"
    }
}

impl Parameter {
    /// The kind of handle that it is, as in `policy`.
    fn handle(&self) -> Option<&str> {
        let of = self.of.trim_start_matches("const ");
        let kind = of.strip_prefix("ironhouse_")?.strip_suffix("_t *")?;
        let is_structure = ["api", "authenticator_options", "counters", "credential"];
        (!is_structure.contains(&kind)).then_some(kind)
    }

    /// The kind of handle whose place it is.
    fn place(&self) -> Option<&str> {
        self.of.strip_prefix("ironhouse_")?.strip_suffix("_t **")
    }

    /// An argument that there is nothing wrong with.
    fn sound(&self, function: &Function) -> String {
        if let Some(kind) = self.handle() {
            return format!("good.{kind}");
        }
        if let Some(kind) = self.place() {
            return match function.takes_back() {
                true => format!("&good.{kind}"),
                false => format!("(ironhouse_{kind}_t **) &fresh"),
            };
        }
        match (&*self.of, &*self.name) {
            ("const char *", "verify_key") => "good.verify_key".into(),
            ("const char *", name) if name.contains("key") => "good.key".into(),
            ("const char *", name) if name.contains("address") => "\"192.0.2.7\"".into(),
            ("const char *", _) => "\"any\"".into(),
            ("const char *const *", _) => "good.texts".into(),
            ("const ironhouse_store_t *const *", _) => {
                "(const ironhouse_store_t *const *) &good.store".into()
            }
            ("const ironhouse_credential_t *", _) => "&good.credential".into(),
            ("const ironhouse_authenticator_options_t *", _) => "&good.options".into(),
            ("ironhouse_counters_t *", _) => "&good.counters".into(),
            ("const ironhouse_api_t *", _) => "&good.api".into(),
            ("size_t", "count") => "1".into(),
            ("size_t", name) if name.ends_with("_length") => "IRONHOUSE_NUL".into(),
            ("size_t", "first_size") => "6".into(),
            ("size_t", _) => "sizeof room".into(),
            ("int", "rule") => "IRONHOUSE_RULE_LOCK_OUT".into(),
            ("int", _) => "IRONHOUSE_REFUSE".into(),
            ("bool" | "int64_t" | "uint16_t" | "uint32_t", _) => "0".into(),
            ("void *", "socket") => "good.socket".into(),
            ("void *", "context") => "good.context".into(),
            ("void *", "library") => "good.library".into(),
            ("void *", "user_data") => "&freed".into(),
            ("ironhouse_free_fn", _) => "count_freed".into(),
            (of, _) if of.ends_with("_fn") => format!("({of}) never_called"),
            ("char *" | "uint8_t *" | "const uint8_t *" | "const void *", _)
            | ("int *" | "int64_t *" | "bool *" | "size_t *" | "ironhouse_api_t *", _) => {
                "(void *) room".into()
            }
            (of, name) => panic!("{of} {name} of {}: what is sound there?", function.name),
        }
    }

    /// What will not do in its place, with what is answered; an empty one is any but success.
    fn unsound(&self, function: &Function) -> Vec<(&'static str, String)> {
        let mut cases = Vec::new();
        let mut case = |result, argument: &str| cases.push((result, argument.to_owned()));
        let is_pointer = self.of.ends_with('*') || self.of.ends_with("_fn");
        if is_pointer && !function.is(self, OPTIONAL) {
            case("NULL_POINTER", "NULL");
        }
        if let Some(kind) = self.handle() {
            case("BAD_HANDLE", &format!("gone.{kind}"));
            case("BAD_HANDLE", &format!("(ironhouse_{kind}_t *) room"));
            case("BAD_HANDLE", &format!("OTHER({kind})"));
        }
        if let Some(kind) = self.place().filter(|_| function.takes_back()) {
            case("BAD_HANDLE", &format!("&gone.{kind}"));
            case("BAD_HANDLE", &format!("OTHER_PLACE({kind})"));
            case("BAD_HANDLE", &format!("ANY_PLACE({kind})"));
        }
        match (&*self.of, &*self.name) {
            ("const char *", _) => {
                case("BAD_TEXT", "endless");
                if !function.is(self, BYTES) {
                    case("BAD_TEXT", "\"\\xff\"");
                }
            }
            ("const char *const *", _) => {
                case("NULL_POINTER", "bad_texts");
                case("BAD_TEXT", "bad_texts + 1");
                case("BAD_TEXT", "bad_texts + 2");
            }
            ("const ironhouse_store_t *const *", _) => {
                case(
                    "NULL_POINTER",
                    "(const ironhouse_store_t *const *) no_handles",
                );
                case(
                    "BAD_HANDLE",
                    "(const ironhouse_store_t *const *) &gone.store",
                );
                case(
                    "BAD_HANDLE",
                    "(const ironhouse_store_t *const *) &good.policy",
                );
                case("INVALID_ARGUMENT", "(void *) (room + 1)");
            }
            ("int", "rule") => case("INVALID_ARGUMENT", "7"),
            ("int", "status") if function.name.starts_with("policy_") => {
                case("INVALID_ARGUMENT", "IRONHOUSE_ADMIT");
            }
            ("size_t", "count") => case("INVALID_ARGUMENT", "SIZE_MAX"),
            ("size_t", name) if name.ends_with("_length") || name.ends_with("_size") => {
                case("INVALID_ARGUMENT", "SIZE_MAX - 1");
            }
            ("const ironhouse_credential_t *", _)
            | ("const ironhouse_authenticator_options_t *", _)
            | ("ironhouse_counters_t *", _) => case("INVALID_ARGUMENT", "(void *) zeros"),
            ("const ironhouse_api_t *", _) => case("BAD_API", "(void *) zeros"),
            ("void *", "socket" | "context") => {
                case("INVALID_ARGUMENT", "room + 1");
                case("", "zeros");
            }
            _ => {}
        }
        cases
    }
}

/// The comments are the manual.
#[test]
fn comment_names_what_a_wrong_call_answers_and_the_threads_that_may_make_it() {
    for function in functions() {
        let parameters = function.parameters.iter();
        let cases = parameters.flat_map(|parameter| parameter.unsound(&function));
        let mut results: Vec<_> = cases.map(|(result, _)| result).collect();
        if results.contains(&"BAD_HANDLE") {
            results.push("FORKED");
        }
        for result in results {
            let named = function.comment.contains(&format!("IRONHOUSE_{result}"));
            assert!(named, "ironhouse_{}: IRONHOUSE_{result}", function.name);
        }
        let paragraphs: Vec<_> = function.comment.split("\n *\n").collect();
        assert!(paragraphs.len() > 1, "ironhouse_{}", function.name);
        for words in ["Errors:", "Threads:"] {
            assert!(
                paragraphs[paragraphs.len() - 1].contains(words),
                "ironhouse_{}: {words}",
                function.name
            );
        }
        let brief = paragraphs[0].trim_start_matches([' ', '*', '\n']);
        assert_eq!(
            brief.lines().count(),
            1,
            "ironhouse_{}: its first sentence is one line",
            function.name
        );
    }
}

/// A call with one argument in the place of a sound one.
fn call(function: &Function, at: usize, argument: &str) -> String {
    let arguments = function.parameters.iter().enumerate();
    let arguments = arguments.map(|(other, parameter)| match other == at {
        true => argument.to_owned(),
        false => parameter.sound(function),
    });
    let arguments: Vec<_> = arguments.collect();
    format!("ironhouse_{}({})", function.name, arguments.join(", "))
}

/// The calls, as C, and how many there are.
fn calls() -> (String, usize) {
    let (mut wrong, mut forked, mut count) = (String::new(), String::new(), 0);
    for function in functions() {
        let mut has_handle = false;
        for (at, parameter) in function.parameters.iter().enumerate() {
            for (result, argument) in parameter.unsound(&function) {
                let call = call(&function, at, &argument);
                let line = match result {
                    "" => format!("  REFUSED({call});"),
                    result => format!("  WRONG(IRONHOUSE_{result}, {call});"),
                };
                writeln!(wrong, "{line}").unwrap();
                count += 1;
            }
            has_handle |= parameter.handle().is_some()
                || parameter.place().is_some() && function.takes_back();
            if let Some(length) = function.parameters.get(at + 2) {
                // A buffer that is not there, and no place for how long the text is.
                if parameter.of == "char *" && length.name == "length" {
                    let mut arguments: Vec<_> = function
                        .parameters
                        .iter()
                        .map(|parameter| parameter.sound(&function))
                        .collect();
                    arguments.splice(at..at + 3, ["NULL", "0", "NULL"].map(str::to_owned));
                    let call = format!("ironhouse_{}({})", function.name, arguments.join(", "));
                    writeln!(wrong, "  WRONG(IRONHOUSE_NULL_POINTER, {call});").unwrap();
                    count += 1;
                }
            }
        }
        if has_handle {
            let call = call(&function, usize::MAX, "");
            writeln!(forked, "  WRONG(IRONHOUSE_FORKED, {call});").unwrap();
            count += 1;
        }
    }
    let calls = format!(
        "static void call_wrongly(void)\n{{\n{wrong}}}\n\nstatic void call_in_a_child(void)\n{{\n{forked}}}\n"
    );
    (calls, count)
}

/// Builds the program, and has it run behind these words.
fn run(compiler: &str, behind: &[String]) {
    let folder = tempfile::tempdir().unwrap();
    let (calls, count) = calls();
    assert!(count > 500, "{count}");
    fs::write(folder.path().join("misuse.inc"), calls).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = folder.path().join("misuse");
    output(
        Command::new(compiler)
            .args(["-std=c11", "-D_GNU_SOURCE", "-Wpedantic"])
            .args(["-g", "-Wall", "-Wextra", "-Werror"])
            .arg("-I")
            .arg(root.join("include"))
            .arg("-I")
            .arg(folder.path())
            .arg(root.join("tests/c/misuse.c"))
            .arg("-o")
            .arg(&program)
            .arg("-L")
            .arg(library().shared.parent().unwrap())
            .arg(format!("-Wl,-rpath,{}", library().installed.display()))
            .args(["-lironhouse_c", "-lzmq", "-lpthread", "-ldl"]),
    );
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", "300"])
        .args(behind)
        .arg(program);
    print!(
        "{count} calls: {}",
        output(command.current_dir(folder.path()))
    );
}

#[test]
fn argument_that_will_not_do_is_an_error_with_a_reason() {
    run("gcc", &[]);
}

#[test]
#[ignore = "needs clang"]
fn argument_that_will_not_do_is_an_error_in_a_program_of_clang_too() {
    run("clang", &[]);
}

#[test]
#[ignore = "needs valgrind"]
fn argument_that_will_not_do_is_not_looked_into() {
    run("gcc", &common::valgrind());
}
