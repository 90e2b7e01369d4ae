//! The region `demo` of `cairnd dev`: a simulated Proxmox VE cluster of four nodes, spoken to as any other over HTTPS. What
//! stands on it lives as long as the process.

use crate::files;
use crate::settings::{Demo, Settings};
use anyhow::{Context, Result};
use model::catalogue::Catalogue;
use simulator::{Entries, MappingSpec, NicSpec, NodeSpec, Scenario, Simulator, StorageSpec, TOKEN_SECRET};
use std::path::Path;

const GIB: u64 = 1 << 30;
/// A directory on an old disk, and what guests' disks are on.
const FILES: &str = "sata";
const DISKS: &str = "nvme";
/// The mapping of the GPUs that one of the nodes has.
const GPUS: &str = "a100-simulated";
const SATA_BYTES_PER_SECOND: u64 = 400_000_000;

/// Nodes: name, processors, GiB of memory, and the speed of the network card in Mbit/s.
const NODES: [(&str, u32, u64, u32); 4] = [
    ("sim-node-1", 32, 256, 25_000),
    ("sim-node-2", 8, 32, 2_500),
    ("sim-node-3", 16, 128, 10_000),
    ("sim-node-4", 8, 32, 2_500),
];

/// The simulated cluster, which runs until this is dropped.
pub(crate) struct Demonstration(#[expect(dead_code, reason = "kept running")] Option<Simulator>);

impl Demonstration {
    /// Starts it if it is wanted; with it, the catalogue in which its region stands.
    pub(crate) async fn offer(settings: &Settings, mut catalogue: Catalogue) -> Result<(Self, Catalogue)> {
        match settings.demo {
            Demo::Off => return Ok((Self(None), catalogue)),
            Demo::Beside => {}
            Demo::Alone => catalogue.regions.clear(),
        }
        let simulator = Simulator::start(scenario()).await.context("the simulated cluster did not start")?;
        let secret = settings.data_dir.join("demo-cluster-token");
        files::write(&secret, TOKEN_SECRET.as_bytes(), files::PRIVATE)?;
        let offered = Catalogue::parse(&entry(&simulator, &secret)).context("BUG: the demo region's entry is wrong")?;
        catalogue.regions.extend(offered.regions);
        catalogue.sizes.extend(offered.sizes);
        catalogue.images.extend(offered.images);
        Ok((Self(Some(simulator)), catalogue))
    }
}

fn scenario() -> Scenario {
    let node = |(name, cpus, memory, megabits): (&str, u32, u64, u32)| NodeSpec {
        name: name.to_owned(),
        cpus,
        memory: memory * GIB,
        nics: vec![NicSpec { name: "eno1".to_owned(), megabits, bridge: Some("vmbr0".to_owned()) }],
        ..NodeSpec::default()
    };
    Scenario {
        cluster: "cairn-demo-simulated".to_owned(),
        entries: Entries::EveryNode,
        nodes: NODES.into_iter().map(node).collect(),
        storages: vec![
            StorageSpec {
                speed: SATA_BYTES_PER_SECOND,
                ..StorageSpec::new(FILES, "dir", "iso,vztmpl,backup,import,snippets", 2000 * GIB)
            },
            StorageSpec::new(DISKS, "lvmthin", "images,rootdir", 1000 * GIB),
        ],
        images: Vec::new(),
        pools: vec!["cairn".to_owned()],
        mappings: vec![MappingSpec::new(GPUS, &[("sim-node-3", 2)])],
        ..Scenario::cluster_of(NODES.len())
    }
}

/// Its entry in the catalogue. The images are as simulated as the cluster that fetches it.
fn entry(simulator: &Simulator, secret: &Path) -> String {
    let listed = |values: Vec<&str>| values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ");
    let entries = listed(simulator.entries.iter().map(|entry| entry.url.as_str()).collect());
    let fingerprints = listed(simulator.entries.iter().map(|entry| entry.fingerprint_sha256.as_str()).collect());
    let zeros = "0".repeat(64);
    format!(
        r#"
[[region]]
slug = "demo"
name = "Demo (a simulated Proxmox VE cluster)"
provider = "proxmox"
vpc_range = "10.124.0.0/16"

[region.settings]
entries = [{entries}]
fingerprints = [{fingerprints}]
token_id = "root@pam!cairn"
token_secret_file = {secret:?}
storage = "{DISKS}"
file_storage = "{FILES}"
high_availability = true
gpu_mappings = ["{GPUS}"]

[[region.pool]]
name = "public"
kind = "public_bridged"
# A range for documentation (RFC 5737) would be too small; this one is for benchmarks (RFC 2544).
range = "198.19.0.0/20"

[[size]]
slug = "gpu-a100-simulated"
description = "GPU (simulated)"
vcpus = 4
memory_mib = 16384
disk_gb = 80
transfer_tb = 1
price_monthly = 900
price_hourly = 1.33929
regions = ["demo"]
gpu = {{ mapping = "{GPUS}", count = 1, model = "nvidia_a100", vram_gib = 80 }}

[[image]]
slug = "debian-12-simulated"
name = "12 (simulated)"
distribution = "Debian"
description = "For the simulated cluster of the region demo only."
url = "https://images.example.invalid/debian-12.qcow2"
checksum = "sha256:{zeros}"
min_disk_gb = 4
default_user = "debian"

[[image]]
slug = "debian-12-container-simulated"
name = "12 container (simulated)"
distribution = "Debian"
description = "For containers on the simulated cluster of the region demo only."
url = "https://images.example.invalid/debian-12.tar.zst"
checksum = "sha256:{zeros}"
min_disk_gb = 1
default_user = "root"
"#
    )
}
