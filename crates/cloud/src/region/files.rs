//! Settings that name a file of the host that a worker runs on. The catalogue's file is written by whoever has that host;
//! a request is not, and a file that it names would be sent to, or run for, whoever sent it.

use crate::Result;
use model::refusal::{Code, Refusal};
use serde_json::Value;

/// How the name of such a setting ends, whichever provider it is for.
const ENDINGS: [&str; 4] = ["_binary", "_dir", "_file", "_path"];

/// The first setting that names a file of a worker's host.
pub fn names_file(settings: &Value) -> Option<&str> {
    let mut names = settings.as_object()?.keys().map(String::as_str);
    names.find(|name| ENDINGS.iter().any(|ending| name.ends_with(ending)))
}

/// Refuses settings of a request that name one.
pub(super) fn refuse(settings: &Value) -> Result<()> {
    let Some(name) = names_file(settings) else { return Ok(()) };
    let message = format!(
        "settings.{name} names a file of the host that Cairn runs on; only regions of the catalogue's file may have it. \
         Leave it out. A token's secret is sent as `secret`."
    );
    Err(Refusal::new(Code::UnprocessableEntity, message).at(format!("settings.{name}")).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_names_a_file_is_found() {
        for name in ["token_secret_file", "qemu_binary", "qemu_img_binary"] {
            assert_eq!(names_file(&json!({ "entries": [], name: null })), Some(name));
        }
        assert_eq!(names_file(&json!({ "entries": [], "file_storage": "local", "bridges": {} })), None);
    }
}
