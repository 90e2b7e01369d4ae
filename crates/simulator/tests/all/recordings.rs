//! The recordings of real clusters: what is read at first, lives of guests, high availability.

use crate::client::{Client, started};
use crate::exchanges::{contracts, difference};
use crate::lists::RECORDED;
use serde_json::Value;
use simulator::{ClockKind, Control, NodeSpec, Pace, Scenario, StorageSpec, TokenSpec};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

struct Recorded {
    id: String,
    method: String,
    path: String,
    body: String,
    status: u16,
    answer: Value,
    /// When it was answered, in seconds of its day.
    at: u64,
}

/// The few keys of the recordings' YAML that matter.
fn read(text: &str) -> Vec<Recorded> {
    let mut list = Vec::new();
    for part in text.split("\n    - id: ").skip(1) {
        let Some((request, response)) = part.split_once("\n      response:") else { continue };
        let url = value(request, "url");
        list.push(Recorded {
            id: request.lines().next().unwrap_or_default().to_owned(),
            method: value(request, "method"),
            path: url.split_once("/api2/json").map(|(_, path)| path.to_owned()).unwrap_or_default(),
            body: value(request, "body"),
            status: value(response, "code").parse().unwrap_or(0),
            answer: serde_json::from_str(&value(response, "body")).unwrap_or(Value::Null),
            at: seconds(response).unwrap_or(0),
        });
    }
    list
}

/// The value of a key at the interaction's own depth: plain on its line, or in single quotes over as many as it takes.
fn value(text: &str, key: &str) -> String {
    let Some((_, rest)) = text.split_once(&format!("\n        {key}: ")) else { return String::new() };
    let Some(quoted) = rest.strip_prefix('\'') else {
        return rest.lines().next().unwrap_or_default().to_owned();
    };
    let mut read = String::new();
    let mut letters = quoted.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' if letters.peek() == Some(&'\'') => read.extend(letters.next()),
            '\'' => break,
            // Folded: the line's end and the next one's indentation are one space.
            '\n' => {
                while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
                read.push(' ');
            }
            letter => read.push(letter),
        }
    }
    read
}

/// The seconds of the day in the answer's `Date`.
fn seconds(response: &str) -> Option<u64> {
    let date = response.split_once("Date:\n")?.1.lines().next()?;
    let mut clock = date.split(' ').find(|word| word.contains(':'))?.split(':').map(str::parse::<u64>);
    let mut next = || clock.next()?.ok();
    Some(next()? * 3600 + next()? * 60 + next()?)
}

/// What comes of one recording.
struct Replay {
    control: Control,
    client: Client,
    upids: HashMap<String, String>,
    found: BTreeMap<String, String>,
    /// When the last one was answered, where time passes as it did for them.
    last: Option<u64>,
}

impl Replay {
    async fn one(&mut self, theirs: &Recorded) {
        if let Some(last) = &mut self.last {
            self.control.advance(Duration::from_secs(theirs.at.saturating_sub(*last)));
            *last = theirs.at;
        }
        let path = self.here(theirs);
        let mut request = match theirs.path.as_str() {
            "/access/ticket" => self.client.anonymous(&theirs.method, &path),
            _ => self.client.request(&theirs.method, &path),
        };
        if !theirs.body.is_empty() {
            request = request.header("Content-Type", "application/x-www-form-urlencoded").body(theirs.body.clone());
        }
        let ours = self.client.send(request).await.unwrap();
        if let (Some(their), Some(our)) = (theirs.answer["data"].as_str(), ours.data().as_str()) {
            self.upids.insert(their.to_owned(), our.to_owned());
        }
        let (their, our) = (&theirs.answer["data"]["exitstatus"], &ours.data()["exitstatus"]);
        let keys = |body: &Value| body["errors"].as_object().map(|errors| errors.keys().cloned().collect::<Vec<_>>());
        let found = if theirs.status != ours.status {
            Some(format!("{} and {}: {}", theirs.status, ours.status, ours.body))
        } else if keys(&theirs.answer) != keys(&ours.body) {
            Some(format!("errors of {:?} and {:?}", keys(&theirs.answer), keys(&ours.body)))
        } else if their.is_string() && their != our {
            Some(format!("ended {their} and {our}"))
        } else {
            difference(&theirs.answer, &ours.body).map(|difference| format!("{difference} in {}", ours.body))
        };
        if let Some(found) = found {
            self.found.insert(theirs.id.clone(), format!("{} {path}: {found}", theirs.method));
        }
    }

    /// Their path with our tasks, and with the nodes that our tasks and guests are on.
    fn here(&self, theirs: &Recorded) -> String {
        let mut path = percent_encoding::percent_decode_str(&theirs.path).decode_utf8_lossy().into_owned();
        for (their, our) in &self.upids {
            path = path.replace(their, our);
        }
        let segments: Vec<&str> = path.split('/').collect();
        let node = match segments.as_slice() {
            ["", "nodes", _, "tasks", upid, ..] => upid.split(':').nth(1).map(str::to_owned),
            ["", "nodes", _, "qemu" | "lxc", vmid, ..] => {
                let guests = self.control.guests().into_iter();
                guests.filter(|guest| guest.vmid.to_string() == *vmid).map(|guest| guest.node).next()
            }
            _ => None,
        };
        let Some(node) = node else { return path };
        let mut segments: Vec<&str> = segments;
        segments.splice(2..3, [node.as_str()]);
        segments.join("/")
    }
}

