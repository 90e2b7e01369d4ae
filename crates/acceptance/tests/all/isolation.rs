//! Every operation of the document with every token that must not do: none, garbage, revoked, expired, without the
//! scope, and another team's. What is another team's is answered as what does not exist, to the byte. Then the second
//! lock: queries without a team, under which row-level security shows a team its own rows only. And, as the proof that
//! the right token does open all of it: one tour through the whole document in which each operation succeeds.

use crate::crash::{interfaces, wait_for};
use acceptance::contract::Contract;
use acceptance::figures;
use acceptance::installation::{Client, IMAGE, Installation};
use model::ids::TeamId;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sqlx::Row;
use std::collections::BTreeSet;
use store::Store;
use tokio::process::Command;

/// What has no such id, name or tag.
const NOBODY: &str = "2147483646";

/// A team with one of everything.
pub(crate) struct Team {
    pub(crate) id: TeamId,
    pub(crate) client: Client,
    pub(crate) name: &'static str,
    pub(crate) server: i64,
    pub(crate) action: i64,
    pub(crate) image_action: i64,
    pub(crate) snapshot: i64,
    pub(crate) key: i64,
    pub(crate) fingerprint: String,
}

/// Two teams that must not see each other.
pub(crate) struct Tenants {
    pub(crate) ours: Team,
    pub(crate) theirs: Team,
}

impl Tenants {
    pub(crate) async fn make(installation: &Installation) -> Self {
        let store = installation.store().await;
        let first = team_of(&store, &installation.token()).await;
        let ours = Team::furnish(installation, first, installation.client(), "ours").await;
        let mut tx = store.begin().await.unwrap();
        let organization = store::tenancy::create_organization(&mut tx, "Theirs").await.unwrap();
        let limits = store::tenancy::USUAL_LIMITS;
        let second =
            store::tenancy::create_team(&mut tx, organization, "Theirs", "theirs@example.test", limits).await.unwrap();
        let token = store::tenancy::mint_token(&mut tx, second, "theirs", &[]).await.unwrap();
        tx.commit().await.unwrap();
        let client = installation.client_with(token.secret.reveal().to_owned());
        let theirs = Team::furnish(installation, second, client, "theirs").await;
        Self { ours, theirs }
    }
}

/// Deletes every server of these teams and waits until nothing of them is left on the host, which outlives the test.
pub(crate) async fn tidy(installation: &Installation, clients: &[&Client]) {
    wait_for("the end of every server", async || {
        for client in clients {
            for server in client.get("/v2/droplets?per_page=200").await["droplets"].as_array().unwrap() {
                // Refused while something else is being done with it, and asked again then.
                client.send("DELETE", &format!("/v2/droplets/{}", server["id"]), None).await;
            }
        }
        installation.guests().is_empty() && interfaces(installation).await.is_empty()
    })
    .await;
}

async fn team_of(store: &Store, token: &str) -> TeamId {
    let hash = store::tenancy::hash_secret(token);
    store::tenancy::authenticate(store, &hash).await.unwrap().expect("the token is valid").team
}

/// A public key that nobody else has.
async fn public_key(installation: &Installation, name: &str) -> String {
    let file = installation.scratch().join(format!("key-{name}"));
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file).status().await;
    assert!(made.expect("ssh-keygen runs; script/test installs it").success());
    std::fs::read_to_string(file.with_extension("pub")).unwrap().trim().to_owned()
}

impl Team {
    async fn furnish(installation: &Installation, id: TeamId, client: Client, name: &'static str) -> Self {
        let key = json!({ "name": name, "public_key": public_key(installation, name).await });
        let key = client.post("/v2/account/keys", key).await["ssh_key"].take();
        let server = json!({
            "name": format!("{name}-1"), "size": "s-1vcpu-512mb-10gb", "image": IMAGE, "tags": [format!("{name}-tag")],
            "ssh_keys": [key["id"]],
        });
        let made = client.post("/v2/droplets", server).await;
        let server = made["droplet"]["id"].as_i64().unwrap();
        let action = made["links"]["actions"][0]["id"].as_i64().unwrap();
        assert_eq!(client.ended(action).await["status"], "completed");
        let snapshot = client.snapshot(server, &format!("{name}-snapshot")).await;
        let asked = json!({ "type": "transfer", "region": "local" });
        let image_action = client.post(&format!("/v2/images/{snapshot}/actions"), asked).await["action"]["id"].as_i64();
        let image_action = image_action.unwrap();
        client.ended(image_action).await;
        let (fingerprint, key) = (key["fingerprint"].as_str().unwrap().to_owned(), key["id"].as_i64().unwrap());
        Self { id, client, name, server, action, image_action, snapshot, key, fingerprint }
    }

