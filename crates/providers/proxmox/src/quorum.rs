//! Whether a majority of the nodes sees each other: what a node without one says is not there, may be there. Those who ask
//! at the same time share one answer.

use crate::calls::GetClusterStatus;
use crate::region::Region;
use crate::scalar::Lenient;
use provider::Result;
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

/// What was last answered.
#[derive(Debug, Default)]
pub(crate) struct Quorum {
    /// How often it was asked so far.
    begun: AtomicU64,
    /// Which asking was answered last, and what.
    answered: Mutex<(u64, bool)>,
}

impl Region {
    /// Whether there is a majority. A node on its own is one. The answer is to a question that was put after this call
    /// began, by whomever.
    pub(crate) async fn is_quorate(&self) -> Result<bool> {
        let before = self.quorum.begun.load(Ordering::SeqCst);
        let mut answered = self.quorum.answered.lock().await;
        if answered.0 > before {
            return Ok(answered.1);
        }
        let this = self.quorum.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let quorate = quorate(&self.transport.ask(&GetClusterStatus {}).await?);
        *answered = (this, quorate);
        Ok(quorate)
    }
}

/// Whether `cluster/status` tells of a majority.
pub(crate) fn quorate(status: &Value) -> bool {
    let cluster = status.rows().iter().find(|row| row.text("type").as_deref() == Some("cluster"));
    cluster.is_none_or(|row| row.flag("quorate"))
}
