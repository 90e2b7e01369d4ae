//! JSON lines on a unix socket, as QMP and the guest agent speak them: bounded in length and in time.

use provider::{Fault, Result};
use rustix::fs::{Mode, OFlags};
use serde_json::Value;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// A longer line is not read: what is behind the socket may be under a tenant's control.
const LONGEST_LINE: usize = 1 << 20;

/// One connection.
#[derive(Debug)]
pub(crate) struct Lines {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Lines {
    /// Connects to `directory/socket`. The path goes through a descriptor of the directory, because a socket's
    /// address has room for 107 bytes only and a state directory may lie deep.
    pub(crate) async fn connect(directory: &Path, socket: &str) -> std::io::Result<Self> {
        let opened = rustix::fs::open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let stream = UnixStream::connect(format!("/proc/self/fd/{}/{socket}", opened.as_raw_fd())).await?;
        let (reader, writer) = stream.into_split();
        Ok(Self { reader: BufReader::new(reader), writer })
    }

    /// Sends one message.
    pub(crate) async fn send(&mut self, message: &Value) -> Result<()> {
        let line = format!("{message}\n");
        self.send_bytes(line.as_bytes()).await
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let lost = |error: &std::io::Error| Fault::transient(format!("sending to the guest's socket: {error}"));
        self.writer.write_all(bytes).await.map_err(|error| lost(&error))
    }

    /// The next message. What precedes a 0xFF byte on a line is dropped (the guest agent's resynchronisation).
    pub(crate) async fn receive(&mut self) -> Result<Value> {
        let mut line = Vec::new();
        loop {
            let buffer = self.reader.fill_buf().await;
            let buffer = buffer.map_err(|error| Fault::unknown(format!("reading from the guest's socket: {error}")))?;
            if buffer.is_empty() {
                return Err(Fault::unknown("the guest's socket was closed before the answer"));
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(buffer.len(), |position| position + 1);
            line.extend_from_slice(&buffer[..taken]);
            self.reader.consume(taken);
            if line.len() > LONGEST_LINE {
                return Err(Fault::unknown(format!("a line of more than {LONGEST_LINE} bytes on the guest's socket")));
            }
            if end.is_none() {
                continue;
            }
            let start = line.iter().rposition(|byte| *byte == 0xFF).map_or(0, |position| position + 1);
            let text = line[start..].trim_ascii();
            if !text.is_empty() {
                return serde_json::from_slice(text)
                    .map_err(|error| Fault::unknown(format!("no JSON on the guest's socket: {error}")));
            }
            line.clear();
        }
    }
}

/// Gives an exchange a time limit.
pub(crate) async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(Fault::unknown(format!("{what} was not answered within {limit:?}"))),
    }
}
