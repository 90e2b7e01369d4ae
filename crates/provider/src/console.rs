//! Interactive consoles: a stream of bytes between a person and a guest, carried through Cairn.

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

/// Which console.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsoleKind {
    /// The screen, in the RFB protocol (VNC).
    Screen,
    /// The serial line, as a terminal.
    Serial,
}

/// A console's bytes, both ways.
pub struct ConsoleStream {
    /// The bytes.
    pub bytes: Box<dyn ConsoleBytes>,
    /// What an RFB client has to authenticate with; good for this stream only, a secret.
    pub password: Option<String>,
}

impl std::fmt::Debug for ConsoleStream {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConsoleStream")
    }
}

/// What a console's bytes go through.
pub trait ConsoleBytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ConsoleBytes for T {}
