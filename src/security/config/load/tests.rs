use proptest::prelude::*;

use super::super::content::{Curve, Store, StorePlace};
use super::super::reader::MAX_FAULTS;
use super::super::schema::SECTIONS;
use super::*;
use crate::security::limits::Limits;
use crate::security::lockout::Lockout;
use crate::security::signing::VerifyKey;
use crate::security::trust::Trust;

/// An administrator, as a value of `trust`.
const ANNA: &str =
    r#"{ key = "ed25519:rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7", revocations = "list" }"#;

const REFERENCE: &str = include_str!("../../../../docs/ironhouse.toml.md");

fn parse(text: &str) -> Result<Content, Vec<(u32, String)>> {
    Content::parse(text, Path::new("/base")).map_err(|faults| {
        let said = |fault: Fault| (fault.line.unwrap_or(0), fault.problem.to_string());
        faults.into_iter().map(said).collect()
    })
}

#[track_caller]
fn refused(text: &str) -> Vec<(u32, String)> {
    parse(text).expect_err(text)
}

/// What stands between the first fence of TOML and its end.
fn example() -> &'static str {
    let (_, example) = REFERENCE.split_once("```toml\n").unwrap();
    example.split_once("```").unwrap().0
}

/// The rows of the reference: table, key, what it takes, default.
fn rows() -> Vec<(&'static str, &'static str, &'static str, &'static str)> {
    let mut section = "";
    let mut rows = Vec::new();
    for line in REFERENCE.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title;
        } else if let Some(row) = line.strip_prefix("| `") {
            let cells: Vec<_> = row
                .split('|')
                .map(|cell| cell.trim_matches([' ', '`']))
                .collect();
            rows.push((section, cells[0], cells[1], cells[2]));
        }
    }
    rows
}

#[test]
fn reference_has_each_key_with_its_type_and_default_and_no_other() {
    let known: Vec<_> = SECTIONS
        .iter()
        .filter(|section| section.title != "the file")
        .flat_map(|section| {
            section
                .keys
                .iter()
                .map(|key| (section.title, key.name, key.kind, key.default))
        })
        .collect();
    let written = rows();
    let written: Vec<_> = written
        .iter()
        .map(|(title, key, kind, default)| (title.replace('`', ""), *key, *kind, *default))
        .collect();
    let written: Vec<_> = written
        .iter()
        .map(|(title, key, kind, default)| (title.as_str(), *key, *kind, *default))
        .collect();
    assert_eq!(written, known);
}

#[test]
fn defaults_written_in_the_reference_are_those_of_the_code() {
    let with_defaults = |title: &str| -> String {
        let of = |(section, ..): &&(&str, &str, &str, &str)| section.replace('`', "") == title;
        let rows = rows();
        let rows = rows
            .iter()
            .filter(of)
            .filter(|(.., default)| !default.is_empty());
        rows.map(|(_, key, _, default)| format!("{key} = {default}\n"))
            .collect()
    };
    let settings = with_defaults("[authenticator]");
    assert!(settings.lines().count() == 4, "{settings}");
    let (limits, lockout) = (with_defaults("[limits]"), with_defaults("[limits.lockout]"));
    let open = "[domain.d]\nnull = true\n";
    let locked = |text: &str| parse(&format!("{open}{text}")).unwrap().settings.limits;
    assert_eq!(locked(&format!("[limits]\n{limits}")), Limits::off());
    assert_eq!(
        locked(&format!("[limits.lockout]\n{lockout}")),
        Limits::off().lockout(Lockout::standard())
    );
    let preset = "[limits]\npreset = \"behind-nat\"\nrequests = 5000\nlockout.by-address = false\n";
    let lockout = Lockout::standard().by_address(None);
    assert_eq!(
        locked(preset),
        Limits::behind_nat().requests(5000).lockout(lockout)
    );
    let policy = with_defaults("[domain.NAME] and [fallback]");
    let refusal = with_defaults("[domain.NAME.refusal]");
    let written = format!("[authenticator]\n{settings}[domain.d]\n{policy}curve = \"any\"\n");
    let written = parse(&written).unwrap();
    let left_out = parse("[domain.d]\ncurve = \"any\"\n").unwrap();
    assert_eq!(written.settings, left_out.settings);
    assert_eq!(left_out.settings, Settings::default());
    let by_rule = parse(&format!(
        "[domain.d]\ncurve = \"any\"\n[domain.d.refusal]\n{refusal}"
    ))
    .unwrap();
    for content in [&written, &left_out, &by_rule] {
        let mut rules = content.domains["d"].clone();
        let lock_out = (Rule::LockOut, Refusal::Retry);
        rules.refusals.retain(|refusal| *refusal != lock_out);
        // As `Policy::refusal_by` would have it anyway.
        assert!(
            rules
                .refusals
                .iter()
                .all(|(_, refusal)| *refusal == Refusal::default())
        );
        rules.refusals.clear();
        assert_eq!(rules, left_out.domains["d"]);
    }
    assert_eq!(by_rule.domains["d"].refusals.len(), 5);
}

