//! A state directory of its own for each test, and nothing left of it afterwards.

use model::ids::{ImageId, InstallationId, ServerId};
use provider::{
    Begun, Fault, Guest, GuestKind, GuestPower, GuestRef, GuestSpec, ImageRef, ImageSource, Interface, InterfaceRole,
    Mark, NetworkKind, NetworkRef, NetworkSpec, PlainSeed, PowerWish, Provider, Resources, Seed, Sighting, TaskState,
};
use provider_qemu::{Config, Networking, Qemu};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) const USER: Networking = Networking::User;

pub(crate) struct Stage {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) config: Config,
    pub(crate) qemu: Qemu,
    pub(crate) installation: InstallationId,
}

impl Drop for Stage {
    /// A failed test leaves no guest running.
    fn drop(&mut self) {
        for process in processes_of(self.state()).into_iter().filter_map(|number| i32::try_from(number).ok()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

impl Stage {
    pub(crate) async fn new(networking: Networking) -> Self {
        let directory = tempfile::Builder::new().prefix("cairn-qemu-").tempdir().unwrap();
        // Guests' users pass through.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(directory.path(), open).unwrap();
        let installation = InstallationId(uuid::Uuid::new_v4());
        let mut config = Config::new(installation, directory.path().join("state"), "here");
        config.networking = networking;
        let qemu = Qemu::open(config.clone()).await.unwrap();
        let stage = Self { directory, config, qemu, installation };
        stage.qemu.ensure_network("here", &stage.network()).await.unwrap();
        stage
    }

    pub(crate) fn state(&self) -> &Path {
        &self.config.state_dir
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What a killed daemon leaves behind, opened by the next one.
    pub(crate) async fn restart(&mut self) {
        self.qemu = Qemu::open(self.config.clone()).await.unwrap();
    }

    pub(crate) fn network(&self) -> NetworkSpec {
        NetworkSpec {
            network: NetworkRef::Public("public".into()),
            kind: NetworkKind::PublicNat,
            gateway: Some(Ipv4Addr::new(10, 77, 0, 1)),
            base: Ipv4Addr::new(10, 77, 0, 0),
            prefix: 24,
        }
    }

    pub(crate) fn guest(&self, server: i32) -> GuestRef {
        let mark = Mark { installation: self.installation, server: ServerId(server) };
        GuestRef { host: "here".into(), name: format!("s{server}"), mark }
    }

    pub(crate) fn image(&self, image: i32) -> ImageRef {
        ImageRef { installation: self.installation, image: ImageId(image) }
    }

    pub(crate) fn spec(&self, server: i32) -> GuestSpec {
        let number = u8::try_from(server).unwrap();
        GuestSpec {
            kind: GuestKind::Machine,
            source: None,
            title: "web-1".into(),
            image: self.image(1),
            resources: Resources { vcpus: 1, memory_mib: 64, disk_gb: 1 },
            interfaces: vec![Interface {
                role: InterfaceRole::Public,
                network: NetworkRef::Public("public".into()),
                mac: [0x02, 0xca, 0, 0, 0, number],
                address: Ipv4Addr::new(10, 77, 0, number),
                prefix: 24,
                gateway: Some(Ipv4Addr::new(10, 77, 0, 1)),
            }],
            seed: Seed {
                user_data: "#cloud-config\n# secret\n".into(),
                meta_data: format!("instance-id: s{server}\n"),
                network_config: "version: 2\n".into(),
                plain: PlainSeed::default(),
            },
            gpus: None,
        }
    }

    /// An empty disk as image 1.
    pub(crate) async fn with_image(self) -> Self {
        let disk = self.file("empty.qcow2");
        run("qemu-img", &["create", "-q", "-f", "qcow2", disk.to_str().unwrap(), "64M"]).await;
        self.ensure_file(1, &disk).await.unwrap();
        self
    }

    pub(crate) async fn ensure_file(&self, image: i32, path: &Path) -> Result<(), Fault> {
        let source = ImageSource::File { path: path.to_str().unwrap().into(), checksum: None };
        let begun = self.qemu.ensure_image(&self.image(image), &source).await?;
        self.done(begun).await
    }

    /// Follows a task to its end.
    pub(crate) async fn done(&self, begun: Begun) -> Result<(), Fault> {
        let Begun::Task(task) = begun else { return Ok(()) };
        let start = Instant::now();
        loop {
            match self.qemu.task(&task).await? {
                TaskState::Done => return Ok(()),
                TaskState::Failed(fault) => return Err(fault),
                TaskState::Vanished => panic!("the task vanished"),
                TaskState::Running { .. } if start.elapsed() > Duration::from_secs(120) => panic!("the task hangs"),
                TaskState::Running { .. } => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    pub(crate) async fn create(&self, server: i32) -> GuestRef {
        let guest = self.guest(server);
        let begun = self.qemu.create_guest(&guest, &self.spec(server)).await.unwrap();
        self.done(begun).await.unwrap();
        guest
    }

    pub(crate) async fn power(&self, guest: &GuestRef, wish: PowerWish) {
        let begun = self.qemu.power(guest, wish).await.unwrap();
        self.done(begun).await.unwrap();
    }

    pub(crate) async fn seen(&self, guest: &GuestRef) -> Sighting {
        match self.qemu.find_guest(guest).await.unwrap() {
            Guest::Ours(sighting) => *sighting,
            other => panic!("{} is {other:?}", guest.name),
        }
    }

    pub(crate) async fn running(&self, guest: &GuestRef) -> bool {
        self.seen(guest).await.power == GuestPower::Running
    }

    /// The number of the guest's QEMU process.
    pub(crate) async fn process(&self, guest: &GuestRef) -> u32 {
        let boot = self.seen(guest).await.boot.unwrap();
        boot.split('-').next().unwrap().parse().unwrap()
    }

    pub(crate) async fn delete(&self, guest: &GuestRef) {
        let begun = self.qemu.delete_guest(guest).await.unwrap();
        self.done(begun).await.unwrap();
        assert_eq!(self.qemu.find_guest(guest).await.unwrap(), Guest::Absent);
    }

    /// Deletes everything and looks that nothing is left.
    pub(crate) async fn close(self) {
        for sighting in self.qemu.inventory().await.unwrap().guests {
            self.delete(&sighting.guest).await;
        }
        self.qemu.delete_network("here", &self.network().network).await.unwrap();
        let inventory = self.qemu.inventory().await.unwrap();
        assert_eq!(inventory.leftovers, Vec::<String>::new());
        for left in ["guests", "networks", "downloads"] {
            assert_eq!(names(&self.state().join(left)), Vec::<String>::new(), "{left}");
        }
        assert_eq!(processes_of(self.state()), Vec::<u32>::new());
        let groups: Vec<_> = ["cpu", "memory", "."].iter().map(|kind| Path::new("/sys/fs/cgroup").join(kind)).collect();
        let groups = groups.iter().filter(|group| group.is_dir()).flat_map(|group| names(group));
        // Other tests have theirs; the name is the beginning of the installation's hash.
        let hash = hex::encode(&<sha2::Sha256 as sha2::Digest>::digest(format!("{}\0", self.installation))[..4]);
        assert_eq!(groups.filter(|name| name.ends_with(&hash)).count(), 0, "control groups");
    }
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Processes whose arguments name this directory.
pub(crate) fn processes_of(directory: &Path) -> Vec<u32> {
    let wanted = directory.to_str().unwrap();
    let numbers = names(Path::new("/proc")).into_iter().filter_map(|name| name.parse().ok());
    let names_it = |number: &u32| {
        std::fs::read(format!("/proc/{number}/cmdline"))
            .is_ok_and(|text| String::from_utf8_lossy(&text).contains(wanted))
    };
    numbers.filter(names_it).collect()
}

/// Runs a program of the host that must succeed, and returns what it printed.
pub(crate) async fn run(program: &str, arguments: &[&str]) -> String {
    let output = tokio::process::Command::new(program).args(arguments).output().await.unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, limit: Duration, mut so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !so().await {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn is_root() -> bool {
    nix_is_root()
}

fn nix_is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0
}
