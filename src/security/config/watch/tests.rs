use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn what_is_named_before_and_after_a_change_stays_open() {
    let folder = tempfile::tempdir().unwrap();
    let passwords = folder.path().join("passwords");
    fs::write(&passwords, "ada=secret\n").unwrap();
    fs::set_permissions(&passwords, fs::Permissions::from_mode(0o600)).unwrap();
    let content = |text: &str| Content::parse(text, folder.path()).unwrap();
    let before = content(
        "[domain.a]\nplain = \"passwords\"\ncurve.stores = [{ directory = \"clients\" }, { keyfile = \"keys\" }]\n",
    );
    let after = content(
        "[domain.b]\nallow = [\"::1\"]\nplain = \"./passwords\"\ncurve.stores = [{ directory = \"clients\" }]\n\
             [fallback]\nplain = \"passwords\"\ncurve.stores = [{ keyfile = \"clients\" }]\n",
    );
    let open = |opened: &Opened, content: &Content| Opened {
        stores: opened.stores_with(content).unwrap(),
        ..opened.passwords_with(content).unwrap()
    };
    let first = open(&Opened::default(), &before);
    let second = open(&first, &after);
    let directory = (StorePlace::Directory(folder.path().join("clients")), false);
    assert!(Arc::ptr_eq(
        &first.stores[&directory].0,
        &second.stores[&directory].0
    ));
    assert!(Arc::ptr_eq(
        &first.passwords[&passwords],
        &second.passwords[&passwords]
    ));
    assert_eq!(
        (
            first.stores.len(),
            second.stores.len(),
            second.passwords.len()
        ),
        (2, 2, 1)
    );
}

#[test]
fn store_whose_trust_changes_stays_and_one_that_gains_or_loses_it_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let (anna, ben) = ("x".repeat(40), "y".repeat(40));
    let open = |before: &Opened, trust: &str| {
        let text = format!("[domain.a]\ncurve.stores = [{{ keyfile = \"keys\"{trust} }}]\n");
        let content = Content::parse(&text, folder.path()).unwrap();
        let opened = Opened {
            stores: before.stores_with(&content).unwrap(),
            ..Opened::default()
        };
        opened.believe_anew(before).unwrap();
        opened
    };
    let believing = |key: &str| format!(", trust = [{{ key = \"ed25519:{key}\" }}]");
    let store = |opened: &Opened| opened.stores.values().next().unwrap().0.clone();
    let first = open(&Opened::default(), &believing(&anna));
    let second = open(&first, &believing(&ben));
    assert!(Arc::ptr_eq(&store(&first), &store(&second)));
    let guard = Arc::clone(store(&second).guard.as_ref().unwrap());
    let wanted = format!("ed25519:{ben}").parse().unwrap();
    assert_eq!(*guard.wanted(), Trust::new([wanted]));
    let unsigned = open(&second, "");
    assert!(!Arc::ptr_eq(&store(&second), &store(&unsigned)));
    assert!(store(&unsigned).guard.is_none());
    let signed = open(&unsigned, &believing(&ben));
    assert!(store(&signed).guard.is_some());
}
