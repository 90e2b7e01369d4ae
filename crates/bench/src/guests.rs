//! Real guests: how long until QEMU runs, and how long until somebody can log in, beside a guest started by hand.

use crate::by_hand::{self, Template};
use crate::daemon::Installation;
use crate::load::Client;
use crate::processes;
use crate::table::{Table, percentile};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::time::sleep;

const IMAGE: &str = "debian-12-x64";
const SIZE: &str = "s-1vcpu-1gb";
/// How many guests are started to see how long it takes.
const STARTS: usize = 11;
const PATIENCE: Duration = Duration::from_secs(600);

/// From the request to the process, with a disk that has nothing on it.
pub(crate) async fn until_process(program: &Path, table: &mut Table) -> Result<()> {
    let mut installation = Installation::new(program)?;
    let image = installation.directory().join("empty.qcow2");
    let made = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&image).arg("64M").status().await?;
    ensure!(made.success(), "qemu-img does not work");
    prepare(&mut installation, &image).await?;
    let running = installation.start("dev")?;
    installation.answered("/readyz", "").await?;
    let api = Api::connect(&installation).await?;
    let mut times = Vec::new();
    for number in 0..=STARTS {
        let before: HashSet<i32> = processes::numbers().collect();
        let began = Instant::now();
        let server = api.order(&format!("start-{number}"), None).await?;
        emulator(&before, &installation).await?;
        // The first brings the image in.
        if number > 0 {
            times.push(began.elapsed());
        }
        api.until_active(server).await?;
        api.destroy(server).await?;
    }
    table.time("post_to_qemu_process_p50", percentile(&mut times, 50));
    table.time("post_to_qemu_process_p99", percentile(&mut times, 99));
    running.stop().await
}

/// From the request to a login, and the same for a guest with the same image, seed and arguments without Cairn.
pub(crate) async fn until_login(program: &Path, image: &Path, boots: usize, table: &mut Table) -> Result<()> {
    let mut installation = Installation::new(program)?;
    // The guest by hand takes over the taps of the one that Cairn started, so both are on the same bridge.
    installation.set("CAIRN_QEMU_NETWORKING", "bridged");
    prepare(&mut installation, image).await?;
    let key = installation.directory().join("key");
    let keygen = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().await?;
    ensure!(keygen.success(), "ssh-keygen does not work");
    let running = installation.start("dev")?;
    installation.answered("/readyz", "").await?;
    let api = Api::connect(&installation).await?;
    let public = std::fs::read_to_string(key.with_extension("pub"))?;
    let known = api.post("/v2/account/keys", &json!({ "name": "bench", "public_key": public.trim() })).await?;
    let known = known["ssh_key"]["id"].as_i64().context("no key")?;

    // The image is brought in and read once before anything is timed.
    let first = api.order("first", Some(known)).await?;
    api.until_active(first).await?;
    api.destroy(first).await?;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in 0..boots {
        let before: HashSet<i32> = processes::numbers().collect();
        let began = Instant::now();
        let server = api.order(&format!("boot-{number}"), Some(known)).await?;
        let pid = emulator(&before, &installation).await?;
        let address = api.public_address(server).await?;
        let template = Template::of(pid, &installation.directory().join(format!("hand-{number}")))?;
        by_hand::login(&address, &key, began + PATIENCE).await?;
        ours.push(began.elapsed());
        eprintln!("bench: login by Cairn after {:?}", began.elapsed());
        api.until_active(server).await?;

        // The plug, so that the host is as it was; its taps and its addresses are the next one's.
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        processes::gone(pid).await;
        let began = Instant::now();
        let guest = template.start().await?;
        by_hand::login(&address, &key, began + PATIENCE).await?;
        theirs.push(began.elapsed());
        eprintln!("bench: login by hand after {:?}", began.elapsed());
        guest.stop().await?;
        api.destroy(server).await?;
    }
    table.count("boots_of_each", u64::try_from(boots)?);
    let (ours, theirs) = (percentile(&mut ours, 50), percentile(&mut theirs, 50));
    table.time("post_to_ssh_p50", ours);
    table.time("by_hand_to_ssh_p50", theirs);
    table.number("post_to_ssh_per_by_hand", ours.as_secs_f64() / theirs.as_secs_f64());
    running.stop().await
}

