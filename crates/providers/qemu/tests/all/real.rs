//! One guest with a whole operating system.

use crate::stage::{Stage, USER, until};
use provider::{GuestPower, PowerWish, Provider, Resources, Seed};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

fn image() -> Option<PathBuf> {
    let directory = std::env::var_os("CAIRN_IMAGES").map(PathBuf::from);
    let directory = directory.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/cairn/images")))?;
    let path = directory.join("debian-12.qcow2");
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: {} is not there; script/image debian-12 builds it", path.display());
    None
}

#[tokio::test]
async fn debian_boots_answers_over_ssh_and_shuts_down() {
    let Some(image) = image() else { return };
    let stage = Stage::new(USER).await;
    stage.ensure_file(1, &image).await.unwrap();
    let key = stage.file("key");
    crate::stage::run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()]).await;
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let mut spec = stage.spec(42);
    spec.resources = Resources { vcpus: 2, memory_mib: 1024, disk_gb: 20 };
    spec.seed = Seed {
        user_data: format!("#cloud-config\nhostname: web-1\ndisable_root: false\nssh_authorized_keys:\n  - {public}"),
        meta_data: "instance-id: first\nlocal-hostname: web-1\n".into(),
        network_config: "version: 2\nethernets:\n  eth0:\n    match: {macaddress: '02:ca:00:00:00:2a'}\n    \
             addresses: [10.77.0.42/24]\n    routes: [{to: 0.0.0.0/0, via: 10.77.0.1}]\n"
            .into(),
        plain: provider::PlainSeed::default(),
    };
    let guest = stage.guest(42);
    let start = Instant::now();
    stage.qemu.create_guest(&guest, &spec).await.unwrap();
    stage.power(&guest, PowerWish::On).await;
    println!("process after {:?}", start.elapsed());
    let port = stage.seen(&guest).await.reached.ssh.unwrap().1.to_string();
    let identity = key.to_str().unwrap().to_owned();
    let ssh = async |command: &str| {
        let options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=5"];
        let mut ssh = tokio::process::Command::new("ssh");
        ssh.args(options.iter().flat_map(|option| ["-o", option])).args(["-i", &identity, "-p", &port]);
        let ssh = ssh.args(["root@127.0.0.1", command]).stderr(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(Duration::from_secs(20), ssh).await.ok()?.ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    while ssh("true").await.is_none() {
        if start.elapsed() > Duration::from_secs(300) {
            let console = stage.qemu.console_log(&guest, 8 << 10).await.unwrap();
            panic!("SSH does not answer; the console ends with\n{}", String::from_utf8_lossy(&console));
        }
    }
    println!("SSH after {:?}", start.elapsed());
    assert_eq!(ssh("hostname; ip -4 -o address show scope global").await.unwrap().matches("10.77.0.42/24").count(), 1);
    let console = stage.qemu.console_log(&guest, 1 << 20).await.unwrap();
    assert!(String::from_utf8_lossy(&console).contains("Linux"), "the serial console says something");

    // The agent answers here, so the snapshot is quiesced and the reboot is the guest's own.
    ssh("systemctl start qemu-guest-agent; echo kept > /root/kept").await.unwrap();
    let snapshot = stage.image(2);
    stage.done(stage.qemu.snapshot_guest(&guest, &snapshot).await.unwrap()).await.unwrap();
    println!("live snapshot after {:?}", start.elapsed());
    assert_eq!(ssh("cat /root/kept").await.as_deref(), Some("kept\n"), "thawed");

    stage.power(&guest, PowerWish::Shutdown).await;
    let stopped = async || stage.seen(&guest).await.power == GuestPower::Stopped;
    until("the guest obeys ACPI", Duration::from_secs(120), stopped).await;
    println!("stopped after {:?}", start.elapsed());
    stage.close().await;
}
