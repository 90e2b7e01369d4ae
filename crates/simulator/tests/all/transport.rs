//! What lies below the methods: status lines, bodies, connections, authentication.

use crate::client::{Client, instant, stepped};
use simulator::Control;
use std::time::Duration;

#[tokio::test]
async fn a_body_where_none_belongs_is_501() {
    let (_simulator, client) = instant(1).await;
    let got = client.send(client.request("DELETE", "/pools/x").body("a=b")).await.unwrap();
    assert_eq!((got.status, got.reason.as_str()), (501, "Unexpected content for method 'DELETE'"));
    let stream = reqwest::Body::from("x".repeat(600_000));
    let large =
        client.request("POST", "/pools").header("Content-Type", "application/x-www-form-urlencoded").body(stream);
    // The connection may be closed before the client has sent everything.
    if let Some(got) = client.send(large).await {
        assert_eq!((got.status, got.reason.as_str()), (501, "for data too large"));
    }
}

#[tokio::test]
async fn another_content_type_is_506() {
    let (_simulator, client) = instant(1).await;
    let got =
        client.send(client.request("POST", "/pools").header("Content-Type", "text/plain").body("x")).await.unwrap();
    assert_eq!(got.status, 506);
}

#[tokio::test]
async fn without_credentials_the_body_is_empty() {
    let (simulator, _) = stepped(1).await;
    let nobody = Client::at(&simulator.url, String::new());
    let got = nobody.get("/version").await;
    assert_eq!((got.status, got.reason.as_str(), got.body.as_str()), (401, "No ticket", Some("")));
    assert_eq!(nobody.get("/access/domains").await.status, 200);
}

#[tokio::test]
async fn a_ticket_needs_the_token_against_forged_requests_and_ends() {
    let (simulator, _) = stepped(1).await;
    let nobody = Client::at(&simulator.url, String::new());
    let login = [("username", "root@pam"), ("password", simulator::ROOT_PASSWORD)];
    let session = nobody.done("POST", "/access/ticket", &login).await;
    let cookie = format!(
        "PVEAuthCookie={}",
        crate::client::encoded(&[("", session.data()["ticket"].as_str().unwrap())]).trim_start_matches('=')
    );
    let csrf = session.data()["CSRFPreventionToken"].as_str().unwrap();
    let pool = |csrf: &str| {
        nobody
            .request("POST", "/pools")
            .header("Cookie", &cookie)
            .header("CSRFPreventionToken", csrf)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body("poolid=p")
    };
    let forged = nobody.send(pool("bad")).await.unwrap();
    assert_eq!((forged.status, forged.reason.as_str()), (401, "Permission denied - invalid csrf token"));
    assert_eq!(nobody.send(pool(csrf)).await.unwrap().status, 200);
    simulator.control.advance(Duration::from_secs(2 * 60 * 60));
    let late = nobody.send(nobody.request("GET", "/version").header("Cookie", &cookie)).await.unwrap();
    assert_eq!((late.status, late.reason.as_str()), (401, "permission denied - invalid PVE ticket"));
}

#[tokio::test]
async fn a_separated_token_may_nothing_until_it_is_granted_something() {
    let (simulator, root) = instant(1).await;
    root.done("POST", "/access/users", &[("userid", "a@pve")]).await;
    let token = root.done("POST", "/access/users/a@pve/token/tok", &[]).await;
    let secret = token.data()["value"].as_str().unwrap();
    let client = Client::at(&simulator.url, format!("PVEAPIToken=a@pve!tok={secret}"));
    root.done("POST", "/nodes/pve1/qemu", &[("vmid", "100")]).await;
    root.done("PUT", "/access/acl", &[("path", "/vms/100"), ("roles", "PVEVMUser"), ("users", "a@pve")]).await;
    let refused = client.get("/nodes/pve1/qemu/100/config").await;
    assert_eq!((refused.status, refused.reason.as_str()), (403, "Permission check failed (/vms/100, VM.Audit)"));
    assert_eq!(client.get("/cluster/resources?type=vm").await.data(), &serde_json::json!([]));
    root.done("PUT", "/access/acl", &[("path", "/vms"), ("roles", "PVEVMAdmin"), ("tokens", "a@pve!tok")]).await;
    assert_eq!(client.get("/nodes/pve1/qemu/100/config").await.status, 200);
    let refused = client.call("PUT", "/nodes/pve1/qemu/100/config", &[("memory", "300")]).await.unwrap();
    assert_eq!(refused.reason, "Permission check failed (/vms/100, VM.Config.Memory)");
    let root_only = root.call("PUT", "/nodes/pve1/disks/wipedisk", &[("disk", "/dev/sda")]).await.unwrap();
    assert_eq!(root_only.reason, "Permission check failed (user != root@pam)");
}

#[tokio::test]
async fn what_is_not_simulated_says_so() {
    let (_simulator, client) = instant(1).await;
    let got = client.get("/cluster/ceph/status").await;
    assert_eq!((got.status, got.reason.as_str()), (501, "Method 'GET /cluster/ceph/status' not simulated"));
}

#[test]
fn every_endpoint_that_is_written_is_one_of_the_schema() {
    let endpoints = Control::endpoints();
    assert_eq!(endpoints.len(), 675);
    let served = endpoints.iter().filter(|(_, _, served)| *served).count();
    assert!(served >= 200, "{served} of 675 are served");
    crate::figures("endpoints", &[("served", served), ("of the schema", endpoints.len())]);
}

#[tokio::test]
async fn an_unknown_parameter_of_an_older_version_is_refused() {
    let scenario = simulator::Scenario { version: "9.0.11".to_owned(), ..simulator::Scenario::large(1, 0) };
    let (_simulator, client) = crate::client::started(scenario).await;
    let got = client.call("POST", "/nodes/pve1/qemu", &[("vmid", "100"), ("ha-managed", "1")]).await.unwrap();
    assert_eq!(got.status, 400);
    assert!(got.body["errors"]["ha-managed"].as_str().unwrap().starts_with("property is not defined in schema"));
}
