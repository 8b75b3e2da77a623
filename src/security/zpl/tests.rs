use proptest::prelude::*;

use super::*;

fn problem(text: &str) -> (u32, SyntaxProblem) {
    let error = Document::parse(text).unwrap_err();
    (error.line, error.problem)
}

/// The value of `section/name`.
fn value<'a>(text: &'a str, section: &str, name: &str) -> Option<&'a str> {
    let document = Document::parse(text).unwrap();
    let section = document.section(section)?;
    document.child(section, name).map(Node::value)
}

#[test]
fn values_are_read_quoted_in_either_way_and_bare() {
    for (line, wanted) in [
        ("name = \"value\"", "value"),
        ("name = 'value'", "value"),
        ("name = value", "value"),
        ("name=value", "value"),
        ("name  =\tvalue  ", "value"),
        ("name = two words", "two words"),
        (
            "name = \"with # and 'quote'\" # comment",
            "with # and 'quote'",
        ),
        ("name = 'with \"quote\"'#comment", "with \"quote\""),
        ("name = bare # comment", "bare"),
        ("name = bare#comment", "bare"),
        ("name = it's", "it's"),
        ("name = = x", "= x"),
        ("name = \"\"", ""),
        ("name = \" spaced \"", " spaced "),
        ("name =", ""),
        ("name = #value # value", "#value # value"),
        ("name =# comment", ""),
        ("name", ""),
        ("name # comment", ""),
        ("name = \"value\"\r", "value"),
        ("name = value\r", "value"),
        ("name = \"ünï\"", "ünï"),
    ] {
        let text = format!("section\n    {line}\n");
        assert_eq!(value(&text, "section", "name"), Some(wanted), "{line:?}");
    }
}

#[test]
fn comments_and_blank_lines_are_skipped_but_counted() {
    let text = "# one\n\n   \r\n\t# four\nsection # five\n    # six\n        # seven\n    name = x";
    let document = Document::parse(text).unwrap();
    let section = document.section("section").unwrap();
    assert_eq!(section.line(), 5);
    assert_eq!(document.child(section, "name").unwrap().line(), 8);
}

#[test]
fn every_name_character_is_read() {
    let name = "aZ09$-_@.&+/x";
    let text = format!("{name} = x");
    assert_eq!(
        Document::parse(&text)
            .unwrap()
            .section(name)
            .unwrap()
            .value(),
        "x"
    );
}

#[test]
fn wrong_lines_are_refused_with_their_number() {
    use SyntaxProblem::{Indentation, Junk, Name, Nul, Quote, Tab};
    for (line, wanted) in [
        ("name = \"value\" junk", Junk),
        ("name = 'value' = x", Junk),
        ("name = \"open", Quote),
        ("name = 'open\"", Quote),
        ("name value", Junk),
        ("= value", Junk),
        ("näme = value", Junk),
        ("\u{feff}name = value", Junk),
        ("/name = x", Name),
        ("name/ = x", Name),
        ("/", Name),
        ("\tname = x", Tab),
        ("    \tname = x", Tab),
        ("  name = x", Indentation),
        ("     name = x", Indentation),
        ("   # comment", Indentation),
        ("        name = x", Indentation),
        ("na\0me = x", Nul),
        ("name = \"val\0ue\"", Nul),
    ] {
        let text = format!("# first\nsection\n{line}\n");
        assert_eq!(problem(&text), (3, wanted), "{line:?}");
    }
    assert_eq!(problem("    name = x"), (1, Indentation));
    assert_eq!(problem("a\r    b = \"x\"\rc\r"), (1, Junk));
}

#[test]
fn first_of_duplicates_counts_and_a_second_section_is_not_searched() {
    let text = "one\n    name = first\n    name = second\none\n    late = x\n";
    assert_eq!(value(text, "one", "name"), Some("first"));
    assert_eq!(value(text, "one", "late"), None);
    assert_eq!(Document::parse(text).unwrap().top().count(), 2);
}

#[test]
fn children_are_those_one_level_below() {
    let text = "a\n    b = 1\n        deep = 2\n    c = 3\nd\n    b = 4\n";
    let document = Document::parse(text).unwrap();
    let a = document.section("a").unwrap();
    let children: Vec<_> = document.children(a).map(Node::name).collect();
    assert_eq!(children, ["b", "c"]);
    let b = document.child(a, "b").unwrap();
    assert_eq!(document.child(b, "deep").unwrap().value(), "2");
}

