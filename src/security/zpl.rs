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
mod tests;
