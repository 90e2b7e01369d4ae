//! PCI devices: handed to guests by mappings only, chosen at the start, and left behind only by a guest that stands still.

use crate::client::{Client, started};
use serde_json::json;
use simulator::{AclSpec, ClockKind, GuestSpec, MappingSpec, Scenario, TOKEN_SECRET, TokenSpec, UserSpec};

fn scenario() -> Scenario {
    Scenario {
        mappings: vec![MappingSpec::new("a100", &[("pve1", 2), ("pve2", 1)])],
        ..Scenario::cluster_of(3).with_clock(ClockKind::Instant)
    }
}

async fn ended(client: &Client, method: &str, path: &str, form: &[(&str, &str)]) -> String {
    let upid = client.done(method, path, form).await.text();
    client.exit(&upid).await
}

async fn make(client: &Client, vmid: &str, more: &[(&str, &str)]) {
    let form = [&[("vmid", vmid), ("scsi0", "shared:1"), ("machine", "q35")], more].concat();
    assert_eq!(ended(client, "POST", "/nodes/pve1/qemu", &form).await, "OK");
}

#[tokio::test]
async fn a_device_is_chosen_at_the_start_and_free_again_at_the_end() {
    let (_simulator, client) = started(scenario()).await;
    for vmid in ["100", "101", "102"] {
        make(&client, vmid, &[("hostpci0", "mapping=a100,pcie=1")]).await;
    }
    let start = async |vmid: &str| ended(&client, "POST", &format!("/nodes/pve1/qemu/{vmid}/status/start"), &[]).await;
    assert_eq!((start("100").await, start("101").await), ("OK".to_owned(), "OK".to_owned()));
    assert_eq!(start("102").await, "could not find a free device for 'hostpci0'");
    assert_eq!(ended(&client, "POST", "/nodes/pve1/qemu/100/status/stop", &[]).await, "OK");
    assert_eq!(start("102").await, "OK");
    make(&client, "103", &[("hostpci0", "mapping=nosuch")]).await;
    assert_eq!(start("103").await, "PCI device mapping not found for 'nosuch'");
    client
        .done("PUT", "/nodes/pve1/qemu/103/config", &[("delete", "machine"), ("hostpci0", "mapping=a100,pcie=1")])
        .await;
    assert_eq!(start("103").await, "q35 machine model is not enabled");
}

#[tokio::test]
async fn a_guest_that_runs_stays_with_its_device() {
    let (_simulator, client) = started(scenario()).await;
    make(&client, "100", &[("hostpci0", "mapping=a100"), ("start", "1")]).await;
    let seen = client.get("/nodes/pve1/qemu/100/migrate").await;
    let data = seen.data();
    assert_eq!((&data["local_resources"], &data["mapped-resources"]), (&json!(["hostpci0"]), &json!(["hostpci0"])));
    assert_eq!(data["mapped-resource-info"], json!({ "hostpci0": { "name": "a100" } }));
    assert_eq!(data["allowed_nodes"], json!(["pve2"]));
    assert_eq!(data["not_allowed_nodes"], json!({ "pve3": { "unavailable-resources": ["hostpci0"] } }));
    let path = "/nodes/pve1/qemu/100/migrate";
    let text = "can't live migrate running VM which uses following mapped devices: hostpci0:a100";
    assert_eq!(ended(&client, "POST", path, &[("target", "pve2"), ("online", "1")]).await, text);
    assert_eq!(ended(&client, "POST", "/nodes/pve1/qemu/100/status/stop", &[]).await, "OK");
    let text = "can't migrate to 'pve3': missing mapped devices hostpci0";
    assert_eq!(ended(&client, "POST", path, &[("target", "pve3")]).await, text);
    assert_eq!(ended(&client, "POST", path, &[("target", "pve2")]).await, "OK");
    assert_eq!(ended(&client, "POST", "/nodes/pve2/qemu/100/status/start", &[]).await, "OK");
    client.done("PUT", "/cluster/mapping/pci/a100", &[("live-migration-capable", "1")]).await;
    let back = [("target", "pve1"), ("online", "1")];
    assert_eq!(ended(&client, "POST", "/nodes/pve2/qemu/100/migrate", &back).await, "OK");
}

