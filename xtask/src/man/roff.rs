//! The source of manual pages. Source: groff_man(7).

/// How wide the source of a page is.
pub(super) const WIDTH: usize = 78;

/// The source of a page.
#[derive(Default)]
pub(super) struct Roff(String);

impl Roff {
    /// A line as it is.
    pub(super) fn request(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// A paragraph that is escaped already: filled, each sentence on a line of its own.
    pub(super) fn text(&mut self, text: &str) {
        let mut line = String::new();
        let mut ended = false;
        for word in text.split_whitespace() {
            let starts = word
                .trim_start_matches(['\\', '('])
                .starts_with(|it: char| it.is_uppercase());
            let breaks = ended && (starts || word.starts_with("\\f"));
            if !line.is_empty() && (breaks || line.len() + 1 + word.len() > WIDTH) {
                self.line(&line);
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
            ended = word.ends_with(['.', '?', '!']);
        }
        self.line(&line);
    }

    /// A line of text, which is no request, whatever it starts with.
    pub(super) fn line(&mut self, line: &str) {
        if line.starts_with(['.', '\'']) {
            self.0.push_str("\\&");
        }
        self.request(line);
    }

    /// Lines that stay as they are.
    pub(super) fn code(&mut self, lines: &[String]) {
        self.request(".nf");
        for line in lines {
            match line.is_empty() {
                true => self.request(".sp"),
                false => self.request(&format!("\\fB{}\\fR", escaped(line))),
            }
        }
        self.request(".fi");
    }

    /// Starts a paragraph with a tag.
    pub(super) fn tagged(&mut self, tag: &str) {
        self.request(".TP");
        self.request(tag);
    }

    pub(super) fn see_also(&mut self, pages: impl IntoIterator<Item = String>) {
        self.request(".SH SEE ALSO");
        let pages: Vec<String> = pages
            .into_iter()
            .map(|page| match page.split_once('(') {
                Some((name, section)) => format!("\\fB{}\\fR({section}", escaped(name)),
                None => page,
            })
            .collect();
        self.text(&pages.join(", "));
    }

    pub(super) fn done(self) -> String {
        self.0
    }
}

/// Text that roff prints as it is, character by character.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '\'' => escaped.push_str("\\(aq"),
            '`' => escaped.push_str("\\(ga"),
            '^' => escaped.push_str("\\(ha"),
            '~' => escaped.push_str("\\(ti"),
            '"' => escaped.push_str("\\(dq"),
            other if other.is_ascii() => escaped.push(other),
            other => escaped.push_str(&format!("\\[u{:04X}]", u32::from(other))),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_printed_character_by_character() {
        assert_eq!(escaped("a-b \\ it's ü"), "a\\-b \\e it\\(aqs \\[u00FC]");
        let mut roff = Roff::default();
        roff.text(".so is no request. 'tis none either");
        assert_eq!(roff.done(), "\\&.so is no request. 'tis none either\n");
    }
}
