//! Connects the regions that this process can reach, and keeps up with their changes: one that an operator adds, edits or
//! removes is opened, opened anew or let go within seconds. Each region is a task of its own; none waits for another.

use crate::providers;
use crate::settings::Settings;
use async_trait::async_trait;
use cloud::secrets::Key;
use cloud::{Opener, Providers};
use model::ids::{InstallationId, RegionSlug};
use provider::{Fault, Provider};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use store::regions::{Connection, Listener, sealed_for};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long until a region that could not be reached is tried again.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How often the list is read although nobody said that it has changed.
const READ_EVERY: Duration = Duration::from_secs(30);

/// Opens connections with what this process was told at its start.
pub(crate) struct Opening {
    /// Where this host's guests are kept, and how they are connected.
    pub(crate) settings: Settings,
    /// Part of every mark.
    pub(crate) installation: InstallationId,
    /// Opens what is sealed.
    pub(crate) key: Option<Arc<Key>>,
    /// Knows which regions are the catalogue's.
    pub(crate) store: Store,
}

#[async_trait]
impl Opener for Opening {
    async fn open(&self, connection: &Connection) -> provider::Result<Arc<dyn Provider>> {
        self.refuse_files(connection).await?;
        let secret = connection.secret.as_deref().map(|sealed| self.unseal(connection, sealed)).transpose()?;
        providers::open(&self.settings, self.installation, connection, secret).await
    }
}

impl Opening {
    fn unseal(&self, connection: &Connection, sealed: &[u8]) -> provider::Result<String> {
        let Some(key) = &self.key else {
            let missing = "its secret is sealed, and this process has no key: set secret_key_file, the same everywhere";
            return Err(Fault::refused(missing));
        };
        key.open(&connection.sealed_for, sealed).map_err(|error| Fault::refused(error.to_string()))
    }

    /// A file of this host is read, or run, for a region of the catalogue only. Requests that name one are refused where
    /// they are answered; this holds for what was stored before, too.
    async fn refuse_files(&self, connection: &Connection) -> provider::Result<()> {
        let Some(setting) = cloud::region::names_file(&connection.settings) else { return Ok(()) };
        let listed = store::regions::get(&self.store, &connection.region)
            .await
            .map_err(|error| Fault::transient(format!("the region cannot be read: {error}")))?
            .filter(|region| region.origin == "catalogue" && region.settings == connection.settings);
        // What is only tried out has no row, and its secret is sealed for another purpose.
        if listed.is_some() && connection.sealed_for == sealed_for(&connection.region) {
            return Ok(());
        }
        Err(Fault::refused(format!(
            "settings.{setting} names a file of this host, which only a region of the catalogue's file may: take it out of \
             the settings, and give the secret itself"
        )))
    }
}

/// What is done with a region once it is connected; ends when its token is cancelled.
pub(crate) type Then =
    Arc<dyn Fn(RegionSlug, CancellationToken) -> futures_util::future::BoxFuture<'static, ()> + Send + Sync>;

