//! TOML: the tree of the `toml` crate, which recovers from faults and so finds all of them at once.

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue, Error};

use super::{DEPTH_MAX, Source, too_deep};
use crate::problem::Fault;
use crate::tree::{Key, Kind, Node};

pub(super) fn read(source: &Source<'_>) -> Result<Node, Vec<Fault>> {
    let (table, errors) = DeTable::parse_recoverable(source.text);
    if !errors.is_empty() {
        return Err(errors.iter().map(|error| fault(source, error)).collect());
    }
    let span = table.span();
    let kind = table_kind(source, table.into_inner(), 0).map_err(|fault| vec![fault])?;
    Ok(source.node(span, kind))
}

fn fault(source: &Source<'_>, error: &Error) -> Fault {
    let message = format!("this is not valid TOML: {}", error.message().replace('\n', "; "));
    match error.span() {
        Some(span) => Fault::at(&source.place(span), message),
        None => Fault::new(message),
    }
}

fn table_kind(source: &Source<'_>, table: DeTable<'_>, depth: usize) -> Result<Kind, Fault> {
    let mut members = table
        .into_iter()
        .map(|(key, value)| {
            let place = source.place(key.span());
            Ok((Key { name: key.into_inner().into_owned(), place }, node(source, value, depth + 1)?))
        })
        .collect::<Result<Vec<_>, Fault>>()?;
    // The crate sorts members by name; people read them in the order in which they stand.
    members.sort_by_key(|(key, _)| key.place.span.start);
    Ok(Kind::Table(members))
}

fn node(source: &Source<'_>, value: Spanned<DeValue<'_>>, depth: usize) -> Result<Node, Fault> {
    let span = value.span();
    if depth > DEPTH_MAX {
        return Err(too_deep(&source.place(span)));
    }
    let kind = match value.into_inner() {
        DeValue::String(text) => Kind::Text(text.into_owned()),
        DeValue::Integer(number) => Kind::Number(decimal(&number)),
        DeValue::Float(number) => Kind::Number(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Kind::Bool(truth),
        DeValue::Datetime(_) => Kind::Date,
        DeValue::Array(items) => {
            Kind::List(items.into_iter().map(|item| node(source, item, depth + 1)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => table_kind(source, table, depth)?,
    };
    Ok(source.node(span, kind))
}

/// The integer in decimal, whatever base it is written in; one too large for any setting stays as it is written.
fn decimal(number: &DeInteger<'_>) -> String {
    match u64::from_str_radix(number.as_str(), number.radix()) {
        Ok(value) => value.to_string(),
        Err(_) => number.as_str().to_owned(),
    }
}
