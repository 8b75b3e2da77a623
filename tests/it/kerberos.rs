//! A Kerberos realm of a test's own: its server, its users' tickets and its services' keys, all on this machine's loopback.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::common::{SOON, folder};

pub const REALM: &str = "IRONHOUSE.TEST";

/// A running server with the users `ada` and `bob`, and the service `house` on localhost; ended when dropped.
pub struct Realm {
    folder: TempDir,
    server: Child,
}

impl Realm {
    pub fn start() -> Self {
        let folder = folder();
        let at = folder.path();
        let text = format!(
            "[kdcdefaults]\n kdc_listen = \"\"\n kdc_tcp_listen = 127.0.0.1:0\n\
             [realms]\n {REALM} = {{\n  database_name = {0}/principal\n  key_stash_file = {0}/stash\n }}\n",
            at.display()
        );
        fs::write(at.join("kdc.conf"), text).unwrap();
        configure(at, None);
        run(command(at, "kdb5_util").args(["create", "-s", "-P", "master key", "-r", REALM]));
        for principal in ["ada", "bob", "house/localhost"] {
            run(command(at, "kadmin.local").args(["addprinc", "-randkey", principal]));
        }
        let server = command(at, "krb5kdc")
            .arg("-n")
            .stdout(Stdio::null())
            .stderr(fs::File::create(at.join("kdc.err")).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("krb5kdc: {error}: install krb5-kdc"));
        let mut realm = Self { folder, server };
        let port = realm.port();
        configure(realm.folder.path(), Some(port));
        realm
    }

    /// The port that the system gave the server, once it listens.
    fn port(&mut self) -> u16 {
        let start = Instant::now();
        loop {
            if let Some(port) = listening_port(self.server.id()) {
                return port;
            }
            let said = || fs::read_to_string(self.folder.path().join("kdc.err"));
            if let Some(status) = self.server.try_wait().unwrap() {
                panic!("krb5kdc ended with {status}: {:?}", said());
            }
            assert!(start.elapsed() < 2 * SOON, "krb5kdc is deaf: {:?}", said());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Has `process` use this realm, with tickets of these users, the last of them by default, and a keytab with the keys of these
    /// principals.
    pub fn equip(&self, process: &mut Command, tickets: &[&str], keys: &[&str]) {
        let at = self.folder.path();
        let cache = at.join("tickets");
        fs::create_dir(&cache).unwrap();
        let cache = format!("DIR:{}", cache.display());
        for user in tickets {
            let keytab = self.keytab("client-keys", &[user]);
            let mut kinit = command(at, "kinit");
            run(kinit
                .env("KRB5CCNAME", &cache)
                .args(["-k", "-t"])
                .arg(keytab)
                .arg(user));
        }
        process
            .env("KRB5_CONFIG", at.join("krb5.conf"))
            .env("KRB5CCNAME", cache)
            .env("KRB5_KTNAME", self.keytab("keys", keys))
            .env("KRB5_CLIENT_KTNAME", at.join("none"))
            .env("KRB5RCACHEDIR", at);
    }

    /// A file with the keys of these principals, and those that it has; none without any.
    fn keytab(&self, name: &str, principals: &[&str]) -> PathBuf {
        let (at, path) = (self.folder.path(), self.folder.path().join(name));
        if !principals.is_empty() {
            let mut kadmin = command(at, "kadmin.local");
            run(kadmin
                .args(["ktadd", "-norandkey", "-k"])
                .arg(&path)
                .args(principals));
        }
        path
    }
}

impl Drop for Realm {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Nothing of this machine's own Kerberos, nor of the network.
fn configure(folder: &Path, port: Option<u16>) {
    let kdc = port.map_or(String::new(), |port| format!("kdc = 127.0.0.1:{port}"));
    let text = format!(
        "[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n \
         dns_canonicalize_hostname = false\n rdns = false\n qualify_shortname = \"\"\n udp_preference_limit = 1\n\
         [realms]\n {REALM} = {{\n  {kdc}\n }}\n[logging]\n kdc = FILE:{}/kdc.log\n",
        folder.display()
    );
    fs::write(folder.join("krb5.conf"), text).unwrap();
}

/// The port of 127.0.0.1 that a process listens on.
fn listening_port(process: u32) -> Option<u16> {
    let files = fs::read_dir(format!("/proc/{process}/fd")).ok()?;
    let sockets: Vec<_> = files
        .filter_map(|file| {
            let file = fs::read_link(file.ok()?.path()).ok()?;
            let inode = file.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    let table = BufReader::new(fs::File::open(format!("/proc/{process}/net/tcp")).ok()?);
    // Sockets that listen come first, and there may be many others.
    for line in table.lines().skip(1).map_while(Result::ok) {
        let columns: Vec<_> = line.split_whitespace().collect();
        let [_, local, _, "0A", _, _, _, _, _, inode, ..] = columns[..] else {
            break;
        };
        if let Some(port) = local.strip_prefix("0100007F:") {
            if sockets.iter().any(|socket| socket == inode) {
                return u16::from_str_radix(port, 16).ok();
            }
        }
    }
    None
}

/// A program of Kerberos, with the configuration in `folder`.
fn command(folder: &Path, program: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command
        // Debian has the server's programs where only root looks.
        .env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin"))
        .env("KRB5_CONFIG", folder.join("krb5.conf"))
        .env("KRB5_KDC_PROFILE", folder.join("kdc.conf"))
        .stdin(Stdio::null());
    command
}

#[track_caller]
fn run(command: &mut Command) {
    let hint = "install krb5-kdc, krb5-admin-server and krb5-user";
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}: {hint}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}: {errors}",
        output.status
    );
}
