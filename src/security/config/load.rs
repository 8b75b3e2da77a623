//! The text of `ironhouse.toml` as what it means; every mistake in it with its line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::content::{Content, Gssapi, Named, Rules, Settings};
use super::reader::{Reader, Table, Value};
use super::schema::{self, ConfigProblem};
use crate::security::address::AddressRule;
use crate::security::authenticator::is_domain;
use crate::security::file::Fault;
use crate::security::policy::{Refusal, Rule};
use crate::security::revoke::RevocationScope;

/// Longest deadline of a decision: libzmq's default for a whole handshake is 30 s.
const MAX_DEADLINE: Duration = Duration::from_secs(3600);
/// Beyond, dates in certificates would mean little.
const MAX_SKEW: Duration = Duration::from_secs(24 * 3600);
/// Most threads for callbacks.
const MAX_THREADS: usize = 1024;

impl Content {
    /// Reads the file's text; paths in it are relative to `base`.
    ///
    /// # Errors
    /// All that is wrong, in the order of the lines.
    pub(crate) fn parse(text: &str, base: &Path) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader::new(text, base);
        if !text.is_empty() && !text.ends_with('\n') {
            reader.blame(text.len(), ConfigProblem::Cut);
        }
        let content = match DeTable::parse(text) {
            Ok(file) => reader.file(file.get_ref()),
            Err(error) => {
                let at = error.span().map_or(text.len(), |span| span.start);
                let reason = error.message().lines().collect::<Vec<_>>().join(", ");
                reader.blame(at, ConfigProblem::Syntax(reason));
                Self::default()
            }
        };
        reader.finish(content)
    }
}

