//! JSON as other people's parsers read it, where a member stands twice: some take the first, most take the last.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Which of two members of one name a parser takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    First,
    Last,
}

impl Pick {
    pub(crate) const BOTH: [Self; 2] = [Self::First, Self::Last];

    /// The value of a text; `None` where such a parser refuses it.
    pub(crate) fn read(self, text: &[u8]) -> Option<Value> {
        let mut parser = serde_json::Deserializer::from_slice(text);
        let value = self.deserialize(&mut parser).ok()?;
        parser.end().is_ok().then_some(value)
    }
}

impl<'a> DeserializeSeed<'a> for Pick {
    type Value = Value;

    fn deserialize<D: Deserializer<'a>>(self, parser: D) -> Result<Value, D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Pick {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(self)?;
            if self == Self::Last || !object.contains_key(&name) {
                object.insert(name, value);
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_kinds_of_parser_part_where_a_member_stands_twice() {
        let text = br#"{"a":{"n":1,"n":2},"b":[true,null,-1,0.5,"x"]}"#;
        let read = |pick: Pick| pick.read(text).unwrap()["a"]["n"].as_u64();
        assert_eq!((read(Pick::First), read(Pick::Last)), (Some(1), Some(2)));
        assert_eq!(Pick::Last.read(text), serde_json::from_slice(text).ok());
        assert_eq!(Pick::First.read(b"{} {}"), None);
    }
}
