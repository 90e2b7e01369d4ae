//! Lives of guests beyond what was captured: clones, migration, images, networks, the manager of HA.

use crate::client::{Client, instant, stepped};
use simulator::Deed;
use std::time::Duration;

const TEMPLATE: &[(&str, &str)] = &[
    ("vmid", "900"),
    ("name", "debian"),
    ("scsi0", "shared:0,import-from=local:import/debian-13-genericcloud-amd64.qcow2"),
    ("ide2", "shared:cloudinit"),
    ("net0", "virtio,bridge=vmbr0"),
];

async fn ended(client: &Client, method: &str, path: &str, form: &[(&str, &str)]) -> String {
    let upid = client.done(method, path, form).await.text();
    client.exit(&upid).await
}

#[tokio::test]
async fn a_linked_clone_keeps_its_template() {
    let (simulator, client) = instant(2).await;
    assert_eq!(ended(&client, "POST", "/nodes/pve1/qemu", TEMPLATE).await, "OK");
    assert_eq!(ended(&client, "POST", "/nodes/pve1/qemu/900/template", &[]).await, "OK");
    let form = [("newid", "100"), ("name", "web"), ("target", "pve2")];
    assert_eq!(ended(&client, "POST", "/nodes/pve1/qemu/900/clone", &form).await, "OK");
    let config = client.get("/nodes/pve2/qemu/100/config").await;
    assert_eq!(config.data()["scsi0"], "shared:base-900-disk-0/vm-100-disk-0,size=3G");
    assert_eq!((&config.data()["name"], &config.data()["lock"]), (&"web".into(), &serde_json::Value::Null));
    assert_ne!(config.data()["net0"], client.get("/nodes/pve1/qemu/900/config").await.data()["net0"]);
    let text = "base volume 'shared:base-900-disk-0' is still in use by linked cloned";
    assert_eq!(ended(&client, "DELETE", "/nodes/pve1/qemu/900", &[]).await, text);
    assert_eq!(ended(&client, "DELETE", "/nodes/pve2/qemu/100", &[("purge", "1")]).await, "OK");
    assert_eq!(ended(&client, "DELETE", "/nodes/pve1/qemu/900", &[]).await, "OK");
    assert!(
        simulator.control.volumes().iter().all(|volume| volume.vmid.is_none()),
        "{:?}",
        simulator.control.volumes()
    );
}

#[tokio::test]
async fn a_running_guest_moves_with_its_disks_if_it_is_told_to() {
    let (simulator, client) = instant(2).await;
    client.done("POST", "/nodes/pve1/qemu", &[("vmid", "100"), ("scsi0", "local-lvm:8"), ("start", "1")]).await;
    let seen = client.get("/nodes/pve1/qemu/100/migrate").await;
    assert_eq!((&seen.data()["running"], &seen.data()["allowed_nodes"]), (&1.into(), &serde_json::json!(["pve2"])));
    let path = "/nodes/pve1/qemu/100/migrate";
    let refused = client.call("POST", path, &[("target", "pve2")]).await.unwrap();
    assert_eq!(refused.reason, "can't migrate running VM without --online");
    let online = [("target", "pve2"), ("online", "1")];
    assert_eq!(
        ended(&client, "POST", path, &online).await,
        "can't live migrate attached local disks without with-local-disks option"
    );
    let with_disks = [("target", "pve2"), ("online", "1"), ("with-local-disks", "1")];
    assert_eq!(ended(&client, "POST", path, &with_disks).await, "OK");
    let guest = simulator.control.guests().remove(0);
    assert_eq!((guest.node.as_str(), guest.status.as_str(), guest.config.get("lock")), ("pve2", "running", None));
    let gone = client.get("/nodes/pve1/qemu/100/config").await;
    assert_eq!(gone.reason, "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist");
    assert_eq!(
        simulator.control.volumes().iter().find(|volume| volume.vmid.is_some()).unwrap().node.as_deref(),
        Some("pve2")
    );
}

