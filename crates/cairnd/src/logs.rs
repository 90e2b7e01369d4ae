//! Log records: on stderr, so that stdout stays free for what a person asked for.

use crate::settings::{LogFormat, Settings};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging for the whole process.
pub(crate) fn start(settings: &Settings) {
    // The settings were checked; a filter that fails to parse here would only be less exact.
    let filter = EnvFilter::new(&settings.log_filter);
    let records = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Json => records.json().flatten_event(true).init(),
        LogFormat::Text => records.with_ansi(std::io::stderr().is_terminal()).init(),
    }
}
