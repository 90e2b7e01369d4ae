//! The exchanges with a genuine daemon, made again with the simulator: status, reason, keys of errors, fields and types.

use crate::client::{Client, Got, started};
use crate::lists::{DIFFERENCES, PRELUDES};
use serde_json::Value;
use simulator::{ClockKind, Control, Deed, DownloadSpec, ImageSpec, NodeSpec, Scenario, StorageSpec, TokenSpec};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// Where the contracts are, if they are.
pub(crate) fn contracts() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/contracts/proxmox");
    path.is_dir().then_some(path)
}

struct Exchange {
    name: String,
    method: String,
    path: String,
    form: Vec<(String, String)>,
    json: Option<String>,
    is_odd: bool,
    status: u16,
    reason: String,
    body: Value,
}

/// The words of a shell command, with `\`, `'…'` and `$'…'`.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut letters = command.chars().peekable();
    let mut quoted: Option<bool> = None;
    while let Some(letter) = letters.next() {
        let Some(word) = words.last_mut() else { break };
        match (letter, quoted) {
            ('\'', None) => quoted = Some(false),
            ('$', None) if letters.peek() == Some(&'\'') => {
                letters.next();
                quoted = Some(true);
            }
            ('\'', Some(_)) => quoted = None,
            ('\\', Some(true)) => match letters.next() {
                Some('n') => word.push('\n'),
                Some(other) => word.push(other),
                None => {}
            },
            ('\\', None) => word.extend(letters.next()),
            (' ', None) => words.push(String::new()),
            (letter, _) => word.push(letter),
        }
    }
    words
}

fn read(name: &str, text: &str) -> Option<Exchange> {
    let (command, rest) = text.strip_prefix("# curl ")?.split_once('\n')?;
    let words = words(command);
    let mut exchange = Exchange {
        name: name.to_owned(),
        method: "GET".to_owned(),
        path: String::new(),
        form: Vec::new(),
        json: None,
        is_odd: false,
        status: 0,
        reason: String::new(),
        body: Value::Null,
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-X" => exchange.method = words.next()?,
            "-d" | "--data-urlencode" => {
                let pair = words.next()?;
                let (key, value) = pair.split_once('=')?;
                let value = if word == "-d" { value.replace('+', " ") } else { value.to_owned() };
                exchange.form.push((key.to_owned(), value));
            }
            "--data" => exchange.json = words.next(),
            "-H" => exchange.is_odd |= words.next()?.starts_with("Cookie"),
            "-F" => exchange.is_odd = true,
            url if url.starts_with("https://") => {
                exchange.path = url.trim_start_matches("https://127.0.0.1:8006").to_owned()
            }
            _ => {}
        }
    }
    let line = rest.lines().find_map(|line| line.strip_prefix("< HTTP/1.1 "))?;
    let (status, reason) = line.split_once(' ').unwrap_or((line, ""));
    exchange.status = status.parse().ok()?;
    exchange.reason = reason.trim().to_owned();
    let body = rest.split_once("# body ")?.1.split_once('\n')?.1.trim();
    exchange.body = serde_json::from_str(body).unwrap_or(Value::String(body.to_owned()));
    Some(exchange)
}

/// Fields and types, without values. Numbers are one type; the list's entries are one shape.
fn shape(value: &Value) -> BTreeMap<String, &'static str> {
    let mut shape = BTreeMap::new();
    gather("", value, &mut shape);
    shape
}

fn gather(path: &str, value: &Value, shape: &mut BTreeMap<String, &'static str>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(items) => {
            for item in items {
                gather(&format!("{path}[]"), item, shape);
            }
            "array"
        }
        Value::Object(members) => {
            for (key, value) in members {
                gather(&format!("{path}.{key}"), value, shape);
            }
            "object"
        }
    };
    shape.insert(path.to_owned(), kind);
}

/// What stands in the way of calling them equal. Fields that we have beyond theirs are no difference.
pub(crate) fn difference(theirs: &Value, ours: &Value) -> Option<String> {
    let (theirs, ours) = (shape(theirs), shape(ours));
    let missing: Vec<String> = theirs
        .iter()
        .filter(|(path, kind)| ours.get(*path) != Some(kind))
        .map(|(path, kind)| format!("{path}: {kind}, ours {:?}", ours.get(path)))
        .collect();
    (!missing.is_empty()).then(|| missing.join("; "))
}

fn compare(theirs: &Exchange, ours: &Got) -> Option<String> {
    if (theirs.status, theirs.reason.as_str()) != (ours.status, ours.reason.as_str()) {
        return Some(format!(
            "theirs {} {}, ours {} {} {}",
            theirs.status, theirs.reason, ours.status, ours.reason, ours.body
        ));
    }
    if theirs.status == 400 {
        return (theirs.body["errors"] != ours.body["errors"])
            .then(|| format!("errors {} and {}", theirs.body["errors"], ours.body["errors"]));
    }
    difference(&theirs.body, &ours.body)
}

