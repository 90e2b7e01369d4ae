//! How one request is written down: a type per operation, whose fields are its parameters.

use crate::version::Version;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;

/// What is left as it is in a path segment. `:` and `!` (of task ids) are not.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Whose paths are meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum Kind {
    #[default]
    Machine,
    Container,
}

impl Kind {
    /// As it stands in paths and in `type`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Machine => "qemu",
            Self::Container => "lxc",
        }
    }
}

/// Values of a parameter that comes in several numbered pieces: `net0`, `net1`, …
pub(crate) type Indexed = Vec<(usize, String)>;

/// One operation with its parameters.
pub(crate) trait Call {
    /// The method.
    const METHOD: Method;
    /// The path with its placeholders.
    const TEMPLATE: &'static str;
    /// The path below `/api2/json`.
    fn path(&self) -> String;
    /// Names and values; what this version does not know is left out.
    fn parameters(&self, version: Version) -> Vec<(String, String)>;
}

/// A value that can be passed.
pub(crate) trait Parameter {
    /// Adds it under its name, if there is one.
    fn put(&self, name: &str, into: &mut Vec<(String, String)>);
}

impl Parameter for String {
    fn put(&self, name: &str, into: &mut Vec<(String, String)>) {
        into.push((name.to_owned(), self.clone()));
    }
}

impl Parameter for u32 {
    fn put(&self, name: &str, into: &mut Vec<(String, String)>) {
        into.push((name.to_owned(), self.to_string()));
    }
}

impl Parameter for bool {
    fn put(&self, name: &str, into: &mut Vec<(String, String)>) {
        into.push((name.to_owned(), u8::from(*self).to_string()));
    }
}

impl<T: Parameter> Parameter for Option<T> {
    fn put(&self, name: &str, into: &mut Vec<(String, String)>) {
        if let Some(value) = self {
            value.put(name, into);
        }
    }
}

impl Parameter for Indexed {
    fn put(&self, name: &str, into: &mut Vec<(String, String)>) {
        into.extend(self.iter().map(|(index, value)| (format!("{name}{index}"), value.clone())));
    }
}

/// A value that can stand in a path.
pub(crate) trait Segment {
    /// Its text, encoded so that it stays one segment.
    fn segment(&self) -> String;
}

impl Segment for String {
    fn segment(&self) -> String {
        utf8_percent_encode(self, SEGMENT).to_string()
    }
}

impl Segment for u32 {
    fn segment(&self) -> String {
        self.to_string()
    }
}

impl Segment for Kind {
    fn segment(&self) -> String {
        self.word().to_owned()
    }
}

/// Percent-encodes as `sshkeys` wants it: a space is `%20`, never `+`.
pub(crate) fn percent(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// Writes the types. A number before a parameter's type says since which version it is known (804: 8.4).
macro_rules! calls {
    ($($name:ident $method:ident $path:literal ($($segment:ident: $segment_type:ty),*)
       {$($field:ident $wire:literal $since:literal: $type:ty;)*})*) => { $(
        #[doc = concat!(stringify!($method), " ", $path)]
        #[derive(Clone, Debug, Default)]
        pub(crate) struct $name {
            $(pub(crate) $segment: $segment_type,)*
            $(pub(crate) $field: $type,)*
        }

        impl $crate::call::Call for $name {
            const METHOD: reqwest::Method = reqwest::Method::$method;
            const TEMPLATE: &'static str = $path;

            fn path(&self) -> String {
                let path = Self::TEMPLATE.to_owned();
                $(let path = path.replace(
                    concat!("{", stringify!($segment), "}"),
                    &$crate::call::Segment::segment(&self.$segment),
                );)*
                path
            }

            fn parameters(&self, version: $crate::version::Version) -> Vec<(String, String)> {
                let mut parameters = Vec::new();
                let _ = (&mut parameters, version);
                $(if version.at_least($since) {
                    $crate::call::Parameter::put(&self.$field, $wire, &mut parameters);
                })*
                parameters
            }
        }
    )* };
}
pub(crate) use calls;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::{DeleteVnet, GetTaskStatus, PutMachineConfig};

    #[test]
    fn a_path_keeps_its_shape_whatever_is_put_into_it() {
        let call = GetTaskStatus { node: "a/../b".into(), upid: "UPID:n:1:!:".into() };
        assert_eq!(call.path(), "/nodes/a%2F..%2Fb/tasks/UPID%3An%3A1%3A%21%3A/status");
    }

    #[test]
    fn numbered_parameters_are_expanded_and_absent_ones_left_out() {
        let call = PutMachineConfig {
            net: vec![(0, "virtio".into()), (1, "e1000".into())],
            onboot: Some(true),
            ..Default::default()
        };
        let expected = [("net0", "virtio"), ("net1", "e1000"), ("onboot", "1")];
        assert_eq!(call.parameters(Version::new(9, 0)), expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn what_an_older_version_does_not_know_is_left_out() {
        let call = DeleteVnet { vnet: "v1".into(), lock_token: Some("t".into()) };
        assert_eq!(call.parameters(Version::new(8, 4)), []);
        assert_eq!(call.parameters(Version::new(9, 0)).len(), 1);
    }

    #[test]
    fn keys_are_encoded_with_twenty_for_a_space() {
        assert_eq!(percent("ssh-rsa AA+/= x"), "ssh-rsa%20AA%2B%2F%3D%20x");
    }
}
