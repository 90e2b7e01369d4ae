//! What a catalogue must keep to. Every mistake is said at once, each with the name of its entry.

use super::{Catalogue, CatalogueError, Gpus, Image, Problem, Region, Size, VPC_PREFIX, is_mapping};
use crate::addressing::Ipv4Range;
use crate::healing::MOST_PER_HOUR;
use crate::money::Money;
use crate::names::Slug;
use std::collections::BTreeSet;
use std::fmt;

impl Catalogue {
    pub(super) fn check(&self) -> Result<(), CatalogueError> {
        let mut problems = Problems::default();
        problems.twice("region", self.regions.iter().map(|region| region.slug.as_str()));
        problems.twice("size", self.sizes.iter().map(|size| size.slug.as_str()));
        problems.twice("image", self.images.iter().map(|image| image.slug.as_str()));
        for region in &self.regions {
            check_region(region, &mut problems);
        }
        for size in &self.sizes {
            self.check_size(size, &mut problems);
        }
        for image in &self.images {
            self.check_image(image, &mut problems);
        }
        problems.finish()
    }

    fn check_size(&self, size: &Size, problems: &mut Problems) {
        let mut entry = problems.about(format!("size {}", size.slug));
        if Slug::parse(size.slug.as_str()).is_err() {
            entry.say("has a slug that is not lower-case letters, digits, `-` and `.`");
        }
        if !(1..=MOST_VCPUS).contains(&size.vcpus) {
            entry.say("needs between 1 and 4096 vcpus");
        }
        if size.memory_mib == 0 || !size.memory_mib.is_multiple_of(8) || size.memory_mib > MOST_MEMORY_MIB {
            entry.say("needs a memory_mib between 8 and 1073741824 that is a multiple of 8");
        }
        if !(1..=MOST_DISK_GB).contains(&size.disk_gb) {
            entry.say("needs a disk_gb between 1 and 1048576");
        }
        if !(size.transfer_tb.is_finite() && size.transfer_tb >= 0.0) {
            entry.say("needs a transfer_tb of 0 or more");
        }
        if size.price_monthly < Money::ZERO || size.price_hourly < Money::ZERO {
            entry.say("must not have a negative price");
        }
        if let Some(gpu) = &size.gpu {
            check_gpus(gpu, &mut entry);
        }
        for slug in size.regions.iter().flatten() {
            if self.region(slug.as_str()).is_none() {
                entry.say(&format!("names the region {slug}, which is not in the catalogue"));
            }
        }
    }

    fn check_image(&self, image: &Image, problems: &mut Problems) {
        let mut entry = problems.about(format!("image {}", image.slug));
        if let Err(problem) = image.source() {
            entry.say(problem);
        }
        if image.default_user.is_empty() || !image.default_user.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
            entry.say("needs the name of a user in default_user");
        }
        let largest = self.sizes.iter().map(|size| size.disk_gb).max().unwrap_or(MOST_DISK_GB);
        if !(1..=largest).contains(&image.min_disk_gb) {
            entry.say(&format!("needs a min_disk_gb between 1 and {largest}, the largest disk of the sizes"));
        }
    }
}

/// As many devices as a guest can be given (`hostpci0` to `hostpci15`).
const MOST_GPUS: u32 = 16;
/// More than any has.
const MOST_VRAM_GIB: u32 = 1024;

fn check_gpus(gpu: &Gpus, entry: &mut About<'_>) {
    if !is_mapping(&gpu.mapping) {
        entry.say("needs the id of a PCI mapping in gpu.mapping: a letter, then letters, digits, `-` and `_`");
    }
    if !(1..=MOST_GPUS).contains(&gpu.count) {
        entry.say(&format!("needs a gpu.count between 1 and {MOST_GPUS}"));
    }
    if !(1..=MOST_VRAM_GIB).contains(&gpu.vram_gib) {
        entry.say(&format!("needs a gpu.vram_gib between 1 and {MOST_VRAM_GIB}"));
    }
    if gpu.model.as_deref().is_some_and(|model| model.is_empty() || !model.bytes().all(|b| b.is_ascii_graphic())) {
        entry.say("has a gpu.model that is not a word such as nvidia_a100");
    }
}

/// More than any machine has; keeps sums of many servers far from overflow.
const MOST_VCPUS: u32 = 4096;
/// One PiB.
const MOST_MEMORY_MIB: u32 = 1 << 30;
/// One PB and a little.
const MOST_DISK_GB: u32 = 1 << 20;

pub(super) fn check_region(region: &Region, problems: &mut Problems) {
    let entry = format!("region {}", region.slug);
    let mut about = problems.about(entry.clone());
    if Slug::parse(region.slug.as_str()).is_err() || region.slug.as_str().contains('.') {
        about.say("has a slug that is not lower-case letters, digits and `-`");
    }
    if region.name.trim().is_empty() {
        about.say("needs a name");
    }
    if Slug::parse(&region.provider).is_err() {
        about.say("needs a provider, such as qemu");
    }
    if Ipv4Range::parse_vpc(&region.vpc_range.to_string()).is_err() || region.vpc_range.prefix() > VPC_PREFIX {
        about.say("needs a vpc_range of private addresses between a /16 and a /20");
    }
    if [region.overcommit.vcpus_percent, region.overcommit.memory_percent, region.overcommit.disk_percent].contains(&0)
    {
        about.say("must not have an overcommit of 0 per cent, which would sell nothing");
    }
    if !(1..=MOST_PER_HOUR).contains(&region.heal.per_hour) {
        about.say(&format!("has a heal.per_hour that is not between 1 and {MOST_PER_HOUR}"));
    }
    problems.twice(&format!("{entry}, pool"), region.pools.iter().map(|pool| pool.name.as_str()));
    for (index, pool) in region.pools.iter().enumerate() {
        let mut about = problems.about(format!("{entry}, pool {}", pool.name));
        if Slug::parse(&pool.name).is_err() {
            about.say("has a name that is not lower-case letters, digits, `-` and `.`");
        }
        if pool.range.prefix() > 30 || pool.range.prefix() < 8 {
            about.say("needs a range between a /8 and a /30");
            continue;
        }
        if !pool.range.is_host(pool.gateway()) {
            about.say("has a gateway that is not a host address of its range");
        }
        if !pool.range.is_host(pool.first()) || !pool.range.is_host(pool.last()) {
            about.say("has a first or last address that is not a host address of its range");
        }
        if pool.first() > pool.last() {
            about.say("has a first address behind its last");
        }
        if pool.range.overlaps(region.vpc_range) {
            about.say("overlaps the vpc_range of its region");
        }
        for other in region.pools.iter().take(index).filter(|other| other.range.overlaps(pool.range)) {
            about.say(&format!("overlaps the pool {}", other.name));
        }
    }
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, entry: impl fmt::Display, problem: &str) {
        self.0.push(Problem { entry: entry.to_string(), problem: problem.to_owned() });
    }

    fn about(&mut self, entry: String) -> About<'_> {
        About { entry, problems: self }
    }

    fn twice<'a>(&mut self, kind: &str, names: impl Iterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name) {
                self.add(format!("{kind} {name}"), "is there twice");
            }
        }
    }

    pub(super) fn finish(self) -> Result<(), CatalogueError> {
        if self.0.is_empty() { Ok(()) } else { Err(CatalogueError::Entries(self.0)) }
    }
}

/// What is said of one entry.
struct About<'a> {
    entry: String,
    problems: &'a mut Problems,
}

impl About<'_> {
    fn say(&mut self, problem: &str) {
        self.problems.add(&self.entry, problem);
    }
}
