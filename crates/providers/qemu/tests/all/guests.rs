//! Guests through their life, with user-mode networking.

use crate::stage::{Stage, USER, names, run, until};
use provider::{Begun, FaultKind, Guest, ImageSource, PowerWish, Provider, Resources, Seed};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_guest_is_made_started_adopted_and_removed() {
    let mut stage = Stage::new(USER).await.with_image().await;
    let guest = stage.guest(5);
    assert_eq!(stage.qemu.find_guest(&guest).await.unwrap(), Guest::Absent);
    stage.create(5).await;
    stage.create(5).await;
    assert!(!stage.running(&guest).await);

    stage.power(&guest, PowerWish::On).await;
    let first = stage.seen(&guest).await;
    stage.power(&guest, PowerWish::On).await;
    assert_eq!(stage.seen(&guest).await, first);
    let (host, port) = first.reached.ssh.clone().unwrap();
    assert!(tokio::net::TcpStream::connect((host.as_str(), port)).await.is_ok());

    stage.restart().await;
    assert_eq!(stage.seen(&guest).await, first, "a restart of the daemon changes nothing");
    let inventory = stage.qemu.inventory().await.unwrap();
    assert_eq!(inventory.guests, vec![first.clone()]);
    assert_eq!(inventory.hosts.len(), 1);
    stage.power(&guest, PowerWish::Reset).await;
    stage.power(&guest, PowerWish::Reboot).await;
    stage.power(&guest, PowerWish::Shutdown).await;

    stage.power(&guest, PowerWish::Off).await;
    stage.power(&guest, PowerWish::Off).await;
    assert!(!stage.running(&guest).await);
    stage.power(&guest, PowerWish::On).await;
    assert_ne!(stage.seen(&guest).await.boot, first.boot);
    stage.delete(&guest).await;
    stage.delete(&guest).await;
    stage.close().await;
}

#[tokio::test]
async fn a_process_of_its_own_session_and_user() {
    let stage = Stage::new(USER).await.with_image().await;
    let guest = stage.create(6).await;
    stage.power(&guest, PowerWish::On).await;
    let process = stage.process(&guest).await;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    assert_ne!(fields[1], std::process::id().to_string(), "not our child");
    assert_eq!(fields[3], process.to_string(), "leads its own session");
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    assert!(status.contains("Seccomp:\t2"), "the sandbox is up");
    let environment = std::fs::read_to_string(format!("/proc/{process}/environ")).unwrap();
    assert_eq!(environment.trim_end_matches('\0').split('\0').count(), 1, "{environment}");
    if crate::stage::is_root() {
        let user = stage.config.guest_user_base + 6;
        assert_eq!(std::fs::metadata(format!("/proc/{process}")).unwrap().uid(), user);
        let record = std::fs::metadata(stage.state().join("guests/s6/guest.json")).unwrap();
        assert_eq!((record.uid(), record.mode() & 0o777), (0, 0o600), "QEMU cannot forge the mark");
        let directory = std::fs::metadata(stage.state().join("guests/s6")).unwrap();
        assert_eq!((directory.uid(), directory.gid(), directory.mode() & 0o777), (0, user, 0o710));
        if stage.qemu.capabilities().resource_limits {
            let groups = std::fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap();
            assert!(groups.contains("/cairn_"), "{groups}");
        }
    }
    stage.close().await;
}

#[tokio::test]
async fn what_does_not_carry_our_mark_is_left_alone() {
    let stage = Stage::new(USER).await.with_image().await;
    let guest = stage.create(7).await;
    let mut other = guest.clone();
    other.mark.server = model::ids::ServerId(8);
    assert!(matches!(stage.qemu.find_guest(&other).await.unwrap(), Guest::Foreign(_)));
    assert_eq!(stage.qemu.delete_guest(&other).await.unwrap_err().kind, FaultKind::Refused);
    assert_eq!(stage.qemu.power(&other, PowerWish::On).await.unwrap_err().kind, FaultKind::Refused);
    assert_eq!(stage.qemu.create_guest(&other, &stage.spec(8)).await.unwrap_err().kind, FaultKind::Refused);
    std::fs::create_dir(stage.state().join("guests/s9")).unwrap();
    assert!(matches!(stage.qemu.find_guest(&stage.guest(9)).await.unwrap(), Guest::Foreign(_)));
    assert_eq!(stage.qemu.inventory().await.unwrap().leftovers, ["guests/s9"]);
    std::fs::remove_dir(stage.state().join("guests/s9")).unwrap();
    let mut outside = guest.clone();
    outside.name = "../s7".into();
    assert!(stage.qemu.find_guest(&outside).await.is_err());

    let mut config = stage.config.clone();
    config.installation = model::ids::InstallationId(uuid::Uuid::new_v4());
    assert_eq!(provider_qemu::Qemu::open(config).await.unwrap_err().kind, FaultKind::Refused);
    stage.close().await;
}

