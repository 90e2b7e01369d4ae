//! What a guest costs in requests. Each is a round trip, work for the cluster's few workers, and time of ours; so a new
//! one has to be wanted. Where a list changes, docs/benchmarks.md does, too.

use crate::stage::{Stage, spec};
use provider::{Guest, GuestPower, PowerWish, Provider};

impl Stage {
    /// The requests since so many, without the names and numbers in their paths; except for those that are made once for
    /// many guests: where the templates are, and how many clones of one are under way.
    fn asked_since(&self, before: usize) -> Vec<String> {
        let calls = self.simulator.control.calls();
        let kinds = calls.iter().skip(before).map(|call| format!("{} {}", call.method, kind(&call.path)));
        kinds.filter(|kind| !SHARED.contains(&kind.as_str())).collect()
    }
}

const SHARED: [&str; 4] =
    ["GET /version", "GET /cluster/resources", "GET /nodes/{node}/qemu/{template}/config", "GET /nodes/{node}/tasks"];
/// A look is handed on for two seconds. Where a test is held up for longer, another one is taken: not so often.
const TRIES: i32 = 5;

fn kind(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let path = path.strip_prefix("/api2/json").unwrap_or(path);
    let word = |segment: &str| match segment {
        "pve1" | "pve2" | "pve3" => "{node}".to_owned(),
        _ if segment.len() == 5 && segment.starts_with('9') => "{template}".to_owned(),
        _ if segment.starts_with("UPID") => "{upid}".to_owned(),
        _ if !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()) => "{vmid}".to_owned(),
        _ => segment.to_owned(),
    };
    path.split('/').map(word).collect::<Vec<_>>().join("/")
}

const GUEST: &str = "/nodes/{node}/qemu/{vmid}";

fn of_guest(kinds: &[&str]) -> Vec<String> {
    kinds.iter().map(|kind| kind.replace("GUEST", GUEST)).collect()
}

/// A guest as a server's life makes it, after others of the same image.
#[tokio::test]
async fn a_guest_is_made_and_started_with_these_requests() {
    let stage = Stage::new().await;
    let image = stage.image(1);
    stage.fetch(&image).await;
    stage.create(&stage.guest(100, 1), &spec(image)).await;
    let wanted = of_guest(&[
        // Nothing has its number.
        "GET /cluster/nextid",
        "GET /cluster/status",
        "POST /nodes/{node}/qemu/{template}/clone",
        "GET /nodes/{node}/tasks/{upid}/status",
        // It is a copy now.
        "GET GUEST/config",
        "PUT GUEST/firewall/options",
        "POST GUEST/firewall/ipset",
        "POST GUEST/firewall/ipset/ipfilter-net0",
        "PUT GUEST/config",
        "PUT GUEST/resize",
        "GET /nodes/{node}/tasks/{upid}/status",
        // It is whole.
        "POST GUEST/status/start",
        "GET /nodes/{node}/tasks/{upid}/status",
        // It runs.
        "GET GUEST/config",
        "GET GUEST/status/current",
    ]);
    let mut asked = Vec::new();
    for n in 1..=TRIES {
        let guest = stage.guest(n, 1);
        let before = stage.simulator.control.calls().len();
        assert!(stage.proxmox.find_image(&image).await.unwrap().is_some());
        for _ in 0..2 {
            assert!(matches!(stage.proxmox.find_guest(&guest).await.unwrap(), Guest::Absent | Guest::Unfinished));
            stage.settle(stage.proxmox.create_guest(&guest, &spec(image)).await).await.unwrap();
        }
        stage.power(&guest, PowerWish::On).await;
        assert_eq!(stage.ours(&guest).await.power, GuestPower::Running);
        asked = stage.asked_since(before);
        if asked == wanted {
            return;
        }
    }
    assert_eq!(asked, wanted);
}

#[tokio::test]
async fn a_guest_is_stopped_and_deleted_with_these_requests() {
    let stage = Stage::new().await;
    let image = stage.image(1);
    stage.fetch(&image).await;
    let wanted = of_guest(&[
        "GET GUEST/config",
        "GET GUEST/status/current",
        "POST GUEST/status/stop",
        "GET /nodes/{node}/tasks/{upid}/status",
        // It does not run any more.
        "GET GUEST/config",
        "GET GUEST/status/current",
        "DELETE GUEST",
        "GET /nodes/{node}/tasks/{upid}/status",
        // Nothing has its number.
        "GET /cluster/nextid",
        "GET /cluster/status",
    ]);
    let mut asked = Vec::new();
    for n in 1..=TRIES {
        let guest = stage.guest(n, 1);
        stage.create(&guest, &spec(image)).await;
        stage.power(&guest, PowerWish::On).await;
        let before = stage.simulator.control.calls().len();
        assert_eq!(stage.ours(&guest).await.power, GuestPower::Running);
        stage.power(&guest, PowerWish::Off).await;
        stage.delete(&guest).await;
        asked = stage.asked_since(before);
        if asked == wanted {
            return;
        }
    }
    assert_eq!(asked, wanted);
}

/// Those who look at the same time share what they ask of the whole cluster.
#[tokio::test]
async fn many_who_look_for_what_is_not_there_ask_for_the_majority_together() {
    let stage = Stage::new().await;
    stage.proxmox.preflight().await.unwrap();
    let before = stage.asked("GET", "/cluster/status");
    let guests: Vec<_> = (1..=20).map(|n| stage.guest(n, 1)).collect();
    let looks = guests.iter().map(|guest| stage.proxmox.find_guest(guest));
    for seen in futures_util::future::join_all(looks).await {
        assert_eq!(seen.unwrap(), Guest::Absent);
    }
    let asked = stage.asked("GET", "/cluster/status") - before;
    assert!((1..20).contains(&asked), "{asked}");
}
