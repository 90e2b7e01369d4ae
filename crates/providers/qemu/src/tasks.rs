//! Work that outlasts a call. Tasks live in this process only: after a restart they have vanished, the caller makes
//! its call again, and the call finds what is done or goes on from there.

use provider::{Fault, Result, TaskRef, TaskState};
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;
use uuid::Uuid;

/// How long an ended task is remembered.
const MEMORY: Duration = Duration::from_secs(3600);

/// How far a task is, in millionths; shared between the work and those who ask.
#[derive(Clone, Default, Debug)]
pub(crate) struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Sets the fraction done.
    pub(crate) fn set(&self, done: u64, of: u64) {
        let millionths = u128::from(done) * 1_000_000 / u128::from(of.max(1));
        self.0.store(u64::try_from(millionths).unwrap_or(u64::MAX).clamp(1, 1_000_000), Ordering::Relaxed);
    }

    fn get(&self) -> Option<f64> {
        let millionths = u32::try_from(self.0.load(Ordering::Relaxed)).unwrap_or_default();
        (millionths > 0).then(|| f64::from(millionths) / 1_000_000.0)
    }
}

#[derive(Debug)]
struct Entry {
    subject: String,
    progress: Progress,
    work: Option<AbortHandle>,
    ended: Option<(Instant, std::result::Result<(), Fault>)>,
}

/// The tasks of this process.
#[derive(Clone, Default, Debug)]
pub(crate) struct Tasks(Arc<Mutex<HashMap<TaskRef, Entry>>>);

impl Tasks {
    fn entries(&self) -> MutexGuard<'_, HashMap<TaskRef, Entry>> {
        // The map is changed by single inserts and assignments, so it is whole even after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the running task on this subject, or begins one.
    pub(crate) fn begin<F>(&self, subject: String, work: impl FnOnce(Progress) -> F) -> TaskRef
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let progress = Progress::default();
        let task = TaskRef(Uuid::new_v4().to_string());
        {
            let mut entries = self.entries();
            entries.retain(|_, entry| entry.ended.as_ref().is_none_or(|(when, _)| when.elapsed() < MEMORY));
            let running = entries.iter().find(|(_, entry)| entry.subject == subject && entry.ended.is_none());
            if let Some((task, _)) = running {
                return task.clone();
            }
            entries.insert(task.clone(), Entry { subject, progress: progress.clone(), work: None, ended: None });
        }
        let work = tokio::spawn(work(progress));
        if let Some(entry) = self.entries().get_mut(&task) {
            entry.work = Some(work.abort_handle());
        }
        let (tasks, name) = (self.clone(), task.clone());
        tokio::spawn(async move {
            let result = match work.await {
                Ok(result) => result,
                Err(error) if error.is_cancelled() => Err(Fault::refused("given up: its result was deleted")),
                Err(error) => Err(Fault::bug(format!("the task ended abnormally: {error}"))),
            };
            if let Some(entry) = tasks.entries().get_mut(&name) {
                entry.ended = Some((Instant::now(), result));
            }
        });
        task
    }

    /// Gives up the running task on this subject.
    pub(crate) fn give_up(&self, subject: &str) {
        let entries = self.entries();
        let running = entries.values().filter(|entry| entry.subject == subject && entry.ended.is_none());
        running.filter_map(|entry| entry.work.as_ref()).for_each(AbortHandle::abort);
    }

    /// What a task is doing.
    pub(crate) fn state(&self, task: &TaskRef) -> TaskState {
        match self.entries().get(task) {
            None => TaskState::Vanished,
            Some(Entry { ended: Some((_, Ok(()))), .. }) => TaskState::Done,
            Some(Entry { ended: Some((_, Err(fault))), .. }) => TaskState::Failed(fault.clone()),
            Some(Entry { progress, .. }) => TaskState::Running { progress: progress.get() },
        }
    }
}
