//! Faults: what a client sees, and what has really happened.

use crate::client::{Client, instant, stepped};
use simulator::{Deed, Fault, Moment, Rule, When};
use std::time::Duration;

const CREATE: &[(&str, &str)] =
    &[("vmid", "100"), ("name", "web"), ("memory", "512"), ("scsi0", "local-lvm:8"), ("net0", "virtio,bridge=vmbr0")];

#[tokio::test]
async fn a_lost_answer_has_its_effect() {
    let (simulator, client) = instant(1).await;
    let rule = simulator.control.fault(Rule::once(When::task("qmcreate"), Fault::Lost));
    // The client's library sends nothing again that is not idempotent.
    assert!(client.call("POST", "/nodes/pve1/qemu", CREATE).await.is_none());
    assert_eq!(simulator.control.hits(rule), 1);
    assert_eq!(simulator.control.guests().iter().map(|guest| guest.vmid).collect::<Vec<_>>(), [100]);
    let again = client.call("POST", "/nodes/pve1/qemu", CREATE).await.unwrap();
    assert_eq!(
        (again.status, again.reason.as_str()),
        (500, "unable to create VM 100 - VM 100 already exists on node 'pve1'")
    );
}

#[tokio::test]
async fn what_is_not_answered_has_not_happened() {
    let (simulator, client) = instant(1).await;
    simulator.control.fault(Rule::once(When::request("POST", "/nodes/*/qemu"), Fault::Unanswered { hold_ms: 0 }));
    assert!(client.call("POST", "/nodes/pve1/qemu", CREATE).await.is_none());
    assert_eq!(simulator.control.guests(), []);
}

#[tokio::test]
async fn a_refusal_and_a_lock_that_is_not_had_are_errors_without_effect() {
    let (simulator, client) = instant(1).await;
    let refuse = Fault::Refuse { status: 500, message: "got no worker upid - start worker failed\n".to_owned() };
    simulator.control.fault(Rule::once(When::task("qmcreate"), refuse));
    let got = client.call("POST", "/nodes/pve1/qemu", CREATE).await.unwrap();
    assert_eq!((got.status, got.reason.as_str()), (500, "got no worker upid - start worker failed"));
    client.done("POST", "/nodes/pve1/qemu", CREATE).await;
    simulator.control.fault(Rule::once(When::request("PUT", "/nodes/*/qemu/*/config").of(100), Fault::LockTimeout));
    let got = client.call("PUT", "/nodes/pve1/qemu/100/config", &[("cores", "2")]).await.unwrap();
    assert_eq!(got.reason, "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout");
    assert_eq!(simulator.control.guests()[0].config.get("cores"), None);
}

#[tokio::test]
async fn a_proxy_that_gives_up_answers_596_and_the_work_goes_on() {
    let (simulator, client) = instant(2).await;
    simulator.control.fault(Rule::once(When::task("qmcreate"), Fault::TimedOut));
    let got = client.call("POST", "/nodes/pve2/qemu", CREATE).await.unwrap();
    assert_eq!((got.status, got.reason.as_str(), got.body.as_str()), (596, "Connection timed out", Some("")));
    let tasks = client.get("/nodes/pve2/tasks?source=all&vmid=100").await;
    assert_eq!(tasks.data()[0]["status"], "OK");
    assert_eq!(tasks.body["total"], 1);
}