#[tokio::test]
async fn a_killed_qemu_is_seen_as_stopped_and_starts_again() {
    let stage = Stage::new(USER).await.with_image().await;
    let guest = stage.create(10).await;
    stage.power(&guest, PowerWish::On).await;
    let process = stage.process(&guest).await;
    run("kill", &["-9", &process.to_string()]).await;
    until("the guest is seen as stopped", Duration::from_secs(5), async || !stage.running(&guest).await).await;
    // Its number may by now belong to somebody else: ours, for instance.
    let pidfile = stage.state().join("guests/s10/run/pid");
    std::fs::write(&pidfile, std::process::id().to_string()).unwrap();
    assert!(!stage.running(&guest).await);
    stage.power(&guest, PowerWish::Off).await;
    stage.power(&guest, PowerWish::On).await;
    assert!(stage.running(&guest).await);
    stage.close().await;
}

#[tokio::test]
async fn interrupted_work_is_cleared_away() {
    let mut stage = Stage::new(USER).await.with_image().await;
    let guests = stage.state().join("guests");
    std::fs::create_dir(guests.join(".new-s11")).unwrap();
    std::fs::create_dir(guests.join(".gone-s12")).unwrap();
    std::fs::write(guests.join(".gone-s12/disk-1.qcow2"), "x").unwrap();
    assert_eq!(stage.qemu.find_guest(&stage.guest(11)).await.unwrap(), Guest::Absent, "nobody is at it");
    assert_eq!(stage.qemu.inventory().await.unwrap().leftovers.len(), 2);
    stage.restart().await;
    assert_eq!(names(&guests), Vec::<String>::new());
    std::fs::create_dir(guests.join(".new-s11")).unwrap();
    let guest = stage.create(11).await;
    assert!(!stage.running(&guest).await);
    stage.close().await;
}

#[tokio::test]
async fn resources_change_while_stopped() {
    let stage = Stage::new(USER).await.with_image().await;
    let guest = stage.create(13).await;
    let larger = Resources { vcpus: 2, memory_mib: 96, disk_gb: 2 };
    stage.power(&guest, PowerWish::On).await;
    assert_eq!(stage.qemu.resize_guest(&guest, &larger).await.unwrap_err().kind, FaultKind::Refused);
    stage.power(&guest, PowerWish::Off).await;
    stage.qemu.resize_guest(&guest, &larger).await.unwrap();
    stage.qemu.resize_guest(&guest, &larger).await.unwrap();
    assert_eq!(stage.seen(&guest).await.resources, larger);
    let disk = stage.state().join("guests/s13/disk-1.qcow2");
    let info = run("qemu-img", &["info", "--output=json", disk.to_str().unwrap()]).await;
    assert!(info.contains(&format!("\"virtual-size\": {}", 2_u64 << 30)), "{info}");
    let smaller = Resources { disk_gb: 1, ..larger };
    assert_eq!(stage.qemu.resize_guest(&guest, &smaller).await.unwrap_err().kind, FaultKind::Refused);
    stage.power(&guest, PowerWish::On).await;
    let process = stage.process(&guest).await;
    let arguments = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap();
    assert!(arguments.contains("size=96M"));
    stage.close().await;
}

#[tokio::test]
async fn the_screen_and_the_console_can_be_read() {
    let stage = Stage::new(USER).await.with_image().await;
    let guest = stage.create(14).await;
    assert_eq!(stage.qemu.screenshot(&guest).await.unwrap_err().kind, FaultKind::Refused);
    assert_eq!(stage.qemu.console_log(&guest, 100).await.unwrap(), b"");
    stage.power(&guest, PowerWish::On).await;
    let picture = stage.qemu.screenshot(&guest).await.unwrap();
    assert!(picture.starts_with(b"\x89PNG\r\n"));
    assert!(stage.qemu.console_log(&guest, 100).await.unwrap().len() <= 100);
    stage.close().await;
}

#[tokio::test]
async fn the_seed_is_what_cloud_init_reads() {
    let stage = Stage::new(USER).await.with_image().await;
    let guest = stage.create(15).await;
    let seed = stage.state().join("guests/s15/seed-1.img");
    assert_eq!(std::fs::metadata(&seed).unwrap().permissions().mode() & 0o777, 0o600);
    let path = seed.to_str().unwrap();
    assert!(run("mdir", &["-i", path, "::"]).await.contains("Volume in drive : is CIDATA"));
    assert_eq!(run("mtype", &["-i", path, "::user-data"]).await, "#cloud-config\n# secret\n");
    assert_eq!(run("mtype", &["-i", path, "::network-config"]).await, "version: 2\n");
    let other = Seed { meta_data: "instance-id: again\n".into(), ..stage.spec(15).seed };
    stage.qemu.reseed_guest(&guest, &other).await.unwrap();
    stage.qemu.reseed_guest(&guest, &other).await.unwrap();
    let second = stage.state().join("guests/s15/seed-2.img");
    assert_eq!(run("mtype", &["-i", second.to_str().unwrap(), "::meta-data"]).await, "instance-id: again\n");
    assert!(!seed.exists() && !stage.state().join("guests/s15/seed-3.img").exists());
    stage.close().await;
}

