//! A laboratory: a database, a simulated cluster with strangers on it, and the product between the two.

use cloud::server::create::{CreateServers, create};
use cloud::{Caller, Operator, Providers, Site};
use model::catalogue::Catalogue;
use model::ids::{ImageId, RegionSlug, ServerId, WorkflowId};
use provider::{Checksum, ImageSource, Provider};
use provider_proxmox::{Config, Fingerprint, Proxmox, Secret};
use serde_json::Value;
use simulator::{ClockKind, Deed, GuestSeen, GuestSpec, Pace, Scenario, Simulator, TOKEN_SECRET, TokenSpec};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use store::servers::ImageChoice;
use store::testing::{self, TestDatabase};
use workflow::{Engine, Idle, ManualClock, Options, Registry};

pub(super) const REGION: &str = "local";
pub(super) const BASE: &str = "debian-12-x64";
pub(super) const NODES: [&str; 4] = ["pve1", "pve2", "pve3", "pve4"];
const ZONE: &str = "cairn";
const NUMBERS: (u32, u32) = (100_000, 199_999);

/// How long the manual clock may run until everything has come to an end.
const LONG: Duration = Duration::from_secs(6 * 3600);

/// How far the engine's time may go ahead of the cluster's where that is stepped.
const SLICE: Duration = Duration::from_secs(1);
/// A step of the cluster's time while a request waits.
const TICK: Duration = Duration::from_millis(200);

/// The cluster's lists are as old as this at most.
const LAGS: Duration = Duration::from_secs(20);

/// The token of everything but the workers of a crowd.
const TOKEN: &str = "root@pam!cairn";
/// The tokens of workers of a crowd.
pub(super) const WORKERS: [&str; 3] = ["root@pam!first", "root@pam!second", "root@pam!third"];

/// What every case leaves empty.
const BOOKS: [&str; 9] = [
    "reservations",
    "addresses WHERE server_id IS NOT NULL",
    "usage_ranges WHERE upper_inf(span)",
    "guest_numbers WHERE freed_at IS NULL AND server_id IS NOT NULL",
    "servers WHERE deleted_at IS NULL",
    "server_migrations WHERE state = 'running'",
    "actions WHERE completed_at IS NULL",
    "images WHERE team_id IS NOT NULL AND erased_at IS NULL",
    "workflows WHERE state IN ('ready', 'parked', 'resting')",
];

/// Everything.
pub(super) struct Lab {
    database: TestDatabase,
    pub(super) simulator: Simulator,
    pub(super) site: Arc<Site>,
    pub(super) caller: Caller,
    pub(super) operator: Operator,
    http: reqwest::Client,
    /// How time passes in the cluster.
    time: ClockKind,
    /// The cluster as it has to be after every case.
    ground: Option<Ground>,
}

/// What there is on a cluster.
#[derive(Debug, PartialEq)]
struct Ground {
    guests: BTreeMap<u32, GuestSeen>,
    volumes: Vec<String>,
    documents: BTreeMap<&'static str, Value>,
}

impl Lab {
    /// Strangers, a zone for private networks, and an image at hand on every node. Nothing lasts.
    pub(super) async fn open() -> Self {
        Self::open_on(Scenario { pace: Pace::none(), ..scenario().with_clock(ClockKind::Instant) }).await
    }

    /// The same where work lasts, in a time that is stepped.
    pub(super) async fn open_stepped(pace: Pace) -> Self {
        Self::open_on(Scenario { pace, ..scenario().with_clock(ClockKind::Stepped) }).await
    }

    async fn open_on(scenario: Scenario) -> Self {
        let time = scenario.clock;
        let simulator = Simulator::start(scenario).await.unwrap();
        let database = testing::database().await;
        let store = database.store().clone();
        let catalogue = Catalogue::default_catalogue().unwrap();
        store::catalogue::apply(&store, &catalogue).await.unwrap();
        let made = store::tenancy::bootstrap(&store, "Org", "Team", "a@example.org").await.unwrap().unwrap();
        let minted = store::operators::bootstrap(&store).await.unwrap().unwrap();
        let installation = store::tenancy::installation(&store).await.unwrap();
        let provider: Arc<dyn Provider> = Arc::new(Proxmox::new(config(&simulator, installation, TOKEN)).unwrap());
        let providers = Arc::new(std::iter::once((RegionSlug::from(REGION), provider)).collect::<Providers>());
        let request_id = uuid::Uuid::now_v7();
        let mut lab = Self {
            site: Arc::new(Site { store, installation, providers }),
            caller: Caller {
                team: made.team,
                organization: made.organization,
                token: made.token.id,
                user: Some(made.user),
                authority: *model::authority::EVERYTHING,
                address: None,
                request_id,
            },
            operator: Operator { token: minted.id, request_id },
            http: reqwest::Client::builder()
                .tls_danger_accept_invalid_certs(true)
                .no_proxy()
                // The cluster closes a connection on which nothing comes for five seconds.
                .pool_idle_timeout(Duration::from_secs(1))
                .build()
                .unwrap(),
            database,
            simulator,
            time,
            ground: None,
        };
        lab.ask("POST", "/cluster/sdn/zones", &format!("type=simple&zone={ZONE}")).await;
        lab.ask("PUT", "/cluster/sdn", "").await;
        lab.warm_up().await;
        lab
    }