#[tokio::test]
async fn a_download_is_repeated_only_with_its_checksum() {
    let (_simulator, client) = instant(1).await;
    let path = "/nodes/pve1/storage/local/download-url";
    let sum = "a".repeat(64);
    let with = |sum: &'static str| {
        [
            ("content", "import"),
            ("filename", "x.qcow2"),
            ("url", "https://example.net/x"),
            ("checksum", sum),
            ("checksum-algorithm", "sha256"),
        ]
    };
    let sum: &'static str = Box::leak(sum.into_boxed_str());
    assert_eq!(ended(&client, "POST", path, &with(sum)).await, "OK");
    assert_eq!(ended(&client, "POST", path, &with(sum)).await, "OK");
    assert!(ended(&client, "POST", path, &with("bb")).await.starts_with("checksum mismatch"));
    let without = [("content", "import"), ("filename", "x.qcow2"), ("url", "https://example.net/x")];
    assert_eq!(ended(&client, "POST", path, &without).await, "refusing to override existing file");
    let wrong = [("content", "import"), ("filename", "x.img"), ("url", "https://example.net/x")];
    assert_eq!(client.call("POST", path, &wrong).await.unwrap().body["errors"]["filename"], "wrong file extension");
}

#[tokio::test]
async fn networks_are_edited_by_whoever_holds_the_lock() {
    let (_simulator, client) = instant(2).await;
    let token = client.done("POST", "/cluster/sdn/lock", &[]).await.text();
    let zone = [("zone", "z1"), ("type", "vxlan"), ("peers", "10.0.0.1")];
    let refused = client.call("POST", "/cluster/sdn/zones", &zone).await.unwrap();
    assert!(refused.reason.contains("invalid lock token provided!"), "{}", refused.reason);
    let held = [zone[0], zone[1], zone[2], ("lock-token", token.as_str())];
    client.done("POST", "/cluster/sdn/zones", &held).await;
    client
        .done("POST", "/cluster/sdn/vnets", &[("vnet", "v1"), ("zone", "z1"), ("tag", "77"), ("lock-token", &token)])
        .await;
    assert_eq!(client.get("/cluster/sdn/vnets?pending=1").await.data()[0]["state"], "new");
    assert_eq!(ended(&client, "PUT", "/cluster/sdn", &[("lock-token", &token)]).await, "OK");
    assert_eq!(
        client.get("/nodes/pve2/sdn/zones").await.data(),
        &serde_json::json!([{ "zone": "z1", "status": "available" }])
    );
    client.done("POST", "/cluster/sdn/lock", &[]).await;
    client.done("DELETE", "/cluster/sdn/lock", &[("force", "1")]).await;
}

#[tokio::test]
async fn the_manager_of_ha_starts_what_was_only_asked_for_and_restarts_it_elsewhere() {
    let (simulator, client) = stepped(3).await;
    client.done("POST", "/nodes/pve2/qemu", &[("vmid", "100"), ("scsi0", "shared:8")]).await;
    simulator.control.advance(Duration::from_secs(2));
    client.done("POST", "/cluster/ha/resources", &[("sid", "vm:100"), ("state", "stopped")]).await;
    simulator.control.advance(Duration::from_secs(11));
    let upid = client.done("POST", "/nodes/pve2/qemu/100/status/start", &[]).await.text();
    assert!(upid.contains(":hastart:100:"), "{upid}");
    assert_eq!(client.exit(&upid).await, "OK");
    assert_eq!(simulator.control.guests()[0].status, "stopped");
    simulator.control.advance(Duration::from_secs(13));
    assert_eq!(simulator.control.guests()[0].status, "running");
    let refused = client.call("DELETE", "/nodes/pve2/qemu/100", &[]).await.unwrap();
    assert!(refused.reason.contains("used in HA resources and purge parameter not set"), "{}", refused.reason);
    simulator.control.deed(Deed::NodeDies { node: "pve2".to_owned() }).await.unwrap();
    simulator.control.advance(Duration::from_secs(121));
    let guest = simulator.control.guests().remove(0);
    assert_eq!((guest.node.as_str(), guest.status.as_str()), ("pve1", "running"));
}