fn scenario() -> Scenario {
    let token = |id: &str| TokenSpec { id: id.to_owned(), secret: simulator::TOKEN_SECRET.to_owned(), privsep: false };
    Scenario {
        version: "9.1.7".to_owned(),
        nodes: vec![NodeSpec::default()],
        storages: vec![StorageSpec::new("local", "dir", "iso,vztmpl,backup,snippets,images,rootdir", 400 << 30)],
        images: vec![
            ImageSpec::file("local:vztmpl/tiny-debian-12_1.0_amd64.tar.gz", 20_480),
            ImageSpec::file("local:iso/t.iso", 65_536),
        ],
        downloads: vec![DownloadSpec {
            url: "http://127.0.0.1:1/x.iso".to_owned(),
            size: 1,
            checksums: BTreeMap::new(),
            error: Some("Connecting to 127.0.0.1:1... failed: Connection refused.".to_owned()),
        }],
        tokens: vec![token("root@pam!t1")],
        ..Scenario::cluster_of(1).with_clock(ClockKind::Instant)
    }
}

/// One pass over the files, in their order.
struct Replay {
    control: Control,
    client: Client,
    /// Their UPIDs by ours.
    upids: HashMap<String, String>,
    found: BTreeMap<String, String>,
    compared: usize,
}

impl Replay {
    async fn exchange(&mut self, theirs: &Exchange) {
        for (_, method, path, form) in PRELUDES.iter().filter(|(before, ..)| *before == theirs.name) {
            let deed = match *method {
                "LOCK" => Some(Deed::LockLeft { vmid: Some(100), lock: (*path).to_owned() }),
                "AGENT" => Some(Deed::AgentDies { vmid: path.parse().ok() }),
                _ => None,
            };
            if let Some(deed) = deed {
                self.control.deed(deed).await.unwrap();
                continue;
            }
            let got = self.client.call(method, path, form).await;
            assert!(
                got.as_ref().is_some_and(|got| got.status == 200),
                "before {}: {method} {path} {form:?}: {got:?}",
                theirs.name
            );
        }
        let mut path = theirs.path.clone();
        for (their, our) in &self.upids {
            path = path.replace(their, our);
        }
        let path = path.strip_prefix("/api2/json").unwrap_or(&path).to_owned();
        let ours = match &theirs.json {
            Some(json) => {
                let request = self.client.request(&theirs.method, &path).header("Content-Type", "application/json");
                self.client.send(request.body(json.clone())).await
            }
            None => {
                let form: Vec<(&str, &str)> =
                    theirs.form.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
                self.client.call(&theirs.method, &path, &form).await
            }
        };
        let Some(ours) = ours else {
            self.found.insert(theirs.name.clone(), "no answer".to_owned());
            return;
        };
        if let (Some(their), Some(our)) = (theirs.body["data"].as_str(), ours.data().as_str())
            && their.starts_with("UPID:")
        {
            self.upids.insert(their.to_owned(), our.to_owned());
        }
        self.compared += 1;
        if let Some(difference) = compare(theirs, &ours) {
            self.found.insert(theirs.name.clone(), difference);
        }
    }

    async fn task(&mut self, name: &str, text: &str) {
        let Some(theirs) = text.lines().nth(1).and_then(|line| serde_json::from_str::<Value>(line).ok()) else {
            return;
        };
        let upid = theirs["data"]["upid"].as_str().unwrap_or_default();
        let Some(ours) = self.upids.get(upid) else { return };
        let exit = self.client.exit(ours).await;
        self.compared += 1;
        if theirs["data"]["exitstatus"] != exit.as_str() {
            self.found.insert(name.to_owned(), format!("theirs {}, ours {exit}", theirs["data"]["exitstatus"]));
        }
    }
}

#[tokio::test]
async fn the_simulator_says_what_a_genuine_daemon_said() {
    let Some(contracts) = contracts() else {
        println!("SKIP exchanges with a genuine daemon: ../shared/contracts/proxmox is absent");
        return;
    };
    let mut names: Vec<String> = std::fs::read_dir(contracts.join("exchanges"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".txt").map(str::to_owned))
        .collect();
    // A task's end stands after the call that began it.
    names.sort_by_key(|name| name.strip_suffix("-task").map_or_else(|| (name.clone(), 0), |call| (call.to_owned(), 1)));
    let (simulator, client) = started(scenario()).await;
    let control = simulator.control.clone();
    let mut replay = Replay { control, client, upids: HashMap::new(), found: BTreeMap::new(), compared: 0 };
    for name in &names {
        let text = std::fs::read_to_string(contracts.join("exchanges").join(format!("{name}.txt"))).unwrap();
        if name.ends_with("-task") {
            replay.task(name, &text).await;
        } else if let Some(exchange) = read(name, &text)
            .filter(|exchange| !exchange.is_odd && !(2..=5).any(|number| name.starts_with(&format!("00{number}"))))
        {
            replay.exchange(&exchange).await;
        }
    }
    let listed: BTreeMap<&str, &str> = DIFFERENCES.iter().copied().collect();
    let unlisted: Vec<String> = replay
        .found
        .iter()
        .filter(|(name, _)| !listed.contains_key(name.as_str()))
        .map(|(name, what)| format!("{name}: {what}"))
        .collect();
    assert!(unlisted.is_empty(), "{} of {} differ:\n{}", unlisted.len(), replay.compared, unlisted.join("\n"));
    let stale: Vec<&str> = listed.keys().copied().filter(|name| !replay.found.contains_key(*name)).collect();
    assert_eq!(stale, Vec::<&str>::new(), "these differ no more");
    assert!(replay.compared > 150, "only {} were compared", replay.compared);
}
