//! A simulated cluster with a provider before it, and the engine's habit of asking again after every task.

use model::ids::{ImageId, InstallationId, ServerId, VpcId};
use provider::{
    Begun, Checksum, Fault, Guest, GuestKind, GuestPower, GuestRef, GuestSpec, ImageRef, ImageSource, Interface,
    InterfaceRole, Mark, NetworkRef, PlainSeed, PowerWish, Provider, Resources, Result, Seed, Sighting, TaskState,
};
use provider_proxmox::{Config, Fingerprint, Proxmox, Secret};
use simulator::{ClockKind, GuestSeen, Pace, Scenario, Simulator, TOKEN_SECRET};
use std::net::Ipv4Addr;
use std::sync::Mutex;

/// No piece of work asks more often than this.
const TURNS: usize = 60;
pub(crate) const URL: &str = "https://images.example/debian-13.qcow2";

pub(crate) struct Stage {
    pub(crate) simulator: Simulator,
    pub(crate) proxmox: Proxmox,
    pub(crate) config: Config,
    /// What passed by and was tried again, for whoever wonders why nothing comes of it.
    passed: Mutex<Vec<Fault>>,
}

pub(crate) fn installation(n: u128) -> InstallationId {
    InstallationId(uuid::Uuid::from_u128(n))
}

