//! `curve`: the stores whose certificates admit, and whom the signed ones believe.

use toml::de::DeValue;

use super::content::{Curve, Named, Store, StorePlace};
use super::reader::{Reader, Table};
use super::schema::{self, ConfigProblem};
use crate::security::signing::VerifyKey;
use crate::security::trust::Trust;

impl Reader<'_> {
    pub(super) fn curve(&mut self, table: &Table<'_, '_>) -> Option<Curve> {
        let value = table.get("curve")?;
        let wanted = "\"any\", or a table with `stores`";
        match value.value {
            DeValue::String(text) if text == "any" => Some(Curve::Any),
            DeValue::String(_) => {
                let reason = format!("takes {wanted}");
                self.blame(value.at, ConfigProblem::value("curve", reason));
                None
            }
            DeValue::Table(entries) => {
                let curve = Table {
                    entries,
                    name: format!("the `curve` of {}", table.name),
                    at: value.key_at,
                };
                self.known(&curve, &schema::CURVE);
                Some(Curve::Stores(self.stores(&curve)))
            }
            other => {
                self.wrong_type("curve", wanted, value.at, other);
                None
            }
        }
    }

    fn stores(&mut self, curve: &Table<'_, '_>) -> Vec<Named<Store>> {
        let wanted =
            "an array of tables such as { directory = \"clients\" } or { keyfile = \"keys\" }";
        let mut stores = Vec::new();
        let found = self.array(curve, "stores", wanted);
        if found.is_empty() {
            let at = curve.get("stores").map_or(curve.at, |value| value.at);
            if curve
                .get("stores")
                .is_none_or(|value| value.value.is_array())
            {
                let reason = format!("takes {wanted}, one at least");
                self.blame(at, ConfigProblem::value("stores", reason));
            }
        }
        for value in found {
            let at = value.span().start;
            let DeValue::Table(entries) = value.get_ref() else {
                self.wrong_type("stores", wanted, at, value.get_ref());
                continue;
            };
            let name = format!("a store of {}", curve.name);
            let store = Table { entries, name, at };
            self.known(&store, &schema::STORE);
            let directory = self.path(&store, "directory");
            let keyfile = self.path(&store, "keyfile");
            let place = match (store.get("directory"), store.get("keyfile")) {
                (Some(_), None) => directory.map(|it| it.map(StorePlace::Directory)),
                (None, Some(_)) => keyfile.map(|it| it.map(StorePlace::Keyfile)),
                _ => {
                    let reason = "a store is either a `directory` or a `keyfile`: give one of them";
                    self.blame(at, ConfigProblem::value("stores", reason));
                    None
                }
            };
            let trust = self.trust(&store);
            if let Some(Named { what: place, line }) = place {
                self.trust_order(&store, place.key());
                self.agree(&place, trust.as_ref(), line);
                let what = Store { place, trust };
                stores.push(Named { what, line });
            }
        }
        stores
    }

    /// Whom a store believes; `None` for one that is not signed.
    fn trust(&mut self, store: &Table<'_, '_>) -> Option<Named<Trust>> {
        let wanted =
            "an array of tables such as { key = \"ed25519:…\", revocations = \"anna.revoked\" }";
        let remember = self.path(store, "remember");
        let Some(value) = store.get("trust") else {
            if let Some(Named { line, .. }) = remember {
                let reason = "only a signed store remembers: give `trust` too";
                self.blame_line(line, ConfigProblem::value("remember", reason));
            }
            return None;
        };
        let found = self.array(store, "trust", wanted);
        if found.is_empty() && value.value.is_array() {
            let reason = format!(
                "takes {wanted}, one at least: nobody is admitted by a store that trusts nobody"
            );
            self.blame(value.at, ConfigProblem::value("trust", reason));
        }
        let mut trust = Trust::default();
        for value in found {
            let at = value.span().start;
            let DeValue::Table(entries) = value.get_ref() else {
                self.wrong_type("trust", wanted, at, value.get_ref());
                continue;
            };
            let name = format!("the `trust` of {}", store.name);
            let table = Table { entries, name, at };
            self.known(&table, &schema::TRUST);
            let list = self.path(&table, "revocations");
            let Some(key) = self.verify_key(&table) else {
                continue;
            };
            if trust.administrators().any(|known| *known == key) {
                let reason = format!("{key} stands here twice: remove one");
                self.blame(at, ConfigProblem::value("trust", reason));
            }
            trust = match list {
                Some(list) => trust.revocations(key, list.what),
                None => trust.believe(key),
            };
        }
        if let Some(remember) = remember {
            trust = trust.remember(remember.what);
        }
        let line = self.line(value.at);
        Some(Named { what: trust, line })
    }

    fn verify_key(&mut self, table: &Table<'_, '_>) -> Option<VerifyKey> {
        let wanted = "an administrator's verify key in quotes: `ed25519:` and 40 characters";
        if table.get("key").is_none() {
            let problem = ConfigProblem::value("key", format!("give {wanted}"));
            self.blame(table.at, problem);
        }
        let (text, at) = self.string(table, "key", wanted)?;
        match VerifyKey::parse(text) {
            Ok(key) => Some(key),
            Err(problem) => {
                self.blame(at, ConfigProblem::value("key", problem.to_string()));
                None
            }
        }
    }

    /// A store must not stand there without whom it believes when the file is cut off. Lines are whole, or missing.
    fn trust_order(&mut self, store: &Table<'_, '_>, place: &'static str) {
        let Some(door) = store.get(place).map(|value| self.line(value.key_at)) else {
            return;
        };
        for key in ["trust", "remember"] {
            let value = store.get(key);
            if let Some(value) = value.filter(|value| self.line(value.key_at) > door) {
                self.blame(value.key_at, ConfigProblem::order(key, place));
            }
        }
    }

    /// A store believes the same wherever it is named, and shares its memory with no other.
    fn agree(&mut self, place: &StorePlace, trust: Option<&Named<Trust>>, line: u32) {
        let trust = trust.map(|trust| &trust.what);
        match self.stores.get(place) {
            Some((known, first)) if known.as_ref() != trust => {
                let reason = format!(
                    "line {first} has {} with another `trust` or `remember`: a store has one, so write the same in both places",
                    place.path().display()
                );
                self.blame_line(line, ConfigProblem::value(place.key(), reason));
            }
            Some(_) => {}
            None => drop(self.stores.insert(place.clone(), (trust.cloned(), line))),
        }
        let Some(memory) = trust.and_then(Trust::memory) else {
            return;
        };
        match self.memories.get(memory) {
            Some((known, first)) if known != place => {
                let reason = format!(
                    "line {first} gives {} to another store: each needs a file of its own",
                    memory.display()
                );
                self.blame_line(line, ConfigProblem::value("remember", reason));
            }
            _ => drop(self.memories.insert(memory.into(), (place.clone(), line))),
        }
    }
}
