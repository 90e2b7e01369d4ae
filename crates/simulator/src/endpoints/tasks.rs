//! Workers as their UPIDs name them.

use super::{Call, Endpoint, Reply, at};
use crate::cluster::{Task, TaskId};
use crate::refusal::{Refusal, Served};
use crate::transport::items;
use serde_json::{Value, json};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    at("GET", "/nodes/{node}/tasks", list),
    at("GET", "/nodes/{node}/tasks/{upid}", |_| Ok(Reply::from(json!([{ "name": "log" }, { "name": "status" }])))),
    at("DELETE", "/nodes/{node}/tasks/{upid}", stop),
    at("GET", "/nodes/{node}/tasks/{upid}/status", status),
    at("GET", "/nodes/{node}/tasks/{upid}/log", log),
    at("GET", "/cluster/tasks", everywhere),
];

/// How many bytes of tasks a node tells the others of (pve-cluster, Cluster.pm, broadcast_tasklist).
const BROADCAST: usize = 32 * 1024;

/// Whether the text is a UPID at all.
fn parses(upid: &str) -> bool {
    let parts: Vec<&str> = upid.split(':').collect();
    let hex = |at: usize, digits: std::ops::RangeInclusive<usize>| {
        parts
            .get(at)
            .is_some_and(|part| digits.contains(&part.len()) && part.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    parts.len() == 9
        && parts.first() == Some(&"UPID")
        && hex(2, 8..=8)
        && hex(3, 8..=9)
        && hex(4, 8..=8)
        && parts.last() == Some(&"")
}

/// The task of the path, if the caller may see it.
fn meant(call: &Call<'_>) -> Served<TaskId> {
    let upid = call.text("upid");
    if !parses(upid) {
        return Err(Refusal::parameter("upid", "unable to parse worker upid"));
    }
    let absent = || Refusal::parameter("upid", "no such task");
    let number = call.cluster.tasks.find(upid).ok_or_else(absent)?;
    let task = call.cluster.tasks.list.get(number).filter(|task| task.node == call.node).ok_or_else(absent)?;
    if !is_own(call, task) {
        call.need(&format!("/nodes/{}", call.cluster.node_name(call.node)), "Sys.Audit")?;
    }
    Ok(number)
}

/// A token sees its own tasks, and a user those of all its tokens.
fn is_own(call: &Call<'_>, task: &Task) -> bool {
    task.caller.user == call.caller.user && (call.caller.token.is_none() || call.caller.token == task.caller.token)
}

fn shown(call: &Call<'_>, task: &Task) -> Value {
    let mut shown = json!({
        "upid": task.upid, "node": call.cluster.node_name(task.node), "pid": task.pid, "pstart": task.pstart,
        "starttime": task.start.seconds(), "type": task.kind, "id": task.id, "user": task.caller.user,
    });
    if let Some(token) = &task.caller.token {
        shown["tokenid"] = json!(token);
    }
    shown
}

fn status(call: &mut Call<'_>) -> Served<Reply> {
    let number = meant(call)?;
    let Some(task) = call.cluster.tasks.list.get(number) else { return Ok(Reply::null()) };
    let mut shown = shown(call, task);
    shown["status"] = json!(if task.exit.is_some() { "stopped" } else { "running" });
    if let Some(exit) = &task.exit {
        shown["exitstatus"] = json!(exit);
    }
    Ok(Reply::from(shown))
}

fn log(call: &mut Call<'_>) -> Served<Reply> {
    let unknown = Refusal::parameter("upid", "no such task");
    let number = match meant(call) {
        Ok(number) => number,
        // The log of a task that nobody knows is empty, and no error.
        Err(refusal) if refusal == unknown => return Ok(Reply::from(json!([])).of(0)),
        Err(refusal) => return Err(refusal),
    };
    let page = |name: &str, default: usize| {
        call.parameters.number(name).and_then(|value| usize::try_from(value).ok()).unwrap_or(default)
    };
    let (start, limit) = (page("start", 0), page("limit", 50));
    let lines = call.cluster.tasks.list.get(number).map_or(&[][..], |task| &task.log);
    let limit = if limit == 0 { lines.len() } else { limit };
    let numbered = lines.iter().enumerate().skip(start).take(limit);
    let list = numbered.map(|(number, line)| json!({ "n": number + 1, "t": line })).collect();
    Ok(Reply::from(Value::Array(list)).of(lines.len()))
}

fn stop(call: &mut Call<'_>) -> Served<Reply> {
    let number = meant(call)?;
    if call.cluster.tasks.list.get(number).is_some_and(|task| task.exit.is_none()) {
        call.cluster.kill_task(number);
    }
    Ok(Reply::null())
}

fn list(call: &mut Call<'_>) -> Served<Reply> {
    let source = call.parameters.get("source").unwrap_or("archive");
    let all = call.may(&format!("/nodes/{}", call.cluster.node_name(call.node)), "Sys.Audit");
    let page = |name: &str, default: usize| {
        call.parameters.number(name).and_then(|value| usize::try_from(value).ok()).unwrap_or(default)
    };
    let kept: Vec<&Task> = call
        .cluster
        .tasks
        .list
        .iter()
        .rev()
        .filter(|task| task.node == call.node && !task.vanished && (all || is_own(call, task)))
        .filter(|task| source == "all" || (source == "active") == task.exit.is_none())
        .filter(|task| is_wanted(call, task))
        .collect();
    let list: Vec<Value> =
        kept.iter().skip(page("start", 0)).take(page("limit", 50)).map(|task| entry(call, task)).collect();
    Ok(Reply::from(Value::Array(list)).of(kept.len()))
}

fn is_wanted(call: &Call<'_>, task: &Task) -> bool {
    let parameters = &call.parameters;
    let status = |task: &Task| match task.exit.as_deref() {
        Some("OK") => "ok",
        Some("unexpected status") => "unknown",
        Some(_) if task.is_ok() => "warning",
        _ => "error",
    };
    let since = parameters.number("since").and_then(|since| i64::try_from(since).ok());
    let until = parameters.number("until").and_then(|until| i64::try_from(until).ok());
    parameters.get("vmid").is_none_or(|vmid| vmid == task.id)
        && parameters.get("typefilter").is_none_or(|kind| kind == task.kind)
        && parameters.get("userfilter").is_none_or(|user| task.caller.name().contains(user))
        && parameters
            .get("statusfilter")
            .is_none_or(|filter| task.exit.is_none() || items(filter).any(|one| one == status(task)))
        && (!parameters.is("errors") || task.exit.is_some() && !task.is_ok())
        && since.is_none_or(|since| task.start.seconds() >= since)
        && until.is_none_or(|until| task.start.seconds() <= until)
}

fn entry(call: &Call<'_>, task: &Task) -> Value {
    let mut shown = shown(call, task);
    match (&task.exit, task.end) {
        (Some(exit), Some(end)) => {
            shown["status"] = json!(exit);
            shown["endtime"] = json!(end.seconds());
        }
        _ => {
            shown["status"] = json!("RUNNING");
            shown["saved"] = json!("0");
            shown["user"] = json!(task.caller.name());
            if let Some(members) = shown.as_object_mut() {
                members.remove("tokenid");
            }
        }
    }
    shown
}

/// What each node has told the others of its newest tasks: never all of them.
fn everywhere(call: &mut Call<'_>) -> Served<Reply> {
    let mut list = Vec::new();
    for node in 0..call.cluster.nodes.len() {
        let all = call.may(&format!("/nodes/{}", call.cluster.node_name(node)), "Sys.Audit");
        let mut room = BROADCAST;
        let tasks = call.cluster.tasks.list.iter().rev().filter(|task| task.node == node && !task.vanished);
        for task in tasks {
            room = room.saturating_sub(200);
            if room == 0 {
                break;
            }
            if !all && !is_own(call, task) {
                continue;
            }
            let mut shown = entry(call, task);
            shown["saved"] = json!(if task.exit.is_some() { "1" } else { "0" });
            if let Some(members) = shown.as_object_mut() {
                members.remove("pid");
                members.remove("pstart");
                if task.exit.is_none() {
                    members.remove("status");
                }
            }
            list.push(shown);
        }
    }
    Ok(Reply::from(Value::Array(list)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_upid_may_have_an_empty_id_and_a_long_start() {
        assert!(parses("UPID:pve1:0000092F:00053019:6B00F5F2:imgcopy::root@pam!t1:"));
        assert!(parses("UPID:pve1:0000092F:100053019:6B00F5F2:qmstart:100:root@pam:"));
        assert!(!parses("UPID:bad"));
    }
}
