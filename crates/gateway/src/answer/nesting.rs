//! Objects inside one array, as they pass in pieces.

/// Where in an array of objects its bytes have led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Nesting {
    depth: u32,
    /// Whether the array has begun.
    has_begun: bool,
    /// Whether an object stands in front, with no comma after it.
    after_object: bool,
    text: Text,
}

/// Whether the next byte belongs to a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    /// Behind a backslash.
    Escaped,
}

impl Nesting {
    /// The beginning of a stream.
    pub(super) const fn new() -> Self {
        Self { depth: 0, has_begun: false, after_object: false, text: Text::Outside }
    }

    pub(super) fn pass(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.take(*byte));
    }

    fn take(&mut self, byte: u8) {
        match (self.text, byte) {
            (Text::Inside, b'\\') => self.text = Text::Escaped,
            (Text::Inside, b'"') => self.text = Text::Outside,
            (Text::Escaped, _) => self.text = Text::Inside,
            (Text::Inside, _) => {}
            (Text::Outside, b'"') => self.text = Text::Inside,
            (Text::Outside, b'[' | b'{') => {
                self.has_begun = true;
                self.depth = self.depth.saturating_add(1);
            }
            (Text::Outside, b']' | b'}') => {
                self.depth = self.depth.saturating_sub(1);
                self.after_object = true;
            }
            (Text::Outside, b',') if self.depth == 1 => self.after_object = false,
            (Text::Outside, _) => {}
        }
    }

    /// Whether every object that has begun is whole.
    pub(super) const fn is_between(self) -> bool {
        self.depth <= 1 && matches!(self.text, Text::Outside)
    }

    /// Whether the array is whole.
    pub(super) const fn has_closed(self) -> bool {
        self.has_begun && self.depth == 0
    }

    /// What stands in front of one object more.
    pub(super) const fn before_next(self) -> &'static str {
        match (self.has_begun, self.is_between()) {
            (false, _) => "[",
            (true, true) if !self.after_object => "",
            // What is open cannot be closed, and its client fails on it.
            (true, _) => ",\n",
        }
    }
}
