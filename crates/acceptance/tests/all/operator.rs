//! What operators do wrong, and what clusters do to them: each is a sentence that names what is wrong and what to do, when
//! a connection is tried out and when a region is connected already. No secret is in any of it, and the other regions
//! go on meanwhile. Then the region `demo` by itself, from the first server to the last.

use acceptance::installation::{Client, Installation, PATIENCE};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use simulator::{Deed, GuestSpec, Pace, Scenario, Simulator, StorageSpec, TOKEN_SECRET, TokenSpec};
use std::time::Duration;
use tempfile::NamedTempFile;
use tokio::time::{Instant, sleep};

/// The secret of a token without rights.
const NARROW_SECRET: &str = "11111111-0000-4000-8000-0000000feed5";
/// A secret that no cluster knows.
const WRONG_SECRET: &str = "22222222-0000-4000-8000-000000badbad";
const IMAGE: &str = "debian-12-simulated";
const SIZE: &str = "s-1vcpu-512mb-10gb";

/// Something that is wrong.
struct Mistake {
    region: &'static str,
    settings: Value,
    secret: &'static str,
    fingerprints: Vec<String>,
    /// What an error of the test is about, and words of its sentence.
    found: (&'static str, Vec<String>),
    /// Words of what the region says of itself, or an alert about it, once it is connected all the same.
    told: Vec<String>,
}

fn words<const COUNT: usize>(words: [&str; COUNT]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

fn scenario(nodes: usize) -> Scenario {
    let narrow = TokenSpec { id: "root@pam!narrow".to_owned(), secret: NARROW_SECRET.to_owned(), privsep: true };
    let mut scenario = Scenario::cluster_of(nodes);
    scenario.pace = Pace::none();
    scenario.pools = vec!["cairn".to_owned()];
    scenario.tokens.push(narrow);
    scenario
}

fn settings(entries: &[&str]) -> Value {
    json!({ "entries": entries, "token_id": "root@pam!cairn", "storage": "local-lvm", "file_storage": "local" })
}

/// The same with numbers that no other region gives.
fn numbered(settings: &Value, nth: usize) -> Value {
    let mut settings = settings.clone();
    settings["guest_numbers"] = json!([100_000 + nth * 10_000, 109_999 + nth * 10_000]);
    settings["template_numbers"] = json!([10_000 + nth * 1_000, 10_999 + nth * 1_000]);
    settings
}

fn fingerprints(simulator: &Simulator) -> Vec<String> {
    simulator.entries.iter().map(|entry| entry.fingerprint_sha256.clone()).collect()
}

/// Every answer that an operator gets, kept to be searched for secrets.
struct Operator {
    client: Client,
    heard: Vec<String>,
}

impl Operator {
    async fn send(&mut self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.client.send(method, path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        self.heard.push(answer.to_string());
        answer
    }

    async fn connect(&mut self, region: &str, settings: &Value, secret: &str, fingerprints: &[String]) {
        let body = json!({ "slug": region, "provider": "proxmox", "settings": settings, "secret": secret,
                           "fingerprints": fingerprints });
        self.send("POST", "/admin/v1/regions", Some(body)).await;
    }

    /// Tries a mistake out before anything is connected.
    async fn find(&mut self, mistake: &Mistake) {
        let body = json!({ "provider": "proxmox", "settings": mistake.settings, "secret": mistake.secret,
                           "fingerprints": mistake.fingerprints });
        let test = self.send("POST", "/admin/v1/region_tests", Some(body)).await["test"].take();
        assert_eq!(test["passed"], false, "{}: {test:#}", mistake.region);
        let (subject, words) = &mistake.found;
        let findings = test["findings"].as_array().unwrap();
        let said = findings.iter().any(|one| {
            one["severity"] == "error" && one["subject"] == *subject && holds(one["sentence"].as_str().unwrap(), words)
        });
        assert!(said, "{}: nothing says {words:?} of {subject}: {test:#}", mistake.region);
    }

    /// Waits until a region that is connected all the same says what is wrong with it.
    async fn hear(&mut self, mistake: &Mistake) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let path = format!("/admin/v1/regions/{}", mistake.region);
            let region = self.send("GET", &path, None).await["region"].take();
            let alerts = self.send("GET", "/admin/v1/alerts?per_page=100", None).await["alerts"].take();
            let subject = format!("region:{}", mistake.region);
            let about = alerts.as_array().unwrap().iter().filter(|alert| alert["subject"] == *subject);
            let mut sentences = about.map(|alert| alert["message"].as_str().unwrap());
            let problem = region["connection"]["problem"].as_str().unwrap_or_default();
            if holds(problem, &mistake.told) || sentences.any(|sentence| holds(sentence, &mistake.told)) {
                return;
            }
            let words = &mistake.told;
            assert!(Instant::now() < deadline, "nothing says {words:?}: {region:#} {alerts:#}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn holds(sentence: &str, words: &[String]) -> bool {
    words.iter().all(|word| sentence.contains(word))
}

/// An installation whose only region of the catalogue is the simulated one.
fn installation(image: &NamedTempFile) -> Installation {
    Installation::new(image.path()).set("CAIRN_DEMO", "alone")
}

/// The clusters of the mistakes.
struct Clusters {
    good: Simulator,
    old: Simulator,
    bare: Simulator,
    half: Simulator,
}

impl Clusters {
    async fn start() -> Self {
        let old = Scenario { version: "7.4-3".to_owned(), ..scenario(1) };
        let storages = vec![
            StorageSpec::new("local", "dir", "backup", 400 << 30),
            StorageSpec::new("local-lvm", "lvmthin", "rootdir", 400 << 30),
        ];
        let bare = Scenario { storages, images: Vec::new(), ..scenario(1) };
        let half = Simulator::start(scenario(4)).await.unwrap();
        for node in ["pve3", "pve4"] {
            half.control.deed(Deed::NodeDies { node: node.to_owned() }).await.unwrap();
        }
        let good = Simulator::start(scenario(2)).await.unwrap();
        let (old, bare) = (Simulator::start(old).await.unwrap(), Simulator::start(bare).await.unwrap());
        Self { good, old, bare, half }
    }

    /// Each of the seven.
    fn mistakes(&self) -> Vec<Mistake> {
        let good = (settings(&[&self.good.url]), fingerprints(&self.good));
        let usual = |region, cluster: &Simulator| Mistake {
            region,
            settings: settings(&[&cluster.url]),
            secret: TOKEN_SECRET,
            fingerprints: fingerprints(cluster),
            found: ("", Vec::new()),
            told: Vec::new(),
        };
        let mut narrow = good.0.clone();
        narrow["token_id"] = json!("root@pam!narrow");
        let seen = &self.good.fingerprint_sha256;
        vec![
            Mistake {
                secret: WRONG_SECRET,
                found: ("token", words(["does not know this token", "Check its name", "secret"])),
                told: words(["does not know the token", "put a valid one"]),
                ..usual("wrong-token", &self.good)
            },
            Mistake {
                settings: narrow,
                secret: NARROW_SECRET,
                found: ("privileges", words(["lacks", "VM.Allocate", "/pool/cairn", "Run the script"])),
                told: words(["Permission check failed (/, Sys.Audit)", "a test of the region names all"]),
                ..usual("no-privilege", &self.good)
            },
            Mistake {
                fingerprints: fingerprints(&self.old),
                found: ("entries", words([seen, "pvenode cert info", "pin it"])),
                told: words([seen, "pvenode cert info", "pin it"]),
                ..usual("wrong-fingerprint", &self.good)
            },
            Mistake {
                settings: settings(&["https://127.0.0.1:1"]),
                found: ("entries", words(["https://127.0.0.1:1", "Connection refused", "Check the addresses"])),
                told: words(["https://127.0.0.1:1", "Connection refused", "cairn admin region test unreachable"]),
                ..usual("unreachable", &self.good)
            },
            Mistake {
                found: ("quorum", words(["no quorum", "Start the nodes that do not answer"])),
                told: words(["no quorum", "Start the nodes that do not answer"]),
                ..usual("half-down", &self.half)
            },
            Mistake {
                found: ("version", words(["7.4", "8.4 is the oldest", "Upgrade"])),
                told: words(["7.4", "8.4 is the oldest", "Upgrade"]),
                ..usual("too-old", &self.old)
            },
            Mistake {
                found: ("storage local", words(["import and iso", "pvesm set local --content backup,import,iso"])),
                told: words(["pvesm set local --content backup,import,iso", "--content rootdir,images"]),
                ..usual("no-content", &self.bare)
            },
        ]
    }
}

async fn order(tenant: &Client, name: &str, region: &str) -> (i64, i64) {
    let body = json!({ "name": name, "region": region, "size": SIZE, "image": IMAGE });
    let answer = tenant.post("/v2/droplets", body).await;
    (answer["droplet"]["id"].as_i64().unwrap(), answer["links"]["actions"][0]["id"].as_i64().unwrap())
}

/// Deletes a server and waits until its deletion has ended.
async fn delete(tenant: &Client, server: i64) {
    let (status, body) = tenant.send("DELETE", &format!("/v2/droplets/{server}"), None).await;
    assert_eq!(status, 204, "{body}");
    let actions = tenant.get("/v2/actions").await["actions"].take();
    let gone = actions.as_array().unwrap().iter().find(|one| one["type"] == "destroy" && one["resource_id"] == server);
    let ended = tenant.ended(gone.unwrap()["id"].as_i64().unwrap()).await;
    assert_eq!(ended["status"], "completed", "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_is_a_sentence_to_act_on_and_costs_nobody_else_anything() {
    let image = NamedTempFile::new().unwrap();
    let installation = installation(&image);
    let (daemon, clusters) = tokio::join!(installation.start(), Clusters::start());
    let (mut operator, tenant) =
        (Operator { client: installation.operator(), heard: Vec::new() }, installation.client());
    let mistakes = clusters.mistakes();
    assert_eq!(mistakes.len(), 7);
    for (nth, mistake) in mistakes.iter().enumerate() {
        operator.find(mistake).await;
        let settings = numbered(&mistake.settings, nth);
        operator.connect(mistake.region, &settings, mistake.secret, &mistake.fingerprints).await;
    }
    // The same cluster, as it should be, among all those that are not.
    let healthy = numbered(&settings(&[&clusters.good.url]), mistakes.len());
    let body = json!({ "slug": "healthy", "provider": "proxmox", "settings": healthy, "secret": TOKEN_SECRET,
                       "fingerprints": fingerprints(&clusters.good),
                       "pools": [{ "name": "public", "kind": "public_bridged", "range": "203.0.113.0/24" }] });
    operator.send("POST", "/admin/v1/regions", Some(body)).await;
    until_connected(&mut operator, "healthy").await;
    let (server, action) = order(&tenant, "meanwhile", "healthy").await;
    for mistake in &mistakes {
        operator.hear(mistake).await;
    }
    let made = tenant.ended(action).await;
    assert_eq!(made["status"], "completed", "{made}");
    delete(&tenant, server).await;
    let left = clusters.good.control.guests().into_iter().filter(|guest| !guest.config.contains_key("template"));
    assert_eq!(left.map(|guest| guest.vmid).collect::<Vec<_>>(), Vec::<u32>::new());
    for mistake in &mistakes {
        operator.send("GET", &format!("/admin/v1/regions/{}", mistake.region), None).await;
    }
    operator.heard.push(installation.log());
    for secret in [TOKEN_SECRET, NARROW_SECRET, WRONG_SECRET] {
        let told = operator.heard.iter().find(|said| said.contains(secret));
        assert!(told.is_none(), "a secret was told: {told:?}");
    }
    assert!(daemon.end(Signal::SIGTERM).await.success());
}

async fn until_connected(operator: &mut Operator, region: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let region = operator.send("GET", &format!("/admin/v1/regions/{region}"), None).await["region"].take();
        if region["connection"]["state"] == "connected" && region["hosts"].as_i64() > Some(0) {
            return;
        }
        assert!(Instant::now() < deadline, "{region:#}");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_region_alone_carries_a_server_from_its_making_to_its_end() {
    let image = NamedTempFile::new().unwrap();
    let installation = installation(&image);
    let daemon = installation.start().await;
    let (mut operator, tenant) =
        (Operator { client: installation.operator(), heard: Vec::new() }, installation.client());
    until_connected(&mut operator, "demo").await;
    let before = operator.send("GET", "/admin/v1/regions/demo", None).await["region"].take();
    let (server, action) = order(&tenant, "web-1", "demo").await;
    let made = tenant.ended(action).await;
    assert_eq!(made["status"], "completed", "{made}");

    let stands = operator.send("GET", "/admin/v1/servers", None).await["servers"][0].take();
    let hosts = operator.send("GET", "/admin/v1/hosts?region=demo", None).await["hosts"].take();
    // Those with the quickest network cards: the disk is copied over them.
    let quick = ["sim-node-1", "sim-node-3"].into_iter().find(|name| stands["host"] != *name).unwrap();
    let to = hosts.as_array().unwrap().iter().find(|host| host["name"] == quick).unwrap();
    let body = json!({ "server_id": server, "host_id": to["id"] });
    let started = operator.send("POST", "/admin/v1/migrations", Some(body)).await["migration"].take();
    let path = format!("/admin/v1/migrations/{}", started["id"].as_str().unwrap());
    let deadline = Instant::now() + PATIENCE;
    let ended = loop {
        let migration = operator.send("GET", &path, None).await["migration"].take();
        if migration["state"] != "running" {
            break migration;
        }
        assert!(Instant::now() < deadline, "{migration:#}");
        sleep(Duration::from_millis(100)).await;
    };
    assert_eq!((&ended["state"], &ended["to"]), (&json!("completed"), &json!(quick)), "{ended:#}");
    let stands = operator.send("GET", "/admin/v1/servers", None).await["servers"][0].take();
    assert_eq!((&stands["host"], &stands["status"]), (&json!(quick), &json!("active")), "{stands:#}");

    delete(&tenant, server).await;
    let hosts = operator.send("GET", "/admin/v1/hosts?region=demo", None).await["hosts"].take();
    for host in hosts.as_array().unwrap() {
        let reserved = &host["reserved"];
        assert_eq!((&host["servers"], &reserved["vcpus"], &reserved["memory_mib"]), (&json!(0), &json!(0), &json!(0)));
    }
    assert_eq!(operator.send("GET", "/admin/v1/servers", None).await["servers"], json!([]));
    let region = operator.send("GET", "/admin/v1/regions/demo", None).await["region"].take();
    assert_eq!(region["pools"], before["pools"], "every address is back");
    assert_eq!(operator.send("GET", "/admin/v1/alerts", None).await["alerts"], json!([]));
    assert!(daemon.end(Signal::SIGTERM).await.success());
}

/// A cluster with guests of other people: a machine and a container with addresses of their own, and a machine that has the
/// first one's as well.
fn inhabited() -> Scenario {
    let guest = |vmid: u32, name: &str, config: [(&str, &str); 2]| GuestSpec {
        vmid,
        node: "pve1".to_owned(),
        name: name.to_owned(),
        running: true,
        cores: 1,
        memory: 512,
        storage: "local-lvm".to_owned(),
        disk: 5,
        config: config.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ..GuestSpec::default()
    };
    let machine = |vmid, name, card, address| guest(vmid, name, [("net0", card), ("ipconfig0", address)]);
    let card = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:06,ip=203.0.113.51/24,type=veth";
    let files = GuestSpec { container: true, ..guest(106, "files", [("net0", card), ("hostname", "files")]) };
    let guests = vec![
        machine(105, "mail", "virtio=BC:24:11:00:00:05,bridge=vmbr0", "ip=203.0.113.50/24,gw=203.0.113.1"),
        files,
        machine(107, "twin", "virtio=BC:24:11:00:00:07,bridge=vmbr0", "ip=203.0.113.50/24"),
    ];
    Scenario { guests, ..scenario(2) }
}

impl Operator {
    /// Waits until a list holds an entry with these words, and answers with it.
    async fn find_in(&mut self, path: &str, list: &str, key: &str, value: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.send("GET", path, None).await;
            let found = answer[list].as_array().unwrap().iter().find(|one| one[key] == value);
            if let Some(found) = found {
                return found.clone();
            }
            assert!(Instant::now() < deadline, "no {key} {value} in {answer:#}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_of_a_cluster_are_shown_chosen_and_adopted_with_their_addresses() {
    let image = NamedTempFile::new().unwrap();
    let installation = installation(&image);
    let (daemon, cluster) = tokio::join!(installation.start(), async { Simulator::start(inhabited()).await.unwrap() });
    let mut operator = Operator { client: installation.operator(), heard: Vec::new() };
    let mut body = json!({ "provider": "proxmox", "settings": settings(&[&cluster.url]), "secret": TOKEN_SECRET,
                           "fingerprints": fingerprints(&cluster) });
    let test = operator.send("POST", "/admin/v1/region_tests", Some(body.clone())).await["test"].take();
    let offers = &test["offers"];
    let storages = offers["storages"].as_array().unwrap();
    let of = |name: &str| storages.iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(
        (&of("local-lvm")["not_for_disks"], &of("shared")["shared"]),
        (&Value::Null, &json!(true)),
        "{offers:#}"
    );
    assert!(of("local-lvm")["not_for_images"].as_str().unwrap().contains("keeps no files"), "{offers:#}");
    assert_eq!(of("local")["hosts"], json!(["pve1", "pve2"]));
    let bridges = offers["bridges"].as_array().unwrap();
    assert!(bridges.iter().any(|one| one["name"] == "vmbr0" && one["missing_on"] == json!([])), "{offers:#}");
    assert!(offers["pools"].as_array().unwrap().contains(&json!("cairn")), "{offers:#}");

    body["slug"] = json!("lab");
    body["pools"] = json!([{ "name": "public", "kind": "public_bridged", "range": "203.0.113.0/24" }]);
    operator.send("POST", "/admin/v1/regions", Some(body.clone())).await;
    body["slug"] = json!("lab-again");
    let (status, answer) = operator.client.send("POST", "/admin/v1/regions", Some(body)).await;
    assert_eq!((status, &answer["cloud"]["field"]), (422, &json!("settings.guest_numbers")), "{answer}");
    until_connected(&mut operator, "lab").await;
    let team = operator.send("GET", "/admin/v1/teams", None).await["teams"][0]["id"].take();
    let adopt = |guest: &str| json!({ "region": "lab", "guest": guest, "team_id": team });
    for (guest, name, address) in [("105", "mail", "203.0.113.50"), ("106", "files", "203.0.113.51")] {
        operator.find_in("/admin/v1/guests?region=lab", "guests", "name", guest).await;
        operator.send("POST", "/admin/v1/guests/adopt", Some(adopt(guest))).await;
        operator.find_in("/admin/v1/servers?region=lab", "servers", "status", "active").await;
        let server = operator.find_in("/admin/v1/servers?region=lab", "servers", "name", name).await;
        let path = format!("/admin/v1/servers?region=lab&per_page={}", 50);
        let answered = operator.find_in(&path, "servers", "address", address).await;
        assert_eq!(server["id"], answered["id"]);
    }
    operator.send("POST", "/admin/v1/guests/adopt", Some(adopt("107"))).await;
    let told = operator.find_in("/admin/v1/alerts", "alerts", "kind", "adoption_failed").await;
    assert!(told["message"].as_str().unwrap().contains("203.0.113.50"), "{told}");
    let twin = cluster.control.guests().into_iter().find(|guest| guest.vmid == 107).unwrap();
    assert!(!twin.config.contains_key("tags") && twin.status == "running", "{twin:?}");
    let (status, answer) = operator.client.send("POST", "/admin/v1/guests/adopt", Some(adopt("999"))).await;
    assert!(status == 404 && answer["message"].as_str().unwrap().contains("guest list"), "{answer}");
    assert!(daemon.end(Signal::SIGTERM).await.success());
}
