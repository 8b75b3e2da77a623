//! The device server in C++ and its client, as programs: built by make and by CMake from an installed prefix, and run.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod admin;
#[path = "../common/mod.rs"]
mod common;
mod programs;
mod readme;

use std::fs;

use admin::Raw;
use common::{cmake, copy_examples};
use programs::{Device, device, fresh, made_by, prefix};

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
    let mut device = device();
    device.valgrind = common::valgrind();
    device.run("make_keys", &["new", "Ada"]).well();
    events_by_the_key_of_a_protected_admin_connection(&device);
    unknown_certificate_is_refused(&device);
    key_over_plain_text_is_refused_unless_told_otherwise(&device);
}
