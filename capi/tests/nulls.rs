//! NULL in the place of every pointer, one at a time: an error with a reason, or nothing to complain about; never the end of the process.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod common;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::{library, output};

/// Parameters that may be NULL: names of all functions' parameters, and `FUNCTION.PARAMETER`.
const OPTIONAL: &[&str] = &[
    "disabled",
    "free_user_data",
    "ironhouse_authenticator_explain.status",
    "ironhouse_authenticator_start.options",
    "ironhouse_socket_gssapi_client.principal",
    "ironhouse_socket_gssapi_server.principal",
    "ironhouse_trust_believe.revocations",
    "length",
    "not_after",
    "not_before",
    "user_data",
];

/// A function of the header's: its name, and its parameters with their types.
struct Function {
    name: String,
    parameters: Vec<[String; 2]>,
}

/// All that answer whether they succeeded.
fn functions() -> Vec<Function> {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/ironhouse.h");
    let text = fs::read_to_string(header).unwrap();
    let mut functions = Vec::new();
    for (at, start) in text.match_indices("\nironhouse_result_t ironhouse_") {
        let rest = &text[at + start.len()..];
        let (name, rest) = rest.split_once('(').unwrap();
        let (list, _) = rest.split_once(");").unwrap();
        let parameters = list.split(',').map(|parameter| {
            let end = parameter.rfind([' ', '*']).unwrap() + 1;
            let (of, name) = parameter.split_at(end);
            [of.trim(), name].map(str::to_owned)
        });
        functions.push(Function {
            name: format!("ironhouse_{name}"),
            parameters: parameters.collect(),
        });
    }
    functions
}

/// An argument that there is nothing wrong with, but that the whole may make no sense.
fn sound(of: &str, name: &str) -> String {
    let handle = of.trim_start_matches("const ").trim_end_matches(" *");
    match of {
        "const char *" if name == "verify_key" => "verify_key".into(),
        "const char *" if name.contains("key") => "key".into(),
        "const char *" if name.contains("address") => "\"192.0.2.7\"".into(),
        "const char *" => "\"any\"".into(),
        "size_t" if name.ends_with("_length") => "IRONHOUSE_NUL".into(),
        "size_t" if name == "count" => "1".into(),
        "size_t" => "sizeof room".into(),
        "void *" if name == "socket" => "zmq_socket(context, ZMQ_PULL)".into(),
        "void *" if name == "context" || name == "library" => "context".into(),
        "int" => "IRONHOUSE_REFUSE".into(),
        "const ironhouse_credential_t *" => "&credential".into(),
        "bool" | "int64_t" | "uint32_t" => "0".into(),
        "const ironhouse_store_t *const *" => "(const ironhouse_store_t *const *) &store".into(),
        "const ironhouse_api_t *" => "&api".into(),
        _ if of.ends_with(" **") => format!("({of}) &fresh"),
        _ if of.ends_with("_fn") => format!("({of}) nothing"),
        _ if [
            "authenticator",
            "certificate",
            "passwords",
            "policy",
            "signing_key",
            "store",
            "trust",
        ]
        .iter()
        .any(|known| handle == format!("ironhouse_{known}_t")) =>
        {
            handle["ironhouse_".len()..handle.len() - 2].into()
        }
        _ => format!("({of}) room"),
    }
}

fn program() -> String {
    let mut calls = String::new();
    for Function { name, parameters } in functions() {
        for (at, [of, parameter]) in parameters.iter().enumerate() {
            if !(of.ends_with('*') || of.ends_with("_fn")) {
                continue;
            }
            let arguments = parameters.iter().enumerate().map(|(other, [of, name])| {
                if other == at {
                    "NULL".to_owned()
                } else {
                    sound(of, name)
                }
            });
            let arguments: Vec<_> = arguments.collect();
            writeln!(calls, "  fresh = NULL;\n  memset(room, 0, sizeof room);").unwrap();
            writeln!(
                calls,
                "  say(\"{name}.{parameter}\", {name}({}));",
                arguments.join(", ")
            )
            .unwrap();
        }
    }
    format!(
        r#"#include "peer.h"

static void nothing(void) {{}}

static void say(const char *what, ironhouse_result_t result)
{{
  if (result != IRONHOUSE_OK)
    CHECK(ironhouse_last_error()[0]);
  printf("%s %d\n", what, result);
  fflush(stdout);
}}

int main(void)
{{
  struct world world;
  set_up(&world);
  void *context = world.context, *fresh = NULL;
  ironhouse_api_t api = world.api;
  char key[IRONHOUSE_KEY_SIZE], verify_key[IRONHOUSE_VERIFY_KEY_SIZE];
  static _Alignas(16) char room[65536];
  ironhouse_authenticator_t *authenticator = world.authenticator;
  ironhouse_certificate_t *certificate = new_keys(key);
  ironhouse_policy_t *policy = new_policy();
  ironhouse_store_t *store = NULL;
  ironhouse_passwords_t *passwords = NULL;
  ironhouse_signing_key_t *signing_key = NULL;
  ironhouse_trust_t *trust = NULL;
  OK(ironhouse_store_memory(&store));
  OK(ironhouse_passwords_memory(&passwords));
  OK(ironhouse_signing_key_new(&signing_key));
  OK(ironhouse_trust_new(&trust));
  OK(ironhouse_signing_key_verify_key(signing_key, verify_key));
  OK(ironhouse_certificate_set_meta(certificate, IRONHOUSE_TEXT("any"), IRONHOUSE_TEXT("value")));
  give_any(&world, "any");
  ironhouse_credential_t credential = {{.size = sizeof credential, .mechanism = "CURVE", .name = key, .name_length = IRONHOUSE_NUL}};
{calls}  return 0;
}}
"#
    )
}

#[test]
fn null_for_any_pointer_is_an_error_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("nulls.c");
    fs::write(&source, program()).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    output(
        Command::new("gcc")
            .args(["-std=c11", "-D_GNU_SOURCE", "-g", "-Wno-cast-function-type"])
            .arg("-I")
            .arg(root.join("include"))
            .arg("-I")
            .arg(root.join("tests/c"))
            .arg(&source)
            .arg("-o")
            .arg(folder.path().join("nulls"))
            .arg("-L")
            .arg(library().shared.parent().unwrap())
            .arg(format!("-Wl,-rpath,{}", library().installed.display()))
            .args(["-lironhouse_c", "-lzmq", "-lpthread"]),
    );
    let said = output(
        Command::new("timeout")
            .args(["--kill-after=5", "60"])
            .arg(folder.path().join("nulls"))
            .current_dir(folder.path()),
    );
    let mut count = 0;
    for line in said.lines() {
        let (what, result) = line.split_once(' ').unwrap();
        let (function, parameter) = what.split_once('.').unwrap();
        let optional = OPTIONAL.contains(&parameter) || OPTIONAL.contains(&what);
        // There is a reply in a callback only: another argument is at fault, too.
        let replies = function.starts_with("ironhouse_reply_") && parameter != "reply";
        if !optional && !replies {
            assert_eq!(result, "1", "{what}: IRONHOUSE_NULL_POINTER is wanted");
        } else if optional {
            assert_ne!(result, "1", "{what} may be NULL");
        }
        count += 1;
    }
    assert!(count > 150, "{count}");
}
