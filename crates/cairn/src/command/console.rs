//! `cairn server console` and `screenshot`: looking at a server from outside.

use crate::client::Call;
use crate::document::Document;
use crate::failure::{Failure, Result};
use crate::find;
use crate::print::{Output, Shown, bytes};
use crate::session::Session;
use clap::Args;
use model::ids::ServerId;
use std::path::Path;
use std::time::Duration;
use wire::cloud::ConsoleLog;

/// How often a followed console is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// How much of what was shown is looked for again.
const OVERLAP: usize = 512;

/// Print what a server wrote to its serial console
#[derive(Debug, Args)]
pub(crate) struct ConsoleArguments {
    /// Which one, by id or name
    server: String,
    /// Go on printing what it writes until interrupted
    #[arg(short, long)]
    follow: bool,
}

impl Shown for ConsoleLog {
    const COLUMNS: &'static [&'static str] = &["SERVER", "AT"];

    fn row(&self) -> Vec<String> {
        vec![self.server_id.to_string(), self.at.to_string()]
    }

    fn word(&self) -> String {
        self.server_id.to_string()
    }
}

/// Prints a console log.
pub(crate) async fn run(arguments: ConsoleArguments, session: &Session) -> Result<()> {
    let structured = session.printer.output != Output::Table;
    if structured && arguments.follow {
        return Err(Failure::usage("a console that is followed is text; it cannot be printed in another format"));
    }
    let server = find::server(session, &arguments.server).await?.value.id;
    let mut log = read(session, server).await?;
    if structured {
        return session.printer.one(&log);
    }
    if log.value.truncated {
        session.progress.say("(there was more before this)");
    }
    session.printer.text(&log.value.text)?;
    if !arguments.follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(LOOK).await;
        let next = read(session, server).await?;
        session.printer.text(news(&log.value.text, &next.value.text))?;
        log = next;
    }
}

async fn read(session: &Session, server: ServerId) -> Result<Document<ConsoleLog>> {
    let call = Call::get(&[&"cloud", &"v1", &"servers", &server, &"console_log"]);
    let log = session.client.one(&call, "console").await;
    log.map_err(|failure| failure.during(format!("the console of server {server}")))
}

/// What of a log was not in it before. The log is a window onto the end of what was written, and begins anew when the
/// server does.
fn news<'a>(before: &str, now: &'a str) -> &'a str {
    if let Some(rest) = now.strip_prefix(before) {
        return rest;
    }
    let mut start = before.len().saturating_sub(OVERLAP);
    while !before.is_char_boundary(start) {
        start += 1;
    }
    let tail = before.get(start..).unwrap_or_default();
    now.rfind(tail).and_then(|at| now.get(at + tail.len()..)).unwrap_or(now)
}

/// Saves a picture of the screen.
pub(crate) async fn screenshot(session: &Session, server: &str, file: &Path) -> Result<()> {
    let found = find::server(session, server).await?.value;
    let call = Call::get(&[&"cloud", &"v1", &"servers", &found.id, &"screenshot"]).header("accept", "image/png");
    let picture = session.client.bytes(&call).await;
    let picture = picture.map_err(|failure| failure.during(format!("the screen of {}", found.name)))?;
    if file == Path::new("-") {
        return bytes(&picture);
    }
    std::fs::write(file, &picture).map_err(|error| Failure::file("write", file, &error))?;
    session.progress.say(&format!("{}: {} bytes", file.display(), picture.len()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::news;

    #[test]
    fn only_what_is_new() {
        assert_eq!(news("", "boot"), "boot");
        assert_eq!(news("boot", "boot\nlogin:"), "\nlogin:");
        assert_eq!(news("boot\nlogin:", "in:\nok"), "in:\nok", "what cannot be found again is shown whole");
        let line = |from: usize, to: usize| (from..to).map(|n| format!("line ä {n}\n")).collect::<String>();
        assert_eq!(news(&line(0, 200), &line(100, 201)), "line ä 200\n", "the window moved on");
        assert_eq!(news("old life", "new life begins"), "new life begins");
    }
}
