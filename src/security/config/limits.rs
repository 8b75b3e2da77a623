//! `[limits]` and `[limits.lockout]`.

use toml::de::DeValue;

use super::reader::{Reader, Table, Value};
use super::schema::{self, ConfigProblem};
use crate::security::limits::Limits;
use crate::security::lockout::{CAPACITIES, HALF_LIVES, Lockout};
use crate::security::slots::MOST;

impl Reader<'_> {
    pub(super) fn limits(&mut self, table: &Table<'_, '_>) -> Limits {
        self.known(table, &schema::LIMITS);
        let presets = [
            ("off", Limits::off()),
            ("standard", Limits::standard()),
            ("behind-nat", Limits::behind_nat()),
        ];
        let wanted = "\"off\", \"standard\" or \"behind-nat\"";
        let preset = self.choice(table, "preset", wanted, &presets);
        let mut limits = preset.unwrap_or_default();
        type Set = fn(Limits, usize) -> Limits;
        let numbers: [(&'static str, Set); 7] = [
            ("connections", |it, most| it.connections(most)),
            ("connections-per-address", |it, most| {
                it.connections_per_address(most)
            }),
            ("half-open", |it, most| it.half_open(most)),
            ("half-open-per-address", |it, most| {
                it.half_open_per_address(most)
            }),
            ("requests", |it, most| it.requests(most)),
            ("requests-per-address", |it, most| {
                it.requests_per_address(most)
            }),
            ("threads-per-address", |it, most| {
                it.threads_per_address(most)
            }),
        ];
        for (key, set) in numbers {
            if let Some(most) = self.number(table, key, 1_000_000_000) {
                limits = set(limits, most);
            }
        }
        if let Some(bits) = self.number(table, "ipv4-prefix", 32) {
            limits = limits.ipv4_prefix(u8::try_from(bits).unwrap_or(32));
        }
        if let Some(bits) = self.number(table, "ipv6-prefix", 128) {
            limits = limits.ipv6_prefix(u8::try_from(bits).unwrap_or(128));
        }
        match table.get("lockout") {
            Some(Value {
                value: DeValue::Table(entries),
                at,
                ..
            }) => {
                let name = "[limits.lockout]".into();
                let lockout = self.lockout(&Table { entries, name, at });
                limits = limits.lockout(lockout);
            }
            Some(Value {
                value: DeValue::Boolean(false),
                ..
            }) => limits = limits.lockout(None),
            Some(value) => self.wrong_type("lockout", "false or a table", value.at, value.value),
            None => {}
        }
        if let Err(error) = limits.check() {
            self.blame(table.at, ConfigProblem::value("limits", error.to_string()));
        }
        limits
    }

    fn lockout(&mut self, table: &Table<'_, '_>) -> Lockout {
        self.known(table, &schema::LOCKOUT);
        let mut lockout = Lockout::standard();
        type Set = fn(Lockout, Option<u32>) -> Lockout;
        let counts: [(&'static str, Set); 2] = [
            ("by-address", |it, most| it.by_address(most)),
            ("by-credential", |it, most| it.by_credential(most)),
        ];
        for (key, set) in counts {
            if table
                .get(key)
                .is_some_and(|value| value.value.as_bool() == Some(false))
            {
                lockout = set(lockout, None);
            } else if let Some(most) = self.number(table, key, MOST as usize) {
                lockout = set(lockout, u32::try_from(most).ok());
            }
        }
        if let Some(half_life) = self.duration(table, "half-life", *HALF_LIVES.end()) {
            lockout = lockout.half_life(half_life);
        }
        if let Some(subjects) = self.number(table, "capacity", *CAPACITIES.end()) {
            lockout = lockout.capacity(subjects);
        }
        lockout
    }
}