#[tokio::test]
async fn tasks_fail_warn_are_killed_and_vanish() {
    let (simulator, client) = instant(1).await;
    let control = &simulator.control;
    let fails = |moment| Fault::TaskFails { message: "got timeout".to_owned(), moment };
    control.fault(Rule::once(When::task("qmcreate"), fails(Moment::Before)));
    let upid = client.done("POST", "/nodes/pve1/qemu", CREATE).await.text();
    assert_eq!(client.exit(&upid).await, "got timeout");
    assert_eq!(
        (control.guests().len(), control.volumes().iter().filter(|volume| volume.vmid.is_some()).count()),
        (0, 0)
    );

    control.fault(Rule::once(
        When::task("qmcreate"),
        Fault::TaskWarns { lines: vec!["one".to_owned(), "two".to_owned()] },
    ));
    let upid = client.done("POST", "/nodes/pve1/qemu", CREATE).await.text();
    assert_eq!(client.exit(&upid).await, "WARNINGS: 2");
    let log = client.get(&format!("/nodes/pve1/tasks/{upid}/log")).await;
    let lines: Vec<&str> = log.data().as_array().unwrap().iter().map(|line| line["t"].as_str().unwrap()).collect();
    assert_eq!((lines[0], *lines.last().unwrap()), ("WARN: one", "TASK WARNINGS: 2"));

    control.fault(Rule::once(When::task("qmsnapshot"), Fault::TaskKilled { moment: Moment::Before }));
    let upid = client.done("POST", "/nodes/pve1/qemu/100/snapshot", &[("snapname", "s1")]).await.text();
    assert_eq!(client.exit(&upid).await, "unexpected status");

    control.fault(Rule::once(When::task("qmstart"), Fault::TaskVanishes));
    let upid = client.done("POST", "/nodes/pve1/qemu/100/status/start", &[]).await.text();
    let got = client.get(&format!("/nodes/pve1/tasks/{upid}/status")).await;
    assert_eq!((got.status, &got.body["errors"]["upid"]), (400, &"no such task".into()));
    assert_eq!(control.guests()[0].status, "running");
}

#[tokio::test]
async fn a_stranger_takes_the_id_just_before() {
    let (simulator, client) = instant(1).await;
    simulator
        .control
        .fault(Rule::once(When::task("qmcreate"), Fault::Deed { deed: Deed::StrangerTakes { vmid: None } }));
    let got = client.call("POST", "/nodes/pve1/qemu", CREATE).await.unwrap();
    assert_eq!(got.status, 500);
    assert_eq!(simulator.control.guests()[0].config["name"], "stranger-100");
}

#[tokio::test]
async fn a_dead_node_refuses_and_is_answered_for_with_595() {
    let (simulator, client) = instant(3).await;
    let second = Client::at(&simulator.entries[1].url, simulator.token.clone().unwrap());
    client.done("POST", "/nodes/pve2/qemu", CREATE).await;
    client.done("POST", "/nodes/pve2/qemu/100/status/start", &[]).await;
    simulator.control.deed(Deed::NodeDies { node: "pve2".to_owned() }).await.unwrap();
    assert!(second.call("GET", "/version", &[]).await.is_none());
    assert_eq!(client.get("/nodes/pve2/qemu").await.status, 595);
    let resources = client.get("/cluster/resources?type=vm").await;
    assert_eq!(
        (&resources.data()[0]["status"], &resources.data()[0]["name"]),
        (&"unknown".into(), &serde_json::Value::Null)
    );
    simulator.control.deed(Deed::NodeReturns { node: "pve2".to_owned() }).await.unwrap();
    assert_eq!(second.get("/nodes/pve2/qemu").await.data()[0]["status"], "stopped");
}

#[tokio::test]
async fn without_quorum_nothing_is_written() {
    let (simulator, client) = instant(3).await;
    simulator.control.deed(Deed::QuorumLost).await.unwrap();
    let got = client.call("POST", "/nodes/pve1/qemu", CREATE).await.unwrap();
    assert_eq!((got.status, got.reason.as_str()), (500, "cluster not ready - no quorum?"));
    simulator.control.deed(Deed::QuorumBack).await.unwrap();
    client.done("POST", "/nodes/pve1/qemu", CREATE).await;
}

#[tokio::test]
async fn a_full_storage_fails_the_task_and_leaves_nothing() {
    let (simulator, client) = instant(1).await;
    let deed = Deed::StorageFills { storage: "local-lvm".to_owned(), node: None };
    simulator.control.deed(deed).await.unwrap();
    let upid = client.done("POST", "/nodes/pve1/qemu", CREATE).await.text();
    assert!(client.exit(&upid).await.contains("No space left on device"));
    assert_eq!(simulator.control.guests(), []);
}

#[tokio::test]
async fn what_the_others_have_heard_lags_by_ten_seconds() {
    let (simulator, client) = stepped(1).await;
    let upid = client.done("POST", "/nodes/pve1/qemu", CREATE).await.text();
    let seen = client.get("/cluster/resources?type=vm").await;
    assert_eq!((&seen.data()[0]["status"], &seen.data()[0]["node"]), (&"unknown".into(), &"pve1".into()));
    assert_eq!(client.exit(&upid).await, "running");
    simulator.control.advance(Duration::from_secs(11));
    assert_eq!(client.exit(&upid).await, "OK");
    let seen = client.get("/cluster/resources?type=vm").await;
    assert_eq!((&seen.data()[0]["status"], &seen.data()[0]["name"]), (&"stopped".into(), &"web".into()));
}

