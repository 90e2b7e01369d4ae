//! What the tests of images need around them: a catalogue, a server that runs, an engine, and a provider that keeps
//! images in memory and has no guests.

use crate::service::Service;
use async_trait::async_trait;
use cloud::{Providers, Site};
use model::catalogue::Catalogue;
use model::ids::{HostId, ImageId, InstallationId, RegionSlug, ServerId, TeamId, VpcId};
use provider::{
    Begun, Capabilities, Fault, Guest, GuestRef, GuestSpec, ImageRef, ImageSeen, ImageSource, Inventory, NetworkRef,
    NetworkSpec, PowerWish, Provider, Resources, Result, Seed, TaskRef, TaskState,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;
use workflow::{Engine, Idle};

/// Where everything is.
pub(crate) const REGION: &str = "local";
/// The image that servers are made from.
pub(crate) const BASE: &str = "debian-12-x64";

/// Images in memory.
#[derive(Default)]
pub(crate) struct Shelf {
    held: Mutex<BTreeSet<i32>>,
    refuses: AtomicBool,
    away: AtomicBool,
}

impl Shelf {
    /// The ids of the images whose bytes are there.
    pub(crate) fn held(&self) -> Vec<i32> {
        self.held.lock().unwrap().iter().copied().collect()
    }

    /// From now on nothing can be fetched or copied.
    pub(crate) fn refuse(&self) {
        self.refuses.store(true, Ordering::SeqCst);
    }

    /// Whether nothing answers.
    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn answer(&self) -> Result<()> {
        if self.away.load(Ordering::SeqCst) { Err(Fault::transient("away")) } else { Ok(()) }
    }

    fn take(&self, image: &ImageRef) -> Result<Begun> {
        self.answer()?;
        if self.refuses.load(Ordering::SeqCst) {
            return Err(Fault::refused("not today"));
        }
        self.held.lock().unwrap().insert(image.image.0);
        Ok(Begun::Done)
    }
}

fn none<T>() -> Result<T> {
    Err(Fault::bug("there are no guests on this stage"))
}

#[async_trait]
impl Provider for Shelf {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
    async fn find_guest(&self, _: &GuestRef) -> Result<Guest> {
        Ok(Guest::Absent)
    }
    async fn ensure_image(&self, image: &ImageRef, _: &ImageSource) -> Result<Begun> {
        self.take(image)
    }
    async fn find_image(&self, image: &ImageRef) -> Result<Option<ImageSeen>> {
        self.answer()?;
        let seen = ImageSeen { stored_bytes: 1_234_567_890, virtual_bytes: 4_000_000_001 };
        Ok(self.held.lock().unwrap().contains(&image.image.0).then_some(seen))
    }
    async fn delete_image(&self, image: &ImageRef) -> Result<Begun> {
        self.answer()?;
        self.held.lock().unwrap().remove(&image.image.0);
        Ok(Begun::Done)
    }
    async fn ensure_network(&self, _: &str, _: &NetworkSpec) -> Result<()> {
        none()
    }
    async fn delete_network(&self, _: &str, _: &NetworkRef) -> Result<()> {
        none()
    }
    async fn create_guest(&self, _: &GuestRef, _: &GuestSpec) -> Result<Begun> {
        none()
    }
    async fn power(&self, _: &GuestRef, _: PowerWish) -> Result<Begun> {
        none()
    }
    async fn resize_guest(&self, _: &GuestRef, _: &Resources) -> Result<Begun> {
        none()
    }
    async fn reseed_guest(&self, _: &GuestRef, _: &Seed) -> Result<()> {
        none()
    }
    async fn rebuild_guest(&self, _: &GuestRef, _: &GuestSpec, _: &str) -> Result<Begun> {
        none()
    }
    async fn snapshot_guest(&self, _: &GuestRef, image: &ImageRef) -> Result<Begun> {
        self.take(image)
    }
    async fn delete_guest(&self, _: &GuestRef) -> Result<Begun> {
        Ok(Begun::Done)
    }
    async fn console_log(&self, _: &GuestRef, _: usize) -> Result<Vec<u8>> {
        none()
    }
    async fn screenshot(&self, _: &GuestRef) -> Result<Vec<u8>> {
        none()
    }
    async fn task(&self, _: &TaskRef) -> Result<TaskState> {
        Ok(TaskState::Vanished)
    }
    async fn inventory(&self) -> Result<Inventory> {
        Ok(Inventory::default())
    }
}

/// A service with all that stands behind it.
pub(crate) struct Stage {
    pub(crate) service: Service,
    pub(crate) shelf: Arc<Shelf>,
    engine: Engine<Site>,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let service = Service::start().await;
        let store = service.database.store().clone();
        let files = BTreeMap::from([(BASE.to_owned(), "/nowhere.qcow2".to_owned())]);
        let catalogue = Catalogue::default_catalogue().unwrap().with_image_files(&files).unwrap();
        store::catalogue::apply(&store, &catalogue).await.unwrap();
        let shelf = Arc::new(Shelf::default());
        let provider: Arc<dyn Provider> = Arc::<Shelf>::clone(&shelf);
        let providers = Arc::new(Providers::from_iter([(RegionSlug::from(REGION), provider)]));
        let installation: InstallationId = store::tenancy::installation(&store).await.unwrap();
        let site = Arc::new(Site { store: store.clone(), installation, providers });
        let mut options = workflow::Options::default();
        (options.nap, options.poll) = (Duration::from_millis(5), Duration::from_millis(5));
        (options.backoff_base, options.patience) = (Duration::from_millis(1), Duration::ZERO);
        let engine = Engine::new(store, cloud::registry().unwrap(), site, options);
        Self { service, shelf, engine }
    }

    /// Drives every workflow to where it rests or ends.
    pub(crate) async fn settle(&self) {
        assert_eq!(self.engine.run_until_idle(Duration::from_secs(30)).await.unwrap(), Idle::Quiet);
        let parked: Vec<(String, Option<String>)> =
            self.all("SELECT kind, last_error FROM workflows WHERE state = 'parked'").await;
        assert!(parked.is_empty(), "{parked:?}");
    }

    /// Drives what is due within this time.
    pub(crate) async fn settle_within(&self, within: Duration) -> Idle {
        self.engine.run_until_idle(within).await.unwrap()
    }

    pub(crate) async fn all<T>(&self, statement: &'static str) -> Vec<T>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        sqlx::query_as(statement).fetch_all(self.service.database.store().pool()).await.unwrap()
    }

    pub(crate) async fn run(&self, statement: &str) {
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
            .execute(self.service.database.store().pool())
            .await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// A server of the team that has been running for a long time: its rows, without a guest.
    pub(crate) async fn server(&self, team: TeamId, name: &str) -> ServerId {
        let (vpc, host, life) = (VpcId(Uuid::now_v7()), HostId(Uuid::now_v7()), Uuid::now_v7());
        self.run(&format!(
            "INSERT INTO vpcs (id, team_id, region, name, ip_range, is_default)
             VALUES ('{vpc}', '{team}', '{REGION}', 'vpc-{vpc}', '10.1.0.0/20', false);
             INSERT INTO hosts (id, region, name, vcpus, memory_mib, disk_gb)
             VALUES ('{host}', '{REGION}', '{host}', 8, 8192, 100);
             INSERT INTO servers (team_id, name, region, size, image_id, vpc_id, vcpus, memory_mib, disk_gb, host_id,
                                  answered_at, seen_power, workflow_id)
             SELECT '{team}', '{name}', '{REGION}', 'small', i.id, '{vpc}', 1, 2048, 20, '{host}', now(), 'on', '{life}'
             FROM images i WHERE i.slug = '{BASE}';
             INSERT INTO workflows (id, kind, subject, team_id, input, lifecycle, exclusive, state, unmade_within)
             SELECT '{life}', 'server', 'server:' || s.id, '{team}', jsonb_build_object('server', s.id), true, true,
                    'resting', interval '5 minutes'
             FROM servers s WHERE s.workflow_id = '{life}'"
        ))
        .await;
        let id: (i32,) = sqlx::query_as("SELECT id FROM servers WHERE workflow_id = $1")
            .bind(life)
            .fetch_one(self.service.database.store().pool())
            .await
            .unwrap();
        ServerId(id.0)
    }

    /// A snapshot of a server of ours, taken through the API.
    pub(crate) async fn snapshot(&self, server: ServerId, name: &str) -> ImageId {
        let body = serde_json::json!({ "type": "snapshot", "name": name });
        let asked = self.service.post(&format!("/v2/droplets/{server}/actions"), &body).await.expect(201);
        self.settle().await;
        let action = asked.body["action"]["id"].as_i64().unwrap();
        let action = self.service.get(&format!("/v2/actions/{action}")).await.expect(200);
        assert_eq!(action.body["action"]["status"], "completed", "{:?}", action.body);
        let images = self.service.get("/v2/images?private=true&per_page=200").await.expect(200);
        let images = images.body["images"].as_array().unwrap().clone();
        let image = images.iter().rev().find(|image| image["name"] == name).unwrap();
        ImageId(i32::try_from(image["id"].as_i64().unwrap()).unwrap())
    }

    /// How an action ended.
    pub(crate) async fn status(&self, action: &serde_json::Value) -> String {
        let id = action["action"]["id"].as_i64().unwrap();
        let answer = self.service.get(&format!("/v2/actions/{id}")).await.expect(200);
        answer.body["action"]["status"].as_str().unwrap().to_owned()
    }
}
