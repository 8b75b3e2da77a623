//! What `ironhouse.toml` may hold: the keys of its tables, and what is said of a file that holds something else.

use std::fmt;

/// A key of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// What it takes, as the reference names it.
    #[cfg_attr(not(test), allow(dead_code))]
    pub(crate) kind: &'static str,
    /// Its default as TOML; empty where there is none.
    #[cfg_attr(not(test), allow(dead_code))]
    pub(crate) default: &'static str,
}

/// A table.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its heading in the reference.
    pub(crate) title: &'static str,
    pub(crate) keys: &'static [Key],
}

const fn key(name: &'static str, kind: &'static str, default: &'static str) -> Key {
    Key {
        name,
        kind,
        default,
    }
}

pub(crate) const FILE: Section = Section {
    title: "the file",
    keys: &[
        key("authenticator", "table", ""),
        key("limits", "table", ""),
        key("audit", "table", ""),
        key("fallback", "table", ""),
        key("domain", "tables", ""),
    ],
};

pub(crate) const AUTHENTICATOR: Section = Section {
    title: "[authenticator]",
    keys: &[
        key("deadline", "duration", "\"10s\""),
        key("callback-threads", "integer", "32"),
        key("clock-skew", "duration", "\"60s\""),
        key("revocation", "string", "\"address\""),
    ],
};

pub(crate) const LIMITS: Section = Section {
    title: "[limits]",
    keys: &[
        key("preset", "string", "\"off\""),
        key("connections", "integer", ""),
        key("connections-per-address", "integer", ""),
        key("half-open", "integer", ""),
        key("half-open-per-address", "integer", ""),
        key("requests", "integer", "10000"),
        key("requests-per-address", "integer", ""),
        key("threads-per-address", "integer", ""),
        key("ipv4-prefix", "integer", "32"),
        key("ipv6-prefix", "integer", "64"),
        key("lockout", "false or table", "false"),
    ],
};

pub(crate) const LOCKOUT: Section = Section {
    title: "[limits.lockout]",
    keys: &[
        key("by-address", "integer or false", "20"),
        key("by-credential", "integer or false", "10"),
        key("half-life", "duration", "\"10m\""),
        key("capacity", "integer", "1048576"),
    ],
};

pub(crate) const AUDIT: Section = Section {
    title: "[audit]",
    keys: &[key("file", "path", "")],
};

pub(crate) const POLICY: Section = Section {
    title: "[domain.NAME] and [fallback]",
    keys: &[
        key("allow", "array of strings", ""),
        key("deny", "array of strings", "[]"),
        key("null", "boolean", "false"),
        key("plain", "path", ""),
        key("curve", "\"any\" or table", ""),
        key("gssapi", "\"any\" or array of strings", ""),
        key("refusal", "string or table", "\"final\""),
    ],
};

pub(crate) const CURVE: Section = Section {
    title: "[domain.NAME.curve]",
    keys: &[key("stores", "array of tables", "")],
};

pub(crate) const STORE: Section = Section {
    title: "[[domain.NAME.curve.stores]]",
    keys: &[
        key("trust", "array of tables", ""),
        key("remember", "path", ""),
        key("directory", "path", ""),
        key("keyfile", "path", ""),
    ],
};

pub(crate) const TRUST: Section = Section {
    title: "trust of [[domain.NAME.curve.stores]]",
    keys: &[key("key", "string", ""), key("revocations", "path", "")],
};

pub(crate) const REFUSAL: Section = Section {
    title: "[domain.NAME.refusal]",
    keys: &[
        key("deny-list", "string", "\"final\""),
        key("allow-list", "string", "\"final\""),
        key("mechanism", "string", "\"final\""),
        key("lock-out", "string", "\"retry\""),
        key("credential", "string", "\"final\""),
    ],
};

/// All tables.
pub(crate) const SECTIONS: [&Section; 10] = [
    &FILE,
    &AUTHENTICATOR,
    &LIMITS,
    &LOCKOUT,
    &AUDIT,
    &POLICY,
    &CURVE,
    &STORE,
    &TRUST,
    &REFUSAL,
];

