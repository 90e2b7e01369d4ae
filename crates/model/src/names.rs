//! Names that people give to things. Each is a type of its own that can only be had through its check, so
//! that code behind the edge need not ask again.

use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest name of anything, in bytes (specification: `maxLength: 255`).
pub const LONGEST: usize = 255;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $field:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Checks a name. The refusal is about the field
            #[doc = concat!("`", $field, "`; use [`Refusal::at`] where the request calls it otherwise.")]
            pub fn parse(text: &str) -> Result<Self, Refusal> {
                $check(text).map(|()| Self(text.to_owned())).map_err(|problem| Refusal::field($field, problem))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str { &self.0 }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }

        impl std::str::FromStr for $type {
            type Err = Refusal;
            fn from_str(text: &str) -> Result<Self, Refusal> { Self::parse(text) }
        }

        impl TryFrom<String> for $type {
            type Error = Refusal;
            fn try_from(text: String) -> Result<Self, Refusal> { Self::parse(&text) }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self { name.0 }
        }
    };
}

name!(
    /// A server's name, which is also its host name: the specification's pattern
    /// (`^[a-zA-Z0-9]?[a-z0-9A-Z.\-]*[a-z0-9A-Z]$`, at most 255), and each part between dots 1 to 63 characters
    /// that neither begins nor ends with a hyphen (RFC 1123), without which no guest would accept it.
    ServerName,
    "name",
    server_name
);
name!(
    /// A tag: `[A-Za-z0-9:_-]{1,255}`. Case is kept; equality is the store's business.
    TagName,
    "name",
    tag_name
);
name!(
    /// The name of a group of servers: as a tag's, but that case makes a difference.
    GroupName,
    "group",
    group_name
);
name!(
    /// A VPC's name: the specification's `^[a-zA-Z0-9\-\.]+$`, at most 255.
    VpcName,
    "name",
    vpc_name
);
name!(
    /// The display name of a registered SSH key: any printable text of 1 to 255 bytes that is not blank.
    KeyName,
    "name",
    display_name
);
name!(
    /// The display name of an image or snapshot: any printable text of 1 to 255 bytes that is not blank.
    ImageName,
    "name",
    display_name
);
name!(
    /// A slug, as the catalogue names sizes and images: lower-case letters and digits with `-` and `.` between them, 1
    /// to 63 bytes (`s-1vcpu-1gb`, `ubuntu-24-04-x64`).
    Slug,
    "slug",
    slug
);

impl ServerName {
    /// The part before the first dot: what `hostname` says inside the guest. At most 63 bytes.
    pub fn short(&self) -> &str {
        self.0.split_once('.').map_or(&self.0, |(first, _)| first)
    }

    /// The whole name where it has a domain part.
    pub fn qualified(&self) -> Option<&str> {
        self.0.contains('.').then_some(&self.0)
    }
}

fn length(text: &str) -> Result<(), String> {
    match text.len() {
        0 => Err("must not be empty.".to_owned()),
        n if n > LONGEST => Err(format!("may have at most {LONGEST} bytes; this one has {n}.")),
        _ => Ok(()),
    }
}

fn server_name(text: &str) -> Result<(), String> {
    length(text)?;
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-') {
        // DigitalOcean's sentence, word for word: people search for it.
        return Err("Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)".to_owned());
    }
    for label in text.split('.') {
        if label.is_empty() {
            return Err("must not begin or end with a dot, nor have two in a row.".to_owned());
        }
        if label.len() > 63 {
            return Err(format!(
                "each part between dots may have at most 63 characters; `{label}` has {}.",
                label.len()
            ));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("each part between dots must begin and end with a letter or a digit.".to_owned());
        }
    }
    Ok(())
}

fn tag_name(text: &str) -> Result<(), String> {
    length(text)?;
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'-')) {
        return Ok(());
    }
    Err("Tag names may contain only letters, numbers, colons, dashes and underscores.".to_owned())
}

