//! Names that a safetensors header has twice. The crate keeps the last of them, other readers
//! another: such a file means different things to different programs.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// What is there twice, to follow the file's name. `None` also for what is no header; that is for
/// others to say.
pub(super) fn find(header: &[u8]) -> Option<String> {
    serde_json::from_slice::<Names>(header).ok()?.twice
}

/// The names of an object and of the metadata in it.
#[derive(Default)]
struct Names {
    twice: Option<String>,
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamesVisitor { metadata: false })
    }
}

struct Metadata(Option<String>);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamesVisitor { metadata: true }).map(|names| Metadata(names.twice))
    }
}

struct NamesVisitor {
    metadata: bool,
}

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
        let (mut seen, mut names) = (BTreeSet::new(), Names::default());
        while let Some(name) = map.next_key::<Cow<str>>()? {
            let twice = seen.contains(&name).then(|| self.describe(&name));
            if name == "__metadata__" && !self.metadata {
                names.twice = names.twice.or(map.next_value::<Metadata>()?.0);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            names.twice = names.twice.or(twice);
            seen.insert(name);
        }
        Ok(names)
    }
}

impl NamesVisitor {
    fn describe(&self, name: &str) -> String {
        if self.metadata {
            format!("the metadata entry {name:?} is in the header twice")
        } else if name == "__metadata__" {
            "the metadata is in the header twice".to_owned()
        } else {
            format!("tensor {name:?} is in the header twice; which one is meant cannot be told")
        }
    }
}
