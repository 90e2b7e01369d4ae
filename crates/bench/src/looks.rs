//! `bench look`: the observer's own code, looking at the cluster again and again, alone in a process.

use crate::cloud_process::CONNECTIONS;
use crate::ground::{Place, REGION};
use crate::processes::Cpu;
use crate::simulated::Cluster;
use anyhow::{Context, Result, ensure};
use cloud::Site;
use model::ids::RegionSlug;
use provider::Provider;
use provider_proxmox::{Config, Fingerprint, Proxmox, Secret};
use simulator::TOKEN_SECRET;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;
use store::Store;
use tokio::process::Command;

const LOOKS: u32 = 20;

/// What to look at.
#[derive(clap::Args)]
pub(crate) struct Look {
    /// Where the database is.
    database: String,
    /// The cluster's URL.
    #[arg(long)]
    cluster: String,
    /// Of its certificate.
    #[arg(long)]
    fingerprint: String,
    /// The server of the database, whose processor time is counted, too.
    #[arg(long)]
    postgres: i32,
}

/// Prints how many guests were seen, and milliseconds a look: on the clock, of our processor time, of PostgreSQL's.
pub(crate) async fn run(look: &Look) -> Result<()> {
    let store = Store::connect(&look.database, CONNECTIONS).await?;
    let installation = store::tenancy::installation(&store).await?;
    let config = Config::new(installation, &look.cluster, "root@pam!cairn", Secret::new(TOKEN_SECRET));
    let config = Config { fingerprints: vec![fingerprint(&look.fingerprint)?], ..config };
    let cluster: Arc<dyn Provider> = Arc::new(Proxmox::new(config).map_err(|fault| anyhow::anyhow!("{fault}"))?);
    let region = RegionSlug(REGION.to_owned());
    let providers = Arc::new([(region.clone(), cluster)].into_iter().collect());
    let site = Site { store, installation, providers };

    // The first one connects, asks hosts for their versions, and writes down what the last steps have changed.
    once(&site, &region).await?;
    let own = i32::try_from(std::process::id())?;
    let (ours, postgres, began) = (Cpu::start(&[own]), Cpu::start(&[look.postgres]), Instant::now());
    let mut guests = 0;
    for _ in 0..LOOKS {
        guests = once(&site, &region).await?;
    }
    let each = began.elapsed().as_secs_f64() * 1000.0 / f64::from(LOOKS);
    let looks = usize::try_from(LOOKS)?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{guests} {each} {} {}", ours.ms_per(looks), postgres.ms_per(looks))?;
    Ok(stdout.flush()?)
}

async fn once(site: &Site, region: &RegionSlug) -> Result<usize> {
    let scan = cloud::server::observe::region(site, region).await.map_err(|fault| anyhow::anyhow!("{fault:?}"))?;
    ensure!(scan.missing == 0, "{} guests are not seen", scan.missing);
    Ok(scan.guests)
}

fn fingerprint(text: &str) -> Result<Fingerprint> {
    Fingerprint::parse(text).map_err(|fault| anyhow::anyhow!("{fault}"))
}

/// What one look costs, in milliseconds.
pub(crate) struct Looked {
    /// Guests of ours that it saw.
    pub(crate) guests: usize,
    /// On the clock.
    pub(crate) whole: f64,
    /// Processor time of the observer.
    pub(crate) ours: f64,
    /// Processor time of PostgreSQL.
    pub(crate) postgres: f64,
}

/// Starts it and reads what it says.
pub(crate) async fn measure(place: &Place, cluster: &Cluster, postgres: i32) -> Result<Looked> {
    let output = Command::new(std::env::current_exe()?)
        .args(["look", &place.url, "--cluster", &cluster.url, "--fingerprint", &cluster.fingerprint])
        .args(["--postgres", &postgres.to_string()])
        .kill_on_drop(true)
        .output()
        .await?;
    let complaint = || format!("the observer failed: {}", String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), complaint());
    let said = String::from_utf8_lossy(&output.stdout);
    let mut words = said.split_whitespace();
    let mut next = || words.next().with_context(complaint);
    Ok(Looked { guests: next()?.parse()?, whole: next()?.parse()?, ours: next()?.parse()?, postgres: next()?.parse()? })
}
