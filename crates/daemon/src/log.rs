//! The log: what a server says of itself, line by line, for people or for programs.
//!
//! What may stand in it is listed here, and nothing else gets in: no body, no header, no query, no credential, and not
//! what the libraries beneath us would trace. Texts that come from outside are masked and lose their control characters
//! all the same. Lines about calls are written by a thread of their own, which nobody waits for: where its reader is
//! slower than the calls, lines are left out and counted.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};

use almoner_config::{LogFormat, LogLevel, Settings, masked};
use almoner_gateway::{Outcome, Report, Verdict};
use almoner_units::{Charge, NanoUsd, Timestamp};
use serde_json::{Map, Value, json};

use crate::clock;

/// How a warning begins among lines for people.
pub(crate) const WARNING: &str = "warning: ";
/// How many lines about calls may wait to be written.
const QUEUE_MAX: usize = 8192;
/// The longest text from outside in a line.
const TEXT_CHARS_MAX: usize = 500;

/// The log of this process, for those who have nobody to ask for it.
static PROCESS: OnceLock<Log> = OnceLock::new();

/// How the log is written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Log {
    format: LogFormat,
    least: LogLevel,
}

impl Log {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self { format: settings.log_format, least: settings.log }
    }

    /// Makes it the log of the process: of its last words, and of its panics.
    pub(crate) fn of_process(self) {
        PROCESS.get_or_init(|| self);
        std::panic::set_hook(Box::new(|panic| {
            let message = panic.payload_as_str().unwrap_or("for a reason that is no text");
            let at = panic.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
            last_words(&format!("a part of almoner has panicked{at}: {message}"));
        }));
    }

    /// A line as it is written, or none where it is not grave enough. What begins with a warning is one.
    pub(crate) fn say(self, text: &str) -> Option<String> {
        match (text.strip_prefix(WARNING), self.format) {
            (None, _) => self.line(LogLevel::Info, text),
            (Some(_), LogFormat::Text) => self.line(LogLevel::Warn, text),
            (Some(warning), LogFormat::Json) => self.line(LogLevel::Warn, warning),
        }
    }

    /// A line as it is written; `None` where it is not grave enough.
    pub(crate) fn line(self, level: LogLevel, message: &str) -> Option<String> {
        (level >= self.least).then(|| match self.format {
            // What people read at a start has no time before each line.
            LogFormat::Text => clean(message),
            LogFormat::Json => json_line(level, clock::read().wall, &clean(message), Map::new()),
        })
    }

    /// The line about a call; `None` where it is not grave enough.
    fn call(self, report: &Report, outcome: &Outcome) -> Option<String> {
        let is_odd = outcome.overrun != Charge::ZERO || outcome.word == "assumed";
        let level = if is_odd { LogLevel::Warn } else { LogLevel::Info };
        (level >= self.least).then(|| match self.format {
            LogFormat::Text => call_in_words(report, outcome),
            LogFormat::Json => json_line(level, ended_at(report, outcome), "call", call_fields(report, outcome)),
        })
    }
}

/// Says on standard error why the process ends, or what has just broken.
#[allow(clippy::print_stderr)]
pub(crate) fn last_words(message: &str) {
    let log = PROCESS.get().copied().unwrap_or_default();
    match log.format {
        LogFormat::Text => eprintln!("almoner: {}", clean(message)),
        LogFormat::Json => {
            eprintln!("{}", json_line(LogLevel::Error, clock::read().wall, &clean(message), Map::new()));
        }
    }
}

fn json_line(level: LogLevel, at: Timestamp, message: &str, fields: Map<String, Value>) -> String {
    let mut line = Map::new();
    line.insert("at".to_owned(), json!(at.to_string()));
    line.insert("level".to_owned(), json!(level.name()));
    line.insert("message".to_owned(), json!(message));
    line.extend(fields);
    Value::Object(line).to_string()
}

/// A text without secrets and without what moves a cursor. Lines of a configuration that is wrong stay lines.
fn clean(text: &str) -> String {
    masked(text)
        .chars()
        .map(|sign| if sign.is_control() && sign != '\n' { char::REPLACEMENT_CHARACTER } else { sign })
        .collect()
}

/// A text of somebody else, on one line and no longer than it should be.
pub(crate) fn quoted(text: &str) -> String {
    clean(text).replace('\n', " ").chars().take(TEXT_CHARS_MAX).collect()
}

fn ended_at(report: &Report, outcome: &Outcome) -> Timestamp {
    report.at.after(outcome.took)
}

/// In a word: how a call ended, or that it did not go.
pub(crate) fn end_of(report: &Report, outcome: &Outcome) -> &'static str {
    match report.verdict {
        Verdict::Refused(_) => "refused",
        Verdict::Rejected(_) => "rejected",
        Verdict::Admitted { .. } | Verdict::Unbudgeted => outcome.word,
    }
}

/// Why a call did not go, or did not end well, as far as our own words say it.
pub(crate) fn why(report: &Report) -> Option<String> {
    match &report.verdict {
        Verdict::Refused(refusal) => Some(format!("budget {}, {}", refusal.account, refusal.limit)),
        Verdict::Rejected(code) => Some(code.clone()),
        Verdict::Admitted { .. } | Verdict::Unbudgeted => None,
    }
}