#[tokio::test]
async fn a_config_waits_ten_seconds_for_the_lock_of_a_running_task() {
    let (simulator, client) = stepped(1).await;
    client.done("POST", "/nodes/pve1/qemu", CREATE).await;
    simulator.control.advance(Duration::from_secs(2));
    client.done("POST", "/nodes/pve1/qemu/100/status/start", &[]).await;
    simulator.control.advance(Duration::from_secs(3));
    // A shutdown that nobody hears holds the lock for its whole timeout.
    simulator.control.deed(Deed::AgentDies { vmid: Some(100) }).await.unwrap();
    client.done("POST", "/nodes/pve1/qemu/100/status/shutdown", &[]).await;
    let put = client.call("PUT", "/nodes/pve1/qemu/100/config", &[("description", "x")]);
    let control = simulator.control.clone();
    let clock = async move {
        control.waiting(1).await;
        control.advance(Duration::from_secs(10));
    };
    let (got, ()) = tokio::join!(put, clock);
    let got = got.unwrap();
    assert_eq!(
        (got.status, got.reason.as_str()),
        (500, "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout")
    );
}

#[tokio::test]
async fn clones_of_a_template_go_side_by_side_and_those_of_a_running_guest_do_not() {
    let (simulator, client) = stepped(1).await;
    client.done("POST", "/nodes/pve1/qemu", CREATE).await;
    simulator.control.advance(Duration::from_secs(2));
    client.done("POST", "/nodes/pve1/qemu/100/clone", &[("newid", "101"), ("full", "1")]).await;
    client.done("POST", "/nodes/pve1/qemu/100/clone", &[("newid", "102"), ("full", "1")]).await;
    let locked = client.get("/nodes/pve1/qemu/102/config").await;
    assert_eq!(locked.data()["lock"], "clone");
    simulator.control.advance(Duration::from_secs(60));
    client.done("POST", "/nodes/pve1/qemu/100/status/start", &[]).await;
    simulator.control.advance(Duration::from_secs(3));
    client.done("POST", "/nodes/pve1/qemu/100/clone", &[("newid", "103"), ("full", "1")]).await;
    let second = client.call("POST", "/nodes/pve1/qemu/100/clone", &[("newid", "104"), ("full", "1")]);
    let control = simulator.control.clone();
    let clock = async move {
        control.waiting(1).await;
        control.advance(Duration::from_secs(1));
    };
    let (got, ()) = tokio::join!(second, clock);
    assert_eq!(got.unwrap().reason, "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout");
}

#[tokio::test]
async fn the_agent_answers_some_time_after_the_start() {
    let (simulator, client) = stepped(1).await;
    client.done("POST", "/nodes/pve1/qemu", CREATE).await;
    simulator.control.advance(Duration::from_secs(2));
    let ping = "/nodes/pve1/qemu/100/agent/ping";
    assert_eq!(client.call("POST", ping, &[]).await.unwrap().reason, "No QEMU guest agent configured");
    client.done("PUT", "/nodes/pve1/qemu/100/config", &[("agent", "1")]).await;
    assert_eq!(client.call("POST", ping, &[]).await.unwrap().reason, "VM 100 is not running");
    client.done("POST", "/nodes/pve1/qemu/100/status/start", &[]).await;
    simulator.control.advance(Duration::from_secs(2));
    let control = simulator.control.clone();
    let clock = async move {
        control.waiting(1).await;
        control.advance(Duration::from_secs(3));
    };
    let (got, ()) = tokio::join!(client.call("POST", ping, &[]), clock);
    assert_eq!(got.unwrap().reason, "QEMU guest agent is not running");
    simulator.control.advance(Duration::from_secs(15));
    let got = client.get("/nodes/pve1/qemu/100/agent/network-get-interfaces").await;
    let names: Vec<&str> =
        got.data()["result"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["lo", "eth0", "docker0"]);
}
