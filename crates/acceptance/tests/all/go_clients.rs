//! The clients that people have: DigitalOcean's own command line tool, and OpenTofu with its provider, as they are
//! published, against the region `demo`. `script/go-clients` builds them; where they are missing, this says SKIP.

use acceptance::installation::{Client, Daemon, Installation, PATIENCE};
use acceptance::{skip, workspace};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;
use tempfile::NamedTempFile;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

/// A program that `script/go-clients` has built, or that the person who runs the tests has.
fn found(program: &str) -> Option<PathBuf> {
    let built = workspace().join("target/go/bin").join(program);
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::iter::once(built)
        .chain(std::env::split_paths(&on_path).map(|directory| directory.join(program)))
        .find(|path| path.is_file());
    if found.is_none() {
        skip(&format!("{program} is not here; `script/go-clients` builds it where there are Go and a network"));
    }
    found
}

/// A daemon with nothing but the region `demo`, which takes servers.
async fn demonstration(image: &NamedTempFile) -> (Installation, Daemon) {
    let installation = Installation::new(image.path()).set("CAIRN_DEMO", "alone");
    let daemon = installation.start().await;
    let operator = installation.operator();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let region = operator.get("/admin/v1/regions/demo").await["region"].take();
        if region["connection"]["state"] == "connected" && region["hosts"].as_i64() > Some(0) {
            return (installation, daemon);
        }
        assert!(Instant::now() < deadline, "{region:#}");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn key(installation: &Installation) -> PathBuf {
    let key = installation.scratch().join("id_ed25519");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().await;
    assert!(made.expect("ssh-keygen runs; script/test installs it").success());
    key.with_extension("pub")
}

/// What is left when everything was deleted, once it is.
async fn nothing_is_left(client: &Client) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let quota = client.get("/cloud/v1/quotas").await;
        if quota["used"]["servers"] == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "{quota:#}");
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(client.get("/v2/droplets").await["droplets"], json!([]));
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// `doctl` with the token in its environment.
struct Doctl {
    program: PathBuf,
    url: String,
    token: String,
    /// Where it looks for settings.
    home: PathBuf,
}

impl Doctl {
    async fn run(&self, line: &str) -> Output {
        let mut command = Command::new(&self.program);
        command.args(["--api-url", &self.url, "--output", "json"]).args(line.split_whitespace());
        // Neither the person's own contexts nor their token.
        command.env("DIGITALOCEAN_ACCESS_TOKEN", &self.token).env("HOME", &self.home).env_remove("XDG_CONFIG_HOME");
        command.output().await.unwrap()
    }

