//! QEMU's machine protocol: greeting, capabilities, commands with ids. A connection is made for each piece of work
//! and closed after it: QEMU serves one at a time, and nothing of it needs to survive a restart.

use crate::lines::{Lines, within};
use provider::{Fault, Result};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// The monitor's socket in a guest's run directory.
pub(crate) const SOCKET: &str = "qmp.sock";
/// How long QEMU may take to greet: a second client waits until the first is gone.
const GREETING: Duration = Duration::from_secs(5);
/// How long an ordinary command may take.
const ANSWER: Duration = Duration::from_secs(15);

/// A connection in command mode.
#[derive(Debug)]
pub(crate) struct Qmp {
    lines: Lines,
    last: u64,
}

impl Qmp {
    /// Connects and negotiates. An absent or refusing socket is [`provider::FaultKind::Transient`].
    pub(crate) async fn connect(run: &Path) -> Result<Self> {
        let lines = Lines::connect(run, SOCKET).await;
        let lines = lines.map_err(|error| Fault::transient(format!("connecting to QEMU: {error}")))?;
        Self::negotiate(lines).await
    }

    /// Negotiates on an open connection.
    pub(crate) async fn negotiate(mut lines: Lines) -> Result<Self> {
        let greeting = within(GREETING, "QEMU's greeting", lines.receive()).await;
        let greeting = greeting.map_err(|fault| Fault::transient(fault.detail))?;
        if greeting.get("QMP").is_none() {
            return Err(Fault::bug("what answers at the QMP socket is not QEMU"));
        }
        let mut connection = Self { lines, last: 0 };
        connection.call("qmp_capabilities", json!({})).await?;
        Ok(connection)
    }

    /// One command and its answer; events in between are passed over.
    pub(crate) async fn call(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.last += 1;
        let id = self.last;
        let exchange = async {
            self.lines.send(&json!({"execute": command, "arguments": arguments, "id": id})).await?;
            loop {
                let mut message = self.lines.receive().await?;
                if message.get("id").and_then(Value::as_u64) != Some(id) {
                    continue;
                }
                if let Some(error) = message.get("error") {
                    return Err(refusal(command, error));
                }
                return Ok(message.get_mut("return").map(Value::take).unwrap_or_default());
            }
        };
        within(ANSWER, command, exchange).await
    }
}

/// An error object of QMP or of the guest agent.
pub(crate) fn refusal(command: &str, error: &Value) -> Fault {
    let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or("?");
    crate::fault::from_reply(command, text("class"), text("desc"))
}
