//! Connects the regions that this process can reach.

use crate::prepare;
use crate::settings::{Networking, Settings, host_name};
use anyhow::{Context, Result};
use cloud::Providers;
use model::catalogue::Region;
use model::ids::InstallationId;
use provider::Provider;
use provider_qemu::{Config, Qemu};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// `[region.settings]` of a region with `provider = "qemu"`.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct QemuSettings {
    /// The operator's own bridge, for pools of the kind `public_bridged`.
    public_bridge: Option<String>,
    /// Another emulator than the one in `PATH`.
    qemu_binary: Option<PathBuf>,
    /// Another disk image tool than the one in `PATH`.
    qemu_img_binary: Option<PathBuf>,
}

/// How long until a region that could not be reached is tried again.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The regions of the catalogue.
pub(crate) fn listed(settings: &Settings) -> Result<Vec<Region>> {
    Ok(prepare::catalogue(settings)?.regions)
}

/// Connects one region. One that cannot be reached is tried again, loudly the first time: the other regions, and the API,
/// go on without it. `false`: told to stop before it was connected.
pub(crate) async fn connect(
    settings: &Settings,
    installation: InstallationId,
    region: &Region,
    providers: &Providers,
    hand_back: &CancellationToken,
) -> bool {
    let mut said = false;
    loop {
        match provider(settings, installation, region).await {
            Ok(provider) => {
                tracing::info!(region = %region.slug, capabilities = ?provider.capabilities(), "connected");
                providers.insert(region.slug.clone(), provider);
                return true;
            }
            Err(error) if !said => {
                tracing::error!(region = %region.slug, "the region is not connected, and will be tried again: {error:#}");
                said = true;
            }
            Err(error) => tracing::debug!(region = %region.slug, "the region is still not connected: {error:#}"),
        }
        tokio::select! {
            () = tokio::time::sleep(TRIED_AGAIN_AFTER) => {}
            () = hand_back.cancelled() => return false,
        }
    }
}

async fn provider(settings: &Settings, installation: InstallationId, region: &Region) -> Result<Arc<dyn Provider>> {
    match region.provider.as_str() {
        "qemu" => {
            let wanted: QemuSettings = region.settings.clone().try_into().context("its settings are wrong")?;
            Ok(Arc::new(Qemu::open(qemu(settings, installation, region, wanted)).await?))
        }
        other => anyhow::bail!("this build has no provider {other:?}; it has: qemu"),
    }
}

fn qemu(settings: &Settings, installation: InstallationId, region: &Region, wanted: QemuSettings) -> Config {
    let usual = Config::new(installation, settings.qemu_state_dir.join(region.slug.as_str()), host_name());
    Config {
        networking: match settings.qemu_networking {
            Networking::Auto => provider_qemu::Networking::Auto,
            Networking::Bridged => provider_qemu::Networking::Bridged,
            Networking::User => provider_qemu::Networking::User,
        },
        public_bridge: wanted.public_bridge,
        qemu_binary: wanted.qemu_binary.unwrap_or_else(|| usual.qemu_binary.clone()),
        qemu_img_binary: wanted.qemu_img_binary.unwrap_or_else(|| usual.qemu_img_binary.clone()),
        ..usual
    }
}
