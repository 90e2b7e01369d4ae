//! The rows, and the file that `script/figures` prints: a flat object of numbers.

use anyhow::Result;
use serde_json::{Map, Value};
use std::path::Path;
use std::time::Duration;

/// Measured rows in the order in which they were measured.
pub(crate) struct Table {
    rows: Vec<(String, Value)>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// A duration in milliseconds.
    pub(crate) fn time(&mut self, name: &str, time: Duration) {
        self.number(&format!("{name}_ms"), time.as_secs_f64() * 1000.0);
    }

    /// A whole number.
    pub(crate) fn count(&mut self, name: &str, count: u64) {
        self.put(name, Value::from(count));
    }

    /// A number that is shown with two digits.
    pub(crate) fn number(&mut self, name: &str, number: f64) {
        self.put(name, Value::from((number * 100.0).round() / 100.0));
    }

    fn put(&mut self, name: &str, value: Value) {
        // Also while it runs: a run takes minutes and may be broken off.
        eprintln!("bench: {name} {value}");
        self.rows.push((name.to_owned(), value));
    }

    pub(crate) fn print(&self) {
        println!();
        for (name, value) in &self.rows {
            println!("{:<56} {:>12}", name.replace('_', " "), value.to_string());
        }
    }

    /// Written beside its place and moved there: a reader never sees half a file.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let flat: Map<String, Value> = self.rows.iter().cloned().collect();
        std::fs::create_dir_all(directory)?;
        let forming = directory.join(format!("bench.{}.new", std::process::id()));
        std::fs::write(&forming, format!("{:#}\n", Value::Object(flat)))?;
        Ok(std::fs::rename(&forming, directory.join("bench.json"))?)
    }
}

/// The value that `per_cent` of the sorted `times` do not exceed.
pub(crate) fn percentile(times: &mut [Duration], per_cent: usize) -> Duration {
    times.sort_unstable();
    let place = (times.len() * per_cent).div_ceil(100).clamp(1, times.len().max(1)) - 1;
    times.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let mut times: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut times, 50), Duration::from_millis(100));
        assert_eq!(percentile(&mut times, 99), Duration::from_millis(198));
        assert_eq!(percentile(&mut times[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&mut [], 50), Duration::ZERO);
    }
}
