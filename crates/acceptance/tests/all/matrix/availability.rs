//! Servers that the cluster's high availability keeps: in its care once they run, and out of it before they go.

use super::lab::Lab;
use super::lines::Ask;
use cloud::server::create::{CreateServers, create};
use model::ids::ServerId;
use model::refusal::Code;
use serde_json::Value;
use simulator::GuestSeen;
use workflow::ManualClock;

async fn resources(lab: &Lab) -> Vec<Value> {
    lab.ask("GET", "/cluster/ha/resources", "").await.as_array().cloned().unwrap()
}

async fn guest(lab: &Lab, server: ServerId) -> GuestSeen {
    let number = lab.number(server).await;
    lab.guests().into_iter().find(|guest| guest.vmid == number).unwrap()
}

async fn order(lab: &Lab) -> ServerId {
    let request = CreateServers { high_availability: true, ..lab.request("kept") };
    create(lab.store(), &lab.caller, &request).await.unwrap().servers[0].id
}

#[tokio::test]
async fn what_is_ordered_so_is_kept_until_it_goes() {
    let lab = Lab::open().await;
    let clock = ManualClock::starting_now();
    let (kept, plain) = (order(&lab).await, lab.order("plain").await);
    lab.settle(&clock).await;
    let (number, listed) = (lab.number(kept).await, resources(&lab).await);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(
        (listed[0]["sid"].as_str(), listed[0]["state"].as_str()),
        (Some(&*format!("vm:{number}")), Some("started"))
    );

    for (wish, state, status) in [
        (Ask::PowerOff, "stopped", "stopped"),
        (Ask::PowerOn, "started", "running"),
        (Ask::Reboot, "started", "running"),
        (Ask::Migrate, "started", "running"),
    ] {
        let before = lab.host(kept).await;
        wish.about(&lab, kept).await.unwrap();
        lab.settle(&clock).await;
        let seen = guest(&lab, kept).await;
        assert_eq!(
            (seen.status.as_str(), resources(&lab).await[0]["state"].as_str()),
            (status, Some(state)),
            "{wish:?}"
        );
        assert_eq!(seen.node == before, wish != Ask::Migrate, "{wish:?}");
    }
    assert_eq!(lab.one::<i64>("SELECT count(*) FROM actions WHERE errored").await, 0);
    for server in [kept, plain] {
        lab.destroy(server).await;
    }
    lab.settle(&clock).await;
    assert_eq!(resources(&lab).await, Vec::<Value>::new());
    lab.assert_empty().await;
}

#[tokio::test]
async fn a_region_that_does_not_offer_it_says_so() {
    let lab = Lab::open().await;
    lab.run("UPDATE regions SET capabilities = jsonb_set(capabilities, '{high_availability}', 'false')").await;
    let request = CreateServers { high_availability: true, ..lab.request("kept") };
    match create(lab.store(), &lab.caller, &request).await {
        Err(cloud::Error::Refused(refusal)) => {
            let field = refusal.field.as_deref();
            assert_eq!((refusal.code, field), (Code::Unsupported, Some("cloud.high_availability")));
        }
        other => panic!("{other:?}"),
    }
}