    /// The value of a parameter of the path.
    fn parameter(&self, operation: &Operation, name: &str) -> String {
        match name {
            "droplet_id" | "server_id" => self.server.to_string(),
            "action_id" if operation.template.contains("/images/") => self.image_action.to_string(),
            "action_id" => self.action.to_string(),
            "image_id" | "snapshot_id" => self.snapshot.to_string(),
            "ssh_key_identifier" => self.key.to_string(),
            "tag_id" => format!("{}-tag", self.name),
            other => panic!("{}: teach this test what {other} is", operation.id),
        }
    }

    /// Everything that a team can list, as the API shows it.
    async fn everything(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for list in ["droplets", "images?private=true", "snapshots", "tags", "account/keys", "account"] {
            all.push(self.client.get(&format!("/v2/{list}")).await);
        }
        all
    }
}

/// One operation of the document.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) template: String,
    pub(crate) parameters: Vec<String>,
    /// The body's schema.
    pub(crate) body: Option<Value>,
    /// `None`: public. Empty: any token.
    scopes: Option<Vec<String>>,
}

impl Operation {
    /// The path with these values; queries that are required are there, too.
    pub(crate) fn path_with(&self, value: &dyn Fn(&str) -> String) -> String {
        let mut path = self.template.clone();
        while let Some((before, rest)) = path.split_once('{') {
            let (name, after) = rest.split_once('}').unwrap();
            path = format!("{before}{}{after}", value(name));
        }
        let by_tag = ["droplets_destroy_byTag", "dropletActions_post_byTag"].contains(&self.id.as_str());
        if by_tag { format!("{path}?tag_name={}", value("tag_id")) } else { path }
    }

    pub(crate) fn path_of(&self, team: &Team) -> String {
        self.path_with(&|name| team.parameter(self, name))
    }

    fn is_admin(&self) -> bool {
        self.template.starts_with("/admin/") || self.template == "/metrics"
    }

    /// The path of an operators' operation, with values that name nothing.
    pub(crate) fn admin_path(&self) -> String {
        self.path_with(&|name| match name {
            "region_slug" => "nowhere".to_owned(),
            "host_id" | "migration_id" | "workflow_id" => "00000000-0000-7000-8000-000000000000".to_owned(),
            "alert_id" => NOBODY.to_owned(),
            "provider" => "nobody".to_owned(),
            other => panic!("{}: teach this test what {other} is", self.id),
        })
    }

    fn has_resource(&self) -> bool {
        self.path_with(&|_| "\0".to_owned()).contains('\0')
    }
}

/// The operations of teams, without the event stream, which never ends.
pub(crate) fn operations(document: &Value) -> Vec<Operation> {
    let mut all = every_operation(document);
    all.retain(|operation| !operation.is_admin() && operation.id != "events_stream");
    assert!(all.len() > 50, "the document is too short: {}", all.len());
    all
}

/// The operations of operators.
pub(crate) fn admin_operations(document: &Value) -> Vec<Operation> {
    let mut all = every_operation(document);
    all.retain(Operation::is_admin);
    assert!(all.len() > 20, "the document is too short: {}", all.len());
    all
}

fn every_operation(document: &Value) -> Vec<Operation> {
    let mut all = Vec::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let ways = operation["security"].as_array().into_iter().flatten();
            let scopes = ways
                .filter_map(|way| way.get("bearer_auth").or_else(|| way.get("operator_auth")))
                .find_map(Value::as_array);
            let words = |values: &Vec<Value>| values.iter().map(|word| word.as_str().unwrap().to_owned()).collect();
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            all.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_ascii_uppercase(),
                template: template.clone(),
                parameters: parameters.map(|one| one["name"].as_str().unwrap().to_owned()).collect(),
                body: operation.pointer("/requestBody/content/application~1json/schema").cloned(),
                scopes: scopes.map(words),
            });
        }
    }
    all
}

