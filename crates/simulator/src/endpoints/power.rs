//! Start, stop and what lies between. If HA manages the guest, the task only records the wish.

use super::{Call, Endpoint, Reply, forking, ha};
use crate::cluster::{Cluster, Drive, Guest, Power, TaskId, Work};
use crate::refusal::{Refusal, Served};
use std::time::Duration;

macro_rules! verbs {
    ($($verb:literal $qemu:literal $lxc:literal $serve:expr;)*) => {
        &[$(
            forking("POST", concat!("/nodes/{node}/qemu/{vmid}/status/", $verb), $qemu, $serve),
            forking("POST", concat!("/nodes/{node}/lxc/{vmid}/status/", $verb), $lxc, $serve),
        )*]
    };
}

pub(super) const ENDPOINTS: &[Endpoint] = verbs! {
    "start" "qmstart" "vzstart" start;
    "stop" "qmstop" "vzstop" stop;
    "shutdown" "qmshutdown" "vzshutdown" shutdown;
    "reboot" "qmreboot" "vzreboot" reboot;
    "reset" "qmreset" "" reset;
    "suspend" "qmsuspend" "vzsuspend" suspend;
    "resume" "qmresume" "vzresume" resume;
};

/// The same for every guest of a node.
pub(super) const NODE_ENDPOINTS: &[Endpoint] = &[
    forking("POST", "/nodes/{node}/startall", "startall", start_all),
    forking("POST", "/nodes/{node}/stopall", "stopall", stop_all),
];

/// The guests of the node that a call for all of them means.
fn meant(call: &Call<'_>, wanted: impl Fn(&Guest) -> bool) -> Vec<u32> {
    let only: Vec<u32> = call.parameters.list("vms").iter().filter_map(|vmid| vmid.parse().ok()).collect();
    let here = call.cluster.guests.values().filter(|guest| guest.node == call.node && wanted(guest));
    here.map(|guest| guest.vmid).filter(|vmid| only.is_empty() || only.contains(vmid)).collect()
}

/// Those that start with their node, or all with `force`. One that does not start is a line in the log.
fn start_all(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let force = call.parameters.is("force");
    let wanted = meant(call, |guest| !guest.runs() && !guest.is_template() && (force || guest.config.is("onboot")));
    let after = Duration::from_millis(call.cluster.pace.start);
    let mut work = Work::new("startall", "", call.node);
    for vmid in wanted {
        call.need(&format!("/vms/{vmid}"), "VM.PowerMgmt")?;
        work = work.then(after, move |cluster, task| {
            let line = run(cluster, vmid, task).map_or_else(|message| message, |()| format!("Starting {vmid}"));
            cluster.log(task, line);
            Ok(())
        });
    }
    call.fork(work)
}

fn stop_all(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let wanted = meant(call, Guest::runs);
    let after = Duration::from_millis(call.cluster.pace.shutdown);
    let mut work = Work::new("stopall", "", call.node);
    for vmid in wanted {
        call.need(&format!("/vms/{vmid}"), "VM.PowerMgmt")?;
        work = work.then(after, move |cluster, task| {
            cluster.log(task, format!("Stopping {vmid}"));
            cluster.stop_guest(vmid);
            Ok(())
        });
    }
    call.fork(work)
}

/// The work of a verb, under the file lock of the guest's config.
fn work(call: &Call<'_>) -> Served<Work> {
    let guest = call.guest()?;
    let kind = super::forks(call.route).unwrap_or("qmstart");
    let file = guest.kind.lock_file(guest.vmid);
    Ok(Work::new(kind, guest.vmid, guest.node).hold_guest(&file, call.cluster.node_name(guest.node)))
}

fn checked(call: &Call<'_>) -> Served<u32> {
    call.cluster.need_quorum()?;
    if call.parameters.is("skiplock") && !call.caller.is_root() {
        return Err(Refusal::parameter("skiplock", "Only root may use this option."));
    }
    Ok(call.guest()?.vmid)
}

