//! Reads `ironhouse.h`, which cbindgen writes in one shape: a comment, then what it is about.

use std::iter::Peekable;
use std::str::Lines;

use anyhow::{Context, Result, bail};

/// What the header says.
#[derive(Debug, Default)]
pub struct Header {
    /// The comment at its top.
    pub intro: Vec<Block>,
    /// Everything that is declared and has a comment, in its order.
    pub items: Vec<Item>,
}

/// A piece of a comment.
#[derive(Debug, PartialEq, Eq)]
pub enum Block {
    Paragraph(String),
    Code(Vec<String>),
}

/// Something that is declared.
#[derive(Debug)]
pub struct Item {
    pub name: String,
    pub kind: Kind,
    /// Without comments, in one line; of what has members, without them.
    pub declaration: String,
    pub comment: Vec<Block>,
    pub members: Vec<Member>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Constant,
    Function,
    /// A pointer type of a function of the caller's.
    Callback,
    /// A structure that is not to be looked into.
    Handle,
    Structure,
    Enumeration,
}

/// A field of a structure, or a value of an enumeration.
#[derive(Debug, PartialEq, Eq)]
pub struct Member {
    pub declaration: String,
    /// Empty where it has none.
    pub comment: Vec<Block>,
}

impl Header {
    /// Fails on what has another shape, so that nothing is left out.
    pub fn parse(text: &str) -> Result<Self> {
        let mut header = Self::default();
        let mut lines = text.lines().peekable();
        let mut comment = None;
        while let Some(line) = lines.next() {
            if line.starts_with("/**") {
                comment = Some(read_comment(line, &mut lines));
            } else if line == "/*" {
                header.intro = read_comment(line, &mut lines);
            } else if let Some(comment) = comment.take() {
                header.items.push(read_item(line, comment, &mut lines)?);
            } else if line.starts_with("typedef")
                || line.contains('(') && !line.starts_with([' ', '#'])
            {
                bail!("no comment before: {line}");
            }
        }
        if header.items.is_empty() || header.intro.is_empty() {
            bail!("no declarations, or no comment at the top");
        }
        Ok(header)
    }

    pub fn find(&self, name: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.name == name)
    }

    pub fn functions(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.kind == Kind::Function)
    }
}

impl Item {
    /// The first sentence of its comment, or the part of it that stands by itself: without the dot.
    pub fn brief(&self) -> &str {
        let Some(Block::Paragraph(text)) = self.comment.first() else {
            return "";
        };
        let ends = text.char_indices().filter(|(at, end)| {
            let (before, after) = text.split_at(*at);
            let outside = before.matches('(').count() == before.matches(')').count();
            outside
                && matches!(end, '.' | ';' | ':')
                && after.chars().nth(1).is_none_or(|next| next == ' ')
        });
        let end = ends.map(|(at, _)| at).next().unwrap_or(text.len());
        text.get(..end).unwrap_or(text)
    }

    /// The names of a function's parameters.
    pub fn parameters(&self) -> Vec<&str> {
        let Some((_, list)) = self.declaration.rsplit_once('(') else {
            return Vec::new();
        };
        let list = list.trim_end_matches([')', ';']);
        let names = list.split(',').filter(|it| it.trim() != "void");
        names
            .filter_map(|parameter| parameter.rsplit([' ', '*']).next())
            .collect()
    }
}

/// The rest of a comment that begins in `first`.
fn read_comment(first: &str, lines: &mut Peekable<Lines<'_>>) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open = false;
    let mut take = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix('*').unwrap_or(line);
        let line = line.strip_prefix(' ').unwrap_or(line).trim_end();
        match blocks.last_mut() {
            _ if line.is_empty() => open = false,
            Some(Block::Code(code)) if open && line.starts_with("  ") => code.push(line.to_owned()),
            _ if line.starts_with("  ") => {
                blocks.push(Block::Code(vec![line.to_owned()]));
                open = true;
            }
            Some(Block::Paragraph(text)) if open => {
                text.push(' ');
                text.push_str(line);
            }
            _ => {
                blocks.push(Block::Paragraph(line.to_owned()));
                open = true;
            }
        }
    };
    let first = first
        .trim_start()
        .trim_start_matches('/')
        .trim_start_matches('*');
    if let Some(text) = first.strip_suffix("*/") {
        take(text);
        return blocks;
    }
    take(first);
    for line in lines.by_ref() {
        if line.trim() == "*/" {
            break;
        }
        take(line);
    }
    blocks
}