/// A body with nothing wrong in it, whoever's the path is.
fn sound_body(operation: &Operation, ours: &Team) -> Option<Value> {
    operation.body.as_ref()?;
    Some(match operation.id.as_str() {
        "droplets_create" => json!({ "name": "x", "size": "small", "image": "no-such-image" }),
        "dropletActions_post" | "dropletActions_post_byTag" => json!({ "type": "power_off" }),
        "images_create_custom" => json!({ "name": "x", "url": "https://images.example.com/x", "region": "nowhere" }),
        "imageActions_post" => json!({ "type": "transfer", "region": "local" }),
        "sshKeys_create" => json!({ "name": "x", "public_key": "nonsense" }),
        "sshKeys_update" | "images_update" => json!({ "name": "taken over" }),
        "tags_create" => json!({ "name": "not a tag" }),
        "tags_assign_resources" | "tags_unassign_resources" => {
            json!({ "resources": [{ "resource_id": ours.server.to_string(), "resource_type": "droplet" }] })
        }
        "images_post_account_transfer_create" => json!({ "recipient_uuid": "00000000-0000-7000-8000-000000000000" }),
        "images_post_account_transfer_accept" => json!({ "transfer_id": 1, "recipient_uuid": ours.id.0 }),
        "images_post_account_transfer_cancel" | "images_post_account_transfer_decline" => json!({ "transfer_id": 1 }),
        "droplets_destroy_withAssociatedResourcesSelective" => json!({}),
        other => panic!("teach this test a body for {other}"),
    })
}

/// An answer without what is different every time.
fn bare(mut answer: (u16, Value)) -> (u16, Value) {
    if let Some(fields) = answer.1.as_object_mut() {
        fields.remove("request_id");
    }
    answer
}