/// A wish that the manager of HA carries out.
fn request(call: &mut Call<'_>, kind: &'static str, wanted: &'static str) -> Served<Reply> {
    let (vmid, node) = (call.vmid(), call.node);
    call.fork(Work::new(kind, vmid, node).then(Duration::ZERO, move |cluster, task| {
        cluster.log(task, format!("Requesting HA {wanted} for {vmid}"));
        ha::request(cluster, vmid, wanted);
        Ok(())
    }))
}

fn start(call: &mut Call<'_>) -> Served<Reply> {
    let vmid = checked(call)?;
    if call.cluster.ha.wants(vmid).is_some() && !call.guest()?.runs() {
        return request(call, "hastart", "started");
    }
    let skip = call.parameters.is("skiplock");
    let after = Duration::from_millis(call.cluster.pace.start);
    let work = work(call)?
        .then(Duration::ZERO, move |cluster, _| if skip { Ok(()) } else { startable(cluster, vmid) })
        .then(after, move |cluster, task| run(cluster, vmid, task));
    call.fork(work)
}

/// What a start looks at first.
pub(super) fn startable(cluster: &Cluster, vmid: u32) -> Result<(), String> {
    let guest = cluster.guests.get(&vmid).ok_or_else(|| format!("Configuration file for {vmid} does not exist"))?;
    let word = guest.kind.word();
    if let Some(lock) = guest.lock().filter(|lock| *lock != "suspended") {
        return Err(format!("{word} is locked ({lock})"));
    }
    if guest.is_template() {
        return Err(format!("you can't start a {} if it's a template", word.to_lowercase()));
    }
    if guest.runs() {
        return Err(format!("{word} {vmid} already running"));
    }
    bridges(cluster, vmid)?;
    let absent = guest
        .config
        .drives()
        .filter(|(key, _)| !key.starts_with("unused"))
        .map(|(_, drive)| drive)
        .find(|drive| drive.storage().is_some() && cluster.volume(&drive.volume, guest.node).is_none());
    match absent {
        Some(drive) => Err(format!("volume '{}' does not exist", drive.volume)),
        None => Ok(()),
    }
}

/// Every bridge is there.
fn bridges(cluster: &Cluster, vmid: u32) -> Result<(), String> {
    let Some(guest) = cluster.guests.get(&vmid) else { return Ok(()) };
    let node = cluster.nodes.get(guest.node);
    let known: Vec<&str> =
        node.iter().flat_map(|node| &node.spec.nics).filter_map(|nic| nic.bridge.as_deref()).collect();
    let nets = guest.config.entries.iter().filter(|(key, _)| key.starts_with("net"));
    for (_, net) in nets {
        let net = Drive::parse(net);
        let Some(bridge) = net.option("bridge") else { continue };
        if !known.contains(&bridge) && !cluster.sdn.running_vnets().any(|vnet| vnet == bridge) {
            return Err(format!("bridge '{bridge}' does not exist"));
        }
    }
    Ok(())
}

pub(super) fn run(cluster: &mut Cluster, vmid: u32, task: TaskId) -> Result<(), String> {
    startable(cluster, vmid)?;
    if cluster.guests.get(&vmid).is_some_and(|guest| guest.asks_for_nesting) {
        cluster.warn(task, "Systemd 257 detected. You may need to enable nesting.");
    }
    cluster.choose_devices(vmid)?;
    if let Some(guest) = cluster.change(vmid) {
        guest.config.entries.remove("lock");
    }
    cluster.start_guest(vmid);
    Ok(())
}

fn stop(call: &mut Call<'_>) -> Served<Reply> {
    let vmid = checked(call)?;
    if call.cluster.ha.wants(vmid).is_some() && call.guest()?.runs() {
        return request(call, "hastop", "stopped");
    }
    let runs = call.guest()?.runs();
    let after = if runs { Duration::from_millis(call.cluster.pace.stop) } else { Duration::ZERO };
    if call.parameters.is("overrule-shutdown") {
        abort_shutdowns(call, vmid);
    }
    let work = work(call)?.then(after, move |cluster, _| {
        cluster.stop_guest(vmid);
        Ok(())
    });
    call.fork(work)
}

