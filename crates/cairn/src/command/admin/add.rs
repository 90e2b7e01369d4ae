//! `cairn admin region add`: from the address of a cluster to a region that carries servers, with everything that a
//! newcomer needs to know on the way.

use super::ask::Asker;
use super::findings::{judge, tell};
use super::policy::Policy;
use super::proxmox::{Cluster, Network, address, entry};
use super::{below, certificate, choice, get, secret};
use crate::client::Call;
use crate::document::Document;
use crate::failure::Result;
use crate::print::{Output, Shown};
use crate::session::Session;
use clap::{Args, ValueEnum};
use reqwest::Url;
use serde_json::{Map, Value};
use wire::admin::{Finding, ProviderSetup, Region, RegionCreate, RegionProbe, RegionTest, Severity};

/// Connect a cluster
///
/// Shows the certificate's fingerprint, the script that makes a token with the privileges that are needed and no
/// others, and the storages and bridges to choose from; looks whether everything is there, says exactly what is
/// missing, and connects the region when nothing is. What a flag says is not asked; where there is nobody to ask, what
/// is missing is an error that names the flag.
#[derive(Debug, Args)]
pub(super) struct AddArguments {
    /// What kind of cluster
    provider: Provider,
    /// Where it answers, such as https://pve1.example.org:8006; further nodes keep it reachable when that one is down
    #[arg(required_unless_present = "setup", value_name = "URL")]
    urls: Vec<String>,
    /// Print the script that makes the token for what the other flags name, and end
    #[arg(long)]
    setup: bool,
    /// The version of the cluster's software, for the script; as `pveversion` says it
    #[arg(long, value_name = "VERSION")]
    pve_version: Option<String>,
    /// What the region is called by programs; the first part of the host's name if not given
    #[arg(long)]
    slug: Option<String>,
    /// What the region is called by people
    #[arg(long)]
    name: Option<String>,
    /// Connect it although something has to be mended first, and let nobody make servers in it until then
    #[arg(long)]
    anyway: bool,
    /// Let nobody make servers in it until `region edit --available true`
    #[arg(long)]
    unavailable: bool,
    /// The range from which teams' own networks are cut
    #[arg(long, value_name = "RANGE")]
    vpc_range: Option<String>,
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    policy: Policy,
}

/// What can be connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Provider {
    /// Proxmox VE 8.4 and newer.
    Proxmox,
}

impl Provider {
    const fn word(self) -> &'static str {
        match self {
            Self::Proxmox => "proxmox",
        }
    }
}

impl Shown for ProviderSetup {
    const COLUMNS: &'static [&'static str] = &["PROVIDER"];

    fn row(&self) -> Vec<String> {
        vec![self.provider.clone()]
    }

    fn word(&self) -> String {
        self.provider.clone()
    }
}

/// A connection while it is being found out.
struct Draft {
    provider: Provider,
    settings: Map<String, Value>,
    secret: String,
    fingerprints: Vec<String>,
}

/// Connects a cluster.
pub(super) async fn run(mut arguments: AddArguments, session: &Session) -> Result<()> {
    if arguments.setup {
        return print_setup(&arguments, session).await;
    }
    let asker = Asker::look();
    let entries: Vec<Url> = arguments.urls.iter().map(|text| entry(text)).collect::<Result<_>>()?;
    let fingerprints = trusted(&arguments.cluster, &entries, session, asker).await?;
    if arguments.cluster.token_id.is_none() {
        prepare(&mut arguments, session, asker).await?;
    }
    let secret = secret::given(arguments.cluster.secret_file.as_deref(), asker)?;
    let mut settings = Map::from_iter([("entries".to_owned(), entries.iter().map(address).collect())]);
    arguments.cluster.write(&mut settings)?;
    let mut draft = Draft { provider: arguments.provider, settings, secret, fingerprints };
    choose(&mut draft, &mut arguments.cluster, session, asker).await?;
    if arguments.network.pool_range.is_none() {
        arguments.network.pool_range = public_range(session, asker)?;
    }
    let slug = slug(&arguments, &entries, asker)?;
    let test = look(&draft, &arguments, &slug, session, asker).await?;
    if !arguments.anyway {
        judge(&test, &slug).map_err(|failure| failure.suggest("again when it is mended, or --anyway"))?;
    }
    let available = test.passed && !arguments.unavailable;
    let region = create(draft, arguments, slug, available, session).await?;
    session.printer.one(&region)
}

