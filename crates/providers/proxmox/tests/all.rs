//! The Proxmox provider against a simulated cluster, which speaks Proxmox's own HTTPS.

#[cfg(test)]
#[path = "all/budget.rs"]
mod budget;
#[cfg(test)]
#[path = "all/contract.rs"]
mod contract;
#[cfg(test)]
#[path = "all/faults.rs"]
mod faults;
#[cfg(test)]
#[path = "all/gotchas.rs"]
mod gotchas;
#[cfg(test)]
#[path = "all/gpus.rs"]
mod gpus;
#[cfg(test)]
#[path = "all/images.rs"]
mod images;
#[cfg(test)]
#[path = "all/life.rs"]
mod life;
#[cfg(test)]
#[path = "all/moves.rs"]
mod moves;
#[cfg(test)]
#[path = "all/networks.rs"]
mod networks;
#[cfg(test)]
#[path = "all/operator.rs"]
mod operator;
#[cfg(test)]
#[path = "all/preflight.rs"]
mod preflight;
#[cfg(test)]
#[path = "all/rights.rs"]
mod rights;
#[cfg(test)]
#[path = "all/stage.rs"]
mod stage;
#[cfg(test)]
#[path = "all/sweep.rs"]
mod sweep;
