//! What a client sends is taken at its word: an object is an object and a word is a string.
//!
//! serde's derived shapes also read an object from an array (field by position) and a word from an object with one
//! key. Nobody who sends that means it, so requests derive with `remote = "Self"`, which leaves the implementation
//! of the trait to these macros.

use serde::de::{Deserializer, Visitor};
use serde::forward_to_deserialize_any;

/// Asks the input for an object where a shape asks for a struct.
pub(crate) struct ObjectOnly<D>(pub(crate) D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ObjectOnly<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Implements serde for requests that derive it with `remote = "Self"`: read from objects only.
macro_rules! objects {
    ($($shape:ty),+ $(,)?) => { $(
        impl<'de> serde::Deserialize<'de> for $shape {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // The inherent function that `remote` derives, not the trait's.
                Self::deserialize(crate::strict::ObjectOnly(deserializer))
            }
        }

        impl serde::Serialize for $shape {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }
    )+ };
}

/// Implements serde for words that derive it with `remote = "Self"`: read from strings only.
macro_rules! words {
    ($($shape:ty),+ $(,)?) => { $(
        impl<'de> serde::Deserialize<'de> for $shape {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <String as serde::Deserialize>::deserialize(deserializer)?;
                Self::deserialize(serde::de::IntoDeserializer::into_deserializer(word))
            }
        }

        impl serde::Serialize for $shape {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }
    )+ };
}

pub(crate) use {objects, words};
