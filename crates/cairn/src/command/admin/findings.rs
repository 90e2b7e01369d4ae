//! What a test of a region found, for a person.

use crate::failure::{Ending, Failure, Result};
use crate::print::Shown;
use crate::progress::Progress;
use wire::admin::{Finding, RegionTest, Severity};

impl Shown for RegionTest {
    const COLUMNS: &'static [&'static str] = &["AT", "PASSED"];

    fn row(&self) -> Vec<String> {
        vec![self.at.to_string(), if self.passed { "yes" } else { "no" }.to_owned()]
    }

    fn word(&self) -> String {
        if self.passed { "passed" } else { "failed" }.to_owned()
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        self.findings.iter().map(|finding| (word(finding.severity), sentence(finding))).collect()
    }
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Fine => "FINE",
        Severity::Warning => "WARNING",
        Severity::Error => "ERROR",
        Severity::Unknown => "UNKNOWN",
    }
}

fn sentence(finding: &Finding) -> String {
    format!("{}: {}", finding.subject, finding.sentence)
}

/// Says everything that was found, the worst last, where it is read first.
pub(super) fn tell(progress: &Progress, test: &RegionTest) {
    for severity in [Severity::Fine, Severity::Warning, Severity::Unknown, Severity::Error] {
        for finding in test.findings.iter().filter(|finding| finding.severity == severity) {
            progress.say(&format!("{:7}  {}", word(severity), sentence(finding)));
        }
    }
}

/// Fails if something has to be mended.
pub(super) fn judge(test: &RegionTest, region: &str) -> Result<()> {
    if test.passed {
        return Ok(());
    }
    let wrong: Vec<_> = test.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    let mut subjects: Vec<_> = wrong.iter().map(|finding| finding.subject.as_str()).collect();
    subjects.dedup();
    let sentence = format!("{region} cannot carry servers before this is mended: {}", subjects.join(", "));
    Err(Failure::new(Ending::Refused, sentence))
}