fn scenario(clock: ClockKind) -> Scenario {
    let node = |name: &str| NodeSpec { name: name.to_owned(), ..NodeSpec::default() };
    Scenario {
        cluster: "dogfood".to_owned(),
        version: "9.2.4".to_owned(),
        nodes: vec![node("pve"), node("pve2-dogfood"), node("pve3-dogfood")],
        storages: vec![
            StorageSpec::new("local", "dir", "iso,vztmpl,backup,import", 100 << 30),
            StorageSpec::new("local-lvm", "lvmthin", "images,rootdir", 400 << 30),
            StorageSpec::new("local-zfs", "zfspool", "images,rootdir", 400 << 30),
        ],
        tokens: vec![TokenSpec { id: "root@pam!sdk".to_owned(), secret: "s".to_owned(), privsep: false }],
        // As the recordings have it.
        root_password: "REDACTED".to_owned(),
        pace: Pace { stop: 0, small: 0, ..Pace::default() },
        ..Scenario::cluster_of(1).with_clock(clock)
    }
}

async fn replay(file: &str, clock: ClockKind) {
    let Some(contracts) = contracts() else {
        println!("SKIP recordings of real clusters: ../shared/contracts/proxmox is absent");
        return;
    };
    let text = std::fs::read_to_string(contracts.join(format!("recordings/{file}.yaml"))).unwrap();
    let (simulator, client) = started(scenario(clock)).await;
    client.done("PUT", "/access/users/root@pam", &[("email", "root@outer.example")]).await;
    if file == "TestClusterAndHAReads" {
        // That cluster's manager had been at work before.
        client.done("POST", "/cluster/ha/status/arm-ha", &[]).await;
    }
    let recorded = read(&text);
    assert!(!recorded.is_empty(), "{file} has no interactions");
    let last = (clock == ClockKind::Stepped).then(|| recorded[0].at);
    let control = simulator.control.clone();
    let mut replay = Replay { control, client, upids: HashMap::new(), found: BTreeMap::new(), last };
    for theirs in &recorded {
        assert!(theirs.status != 0 && !theirs.answer.is_null(), "{file} {} cannot be read", theirs.id);
        replay.one(theirs).await;
    }
    let listed: Vec<&str> = RECORDED.iter().filter(|(of, ..)| *of == file).map(|(_, id, _)| *id).collect();
    let unlisted: Vec<String> = replay
        .found
        .iter()
        .filter(|(id, _)| !listed.contains(&id.as_str()))
        .map(|(id, what)| format!("{file} {id}: {what}"))
        .collect();
    assert!(unlisted.is_empty(), "{} of {} differ:\n{}", unlisted.len(), recorded.len(), unlisted.join("\n"));
    let stale: Vec<&str> = listed.into_iter().filter(|id| !replay.found.contains_key(*id)).collect();
    assert_eq!(stale, Vec::<&str>::new(), "these of {file} differ no more");
}

#[tokio::test]
async fn the_life_of_a_virtual_machine() {
    replay("TestQEMULifecycle", ClockKind::Instant).await;
}

#[tokio::test]
async fn the_life_of_a_container() {
    replay("TestLXCLifecycle", ClockKind::Instant).await;
}

#[tokio::test]
async fn guests_that_are_to_stay_apart_and_then_together() {
    replay("TestResourceAffinityPlacement", ClockKind::Stepped).await;
}

#[tokio::test]
async fn high_availability_is_disarmed_and_armed_again() {
    replay("TestHAArmDisarmCycle", ClockKind::Stepped).await;
}

#[tokio::test]
async fn what_is_read_at_first() {
    for file in [
        "TestVersionRoundTrip",
        "TestAccessReads",
        "TestClusterAndHAReads",
        "TestComputeReads",
        "TestNetworkReads",
        "TestSDNStatusReads",
        "TestHAStatusReads",
        "TestStorageReads",
    ] {
        replay(file, ClockKind::Instant).await;
    }
}

#[test]
fn every_recording_is_replayed() {
    let Some(contracts) = contracts() else {
        println!("SKIP every_recording_is_replayed: ../shared/contracts/proxmox is absent");
        return;
    };
    let files = std::fs::read_dir(contracts.join("recordings")).unwrap().map(|entry| entry.unwrap().path());
    // The certification only says which recordings were made when.
    let names =
        files.filter_map(|path| path.file_stem()?.to_str().map(str::to_owned)).filter(|name| name != "certification");
    let missing: Vec<String> =
        names.filter(|name| !include_str!("recordings.rs").contains(&format!("\"{name}\""))).collect();
    assert_eq!(missing, Vec::<String>::new());
}