/// Why `ironhouse.toml` cannot be used, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigProblem {
    /// Breaks the syntax of TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// The last line does not end.
    #[error(
        "the last line does not end, so the file may have been cut off: end it, and write files beside and rename them"
    )]
    Cut,
    /// No domain and no fallback.
    #[error(
        "neither a table `[domain.NAME]` nor `[fallback]`: an empty file counts as cut off, not as one that refuses everybody"
    )]
    Empty,
    /// A key that means nothing here.
    #[error("unknown key {} in {table}{hint}", Shown(.key))]
    UnknownKey {
        /// The key.
        key: String,
        /// The table that holds it.
        table: String,
        /// The key that was meant, or where it belongs, or what the table takes.
        hint: String,
    },
    /// A value of another type.
    #[error("`{key}` takes {wanted}, and here is {found}")]
    Type {
        /// The key.
        key: &'static str,
        /// What it takes.
        wanted: &'static str,
        /// The type found.
        found: &'static str,
    },
    /// A value that cannot be meant.
    #[error("`{key}`: {reason}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong, and what the value may be.
        reason: String,
    },
    /// A policy that admits nobody.
    #[error(
        "{table} takes no mechanism: give `null = true`, `plain`, `curve` or `gssapi`; to shut a domain, remove its table"
    )]
    NoMechanism {
        /// The table.
        table: String,
    },
    /// What narrows a door stands behind it.
    #[error("{} stands behind {}: write rules on addresses before the mechanisms, whom a store trusts before the store, and domains before the fallback, so that a file that is cut off admits nobody whom the whole one refuses", Shown(.narrows), Shown(.door))]
    Order {
        /// Rules on addresses, whom a store trusts, or a domain.
        narrows: String,
        /// The mechanism, the store or the fallback before it.
        door: String,
    },
    /// A domain name that ZAP cannot carry.
    #[error("{} cannot be a ZAP domain: it takes 1 to 255 ASCII characters, without control characters", Shown(.0))]
    Domain(String),
    /// A setting that cannot change while the authenticator runs.
    #[error(
        "`{key}` cannot change while the authenticator runs: restart the program for it; all else of the file is in force"
    )]
    NeedsRestart {
        /// The key.
        key: &'static str,
    },
}

/// A name from the file: quoted, without control characters, and no longer than a line.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 64;
        match self.0.char_indices().nth(MOST) {
            Some((end, _)) => write!(f, "{:?}…", self.0.get(..end).unwrap_or_default()),
            None => write!(f, "{:?}", self.0),
        }
    }
}

impl ConfigProblem {
    /// A key that `section`, here named `table`, does not take.
    pub(crate) fn unknown(key: &str, table: &str, section: &Section) -> Self {
        let names = || section.keys.iter().map(|key| key.name);
        let elsewhere = SECTIONS.iter().find(|section| {
            section
                .keys
                .iter()
                .any(|known| known.name == normal(key).as_str())
        });
        let hint = if let Some(meant) = nearest(key, names()) {
            format!(": did you mean `{meant}`?")
        } else if let Some(section) = elsewhere {
            format!(": it belongs to {}", section.title)
        } else {
            let names: Vec<_> = names().map(|name| format!("`{name}`")).collect();
            format!(": it takes {}", names.join(", "))
        };
        Self::UnknownKey {
            key: key.into(),
            table: table.into(),
            hint,
        }
    }

    pub(crate) fn order(narrows: &str, door: &str) -> Self {
        Self::Order {
            narrows: narrows.into(),
            door: door.into(),
        }
    }

    pub(crate) fn value(key: &'static str, reason: impl Into<String>) -> Self {
        Self::Value {
            key,
            reason: reason.into(),
        }
    }
}

/// A key in the way this file writes them.
fn normal(key: &str) -> String {
    key.chars()
        .take(64)
        .map(|c| {
            if c == '_' {
                '-'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

/// The name that was most likely meant: two slips away at most, and fewer than half its letters.
fn nearest(key: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let key = normal(key);
    names
        .map(|name| (distance(&key, name), name))
        .filter(|(slips, name)| *slips <= 2 && 2 * slips < name.len())
        .min()
        .map(|(_, name)| name)
}

/// Letters to be added, removed or changed to make one text of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (above, a) in (1..).zip(one.chars()) {
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), above);
        let mut left = above;
        for (cell, b) in row.iter_mut().skip(1).zip(other.chars()) {
            let cost = (diagonal + usize::from(a != b))
                .min(*cell + 1)
                .min(left + 1);
            diagonal = std::mem::replace(cell, cost);
            left = cost;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slip_in_a_key_is_named_with_the_key_that_was_meant() {
        let said = |key, section| ConfigProblem::unknown(key, "[x]", section).to_string();
        for (key, section, wanted) in [
            (
                "alow",
                &POLICY,
                "unknown key \"alow\" in [x]: did you mean `allow`?",
            ),
            (
                "Deny_",
                &POLICY,
                "unknown key \"Deny_\" in [x]: did you mean `deny`?",
            ),
            (
                "clock_skew",
                &AUTHENTICATOR,
                "unknown key \"clock_skew\" in [x]: did you mean `clock-skew`?",
            ),
            (
                "deadline",
                &POLICY,
                "unknown key \"deadline\" in [x]: it belongs to [authenticator]",
            ),
            (
                "a\nb",
                &CURVE,
                "unknown key \"a\\nb\" in [x]: it takes `stores`",
            ),
        ] {
            assert_eq!(said(key, section), wanted);
        }
        let long = "x".repeat(100_000);
        assert!(said(&long, &CURVE).len() < 200);
    }

    #[test]
    fn distance_counts_slips() {
        for (one, other, slips) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("allow", "alow", 1),
            ("kitten", "sitting", 3),
            ("deny", "dney", 2),
        ] {
            assert_eq!(distance(one, other), slips, "{one} {other}");
        }
    }
}