#[tokio::test]
async fn snapshots_stand_alone_and_rebuild_happens_once() {
    let stage = Stage::new(USER).await.with_image().await;
    let guest = stage.create(16).await;
    let (cold, live) = (stage.image(101), stage.image(102));
    let disk = stage.state().join("guests/s16/disk-1.qcow2");
    run("qemu-io", &["-f", "qcow2", "-c", "write -P 0x5a 1M 1M", disk.to_str().unwrap()]).await;
    stage.done(stage.qemu.snapshot_guest(&guest, &cold).await.unwrap()).await.unwrap();
    stage.power(&guest, PowerWish::On).await;
    stage.done(stage.qemu.snapshot_guest(&guest, &live).await.unwrap()).await.unwrap();
    assert_eq!(stage.qemu.snapshot_guest(&guest, &live).await.unwrap(), Begun::Done);
    for image in [cold, live] {
        assert!(stage.qemu.find_image(&image).await.unwrap().unwrap().stored_bytes >= 1 << 20);
        assert_eq!(stage.qemu.ensure_image(&image, &ImageSource::Snapshot).await.unwrap(), Begun::Done);
        let path = stage.state().join(format!("images/{}-{}.qcow2", image.installation, image.image));
        let path = path.to_str().unwrap();
        assert!(!run("qemu-img", &["info", path]).await.contains("backing file"));
        run("qemu-io", &["-r", "-f", "qcow2", "-c", "read -P 0x5a 1M 1M", path]).await;
    }
    let spec = provider::GuestSpec { image: live, ..stage.spec(16) };
    assert_eq!(stage.qemu.rebuild_guest(&guest, &spec, "t1").await.unwrap_err().kind, FaultKind::Refused);
    stage.power(&guest, PowerWish::Off).await;
    stage.qemu.rebuild_guest(&guest, &spec, "t1").await.unwrap();
    assert_eq!(stage.seen(&guest).await.rebuilt.as_deref(), Some("t1"));
    let second = stage.state().join("guests/s16/disk-2.qcow2");
    assert!(second.exists() && !disk.exists());
    run("qemu-io", &["-f", "qcow2", "-c", "write -P 1 2M 1M", second.to_str().unwrap()]).await;
    stage.qemu.rebuild_guest(&guest, &spec, "t1").await.unwrap();
    run("qemu-io", &["-f", "qcow2", "-c", "read -P 1 2M 1M", second.to_str().unwrap()]).await;
    // The images go, the guest that was made from one stays whole.
    for image in [cold, live] {
        stage.qemu.delete_image(&image).await.unwrap();
        assert_eq!(stage.qemu.find_image(&image).await.unwrap(), None);
    }
    stage.restart_guest(&guest).await;
    run("qemu-io", &["-r", "-U", "-f", "qcow2", "-c", "read -P 0x5a 1M 1M", second.to_str().unwrap()]).await;
    stage.close().await;
}

#[tokio::test]
async fn many_at_once_and_quickly() {
    let stage = Stage::new(USER).await.with_image().await;
    let mut times = Vec::new();
    for server in 20..27 {
        let start = Instant::now();
        let guest = stage.create(server).await;
        let made = start.elapsed();
        stage.power(&guest, PowerWish::On).await;
        times.push((start.elapsed(), made));
    }
    times.sort();
    let (whole, made) = times[times.len() / 2];
    println!("create_guest {made:?}, with power on until QEMU answers {whole:?} (median of {})", times.len());
    let ports: std::collections::HashSet<_> =
        stage.qemu.inventory().await.unwrap().guests.into_iter().map(|seen| seen.reached.ssh).collect();
    assert_eq!(ports.len(), 7);
    let creates = (30..34).map(|server| stage.create(server));
    let guests = futures(creates.collect()).await;
    let again = futures((0..4).map(|_| stage.create(30)).collect()).await;
    assert_eq!((guests.len(), again.len()), (4, 4));
    stage.close().await;
}

async fn futures<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut pinned: Vec<_> = all.into_iter().map(Box::pin).collect();
    let mut results: Vec<Option<T>> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, result) in pinned.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *result = Some(value);
            }
        }
        if results.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}

impl Stage {
    async fn restart_guest(&self, guest: &provider::GuestRef) {
        self.power(guest, PowerWish::Off).await;
        self.power(guest, PowerWish::On).await;
        assert!(self.running(guest).await);
    }
}