impl Reader<'_> {
    fn file(&mut self, entries: &DeTable<'_>) -> Content {
        let file = Table {
            entries,
            name: "the file".into(),
            at: 0,
        };
        self.known(&file, &schema::FILE);
        let mut content = Content::default();
        if let Some(table) = self.table(&file, "authenticator", "[authenticator]") {
            content.settings = self.settings(&table);
        }
        if let Some(table) = self.table(&file, "limits", "[limits]") {
            let line = self.line(table.at);
            content.settings.lines.insert("limits", line);
            content.settings.limits = self.limits(&table);
        }
        if let Some(table) = self.table(&file, "audit", "[audit]") {
            content.audit = self.audit(&table);
        }
        if let Some(table) = self.table(&file, "fallback", "[fallback]") {
            content.fallback = Some(self.rules(&table));
        }
        let domains = self.table(&file, "domain", "[domain]");
        for (name, value) in domains.iter().flat_map(|table| table.entries) {
            let shown: &str = name.get_ref();
            // Who is asked for a domain that was cut off would answer by the fallback.
            let fallback = file.get("fallback").map(|value| value.key_at);
            if fallback.is_some_and(|at| at < name.span().start) {
                let problem = ConfigProblem::order(&format!("[domain.{shown}]"), "[fallback]");
                self.blame(name.span().start, problem);
            }
            if !is_domain(shown) {
                self.blame(name.span().start, ConfigProblem::Domain(shown.into()));
                continue;
            }
            match value.get_ref() {
                DeValue::Table(entries) => {
                    let table = Table {
                        entries,
                        name: format!("[domain.{shown}]"),
                        at: name.span().start,
                    };
                    let rules = self.rules(&table);
                    content.domains.insert(shown.into(), rules);
                }
                other => self.wrong_type(
                    "domain",
                    "a table for each domain",
                    name.span().start,
                    other,
                ),
            }
        }
        // A table that is there and wrong has been reported.
        if domains.is_none_or(|table| table.entries.is_empty())
            && file.get("fallback").is_none()
            && file
                .get("domain")
                .is_none_or(|value| value.value.is_table())
        {
            self.blame(0, ConfigProblem::Empty);
        }
        content
    }

    fn settings(&mut self, table: &Table<'_, '_>) -> Settings {
        self.known(table, &schema::AUTHENTICATOR);
        let mut settings = Settings::default();
        for key in schema::AUTHENTICATOR.keys {
            if let Some(value) = table.get(key.name) {
                settings.lines.insert(key.name, self.line(value.at));
            }
        }
        if let Some(deadline) = self.duration(table, "deadline", MAX_DEADLINE) {
            if deadline.is_zero() {
                let at = table.get("deadline").map_or(table.at, |value| value.at);
                let reason = "0 would refuse everybody: give 1 ms at least";
                self.blame(at, ConfigProblem::value("deadline", reason));
            }
            settings.deadline = deadline;
        }
        if let Some(skew) = self.duration(table, "clock-skew", MAX_SKEW) {
            settings.skew = skew;
        }
        if let Some(threads) = self.number(table, "callback-threads", MAX_THREADS) {
            settings.threads = threads;
        }
        let scopes = [
            ("address", RevocationScope::Address),
            ("exact", RevocationScope::Exact),
            ("socket", RevocationScope::Socket),
        ];
        if let Some(scope) = self.choice(
            table,
            "revocation",
            "\"address\", \"exact\" or \"socket\"",
            &scopes,
        ) {
            settings.scope = scope;
        }
        settings
    }

    fn audit(&mut self, table: &Table<'_, '_>) -> Option<Named<PathBuf>> {
        self.known(table, &schema::AUDIT);
        if table.get("file").is_none() {
            let reason =
                "give the path of the file that audit events are written to, or leave out [audit]";
            self.blame(table.at, ConfigProblem::value("file", reason));
        }
        self.path(table, "file")
    }

    fn gssapi(&mut self, table: &Table<'_, '_>) -> Option<Gssapi> {
        let wanted = "\"any\", or an array of principals such as \"ada@EXAMPLE.ORG\"";
        let value = table.get("gssapi")?;
        let DeValue::Array(array) = value.value else {
            match value.value {
                DeValue::String(text) if text == "any" => return Some(Gssapi::Any),
                DeValue::String(_) => {
                    self.blame(
                        value.at,
                        ConfigProblem::value("gssapi", format!("takes {wanted}")),
                    );
                }
                other => self.wrong_type("gssapi", wanted, value.at, other),
            }
            return None;
        };
        let mut principals = Vec::new();
        for value in array {
            match value.get_ref() {
                DeValue::String(text) if !text.is_empty() => principals.push(text.to_string()),
                DeValue::String(_) => self.blame(
                    value.span().start,
                    ConfigProblem::value("gssapi", "a principal is not empty"),
                ),
                other => self.wrong_type("gssapi", wanted, value.span().start, other),
            }
        }
        if array.is_empty() {
            let reason = "an empty list admits nobody: leave it out to say so";
            self.blame(value.at, ConfigProblem::value("gssapi", reason));
        }
        Some(Gssapi::Principals(principals))
    }

    fn rules(&mut self, table: &Table<'_, '_>) -> Rules {
        self.known(table, &schema::POLICY);
        let mut rules = Rules {
            allow: self.addresses(table, "allow"),
            deny: self.addresses(table, "deny"),
            ..Rules::default()
        };
        if let Some(value) = table.get("allow").filter(|_| rules.allow.is_empty()) {
            if value.value.as_array().is_some_and(|array| array.is_empty()) {
                let reason = "an empty list would admit every address: leave it out to say so";
                self.blame(value.at, ConfigProblem::value("allow", reason));
            }
        }
        if let Some(value) = table.get("null") {
            match value.value.as_bool() {
                Some(null) => rules.null = null,
                None => self.wrong_type("null", "true or false", value.at, value.value),
            }
        }
        rules.plain = self.path(table, "plain");
        rules.curve = self.curve(table);
        rules.gssapi = self.gssapi(table);
        rules.refusals = self.refusals(table);
        self.order(table);
        let doors = ["plain", "curve", "gssapi"]
            .iter()
            .any(|key| table.get(key).is_some());
        if !rules.null && !doors {
            let table_name = table.name.clone();
            self.blame(table.at, ConfigProblem::NoMechanism { table: table_name });
        }
        rules
    }

    /// Of a file that is cut off the beginning remains. So what narrows a door must stand before it: then every beginning of a good
    /// file admits nobody whom the whole refuses.
    fn order(&mut self, table: &Table<'_, '_>) {
        let mechanisms = ["null", "plain", "curve", "gssapi"]
            .into_iter()
            .filter_map(|key| table.get(key));
        let Some(first) = mechanisms.min_by_key(|value| value.key_at) else {
            return;
        };
        for rule in ["allow", "deny"] {
            if let Some(value) = table.get(rule).filter(|value| value.key_at > first.key_at) {
                let problem = ConfigProblem::order(rule, first.key);
                self.blame(value.key_at, problem);
            }
        }
    }

    fn addresses(&mut self, table: &Table<'_, '_>, key: &'static str) -> Vec<AddressRule> {
        let wanted = "an array of strings such as \"10.0.0.0/8\" or \"uid:1000\"";
        let mut rules = Vec::new();
        for value in self.array(table, key, wanted) {
            match value.get_ref() {
                DeValue::String(text) => match text.parse::<AddressRule>() {
                    Ok(rule) => rules.push(rule),
                    Err(error) => {
                        self.blame(
                            value.span().start,
                            ConfigProblem::value(key, error.to_string()),
                        );
                    }
                },
                other => self.wrong_type(key, wanted, value.span().start, other),
            }
        }
        rules
    }

    fn refusals(&mut self, table: &Table<'_, '_>) -> Vec<(Rule, Refusal)> {
        let kinds = [("final", Refusal::Final), ("retry", Refusal::Retry)];
        let wanted = "\"final\" or \"retry\"";
        let rules = [
            ("deny-list", Rule::DenyList),
            ("allow-list", Rule::AllowList),
            ("mechanism", Rule::Mechanism),
            ("lock-out", Rule::LockOut),
            ("credential", Rule::Credential),
        ];
        match table.get("refusal") {
            Some(Value {
                value: DeValue::Table(entries),
                at,
                ..
            }) => {
                let name = format!("the `refusal` of {}", table.name);
                let by_rule = Table { entries, name, at };
                self.known(&by_rule, &schema::REFUSAL);
                rules
                    .into_iter()
                    .filter_map(|(key, rule)| {
                        Some((rule, self.choice(&by_rule, key, wanted, &kinds)?))
                    })
                    .collect()
            }
            Some(Value {
                value:
                    other @ (DeValue::Integer(_)
                    | DeValue::Boolean(_)
                    | DeValue::Array(_)
                    | DeValue::Float(_)
                    | DeValue::Datetime(_)),
                at,
                ..
            }) => {
                let wanted = "\"final\", \"retry\", or a table of these by rule";
                self.wrong_type("refusal", wanted, at, other);
                Vec::new()
            }
            _ => self
                .choice(table, "refusal", wanted, &kinds)
                .map(|refusal| {
                    let rules = rules.into_iter().map(|(_, rule)| (rule, refusal));
                    // As for `Policy::refusal`: a lock-out passes.
                    rules.filter(|(rule, _)| *rule != Rule::LockOut).collect()
                })
                .unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;
