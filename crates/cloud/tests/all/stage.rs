//! A database with a catalogue, a team and an operator; an engine; the provider in memory.

use crate::crowd::Crowd;
use async_trait::async_trait;
use cloud::server::create::{CreateServers, create};
use cloud::{Caller, Opener, Operator, Providers, Site};
use model::catalogue::Catalogue;
use model::ids::{RegionSlug, ServerId, TeamId};
use provider::{Fault, Provider};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use store::regions::Connection;
use store::servers::ImageChoice;
use store::testing::{self, TestDatabase};
use workflow::{Engine, Idle, Options};

pub(crate) const REGION: &str = "local";
const BASE: &str = "debian-12-x64";

/// Everything.
pub(crate) struct Stage {
    pub(crate) database: TestDatabase,
    pub(crate) crowd: Crowd,
    pub(crate) site: Arc<Site>,
    pub(crate) caller: Caller,
    pub(crate) operator: Operator,
    engine: Engine<Site>,
}

/// Opens the provider in memory for whoever names it.
struct Door(Crowd);

#[async_trait]
impl Opener for Door {
    async fn open(&self, connection: &Connection) -> provider::Result<Arc<dyn Provider>> {
        match connection.provider.as_str() {
            "crowd" => Ok(Arc::new(self.0.clone())),
            other => Err(Fault::refused(format!("this build has no provider {other:?}"))),
        }
    }
}

impl Stage {
    /// With guests numbered from 100 to 199.
    pub(crate) async fn set() -> Self {
        Self::numbered(Some((100, 199))).await
    }

    pub(crate) async fn numbered(numbers: Option<(u32, u32)>) -> Self {
        let database = testing::database().await;
        let store = database.store().clone();
        let files = BTreeMap::from([(BASE.to_owned(), "/nowhere.qcow2".to_owned())]);
        let catalogue = Catalogue::default_catalogue().unwrap().with_image_files(&files).unwrap();
        store::catalogue::apply(&store, &catalogue).await.unwrap();
        let made = store::tenancy::bootstrap(&store, "Org", "Team", "a@example.org").await.unwrap().unwrap();
        let minted = store::operators::bootstrap(&store).await.unwrap().unwrap();
        let crowd = Crowd::default();
        crowd.state().numbers = numbers;
        let providers = Arc::new(Providers::opened_by(Arc::new(Door(crowd.clone()))));
        providers.insert(RegionSlug::from(REGION), Arc::new(crowd.clone()));
        let installation = store::tenancy::installation(&store).await.unwrap();
        let site = Arc::new(Site { store: store.clone(), installation, providers });
        let mut options = Options::default();
        (options.nap, options.poll) = (Duration::from_millis(5), Duration::from_millis(5));
        (options.backoff_base, options.patience) = (Duration::from_millis(1), Duration::ZERO);
        let engine = Engine::new(store, cloud::registry().unwrap(), Arc::clone(&site), options);
        let request_id = uuid::Uuid::now_v7();
        let stage = Self {
            database,
            crowd,
            site,
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
            engine,
        };
        stage.look().await;
        stage
    }

    pub(crate) fn store(&self) -> &Store {
        self.database.store()
    }

    pub(crate) fn team(&self) -> TeamId {
        self.caller.team
    }

    /// One look of the observer.
    pub(crate) async fn look(&self) -> cloud::server::observe::Scan {
        cloud::server::observe::region(&self.site, &RegionSlug::from(REGION)).await.unwrap()
    }

    /// Drives every workflow to where it rests or ends.
    pub(crate) async fn settle(&self) {
        assert_eq!(self.engine.run_until_idle(Duration::from_secs(30)).await.unwrap(), Idle::Quiet);
        let parked: Vec<(String, Option<String>)> =
            self.all("SELECT kind, last_error FROM workflows WHERE state = 'parked'").await;
        assert!(parked.is_empty(), "{parked:?}");
    }

    /// Drives what is due at once.
    pub(crate) async fn go_on(&self) {
        self.engine.run_until_idle(Duration::from_millis(50)).await.unwrap();
    }

    /// A request for servers of these names.
    pub(crate) fn request(&self, names: &[&str]) -> CreateServers {
        CreateServers {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
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

    /// Asks for a server.
    pub(crate) async fn order(&self, name: &str) -> ServerId {
        create(self.store(), &self.caller, &self.request(&[name])).await.unwrap().servers[0].id
    }

    /// A server that runs.
    pub(crate) async fn server(&self, name: &str) -> ServerId {
        let id = self.order(name).await;
        self.settle().await;
        assert!(self.one::<bool>(&format!("SELECT answered_at IS NOT NULL FROM servers WHERE id = {id}")).await);
        id
    }

    pub(crate) async fn destroy(&self, server: ServerId) {
        cloud::server::destroy::destroy(self.store(), &self.caller, server).await.unwrap();
    }

    /// The guest's number.
    pub(crate) async fn number(&self, server: ServerId) -> String {
        self.one(&format!("SELECT number::text FROM guest_numbers WHERE server_id = {server} AND freed_at IS NULL"))
            .await
    }

    /// The host that the books name.
    pub(crate) async fn host(&self, server: ServerId) -> String {
        self.one(&format!("SELECT h.name FROM servers s JOIN hosts h ON h.id = s.host_id WHERE s.id = {server}")).await
    }

    /// Purpose and host of each reservation.
    pub(crate) async fn held(&self, server: ServerId) -> Vec<(String, String)> {
        self.all(&format!(
            "SELECT r.purpose, h.name FROM reservations r JOIN hosts h ON h.id = r.host_id WHERE r.server_id = {server}
             ORDER BY r.purpose"
        ))
        .await
    }

    /// Kind and severity of every open alert.
    pub(crate) async fn alerts(&self) -> Vec<(String, String)> {
        self.all("SELECT kind, severity FROM alerts WHERE resolved_at IS NULL ORDER BY kind, subject").await
    }

    pub(crate) async fn all<T>(&self, statement: &str) -> Vec<T>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        sqlx::query_as(statement).fetch_all(self.store().pool()).await.unwrap()
    }

    pub(crate) async fn one<T>(&self, statement: &str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        let text = sqlx::AssertSqlSafe(statement.to_owned());
        sqlx::query_scalar(text).fetch_one(self.store().pool()).await.unwrap_or_else(|e| panic!("{statement}: {e}"))
    }

    pub(crate) async fn run(&self, statement: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(self.store().pool()).await.unwrap();
    }
}

/// The code of a refusal.
pub(crate) fn code<T: std::fmt::Debug>(result: cloud::Result<T>) -> model::refusal::Code {
    match result {
        Err(cloud::Error::Refused(refusal)) => refusal.code,
        other => panic!("{other:?} is no refusal"),
    }
}
