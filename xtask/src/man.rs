//! The manual pages of the C interface: one for each function and type of `ironhouse.h`, made of its comments, and `ironhouse(3)`.

mod roff;

use std::collections::BTreeSet;

use crate::header::{Block, Header, Item, Kind};
use roff::{Roff, WIDTH, escaped};

/// A page of section 3.
#[derive(Debug)]
pub struct Page {
    pub name: String,
    pub text: String,
}

/// All pages. `date` is that of the pages, as year, month and day.
pub fn pages(header: &Header, version: &str, date: &str) -> Vec<Page> {
    let manual = Manual {
        header,
        version,
        date,
    };
    let described = header.items.iter().filter(|it| it.kind != Kind::Constant);
    let mut pages = vec![manual.overview()];
    pages.extend(described.map(|item| manual.page(item)));
    pages
}

struct Manual<'a> {
    header: &'a Header,
    version: &'a str,
    date: &'a str,
}

impl Manual<'_> {
    fn overview(&self) -> Page {
        let mut intro = self.header.intro.iter();
        let title = match intro.next() {
            Some(Block::Paragraph(title)) => title.as_str(),
            _ => "",
        };
        let brief = title.split_once(": ").map_or(title, |(_, brief)| brief);
        let brief = brief.trim_end_matches('.');
        let mut roff = self.start("ironhouse", brief);
        roff.request(".SH SYNOPSIS");
        roff.code(&[
            "#include <ironhouse.h>".to_owned(),
            String::new(),
            "cc program.c $(pkg-config --cflags --libs ironhouse libzmq)".to_owned(),
        ]);
        roff.request(".SH DESCRIPTION");
        let mut first = true;
        for block in intro {
            let heading = match block {
                Block::Paragraph(text) => text.split([' ', '.']).next().filter(|word| {
                    word.len() > 3 && word.chars().all(|it| it.is_ascii_uppercase())
                }),
                Block::Code(_) => None,
            };
            match (heading, block) {
                (Some(heading), Block::Paragraph(text)) => {
                    roff.request(&format!(".SH {heading}"));
                    let rest = text.strip_prefix(heading).unwrap_or(text);
                    match rest.strip_prefix(". ") {
                        Some(rest) => roff.text(&self.marked(rest, &[])),
                        None => {
                            let text = format!("{}{rest}", capitalised(heading));
                            roff.text(&self.marked(&text, &[]));
                        }
                    }
                }
                _ => self.blocks(&mut roff, std::slice::from_ref(block), &[], !first),
            }
            first = false;
        }
        roff.request(".SH FUNCTIONS AND TYPES");
        for (title, items) in self.groups() {
            roff.request(&format!(".SS {}", escaped(&title)));
            for item in items {
                self.entry(&mut roff, item);
            }
        }
        roff.request(".SH CONSTANTS");
        for item in self
            .header
            .items
            .iter()
            .filter(|it| it.kind == Kind::Constant)
        {
            roff.tagged(&format!("\\fB{}\\fR", escaped(&item.name)));
            self.blocks(&mut roff, &item.comment, &[], false);
        }
        let others = [
            "zmq_curve(7)",
            "zmq_gssapi(7)",
            "zmq_null(7)",
            "zmq_plain(7)",
        ];
        roff.see_also(others.map(str::to_owned));
        Page {
            name: "ironhouse".to_owned(),
            text: roff.done(),
        }
    }

    fn page(&self, item: &Item) -> Page {
        let parameters = item.parameters();
        let mut roff = self.start(&item.name, item.brief());
        let mut also = BTreeSet::from(["ironhouse(3)".to_owned()]);
        roff.request(".SH SYNOPSIS");
        roff.code(&["#include <ironhouse.h>".to_owned()]);
        self.declare(&mut roff, item);
        for named in self.named_in(&item.declaration, item) {
            // What a caller has to write himself.
            if named.kind == Kind::Callback {
                self.declare(&mut roff, named);
            }
            also.insert(format!("{}(3)", named.name));
        }
        roff.request(".SH DESCRIPTION");
        self.blocks(&mut roff, &item.comment, &parameters, false);
        match item.kind {
            Kind::Structure => self.members(&mut roff, "MEMBERS", item, &mut also),
            Kind::Enumeration => self.members(&mut roff, "VALUES", item, &mut also),
            Kind::Handle => {
                roff.request(".SH FUNCTIONS");
                for function in self.functions_of(item) {
                    self.entry(&mut roff, function);
                }
            }
            Kind::Function if item.declaration.starts_with("ironhouse_result_t ") => {
                self.results(&mut roff, item);
            }
            Kind::Callback => {
                let users = self.header.functions();
                let users = users.filter(|it| mentions(&it.declaration, &item.name));
                also.extend(users.map(|it| format!("{}(3)", it.name)));
            }
            Kind::Function | Kind::Constant => {}
        }
        for block in &item.comment {
            if let Block::Paragraph(text) = block {
                let named = self.named_in(text, item);
                also.extend(named.map(|it| format!("{}(3)", it.name)));
            }
        }
        roff.see_also(also);
        Page {
            name: item.name.clone(),
            text: roff.done(),
        }
    }

    fn start(&self, name: &str, brief: &str) -> Roff {
        let mut roff = Roff::default();
        roff.request(".\\\" Made of ironhouse.h by cargo xtask install.");
        roff.request(&format!(
            ".TH {} 3 \"{}\" \"ironhouse {}\" \"ironhouse Manual\"",
            escaped(&name.to_uppercase()),
            self.date,
            self.version
        ));
        // Names are not to be broken, and gaps not to be stretched in their place.
        roff.request(".nh");
        roff.request(".ad l");
        roff.request(".SH NAME");
        let brief = uncapitalised(brief).replace('`', "");
        roff.request(&format!("{name} \\- {}", escaped(&brief)));
        roff
    }

    /// What a call answers, and which answers its comment names.
    fn results(&self, roff: &mut Roff, item: &Item) {
        roff.request(".SH RETURN VALUE");
        let text = "IRONHOUSE_OK, or why the call failed: ironhouse_result_t has all answers, and ironhouse_last_error() has the reason in words. A failed call \
                    has changed nothing, unless it is said above.";
        roff.text(&self.marked(text, &[]));
        let Some(results) = self.header.find("ironhouse_result_t") else {
            return;
        };
        let said = |name: &str| {
            item.comment.iter().any(|block| match block {
                Block::Paragraph(text) => mentions(text, name),
                Block::Code(_) => false,
            })
        };
        let mut first = true;
        for member in &results.members {
            let name = member.declaration.split(' ').next().unwrap_or_default();
            if name != "IRONHOUSE_OK" && said(name) {
                if first {
                    roff.request(".SH ERRORS");
                }
                first = false;
                roff.tagged(&format!("\\fB{}\\fR", escaped(name)));
                self.blocks(roff, &member.comment, &[], false);
            }
        }
    }

    fn members(&self, roff: &mut Roff, title: &str, item: &Item, also: &mut BTreeSet<String>) {
        roff.request(&format!(".SH {title}"));
        for member in item.members.iter().filter(|it| !it.comment.is_empty()) {
            roff.tagged(&format!("\\fB{}\\fR", escaped(&member.declaration)));
            self.blocks(roff, &member.comment, &[], false);
        }
        for user in self.header.items.iter() {
            if item.kind == Kind::Structure
                && mentions(&user.declaration, &item.name)
                && user.name != item.name
            {
                also.insert(format!("{}(3)", user.name));
            }
        }
    }

    fn declare(&self, roff: &mut Roff, item: &Item) {
        let mut lines = Vec::new();
        match item.kind {
            Kind::Structure | Kind::Enumeration => {
                let start = item
                    .declaration
                    .rsplit_once(' ')
                    .map_or("", |(start, _)| start);
                lines.push(format!("{start} {{"));
                let end = if item.kind == Kind::Structure {
                    ';'
                } else {
                    ','
                };
                let members = item.members.iter();
                lines.extend(members.map(|it| format!("    {}{end}", it.declaration)));
                lines.push(format!("}} {};", item.name));
            }
            _ if item.declaration.len() <= WIDTH - 8 => lines.push(item.declaration.clone()),
            _ => {
                let (start, list) = item
                    .declaration
                    .rsplit_once('(')
                    .unwrap_or((&item.declaration, ""));
                lines.push(format!("{start}("));
                lines.extend(list.split(", ").map(|it| match it.ends_with(';') {
                    true => format!("    {it}"),
                    false => format!("    {it},"),
                }));
            }
        }
        roff.request(".PP");
        roff.code(&lines);
    }

    /// A line of a list of items.
    fn entry(&self, roff: &mut Roff, item: &Item) {
        roff.tagged(&format!("\\fB{}\\fR(3)", escaped(&item.name)));
        roff.text(&self.marked(item.brief(), &item.parameters()));
    }

    /// The functions and types by what they are about, with a title each.
    fn groups(&self) -> Vec<(String, Vec<&Item>)> {
        let mut groups: Vec<(String, Vec<&Item>)> = Vec::new();
        let described = self
            .header
            .items
            .iter()
            .filter(|it| it.kind != Kind::Constant);
        for item in described {
            let title = self.group_of(item);
            match groups.iter_mut().find(|(known, _)| *known == title) {
                Some((_, items)) => items.push(item),
                None => groups.push((title, vec![item])),
            }
        }
        // Structures and callbacks are looked up from where they are used.
        groups.sort_by_key(|(title, _)| title == "Types");
        groups
    }

    fn group_of(&self, item: &Item) -> String {
        let handle = |it: &&Item| {
            it.kind == Kind::Handle
                && (it.name == item.name
                    || self
                        .functions_of(it)
                        .any(|function| function.name == item.name))
        };
        let word = item.name.trim_start_matches("ironhouse_");
        let title = match self.header.items.iter().find(handle) {
            Some(owner) => owner
                .name
                .trim_start_matches("ironhouse_")
                .trim_end_matches("_t"),
            None if word.starts_with("api_") => "functions of libzmq",
            None if word.starts_with("socket_") => "sockets",
            None if item.kind == Kind::Function => "keys, errors, version",
            None => "types",
        };
        capitalised(&title.replace('_', " "))
    }

    /// Those that begin with a handle's name.
    fn functions_of(&self, handle: &Item) -> impl Iterator<Item = &Item> {
        let start = format!("{}_", handle.name.trim_end_matches("_t"));
        let functions = self.header.functions();
        functions.filter(move |function| function.name.starts_with(&start))
    }

    /// Other functions and types that a text names.
    fn named_in<'t>(&'t self, text: &'t str, but: &'t Item) -> impl Iterator<Item = &'t Item> {
        self.header.items.iter().filter(move |it| {
            it.kind != Kind::Constant && it.name != but.name && mentions(text, &it.name)
        })
    }

    fn blocks(&self, roff: &mut Roff, blocks: &[Block], parameters: &[&str], mut apart: bool) {
        for block in blocks {
            if apart {
                roff.request(".PP");
            }
            apart = true;
            match block {
                Block::Paragraph(text) => roff.text(&self.marked(text, parameters)),
                Block::Code(lines) => {
                    roff.request(".RS 4");
                    let lines: Vec<String> = lines.iter().map(|it| it.trim().to_owned()).collect();
                    roff.code(&lines);
                    roff.request(".RE");
                }
            }
        }
    }

    /// A text with its names set apart: parameters, and what stands in backquotes; constants; functions and types, with their section.
    fn marked(&self, text: &str, parameters: &[&str]) -> String {
        let mut marked = String::new();
        for (at, piece) in text.split('`').enumerate() {
            if at % 2 == 1 {
                let font = if parameters.contains(&piece) {
                    'I'
                } else {
                    'B'
                };
                marked.push_str(&format!("\\f{font}{}\\fR", escaped(piece)));
                continue;
            }
            let mut rest = piece;
            while !rest.is_empty() {
                let start = rest.find(is_name).unwrap_or(rest.len());
                let (between, tail) = rest.split_at(start);
                marked.push_str(&escaped(between));
                let end = tail.find(|it| !is_name(it)).unwrap_or(tail.len());
                let (name, tail) = tail.split_at(end);
                rest = tail;
                if let Some(after) = tail.strip_prefix("()") {
                    marked.push_str(&format!("\\fB{}\\fR(3)", escaped(name)));
                    rest = after;
                } else if self
                    .header
                    .find(name)
                    .is_some_and(|it| it.kind != Kind::Constant)
                {
                    marked.push_str(&format!("\\fB{}\\fR(3)", escaped(name)));
                } else if name.starts_with("IRONHOUSE_") || name.starts_with("ZMQ_") {
                    marked.push_str(&format!("\\fB{}\\fR", escaped(name)));
                } else {
                    marked.push_str(&escaped(name));
                }
            }
        }
        marked
    }
}

fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// Whether a text has a name, and not only as a part of a longer one.
fn mentions(text: &str, name: &str) -> bool {
    text.split(|it| !is_name(it)).any(|word| word == name)
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|it| it.to_ascii_uppercase());
    let rest = characters.as_str();
    let rest = if text.chars().all(|it| it.is_ascii_uppercase()) {
        rest.to_lowercase()
    } else {
        rest.to_owned()
    };
    first.into_iter().collect::<String>() + &rest
}

/// As a line of a list of pages begins, but for names and abbreviations.
fn uncapitalised(text: &str) -> String {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(first), Some(' ' | 'a'..='z')) => {
            let rest = text.get(first.len_utf8()..).unwrap_or_default();
            format!("{}{rest}", first.to_lowercase())
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_set_apart() {
        let header = "/*\n * i: x\n */\n/**\n * A. It uses `key`, `name=value`, dlopen() and IRONHOUSE_OK.\n */\nvoid ironhouse_a(int key);\n";
        let header = Header::parse(header).unwrap();
        let pages = pages(&header, "1.2.3", "2027-01-31");
        let names: Vec<&str> = pages.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["ironhouse", "ironhouse_a"]);
        let text = &pages[1].text;
        for part in [
            ".TH IRONHOUSE_A 3 \"2027-01-31\" \"ironhouse 1.2.3\" \"ironhouse Manual\"\n",
            "\nironhouse_a \\- A\n",
            "\n\\fBvoid ironhouse_a(int key);\\fR\n",
            "A.\nIt uses \\fIkey\\fR, \\fBname=value\\fR, \\fBdlopen\\fR(3) and \\fBIRONHOUSE_OK\\fR.\n",
            "\n.SH SEE ALSO\n\\fBironhouse\\fR(3)\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