    /// Every node gets its template, and what is there afterwards is the ground.
    async fn warm_up(&mut self) {
        let checksum = Some(Checksum::Sha256("ab".repeat(32)));
        let source = ImageSource::Url { url: "https://images.example/base.qcow2".to_owned(), checksum };
        let source = serde_json::to_string(&source).unwrap();
        self.run(&format!("UPDATE images SET source = '{source}', status = 'available' WHERE team_id IS NULL")).await;
        self.run("UPDATE quotas SET servers = 1000, vcpus = 10000, memory_mib = 10000000, disk_gb = 10000000, snapshots = 1000")
            .await;
        self.look().await;
        let clock = ManualClock::starting_now();
        for node in NODES {
            let id = self.order("warm").await;
            self.run(&format!("UPDATE hosts SET state = CASE WHEN name = '{node}' THEN 'up' ELSE 'maintenance' END"))
                .await;
            self.settle(&clock).await;
            assert_eq!(self.host(id).await, node);
            self.destroy(id).await;
            self.settle(&clock).await;
        }
        self.run("UPDATE hosts SET state = 'up'").await;
        self.look().await;
        self.ground = Some(self.survey().await);
        self.assert_empty().await;
    }

    /// Gives the region a connection that remembers nothing of the cluster.
    pub(super) fn connect_anew(&self) {
        let fresh = Proxmox::new(config(&self.simulator, self.site.installation, TOKEN)).unwrap();
        self.site.providers.insert(RegionSlug::from(REGION), Arc::new(fresh));
    }

    pub(super) fn store(&self) -> &Store {
        self.database.store()
    }

    /// One look of the observer.
    pub(super) async fn look(&self) {
        let region = RegionSlug::from(REGION);
        let looked = self.without_waiting(cloud::server::observe::region(&self.site, &region)).await;
        if let Err(fault) = looked {
            eprintln!("the region cannot be looked at: {fault}");
        }
    }

    pub(super) fn engine(&self, clock: &ManualClock, worker: &str) -> Engine<Site> {
        self.engine_at(clock, worker, Arc::clone(&self.site))
    }

    /// The product as another process has it: with a connection of its own to the cluster.
    pub(super) fn site_apart(&self, token: &str) -> Arc<Site> {
        let config = config(&self.simulator, self.site.installation, token);
        let provider: Arc<dyn Provider> = Arc::new(Proxmox::new(config).unwrap());
        let providers = Arc::new(std::iter::once((RegionSlug::from(REGION), provider)).collect::<Providers>());
        Arc::new(Site { providers, ..(*self.site).clone() })
    }

    /// A worker of this process.
    pub(super) fn engine_at(&self, clock: &ManualClock, worker: &str, site: Arc<Site>) -> Engine<Site> {
        let mut options = Options::manual(clock);
        worker.clone_into(&mut options.worker);
        Engine::new(self.store().clone(), cloud::registry().unwrap(), site, options)
    }

    /// A worker that knows these workflows.
    pub(super) fn engine_of(&self, clock: &ManualClock, registry: Registry<Site>) -> Engine<Site> {
        Engine::new(self.store().clone(), registry, Arc::clone(&self.site), Options::manual(clock))
    }

    /// Drives every workflow, as this registry has it, to where it rests, ends or parks.
    pub(super) async fn settle_with(&self, clock: &ManualClock, registry: Registry<Site>) {
        let idle = self.engine_of(clock, registry).run_until_idle(LONG).await.unwrap();
        if idle != Idle::Quiet {
            panic!("workflows do not come to an end: {:?}", self.standing().await);
        }
    }