fn call_fields(report: &Report, outcome: &Outcome) -> Map<String, Value> {
    let labels: Map<String, Value> =
        report.labels.iter().map(|(name, value)| (name.to_string(), json!(quoted(value.as_str())))).collect();
    let usage = outcome.usage;
    let tokens = [
        ("input", usage.input),
        ("cache_read", usage.cache_read),
        ("cache_write_5m", usage.cache_write_5m),
        ("cache_write_1h", usage.cache_write_1h),
        ("output", usage.output),
        ("reasoning", usage.reasoning),
    ];
    let tokens: Map<String, Value> =
        tokens.into_iter().filter_map(|(kind, count)| Some((kind.to_owned(), json!(count?)))).collect();
    let fields = json!({
        "call": report.id.to_string(),
        "route": report.route,
        "provider": quoted(&report.provider),
        "model": quoted(&report.model),
        "outcome": end_of(report, outcome),
        "why": why(report).map(|why| quoted(&why)),
        "status": outcome.status,
        "priority": report.priority.to_string(),
        "tokens": tokens,
        "charged_nano_usd": outcome.charge.usd().get(),
        "overrun_nano_usd": outcome.overrun.usd().get(),
        "waited_ms": report.waited.ms(),
        "took_ms": outcome.took.ms(),
        "goes_on": outcome.goes_on,
        "labels": labels,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn call_in_words(report: &Report, outcome: &Outcome) -> String {
    let cost = NanoUsd::new(outcome.charge.usd().get());
    let why = why(report).map_or_else(String::new, |why| format!(" ({})", quoted(&why)));
    let labels: Vec<String> =
        report.labels.iter().map(|(name, value)| format!("{name}={}", quoted(value.as_str()))).collect();
    // One that could not be read is for nobody.
    let whither = match report.provider.as_str() {
        "" => String::new(),
        provider => format!(" at {} with {}", quoted(provider), quoted(&report.model)),
    };
    format!(
        "{} call {} {}{why} {}{whither}: {cost}, input {}, output {}, waited {}, took {}; {}",
        ended_at(report, outcome),
        report.id,
        end_of(report, outcome),
        outcome.status,
        tokens(outcome.usage.input),
        tokens(outcome.usage.output),
        report.waited,
        outcome.took,
        labels.join(" "),
    )
}

/// Unknown is not 0.
fn tokens(count: Option<u64>) -> String {
    count.map_or_else(|| "unknown".to_owned(), |count| count.to_string())
}

/// The way to the thread that writes lines about calls; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct CallLog(Option<Arc<Writing>>);

struct Writing {
    log: Log,
    /// Whether every call has a line; else only those that somebody should look at.
    is_every: bool,
    queue: SyncSender<String>,
    dropped: AtomicU64,
}

impl CallLog {
    /// Starts the thread.
    pub(crate) fn start(settings: &Settings) -> std::io::Result<Self> {
        let (log, lines) = Self::queue(settings);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            for line in &lines {
                // Where nobody reads any more, there is nobody to tell that.
                drop(writeln!(std::io::stdout().lock(), "{line}"));
            }
        })?;
        Ok(log)
    }

    /// One whose lines are left to the caller.
    pub(crate) fn queue(settings: &Settings) -> (Self, Receiver<String>) {
        let (queue, lines) = sync_channel(QUEUE_MAX);
        let (log, is_every) = (Log::of(settings), settings.log_calls);
        (Self(Some(Arc::new(Writing { log, is_every, queue, dropped: AtomicU64::default() }))), lines)
    }

    /// Takes a call that has ended.
    pub(crate) fn ended(&self, report: &Report, outcome: &Outcome) {
        let Some(writing) = &self.0 else { return };
        if !writing.is_every && outcome.overrun == Charge::ZERO {
            return;
        }
        let Some(line) = writing.log.call(report, outcome) else { return };
        if let Err(TrySendError::Full(_)) = writing.queue.try_send(line) {
            writing.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes a line of another thread that should not wait for its reader either.
    pub(crate) fn say(&self, text: &str) {
        let Some(writing) = &self.0 else { return };
        if let Some(line) = writing.log.say(text)
            && let Err(TrySendError::Full(_)) = writing.queue.try_send(line)
        {
            writing.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many lines were left out.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |writing| writing.dropped.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_hides_secrets_and_moves_no_cursor() {
        let words = Log::default();
        let line = words.line(LogLevel::Info, "got \u{1b}[31m sk-ant-1234 of alm_abc at http://me:pw@host\nand on");
        assert_eq!(line.unwrap(), "got \u{fffd}[31m *********** of ******* at http://*****@host\nand on");
        assert_eq!(quoted("a\nb"), "a b");
        assert_eq!(quoted(&"x".repeat(600)).len(), TEXT_CHARS_MAX);
    }

    #[test]
    fn a_line_for_programs_is_one_object_whatever_is_in_it() {
        let json = Log { format: LogFormat::Json, least: LogLevel::Warn };
        assert_eq!(json.line(LogLevel::Info, "as ever"), None);
        let line = json.line(LogLevel::Warn, "two\n\"lines\"").unwrap();
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((value["level"].as_str(), value["message"].as_str()), (Some("warn"), Some("two\n\"lines\"")));
        assert!(!line.contains('\n') && value["at"].is_string());
    }
}