/// Tokens that open nothing, with the status that each is answered.
async fn useless_tokens(store: &Store, team: TeamId) -> Vec<(&'static str, String, u16)> {
    let mut tx = store.begin().await.unwrap();
    let revoked = store::tenancy::mint_token(&mut tx, team, "revoked", &[]).await.unwrap();
    assert!(store::tenancy::revoke_token(&mut tx, team, revoked.id).await.unwrap());
    let expired = store::tenancy::mint_token(&mut tx, team, "expired", &[]).await.unwrap();
    let elsewhere = ["vpc:read".to_owned(), "domain:delete".to_owned()];
    let narrow = store::tenancy::mint_token(&mut tx, team, "narrow", &elsewhere).await.unwrap();
    sqlx::query("UPDATE tokens SET expires_at = now() - interval '1 second' WHERE id = $1")
        .bind(expired.id.0)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    vec![
        ("no token", String::new(), 401),
        ("garbage", "cairn_garbage".to_owned(), 401),
        ("revoked", revoked.secret.reveal().to_owned(), 401),
        ("expired", expired.secret.reveal().to_owned(), 401),
        ("no scope", narrow.secret.reveal().to_owned(), 403),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reaches_what_is_not_theirs() {
    let installation = Installation::with_empty_image().await;
    let daemon = installation.start().await;
    let tenants = Tenants::make(&installation).await;
    let (ours, theirs) = (&tenants.ours, &tenants.theirs);
    let document = ours.client.get("/openapi.json").await;
    let before = (ours.everything().await, theirs.everything().await);
    let store = installation.store().await;
    let mut cases = 0;

    for (what, token, expected) in useless_tokens(&store, ours.id).await {
        let client = installation.client_with(token);
        for operation in operations(&document) {
            let Some(scopes) = &operation.scopes else { continue };
            if expected == 403 && scopes.is_empty() {
                continue;
            }
            let path = operation.path_of(ours);
            let answer = client.send(&operation.method, &path, sound_body(&operation, ours)).await;
            assert_eq!(answer.0, expected, "{what}: {} {path}: {}", operation.method, answer.1);
            cases += 1;
        }
        let (status, _) = client.send("GET", "/cloud/v1/events", None).await;
        assert_eq!(status, expected, "{what}: the event stream");
        cases += 1;
    }
    cases += planes_are_apart(&installation, &store, &document, ours).await;
    cases += scopes_are_all_needed(&installation, &store, &document, ours).await;
    cases += foreign_paths(&document, ours, theirs).await;
    cases += foreign_references(ours, theirs).await;
    let after = (ours.everything().await, theirs.everything().await);
    assert_eq!(before, after, "somebody's refused requests have changed something");

    let rows = second_lock(&store, ours.id, theirs.id).await;
    let tables = rows.len();
    let looked = operators_tour(&installation, &document, &store).await;
    let visited = tour(&installation, &tenants, &document).await;
    // Our own token has ended itself on the tour, and our servers are going.
    tidy(&installation, &[&theirs.client]).await;
    daemon.end(Signal::SIGTERM).await;
    figures::write(
        "isolation",
        &[
            ("refusals", cases),
            ("tables under row-level security", tables),
            ("operations that succeed", visited + looked),
        ],
    );
}

/// However much a token may do in its own plane, it opens nothing in the other; and an operator's has its scopes, too.
async fn planes_are_apart(installation: &Installation, store: &Store, document: &Value, ours: &Team) -> usize {
    let mut tx = store.begin().await.unwrap();
    let revoked = store::operators::mint(&mut tx, "revoked", &[]).await.unwrap();
    assert!(store::operators::revoke(&mut tx, revoked.id).await.unwrap());
    let narrow = store::operators::mint(&mut tx, "narrow", &["nothing:at_all".to_owned()]).await.unwrap();
    tx.commit().await.unwrap();
    let useless = [
        ("no token", String::new(), 401),
        ("garbage", "cairn_op_garbage".to_owned(), 401),
        ("a team's", ours.client.token.clone(), 401),
        ("revoked", revoked.secret.reveal().to_owned(), 401),
        ("no scope", narrow.secret.reveal().to_owned(), 403),
    ];
    let mut cases = 0;
    for (what, token, expected) in useless {
        let client = installation.client_with(token);
        for operation in admin_operations(document) {
            let scopes = operation.scopes.as_ref().expect("nothing of operators is public");
            if expected == 403 && scopes.is_empty() {
                continue;
            }
            let path = operation.admin_path();
            let body = operation.body.as_ref().map(|_| json!({}));
            let (status, answer) = client.send(&operation.method, &path, body).await;
            assert_eq!(status, expected, "{what}: {} {path}: {answer}", operation.method);
            cases += 1;
        }
    }
    let operator = installation.operator();
    for operation in operations(document).into_iter().filter(|operation| operation.scopes.is_some()) {
        let path = operation.path_of(ours);
        let (status, answer) = operator.send(&operation.method, &path, sound_body(&operation, ours)).await;
        assert_eq!(status, 401, "an operator's: {} {path}: {answer}", operation.method);
        cases += 1;
    }
    assert_eq!(operator.send("GET", "/cloud/v1/events", None).await.0, 401);
    cases + 1
}

/// Where several scopes are needed, each of them alone is not enough; with all of them it is not the scope that fails.
async fn scopes_are_all_needed(installation: &Installation, store: &Store, document: &Value, ours: &Team) -> usize {
    let mut cases = 0;
    for operation in operations(document) {
        let scopes = operation.scopes.clone().unwrap_or_default();
        for one in scopes.iter().filter(|_| scopes.len() > 1) {
            let mut tx = store.begin().await.unwrap();
            let token = store::tenancy::mint_token(&mut tx, ours.id, "one", std::slice::from_ref(one)).await.unwrap();
            tx.commit().await.unwrap();
            let client = installation.client_with(token.secret.reveal().to_owned());
            let path = operation.path_of(ours);
            let (status, _) = client.send(&operation.method, &path, sound_body(&operation, ours)).await;
            assert_eq!(status, 403, "{} {path} with {one} alone", operation.method);
            cases += 1;
        }
    }
    cases
}

/// Our token in paths that are theirs: the same answer as for what does not exist. And no list shows anything of theirs.
async fn foreign_paths(document: &Value, ours: &Team, theirs: &Team) -> usize {
    let mut cases = 0;
    for operation in operations(document) {
        if operation.scopes.is_none() || operation.id == "token_revoke" {
            continue;
        }
        let (method, body) = (operation.method.as_str(), sound_body(&operation, ours));
        let dangerous = [("x-dangerous", "true")];
        if operation.has_resource() {
            let absent = operation.path_with(&|_| NOBODY.to_owned());
            let foreign = operation.path_of(theirs);
            let of_absent = bare(ours.client.send_with(method, &absent, &dangerous, body.clone()).await);
            let of_foreign = bare(ours.client.send_with(method, &foreign, &dangerous, body.clone()).await);
            assert_eq!(of_foreign, of_absent, "{method} {foreign} tells that it exists");
            // By a tag that is not there nothing is selected, which is no error where nothing is asked for by name.
            let refused = (400..500).contains(&of_foreign.0);
            let selects = operation.path_of(theirs).contains("tag_name=");
            assert!(
                of_foreign.0 == 404
                    || selects && (refused || of_foreign.0 == 204 || of_foreign.1["actions"] == json!([])),
                "{method} {foreign}: {of_foreign:?}"
            );
            cases += 1;
            if operation.parameters.iter().any(|name| name == "action_id")
                && operation.template.matches('{').count() == 2
            {
                let mixed = |action: String| {
                    operation.path_with(&|name| {
                        if name == "action_id" { action.clone() } else { ours.parameter(&operation, name) }
                    })
                };
                let of_foreign =
                    bare(ours.client.send(method, &mixed(theirs.parameter(&operation, "action_id")), None).await);
                let of_absent = bare(ours.client.send(method, &mixed(NOBODY.to_owned()), None).await);
                assert_eq!(of_foreign, of_absent, "{method} {} with their action", operation.template);
                assert_eq!(of_foreign.0, 404);
                cases += 1;
            }
        } else if method == "GET" {
            let (status, answer) = ours.client.send(method, &operation.template, None).await;
            let text = answer.to_string();
            assert_eq!(status, 200, "{method} {}: {text}", operation.template);
            for mark in ["theirs-1", "theirs-tag", "theirs-snapshot", &theirs.fingerprint, &theirs.id.0.to_string()] {
                assert!(!text.contains(mark), "{method} {} shows {mark}", operation.template);
            }
            let with_query = ["name=theirs-1", "tag_name=theirs-tag"];
            for query in with_query
                .iter()
                .filter(|query| operation.parameters.iter().any(|name| query.split('=').next() == Some(name.as_str())))
            {
                let found = ours.client.get(&format!("{}?{query}", operation.template)).await;
                assert_eq!(found["meta"]["total"], 0, "{} by {query}", operation.template);
                cases += 1;
            }
            cases += 1;
        }
    }
    cases
}

/// Our token, our paths, and in the body the ids of what is theirs.
async fn foreign_references(ours: &Team, theirs: &Team) -> usize {
    let create = |field: &str, value: Value| {
        let mut body = json!({ "name": "x", "size": "s-1vcpu-512mb-10gb", "image": IMAGE });
        body[field] = value;
        ("POST", "/v2/droplets".to_owned(), body)
    };
    let act = |kind: &str, image: i64| {
        ("POST", format!("/v2/droplets/{}/actions", ours.server), json!({ "type": kind, "image": image }))
    };
    let tag = |method: &'static str, kind: &str, id: i64| {
        let resources = json!({ "resources": [{ "resource_id": id.to_string(), "resource_type": kind }] });
        (method, "/v2/tags/ours-tag/resources".to_owned(), resources)
    };
    let destroy = |id: i64| {
        let path = format!("/v2/droplets/{}/destroy_with_associated_resources/selective", ours.server);
        ("DELETE", path, json!({ "snapshots": [id.to_string()] }))
    };
    let nobody: i64 = NOBODY.parse().unwrap();
    let pairs = [
        (create("image", json!(theirs.snapshot)), create("image", json!(nobody))),
        (create("ssh_keys", json!([theirs.key])), create("ssh_keys", json!([nobody]))),
        (create("ssh_keys", json!([theirs.fingerprint])), create("ssh_keys", json!(["00:".repeat(15) + "00"]))),
        (act("rebuild", theirs.snapshot), act("rebuild", nobody)),
        (act("restore", theirs.snapshot), act("restore", nobody)),
        (tag("POST", "droplet", theirs.server), tag("POST", "droplet", nobody)),
        (tag("POST", "image", theirs.snapshot), tag("POST", "image", nobody)),
        (tag("DELETE", "droplet", theirs.server), tag("DELETE", "droplet", nobody)),
        (destroy(theirs.snapshot), destroy(nobody)),
    ];
    let count = pairs.len();
    for ((method, path, foreign), (_, _, absent)) in pairs {
        let of_foreign = bare(ours.client.send(method, &path, Some(foreign.clone())).await);
        let of_absent = bare(ours.client.send(method, &path, Some(absent.clone())).await);
        // Where an answer repeats the reference, it repeats what was sent, as a word of its own.
        let neutral = |(status, body): &(u16, Value), ids: &[String]| {
            let text = ids.iter().fold(body.to_string(), |text, id| {
                text.replace(&format!("`{id}`"), "…").replace(&format!(" {id} "), " … ")
            });
            (*status, text)
        };
        let fingerprint = "00:".repeat(15) + "00";
        let nobody = [fingerprint, NOBODY.to_owned()];
        let known = [theirs.key, theirs.snapshot, theirs.server].map(|id| id.to_string());
        let theirs = [vec![theirs.fingerprint.clone()], known.to_vec()].concat();
        assert!(
            (400..500).contains(&of_foreign.0) || method == "DELETE" && of_foreign.0 == 204,
            "{method} {path} {foreign}: {of_foreign:?}"
        );
        let same = of_foreign == of_absent || neutral(&of_foreign, &theirs) == neutral(&of_absent, &nobody);
        assert!(same, "{method} {path} {foreign}: {of_foreign:?}, not {of_absent:?}");
    }
    count
}

/// Without any filter, each table with a `team_id` shows a team its own rows and the common ones.
async fn second_lock(store: &Store, ours: TeamId, theirs: TeamId) -> Vec<String> {
    let tables: Vec<String> = sqlx::query(
        "SELECT c.table_name::text AS name FROM information_schema.columns c
         JOIN information_schema.tables t USING (table_schema, table_name)
         WHERE c.table_schema = 'public' AND c.column_name = 'team_id' AND t.table_type = 'BASE TABLE' ORDER BY 1",
    )
    .fetch_all(store.pool())
    .await
    .unwrap()
    .iter()
    .map(|row| row.get("name"))
    .collect();
    let mut with_foreign_rows = 0;
    for table in &tables {
        let foreign = format!("SELECT count(*) FROM {table} WHERE team_id = $1");
        let exist: i64 = count(store.begin().await.unwrap(), &foreign, theirs).await.unwrap();
        with_foreign_rows += usize::from(exist > 0);
        // Not even with a filter for the other team; and a table that the API's role may not read at all shows nothing.
        for (query, of) in
            [(foreign.as_str(), theirs), (&format!("SELECT count(*) FROM {table} WHERE team_id <> $1"), ours)]
        {
            match count(store.tenant(ours).await.unwrap(), query, of).await {
                Ok(seen) => assert_eq!(seen, 0, "{table} shows {seen} rows of another team: {query}"),
                Err(sqlx::Error::Database(error)) => {
                    assert_eq!(error.code().as_deref(), Some("42501"), "{table}: {error}")
                }
                Err(error) => panic!("{table}: {error}"),
            }
        }
    }
    assert!(tables.len() >= 18 && with_foreign_rows >= 12, "{with_foreign_rows} of {tables:?} hold rows of theirs");
    tables
}

async fn count(mut tx: store::Tx, query: &str, team: TeamId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned())).bind(team.0).fetch_one(&mut *tx).await
}