/// Three nodes on which nothing lasts.
pub(crate) fn scenario() -> Scenario {
    let mut scenario = Scenario::cluster_of(3).with_clock(ClockKind::Instant);
    scenario.pace = Pace::none();
    scenario.pools = vec!["cairn".to_owned()];
    scenario
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::of(scenario(), |_| {}).await
    }

    /// With disks on the storage that all nodes share.
    pub(crate) async fn shared() -> Self {
        Self::of(scenario(), |config| config.storage = "shared".to_owned()).await
    }

    pub(crate) async fn of(scenario: Scenario, adjust: impl FnOnce(&mut Config)) -> Self {
        let simulator = Simulator::start(scenario).await.unwrap();
        let secret = Secret::new(TOKEN_SECRET);
        let mut config = Config::new(installation(1), simulator.url.clone(), "root@pam!cairn", secret);
        config.entries = simulator.entries.iter().map(|entry| entry.url.clone()).collect();
        let pinned = simulator.entries.iter().map(|entry| Fingerprint::parse(&entry.fingerprint_sha256).unwrap());
        config.fingerprints = pinned.collect();
        adjust(&mut config);
        let proxmox = Proxmox::new(config.clone()).unwrap();
        Self { simulator, proxmox, config, passed: Mutex::default() }
    }

    /// The region's disks go to another storage from now on.
    pub(crate) fn put_disks_on(&mut self, storage: &str) {
        self.config.storage = storage.to_owned();
        self.proxmox = Proxmox::new(self.config.clone()).unwrap();
    }

    /// The storage that a guest's disk is on.
    pub(crate) fn disk_storage(&self, guest: &GuestRef) -> String {
        let config = self.really(guest).unwrap().config;
        config["scsi0"].split(':').next().unwrap().to_owned()
    }

    pub(crate) fn image(&self, n: i32) -> ImageRef {
        ImageRef { installation: self.config.installation, image: ImageId(n) }
    }

    /// Server `n` on host `pve<host>`.
    pub(crate) fn guest(&self, n: i32, host: u32) -> GuestRef {
        let mark = Mark { installation: self.config.installation, server: ServerId(n) };
        GuestRef { host: format!("pve{host}"), name: (100_000 + n).to_string(), mark }
    }

    pub(crate) async fn fetch(&self, image: &ImageRef) {
        self.until(|| async { self.proxmox.ensure_image(image, &source()).await }).await.unwrap();
        assert!(self.proxmox.find_image(image).await.unwrap().is_some());
    }

    /// Makes a guest as the engine does: looks, acts, follows, looks again.
    pub(crate) async fn create(&self, guest: &GuestRef, spec: &GuestSpec) -> Sighting {
        self.try_create(guest, spec).await.unwrap()
    }

    pub(crate) async fn try_create(&self, guest: &GuestRef, spec: &GuestSpec) -> Result<Sighting> {
        for _ in 0..TURNS {
            match self.proxmox.find_guest(guest).await? {
                Guest::Ours(seen) => return Ok(*seen),
                Guest::Foreign(whose) => return Err(Fault::refused(whose)),
                Guest::Forming => {}
                Guest::Absent | Guest::Unfinished => {
                    let begun = self.proxmox.create_guest(guest, spec).await;
                    self.settle(begun).await?;
                }
            }
        }
        panic!("guest {} was not made within {TURNS} turns: {:?}", guest.name, self.passed.lock().unwrap().last())
    }

    /// Deletes it as the engine does.
    pub(crate) async fn delete(&self, guest: &GuestRef) {
        for _ in 0..TURNS {
            match self.proxmox.find_guest(guest).await.unwrap() {
                Guest::Absent => return,
                Guest::Foreign(whose) => panic!("{whose}"),
                Guest::Forming => {}
                Guest::Ours(_) | Guest::Unfinished => {
                    let begun = self.proxmox.delete_guest(guest).await;
                    self.settle(begun).await.unwrap();
                }
            }
        }
        panic!("guest {} is still there after {TURNS} turns", guest.name)
    }

    pub(crate) async fn ours(&self, guest: &GuestRef) -> Sighting {
        match self.proxmox.find_guest(guest).await.unwrap() {
            Guest::Ours(seen) => *seen,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn power(&self, guest: &GuestRef, wish: PowerWish) {
        let begun = self.proxmox.power(guest, wish).await;
        self.settle(begun).await.unwrap();
    }

    /// Asks for a change of power until it is seen.
    pub(crate) async fn until_seen(&self, guest: &GuestRef, wish: PowerWish, goal: GuestPower) {
        for _ in 0..TURNS {
            if self.ours(guest).await.power == goal {
                return;
            }
            let begun = self.proxmox.power(guest, wish).await;
            self.settle(begun).await.unwrap();
        }
        panic!("never {goal:?}: {:?}", self.passed.lock().unwrap().last())
    }

    /// Asks until the answer is that it is done.
    pub(crate) async fn until<F: Future<Output = Result<Begun>>>(&self, ask: impl Fn() -> F) -> Result<()> {
        for _ in 0..TURNS {
            match ask().await {
                Ok(Begun::Done) => return Ok(()),
                begun => self.settle(begun).await?,
            }
        }
        panic!("not done within {TURNS} turns: {:?}", self.passed.lock().unwrap().last())
    }

    /// Follows a task. What is passing passes; whether it worked is seen by looking.
    pub(crate) async fn settle(&self, begun: Result<Begun>) -> Result<()> {
        let task = match begun {
            Ok(Begun::Task(task)) => task,
            Ok(Begun::Done) => return Ok(()),
            Err(fault) if again(&fault) => {
                self.passed.lock().unwrap().push(fault);
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        loop {
            match self.proxmox.task(&task).await? {
                TaskState::Running { .. } => tokio::task::yield_now().await,
                TaskState::Done | TaskState::Vanished => return Ok(()),
                TaskState::Failed(fault) if again(&fault) => {
                    self.passed.lock().unwrap().push(fault);
                    return Ok(());
                }
                TaskState::Failed(fault) => return Err(fault),
            }
        }
    }

    /// What the cluster really has under a guest's number.
    pub(crate) fn really(&self, guest: &GuestRef) -> Option<GuestSeen> {
        self.simulator.control.guests().into_iter().find(|seen| seen.vmid.to_string() == guest.name)
    }

    /// Volumes that belong to a number, or whose name holds the text.
    pub(crate) fn volumes(&self, part: &str) -> Vec<String> {
        let volumes = self.simulator.control.volumes().into_iter().map(|volume| volume.volid);
        volumes.filter(|volid| volid.contains(part)).collect()
    }

    /// How many requests of a method to paths with this end were made.
    pub(crate) fn asked(&self, method: &str, end: &str) -> usize {
        let calls = self.simulator.control.calls();
        calls.iter().filter(|call| call.method == method && call.path.ends_with(end)).count()
    }
}

impl Drop for Stage {
    /// Every request of every test was one that the schema takes: the simulator holds them to it, and refuses with 400 or
    /// 501. With 400 it also says that a task is not there, or that an address or a guest's number is there already.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let calls = self.simulator.control.calls().into_iter();
        let malformed = calls.filter(|call| {
            let says_more =
                ["/tasks/", "/firewall/ipset", "/cluster/nextid"].iter().any(|part| call.path.contains(part));
            call.status == 501 || call.status == 400 && !says_more
        });
        assert_eq!(malformed.collect::<Vec<_>>(), []);
    }
}

fn again(fault: &Fault) -> bool {
    matches!(fault.kind, provider::FaultKind::Transient | provider::FaultKind::Unknown)
}

pub(crate) fn source() -> ImageSource {
    ImageSource::Url { url: URL.to_owned(), checksum: Some(Checksum::Sha256("ab".repeat(32))) }
}

pub(crate) fn interface(role: InterfaceRole, network: NetworkRef, last: u8) -> Interface {
    let gateway = (role == InterfaceRole::Public).then_some(Ipv4Addr::new(198, 18, 0, 1));
    let network_part = if role == InterfaceRole::Public { [198, 18, 0] } else { [10, 116, 0] };
    let [a, b, c] = network_part;
    Interface {
        role,
        network,
        mac: [0x02, 0xca, 0x12, 0, 0, last],
        address: Ipv4Addr::new(a, b, c, last),
        prefix: 24,
        gateway,
    }
}

pub(crate) fn vpc(n: u128) -> VpcId {
    VpcId(uuid::Uuid::from_u128(n))
}

pub(crate) fn seed(user_data: Option<&str>) -> Seed {
    Seed {
        user_data: user_data.unwrap_or("#cloud-config\n").to_owned(),
        meta_data: "instance-id: i-1\n".to_owned(),
        network_config: "version: 2\n".to_owned(),
        plain: PlainSeed {
            host_name: "web-1".to_owned(),
            user: "root".to_owned(),
            keys: vec![
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfGmmiwp1Y2u8v3yRk+Gr3B1bXbq2mXhyB0pTtZ3lK me@home".to_owned(),
            ],
            resolvers: vec![Ipv4Addr::new(9, 9, 9, 9)],
            has_user_data: user_data.is_some(),
        },
    }
}

pub(crate) fn spec(image: ImageRef) -> GuestSpec {
    GuestSpec {
        gpus: None,
        kind: GuestKind::Machine,
        source: None,
        title: "web 1".to_owned(),
        image,
        resources: Resources { vcpus: 2, memory_mib: 2048, disk_gb: 20 },
        interfaces: vec![interface(InterfaceRole::Public, NetworkRef::Public("public".to_owned()), 5)],
        seed: seed(None),
    }
}