#[test]
fn depth_is_bounded() {
    let nested = |levels: usize| -> String {
        (0..=levels)
            .map(|depth| format!("{}n\n", "    ".repeat(depth)))
            .collect()
    };
    assert!(Document::parse(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(problem(&nested(MAX_DEPTH + 1)), (17, SyntaxProblem::Depth));
    assert!(Document::parse(&nested(10_000)).is_err());
    let mut writer = Writer::new();
    assert!(writer.section(MAX_DEPTH + 1, "n").is_err());
}

#[test]
fn writer_chooses_quotes_that_the_value_does_not_hold() {
    let mut writer = Writer::new();
    writer.section(0, "s").unwrap();
    for (name, value) in [
        ("plain", "x # y"),
        ("double", "say \"x\" # y"),
        ("single", "it's"),
        ("both", "it's \"x\""),
        ("hash", "#it's \"x\" #"),
        ("empty", ""),
    ] {
        writer.entry(1, name, value).unwrap();
    }
    let wanted = concat!(
        "s\n",
        "    plain = \"x # y\"\n",
        "    double = 'say \"x\" # y'\n",
        "    single = \"it's\"\n",
        "    both = it's \"x\"\n",
        "    hash = #it's \"x\" #\n",
        "    empty = \"\"\n",
    );
    assert_eq!(writer.finish().as_str(), wanted);
}

#[test]
fn writer_refuses_what_could_not_be_read_again() {
    let mut writer = Writer::new();
    for value in ["two\nlines", "nul\0", "'\" ", "\"'", "it's \"x\" # y"] {
        let refused = writer.entry(0, "name", value);
        assert_eq!(refused, Err(SyntaxProblem::UnwritableValue), "{value:?}");
    }
    for name in ["", "a b", "/a", "a/", "ä", "a=b", "a#", "a\n"] {
        let refused = writer.entry(0, name, "value");
        assert_eq!(refused, Err(SyntaxProblem::UnwritableName), "{name:?}");
    }
    assert!(writer.finish().is_empty());
}

#[test]
fn comment_of_several_lines_stays_a_comment() {
    let mut writer = Writer::new();
    writer.comment("one\n\ncurve\n    public-key = x");
    let text = writer.finish();
    assert!(Document::parse(&text).unwrap().top().next().is_none());
}

#[test]
fn debug_of_a_node_leaves_its_value_out() {
    let document = Document::parse("name = hidden").unwrap();
    assert!(!format!("{document:?}").contains("hidden"));
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9$_@.&+-]([a-zA-Z0-9$_@.&+/-]{0,9}[a-zA-Z0-9$_@.&+-])?"
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_without_panic(text in "\\PC*") {
        let _ = Document::parse(&text);
    }

    #[test]
    fn any_text_of_syntax_characters_is_read_or_refused_without_panic(
        text in "([ ]{4}|[ \t\r\n]|[a/=#\"']|\0){0,60}"
    ) {
        let _ = Document::parse(&text);
    }

    #[test]
    fn what_is_written_is_read_back(
        entries in proptest::collection::vec((name(), "[^\n\0]{0,20}|[ \"'#=a]{0,8}"), 0..8)
    ) {
        let mut writer = Writer::new();
        writer.comment("comment");
        writer.section(0, "section").unwrap();
        let mut written = Vec::new();
        for (name, value) in &entries {
            if writer.entry(1, name, value).is_ok() {
                written.push((name.as_str(), value.as_str()));
            }
        }
        let text = writer.finish();
        let document = Document::parse(&text).unwrap();
        let section = document.section("section").unwrap();
        let read: Vec<_> = document.children(section).map(|n| (n.name(), n.value())).collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn what_was_read_can_be_written(text in "n = [ \"'#=a\t\r]{0,12}") {
        if let Ok(document) = Document::parse(&text) {
            for node in document.top() {
                prop_assert!(quotes(node.value()).is_ok());
                prop_assert!(is_name(node.name()));
            }
        }
    }
}