/// Everything that operators can look at, and what can be done on a single host; how many there are. What takes a cluster
/// is tried where there is one.
async fn operators_tour(installation: &Installation, document: &Value, store: &Store) -> usize {
    let operator = installation.operator();
    let mut visited = 0;
    for operation in admin_operations(document).iter().filter(|one| one.method == "GET" && !one.has_resource()) {
        let (status, answer) = operator.send("GET", &operation.template, None).await;
        assert_eq!(status, 200, "{}: {answer}", operation.template);
        visited += 1;
    }
    let region = operator.get("/admin/v1/regions/local").await["region"].take();
    assert_eq!((&region["slug"], &region["provider"]), (&json!("local"), &json!("qemu")));
    let host = operator.get("/admin/v1/hosts?region=local").await["hosts"][0].take();
    let path = format!("/admin/v1/hosts/{}", host["id"].as_str().unwrap());
    for (maintenance, state) in [(true, "maintenance"), (false, "up")] {
        let (status, answer) = operator.send("PUT", &path, Some(json!({ "maintenance": maintenance }))).await;
        assert_eq!((status, &answer["host"]["state"]), (200, &json!(state)), "{answer}");
    }
    assert_eq!(operator.get(&path).await["host"]["id"], host["id"]);
    let mut tx = store.begin().await.unwrap();
    store::alerts::raise(&mut tx, "tour", "tour:1", "Somebody came by.").await.unwrap();
    tx.commit().await.unwrap();
    let alerts = operator.get("/admin/v1/alerts").await["alerts"].take();
    let ours = alerts.as_array().unwrap().iter().find(|alert| alert["kind"] == "tour").unwrap();
    let path = format!("/admin/v1/alerts/{}/acknowledge", ours["id"]);
    let (status, answer) = operator.send("POST", &path, None).await;
    assert!(status == 200 && answer["alert"]["acknowledged_at"].is_string(), "{status} {answer}");
    let mut tx = store.begin().await.unwrap();
    store::alerts::resolve(&mut tx, "tour", "tour:1").await.unwrap();
    tx.commit().await.unwrap();
    visited + 4
}

