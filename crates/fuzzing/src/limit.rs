//! The words of budgets: what reads prints, and what prints reads the same.

use std::fmt;
use std::str::FromStr;

use almoner_units::{BudgetName, LabelName, LabelValue, Limit, Meter, NanoUsd, Priority, Span, Window, Zone};

/// Any text as a limit, and as each word that a limit and a label are made of.
pub(crate) fn limit(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<Limit>() {
        Ok(limit) => {
            assert!(limit.amount > 0, "{text:?} is a limit of nothing");
            reads_what_it_prints(&limit);
        }
        Err(error) => {
            // Carets stand under characters of the text, so the place is one.
            assert!(text.get(error.at()).is_some(), "{text:?} is at fault at {:?}", error.at());
            assert!(!error.message().is_empty() && !error.to_string().is_empty());
        }
    }
    word::<Window>(text);
    word::<Span>(text);
    word::<NanoUsd>(text);
    word::<Meter>(text);
    word::<BudgetName>(text);
    word::<LabelName>(text);
    word::<LabelValue>(text);
    let _ = (text.parse::<Priority>(), text.parse::<Zone>());
}

fn word<T: FromStr<Err: fmt::Display> + fmt::Display + fmt::Debug + PartialEq>(text: &str) {
    match text.parse::<T>() {
        Ok(word) => reads_what_it_prints(&word),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn reads_what_it_prints<T: FromStr<Err: fmt::Display> + fmt::Display + fmt::Debug + PartialEq>(word: &T) {
    let printed = word.to_string();
    match printed.parse::<T>() {
        Ok(again) => assert_eq!(&again, word, "printed as {printed:?}"),
        Err(error) => panic!("{word:?} prints as {printed:?}, which does not read: {error}"),
    }
}
