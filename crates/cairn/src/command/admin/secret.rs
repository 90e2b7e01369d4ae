//! The secret of a region's token: from a file, the environment or the person, and never from the command line, whose
//! arguments every user of a machine can read.

use super::ask::Asker;
use crate::failure::{Failure, Result};
use std::io::Read;
use std::path::Path;

/// Holds the secret where there is neither a file nor a person.
const VARIABLE: &str = "CAIRN_REGION_SECRET";

/// How to say it without being asked.
const FLAG: &str = "--secret-file FILE, or CAIRN_REGION_SECRET in the environment";

/// The secret, if it is said anywhere.
pub(super) fn said(file: Option<&Path>) -> Result<Option<String>> {
    let text = match file {
        Some(path) if path == Path::new("-") => {
            let mut text = String::new();
            let read = std::io::stdin().take(64 * 1024).read_to_string(&mut text);
            read.map_err(|error| Failure::usage(format!("the secret cannot be read from stdin: {error}")))?;
            text
        }
        Some(path) => std::fs::read_to_string(path).map_err(|error| Failure::file("read the secret", path, &error))?,
        None => match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => text,
            _ => return Ok(None),
        },
    };
    parse(&text).map(Some)
}

/// The secret, asked for without showing it where it is not said.
pub(super) fn given(file: Option<&Path>, asker: Asker) -> Result<String> {
    if let Some(secret) = said(file)? {
        return Ok(secret);
    }
    if !asker.is_there() {
        return Err(Failure::usage("the secret of the region's token is missing").suggest(FLAG));
    }
    let asked = rpassword::prompt_password("Secret of the token: ");
    parse(&asked.map_err(|error| Failure::usage(format!("the secret cannot be asked for: {error}")))?)
}

/// One line of visible ASCII, which is all that a secret of any provider is.
fn parse(text: &str) -> Result<String> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::usage("this is not a token's secret: it has to be one line of visible ASCII characters"));
    }
    Ok(text.to_owned())
}
