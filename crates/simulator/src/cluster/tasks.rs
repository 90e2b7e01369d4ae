//! Workers: what a UPID names.

use super::{Cluster, Event, Hold};
use crate::access::Caller;
use crate::clock::Time;
use crate::faults::{Fault, Moment, Seen};
use crate::refusal::Served;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// The number of a task in the simulator; its UPID is for clients.
pub(crate) type TaskId = usize;

/// One thing that a task does. Its error is what follows `TASK ERROR: `.
type Deed = Box<dyn FnOnce(&mut Cluster, TaskId) -> Result<(), String> + Send>;
/// What a task that failed takes back.
type Undo = Box<dyn FnOnce(&mut Cluster) + Send>;

enum Step {
    Do { after: Duration, deed: Deed },
    Take { key: String, hold: Hold, wait: Duration, deadline: Option<Time>, error: String },
    Let { key: String },
}

/// A task that is yet to be forked.
pub(crate) struct Work {
    kind: &'static str,
    id: String,
    node: usize,
    steps: VecDeque<Step>,
    undo: Option<Undo>,
}

impl Work {
    pub(crate) fn new(kind: &'static str, id: impl ToString, node: usize) -> Self {
        Self { kind, id: id.to_string(), node, steps: VecDeque::new(), undo: None }
    }

    /// Something that lasts so long and then happens.
    pub(crate) fn then(
        mut self,
        after: Duration,
        deed: impl FnOnce(&mut Cluster, TaskId) -> Result<(), String> + Send + 'static,
    ) -> Self {
        self.steps.push_back(Step::Do { after, deed: Box::new(deed) });
        self
    }

    /// A lock that is held until the task ends, or is let go.
    pub(crate) fn hold(mut self, key: String, hold: Hold, wait: Duration, error: String) -> Self {
        self.steps.push_back(Step::Take { key, hold, wait, deadline: None, error });
        self
    }

    /// The same lock as a request has just found free, before every other step.
    pub(crate) fn hold_first(mut self, key: String, file: &str) -> Self {
        let error = format!("can't lock file '{file}' - got timeout");
        let wait = Duration::from_secs(10);
        self.steps.push_front(Step::Take { key, hold: Hold::Exclusive, wait, deadline: None, error });
        self
    }

    /// Lets go of a lock.
    pub(crate) fn release(mut self, key: String) -> Self {
        self.steps.push_back(Step::Let { key });
        self
    }

    /// The file lock of a guest's config, ten seconds.
    pub(crate) fn hold_guest(self, file: &str, node: &str) -> Self {
        let error = format!("can't lock file '{file}' - got timeout");
        self.hold(format!("{node}:{file}"), Hold::Exclusive, Duration::from_secs(10), error)
    }

    /// What happens when the task fails.
    pub(crate) fn undo(mut self, undo: impl FnOnce(&mut Cluster) + Send + 'static) -> Self {
        self.undo = Some(Box::new(undo));
        self
    }
}

pub(crate) struct Task {
    pub(crate) upid: String,
    pub(crate) node: usize,
    pub(crate) pid: u32,
    pub(crate) pstart: i64,
    pub(crate) start: Time,
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) caller: Caller,
    pub(crate) log: Vec<String>,
    pub(crate) exit: Option<String>,
    pub(crate) end: Option<Time>,
    /// Nobody knows it, though it goes on.
    pub(crate) vanished: bool,
    warnings: usize,
    fate: Option<Fault>,
    steps: VecDeque<Step>,
    undo: Option<Undo>,
    /// Counts its awakenings, so that one that is late is told from the one that is meant.
    epoch: u32,
}

impl Task {
    /// Whether the exit status means success.
    pub(crate) fn is_ok(&self) -> bool {
        self.exit.as_deref().is_some_and(|exit| exit == "OK" || exit.starts_with("WARNINGS: "))
    }
}