#[tokio::test]
async fn mappings_are_kept_as_the_schema_has_them() {
    let (_simulator, client) = started(scenario()).await;
    let one = "node=pve3,path=0000:41:00.0;0000:41:00.1,id=10de:27b8,iommugroup=9";
    client.done("POST", "/cluster/mapping/pci", &[("id", "l4"), ("map", one), ("description", "inference")]).await;
    let refused = client.call("POST", "/cluster/mapping/pci", &[("id", "l4"), ("map", one)]).await.unwrap();
    assert_eq!((refused.status, refused.reason.contains("already defined")), (500, true), "{refused:?}");
    let wrong =
        client.call("POST", "/cluster/mapping/pci", &[("id", "t4"), ("map", "node=pve3,path=nowhere,id=x")]).await;
    assert_eq!(wrong.unwrap().status, 400);
    let read = client.get("/cluster/mapping/pci/l4").await;
    assert_eq!((&read.data()["map"], &read.data()["description"]), (&json!([one]), &json!("inference")));
    let stale = [("digest", "0000"), ("mdev", "1")];
    let stale = client.call("PUT", "/cluster/mapping/pci/l4", &stale).await.unwrap();
    assert!(stale.reason.contains("detected modified configuration"), "{stale:?}");
    let digest = read.data()["digest"].as_str().unwrap().to_owned();
    client.done("PUT", "/cluster/mapping/pci/l4", &[("digest", &digest), ("delete", "description")]).await;
    let listed = client.get("/cluster/mapping/pci").await;
    let ids: Vec<_> = listed.data().as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, ["a100", "l4"]);
    client.done("DELETE", "/cluster/mapping/pci/l4", &[]).await;
    assert_eq!(client.get("/cluster/mapping/pci/l4").await.status, 500);
}

#[tokio::test]
async fn a_token_gets_devices_by_mappings_that_it_may_use_and_in_no_other_way() {
    let grant = |path: &str, role: &str| AclSpec {
        path: path.to_owned(),
        who: "a@pve".to_owned(),
        role: role.to_owned(),
        propagate: true,
    };
    let token = TokenSpec { id: "a@pve!t".to_owned(), secret: TOKEN_SECRET.to_owned(), privsep: false };
    let mut scenario = Scenario {
        users: vec![UserSpec { id: "a@pve".to_owned(), password: None }],
        acl: vec![grant("/vms", "PVEVMAdmin"), grant("/mapping/pci/a100", "PVEMappingUser")],
        guests: vec![GuestSpec { running: false, ..GuestSpec::default() }],
        ..scenario()
    };
    scenario.tokens.push(token);
    scenario.mappings.push(MappingSpec::new("other", &[("pve1", 1)]));
    let (simulator, _root) = started(scenario).await;
    let client = Client::at(&simulator.url, format!("PVEAPIToken=a@pve!t={TOKEN_SECRET}"));
    let listed = client.get("/cluster/mapping/pci").await;
    assert_eq!((listed.data().as_array().unwrap().len(), &listed.data()[0]["id"]), (1, &json!("a100")));
    assert_eq!(client.get("/cluster/mapping/pci/other").await.status, 403);
    let set =
        async |value: &str| client.call("PUT", "/nodes/pve1/qemu/100/config", &[("hostpci0", value)]).await.unwrap();
    let raw = set("0000:01:00").await;
    assert_eq!(raw.reason, "only root can set 'hostpci0' config for non-mapped devices");
    let other = set("mapping=other").await;
    assert_eq!((other.status, other.reason.contains("/mapping/pci/other, Mapping.Use")), (403, true), "{other:?}");
    assert_eq!(set("mapping=a100").await.status, 200);
    client.done("PUT", "/nodes/pve1/qemu/100/config", &[("delete", "hostpci0")]).await;
}
