//! JSON that may be anything: what it takes of memory is bounded while it is read, not afterwards. A few
//! bytes of text make large values (`{},` a whole struct of defaults, `{"":0},` a node of a tree), so a
//! limit on the file's size alone is none on memory.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A sequence of at most `MOST` elements, for `#[serde(deserialize_with)]`.
///
/// # Errors
/// At the first element beyond.
pub fn at_most<'de, const MOST: usize, T: serde::Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct Elements<const MOST: usize, T>(PhantomData<T>);
    impl<'de, const MOST: usize, T: serde::Deserialize<'de>> Visitor<'de> for Elements<MOST, T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MOST}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<T>, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = from.next_element()? {
                if elements.len() == MOST {
                    return Err(A::Error::custom(format_args!("a list has more than {MOST} entries")));
                }
                elements.push(element);
            }
            Ok(elements)
        }
    }
    deserializer.deserialize_seq(Elements::<MOST, T>(PhantomData))
}

/// Bytes that a parsed document may take for each byte of its text, and those that any may take.
const FACTOR: usize = 16;
const BASE: usize = 1 << 16;
/// About what a value takes in a list that grows, a member of an object, and an object's first node.
const VALUE: usize = 2 * size_of::<Value>();
const MEMBER: usize = size_of::<(String, Value)>();
const OBJECT: usize = 11 * MEMBER;

/// A document as a tree, of a size in proportion to the text's.
///
/// # Errors
/// If it is no JSON, or takes more memory than sixteen times its text does.
pub fn tree(text: &[u8]) -> serde_json::Result<Value> {
    let left = Cell::new(text.len().saturating_mul(FACTOR).saturating_add(BASE));
    let mut parser = serde_json::Deserializer::from_slice(text);
    let value = Tree(&left).deserialize(&mut parser)?;
    parser.end().map(|()| value)
}

/// Builds a value, and takes from what is left.
#[derive(Clone, Copy)]
struct Tree<'a>(&'a Cell<usize>);

impl Tree<'_> {
    fn take<E: Error>(self, bytes: usize) -> Result<(), E> {
        let left = self.0.get().checked_sub(bytes);
        self.0.set(left.ok_or_else(|| E::custom("it would take far more memory than its text"))?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.take(value.len())?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = from.next_element_seed(self)? {
            self.take(VALUE)?;
            elements.push(element);
        }
        Ok(elements.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            // Nodes of the tree are at least half full.
            self.take(name.len() + if members.is_empty() { OBJECT } else { 2 * MEMBER })?;
            members.insert(name, from.next_value_seed(self)?);
        }
        Ok(members.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_those_of_serde_json() {
        let text = r#"{"a": [1, -2, 2.5, 1e3, true, null, "x\u00e9"], "b": {"c": {}, "d": []}, "": {"": 0}, "a2": 1}"#;
        assert_eq!(tree(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        for bad in ["", "{", "[1] 2", "nul", "[1e999]", &"[".repeat(100_000)] {
            assert!(tree(bad.as_bytes()).is_err(), "{bad:.20}");
        }
    }

    #[test]
    fn trees_larger_than_their_text_are_refused() {
        let many = |part: &str| format!("[{}0]", part.repeat(100_000));
        for part in ["{\"\":0},", "[{\"\":0}],", "{\"a\":{\"b\":{}}},"] {
            let error = tree(many(part).as_bytes()).unwrap_err().to_string();
            assert!(error.contains("more memory"), "{error}");
        }
        // Long lists are no more than that.
        assert!(tree(many("\"some text\",").as_bytes()).is_ok());
    }

    #[test]
    fn lists_end_at_their_limit() {
        #[derive(serde::Deserialize)]
        struct Holder(#[serde(deserialize_with = "at_most::<3, _, _>")] Vec<u8>);
        let read = |text: &str| serde_json::from_str::<Holder>(text).map(|holder| holder.0);
        assert_eq!(read("[1, 2, 3]").unwrap(), [1, 2, 3]);
        assert!(read("[1, 2, 3, 4]").unwrap_err().to_string().contains("more than 3"));
        assert!(read("{}").is_err());
    }
}
