mod mistakes;

use proptest::prelude::*;

use super::super::content::{Curve, Store, StorePlace};
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