/// Each operation of teams succeeds once; how many there are.
async fn tour(installation: &Installation, tenants: &Tenants, document: &Value) -> usize {
    let (ours, theirs) = (&tenants.ours, &tenants.theirs);
    let mut tour = Tour { all: operations(document), visited: BTreeSet::new() };
    let client = &ours.client;
    for id in tour.all.iter().filter(|one| one.method == "GET").map(|one| one.id.clone()).collect::<Vec<_>>() {
        if id != "droplets_get_DestroyAssociatedResourcesStatus" {
            tour.go(client, ours, &id, None).await;
        }
    }
    let key = json!({ "name": "second", "public_key": public_key(installation, "second").await });
    tour.go(client, ours, "sshKeys_create", Some(key)).await;
    tour.go(client, ours, "sshKeys_update", Some(json!({ "name": "renamed" }))).await;
    tour.go(client, ours, "tags_create", Some(json!({ "name": "fresh" }))).await;
    let tagged = json!({ "resources": [{ "resource_id": ours.snapshot.to_string(), "resource_type": "image" }] });
    tour.go(client, ours, "tags_assign_resources", Some(tagged.clone())).await;
    tour.go(client, ours, "tags_unassign_resources", Some(tagged)).await;

    tour.go(client, ours, "images_update", Some(json!({ "name": "ours, renamed" }))).await;
    let custom = json!({ "name": "own", "url": "https://images.example.com/own.qcow2", "region": "local" });
    tour.go(client, ours, "images_create_custom", Some(custom)).await;
    let asked =
        tour.go(client, ours, "imageActions_post", Some(json!({ "type": "transfer", "region": "local" }))).await;
    client.ended(asked["action"]["id"].as_i64().unwrap()).await;
    let asked =
        tour.go(client, ours, "dropletActions_post", Some(json!({ "type": "rename", "name": "renamed" }))).await;
    client.ended(asked["action"]["id"].as_i64().unwrap()).await;
    let asked = tour.go(client, ours, "dropletActions_post_byTag", Some(json!({ "type": "power_off" }))).await;
    client.ended(asked["actions"][0]["id"].as_i64().unwrap()).await;

    // Of three offers one is taken back, one declined and one accepted; after that the snapshot is theirs.
    let offer = json!({ "recipient_uuid": theirs.id.0 });
    let mut transfers = Vec::new();
    for (how, who) in [("cancel", ours), ("decline", theirs), ("accept", theirs)] {
        let made = tour.go(client, ours, "images_post_account_transfer_create", Some(offer.clone())).await;
        let mut body = json!({ "transfer_id": made["transfer_id"] });
        if how == "accept" {
            body["recipient_uuid"] = json!(theirs.id.0);
        }
        tour.go(&who.client, ours, &format!("images_post_account_transfer_{how}"), Some(body)).await;
        transfers.push(made["transfer_id"].clone());
    }
    assert_eq!(client.send("GET", &format!("/v2/images/{}", ours.snapshot), None).await.0, 404, "it is given away");
    tour.go(&theirs.client, ours, "images_delete", None).await;
    tour.go(&theirs.client, theirs, "snapshots_delete", None).await;

    // Four servers go in four ways.
    tour.go(client, ours, "droplets_destroy_withAssociatedResourcesSelective", Some(json!({}))).await;
    tour.go(client, ours, "droplets_get_DestroyAssociatedResourcesStatus", None).await;
    tour.go(client, ours, "droplets_destroy_retryWithAssociatedResources", None).await;
    tour.go(&theirs.client, theirs, "droplets_destroy_withAssociatedResourcesDangerous", None).await;
    let more = json!({ "names": ["a", "b"], "size": "s-1vcpu-512mb-10gb", "image": IMAGE, "tags": ["ours-tag"] });
    let made = tour.go(client, ours, "droplets_create", Some(more)).await;
    let id = made["droplets"][0]["id"].as_i64().unwrap();
    tour.send(client, "droplets_destroy", &format!("/v2/droplets/{id}"), None).await;
    tour.go(client, ours, "droplets_destroy_byTag", None).await;
    tour.go(client, ours, "tags_delete", None).await;
    tour.go(client, ours, "sshKeys_delete", None).await;
    let last = installation.client_with(ours.client.token.clone());
    tour.go(&last, ours, "token_revoke", None).await;
    assert_eq!(client.send("GET", "/v2/account", None).await.0, 401);

    let all: BTreeSet<String> = tour.all.iter().map(|one| one.id.clone()).collect();
    let missed: Vec<_> = all.difference(&tour.visited).collect();
    assert!(missed.is_empty(), "never seen to succeed: {missed:?}");
    tags_are_complete(document);
    all.len()
}

