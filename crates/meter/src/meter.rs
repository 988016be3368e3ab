//! The meter: bytes as they come, and what they have told so far.

use crate::framing::{Framer, Start};
use crate::lines::Event;
use crate::sheet::Object;
use crate::told::Told;
use crate::{Dialect, Fault, Faults, Framing, Reading};

/// Reads one answer, however its bytes are cut.
///
/// ```
/// use almoner_meter::{Dialect, Framing, Meter};
///
/// let mut meter = Meter::new(Dialect::OpenAiChat, Framing::Sse);
/// meter.feed(b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"compl");
/// meter.feed(b"etion_tokens\":2}}\n\ndata: [DONE]\n\n");
/// let reading = meter.finish();
/// assert_eq!((reading.usage.input, reading.usage.output, reading.finished), (Some(7), Some(2), true));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    dialect: Dialect,
    start: Start,
    framer: Framer,
    told: Told,
}

impl Meter {
    /// A meter for one answer.
    #[must_use]
    pub fn new(dialect: Dialect, framing: Framing) -> Self {
        Self { dialect, start: Start::default(), framer: Framer::new(framing), told: Told::default() }
    }

    /// Takes the next bytes of the answer.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Self { dialect, start, framer, told } = self;
        told.body_bytes = told.body_bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        start.feed(bytes, |bytes| framer.feed(bytes, &mut |event| hear(*dialect, told, event)));
    }

    /// What whole events have told so far.
    #[must_use]
    pub fn so_far(&self) -> Reading {
        self.told.reading(self.dialect)
    }

    /// What the answer told, now that no more of it comes; a last event that lacks only its end counts too.
    #[must_use]
    pub fn finish(mut self) -> Reading {
        self.close();
        self.so_far()
    }

    /// Takes what is left in the framing as the last event.
    pub(crate) fn close(&mut self) {
        let Self { dialect, start, framer, told } = self;
        let mut hear = |event: Event<'_>| hear(*dialect, told, event);
        start.finish(|bytes| framer.feed(bytes, &mut hear));
        framer.finish(&mut hear);
    }

    /// Records what went wrong before the bytes came here.
    pub(crate) fn note(&mut self, fault: Fault) {
        self.told.faults.note(fault);
    }

    /// The usage object that the counts are read from.
    pub(crate) fn usage_object(&self) -> Option<Object> {
        self.told.usage_object(&mut Faults::default())
    }
}

fn hear(dialect: Dialect, told: &mut Told, event: Event<'_>) {
    match event {
        Ok(event) => dialect.note(told, event),
        Err(fault) => told.faults.note(fault),
    }
}
