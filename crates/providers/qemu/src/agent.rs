//! The guest agent. Everything it says is under the tenant's control: bounded, short timeouts, and never needed.

use crate::lines::{Lines, within};
use crate::qmp::refusal;
use provider::{Fault, Result};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// The agent's socket in a guest's run directory.
pub(crate) const SOCKET: &str = "agent.sock";
/// A guest without an agent never answers, so this is what its absence costs.
const SYNC: Duration = Duration::from_millis(800);
const FREEZE: Duration = Duration::from_secs(10);

/// A connection to an agent that answered.
#[derive(Debug)]
pub(crate) struct Agent {
    lines: Lines,
}

impl Agent {
    /// Connects and synchronises; an error means that no agent answers.
    pub(crate) async fn connect(run: &Path) -> Result<Self> {
        let lines = Lines::connect(run, SOCKET).await;
        let mut lines = lines.map_err(|error| Fault::transient(format!("connecting to the guest agent: {error}")))?;
        let id = u64::from(uuid::Uuid::new_v4().as_fields().0);
        let synchronise = async {
            // 0xFF makes the agent forget half a command that somebody else left in the channel.
            lines.send_bytes(&[0xFF]).await?;
            lines.send(&json!({"execute": "guest-sync-delimited", "arguments": {"id": id}})).await?;
            // An answer to an earlier client may come first; a guest must not keep us reading for ever.
            for _ in 0..16 {
                if lines.receive().await.is_ok_and(|answer| answer.get("return").and_then(Value::as_u64) == Some(id)) {
                    return Ok(());
                }
            }
            Err(Fault::transient("the guest agent does not synchronise"))
        };
        within(SYNC, "the guest agent", synchronise).await?;
        Ok(Self { lines })
    }

    async fn call(&mut self, command: &str, arguments: Value, limit: Duration) -> Result<Value> {
        let exchange = async {
            self.lines.send(&json!({"execute": command, "arguments": arguments})).await?;
            let mut answer = self.lines.receive().await?;
            match answer.get("error") {
                Some(error) => Err(refusal(command, error)),
                None => Ok(answer.get_mut("return").map(Value::take).unwrap_or_default()),
            }
        };
        within(limit, command, exchange).await
    }

    /// Flushes and freezes the guest's file systems.
    pub(crate) async fn freeze(&mut self) -> Result<()> {
        self.call("guest-fsfreeze-freeze", json!({}), FREEZE).await.map(drop)
    }

    /// Lets them go on.
    pub(crate) async fn thaw(&mut self) -> Result<()> {
        self.call("guest-fsfreeze-thaw", json!({}), FREEZE).await.map(drop)
    }

    /// Asks the guest to restart. An agent that obeys does not answer.
    pub(crate) async fn reboot(&mut self) -> Result<()> {
        self.lines.send(&json!({"execute": "guest-shutdown", "arguments": {"mode": "reboot"}})).await?;
        match within(SYNC, "guest-shutdown", self.lines.receive()).await {
            Ok(answer) => answer.get("error").map_or(Ok(()), |error| Err(refusal("guest-shutdown", error))),
            Err(_) => Ok(()),
        }
    }
}
