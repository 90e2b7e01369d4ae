//! Asking a person, where there is one. Everything that can be asked can also be said by a flag.

use crate::failure::{Ending, Failure, Result};
use std::io::{IsTerminal, Write};

/// Something to choose.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    /// Its name, which is the answer.
    pub(super) name: String,
    /// What is worth knowing about it.
    pub(super) label: String,
    /// Why it cannot be chosen, and what to do; `None`: it can.
    pub(super) hindrance: Option<String>,
}

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

    /// Nobody.
    #[cfg(test)]
    pub(super) const fn nobody() -> Self {
        Self { there: false }
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

    /// Says something beside a question.
    pub(super) fn tell(self, sentence: &str) -> Result<()> {
        say(&format!("{sentence}\n"))
    }

    /// Asks for one of these, by name or by number; an empty answer is the usual one. One that cannot be used is told with
    /// what to do about it.
    pub(super) fn choose(self, question: &str, among: &[Offer], usual: Option<&str>, flag: &str) -> Result<String> {
        if !self.there {
            let usable = among.iter().filter(|offer| offer.hindrance.is_none());
            let names: Vec<&str> = usable.map(|offer| offer.name.as_str()).collect();
            let hindrances: Vec<&str> = among.iter().filter_map(|offer| offer.hindrance.as_deref()).collect();
            let what = if names.is_empty() { hindrances.join("; ") } else { names.join(", ") };
            return Err(Failure::usage(format!("{question}: {what}")).suggest(flag));
        }
        self.tell(question)?;
        for (index, one) in among.iter().enumerate() {
            let mark = if one.hindrance.is_some() { "  (not yet)" } else { "" };
            self.tell(&format!("  {}  {}  {}{mark}", index + 1, one.name, one.label))?;
        }
        loop {
            let answer = self.line("Number or name", usual, flag)?;
            let by_number = answer.parse::<usize>().ok().and_then(|number| among.get(number.checked_sub(1)?));
            match by_number.or_else(|| among.iter().find(|one| one.name == answer)) {
                Some(Offer { name, hindrance: None, .. }) => return Ok(name.clone()),
                Some(Offer { hindrance: Some(hindrance), .. }) => {
                    self.tell(&format!("{hindrance}. Choose another one, or begin again when that is done."))?;
                }
                None => self.tell(&format!(
                    "`{answer}` is none of them: write a number from 1 to {}, or a name.",
                    among.len()
                ))?,
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
