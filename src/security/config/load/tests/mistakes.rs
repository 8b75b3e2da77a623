//! Mistakes in a file, and how they are told.

use super::*;
use crate::security::config::reader::MAX_FAULTS;

/// Each key is looked at: none is accepted and forgotten.
#[test]
fn value_of_a_wrong_type_is_named_for_every_key() {
    for section in SECTIONS {
        for key in section.keys {
            let (name, date) = (key.name, "1979-05-27");
            let text = match section.title {
                "the file" => format!("{name} = {date}\n"),
                "[authenticator]" => {
                    format!("[domain.d]\nnull = true\n[authenticator]\n{name} = {date}\n")
                }
                "[limits]" => {
                    format!("[domain.d]\nnull = true\n[limits]\n{name} = {date}\n")
                }
                "[limits.lockout]" => {
                    format!("[domain.d]\nnull = true\n[limits.lockout]\n{name} = {date}\n")
                }
                "[audit]" => format!("[domain.d]\nnull = true\n[audit]\n{name} = {date}\n"),
                "trust of [[domain.NAME.curve.stores]]" => {
                    format!("[[domain.d.curve.stores]]\ntrust = [{{ {name} = {date} }}]\n")
                }
                "[domain.NAME] and [fallback]" => format!("[domain.d]\n{name} = {date}\n"),
                "[domain.NAME.curve]" => format!("[domain.d.curve]\n{name} = {date}\n"),
                "[[domain.NAME.curve.stores]]" => {
                    format!("[[domain.d.curve.stores]]\n{name} = {date}\n")
                }
                "[domain.NAME.refusal]" => {
                    format!("[domain.d]\nnull = true\n[domain.d.refusal]\n{name} = {date}\n")
                }
                other => panic!("{other}"),
            };
            let last = text.lines().count() as u32;
            let said = refused(&text);
            let wanted = format!("`{name}` takes ");
            assert!(
                said.iter().any(|(line, said)| *line == last
                    && said.starts_with(&wanted)
                    && said.ends_with("and here is a date")),
                "{text}{said:?}"
            );
        }
    }
}

