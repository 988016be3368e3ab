//! The texts that settings come from, and places in them.

use std::ops::Range;

use crate::mask::masked;

/// A text that settings come from: a file, a variable of the environment, a flag.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// What people know it by: a path, `environment`, `command line`.
    pub(crate) name: String,
    /// The text as people may see it, with what looks like a secret starred out and every byte where it was.
    pub(crate) shown: String,
}

/// Every text of one load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts(Vec<Text>);

/// A stretch of one of the texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) text: usize,
    pub(crate) span: Range<usize>,
}

/// Where something stands, as people and editors count: lines and characters from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The path of the file, `environment` or `command line`.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.path, self.line, self.column)
    }
}

impl Texts {
    /// Keeps a text, and gives the number by which places name it.
    pub(crate) fn add(&mut self, name: &str, text: &str) -> usize {
        self.0.push(Text { name: name.to_owned(), shown: masked(text) });
        self.0.len() - 1
    }

    pub(crate) fn get(&self, place: &Place) -> &Text {
        &self.0[place.text]
    }

    /// The first line of the place, on character boundaries, however its span was found.
    pub(crate) fn first_line(&self, place: &Place) -> Range<usize> {
        let text = &self.get(place).shown;
        let start = text.floor_char_boundary(place.span.start);
        let end = text.ceil_char_boundary(place.span.end.max(start));
        let line = text[start..end].find(['\n', '\r']).map_or(end, |at| start + at);
        start..line
    }

    pub(crate) fn locate(&self, place: &Place) -> Location {
        let text = self.get(place);
        let before = &text.shown[..self.first_line(place).start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Location {
            path: text.name.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}