struct Tour {
    all: Vec<Operation>,
    visited: BTreeSet<String>,
}

impl Tour {
    /// On what `team` has in the path.
    async fn go(&mut self, client: &Client, team: &Team, id: &str, body: Option<Value>) -> Value {
        let operation = self.all.iter().find(|one| one.id == id).unwrap_or_else(|| panic!("there is no {id}"));
        let path = operation.path_of(team);
        self.send(client, id, &path, body).await
    }

    async fn send(&mut self, client: &Client, id: &str, path: &str, body: Option<Value>) -> Value {
        let operation = self.all.iter().find(|one| one.id == id).unwrap_or_else(|| panic!("there is no {id}"));
        let (status, answer) = client.send_with(&operation.method, path, &[("x-dangerous", "true")], body).await;
        assert!((200..300).contains(&status), "{} {path}: {status} {answer}", operation.method);
        self.visited.insert(id.to_owned());
        answer
    }
}

/// What these chapters of the specification have, the document has, so that the tour went through it.
fn tags_are_complete(document: &Value) {
    let Some(contract) = Contract::load() else { return };
    let chapters = [
        "Account",
        "Regions",
        "Sizes",
        "Images",
        "Image Actions",
        "SSH Keys",
        "Droplets",
        "Droplet Actions",
        "Actions",
        "Snapshots",
        "Tags",
    ];
    let ours: BTreeSet<String> = operations(document).into_iter().map(|one| one.id).collect();
    let missing: Vec<&str> = contract
        .operations()
        .iter()
        .filter(|one| chapters.contains(&one.tag.as_str()) && !ours.contains(&one.operation_id))
        .map(|one| one.operation_id.as_str())
        .collect();
    assert!(missing.is_empty(), "the document lacks {missing:?}");
}