fn read_item(first: &str, comment: Vec<Block>, lines: &mut Peekable<Lines<'_>>) -> Result<Item> {
    let item = |name: &str, kind, declaration: String, members| Item {
        name: name.to_owned(),
        kind,
        declaration,
        comment,
        members,
    };
    if let Some(definition) = first.strip_prefix("#define ") {
        let name = definition.split([' ', '(']).next().unwrap_or_default();
        return Ok(item(name, Kind::Constant, first.to_owned(), Vec::new()));
    }
    for (start, kind) in [
        ("typedef struct {", Kind::Structure),
        ("typedef enum {", Kind::Enumeration),
    ] {
        if first == start {
            let (name, members) = read_members(lines)?;
            let start = start.trim_end_matches(" {");
            return Ok(item(&name, kind, format!("{start} {name};"), members));
        }
    }
    let mut declaration = first.trim_end().to_owned();
    while !declaration.ends_with(';') {
        let next = lines.next().context("a declaration without an end")?;
        if next == "{" {
            // The body of an inline function.
            lines.by_ref().find(|line| *line == "}");
            declaration.push(';');
        } else {
            declaration.push(' ');
            declaration.push_str(next.trim());
        }
    }
    let named = |before: &str| {
        let name = before.rsplit([' ', '*']).next();
        name.filter(|name| name.starts_with("ironhouse_"))
            .map(str::to_owned)
            .with_context(|| format!("what does this declare: {declaration}"))
    };
    let (name, kind) = if let Some(typedef) = declaration.strip_prefix("typedef ") {
        match typedef.split_once("(*") {
            Some((_, rest)) => (
                named(rest.split(')').next().unwrap_or_default())?,
                Kind::Callback,
            ),
            None => (named(typedef.trim_end_matches(';'))?, Kind::Handle),
        }
    } else {
        let before = declaration.split('(').next().unwrap_or_default();
        (named(before)?, Kind::Function)
    };
    Ok(item(&name, kind, declaration, Vec::new()))
}

/// What stands between the braces, and the name behind them.
fn read_members(lines: &mut Peekable<Lines<'_>>) -> Result<(String, Vec<Member>)> {
    let mut members = Vec::new();
    let mut comment = Vec::new();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("} ") {
            return Ok((name.trim_end_matches(';').to_owned(), members));
        }
        if line.starts_with("/**") {
            comment = read_comment(line, lines);
        } else {
            members.push(Member {
                declaration: line.trim_end_matches([',', ';']).to_owned(),
                comment: std::mem::take(&mut comment),
            });
        }
    }
    bail!("a type without an end")
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::*;

    const TEXT: &str = "\
/*
 * ironhouse: for tests.
 *
 *   int code;
 *   more();
 *
 * RESULTS. Good ones,
 * and others.
 */

#ifndef IRONHOUSE_H

/** A NUL ends it. */
#define IRONHOUSE_NUL ((size_t) -1)

/**
 * What became of it.
 */
typedef enum {
  /**
   * Good.
   */
  IRONHOUSE_OK = 0,
} ironhouse_result_t;

/**
 * A thing.
 */
typedef struct ironhouse_thing_t ironhouse_thing_t;

/**
 * Many things.
 */
typedef struct {
  /**
   * How many.
   */
  size_t size;
  int (*call)(void*, int);
} ironhouse_things_t;

/**
 * Is told of it.
 */
typedef void (*ironhouse_told_fn)(void *user_data, const char *text);

/**
 * Makes a thing (of 10.0.0.0/8; or so); never NULL. Destroy it.
 *
 * Twice.
 */
ironhouse_result_t ironhouse_thing_new(ironhouse_thing_t **thing,
                                       ironhouse_told_fn told);

/**
 * The version.
 */
const char *ironhouse_version(void);

/**
 * Fills it.
 */
static inline void ironhouse_fill(int *api)
{
  *api = f();
}
";

    #[test]
    fn header_is_read_item_by_item() {
        let header = Header::parse(TEXT).unwrap();
        assert_eq!(
            header.intro,
            [
                Block::Paragraph("ironhouse: for tests.".into()),
                Block::Code(vec!["  int code;".into(), "  more();".into()]),
                Block::Paragraph("RESULTS. Good ones, and others.".into()),
            ]
        );
        let found: Vec<_> = header
            .items
            .iter()
            .map(|item| (item.name.as_str(), item.kind))
            .collect();
        assert_eq!(
            found,
            [
                ("IRONHOUSE_NUL", Kind::Constant),
                ("ironhouse_result_t", Kind::Enumeration),
                ("ironhouse_thing_t", Kind::Handle),
                ("ironhouse_things_t", Kind::Structure),
                ("ironhouse_told_fn", Kind::Callback),
                ("ironhouse_thing_new", Kind::Function),
                ("ironhouse_version", Kind::Function),
                ("ironhouse_fill", Kind::Function),
            ]
        );
        let made = header.find("ironhouse_thing_new").unwrap();
        assert_eq!(
            made.declaration,
            "ironhouse_result_t ironhouse_thing_new(ironhouse_thing_t **thing, ironhouse_told_fn told);"
        );
        assert_eq!(made.brief(), "Makes a thing (of 10.0.0.0/8; or so)");
        assert_eq!(made.parameters(), ["thing", "told"]);
        assert_eq!(made.comment.len(), 2);
        let version = header.find("ironhouse_version").unwrap();
        assert!(version.parameters().is_empty());
        let things = header.find("ironhouse_things_t").unwrap();
        assert_eq!(things.members[1].declaration, "int (*call)(void*, int)");
        assert_eq!(
            things.members[0].comment,
            [Block::Paragraph("How many.".into())]
        );
    }

    #[test]
    fn what_has_no_comment_is_an_error() {
        let text = format!("{TEXT}\nint ironhouse_bare(void);\n");
        let error = Header::parse(&text).unwrap_err().to_string();
        assert!(error.contains("ironhouse_bare"), "{error}");
    }
}