    /// Drives every workflow to where it rests, ends or parks.
    pub(super) async fn settle(&self, clock: &ManualClock) {
        let engine = self.engine(clock, "settler");
        let idle = match self.time {
            ClockKind::Stepped => self.in_step(clock, &engine).await,
            _ => engine.run_until_idle(LONG).await.unwrap(),
        };
        if idle != Idle::Quiet {
            panic!("workflows do not come to an end: {:?}", self.standing().await);
        }
    }

    /// Drives everything while the cluster's time goes with the engine's.
    async fn in_step(&self, clock: &ManualClock, engine: &Engine<Site>) -> Idle {
        let control = &self.simulator.control;
        let end = clock.now().saturating_add(LONG).unwrap();
        let mut slice = SLICE;
        loop {
            let before = clock.now();
            let idle = self.without_waiting(engine.run_until_idle(slice)).await.unwrap();
            let passed = Duration::try_from(clock.now().duration_since(before)).unwrap();
            control.advance(passed);
            if idle == Idle::Quiet || clock.now() > end {
                return idle;
            }
            slice = if passed.is_zero() { slice * 2 } else { SLICE };
        }
    }

    /// Lets the cluster's time pass whenever a request waits for something.
    pub(super) async fn without_waiting<F: Future>(&self, work: F) -> F::Output {
        let control = &self.simulator.control;
        let ticks = async {
            let (_, mut waiting) = control.stirs();
            loop {
                control.waiting(1).await;
                waiting.borrow_and_update();
                control.advance(TICK);
                // Whoever waits has looked again when it says so.
                let _ = waiting.changed().await;
            }
        };
        tokio::select! {
            biased;
            done = work => done,
            () = ticks => unreachable!("time goes on"),
        }
    }

    /// What is not over, for whoever reads of a failure.
    pub(super) async fn standing(&self) -> Vec<(String, String, Option<String>, Option<String>)> {
        self.all(
            "SELECT kind || ' ' || subject || ' ' || direction, state, step_name, last_error FROM workflows
             WHERE state IN ('ready', 'parked')",
        )
        .await
    }

    /// What an operator does: everything works again, and what had given up may try again.
    pub(super) async fn heal(&self, clock: &ManualClock) {
        let control = &self.simulator.control;
        control.clear_faults();
        for node in NODES {
            control.deed(Deed::NodeReturns { node: node.to_owned() }).await.unwrap();
        }
        control.deed(Deed::QuorumBack).await.unwrap();
        for storage in ["local", "local-lvm", "shared"] {
            control.deed(Deed::StorageEmptied { storage: storage.to_owned() }).await.unwrap();
        }
        for guest in control.guests() {
            let vmid = Some(guest.vmid);
            if guest.config.contains_key("lock") {
                control.deed(Deed::LockLeft { vmid, lock: String::new() }).await.unwrap();
            }
        }
        let stranger = control.guests().into_iter().find(|guest| guest.vmid == RUNNING).unwrap();
        if stranger.status != "running" {
            self.ask("POST", &format!("/nodes/{}/qemu/{RUNNING}/status/start", stranger.node), "").await;
        }
        for parked in store::workflow::parked(self.store().pool()).await.unwrap() {
            store::workflow::retry(self.store().pool(), parked.id, Some(clock.now())).await.unwrap();
        }
        self.look().await;
    }

    /// A look when the cluster's lists are up to date.
    pub(super) async fn catch_up(&self, clock: &ManualClock) {
        clock.advance(LAGS);
        self.simulator.control.advance(LAGS);
        self.look().await;
    }

    /// A request of somebody else's.
    pub(super) async fn ask(&self, method: &str, path: &str, form: &str) -> Value {
        let url = format!("{}/api2/json{path}", self.simulator.url);
        let token = self.simulator.token.clone().unwrap();
        let request = self.http.request(method.parse().unwrap(), url).header("Authorization", token);
        let request = request.header("Content-Type", "application/x-www-form-urlencoded").body(form.to_owned());
        let answer = self.without_waiting(request.send()).await.unwrap();
        assert!(answer.status().is_success(), "{method} {path}: {}", answer.status());
        answer.json::<Value>().await.unwrap()["data"].take()
    }

    /// Asks for a server.
    pub(super) async fn order(&self, name: &str) -> ServerId {
        self.order_from(name, BASE).await
    }

    /// Asks for a server that is made from this image.
    pub(super) async fn order_from(&self, name: &str, image: &str) -> ServerId {
        let request = CreateServers { image: ImageChoice::Slug(image.to_owned()), ..self.request(name) };
        create(self.store(), &self.caller, &request).await.unwrap().servers[0].id
    }

