//! One real guest through pydo as it is on PyPI, over TLS: created, entered over SSH, switched off and on, resized,
//! snapshotted, rebuilt from the snapshot and deleted. Between the stages the same resources are held against the
//! contract; afterwards nothing of it is left.

use crate::crash::{Books, wait_for};
use acceptance::installation::{IMAGE, Installation};
use acceptance::{skip, workspace};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// The longest that one stage takes: two boots without KVM on a machine that builds beside it.
const STAGE: Duration = Duration::from_secs(1200);

/// The image that `script/image debian-12` makes.
fn debian() -> Option<PathBuf> {
    let directory = std::env::var_os("CAIRN_IMAGES").filter(|set| !set.is_empty()).map_or_else(
        || {
            let cache = std::env::var_os("XDG_CACHE_HOME").filter(|set| !set.is_empty()).map_or_else(
                || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache"),
                PathBuf::from,
            );
            cache.join("cairn/images")
        },
        PathBuf::from,
    );
    Some(directory.join("debian-12.qcow2")).filter(|image| image.is_file())
}

/// A program of the environment that `script/test` makes of `script/python-clients.txt`; made here where it is not.
pub(crate) async fn python(program: &str) -> Option<PathBuf> {
    let environment = workspace().join("target/python");
    let found = environment.join("bin").join(program);
    if !environment.join("ready").is_file() {
        let list = workspace().join("script/python-clients.txt");
        let made = Command::new("python3").args(["-m", "venv"]).arg(&environment).status().await;
        let pip = environment.join("bin/pip");
        let filled = Command::new(pip).args(["install", "--quiet", "-r"]).arg(&list).status().await;
        if !made.is_ok_and(|made| made.success()) || !filled.is_ok_and(|filled| filled.success()) {
            skip(&format!("{program}: target/python cannot be made; script/test makes it where there is a network"));
            return None;
        }
        std::fs::write(environment.join("ready"), "").unwrap();
    }
    assert!(found.is_file(), "{} is missing; remove target/python and run script/test", found.display());
    Some(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_lives_and_goes_through_pydo() {
    let Some(image) = debian() else {
        skip("pydo: no debian-12.qcow2; `script/image debian-12` builds it");
        return;
    };
    let Some(python) = python("python").await else { return };
    let installation = Installation::new(&image);
    let daemon = installation.start().await;
    // The daemon answers before its region is connected; what connecting makes is not the server's.
    wait_for("the first look at the region", async || hosts(&installation).await > 0).await;
    let before = Books::read(&installation).await;
    let key = installation.scratch().join("id_ed25519");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().await;
    assert!(made.expect("ssh-keygen runs; script/test installs it").success());

    let mut life = Life::begin(&installation, &python, &key);
    let mut stages = Vec::new();
    let mut taps = Vec::new();
    while let Some(stage) = life.stage(&installation).await {
        if stage == "active" {
            taps = interfaces_of_guests(&installation).await;
            assert_eq!(installation.guests().len(), 1);
        }
        stages.push(stage);
    }
    assert_eq!(stages, ["begun", "active", "entered", "off", "resized", "kept", "rebuilt", "gone"]);

    // A delete is over for the client before the guest is for us.
    wait_for("the guest's end", async || installation.guests().is_empty() && settled(&installation).await).await;
    // The image that was fetched stays for the next server; everything else is as it was.
    let after = Books::read(&installation).await.without_images();
    assert_eq!(after, before.without_images());
    let rules = Command::new("nft").args(["list", "ruleset"]).output().await;
    let rules = rules.map(|listed| String::from_utf8_lossy(&listed.stdout).into_owned()).unwrap_or_default();
    for tap in &taps {
        assert!(!rules.contains(tap.as_str()), "{tap} is left in the rules:\n{rules}");
        assert!(!Path::new("/sys/class/net").join(tap).exists(), "{tap} is left");
    }
    let held = |name: &str| -> Vec<PathBuf> {
        std::fs::read_dir(installation.file(name)).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    assert_eq!(held("qemu/local/guests"), Vec::<PathBuf>::new());
    assert!(held("qemu/local/images").len() == 1, "the snapshot's file is left: {:?}", held("qemu/local/images"));
    daemon.end(Signal::SIGTERM).await;
}

/// How many hosts have been seen.
async fn hosts(installation: &Installation) -> i64 {
    let store = installation.store().await;
    sqlx::query_scalar("SELECT count(*) FROM hosts WHERE seen_at IS NOT NULL").fetch_one(store.pool()).await.unwrap()
}

/// Whether no work is under way.
async fn settled(installation: &Installation) -> bool {
    let store = installation.store().await;
    let open: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM actions WHERE completed_at IS NULL)
              + (SELECT count(*) FROM workflows WHERE state IN ('ready', 'parked'))",
    )
    .fetch_one(store.pool())
    .await
    .unwrap();
    open == 0
}

/// The host's interfaces that belong to a guest of this installation; none where networking is QEMU's own.
async fn interfaces_of_guests(installation: &Installation) -> Vec<String> {
    let marked = crate::crash::interfaces(installation).await;
    let taps: Vec<String> = marked.into_iter().filter(|name| name.starts_with("ct")).collect();
    assert!(!nix::unistd::geteuid().is_root() || !taps.is_empty(), "the guest has no interface");
    taps
}

/// The Python process.
struct Life {
    process: tokio::process::Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    log: PathBuf,
}

impl Life {
    fn begin(installation: &Installation, python: &Path, key: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/pydo_server.py");
        let authority = installation.file("ca.pem");
        let log = installation.scratch().join("pydo.log");
        let mut process = Command::new(python)
            .arg(script)
            .arg(installation.secure_url())
            .arg(key)
            .arg(IMAGE)
            .env("CAIRN_TOKEN", installation.token())
            .env("REQUESTS_CA_BUNDLE", &authority)
            .env("SSL_CERT_FILE", &authority)
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines, log }
    }

    /// Waits for the next stage, looks at what it names, and lets it go on; `None` when the script ended well.
    async fn stage(&mut self, installation: &Installation) -> Option<String> {
        let line = timeout(STAGE, self.lines.next_line()).await;
        let said = || {
            let log = installation.log();
            let end = log.char_indices().rev().nth(20_000).map_or(0, |(index, _)| index);
            format!("{}\nthe daemon's log:\n{}", std::fs::read_to_string(&self.log).unwrap_or_default(), &log[end..])
        };
        let line = line.unwrap_or_else(|_| panic!("a stage takes too long; pydo said:\n{}", said())).unwrap();
        let Some(line) = line else {
            let ended = self.process.wait().await.unwrap();
            assert!(ended.success(), "{ended}; pydo said:\n{}", said());
            println!("{}", std::fs::read_to_string(&self.log).unwrap_or_default());
            return None;
        };
        let stage: Value = serde_json::from_str(&line).unwrap();
        for path in stage["look"].as_array().unwrap() {
            installation.client().get(path.as_str().unwrap()).await;
        }
        self.process.stdin.as_mut().unwrap().write_all(b"\n").await.unwrap();
        Some(stage["stage"].as_str().unwrap().to_owned())
    }
}
