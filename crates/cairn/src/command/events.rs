//! `cairn events`: what happens, as it happens.

use crate::client::Call;
use crate::document::Document;
use crate::failure::{Ending, Failure, Result};
use crate::print::Shown;
use crate::session::Session;
use clap::Args;
use std::time::Duration;
use wire::cloud::Event;

/// How long to wait before a connection that ended is opened again.
const AGAIN: Duration = Duration::from_secs(1);

/// How often in a row a connection may fail without having brought anything.
const MOST_FAILURES: u32 = 10;

/// The longest event that is read. Longer ones do not exist; without a limit, a broken server could fill the memory.
const LONGEST: usize = 1024 * 1024;

/// Follow what happens to the team's resources, until interrupted
///
/// A connection that ends is opened again where it ended. With -o json, one object on each line.
#[derive(Debug, Args)]
pub(crate) struct EventsArguments {
    /// Begin after the event with this id; 0 is the oldest that is kept
    #[arg(long, value_name = "ID")]
    after: Option<i64>,
    /// End after so many events
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
}

impl Shown for Event {
    const COLUMNS: &'static [&'static str] = &["AT", "TYPE", "URN"];

    fn row(&self) -> Vec<String> {
        vec![self.at.to_string(), self.kind.clone(), self.urn.clone()]
    }

    fn word(&self) -> String {
        self.urn.clone()
    }
}

/// Prints events.
pub(crate) async fn run(arguments: EventsArguments, session: &Session) -> Result<()> {
    let mut follow = Follow { last: arguments.after, left: arguments.count, failures: 0 };
    while follow.left != Some(0) {
        match follow.connection(session).await {
            Ok(()) => {}
            Err(failure) if matches!(failure.ending, Ending::Unreachable | Ending::Broken) => {
                follow.failures += 1;
                if follow.failures >= MOST_FAILURES {
                    return Err(failure);
                }
                session.progress.say(&format!("{}; trying again", failure.sentence));
            }
            Err(failure) => return Err(failure),
        }
        if follow.left != Some(0) {
            tokio::time::sleep(AGAIN * follow.failures.max(1)).await;
        }
    }
    Ok(())
}

struct Follow {
    last: Option<i64>,
    left: Option<u64>,
    failures: u32,
}

impl Follow {
    /// Reads one connection to its end.
    async fn connection(&mut self, session: &Session) -> Result<()> {
        let call = Call::get(&[&"cloud", &"v1", &"events"]).header("accept", "text/event-stream");
        let call = match self.last {
            Some(last) => call.header("last-event-id", last),
            None => call,
        };
        let mut response = session.client.stream(&call).await?;
        let mut reader = Reader::default();
        loop {
            let chunk =
                response.chunk().await.map_err(|_| Failure::new(Ending::Unreachable, "the connection was lost"))?;
            let Some(chunk) = chunk else { return Ok(()) };
            for data in reader.take(&chunk)? {
                let raw = serde_json::value::RawValue::from_string(data);
                let raw =
                    raw.map_err(|error| Failure::new(Ending::Broken, format!("an event could not be read: {error}")))?;
                let event = Document::<Event>::read(raw)?;
                session.printer.next(&event)?;
                self.failures = 0;
                self.last = Some(event.value.id);
                self.left = self.left.map(|left| left.saturating_sub(1));
                if self.left == Some(0) {
                    return Ok(());
                }
            }
        }
    }
}

/// Puts server-sent events together. Only `data` counts: it has the id and the type, too.
#[derive(Debug, Default)]
struct Reader {
    line: Vec<u8>,
    data: Vec<String>,
}

impl Reader {
    /// What became whole with these bytes.
    fn take(&mut self, bytes: &[u8]) -> Result<Vec<String>> {
        let mut whole = Vec::new();
        for byte in bytes {
            match byte {
                b'\r' => {}
                b'\n' => whole.extend(self.end_of_line()),
                byte => self.line.push(*byte),
            }
            if self.line.len() + self.data.iter().map(String::len).sum::<usize>() > LONGEST {
                return Err(Failure::new(Ending::Broken, "the server sent an event without end"));
            }
        }
        Ok(whole)
    }

    fn end_of_line(&mut self) -> Option<String> {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then(|| data.join("\n"));
        }
        if let Some(data) = line.strip_prefix("data:") {
            self.data.push(data.strip_prefix(' ').unwrap_or(data).to_owned());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Reader;

    #[test]
    fn events_come_in_pieces() {
        let mut reader = Reader::default();
        assert!(reader.take(b": keep-alive\n\nid: 1\nevent: a\nda").unwrap().is_empty());
        assert!(reader.take(b"ta: {\"id\":\ndata:1}\r\n").unwrap().is_empty());
        assert_eq!(reader.take(b"\r\ndata: 2\n\ndata: 3\n\n").unwrap(), ["{\"id\":\n1}", "2", "3"]);
    }
}