/// The image as a file, and a range of public addresses that no other installation on this machine has.
async fn prepare(installation: &mut Installation, image: &Path) -> Result<()> {
    let routes = Command::new("ip").args(["-4", "route", "show"]).stderr(Stdio::null()).output().await?;
    let routes = String::from_utf8_lossy(&routes.stdout).into_owned();
    let taken = |third: i32| (third..third + 16).any(|third| routes.contains(&format!("198.18.{third}.")));
    let free = (0..=240).rev().step_by(16).find(|third| !taken(*third));
    let range = format!("198.18.{}.0/20", free.context("every range is in use")?);
    let catalogue = model::catalogue::DEFAULT.replace("198.18.64.0/20", &range);
    let file = installation.directory().join("catalogue.toml");
    std::fs::write(&file, catalogue)?;
    installation.argument(format!("--catalogue={}", file.display()));
    installation.argument(format!("--image-file={IMAGE}={}", image.display()));
    Ok(())
}

/// Waits for a QEMU of this installation's that was not there before.
async fn emulator(before: &HashSet<i32>, installation: &Installation) -> Result<i32> {
    let place = installation.directory().to_string_lossy().into_owned();
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        for pid in processes::numbers().filter(|pid| !before.contains(pid)) {
            let words = processes::command_line(pid);
            let emulates = words.first().is_some_and(|program| program.contains("qemu-system-"));
            if emulates && words.iter().any(|word| word.contains(&place)) {
                return Ok(pid);
            }
        }
        sleep(Duration::from_millis(1)).await;
    }
    bail!("no QEMU was started")
}

/// The API of one installation. Every call has a connection of its own: the daemon closes those that are idle for
/// half a minute, and a boot takes longer.
struct Api {
    port: u16,
    token: String,
}

impl Api {
    async fn connect(installation: &Installation) -> Result<Self> {
        let api = Self { port: installation.port(), token: installation.token()? };
        api.client().await?;
        Ok(api)
    }

    async fn client(&self) -> Result<Client> {
        Client::connect(self.port, &self.token).await
    }

    async fn get(&self, path: &str) -> Result<(u16, Value)> {
        let mut client = self.client().await?;
        let (status, body) = client.send("GET", path, "").await?;
        Ok((status, serde_json::from_slice(body).unwrap_or_default()))
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let mut client = self.client().await?;
        let (status, answer) = client.send("POST", path, &body.to_string()).await?;
        ensure!((200..300).contains(&status), "POST {path}: {status} {}", String::from_utf8_lossy(answer));
        Ok(serde_json::from_slice(answer)?)
    }

    async fn order(&self, name: &str, key: Option<i64>) -> Result<i64> {
        let keys: Vec<i64> = key.into_iter().collect();
        let body = json!({ "name": name, "region": "local", "size": SIZE, "image": IMAGE, "ssh_keys": keys });
        self.post("/v2/droplets", &body).await?["droplet"]["id"].as_i64().context("no id")
    }

    async fn public_address(&self, server: i64) -> Result<String> {
        let (_, answer) = self.get(&format!("/v2/droplets/{server}")).await?;
        let mut networks = answer["droplet"]["networks"]["v4"].as_array().into_iter().flatten();
        let public = networks.find(|network| network["type"] == "public");
        Ok(public.and_then(|network| network["ip_address"].as_str()).context("no public address")?.to_owned())
    }

    async fn until_active(&self, server: i64) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let (_, answer) = self.get(&format!("/v2/droplets/{server}")).await?;
            if answer["droplet"]["status"] == "active" && answer["droplet"]["locked"] == false {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
        bail!("server {server} does not become active")
    }

    /// Deletes it and waits until it is gone from the host.
    async fn destroy(&self, server: i64) -> Result<()> {
        self.client().await?.expect(204, "DELETE", &format!("/v2/droplets/{server}"), "").await?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let (_, answer) = self.get("/v2/actions?per_page=200").await?;
            let gone = |action: &Value| {
                action["resource_id"] == server && action["type"] == "destroy" && action["status"] == "completed"
            };
            if answer["actions"].as_array().into_iter().flatten().any(gone) {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
        bail!("server {server} does not go away")
    }
}
