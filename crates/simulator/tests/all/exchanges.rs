//! The exchanges with a genuine daemon, made again with the simulator: status, reason, keys of errors, fields and types.

use crate::client::{Client, Got, encoded, percent, started};
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
    /// The file of an upload, by the name that the client gave it; empty: its own, which the file leaves out.
    file: Option<String>,
    who: Who,
    status: u16,
    reason: String,
    body: Value,
}

/// Whose request it was.
#[derive(Clone)]
enum Who {
    Nobody,
    /// The header `Authorization`, its secret left out.
    Token(String),
    /// A ticket, and the token against forged requests.
    Session {
        user: String,
        csrf: Option<String>,
    },
}

impl Who {
    fn of(sent: &str) -> Self {
        let header = |name: &str| sent.lines().find_map(|line| line.strip_prefix("> ")?.strip_prefix(name));
        let csrf = header("CSRFPreventionToken: ").map(str::to_owned);
        if let Some(cookie) = header("Cookie: PVEAuthCookie=PVE:") {
            return Self::Session { user: cookie.split(':').next().unwrap_or_default().to_owned(), csrf };
        }
        header("Authorization: ").map_or(Self::Nobody, |token| Self::Token(token.to_owned()))
    }
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
        file: None,
        who: Who::of(rest),
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
            "-F" => {
                let part = words.next()?;
                let (key, value) = part.split_once('=')?;
                match value.strip_prefix('@') {
                    Some(file) => exchange.file = Some(file.split(";filename=").nth(1).unwrap_or_default().to_owned()),
                    None => exchange.form.push((key.to_owned(), value.to_owned())),
                }
            }
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
        images: vec![ImageSpec::file("local:vztmpl/tiny-debian-12_1.0_amd64.tar.gz", 20_480)],
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

const BOUNDARY: &str = "the-end-of-a-part";

/// The fields, and the file as the last part; its bytes do not matter.
fn multipart(form: &[(&str, &str)], file: &str) -> String {
    let content = form.iter().find(|(key, _)| *key == "content").map_or("", |(_, content)| *content);
    let file = match (file, content) {
        ("", "iso") => "t.iso",
        ("", _) => "img.qcow2",
        (named, _) => named,
    };
    let part =
        |head: &str, body: &str| format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n{body}\r\n");
    let mut body: String = form.iter().map(|(key, value)| part(&format!("name=\"{key}\""), value)).collect();
    body += &part(&format!("name=\"filename\"; filename=\"{file}\""), &"\0".repeat(65_536));
    body + &format!("--{BOUNDARY}--\r\n")
}

/// One pass over the files, in their order.
struct Replay {
    control: Control,
    client: Client,
    /// The secrets of tokens, by their ids; the passwords of users, by theirs.
    secrets: HashMap<String, String>,
    /// Ours by their UPIDs.
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
            let got = got.filter(|got| got.status == 200);
            let got = got.unwrap_or_else(|| panic!("before {}: {method} {path} {form:?}", theirs.name));
            if let Some(id) = got.data()["full-tokenid"].as_str() {
                self.secrets.insert(id.to_owned(), got.data()["value"].as_str().unwrap_or_default().to_owned());
            }
        }
        let mut path = theirs.path.clone();
        for (their, our) in &self.upids {
            path = path.replace(their, our);
        }
        let path = path.strip_prefix("/api2/json").unwrap_or(&path).to_owned();
        let request = self.request(theirs, &path).await;
        let ours = self.client.send(request).await;
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
        if theirs.path.ends_with("/access/users") && theirs.status == 200 {
            let given = |key: &str| theirs.form.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
            self.secrets.extend(given("userid").zip(given("password")));
        }
    }

    /// The same request, with what the file leaves out of it.
    async fn request(&self, theirs: &Exchange, path: &str) -> reqwest::RequestBuilder {
        let form: Vec<(&str, &str)> = theirs.form.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let in_query = matches!(theirs.method.as_str(), "GET" | "DELETE") && !form.is_empty();
        let query = if in_query { format!("?{}", encoded(&form)) } else { String::new() };
        let request = self.client.anonymous(&theirs.method, &format!("{path}{query}"));
        let request = match &theirs.who {
            Who::Nobody => request,
            Who::Token(header) => request.header("Authorization", self.filled(&theirs.name, header)),
            Who::Session { user, csrf } => {
                let (ticket, right) = self.session(user).await;
                let csrf = csrf.as_ref().map(|csrf| if csrf == "bad" { csrf.clone() } else { right });
                let request = request.header("Cookie", format!("PVEAuthCookie={ticket}"));
                csrf.iter().fold(request, |request, csrf| request.header("CSRFPreventionToken", csrf))
            }
        };
        match (&theirs.json, &theirs.file) {
            (Some(json), _) => request.header("Content-Type", "application/json").body(json.clone()),
            (None, Some(file)) => request
                .header("Content-Type", format!("multipart/form-data; boundary={BOUNDARY}"))
                .body(multipart(&form, file)),
            (None, None) if in_query || form.is_empty() => request,
            (None, None) => request.header("Content-Type", "application/x-www-form-urlencoded").body(encoded(&form)),
        }
    }

    /// A header with its secret; the file called so was sent with a wrong one.
    fn filled(&self, name: &str, header: &str) -> String {
        let id = header.trim_start_matches("PVEAPIToken=").trim_end_matches("=<secret>");
        let secret = self.secrets.get(id).map_or(simulator::TOKEN_SECRET, String::as_str);
        header.replace("<secret>", if name.ends_with("-badtoken") { "wrong" } else { secret })
    }

    /// A ticket, and its token against forged requests.
    async fn session(&self, user: &str) -> (String, String) {
        let password = self.secrets.get(user).map_or(simulator::ROOT_PASSWORD, String::as_str);
        let got = self.client.done("POST", "/access/ticket", &[("username", user), ("password", password)]).await;
        let text = |key: &str| got.data()[key].as_str().unwrap().to_owned();
        (percent(&text("ticket")), text("CSRFPreventionToken"))
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
    let mut replay =
        Replay { control, client, secrets: HashMap::new(), upids: HashMap::new(), found: BTreeMap::new(), compared: 0 };
    for name in &names {
        let text = std::fs::read_to_string(contracts.join("exchanges").join(format!("{name}.txt"))).unwrap();
        if name.ends_with("-task") {
            replay.task(name, &text).await;
        } else {
            let exchange = read(name, &text).unwrap_or_else(|| panic!("{name} cannot be read"));
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
    assert!(replay.compared > 240, "only {} were compared", replay.compared);
    crate::figures("exchanges", &[("compared", replay.compared), ("different, with a reason", listed.len())]);
}
