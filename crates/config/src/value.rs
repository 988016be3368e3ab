//! From a node to a value of the type a setting wants.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use almoner_units::{Limit, LimitError, Meter, MoneyError, PicoUsdPerToken, Span};

use crate::problem::Fault;
use crate::tree::{Kind, Node};
use almoner_units::nearest;

/// The fault of a value that is of another type than the setting wants.
fn wrong(node: &Node, wanted: &str) -> Fault {
    Fault::at(&node.place, format!("this must be {wanted}, not {}", node.what()))
}

/// Text that is not empty.
pub(crate) fn text(node: &Node) -> Result<&str, Fault> {
    match &node.kind {
        Kind::Text(text) | Kind::Word(text) if text.trim().is_empty() => Err(Fault::at(&node.place, "this is empty")),
        Kind::Text(text) | Kind::Word(text) => Ok(text),
        _ => Err(wrong(node, "text")),
    }
}

pub(crate) fn truth(node: &Node) -> Result<bool, Fault> {
    match &node.kind {
        Kind::Bool(truth) => Ok(*truth),
        Kind::Word(word) => match word.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(Fault::at(&node.place, format!("`{word}` is neither `true` nor `false`"))),
        },
        _ => Err(wrong(node, "true or false")),
    }
}

/// A whole number within a range.
pub(crate) fn count(range: RangeInclusive<u64>) -> impl Fn(&Node) -> Result<u64, Fault> {
    move |node| {
        let number = literal(node, "a whole number")?.replace('_', "");
        let outside = || format!("`{number}` is no whole number from {} to {}", range.start(), range.end());
        let count = number.parse().ok().filter(|count| range.contains(count));
        count.ok_or_else(|| Fault::at(&node.place, outside()))
    }
}

/// How often something is tried again.
pub(crate) fn retries(node: &Node) -> Result<u32, Fault> {
    // The most is far from what a u32 holds.
    count(0..=20)(node).map(|count| u32::try_from(count).unwrap_or(u32::MAX))
}

/// A price in dollars per million tokens: a number or a text, never a float.
pub(crate) fn price(node: &Node) -> Result<PicoUsdPerToken, Fault> {
    let number = match &node.kind {
        Kind::Text(text) => text,
        _ => literal(node, "a price in dollars per million tokens")?,
    };
    let help = "a price is dollars per million tokens, such as 3.00 or \"$0.0375\"";
    PicoUsdPerToken::per_million(number).map_err(|error| Fault::at(&node.place, price_fault(&error)).help(help))
}

/// The fault of a price, which is coarser than an amount of dollars.
fn price_fault(error: &MoneyError) -> String {
    match error {
        MoneyError::NotANumber(text) => format!("`{text}` is no price"),
        MoneyError::TooFine(text) => format!("`{text}` has more than 6 decimals"),
        MoneyError::TooLarge(text) => format!("`{text}` is more than any token costs"),
    }
}

/// A number as it is written.
fn literal<'a>(node: &'a Node, wanted: &str) -> Result<&'a str, Fault> {
    match &node.kind {
        Kind::Number(number) | Kind::Word(number) => Ok(number),
        _ => Err(wrong(node, wanted)),
    }
}

/// Text that its type reads and whose error says what is wrong with it.
pub(crate) fn parsed<T: FromStr<Err: Display>>(node: &Node) -> Result<T, Fault> {
    text(node)?.parse().map_err(|error: T::Err| Fault::at(&node.place, error.to_string()))
}

/// A length of time.
pub(crate) fn span(node: &Node) -> Result<Span, Fault> {
    text(node).map_err(|fault| fault.help("write it like \"30s\" or \"1h30m\""))?;
    parsed(node)
}

/// One of a few words.
pub(crate) fn choice<T: Copy>(node: &Node, what: &str, known: &[(&'static str, T)]) -> Result<T, Fault> {
    let word = text(node)?;
    let names = || known.iter().map(|(name, _)| *name);
    let unknown = || {
        let words: Vec<&str> = names().collect();
        Fault::at(&node.place, format!("`{word}` is no {what}; write {}", words.join(", ")))
            .nearest(nearest(word, names()))
    };
    known.iter().find(|(name, _)| *name == word).map(|(_, value)| *value).ok_or_else(unknown)
}

/// A limit, with the fault underlined inside its text.
pub(crate) fn limit(node: &Node) -> Result<Limit, Fault> {
    let words = text(node).map_err(|fault| fault.help("write it like \"$5 / day\" or \"100k tokens / sliding 1h\""))?;
    words.parse().map_err(|error: LimitError| {
        let bad = words.get(error.at()).unwrap_or("");
        let fault = Fault::at(&node.part(error.at()), error.message());
        match error.meant() {
            Some(meant) => fault.help(format!("did you mean `{meant}`?")),
            None => fault.nearest(nearest(bad, Meter::ALL.map(Meter::name))),
        }
    })
}

pub(crate) fn list(node: &Node) -> Result<&[Node], Fault> {
    match &node.kind {
        Kind::List(items) => Ok(items),
        _ => Err(wrong(node, "a list")),
    }
}

/// A list, or one value that stands for a list of one.
pub(crate) fn one_or_many(node: &Node) -> &[Node] {
    match &node.kind {
        Kind::List(items) => items,
        _ => std::slice::from_ref(node),
    }
}

/// A path as it is meant: nothing here expands a `~`.
pub(crate) fn path(node: &Node) -> Result<std::path::PathBuf, Fault> {
    let text = text(node)?;
    if text == "~" || text.starts_with("~/") {
        return Err(Fault::at(&node.place, "`~` is the shell's; write the path in full"));
    }
    Ok(text.into())
}