#[tokio::test]
async fn rules_of_a_firewall_stand_in_their_order() {
    let (_simulator, client) = instant(2).await;
    client.done("POST", "/nodes/pve2/qemu", &[("vmid", "100")]).await;
    let rules = "/nodes/pve2/qemu/100/firewall/rules";
    for port in ["22", "80"] {
        client.done("POST", rules, &[("type", "in"), ("action", "ACCEPT"), ("proto", "tcp"), ("dport", port)]).await;
    }
    let seen = client.get(rules).await;
    assert_eq!((&seen.data()[0]["dport"], &seen.data()[1]["dport"]), (&"80".into(), &"22".into()));
    let digest = seen.data()[0]["digest"].as_str().unwrap();
    client.done("DELETE", &format!("{rules}/0"), &[("digest", digest)]).await;
    let stale = client.call("DELETE", &format!("{rules}/0"), &[("digest", digest)]).await.unwrap();
    assert!(stale.reason.starts_with("detected modified configuration"));
    client.done("POST", "/nodes/pve2/qemu/100/firewall/ipset", &[("name", "ipfilter-net0")]).await;
    client.done("POST", "/nodes/pve2/qemu/100/firewall/ipset/ipfilter-net0", &[("cidr", "10.0.0.0/24")]).await;
    client.done("DELETE", "/nodes/pve2/qemu/100/firewall/ipset/ipfilter-net0/10.0.0.0%2F24", &[]).await;
    assert_eq!(client.get("/nodes/pve2/qemu/100/firewall/ipset/ipfilter-net0").await.data(), &serde_json::json!([]));
}

#[tokio::test]
async fn a_container_lives_and_moves() {
    let (simulator, client) = instant(2).await;
    let form = [
        ("vmid", "200"),
        ("ostemplate", "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"),
        ("rootfs", "local-lvm:8"),
        ("net0", "name=eth0,bridge=vmbr0,ip=10.0.0.5/24"),
        ("unprivileged", "1"),
    ];
    assert_eq!(ended(&client, "POST", "/nodes/pve1/lxc", &form).await, "WARNINGS: 1");
    assert_eq!(ended(&client, "POST", "/nodes/pve1/lxc/200/status/start", &[]).await, "WARNINGS: 1");
    assert_eq!(client.get("/nodes/pve1/lxc/200/interfaces").await.data()[1]["inet"], "10.0.0.5/24");
    assert_eq!(
        ended(&client, "POST", "/nodes/pve1/lxc/200/migrate", &[("target", "pve2"), ("restart", "1")]).await,
        "OK"
    );
    assert_eq!(ended(&client, "POST", "/nodes/pve2/lxc/200/status/shutdown", &[]).await, "OK");
    assert_eq!(ended(&client, "DELETE", "/nodes/pve2/lxc/200", &[]).await, "OK");
    assert_eq!(simulator.control.guests(), []);
}

#[tokio::test]
async fn a_node_starts_and_stops_what_is_on_it() {
    let (simulator, client) = instant(1).await;
    for (vmid, onboot) in [("100", "1"), ("101", "0")] {
        client.done("POST", "/nodes/pve1/qemu", &[("vmid", vmid), ("onboot", onboot)]).await;
    }
    let running = || simulator.control.guests().iter().filter(|guest| guest.status == "running").count();
    assert_eq!(ended(&client, "POST", "/nodes/pve1/startall", &[]).await, "OK");
    assert_eq!(running(), 1);
    assert_eq!(ended(&client, "POST", "/nodes/pve1/startall", &[("force", "1")]).await, "OK");
    assert_eq!(running(), 2);
    assert_eq!(ended(&client, "POST", "/nodes/pve1/stopall", &[]).await, "OK");
    assert_eq!(running(), 0);
}

#[tokio::test]
async fn groups_of_high_availability_became_rules() {
    let (_simulator, client) = instant(2).await;
    let got = client.get("/cluster/ha/groups").await;
    assert_eq!((got.status, got.reason.as_str()), (500, "cannot index groups: ha groups have been migrated to rules"));
    for vmid in ["100", "101"] {
        client.done("POST", "/nodes/pve1/qemu", &[("vmid", vmid), ("scsi0", "shared:1")]).await;
    }
    let grouped = [("sid", "vm:100"), ("group", "fast")];
    let refused = client.call("POST", "/cluster/ha/resources", &grouped).await.unwrap();
    assert_eq!(refused.reason, "invalid parameter 'group': ha groups have been migrated to rules");
    for sid in ["vm:100", "vm:101"] {
        client.done("POST", "/cluster/ha/resources", &[("sid", sid), ("state", "stopped")]).await;
    }
    let apart =
        [("rule", "apart"), ("type", "resource-affinity"), ("affinity", "negative"), ("resources", "vm:100,vm:101")];
    client.done("POST", "/cluster/ha/rules", &apart).await;
    assert_eq!(client.get("/nodes/pve2/qemu").await.data()[0]["vmid"], 101);
}
