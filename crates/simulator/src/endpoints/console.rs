//! Tickets for consoles. The console itself is not simulated.

use super::{Call, Endpoint, Reply, forking};
use crate::cluster::Work;
use crate::refusal::{Refusal, Served};
use serde_json::json;
use std::time::Duration;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    forking("POST", "/nodes/{node}/qemu/{vmid}/vncproxy", "vncproxy", proxy),
    forking("POST", "/nodes/{node}/lxc/{vmid}/vncproxy", "vncproxy", proxy),
    forking("POST", "/nodes/{node}/qemu/{vmid}/termproxy", "vncproxy", proxy),
    forking("POST", "/nodes/{node}/lxc/{vmid}/termproxy", "vncproxy", proxy),
];

fn proxy(call: &mut Call<'_>) -> Served<Reply> {
    let guest = call.guest()?;
    let (vmid, terminal) = (guest.vmid, call.route.path.ends_with("termproxy"));
    if terminal && call.kind() == crate::cluster::Kind::Qemu && guest.config.get("serial0").is_none() {
        return Err(Refusal::die("unable to find a serial interface"));
    }
    let user = call.caller.name();
    let ticket = call.cluster.access.console_ticket(&user, &format!("/vms/{vmid}"), call.cluster.now);
    let work = Work::new("vncproxy", vmid, call.entry).then(Duration::ZERO, |_, _| Ok(()));
    let upid = call.cluster.fork(&call.caller, work)?;
    let mut shown = json!({ "user": user, "ticket": ticket, "port": "5900", "upid": upid });
    if !terminal {
        shown["cert"] = json!(call.cluster.nodes.get(call.node).map(|node| node.pem.as_str()));
    }
    Ok(Reply::from(shown))
}
