//! The text of `ironhouse.toml` as values, and what is wrong with them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::content::{Named, StorePlace};
use super::schema::{ConfigProblem, Section};
use crate::security::file::{Fault, Faults};
use crate::security::trust::Trust;

/// Mistakes reported one by one.
pub(super) const MAX_FAULTS: usize = 100;

/// Reads the values of tables, and notes each mistake with its line.
pub(super) struct Reader<'a> {
    base: &'a Path,
    /// Where each line begins.
    lines: Vec<usize>,
    /// Whom each store believes, and where that is said first.
    pub(super) stores: HashMap<StorePlace, (Option<Trust>, u32)>,
    /// Which store remembers in a file, and where that is said first.
    pub(super) memories: HashMap<PathBuf, (StorePlace, u32)>,
    faults: Faults,
}

/// A table of the file.
pub(super) struct Table<'t, 'i> {
    pub(super) entries: &'t DeTable<'i>,
    /// As it is called in messages.
    pub(super) name: String,
    /// Where it begins.
    pub(super) at: usize,
}

/// A value and where it stands.
pub(super) struct Value<'t, 'i> {
    pub(super) value: &'t DeValue<'i>,
    pub(super) key: &'static str,
    pub(super) at: usize,
    pub(super) key_at: usize,
}

impl<'t, 'i> Table<'t, 'i> {
    pub(super) fn get(&self, key: &'static str) -> Option<Value<'t, 'i>> {
        let (name, value) = self
            .entries
            .iter()
            .find(|(name, _)| name.get_ref().as_ref() == key)?;
        Some(Value {
            value: value.get_ref(),
            key,
            at: value.span().start,
            key_at: name.span().start,
        })
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &str, base: &'a Path) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            base,
            lines: std::iter::once(0)
                .chain(ends.map(|(at, _)| at + 1))
                .collect(),
            stores: HashMap::new(),
            memories: HashMap::new(),
            faults: Faults::new(MAX_FAULTS),
        }
    }

    /// The number of the line in which this byte stands.
    pub(super) fn line(&self, at: usize) -> u32 {
        let line = self.lines.partition_point(|start| *start <= at);
        u32::try_from(line).unwrap_or(u32::MAX)
    }

    pub(super) fn blame(&mut self, at: usize, problem: ConfigProblem) {
        self.blame_line(self.line(at), problem);
    }

    pub(super) fn blame_line(&mut self, line: u32, problem: ConfigProblem) {
        self.faults.push(Fault::new(Some(line), problem));
    }

    pub(super) fn finish<T>(self, content: T) -> Result<T, Vec<Fault>> {
        if self.faults.is_empty() {
            Ok(content)
        } else {
            Err(self.faults.finish())
        }
    }

    /// Reports the keys that mean nothing here.
    pub(super) fn known(&mut self, table: &Table<'_, '_>, section: &Section) {
        for (name, _) in table.entries {
            let key: &str = name.get_ref();
            if section.keys.iter().all(|known| known.name != key) {
                let problem = ConfigProblem::unknown(key, &table.name, section);
                self.blame(name.span().start, problem);
            }
        }
    }

    pub(super) fn table<'t, 'i>(
        &mut self,
        within: &Table<'t, 'i>,
        key: &'static str,
        name: &str,
    ) -> Option<Table<'t, 'i>> {
        let value = within.get(key)?;
        if let DeValue::Table(entries) = value.value {
            return Some(Table {
                entries,
                name: name.into(),
                at: value.key_at,
            });
        }
        self.wrong_type(key, "a table", value.at, value.value);
        None
    }

    pub(super) fn array<'t, 'i>(
        &mut self,
        table: &Table<'t, 'i>,
        key: &'static str,
        wanted: &'static str,
    ) -> &'t [Spanned<DeValue<'i>>] {
        match table.get(key) {
            Some(Value {
                value: DeValue::Array(values),
                ..
            }) => values,
            Some(value) => {
                self.wrong_type(key, wanted, value.at, value.value);
                &[]
            }
            None => &[],
        }
    }

    pub(super) fn string<'t>(
        &mut self,
        table: &Table<'t, '_>,
        key: &'static str,
        wanted: &'static str,
    ) -> Option<(&'t str, usize)> {
        let value = table.get(key)?;
        match value.value {
            DeValue::String(text) => Some((text, value.at)),
            other => {
                self.wrong_type(key, wanted, value.at, other);
                None
            }
        }
    }

    pub(super) fn path(
        &mut self,
        table: &Table<'_, '_>,
        key: &'static str,
    ) -> Option<Named<PathBuf>> {
        let (text, at) = self.string(table, key, "a path in quotes")?;
        if text.is_empty() || text.contains('\0') {
            let reason = "a path is not empty and holds no NUL";
            self.blame(at, ConfigProblem::value(key, reason));
            return None;
        }
        Some(Named {
            what: self.base.join(text),
            line: self.line(at),
        })
    }

    /// A whole number from 1 on.
    pub(super) fn number(
        &mut self,
        table: &Table<'_, '_>,
        key: &'static str,
        most: usize,
    ) -> Option<usize> {
        let value = table.get(key)?;
        let Some(number) = value.value.as_integer() else {
            self.wrong_type(key, "a whole number", value.at, value.value);
            return None;
        };
        let number = usize::from_str_radix(number.as_str(), number.radix()).ok();
        let number = number.filter(|number| (1..=most).contains(number));
        if number.is_none() {
            let reason = format!("takes a whole number from 1 to {most}");
            self.blame(value.at, ConfigProblem::value(key, reason));
        }
        number
    }

    pub(super) fn duration(
        &mut self,
        table: &Table<'_, '_>,
        key: &'static str,
        most: Duration,
    ) -> Option<Duration> {
        let wanted = "a duration in quotes, such as \"10 s\" or \"250 ms\"";
        let (text, at) = self.string(table, key, wanted)?;
        let reason = match humantime::parse_duration(text) {
            Ok(duration) if duration <= most => return Some(duration),
            Ok(_) => format!("more than {}", humantime::format_duration(most)),
            Err(error) => format!("takes {wanted}: {error}"),
        };
        self.blame(at, ConfigProblem::value(key, reason));
        None
    }

    pub(super) fn choice<T: Copy>(
        &mut self,
        table: &Table<'_, '_>,
        key: &'static str,
        wanted: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let (text, at) = self.string(table, key, wanted)?;
        let chosen = choices.iter().find(|(name, _)| *name == text);
        if chosen.is_none() {
            self.blame(at, ConfigProblem::value(key, format!("takes {wanted}")));
        }
        chosen.map(|(_, choice)| *choice)
    }

    pub(super) fn wrong_type(
        &mut self,
        key: &'static str,
        wanted: &'static str,
        at: usize,
        found: &DeValue<'_>,
    ) {
        let found = match found {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.blame(at, ConfigProblem::Type { key, wanted, found });
    }
}