/// The script for what is to be used. What is not said is as usual.
async fn setup(arguments: &AddArguments, session: &Session) -> Result<Document<ProviderSetup>> {
    let cluster = &arguments.cluster;
    let call = get(&[&"providers", &arguments.provider.word(), &"setup"])
        .query_if("token_id", cluster.token_id.as_ref())
        .query_if("storage", cluster.storage.as_ref())
        .query_if("file_storage", cluster.file_storage.as_ref())
        .query_if("bridge", cluster.bridge.as_ref())
        .query_if("version", arguments.pve_version.as_ref())
        .query_if("gpu_mappings", (!cluster.gpu_mappings.is_empty()).then(|| cluster.gpu_mappings.join(",")));
    session.client.one(&call, "setup").await
}

async fn print_setup(arguments: &AddArguments, session: &Session) -> Result<()> {
    let setup = setup(arguments, session).await?;
    match session.printer.output {
        Output::Table => session.printer.text(&format!("{}\n", setup.value.script.trim_end())),
        _ => session.printer.one(&setup),
    }
}

/// The certificates that are trusted: those of the flags, or else those that the entries show, once a person has
/// agreed.
async fn trusted(cluster: &Cluster, entries: &[Url], session: &Session, asker: Asker) -> Result<Vec<String>> {
    if !cluster.fingerprints.is_empty() {
        return cluster.pinned();
    }
    let mut trusted = Vec::new();
    for entry in entries {
        let shown = certificate::fingerprint(entry).await?;
        session.progress.say(&format!("{} shows a certificate with the SHA-256 fingerprint", address(entry)));
        session.progress.say(&format!("  {shown}"));
        session.progress.say("`pvenode cert info` on that node shows the same, unless somebody stands in between.");
        asker.agrees("Is that the one?", &format!("--fingerprint {shown}"))?;
        trusted.push(shown);
    }
    trusted.sort();
    trusted.dedup();
    Ok(trusted)
}

/// Shows a newcomer how to make the token: with rights for what the flags name, or what is usual, and with sight of what
/// else there is to choose from.
async fn prepare(arguments: &mut AddArguments, session: &Session, asker: Asker) -> Result<()> {
    const FLAG: &str = "--token-id USER@REALM!NAME; cairn admin region add proxmox --setup prints how to make one";
    let questions = [
        (&mut arguments.cluster.token_id, "Name of the token (user@realm!name)", "cairn@pve!cairn"),
        (&mut arguments.pve_version, "Version of Proxmox VE, as `pveversion` says it", "9.0"),
    ];
    for (answer, question, usual) in questions {
        if answer.is_none() {
            *answer = Some(asker.line(question, Some(usual), FLAG)?);
        }
    }
    session
        .progress
        .say("This makes the token, with the rights that are needed and no others. Read it, run it as root on");
    session.progress.say("any node, and note the secret that it prints; where the token is there already, go on.");
    show_setup(arguments, session).await
}

async fn show_setup(arguments: &AddArguments, session: &Session) -> Result<()> {
    session.progress.say("");
    for line in setup(arguments, session).await?.value.script.lines() {
        session.progress.say(&format!("    {line}"));
    }
    session.progress.say("");
    Ok(())
}

/// Chooses what no flag says from what the cluster has.
async fn choose(draft: &mut Draft, cluster: &mut Cluster, session: &Session, asker: Asker) -> Result<()> {
    let all = cluster.storage.is_some() && cluster.file_storage.is_some() && cluster.bridge.is_some();
    if all {
        return Ok(());
    }
    session.progress.say("looking at what the cluster has ...");
    let seen = draft.test(session).await?;
    let Some(offers) = &seen.offers else {
        // It was not even let in: there is nothing to choose from before that is mended.
        tell(&session.progress, &seen);
        judge(&seen, "the cluster")?;
        return Ok(());
    };
    if let Some(version) = &offers.version {
        session.progress.say(&format!("{version}, {} hosts", offers.hosts.len()));
    }
    if cluster.storage.is_none() {
        cluster.storage = Some(choice::disks(asker, offers)?);
    }
    if cluster.file_storage.is_none() {
        cluster.file_storage = Some(choice::images(asker, offers)?);
    }
    if cluster.bridge.is_none() {
        cluster.bridge = Some(choice::bridge(asker, offers)?);
    }
    if cluster.private_zone.is_none() {
        cluster.private_zone = choice::zone(asker, offers)?;
    }
    cluster.write(&mut draft.settings)
}