#[test]
fn example_of_the_reference_is_read_as_it_says() {
    let content = parse(example()).unwrap();
    assert_eq!(content.settings.deadline, Duration::from_secs(5));
    let pumps = &content.domains["pumps"];
    let key = |text: &str| text.parse::<VerifyKey>().unwrap();
    let trust = Trust::new([])
        .revocations(
            key("ed25519:rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"),
            "/srv/pumps/anna.revoked",
        )
        .believe(key("ed25519:Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"))
        .remember("/var/lib/pumps/serials");
    let store = |place, line, trust: Option<Trust>| Named {
        what: Store {
            place,
            trust: trust.map(|what| Named { what, line: 13 }),
        },
        line,
    };
    let signed = StorePlace::Directory("/srv/pumps/clients".into());
    let expected = Rules {
        allow: vec!["10.0.0.0/8".parse().unwrap(), AddressRule::User(1000)],
        deny: vec!["10.0.0.66".parse().unwrap()],
        null: false,
        plain: None,
        gssapi: None,
        curve: Some(Curve::Stores(vec![store(signed, 18, Some(trust))])),
        refusals: vec![(Rule::Credential, Refusal::Retry)],
    };
    assert_eq!(*pumps, expected);
    let named = |path: &str, line| Named {
        what: PathBuf::from(path),
        line,
    };
    let panel = &content.domains["panel"];
    assert_eq!(panel.plain, Some(named("/base/passwords", 22)));
    let stores = [
        store(StorePlace::Directory("/base/panels".into()), 23, None),
        store(StorePlace::Keyfile("/base/visitors.keys".into()), 23, None),
    ];
    assert_eq!(panel.stores(), stores);
    let audit = Some(named("/var/log/pumps/audit.jsonl", 5));
    assert_eq!(content.audit, audit);
    assert_eq!(content.fallback.unwrap().curve, Some(Curve::Any));
}

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

fn table() -> impl Strategy<Value = String> {
    let rule = prop::sample::select(vec!["10.0.0.0/8", "::1", "uid:7", "192.0.2.1"]);
    let rules = |name: &'static str| {
        prop::option::of(prop::collection::vec(rule.clone(), 1..3)).prop_map(move |rules| {
            rules.map_or(String::new(), |rules| format!("{name} = {rules:?}\n"))
        })
    };
    let door = prop::sample::select(vec![
        "null = true\n",
        "plain = \"passwords\"\n",
        "curve = \"any\"\nrefusal = \"retry\"\n",
        "gssapi = [\"ada@X\", \"bob@X\"]\ncurve = \"any\"\n",
        "plain = \"p\"\ncurve.stores = [\n{ directory = \"a\" },\n{ keyfile = \"b\" },\n]\n",
        "null = true\n[[@.curve.stores]]\ndirectory = \"a\"\n[[@.curve.stores]]\nkeyfile = \"b\"\n",
        "[[@.curve.stores]]\ntrust = [\nANNA,\n]\nremember = \"r\"\ndirectory = \"c\"\n[[@.curve.stores]]\nkeyfile = \"b\"\n",
        "curve.stores = [{ directory = \"c\", trust = [ANNA], remember = \"r\" }]\n",
    ]);
    (rules("allow"), rules("deny"), door)
        .prop_map(|(allow, deny, door)| format!("[@]\n{allow}{deny}{door}"))
}

proptest! {
    /// However a good file is cut off: it is refused, or admits nobody whom the whole one refuses.
    #[test]
    fn beginning_of_a_good_file_opens_no_door(
        audit in prop::sample::select(vec!["", "[audit]\nfile = \"log\"\n"]),
        tables in prop::collection::vec(table(), 0..3),
        fallback in prop::option::of(table()),
    ) {
        prop_assume!(!tables.is_empty() || fallback.is_some());
        let mut text = audit.to_owned();
        for (n, table) in tables.iter().enumerate() {
            text += &table.replace('@', &format!("domain.d{n}"));
        }
        text += &fallback.map_or(String::new(), |table| table.replace('@', "fallback"));
        // A key may have an `@`.
        let text = text.replace("ANNA", ANNA);
        prop_assert!(parse(&text).is_ok());
        // What that is made of stands there.
        crate::security::fuzzing::config(text.as_bytes());
    }

    #[test]
    fn any_text_is_read_or_refused_with_lines_in_it(text in "([a-z\\[\\].={}\"' \n]|\\[domain|null = true\n|allow = ){0,40}") {
        crate::security::fuzzing::config(text.as_bytes());
    }
}