    /// A request for one server.
    pub(super) fn request(&self, name: &str) -> CreateServers {
        CreateServers {
            names: vec![name.to_owned()],
            names_field: "name",
            region: Some(REGION.to_owned()),
            size: "small".to_owned(),
            image: ImageChoice::Slug(BASE.to_owned()),
            keys: Vec::new(),
            backups: None,
            ipv6: false,
            monitoring: false,
            public_networking: true,
            tags: Vec::new(),
            user_data: None,
            volumes: Vec::new(),
            vpc: None,
            group: None,
            high_availability: false,
            idempotency: None,
        }
    }

    pub(super) async fn destroy(&self, server: ServerId) {
        cloud::server::destroy::destroy(self.store(), &self.caller, server).await.unwrap();
    }

    /// Asks for the deletion of everything that is left.
    pub(super) async fn remove_all(&self) {
        for server in self.living().await {
            self.destroy(server).await;
        }
        for image in self.images().await {
            cloud::image::verbs::delete(self.store(), &self.caller, image).await.unwrap();
        }
    }

    /// The workflow of a server's life.
    pub(super) async fn life(&self, server: ServerId) -> WorkflowId {
        WorkflowId(self.one(&format!("SELECT workflow_id FROM servers WHERE id = {server}")).await)
    }

    /// Servers that nobody has asked to destroy.
    pub(super) async fn living(&self) -> Vec<ServerId> {
        let living = "SELECT id FROM servers WHERE deleted_at IS NULL AND destroy_requested_at IS NULL ORDER BY id";
        self.all::<(i32,)>(living).await.into_iter().map(|(id,)| ServerId(id)).collect()
    }

    /// Images of the team.
    pub(super) async fn images(&self) -> Vec<ImageId> {
        let images = "SELECT id FROM images WHERE team_id IS NOT NULL AND deleted_at IS NULL ORDER BY id";
        self.all::<(i32,)>(images).await.into_iter().map(|(id,)| ImageId(id)).collect()
    }

    /// The host that the books name.
    pub(super) async fn host(&self, server: ServerId) -> String {
        self.one(&format!("SELECT h.name FROM servers s JOIN hosts h ON h.id = s.host_id WHERE s.id = {server}")).await
    }

    /// The number of the next guest to be made.
    pub(super) async fn next_number(&self) -> u32 {
        let drawn: i64 = self.one("SELECT last_value FROM guest_number_draws").await;
        NUMBERS.0 + u32::try_from((drawn + 1) % i64::from(NUMBERS.1 - NUMBERS.0 + 1)).unwrap()
    }

    /// The number of a server's guest.
    pub(super) async fn number(&self, server: ServerId) -> u32 {
        let number: i64 = self
            .one(&format!("SELECT number FROM guest_numbers WHERE server_id = {server} AND freed_at IS NULL"))
            .await;
        u32::try_from(number).unwrap()
    }

    /// Guests in the range of numbers that is ours.
    pub(super) fn guests(&self) -> Vec<GuestSeen> {
        let guests = self.simulator.control.guests();
        guests.into_iter().filter(|guest| (NUMBERS.0..=NUMBERS.1).contains(&guest.vmid)).collect()
    }

    /// How many calls the cluster has seen.
    pub(super) fn calls(&self) -> usize {
        self.simulator.control.calls().len()
    }

    /// The stranger that took a number goes again. It has to be as it came.
    pub(super) async fn see_off(&self, number: u32) {
        let guest = self.simulator.control.guests().into_iter().find(|guest| guest.vmid == number);
        let Some(guest) = guest.filter(|guest| guest.config.get("name") == Some(&format!("stranger-{number}"))) else {
            return;
        };
        let entries: Vec<&str> = guest.config.keys().map(String::as_str).collect();
        assert_eq!(entries, ["description", "memory", "name"], "a stranger was touched: {guest:?}");
        assert_eq!((guest.config["description"].as_str(), guest.firewall_rules), ("nobody's but mine", 0));
        self.simulator.control.deed(Deed::GuestDeleted { vmid: Some(number) }).await.unwrap();
    }

