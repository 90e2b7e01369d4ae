use crate::service::Service;
use crate::stage::Stage;
use model::catalogue::{Catalogue, Gpus};
use model::checksum::Checksum;
use serde_json::json;
use std::collections::BTreeMap;
use store::catalogue::{apply, resolve, unresolved};

#[tokio::test]
async fn the_catalogue_is_what_is_listed() {
    let service = Service::start().await;
    let empty = service.get("/v2/regions").await.expect(200);
    assert_eq!(empty.body, json!({"regions": [], "links": {}, "meta": {"total": 0}}));
    let catalogue = Catalogue::default_catalogue().unwrap();
    apply(service.database.store(), &catalogue).await.unwrap();
    let regions = service.get("/v2/regions").await.expect(200);
    assert_eq!(regions.body["regions"][0]["slug"], catalogue.regions[0].slug.as_str());
    assert_eq!(regions.body["regions"][0]["sizes"].as_array().unwrap().len(), catalogue.sizes.len());
    let sizes = service.get("/v2/sizes?per_page=200").await.expect(200);
    let slugs: Vec<&str> =
        sizes.body["sizes"].as_array().unwrap().iter().map(|size| size["slug"].as_str().unwrap()).collect();
    assert_eq!(slugs, catalogue.sizes.iter().map(|size| size.slug.as_str()).collect::<Vec<_>>(), "in the file's order");
    let small = &sizes.body["sizes"].as_array().unwrap().iter().find(|size| size["slug"] == "s-1vcpu-1gb").unwrap();
    assert_eq!((small["price_hourly"].as_f64(), small["memory"].as_i64()), (Some(0.00893), Some(1024)));
    assert_eq!(small["regions"], json!([catalogue.regions[0].slug.as_str()]));
    let page = service.get("/v2/sizes?per_page=3&page=2").await.expect(200);
    assert_eq!(page.body["sizes"][0]["slug"], slugs[3]);
    assert_eq!(page.body["links"]["pages"]["next"], "https://cloud.example/v2/sizes?per_page=3&page=3");
}

#[tokio::test]
async fn a_region_promises_no_private_networks_that_its_provider_does_not_have() {
    let service = Service::start().await;
    let store = service.database.store();
    let mut catalogue = Catalogue::default_catalogue().unwrap();
    catalogue.regions.truncate(1);
    catalogue.regions[0].features = vec!["private_networking".to_owned(), "metadata".to_owned()];
    apply(store, &catalogue).await.unwrap();
    let features = async || service.get("/v2/regions").await.expect(200).body["regions"][0]["features"].take();
    let both = json!(["private_networking", "metadata"]);
    assert_eq!(features().await, both, "nobody has asked it yet");
    for (has, shown) in [(false, json!(["metadata"])), (true, both)] {
        sqlx::query("UPDATE regions SET capabilities = jsonb_build_object('private_networks', $1::boolean)")
            .bind(has)
            .execute(store.pool())
            .await
            .unwrap();
        assert_eq!(features().await, shown);
    }
}

#[tokio::test]
async fn a_size_tells_its_gpus() {
    let service = Service::start().await;
    let mut catalogue = Catalogue::default_catalogue().unwrap();
    let model = Some("nvidia_a100".to_owned());
    catalogue.sizes[1].gpu = Some(Gpus { mapping: "a100".to_owned(), count: 2, model, vram_gib: 80 });
    apply(service.database.store(), &catalogue).await.unwrap();
    let sizes = service.get("/v2/sizes?per_page=200").await.expect(200);
    let said = json!({ "count": 2, "model": "nvidia_a100", "vram": { "amount": 80, "unit": "gib" } });
    assert_eq!((sizes.body["sizes"][0].get("gpu_info"), &sizes.body["sizes"][1]["gpu_info"]), (None, &said));
    catalogue.sizes[1].gpu = None;
    apply(service.database.store(), &catalogue).await.unwrap();
    let sizes = service.get("/v2/sizes?per_page=200").await.expect(200);
    assert_eq!(sizes.body["sizes"][1].get("gpu_info"), None);
}

/// As the specification has it: those with GPUs are listed where they are asked for.
#[tokio::test]
async fn servers_with_gpus_are_listed_where_they_are_asked_for() {
    let stage = Stage::set().await;
    let service = &stage.service;
    let (plain, fast) = (stage.server(service.ours.team, "web").await, stage.server(service.ours.team, "fast").await);
    let gpus = r#"'{"mapping": "a100", "count": 1, "vram_gib": 80}'"#;
    stage.run(&format!("UPDATE servers SET gpu = {gpus} WHERE id = {fast}")).await;
    let listed = async |query: &str| -> Vec<i64> {
        let list = service.get(&format!("/v2/droplets{query}")).await.expect(200).body;
        let servers = list["droplets"].as_array().unwrap();
        assert_eq!(list["meta"]["total"], servers.len());
        servers.iter().map(|server| server["id"].as_i64().unwrap()).collect()
    };
    let (plain, fast) = (i64::from(plain.0), i64::from(fast.0));
    assert_eq!((listed("").await, listed("?type=droplets").await), (vec![plain], vec![plain]));
    assert_eq!((listed("?type=gpus").await, listed("?type=all").await), (vec![fast], vec![plain, fast]));
    assert_eq!(listed("?name=fast").await, [fast], "who names it wants it");
    service.get("/v2/droplets?type=moon").await.refused(422, "gpus");
    let one = service.get(&format!("/v2/droplets/{fast}")).await.expect(200).body;
    let said = json!({ "count": 1, "model": "a100", "vram": { "amount": 80, "unit": "gib" } });
    assert_eq!((&one["droplet"]["gpu_info"], &one["droplet"]["size"]["gpu_info"]), (&said, &said));
}

