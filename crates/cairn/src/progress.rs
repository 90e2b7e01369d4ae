//! What is said on stderr while a command is at work. Never data.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Says what is going on: nothing (`--quiet`), line by line, or, on a terminal, with a line that changes in place.
#[derive(Debug)]
pub(crate) struct Progress {
    manner: Manner,
    verbose: bool,
    /// What was last said of each subject, so that nothing is said twice.
    said: RefCell<Vec<(String, String)>>,
}

#[derive(Debug)]
enum Manner {
    Quiet,
    Lines,
    Spinner(ProgressBar),
}

/// How much is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Loudness {
    /// Nothing but errors.
    Quiet,
    /// Progress and messages.
    Ordinary,
    /// Requests, too.
    Verbose,
}

impl Progress {
    /// For this process.
    pub(crate) fn new(loudness: Loudness) -> Self {
        let manner = match loudness {
            Loudness::Quiet => Manner::Quiet,
            Loudness::Ordinary if spins() => Manner::Spinner(spinner()),
            Loudness::Ordinary | Loudness::Verbose => Manner::Lines,
        };
        Self { manner, verbose: loudness == Loudness::Verbose, said: RefCell::default() }
    }

    /// Says something that stays on the screen.
    pub(crate) fn say(&self, text: &str) {
        match &self.manner {
            Manner::Quiet => {}
            Manner::Lines => line(text),
            // Before anything was waited for there is no line to take away for the moment.
            Manner::Spinner(bar) if bar.message().is_empty() => line(text),
            Manner::Spinner(bar) => bar.suspend(|| line(text)),
        }
    }

    /// Says how a subject stands. `lasting` is a line of its own wherever lines cannot change in place, and is said
    /// when it changes; `fleeting` (a percentage, say) is only shown where they can.
    pub(crate) fn stands(&self, subject: &str, lasting: &str, fleeting: &str) {
        let mut said = self.said.borrow_mut();
        let changed = match said.iter_mut().find(|(known, _)| known == subject) {
            Some((_, last)) if last == lasting => false,
            Some((_, last)) => {
                lasting.clone_into(last);
                true
            }
            None => {
                said.push((subject.to_owned(), lasting.to_owned()));
                true
            }
        };
        match &self.manner {
            Manner::Quiet => {}
            Manner::Lines if changed => line(&format!("{subject}: {lasting}")),
            Manner::Lines => {}
            Manner::Spinner(bar) => {
                bar.enable_steady_tick(Duration::from_millis(120));
                let more = if fleeting.is_empty() { String::new() } else { format!(" ({fleeting})") };
                bar.set_message(crate::print::visible(&format!("{subject}: {lasting}{more}")));
            }
        }
    }

    /// Says what is sent and received, if that was asked for.
    pub(crate) fn trace(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            line(&text());
        }
    }

    /// Takes the changing line away.
    pub(crate) fn finish(&self) {
        if let Manner::Spinner(bar) = &self.manner {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // So that what is said last stands on a line of its own.
        self.finish();
    }
}

/// Writes a line to stderr. Nothing is left to do about a stderr that cannot be written to.
fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", crate::print::visible(text));
}

/// Writes a failure, in red where that is welcome.
pub(crate) fn failure(failure: &crate::failure::Failure) {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) || !std::io::stderr().is_terminal();
    let (red, normal) = if plain { ("", "") } else { ("\u{1b}[1;31m", "\u{1b}[0m") };
    let _ = writeln!(std::io::stderr(), "{red}error:{normal} {failure}");
}

fn spins() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    std::io::stderr().is_terminal() && !dumb
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // The template is right; were it not, the bar's own would do.
    bar.with_style(
        ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    )
}
