//! ZPL, the syntax of certificate files: lines of `name = value`, nested by four spaces.
//!
//! Reads what CZMQ reads and refuses what it refuses, with the line to blame; borrows from the text, so that a
//! secret in it is not copied.
//!
//! Source: RFC 4/ZPL; CZMQ's reader where the two differ (a missing closing quote is an error, not a bare value).

use std::fmt;

use zeroize::Zeroizing;

/// Deepest level that is read or written; the top is level 0.
pub const MAX_DEPTH: usize = 15;

/// Spaces of one level.
const INDENT: usize = 4;

/// Why a line is not ZPL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxProblem {
    /// Indented by a tab.
    #[error("a tab: indent by 4 spaces a level")]
    Tab,
    /// Indented by something else than whole levels, or deeper than one level below the line above.
    #[error("indented wrongly: indent by 4 spaces a level, one level below the section at most")]
    Indentation,
    /// Nested deeper than 15 levels.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// A name with a slash at an end.
    #[error("a name neither starts nor ends with a slash")]
    Name,
    /// A quote that is not closed.
    #[error("the closing quote is missing")]
    Quote,
    /// Something that is neither name, value nor comment.
    #[error("expected `name = value`, `name` or a comment, and nothing behind")]
    Junk,
    /// A NUL byte.
    #[error("a NUL byte: this is no text file")]
    Nul,
    /// A name to write that could not be read again.
    #[error("a name consists of letters, digits and $ - _ @ . & + /, without a slash at an end")]
    UnwritableName,
    /// A value to write that could not be read again.
    #[error(
        "a value can hold neither a line break nor a NUL, nor can both kinds of quote be quoted"
    )]
    UnwritableValue,
}

/// A line that is not ZPL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: u32,
    /// What is wrong with it.
    pub problem: SyntaxProblem,
}

/// One `name = value` line. `Debug` leaves the value out: it may be a secret.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    name: &'a str,
    value: &'a str,
    line: u32,
    depth: usize,
    index: usize,
}

impl<'a> Node<'a> {
    /// Its name.
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// Its value, without quotes; empty where there is none.
    pub const fn value(&self) -> &'a str {
        self.value
    }

    /// Its line, from 1.
    pub const fn line(&self) -> u32 {
        self.line
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} = .., line {})", self.name, self.line)
    }
}

/// A text that was read: its nodes in the order of their lines.
#[derive(Debug)]
pub struct Document<'a> {
    nodes: Vec<Node<'a>>,
}

impl<'a> Document<'a> {
    /// Reads a text, all or nothing.
    ///
    /// # Errors
    /// [`SyntaxError`]: the first line that is not ZPL.
    pub fn parse(text: &'a str) -> Result<Self, SyntaxError> {
        let mut nodes: Vec<Node<'a>> = Vec::new();
        for (line, number) in text.split('\n').zip(1..) {
            let at = |problem| SyntaxError {
                line: number,
                problem,
            };
            let Some((depth, name, value)) = read_line(line).map_err(at)? else {
                continue;
            };
            if depth > nodes.last().map_or(0, |above| above.depth + 1) {
                return Err(at(SyntaxProblem::Indentation));
            }
            if depth > MAX_DEPTH {
                return Err(at(SyntaxProblem::Depth));
            }
            nodes.push(Node {
                name,
                value,
                line: number,
                depth,
                index: nodes.len(),
            });
        }
        Ok(Self { nodes })
    }

    /// All nodes, in the order of their lines.
    pub fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    /// The nodes of the top level.
    pub fn top(&self) -> impl Iterator<Item = &Node<'a>> {
        self.nodes.iter().filter(|node| node.depth == 0)
    }

    /// The nodes one level below `parent`.
    pub fn children(&self, parent: &Node<'a>) -> impl Iterator<Item = &Node<'a>> {
        let depth = parent.depth;
        self.nodes
            .iter()
            .skip(parent.index + 1)
            .take_while(move |node| node.depth > depth)
            .filter(move |node| node.depth == depth + 1)
    }

    /// The first node of the top level with this name; later ones do not count.
    pub fn section(&self, name: &str) -> Option<&Node<'a>> {
        self.top().find(|node| node.name == name)
    }

    /// The first node below `parent` with this name; later ones do not count.
    pub fn child(&self, parent: &Node<'a>, name: &str) -> Option<&Node<'a>> {
        self.children(parent).find(|node| node.name == name)
    }
}

