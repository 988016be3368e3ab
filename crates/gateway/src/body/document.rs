//! A body as values that can be walked.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use super::scan::{Kind, Node, scan};
use super::{BadBody, Layout};

/// A body and the index of its values.
#[derive(Debug)]
pub struct Document<'b> {
    text: &'b str,
    nodes: Vec<Node>,
}

impl<'b> Document<'b> {
    /// Reads a body.
    ///
    /// # Errors
    /// [`BadBody`] where it is not one JSON object in UTF-8, or too deep or too large.
    pub fn read(body: &'b [u8]) -> Result<Self, BadBody> {
        let text = std::str::from_utf8(body).map_err(|error| BadBody::NotUtf8 { at: error.valid_up_to() })?;
        let nodes = scan(text)?;
        match nodes[0].kind {
            Kind::Object => Ok(Self { text, nodes }),
            _ => Err(BadBody::NotAnObject),
        }
    }

    /// The object that the body is.
    ///
    /// # Errors
    /// [`BadBody::Duplicate`] where it has a member twice.
    pub fn root(&self) -> Result<Object<'_>, BadBody> {
        Value { document: self, at: 0 }.object("the body")
    }

    fn node(&self, at: usize) -> Node {
        self.nodes[at]
    }
}

/// One value in a body.
#[derive(Clone, Copy)]
pub struct Value<'d> {
    document: &'d Document<'d>,
    at: usize,
}

impl<'d> Value<'d> {
    fn node(self) -> Node {
        self.document.node(self.at)
    }

    /// The bytes it takes.
    #[must_use]
    pub fn span(self) -> Range<usize> {
        let node = self.node();
        node.start as usize..node.end as usize
    }

    /// Its text as it stands in the body.
    #[must_use]
    pub fn raw(self) -> &'d str {
        &self.document.text[self.span()]
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.node().kind == Kind::Null
    }

    /// Whether it is a text.
    #[must_use]
    pub fn is_text(self) -> bool {
        matches!(self.node().kind, Kind::Plain | Kind::Escaped)
    }

    /// Whether it is an array.
    #[must_use]
    pub fn is_array(self) -> bool {
        self.node().kind == Kind::Array
    }

    /// Whether it is an object.
    #[must_use]
    pub fn is_object(self) -> bool {
        self.node().kind == Kind::Object
    }

    /// The text it means, unescaped; `None` where it is none. Half a surrogate pair reads as U+FFFD.
    #[must_use]
    pub fn text(self) -> Option<Cow<'d, str>> {
        let span = self.span();
        let inner = |span: Range<usize>| &self.document.text[span.start + 1..span.end - 1];
        match self.node().kind {
            Kind::Plain => Some(Cow::Borrowed(inner(span))),
            Kind::Escaped => Some(Cow::Owned(unescape(inner(span)))),
            _ => None,
        }
    }

    /// The boolean it is.
    #[must_use]
    pub fn boolean(self) -> Option<bool> {
        (self.node().kind == Kind::Bool).then(|| self.raw() == "true")
    }

    /// The whole number it is, written in digits alone: `1e5`, `1.0`, `-0` and `"1"` are none.
    #[must_use]
    pub fn count(self) -> Option<u64> {
        let digits = self.raw();
        let is_digits = self.node().kind == Kind::Number && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_digits { digits.parse().ok() } else { None }
    }

    /// What an array holds; nothing for every other value.
    pub fn items(self) -> impl Iterator<Item = Value<'d>> {
        let end = if self.is_array() { self.node().next as usize } else { self.at };
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            let item = (at < end).then_some(Self { at, ..self })?;
            at = item.node().next as usize;
            Some(item)
        })
    }

    /// Every text and every name under it, itself included.
    pub fn texts(self) -> impl Iterator<Item = Value<'d>> {
        (self.at..self.node().next as usize).map(move |at| Self { at, ..self }).filter(|value| value.is_text())
    }

    /// Whatever follows a text that reads `name`, anywhere under it: the values of all members of that name, and
    /// perhaps a value that only stands behind such a text.
    pub fn values_named(self, name: &str) -> impl Iterator<Item = Value<'d>> {
        let end = self.node().next as usize;
        let is_named = move |text: &Value<'_>| match text.node().kind {
            Kind::Plain => &text.raw()[1..text.raw().len() - 1] == name,
            // An escape takes at most six bytes for one.
            Kind::Escaped => text.raw().len() <= 6 * name.len() + 2 && text.text().is_some_and(|text| text == name),
            _ => false,
        };
        self.texts()
            .filter(is_named)
            .map(move |text| Value { at: text.at + 1, ..self })
            .filter(move |next| next.at < end)
    }

    /// How many values and names it is made of, itself included.
    #[must_use]
    pub fn size(self) -> usize {
        self.node().next as usize - self.at
    }

    /// It as an object; `member` is its name in an error.
    ///
    /// # Errors
    /// [`BadBody`] where it is none, or has a member twice.
    pub fn object(self, member: &str) -> Result<Object<'d>, BadBody> {
        if !self.is_object() {
            return Err(BadBody::wrong(member, "an object"));
        }
        Object::read(self)
    }
}

