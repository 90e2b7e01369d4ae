//! Things that clients may name in two ways.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{convert::Infallible, fmt, str::FromStr};
use utoipa::openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! number_or_word {
    (
        $(#[$doc:meta])*
        $name:ident { $(#[$word_doc:meta])* $word:ident }
        expecting $expecting:literal
    ) => {
        $(#[$doc])*
        ///
        /// A string of nothing but digits is the number: some clients send every id as a string.
        #[derive(Clone, PartialEq, Eq, Hash, Debug)]
        pub enum $name {
            /// By number. Any 64-bit integer, so that one that no resource has is "not found", not malformed.
            Id(i64),
            $(#[$word_doc])*
            $word(String),
        }

        impl FromStr for $name {
            type Err = Infallible;
            fn from_str(text: &str) -> Result<Self, Infallible> {
                Ok(text.to_owned().into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
                number.map_or(Self::$word(text), Self::Id)
            }
        }

        impl From<i64> for $name {
            fn from(id: i64) -> Self {
                Self::Id(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::Id(id) => id.fmt(f),
                    Self::$word(word) => word.fmt(f),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    Self::Id(id) => serializer.serialize_i64(*id),
                    Self::$word(word) => serializer.serialize_str(word),
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader;
                impl de::Visitor<'_> for Reader {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_i64<E: de::Error>(self, id: i64) -> Result<$name, E> {
                        Ok($name::Id(id))
                    }
                    fn visit_u64<E: de::Error>(self, id: u64) -> Result<$name, E> {
                        let too_large = |_| E::invalid_value(de::Unexpected::Unsigned(id), &self);
                        i64::try_from(id).map($name::Id).map_err(too_large)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        Ok(text.to_owned().into())
                    }
                }
                deserializer.deserialize_any(Reader)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                OneOfBuilder::new()
                    .item(ObjectBuilder::new().schema_type(Type::Integer))
                    .item(ObjectBuilder::new().schema_type(Type::String))
                    .description(Some(concat!("Names one thing: ", $expecting, ".")))
                    .into()
            }
        }

        impl ToSchema for $name {}
    };
}

number_or_word!(
    /// An image, by id or by slug. Private images have no slug.
    IdOrSlug {
        /// By the word that the catalogue gives it.
        Slug
    }
    expecting "an image id (integer) or a slug (string)"
);

number_or_word!(
    /// A registered SSH key, by id or by fingerprint.
    KeyReference {
        /// By its MD5 fingerprint in hexadecimal with colons.
        Fingerprint
    }
    expecting "an SSH key id (integer) or a fingerprint (string)"
);