/// Keeps every region connected until `hand_back`.
pub(crate) async fn keep_connected(store: Store, providers: Arc<Providers>, then: Then, hand_back: CancellationToken) {
    let mut open: HashMap<RegionSlug, (i64, CancellationToken)> = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut listener = None;
    loop {
        // Before the list is read, so that no change falls between the two.
        if listener.is_none() {
            listener = Listener::open(&store)
                .await
                .map_err(|error| tracing::warn!(%error, "changed regions are not heard of"))
                .ok();
        }
        match store::regions::connections(&store).await {
            Ok(listed) => follow(&store, &providers, &then, &mut open, listed, &mut tasks, &hand_back),
            Err(error) => tracing::warn!(%error, "the regions cannot be read"),
        }
        while tasks.try_join_next().is_some() {}
        tokio::select! {
            heard = heard(&mut listener) => if !heard { listener = None },
            () = tokio::time::sleep(READ_EVERY) => {}
            () = hand_back.cancelled() => break,
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// `false`: the connection is of no use any more.
async fn heard(listener: &mut Option<Listener>) -> bool {
    match listener {
        Some(listener) => listener.heard().await.is_ok(),
        None => std::future::pending().await,
    }
}

/// Lets go of what is gone or changed, and opens what is new or changed.
fn follow(
    store: &Store,
    providers: &Arc<Providers>,
    then: &Then,
    open: &mut HashMap<RegionSlug, (i64, CancellationToken)>,
    listed: Vec<Connection>,
    tasks: &mut JoinSet<()>,
    hand_back: &CancellationToken,
) {
    open.retain(|region, (revision, token)| {
        let same = listed.iter().any(|one| one.region == *region && one.revision == *revision);
        if !same {
            tracing::info!(%region, "the region's connection is let go");
            token.cancel();
            providers.remove(region);
        }
        same
    });
    for connection in listed {
        if open.contains_key(&connection.region) {
            continue;
        }
        let token = hand_back.child_token();
        open.insert(connection.region.clone(), (connection.revision, token.clone()));
        let (store, providers, then) = (store.clone(), Arc::clone(providers), Arc::clone(then));
        tasks.spawn(async move {
            if connect(&store, &connection, &providers, &token).await {
                then(connection.region, token).await;
            }
        });
    }
}

/// Connects one region. One that cannot be reached is tried again, loudly the first time: the other regions, and the API,
/// go on without it. `false`: told to stop before it was connected.
async fn connect(store: &Store, connection: &Connection, providers: &Providers, let_go: &CancellationToken) -> bool {
    let region = &connection.region;
    let mut said = false;
    loop {
        let opened = tokio::select! {
            opened = providers.open(connection) => opened,
            () = let_go.cancelled() => return false,
        };
        match opened {
            Ok(_) if let_go.is_cancelled() => return false,
            Ok(provider) => {
                tracing::info!(%region, capabilities = ?provider.capabilities(), "connected");
                providers.insert(region.clone(), provider);
                return true;
            }
            Err(fault) => {
                if said {
                    tracing::debug!(%region, %fault, "the region is still not connected");
                } else {
                    tracing::error!(%region, %fault, "the region is not connected, and will be tried again");
                }
                said = true;
                if let Err(error) = cloud::region::unreachable(store, region, &fault.detail).await {
                    tracing::debug!(%region, %error, "and that cannot be written down");
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(TRIED_AGAIN_AFTER) => {}
            () = let_go.cancelled() => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Flags;
    use model::catalogue::Catalogue;
    use provider_proxmox::{Config, Proxmox, Secret};
    use std::sync::Mutex;
    use store::testing;

    /// Opens what is called `proxmox`, and writes down what it was asked for.
    #[derive(Default)]
    struct Door(Mutex<Vec<(RegionSlug, i64)>>);

    #[async_trait]
    impl Opener for Door {
        async fn open(&self, connection: &Connection) -> provider::Result<Arc<dyn Provider>> {
            self.0.lock().unwrap().push((connection.region.clone(), connection.revision));
            if connection.provider != "proxmox" {
                return Err(Fault::refused("this build has no such provider"));
            }
            let nobody = InstallationId(uuid::Uuid::nil());
            let config = Config::new(nobody, "https://[::1]:1", "a@pve!b", Secret::new("x"));
            Ok(Arc::new(Proxmox::new(config)?))
        }
    }

    async fn add(store: &Store, slug: &str, provider: &str) {
        let region = RegionSlug::from(slug);
        let new = store::regions::NewRegion {
            slug: &region,
            name: slug,
            provider,
            settings: &serde_json::json!({}),
            secret: None,
            fingerprints: &[],
            available: true,
            features: &[],
            resolvers: &[],
            vpc_range: "10.0.0.0/16".parse().unwrap(),
            policy: &serde_json::json!({}),
        };
        let mut tx = store.begin().await.unwrap();
        assert!(store::regions::insert(&mut tx, &new).await.unwrap());
        tx.commit().await.unwrap();
    }

    async fn until(what: &str, holds: impl AsyncFn() -> bool) {
        let patience_ends = tokio::time::Instant::now() + Duration::from_secs(20);
        while !holds().await {
            assert!(tokio::time::Instant::now() < patience_ends, "never: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// An entry of the catalogue, and a file of this host in its settings.
    fn listed(slug: &str, file: &std::path::Path) -> Catalogue {
        let text = format!(
            "[[region]]\nslug = {slug:?}\nname = \"Lab\"\nprovider = \"proxmox\"\nvpc_range = \"10.120.0.0/16\"\n\
             [region.settings]\nentries = [\"https://[::1]:1\"]\ntoken_id = \"a@pve!b\"\ntoken_secret_file = {file:?}\n"
        );
        Catalogue::parse(&text).unwrap()
    }

    #[tokio::test]
    async fn a_file_of_this_host_is_read_for_the_catalogues_regions_only() {
        let database = testing::database().await;
        let store = database.store();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "swordfish").unwrap();
        store::catalogue::apply(store, &listed("lab", file.path())).await.unwrap();
        add(store, "sent", "proxmox").await;
        let settings = serde_json::json!({
            "entries": ["https://[::1]:1"], "token_id": "a@pve!b", "token_secret_file": file.path()
        });
        let mut tx = store.begin().await.unwrap();
        let change = store::regions::Change { settings: Some(&settings), ..store::regions::Change::default() };
        store::regions::update(&mut tx, &RegionSlug::from("sent"), &change).await.unwrap();
        tx.commit().await.unwrap();

        let told = Settings::read(&Flags::default(), &|name| (name == "CAIRN_DATA_DIR").then(|| "/data".to_owned()));
        let opening = Opening {
            settings: told.unwrap(),
            installation: InstallationId(uuid::Uuid::nil()),
            key: None,
            store: store.clone(),
        };
        let connections = store::regions::connections(store).await.unwrap();
        let [lab, sent] =
            ["lab", "sent"].map(|slug| connections.iter().find(|one| one.region.as_str() == slug).unwrap());
        assert!(opening.open(lab).await.is_ok());
        let probe = Connection { sealed_for: "probe:1".to_owned(), ..lab.clone() };
        for refused in [sent, &probe] {
            let fault = opening.open(refused).await.map(drop).unwrap_err();
            assert!(fault.detail.contains("settings.token_secret_file"), "{fault}");
        }
    }

    #[tokio::test]
    async fn regions_are_followed_as_they_come_change_and_go() {
        let database = testing::database().await;
        let store = database.store();
        let door = Arc::new(Door::default());
        let opener: Arc<dyn Opener> = Arc::<Door>::clone(&door);
        let providers = Arc::new(Providers::opened_by(opener));
        let stop = CancellationToken::new();
        let then: Then = Arc::new(|_, let_go| Box::pin(async move { let_go.cancelled().await }));
        let keeping = keep_connected(store.clone(), Arc::clone(&providers), then, stop.clone());
        let keeping = tokio::spawn(keeping);

        add(store, "broken", "nothing").await;
        add(store, "demo", "proxmox").await;
        let demo = RegionSlug::from("demo");
        until("demo is connected", async || providers.get(&demo).is_some()).await;
        until("what is broken is told", async || {
            let region = store::regions::get(store, &RegionSlug::from("broken")).await.unwrap().unwrap();
            region.state == "failed" && region.last_error.is_some()
        })
        .await;

        let mut tx = store.begin().await.unwrap();
        let settings = serde_json::json!({ "a": 1 });
        let change = store::regions::Change { settings: Some(&settings), ..store::regions::Change::default() };
        store::regions::update(&mut tx, &demo, &change).await.unwrap();
        tx.commit().await.unwrap();
        until("it is opened anew", async || door.0.lock().unwrap().contains(&(demo.clone(), 2))).await;

        let mut tx = store.begin().await.unwrap();
        store::regions::remove(&mut tx, &demo).await.unwrap();
        tx.commit().await.unwrap();
        until("it is let go", async || providers.get(&demo).is_none()).await;
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), keeping).await.unwrap().unwrap();
    }
}
