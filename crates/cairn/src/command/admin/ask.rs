//! Asking a person, where there is one. Everything that can be asked can also be said by a flag.

use crate::failure::{Ending, Failure, Result};
use std::io::{IsTerminal, Write};

/// The person at the keyboard, if there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    there: bool,
}

impl Asker {
    /// Looks whether somebody is there.
    pub(super) fn look() -> Self {
        Self { there: std::io::stdin().is_terminal() }
    }

    /// Whether somebody is there.
    pub(super) fn is_there(self) -> bool {
        self.there
    }

    /// Asks for a line; an empty one is what is usual. `flag` says it without being asked.
    pub(super) fn line(self, question: &str, usual: Option<&str>, flag: &str) -> Result<String> {
        if !self.there {
            return Err(Failure::usage(format!("there is nobody to ask: {question}")).suggest(flag));
        }
        loop {
            let usually = usual.map(|usual| format!(" [{usual}]")).unwrap_or_default();
            let answer = read(&format!("{question}{usually}: "))?;
            match (answer.trim(), usual) {
                ("", Some(usual)) => return Ok(usual.to_owned()),
                ("", None) => {}
                (answer, _) => return Ok(answer.to_owned()),
            }
        }
    }

    /// Asks for a line that may stay empty. Where there is nobody, it does.
    pub(super) fn line_if_any(self, question: &str) -> Result<Option<String>> {
        if !self.there {
            return Ok(None);
        }
        let answer = read(&format!("{question}: "))?;
        Ok(Some(answer.trim().to_owned()).filter(|answer| !answer.is_empty()))
    }

    /// Asks for one of these, by name or by number. The only one there is needs no asking.
    pub(super) fn choose(self, question: &str, among: &[String], usual: Option<&str>, flag: &str) -> Result<String> {
        if let [only] = among {
            return Ok(only.clone());
        }
        if !self.there {
            return Err(Failure::usage(format!("{question}: {}", among.join(", "))).suggest(flag));
        }
        for (index, one) in among.iter().enumerate() {
            say(&format!("  {}  {one}\n", index + 1))?;
        }
        loop {
            let answer = self.line(question, usual, flag)?;
            let by_number = answer.parse::<usize>().ok().and_then(|number| among.get(number.checked_sub(1)?));
            match by_number.or_else(|| among.iter().find(|one| **one == answer)) {
                Some(one) => return Ok(one.clone()),
                None if among.is_empty() => return Ok(answer),
                None => say(&format!("`{answer}` is none of them.\n"))?,
            }
        }
    }

    /// Asks for a yes.
    pub(super) fn agrees(self, question: &str, flag: &str) -> Result<()> {
        if !self.there {
            return Err(Failure::usage(format!("there is nobody to ask: {question}")).suggest(flag));
        }
        match read(&format!("{question} [y/N] "))?.trim().to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::new(Ending::Refused, "nothing was done")),
        }
    }
}

fn say(text: &str) -> Result<()> {
    let mut stderr = std::io::stderr();
    let said = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    said.map_err(|error| Failure::new(Ending::Refused, format!("nothing can be asked: {error}")))
}

fn read(question: &str) -> Result<String> {
    say(question)?;
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match read {
        Ok(0) => Err(Failure::new(Ending::Refused, "no answer; nothing was done")),
        Ok(_) => Ok(answer),
        Err(error) => Err(Failure::new(Ending::Refused, format!("no answer: {error}"))),
    }
}