/// Every task, in the order of its start.
#[derive(Default)]
pub(crate) struct Tasks {
    pub(crate) list: Vec<Task>,
    by_upid: HashMap<String, TaskId>,
}

impl Tasks {
    pub(crate) fn find(&self, upid: &str) -> Option<TaskId> {
        self.by_upid.get(upid).copied().filter(|task| self.list.get(*task).is_some_and(|task| !task.vanished))
    }

    pub(crate) fn running(&self) -> usize {
        self.list.iter().filter(|task| task.exit.is_none()).count()
    }

    pub(crate) fn get_mut(&mut self, task: TaskId) -> Option<&mut Task> {
        self.list.get_mut(task)
    }
}

impl Cluster {
    /// Forks a worker on a node and returns its UPID. Without a pace it is over when the request is.
    pub(crate) fn fork(&mut self, caller: &Caller, work: Work) -> Served<String> {
        let Some(node) = self.nodes.get_mut(work.node) else {
            return Err(crate::refusal::Refusal::die("got no worker upid - start worker failed"));
        };
        node.next_pid += 1;
        let pid = node.next_pid;
        let pstart = i64::try_from(self.now.since(node.booted).as_millis() / 10).unwrap_or(0);
        let (kind, id, user) = (work.kind, work.id, caller.name());
        let start = self.now.seconds();
        let upid = format!("UPID:{}:{pid:08X}:{pstart:08X}:{start:08X}:{kind}:{id}:{user}:", node.name);
        let task = self.tasks.list.len();
        let fate = self.task_fate.take().or_else(|| self.unasked_fate(kind, &id, work.node));
        self.tasks.by_upid.insert(upid.clone(), task);
        self.tasks.list.push(Task {
            upid: upid.clone(),
            node: work.node,
            pid,
            pstart,
            start: self.now,
            kind,
            id,
            caller: caller.clone(),
            log: Vec::new(),
            exit: None,
            end: None,
            vanished: matches!(fate, Some(Fault::TaskVanishes)),
            warnings: 0,
            fate,
            steps: work.steps,
            undo: work.undo,
            epoch: 0,
        });
        // A file lock that is free is had at once: whoever comes next finds it taken.
        self.take_first_locks(task);
        self.schedule(Duration::ZERO, Event::Task { task, epoch: 0 });
        Ok(upid)
    }

    /// The fate of a task that no request forks, as the manager of HA does.
    fn unasked_fate(&mut self, kind: &str, id: &str, node: usize) -> Option<Fault> {
        let name = self.nodes.get(node).map(|node| node.name.clone());
        let seen =
            Seen { method: "", path: "", node: name.as_deref(), vmid: id.parse().ok(), newid: None, task: Some(kind) };
        if self.in_request { None } else { crate::faults::Fate::of(self.script.hits(&seen)).task }
    }

    fn take_first_locks(&mut self, task: TaskId) {
        let Some(entry) = self.tasks.list.get_mut(task) else { return };
        while let Some(Step::Take { key, hold, .. }) = entry.steps.front() {
            if !self.flocks.is_free(key, *hold, Some(task)) {
                return;
            }
            self.flocks.take(key, *hold, task);
            entry.steps.pop_front();
        }
    }

    /// Writes a line into a task's log.
    pub(crate) fn log(&mut self, task: TaskId, line: impl Into<String>) {
        if let Some(task) = self.tasks.get_mut(task) {
            task.log.push(line.into());
        }
    }

    /// Writes a warning, so that the task ends `WARNINGS: n`.
    pub(crate) fn warn(&mut self, task: TaskId, line: &str) {
        if let Some(task) = self.tasks.get_mut(task) {
            task.warnings += 1;
            task.log.push(format!("WARN: {line}"));
        }
    }

