//! `cargo run -p xtask -- SCHEMA`: prints the provider's calls as they follow from Proxmox VE's description of its API.

use anyhow::{Context, Result};
use std::io::Write;

fn main() -> Result<()> {
    let path = std::env::args().nth(1).context("which file describes the API?")?;
    let schema = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    std::io::stdout().write_all(xtask::generate(&schema)?.as_bytes())?;
    Ok(())
}