fn group_name(text: &str) -> Result<(), String> {
    tag_name(text)
        .map_err(|_| format!("A group's name has 1 to {LONGEST} letters, numbers, colons, dashes and underscores."))
}

fn vpc_name(text: &str) -> Result<(), String> {
    length(text)?;
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')) {
        return Ok(());
    }
    Err("may contain only letters, numbers, dashes and periods.".to_owned())
}

fn display_name(text: &str) -> Result<(), String> {
    length(text)?;
    if text.trim().is_empty() {
        return Err("must not be blank.".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("must be one line of printable text.".to_owned());
    }
    Ok(())
}

fn slug(text: &str) -> Result<(), String> {
    const LONGEST_SLUG: usize = 63;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = bytes.first().is_some_and(|b| plain(*b)) && bytes.last().is_some_and(|b| plain(*b));
    if ends && bytes.len() <= LONGEST_SLUG && bytes.iter().all(|b| plain(*b) || matches!(b, b'-' | b'.')) {
        return Ok(());
    }
    Err(format!(
        "`{}` is not a slug: use 1 to {LONGEST_SLUG} lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit.",
        text.escape_default()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn server_names_that_are_taken() {
        for name in ["a", "web-01", "example.com", "Sub-01.Example.com", "1", "a--b", &"a".repeat(63)] {
            assert_eq!(ServerName::parse(name).unwrap().as_str(), name);
        }
        let long = vec!["a".repeat(63); 4].join(".");
        assert_eq!(long.len(), 255);
        ServerName::parse(&long).unwrap();
    }

    #[test]
    fn server_names_that_are_refused() {
        for name in [
            "",
            "-a",
            "a-",
            ".a",
            "a.",
            "a..b",
            "a.-b",
            "a_b",
            "ä",
            "a b",
            "a\n",
            "a\0",
            &"a".repeat(64),
            &"a.".repeat(200),
        ] {
            let refusal = ServerName::parse(name).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some("name"), "{name:?}");
        }
        let refusal = ServerName::parse("under_score").unwrap_err();
        assert_eq!(refusal.message, "Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)");
    }

    #[test]
    fn host_and_domain() {
        let name = ServerName::parse("web.example.com").unwrap();
        assert_eq!((name.short(), name.qualified()), ("web", Some("web.example.com")));
        let name = ServerName::parse("web").unwrap();
        assert_eq!((name.short(), name.qualified()), ("web", None));
    }

    #[test]
    fn tags_slugs_and_display_names() {
        TagName::parse("env:prod_1-X").unwrap();
        for tag in ["", "a b", "a.b", "ä", "a/b", &"a".repeat(256)] {
            TagName::parse(tag).unwrap_err();
        }
        for good in ["s-1vcpu-1gb", "ubuntu-24-04-x64", "local", "a"] {
            Slug::parse(good).unwrap();
        }
        for bad in ["", "-a", "a-", "A", "a b", "a/b", "a_b", &"a".repeat(64)] {
            Slug::parse(bad).unwrap_err();
        }
        KeyName::parse("Anna's laptop (käse)").unwrap();
        for bad in ["", "  ", "two\nlines", &"a".repeat(256)] {
            KeyName::parse(bad).unwrap_err();
        }
        VpcName::parse("env.prod-vpc").unwrap();
        VpcName::parse("env prod").unwrap_err();
        assert!(serde_json::from_str::<TagName>("\"a b\"").is_err(), "deserialising must not go round the check");
    }

    proptest! {
        #[test]
        fn an_accepted_name_matches_the_specification(text in "[a-zA-Z0-9.\\-_ ]{0,80}") {
            if let Ok(name) = ServerName::parse(&text) {
                let bytes = name.as_str().as_bytes();
                prop_assert!(bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'.' || *b == b'-'));
                prop_assert!(bytes.last().unwrap().is_ascii_alphanumeric());
                prop_assert!(name.short().len() <= 63 && !name.short().is_empty());
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = (ServerName::parse(&text), TagName::parse(&text), Slug::parse(&text), ImageName::parse(&text));
        }
    }
}