    /// Goes on with a task until it waits for something or is over.
    pub(super) fn run_task(&mut self, number: TaskId, epoch: u32) {
        let Some(task) = self.tasks.list.get_mut(number).filter(|task| task.exit.is_none() && task.epoch == epoch)
        else {
            return;
        };
        task.epoch += 1;
        if epoch == 0 && self.meet_fate_before(number) {
            return;
        }
        loop {
            let Some(task) = self.tasks.list.get_mut(number).filter(|task| task.exit.is_none()) else { return };
            let epoch = task.epoch;
            let Some(step) = task.steps.pop_front() else {
                return self.conclude(number);
            };
            match step {
                Step::Do { after, deed } if after.is_zero() => {
                    if let Err(message) = deed(self, number) {
                        return self.fail_task(number, &message);
                    }
                }
                Step::Do { after, deed } => {
                    task.steps.push_front(Step::Do { after: Duration::ZERO, deed });
                    return self.schedule(after, Event::Task { task: number, epoch });
                }
                Step::Take { key, hold, wait, deadline, error } => {
                    if self.flocks.take(&key, hold, number) {
                        continue;
                    }
                    let until = deadline.unwrap_or(self.now + wait);
                    if self.now >= until {
                        return self.fail_task(number, &error);
                    }
                    task.steps.push_front(Step::Take { key, hold, wait, deadline: Some(until), error });
                    let left = until.since(self.now);
                    return self.schedule(left, Event::Task { task: number, epoch });
                }
                Step::Let { key } => self.let_go(number, Some(&key)),
            }
        }
    }

    /// Whether the task's fate ends it before it does anything.
    fn meet_fate_before(&mut self, number: TaskId) -> bool {
        match self.tasks.list.get_mut(number).and_then(|task| task.fate.clone()) {
            Some(Fault::TaskFails { message, moment: Moment::Before }) => {
                self.fail_task(number, &message);
                true
            }
            Some(Fault::TaskKilled { moment: Moment::Before }) => {
                self.kill_task(number);
                true
            }
            Some(Fault::TaskWarns { lines }) => {
                for line in &lines {
                    self.warn(number, line);
                }
                false
            }
            _ => false,
        }
    }

    /// All steps are done.
    fn conclude(&mut self, number: TaskId) {
        let Some(task) = self.tasks.list.get_mut(number) else { return };
        task.undo = None;
        match task.fate.clone() {
            Some(Fault::TaskFails { message, .. }) => self.fail_task(number, &message),
            Some(Fault::TaskKilled { .. }) => self.kill_task(number),
            _ => {
                let exit = if task.warnings == 0 { "OK".to_owned() } else { format!("WARNINGS: {}", task.warnings) };
                let last = format!("TASK {exit}");
                self.end_task(number, exit, Some(last));
            }
        }
    }

    fn fail_task(&mut self, number: TaskId, message: &str) {
        let undo = self.tasks.get_mut(number).and_then(|task| task.undo.take());
        if let Some(undo) = undo {
            undo(self);
        }
        self.end_task(number, message.to_owned(), Some(format!("TASK ERROR: {message}")));
    }

    /// The worker is gone without a word: nothing is taken back, and its log has no last line.
    pub(crate) fn kill_task(&mut self, number: TaskId) {
        self.end_task(number, "unexpected status".to_owned(), None);
    }

    fn end_task(&mut self, number: TaskId, exit: String, line: Option<String>) {
        let now = self.now;
        if let Some(task) = self.tasks.get_mut(number) {
            task.log.extend(line);
            task.steps.clear();
            task.undo = None;
            task.exit = Some(exit);
            task.end = Some(now);
        }
        self.let_go(number, None);
    }

    fn let_go(&mut self, number: TaskId, key: Option<&str>) {
        for waiting in self.flocks.release(number, key) {
            if let Some(epoch) = self.tasks.list.get(waiting).map(|task| task.epoch) {
                self.schedule(Duration::ZERO, Event::Task { task: waiting, epoch });
            }
        }
    }
}