/// One line: its level, name and value; `None` where it is blank or a comment.
fn read_line(line: &str) -> Result<Option<(usize, &str, &str)>, SyntaxProblem> {
    if line.contains('\0') {
        return Err(SyntaxProblem::Nul);
    }
    let line = line.trim_end_matches(is_space);
    let rest = line.trim_start_matches(' ');
    let spaces = line.len() - rest.len();
    if spaces % INDENT != 0 {
        return Err(SyntaxProblem::Indentation);
    }
    let after_name = rest.trim_start_matches(is_name_char);
    let name = rest.strip_suffix(after_name).unwrap_or(rest);
    if name.is_empty() {
        return match end_of_line(rest) {
            Ok(()) => Ok(None),
            Err(_) if rest.starts_with('\t') => Err(SyntaxProblem::Tab),
            Err(problem) => Err(problem),
        };
    }
    if name.starts_with('/') || name.ends_with('/') {
        return Err(SyntaxProblem::Name);
    }
    let value = match after_name.trim_start_matches(is_space).strip_prefix('=') {
        Some(value) => read_value(value)?,
        None => end_of_line(after_name).map(|()| "")?,
    };
    Ok(Some((spaces / INDENT, name, value)))
}

/// The value in what follows the `=`.
fn read_value(rest: &str) -> Result<&str, SyntaxProblem> {
    let text = rest.trim_start_matches(is_space);
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            let (value, rest) = quoted.split_once(quote).ok_or(SyntaxProblem::Quote)?;
            return end_of_line(rest).map(|()| value);
        }
    }
    // A bare value may start with '#', as CZMQ has it, where white space sets it off: `colour = #ff0000`.
    if text.starts_with('#') && text.len() < rest.len() {
        return Ok(text);
    }
    let value = text.split_once('#').map_or(text, |(value, _)| value);
    Ok(value.trim_end_matches(is_space))
}

/// Only white space and a comment may follow.
fn end_of_line(rest: &str) -> Result<(), SyntaxProblem> {
    let rest = rest.trim_start_matches(is_space);
    if rest.is_empty() || rest.starts_with('#') {
        Ok(())
    } else {
        Err(SyntaxProblem::Junk)
    }
}

/// White space as C's `isspace` has it.
pub(crate) const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

const fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '$' | '-' | '_' | '@' | '.' | '&' | '+' | '/')
}

/// Whether `name` can be written, so that every reader finds it again.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(is_name_char)
        && !name.starts_with('/')
        && !name.ends_with('/')
}

/// How `value` must be enclosed to be read again as it is: in the quotes given, or in none.
pub(crate) fn quotes(value: &str) -> Result<&'static str, SyntaxProblem> {
    if value.contains(['\n', '\0']) {
        Err(SyntaxProblem::UnwritableValue)
    } else if !value.contains('"') {
        Ok("\"")
    } else if !value.contains('\'') {
        Ok("'")
    } else if (!value.contains('#') || value.starts_with('#'))
        && !value.starts_with(['"', '\''])
        && value == value.trim_matches(is_space)
    {
        Ok("")
    } else {
        Err(SyntaxProblem::UnwritableValue)
    }
}

/// Writes ZPL that [`Document::parse`] and CZMQ read back as it was given. Its buffers are wiped.
#[derive(Default)]
pub struct Writer {
    text: Zeroizing<String>,
}

impl Writer {
    /// An empty text.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a comment, line by line; an empty line of it stays empty.
    pub fn comment(&mut self, comment: &str) {
        for line in comment.split('\n') {
            if !line.is_empty() {
                self.push("#   ");
            }
            self.push(line);
            self.push("\n");
        }
    }

    /// Adds the line of a section: a name at this level, from 0.
    ///
    /// # Errors
    /// [`SyntaxProblem`]: a name that could not be read again, or a level too deep.
    pub fn section(&mut self, depth: usize, name: &str) -> Result<(), SyntaxProblem> {
        self.name(depth, name)?;
        self.push("\n");
        Ok(())
    }

    /// Adds a `name = value` line at this level, from 0, quoted as the value needs it.
    ///
    /// # Errors
    /// [`SyntaxProblem`]: a name or value that could not be read again, or a level too deep.
    pub fn entry(&mut self, depth: usize, name: &str, value: &str) -> Result<(), SyntaxProblem> {
        let quote = quotes(value)?;
        self.name(depth, name)?;
        for part in [" = ", quote, value, quote, "\n"] {
            self.push(part);
        }
        Ok(())
    }

    fn name(&mut self, depth: usize, name: &str) -> Result<(), SyntaxProblem> {
        if depth > MAX_DEPTH {
            return Err(SyntaxProblem::Depth);
        }
        if !is_name(name) {
            return Err(SyntaxProblem::UnwritableName);
        }
        for _ in 0..depth {
            self.push("    ");
        }
        self.push(name);
        Ok(())
    }

    /// Appends; where the buffer is too small, the old one is wiped instead of being left to the allocator.
    fn push(&mut self, part: &str) {
        let needed = self.text.len() + part.len();
        if needed > self.text.capacity() {
            let mut larger = Zeroizing::new(String::with_capacity(needed.max(512) * 2));
            larger.push_str(&self.text);
            self.text = larger;
        }
        self.text.push_str(part);
    }

    /// The text.
    pub fn finish(self) -> Zeroizing<String> {
        self.text
    }
}

#[cfg(test)]
mod tests {
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
        let text =
            "# one\n\n   \r\n\t# four\nsection # five\n    # six\n        # seven\n    name = x";
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
}
