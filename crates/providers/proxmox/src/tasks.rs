//! Tasks: where to ask about one, and what its end means.

use crate::calls::{GetTaskLog, GetTaskStatus};
use crate::errors::{Ended, Failed, Said, ended};
use crate::region::Region;
use crate::scalar::Lenient;
use crate::transport::held;
use provider::{Begun, Fault, Result, TaskRef, TaskState};
use std::time::{Duration, Instant};

/// How long it is remembered that a task was not known.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How long a quick task is waited for inside a call.
const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_GLANCE: Duration = Duration::from_millis(50);
const LONGEST_GLANCE: Duration = Duration::from_secs(1);

/// A task's name, taken apart: `UPID:node:pid:pstart:starttime:type:id:user:`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Upid {
    pub(crate) text: String,
    /// The host whose worker does it; the only one to ask.
    pub(crate) node: String,
    /// What kind of work.
    pub(crate) work: String,
}

impl Upid {
    /// Reads it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (["UPID", node, pid, pstart, started, work, _id, user, ..], true) = (parts.as_slice(), parts.len() >= 9)
        else {
            return None;
        };
        let hex = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_hexdigit());
        (hex(pid) && hex(pstart) && hex(started) && !node.is_empty() && !user.is_empty()).then(|| Self {
            text: text.to_owned(),
            node: (*node).to_owned(),
            work: (*work).to_owned(),
        })
    }
}

/// A begun piece of work as the trait wants it.
pub(crate) fn begun(upid: Option<String>) -> Begun {
    upid.map_or(Begun::Done, |upid| Begun::Task(TaskRef(upid)))
}

impl Region {
    /// See [`provider::Provider::task`].
    pub(crate) async fn task(&self, task: &TaskRef) -> Result<TaskState> {
        let Some(upid) = Upid::parse(&task.0) else { return Ok(TaskState::Vanished) };
        let call = GetTaskStatus { node: upid.node.clone(), upid: upid.text.clone() };
        let answer = match self.transport.try_ask(&call).await {
            Ok(answer) => answer,
            Err(failed) => return self.unasked(&upid, &failed).await,
        };
        held(&self.unknown_tasks).remove(&upid.text);
        if answer.text("status").as_deref() != Some("stopped") {
            return Ok(TaskState::Running { progress: None });
        }
        let exit = answer.text("exitstatus").unwrap_or_else(|| "unexpected status".to_owned());
        Ok(match ended(&format!("task {} on {}", upid.work, upid.node), &exit) {
            Ended::Well { warnings } => {
                if warnings {
                    self.tell_warnings(&upid).await;
                }
                TaskState::Done
            }
            Ended::Unknown => TaskState::Vanished,
            Ended::Badly(fault) => {
                if matches!(upid.work.as_str(), "qmstart" | "vzstart") {
                    self.doubt_networks().await;
                }
                TaskState::Failed(fault)
            }
        })
    }

    /// A task that could not be asked about.
    async fn unasked(&self, upid: &Upid, failed: &Failed) -> Result<TaskState> {
        match (failed, failed.said()) {
            (_, Some(Said::NoTask)) => {
                let mut unknown = held(&self.unknown_tasks);
                unknown.retain(|_, since| since.elapsed() < REMEMBERED.max(self.config.task_grace * 2));
                let since = *unknown.entry(upid.text.clone()).or_insert_with(Instant::now);
                let young = since.elapsed() < self.config.task_grace;
                Ok(if young { TaskState::Running { progress: None } } else { TaskState::Vanished })
            }
            // Begun with a token that was replaced since: only the object can tell.
            (_, Some(Said::Denied)) => Ok(TaskState::Vanished),
            (Failed::NeverSent(_), _) if self.cluster().await?.is_offline(&upid.node) => Ok(TaskState::Vanished),
            _ => Err(failed.fault(&format!("asking about {}", upid.text))),
        }
    }

    /// Puts a task's warnings into the log.
    async fn tell_warnings(&self, upid: &Upid) {
        let call = GetTaskLog { node: upid.node.clone(), upid: upid.text.clone(), start: Some(0), limit: Some(500) };
        let Ok(answer) = self.transport.ask(&call).await else { return };
        let lines = answer.rows().iter().filter_map(|row| row.text("t"));
        for warning in lines.filter(|line| line.starts_with("WARN:")) {
            tracing::warn!(task = %upid.text, %warning, "a task ended well, with a warning");
        }
    }

    /// Waits a moment for a task that is mostly over in one. `false`: it is still running or ended badly, which whoever
    /// follows it will see.
    pub(crate) async fn is_soon_done(&self, task: &TaskRef) -> Result<bool> {
        for again in [true, true, true, false] {
            match self.task(task).await? {
                TaskState::Done => return Ok(true),
                TaskState::Running { .. } if again => tokio::time::sleep(FIRST_GLANCE).await,
                _ => break,
            }
        }
        Ok(false)
    }

    /// Waits for a task of a few seconds.
    pub(crate) async fn wait(&self, upid: Option<String>) -> Result<()> {
        let Some(upid) = upid else { return Ok(()) };
        let (task, begun, mut glance) = (TaskRef(upid), Instant::now(), FIRST_GLANCE);
        loop {
            match self.task(&task).await? {
                TaskState::Done => return Ok(()),
                TaskState::Failed(fault) => return Err(fault),
                TaskState::Vanished => return Err(Fault::unknown(format!("{}: nobody knows how it ended", task.0))),
                TaskState::Running { .. } if begun.elapsed() > PATIENCE => {
                    return Err(Fault::transient(format!("{} takes longer than a minute", task.0)));
                }
                TaskState::Running { .. } => tokio::time::sleep(glance).await,
            }
            glance = (glance * 2).min(LONGEST_GLANCE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_names_are_taken_apart() {
        let upid = Upid::parse("UPID:pve1:00000081:00034C30:6B00F11B:qmcreate:100:root@pam!t1:").unwrap();
        assert_eq!((upid.node.as_str(), upid.work.as_str()), ("pve1", "qmcreate"));
        let upid = Upid::parse("UPID:pve1:0000092F:000053019:6B00F5F2:imgcopy::root@pam!t1:").unwrap();
        assert_eq!(upid.work, "imgcopy");
        for wrong in ["", "UPID:pve1:1:2:3:x:y", "UPID::1:2:3:x:y:u:", "s42", "UPID:n:zz:1:1:x::u:"] {
            assert_eq!(Upid::parse(wrong), None, "{wrong}");
        }
    }
}