fn abort_shutdowns(call: &mut Call<'_>, vmid: u32) {
    let id = vmid.to_string();
    let tasks = call.cluster.tasks.list.iter().enumerate();
    let hanging: Vec<TaskId> = tasks
        .filter(|(_, task)| task.exit.is_none() && task.id == id && task.kind.ends_with("shutdown"))
        .map(|(number, _)| number)
        .collect();
    for task in hanging {
        call.cluster.kill_task(task);
    }
}

fn shutdown(call: &mut Call<'_>) -> Served<Reply> {
    let vmid = checked(call)?;
    if call.cluster.ha.wants(vmid).is_some() && call.guest()?.runs() {
        return request(call, "hastop", "stopped");
    }
    if call.guest()?.power == Power::Paused && !call.parameters.is("forceStop") {
        return Err(Refusal::die("VM is paused - cannot shutdown"));
    }
    let work = work(call)?;
    let work = powered_down(call, work, vmid);
    call.fork(work)
}

/// A guest that hears ends in time; one whose agent is dead is waited for until the timeout.
fn powered_down(call: &Call<'_>, work: Work, vmid: u32) -> Work {
    let force = call.parameters.is("forceStop");
    let timeout = Duration::from_secs(call.parameters.number("timeout").unwrap_or(60));
    let pace = Duration::from_millis(call.cluster.pace.shutdown);
    let guest = call.cluster.guests.get(&vmid);
    let (runs, deaf) = guest.map_or((false, false), |guest| (guest.runs(), guest.agent_dead));
    let in_vain = runs && (deaf || pace > timeout);
    let after = if !runs || pace.is_zero() {
        Duration::ZERO
    } else if in_vain {
        timeout
    } else {
        pace
    };
    work.then(after, move |cluster, task| {
        if in_vain && !force {
            cluster.log(
                task,
                format!("QEMU Guest Agent is not running - VM {vmid} qga command 'guest-ping' failed - got timeout"),
            );
            return Err("VM quit/powerdown failed - got timeout".to_owned());
        }
        cluster.stop_guest(vmid);
        Ok(())
    })
}

fn reboot(call: &mut Call<'_>) -> Served<Reply> {
    let vmid = checked(call)?;
    running(call)?;
    let start = Duration::from_millis(call.cluster.pace.start);
    let work = work(call)?;
    let work = powered_down(call, work, vmid).then(start, move |cluster, task| run(cluster, vmid, task));
    call.fork(work)
}

fn running(call: &Call<'_>) -> Served<()> {
    let guest = call.guest()?;
    if guest.runs() { Ok(()) } else { Err(Refusal::die(format!("{} {} not running", guest.kind.word(), guest.vmid))) }
}

fn reset(call: &mut Call<'_>) -> Served<Reply> {
    let vmid = checked(call)?;
    running(call)?;
    let work = work(call)?.then(Duration::ZERO, move |cluster, _| {
        let now = cluster.now;
        if let Some(guest) = cluster.change(vmid) {
            guest.since = now;
        }
        Ok(())
    });
    call.fork(work)
}

fn suspend(call: &mut Call<'_>) -> Served<Reply> {
    let vmid = checked(call)?;
    running(call)?;
    let to_disk = call.parameters.is("todisk");
    let after = Duration::from_millis(call.cluster.pace.small);
    let work = work(call)?.then(after, move |cluster, _| {
        if to_disk {
            cluster.stop_guest(vmid);
        }
        let guest = cluster.change_or_fail(vmid)?;
        if to_disk {
            guest.config.set("lock", "suspended");
        } else {
            guest.power = Power::Paused;
        }
        Ok(())
    });
    call.fork(work)
}

/// The daemon itself waits for the config's lock, for ten seconds.
fn resume(call: &mut Call<'_>) -> Served<Reply> {
    let vmid = checked(call)?;
    running(call)?;
    let work = work(call)?.then(Duration::ZERO, move |cluster, _| {
        cluster.change_or_fail(vmid)?.power = Power::Running;
        Ok(())
    });
    call.fork(work)
}