#[test]
fn mistake_is_told_with_its_line_and_what_is_wanted() {
    for (text, line, wanted) in [
        (
            "",
            1,
            "neither a table `[domain.NAME]` nor `[fallback]`: an empty file counts as cut off, not as one that refuses everybody",
        ),
        ("[authenticator]\n", 1, "neither a table"),
        ("[domain]\n", 1, "neither a table"),
        ("[domain.d]\nnull = true", 2, "the last line does not end"),
        ("[domain.d]\n\nnull = tru\n", 3, "not TOML: "),
        (
            "[domain.d]\nnull = true\nnull = false\n",
            3,
            "not TOML: duplicate key",
        ),
        (
            "[domain.d]\n",
            1,
            "[domain.d] takes no mechanism: give `null = true`, `plain`, `curve` or `gssapi`; to shut a domain, remove its table",
        ),
        (
            "[domain.d]\nnull = false\n",
            1,
            "[domain.d] takes no mechanism",
        ),
        (
            "[domain.d]\nallow = [\n\"10.0.0.0/8\",\n\"10.0.0\"]\nnull = true\n",
            4,
            "`allow`: \"10.0.0\" is not an IP address or block",
        ),
        (
            "[domain.d]\nallow = []\nnull = true\n",
            2,
            "`allow`: an empty list would admit every address: leave it out to say so",
        ),
        (
            "[domain.d]\nallow = \"::1\"\nnull = true\n",
            2,
            "`allow` takes an array of strings such as \"10.0.0.0/8\" or \"uid:1000\", and here is a string",
        ),
        (
            "[domain.d]\nnull = true\ndeny = [\"::1\"]\n",
            3,
            "\"deny\" stands behind \"null\": write rules on addresses before the mechanisms",
        ),
        (
            "[fallback]\nnull = true\n[domain.d]\nnull = true\n",
            3,
            "\"[domain.d]\" stands behind \"[fallback]\"",
        ),
        (
            "[domain.d]\ncurve = \"all\"\n",
            2,
            "`curve`: takes \"any\", or a table with `stores`",
        ),
        (
            "[domain.d]\ncurve = {}\n",
            2,
            "`stores`: takes an array of tables",
        ),
        (
            "[domain.d]\ncurve.stores = []\n",
            2,
            "`stores`: takes an array of tables",
        ),
        (
            "[domain.d]\ncurve.stores = [{}]\n",
            2,
            "`stores`: a store is either a `directory` or a `keyfile`: give one of them",
        ),
        (
            "[domain.d]\ncurve.stores = [{directory = \"a\", keyfile = \"b\"}]\n",
            2,
            "`stores`: a store is either",
        ),
        (
            "[[domain.d.curve.stores]]\ntrust = []\ndirectory = \"a\"\n",
            2,
            "`trust`: takes an array of tables such as { key = \"ed25519:…\", revocations = \"anna.revoked\" }, one at least: nobody is admitted by a store that trusts nobody",
        ),
        (
            "[[domain.d.curve.stores]]\ntrust = [\n{ revocations = \"a\" },\n]\ndirectory = \"a\"\n",
            3,
            "`key`: give an administrator's verify key in quotes: `ed25519:` and 40 characters",
        ),
        (
            "[[domain.d.curve.stores]]\ntrust = [\n{ key = \"ed25519:x\" },\n]\ndirectory = \"a\"\n",
            3,
            "`key`: a verify key is `ed25519:` and 40 characters of Z85: copy it whole",
        ),
        (
            "[[domain.d.curve.stores]]\ntrust = [\nANNA,\nANNA\n]\ndirectory = \"a\"\n",
            4,
            "`trust`: ed25519:",
        ),
        (
            "[[domain.d.curve.stores]]\ntrust = [{ revocation = \"a\" }]\ndirectory = \"a\"\n",
            2,
            "unknown key \"revocation\" in the `trust` of a store of the `curve` of [domain.d]: did you mean `revocations`?",
        ),
        (
            "[[domain.d.curve.stores]]\ndirectory = \"a\"\ntrust = [ANNA]\n",
            3,
            "\"trust\" stands behind \"directory\": write rules on addresses before the mechanisms, whom a store trusts before the store,",
        ),
        (
            "[[domain.d.curve.stores]]\ntrust = [ANNA]\nkeyfile = \"a\"\nremember = \"b\"\n",
            4,
            "\"remember\" stands behind \"keyfile\"",
        ),
        (
            "[[domain.d.curve.stores]]\nremember = \"b\"\nkeyfile = \"a\"\n",
            2,
            "`remember`: only a signed store remembers: give `trust` too",
        ),
        (
            "[domain.d]\ncurve.stores = [{ keyfile = \"a\", trust = [ANNA] }]\n[domain.e]\ncurve.stores = [{ keyfile = \"a\" }]\n",
            4,
            "`keyfile`: line 2 has /base/a with another `trust` or `remember`: a store has one, so write the same in both places",
        ),
        (
            "[domain.d]\ncurve.stores = [\n{ keyfile = \"a\", trust = [ANNA], remember = \"r\" },\n{ directory = \"a\", trust = [ANNA], remember = \"r\" },\n]\n",
            4,
            "`remember`: line 3 gives /base/r to another store: each needs a file of its own",
        ),
        (
            "[audit]\n[domain.d]\nnull = true\n",
            1,
            "`file`: give the path of the file that audit events are written to, or leave out [audit]",
        ),
        (
            "[domain.d]\nnull = true\n[audit]\npath = \"a\"\n",
            4,
            "unknown key \"path\" in [audit]: it takes `file`",
        ),
        (
            "[domain.d]\nplain = \"\"\n",
            2,
            "`plain`: a path is not empty and holds no NUL",
        ),
        (
            "[domain.d]\nnull = true\nrefusal = \"never\"\n",
            3,
            "`refusal`: takes \"final\" or \"retry\"",
        ),
        (
            "[domain.\"a\\tb\"]\nnull = true\n",
            1,
            "\"a\\tb\" cannot be a ZAP domain",
        ),
        (
            "[domain.\"\"]\nnull = true\n",
            1,
            "\"\" cannot be a ZAP domain",
        ),
        (
            "[domain]\nd = 1\n",
            2,
            "`domain` takes a table for each domain, and here is an integer",
        ),
        (
            "[domain.d]\nnull = true\n[authenticator]\ndeadline = \"10\"\n",
            4,
            "`deadline`: takes a duration in quotes, such as \"10 s\" or \"250 ms\": ",
        ),
        (
            "[domain.d]\nnull = true\n[authenticator]\ndeadline = \"0 s\"\n",
            4,
            "`deadline`: 0 would refuse everybody",
        ),
        (
            "[domain.d]\nnull = true\n[authenticator]\nclock-skew = \"2 days\"\n",
            4,
            "`clock-skew`: more than 1day",
        ),
        (
            "[domain.d]\nnull = true\n[authenticator]\ncallback-threads = 0\n",
            4,
            "`callback-threads`: takes a whole number from 1 to 1024",
        ),
        (
            "[domain.d]\nnull = true\n[authenticator]\ncallback-threads = -1\n",
            4,
            "`callback-threads`: takes",
        ),
        (
            "[domain.d]\nnull = true\n[authenticator]\ncallback-threads = 99999999999999999999999\n",
            4,
            "`callback-threads`: takes",
        ),
        (
            "[domain.d]\nnull = true\n[authenticator]\nrevocation = \"all\"\n",
            4,
            "`revocation`: takes \"address\", \"exact\" or \"socket\"",
        ),
        (
            "[domain.d]\nnull = true\n[limit]\n",
            3,
            "unknown key \"limit\" in the file: did you mean `limits`?",
        ),
        (
            "[domain.d]\nnull = true\nalow = [\"::1\"]\n",
            3,
            "unknown key \"alow\" in [domain.d]: did you mean `allow`?",
        ),
    ] {
        let said = refused(&text.replace("ANNA", ANNA));
        let found = said
            .iter()
            .any(|(at, said)| *at == line && said.starts_with(wanted));
        assert!(found, "{text}{said:#?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_order_and_within_bounds() {
    let said = refused("[fallback]\nnul = true\nplain = 1\n[x]\n");
    let lines: Vec<_> = said.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 3, 4], "{said:#?}");
    let mut text = "[domain.d]\nnull = true\n".to_owned();
    for n in 0..1000 {
        text += &format!("key{n} = 1\n");
    }
    let said = refused(&text);
    assert_eq!(said.len(), MAX_FAULTS + 1);
    assert!(
        said[MAX_FAULTS].1.starts_with("900 more lines"),
        "{:?}",
        said[MAX_FAULTS]
    );
}

#[test]
fn deep_nesting_is_refused() {
    let text = format!("x = {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    assert!(refused(&text)[0].1.starts_with("not TOML"));
}