/// An object in a body, each of whose members has a name of its own.
pub struct Object<'d> {
    value: Value<'d>,
    members: Vec<Member<'d>>,
}

/// One member of an object.
pub(super) struct Member<'d> {
    pub(super) name: Cow<'d, str>,
    pub(super) key: Value<'d>,
    pub(super) value: Value<'d>,
}

impl<'d> Object<'d> {
    fn read(value: Value<'d>) -> Result<Self, BadBody> {
        let end = value.node().next as usize;
        let mut members = Vec::new();
        let mut at = value.at + 1;
        while at < end {
            let key = Value { at, ..value };
            let held = Value { at: at + 1, ..value };
            let name = key.text().unwrap_or_default();
            at = held.node().next as usize;
            members.push(Member { name, key, value: held });
        }
        match twice(&members) {
            None => Ok(Self { value, members }),
            Some(second) => {
                let name = second.name.chars().take(64).collect::<String>().escape_debug().to_string();
                Err(BadBody::Duplicate { name, at: second.key.span().start })
            }
        }
    }

    /// The object as a value.
    #[must_use]
    pub fn value(&self) -> Value<'d> {
        self.value
    }

    /// The member of this name, `null` or not.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value<'d>> {
        self.members.iter().find(|member| member.name == name).map(|member| member.value)
    }

    /// The member of this name where it says anything: `null` is as good as absent.
    #[must_use]
    pub fn told(&self, name: &str) -> Option<Value<'d>> {
        self.get(name).filter(|value| !value.is_null())
    }

    /// Every member with its name, in the order in which they stand.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Value<'d>)> {
        self.members.iter().map(|member| (member.name.as_ref(), member.value))
    }

    /// Where its members stand, for a change that is made once the body has been judged.
    #[must_use]
    pub fn layout(&self) -> Layout {
        Layout::of(self.value.span(), self.members.iter())
    }
}

/// The first member whose name stood before.
fn twice<'m, 'd>(members: &'m [Member<'d>]) -> Option<&'m Member<'d>> {
    if members.len() <= 16 {
        let before = |at: usize| members[..at].iter().any(|earlier| earlier.name == members[at].name);
        return (1..members.len()).find(|at| before(*at)).map(|at| &members[at]);
    }
    let mut seen = HashSet::with_capacity(members.len());
    members.iter().find(|member| !seen.insert(member.name.as_ref()))
}

/// The text that an escaped one means. The scanner has seen that every escape is whole.
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        text.push_str(&rest[..at]);
        let (meant, length) = escaped(&rest[at + 1..]);
        text.push(meant);
        rest = &rest[at + 1 + length..];
    }
    text.push_str(rest);
    text
}

/// The character that an escape means, and the bytes it takes after its backslash.
fn escaped(after: &str) -> (char, usize) {
    match after.as_bytes().first() {
        Some(b'b') => ('\u{8}', 1),
        Some(b'f') => ('\u{c}', 1),
        Some(b'n') => ('\n', 1),
        Some(b'r') => ('\r', 1),
        Some(b't') => ('\t', 1),
        Some(b'u') => match (hex(&after[1..]), after.get(5..7).filter(|next| *next == "\\u").map(|_| hex(&after[7..])))
        {
            (high @ 0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
                let both = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                (char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER), 11)
            }
            (unit, _) => (char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), 5),
        },
        Some(same) => (char::from(*same), 1),
        None => (char::REPLACEMENT_CHARACTER, 0),
    }
}

fn hex(digits: &str) -> u32 {
    digits.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0xfffd)
}