async fn everything(service: &Service) -> Vec<String> {
    let mut rows = Vec::new();
    for statement in [
        "SELECT row_to_json(t)::text FROM regions t ORDER BY slug",
        "SELECT row_to_json(t)::text FROM sizes t ORDER BY slug",
        "SELECT row_to_json(t)::text FROM images t ORDER BY id",
        "SELECT row_to_json(t)::text FROM address_pools t ORDER BY id",
    ] {
        rows.extend(
            sqlx::query_scalar::<_, String>(statement).fetch_all(service.database.store().pool()).await.unwrap(),
        );
    }
    rows
}

#[tokio::test]
async fn applying_again_changes_nothing_and_what_is_left_out_comes_back() {
    let service = Service::start().await;
    let store = service.database.store();
    let catalogue = Catalogue::default_catalogue().unwrap();
    let (one, two) = tokio::join!(apply(store, &catalogue), apply(store, &catalogue));
    assert_eq!(one.unwrap(), two.unwrap());
    let first = everything(&service).await;
    apply(store, &catalogue).await.unwrap();
    assert_eq!(everything(&service).await, first);

    let mut fewer = catalogue.clone();
    let (size, image) = (fewer.sizes.pop().unwrap(), fewer.images.remove(0));
    apply(store, &fewer).await.unwrap();
    let sizes = service.get("/v2/sizes?per_page=200").await.expect(200);
    let gone = sizes.body["sizes"].as_array().unwrap().iter().find(|one| one["slug"] == size.slug.as_str()).unwrap();
    assert_eq!(gone["available"], false);
    let status: String = sqlx::query_scalar("SELECT status FROM images WHERE slug = $1")
        .bind(image.slug.as_str())
        .fetch_one(store.pool())
        .await
        .unwrap();
    assert_eq!(status, "retired");
    apply(store, &catalogue).await.unwrap();
    assert_eq!(everything(&service).await, first);
}

#[tokio::test]
async fn an_image_waits_for_its_checksum_and_gets_a_new_id_with_new_bytes() {
    let service = Service::start().await;
    let store = service.database.store();
    let catalogue = Catalogue::default_catalogue().unwrap();
    let applied = apply(store, &catalogue).await.unwrap();
    let open = unresolved(store).await.unwrap();
    assert_eq!(open.iter().map(|image| image.slug.clone()).collect::<Vec<_>>(), applied.unresolved_images);
    let image = &open[0];
    let sum = Checksum::from_hex(&"ab".repeat(32)).unwrap();
    resolve(store, image, &sum).await.unwrap();
    apply(store, &catalogue).await.unwrap();
    assert_eq!(unresolved(store).await.unwrap().len(), open.len() - 1, "what is known is not asked for again");
    let (id, status, source): (i32, String, serde_json::Value) =
        sqlx::query_as("SELECT id, status, source FROM images WHERE slug = $1")
            .bind(&image.slug)
            .fetch_one(store.pool())
            .await
            .unwrap();
    assert_eq!((id, status.as_str()), (image.image.0, "available"));
    assert_eq!(source["url"], json!({"url": image.url, "checksum": {"sha256": "ab".repeat(32)}}));

    let files = BTreeMap::from([(image.slug.clone(), "/images/mine.qcow2".to_owned())]);
    apply(store, &catalogue.with_image_files(&files).unwrap()).await.unwrap();
    let (new, source): (i32, serde_json::Value) = sqlx::query_as("SELECT id, source FROM images WHERE slug = $1")
        .bind(&image.slug)
        .fetch_one(store.pool())
        .await
        .unwrap();
    assert_ne!(new, id);
    assert_eq!(source, json!({"file": {"path": "/images/mine.qcow2", "checksum": null}}));
    let (status, slug): (String, Option<String>) =
        sqlx::query_as("SELECT status, slug FROM images WHERE id = $1").bind(id).fetch_one(store.pool()).await.unwrap();
    assert_eq!((status.as_str(), slug), ("retired", None));
}

#[tokio::test]
async fn a_pool_in_use_only_grows() {
    let service = Service::start().await;
    let store = service.database.store();
    let text = model::catalogue::DEFAULT;
    let with = |range: &str| Catalogue::parse(&text.replace("198.18.64.0/20", range)).unwrap();
    let range = async || -> String {
        sqlx::query_scalar("SELECT range::text FROM address_pools").fetch_one(store.pool()).await.unwrap()
    };
    apply(store, &with("198.18.64.0/24")).await.unwrap();
    assert!(apply(store, &with("198.18.128.0/24")).await.unwrap().kept_pools.is_empty());
    assert_eq!(range().await, "198.18.128.0/24");
    sqlx::query("UPDATE address_pools SET next = next + 10").execute(store.pool()).await.unwrap();
    assert!(apply(store, &with("198.18.128.0/20")).await.unwrap().kept_pools.is_empty());
    assert_eq!(range().await, "198.18.128.0/20");
    assert_eq!(apply(store, &with("198.18.64.0/20")).await.unwrap().kept_pools, ["local/public"]);
    assert_eq!(range().await, "198.18.128.0/20");
}