/// Looks whether everything is there. Where only rights for what was chosen are missing and somebody is there, they are
/// shown how to give them, and it is looked again.
async fn look(
    draft: &Draft,
    arguments: &AddArguments,
    slug: &str,
    session: &Session,
    asker: Asker,
) -> Result<RegionTest> {
    loop {
        session.progress.say(&format!("looking whether {slug} has everything ..."));
        let test = draft.test(session).await?;
        tell(&session.progress, &test);
        let lacks = |finding: &&Finding| finding.severity == Severity::Error && finding.subject == "privileges";
        if test.passed || !asker.is_there() || !test.findings.iter().any(|finding| lacks(&finding)) {
            return Ok(test);
        }
        session.progress.say("This gives the token the rights for what was chosen; run it as root on any node.");
        show_setup(arguments, session).await?;
        let answer = asker.line("Look again? (yes or no)", Some("yes"), "--anyway")?;
        if !matches!(answer.to_lowercase().as_str(), "y" | "yes") {
            return Ok(test);
        }
    }
}

/// The public network. Without one, servers can only be made without a public address.
fn public_range(session: &Session, asker: Asker) -> Result<Option<String>> {
    let range = asker.line_if_any("Public network on that bridge, such as 192.0.2.0/24 (empty: none)")?;
    if range.is_none() {
        session.progress.say("without --pool-range, servers there have no public addresses");
    }
    Ok(range)
}

fn slug(arguments: &AddArguments, entries: &[Url], asker: Asker) -> Result<String> {
    if let Some(slug) = &arguments.slug {
        return Ok(slug.clone());
    }
    let host = entries.first().and_then(|entry| entry.host_str()).unwrap_or_default();
    let first = host.split('.').next().unwrap_or_default();
    // The first part of an address names nothing.
    let named = first.starts_with(|c: char| c.is_ascii_lowercase());
    let usual = if named { first } else { arguments.provider.word() };
    if asker.is_there() { asker.line("Slug of the region", Some(usual), "--slug SLUG") } else { Ok(usual.to_owned()) }
}

impl Draft {
    /// Lets a worker look.
    async fn test(&self, session: &Session) -> Result<RegionTest> {
        let probe = RegionProbe {
            provider: self.provider.word().to_owned(),
            settings: Some(self.settings.clone()),
            secret: Some(self.secret.clone()),
            fingerprints: Some(self.fingerprints.clone()),
        };
        let call = Call::post(&below(&[&"region_tests"]), &probe)?.repeatable();
        let tested = session.client.one::<RegionTest>(&call, "test").await;
        Ok(tested.map_err(|failure| failure.during("cannot look"))?.value)
    }
}

async fn create(
    draft: Draft,
    arguments: AddArguments,
    slug: String,
    available: bool,
    session: &Session,
) -> Result<Document<Region>> {
    let AddArguments { name, vpc_range, network, policy, .. } = arguments;
    let body = RegionCreate {
        slug: slug.clone(),
        name,
        provider: draft.provider.word().to_owned(),
        settings: Some(draft.settings),
        secret: Some(draft.secret),
        fingerprints: Some(draft.fingerprints),
        available: Some(available),
        features: None,
        pools: network.pools(),
        resolvers: Some(network.resolvers).filter(|resolvers| !resolvers.is_empty()),
        vpc_range,
        overcommit: policy.overcommit(None),
        placement: policy.placement(None),
        heal: policy.heal(None),
    };
    let made = saved(session, &Call::post(&below(&[&"regions"]), &body)?).await;
    let made = made.map_err(|failure| failure.during(format!("cannot connect {slug}")))?;
    session.progress.say(&format!("{slug} is connected; cairn admin region get {slug} says how it is reached"));
    Ok(made)
}

/// Has a region written, and says what ought to be looked at although it was.
pub(super) async fn saved(session: &Session, call: &Call) -> Result<Document<Region>> {
    let mut envelope = session.client.envelope(call).await?;
    let warnings = envelope.take_if_there::<Vec<String>>("warnings")?;
    for warning in warnings.map(|warnings| warnings.value).unwrap_or_default() {
        session.progress.say(&format!("warning: {warning}"));
    }
    envelope.take("region")
}