    async fn does(&self, line: &str) -> Value {
        let output = self.run(line).await;
        assert!(output.status.success(), "doctl {line}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    async fn is_refused(&self, line: &str, words: &str) {
        let output = self.run(line).await;
        assert!(!output.status.success(), "doctl {line} was not refused");
        assert!(said(&output).contains(words), "doctl {line}: {}", said(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doctl_runs_a_server_from_its_making_to_its_end() {
    let Some(program) = found("doctl") else { return };
    let image = NamedTempFile::new().unwrap();
    let (installation, daemon) = demonstration(&image).await;
    let key = key(&installation).await;
    let doctl = Doctl {
        program,
        url: installation.url("/"),
        token: installation.token(),
        home: installation.scratch().to_owned(),
    };

    assert_eq!(doctl.does("account get").await["status"], "active");
    assert_eq!(doctl.does("compute region list").await[0]["slug"], "demo");
    let imported = doctl.does(&format!("compute ssh-key import mine --public-key-file {}", key.display())).await;
    let print = imported[0]["fingerprint"].as_str().unwrap();
    let wish = "--region demo --size small --image debian-12-simulated --tag-names web --wait";
    let made = doctl.does(&format!("compute droplet create web-1 web-2 {wish} --ssh-keys {print}")).await;
    assert_eq!(made.as_array().map(Vec::len), Some(2), "{made:#}");
    assert!(made.as_array().unwrap().iter().all(|server| server["status"] == "active"), "{made:#}");
    let id = made[0]["id"].as_i64().unwrap();

    for act in ["power-off", "resize --size medium", "power-on", "snapshot --snapshot-name kept", "reboot"] {
        let (act, options) = act.split_once(' ').unwrap_or((act, ""));
        let done = doctl.does(&format!("compute droplet-action {act} {id} {options} --wait")).await;
        assert_eq!(done[0]["status"], "completed", "{act}: {done:#}");
    }
    assert_eq!(doctl.does(&format!("compute droplet get {id}")).await[0]["size_slug"], "medium");
    let kept = doctl.does("compute snapshot list").await;
    assert_eq!((&kept[0]["name"], &kept[0]["resource_id"]), (&json!("kept"), &json!(id.to_string())));
    assert_eq!(doctl.does(&format!("compute droplet actions {id}")).await.as_array().map(Vec::len), Some(6));

    doctl.is_refused("compute droplet get 2147483647", "404").await;
    doctl.is_refused("compute droplet create x --region nowhere --size small --image 1", "422").await;
    let stranger = Doctl { token: "cairn_nobody".to_owned(), ..doctl };
    stranger.is_refused("compute droplet list", "401").await;
    let doctl = Doctl { token: installation.token(), ..stranger };

    doctl.does("compute droplet delete --force --tag-name web").await;
    doctl.does(&format!("compute snapshot delete --force {}", kept[0]["id"].as_str().unwrap())).await;
    nothing_is_left(&installation.client()).await;
    assert!(daemon.end(Signal::SIGTERM).await.success());
}

const PLAN: &str = r##"
terraform {
  required_providers { digitalocean = { source = "digitalocean/digitalocean" } }
}
variable "size" { default = "small" }
variable "suffix" { default = "" }
provider "digitalocean" {}
data "digitalocean_image" "debian" { slug = "debian-12-simulated" }
data "digitalocean_sizes" "all" {}
data "digitalocean_account" "me" {}
resource "digitalocean_ssh_key" "mine" {
  name       = "mine"
  public_key = file("id_ed25519.pub")
}
resource "digitalocean_tag" "web" { name = "web" }
resource "digitalocean_droplet" "web" {
  count     = 3
  name      = "web-${count.index}${var.suffix}"
  region    = "demo"
  size      = var.size
  image     = data.digitalocean_image.debian.id
  ssh_keys  = [digitalocean_ssh_key.mine.fingerprint]
  tags      = [digitalocean_tag.web.id]
  user_data = "#cloud-config\npackages: [nginx]\n"
}
resource "digitalocean_droplet_snapshot" "kept" {
  droplet_id = digitalocean_droplet.web[0].id
  name       = "kept"
}
output "addresses" { value = digitalocean_droplet.web[*].ipv4_address }
"##;

/// `tofu` in a directory with [`PLAN`].
struct Tofu {
    program: PathBuf,
    installation: Installation,
}

impl Tofu {
    async fn run(&self, line: &str) -> Output {
        let directory = self.installation.scratch();
        Command::new(&self.program)
            .args(line.split_whitespace())
            .current_dir(directory)
            .env("TF_CLI_CONFIG_FILE", directory.join("tofurc"))
            .env("DIGITALOCEAN_TOKEN", self.installation.token())
            .env("DIGITALOCEAN_API_URL", self.installation.url(""))
            .output()
            .await
            .unwrap()
    }

    async fn does(&self, line: &str) -> String {
        let output = self.run(line).await;
        assert!(output.status.success(), "tofu {line}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What stands is what is planned.
    async fn is_settled(&self, line: &str) {
        let output = self.run(&format!("plan -no-color -detailed-exitcode {line}")).await;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn opentofu_makes_what_is_planned_changes_it_and_takes_it_away() {
    let (Some(program), Some(provider)) = (found("tofu"), found("terraform-provider-digitalocean")) else { return };
    let image = NamedTempFile::new().unwrap();
    let (installation, daemon) = demonstration(&image).await;
    key(&installation).await;
    let directory = installation.scratch().to_owned();
    let at = provider.parent().unwrap().display();
    let settings = format!(
        "provider_installation {{\n  dev_overrides {{ \"digitalocean/digitalocean\" = \"{at}\" }}\n  direct {{}}\n}}\n"
    );
    std::fs::write(directory.join("tofurc"), settings).unwrap();
    std::fs::write(directory.join("main.tf"), PLAN).unwrap();
    let tofu = Tofu { program, installation };

    tofu.does("apply -no-color -auto-approve").await;
    tofu.is_settled("").await;
    let addresses: Value = serde_json::from_str(&tofu.does("output -json addresses").await).unwrap();
    let servers = tofu.installation.client().get("/v2/droplets?tag_name=web").await["droplets"].take();
    assert_eq!(addresses.as_array().map(Vec::len), Some(3));
    assert_eq!(servers.as_array().map(Vec::len), Some(3));

    let change = "-var size=medium -var suffix=-b";
    tofu.does(&format!("apply -no-color -auto-approve {change}")).await;
    tofu.is_settled(change).await;
    let changed = tofu.installation.client().get("/v2/droplets?tag_name=web").await["droplets"].take();
    for (server, before) in changed.as_array().unwrap().iter().zip(servers.as_array().unwrap()) {
        assert_eq!(server["id"], before["id"], "changed in place");
        assert_eq!(server["size_slug"], "medium");
        assert!(server["name"].as_str().unwrap().ends_with("-b"), "{server:#}");
    }

    tofu.does(&format!("destroy -no-color -auto-approve {change}")).await;
    nothing_is_left(&tofu.installation.client()).await;
    assert!(daemon.end(Signal::SIGTERM).await.success());
}