    async fn survey(&self) -> Ground {
        let control = &self.simulator.control;
        let volumes = control.volumes().into_iter().map(|volume| format!("{volume:?}")).collect();
        let mut documents = BTreeMap::new();
        for path in [
            "/cluster/ha/resources",
            "/cluster/ha/rules",
            "/cluster/sdn/vnets?pending=1",
            "/cluster/sdn/zones?pending=1",
        ] {
            documents.insert(path, self.ask("GET", path, "").await);
        }
        let pool = self.ask("GET", "/pools/cairn", "").await;
        let members = pool["members"].as_array().into_iter().flatten().map(|member| member["vmid"].clone());
        documents.insert("/pools/cairn", members.collect());
        Ground { guests: control.guests().into_iter().map(|guest| (guest.vmid, guest)).collect(), volumes, documents }
    }

    /// Panics unless the cluster is as it was at first and the books are empty.
    pub(super) async fn assert_empty(&self) {
        let counts =
            BOOKS.map(|table| format!("SELECT '{}' AS book, count(*) AS held FROM {table}", table.replace('\'', "''")));
        let left: Vec<(String, i64)> = self.all(&counts.join(" UNION ALL ")).await;
        let left: Vec<_> = left.into_iter().filter(|(_, count)| *count > 0).collect();
        assert!(left.is_empty(), "{left:?}; {:?}", self.standing().await);
        let alerts: Vec<(String, String, String)> =
            self.all("SELECT kind, subject, message FROM alerts WHERE resolved_at IS NULL").await;
        assert!(alerts.is_empty(), "alerts are open: {alerts:?}");
        let (now, before) = (self.survey().await, self.ground.as_ref().unwrap());
        for (vmid, guest) in &now.guests {
            assert_eq!(before.guests.get(vmid), Some(guest), "a guest too many, or a stranger that was touched");
        }
        same(&now.guests.keys().collect::<Vec<_>>(), &before.guests.keys().collect::<Vec<_>>(), "guests");
        same(&now.volumes, &before.volumes, "volumes");
        for (path, document) in &now.documents {
            same(document, &before.documents[path], path);
        }
    }

    pub(super) async fn all<T>(&self, statement: &str) -> Vec<T>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        let text = sqlx::AssertSqlSafe(statement.to_owned());
        sqlx::query_as(text).fetch_all(self.store().pool()).await.unwrap_or_else(|e| panic!("{statement}: {e}"))
    }

    pub(super) async fn one<T>(&self, statement: &str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        let text = sqlx::AssertSqlSafe(statement.to_owned());
        sqlx::query_scalar(text).fetch_one(self.store().pool()).await.unwrap_or_else(|e| panic!("{statement}: {e}"))
    }

    pub(super) async fn run(&self, statement: &str) {
        let text = sqlx::AssertSqlSafe(statement.to_owned());
        sqlx::raw_sql(text).execute(self.store().pool()).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
}

fn same<T: PartialEq + Debug>(now: &T, before: &T, what: &str) {
    assert_eq!(now, before, "{what}: not as they were");
}

/// The stranger that runs.
const RUNNING: u32 = 502;

fn scenario() -> Scenario {
    let mut scenario = Scenario::cluster_of(NODES.len());
    let token = |id: &str| TokenSpec { id: id.to_owned(), secret: TOKEN_SECRET.to_owned(), privsep: false };
    scenario.tokens.extend(WORKERS.into_iter().map(token));
    scenario.pools = vec!["cairn".to_owned()];
    let stranger = |vmid, node: &str, running| GuestSpec {
        vmid,
        node: node.to_owned(),
        name: format!("theirs-{vmid}"),
        running,
        // Somebody may well use a word of ours.
        tags: "cairn;web".to_owned(),
        ..GuestSpec::default()
    };
    scenario.guests = vec![
        stranger(501, "pve1", false),
        stranger(RUNNING, "pve2", true),
        GuestSpec { container: true, ..stranger(503, "pve3", false) },
        // In the range that is ours, and nevertheless not ours.
        stranger(NUMBERS.0 + 3, "pve4", false),
    ];
    scenario
}

fn config(simulator: &Simulator, installation: model::ids::InstallationId, token: &str) -> Config {
    let secret = Secret::new(TOKEN_SECRET);
    let mut config = Config::new(installation, simulator.url.clone(), token, secret);
    config.entries = simulator.entries.iter().map(|entry| entry.url.clone()).collect();
    let pinned = simulator.entries.iter().map(|entry| Fingerprint::parse(&entry.fingerprint_sha256).unwrap());
    config.fingerprints = pinned.collect();
    config.private_zone = Some(ZONE.to_owned());
    config.guest_numbers = NUMBERS;
    config.high_availability = true;
    // A task that vanished is waited for in real time.
    config.task_grace = Duration::from_millis(1);
    config
}
