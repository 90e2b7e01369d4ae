//! The operator's catalogue: regions with their address pools, sizes and images, as a TOML file.
//!
//! A key that is not known is an error, and every mistake is reported at once, each with the name of its entry.

use crate::addressing::Ipv4Range;
use crate::checksum::Checksum;
use crate::healing::Healing;
use crate::ids::{RegionSlug, SizeSlug};
use crate::money::Money;
use crate::names::{ImageName, Slug};
use crate::placement::{Headroom, Overcommit, Preference, Weights};
use crate::states::GuestKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

mod check;

use check::{Problems, check_region};

/// The catalogue that an installation begins with, as text.
pub const DEFAULT: &str = include_str!("../catalogue/default.toml");

/// Everything that is on offer, in the order of the file, which is the order in which it is shown.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// `[[region]]`.
    #[serde(default, rename = "region")]
    pub regions: Vec<Region>,
    /// `[[size]]`.
    #[serde(default, rename = "size")]
    pub sizes: Vec<Size>,
    /// `[[image]]`.
    #[serde(default, rename = "image")]
    pub images: Vec<Image>,
}

/// One provider endpoint.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Its slug; lower-case letters, digits and `-`.
    pub slug: RegionSlug,
    /// Its name for people.
    pub name: String,
    /// Which provider's code speaks to it: `qemu`, `proxmox`.
    pub provider: String,
    /// What that provider needs to know; its own code reads and checks it.
    #[serde(default)]
    pub settings: toml::Table,
    /// Whether new servers may be made in it.
    #[serde(default = "yes")]
    pub available: bool,
    /// The words of `region.features` on the wire.
    #[serde(default)]
    pub features: Vec<String>,
    /// Name servers of its servers.
    #[serde(default)]
    pub resolvers: Vec<IpAddr>,
    /// The range from which the team's own networks are cut where they name none (/20 each). Teams may overlap.
    pub vpc_range: Ipv4Range,
    /// How much of its hosts may be sold.
    #[serde(default)]
    pub overcommit: Overcommit,
    /// Which of its hosts servers go to.
    #[serde(default)]
    pub placement: Placing,
    /// What is put right there by itself.
    #[serde(default)]
    pub heal: Healing,
    /// `[[region.pool]]`: where public addresses come from.
    #[serde(default, rename = "pool")]
    pub pools: Vec<Pool>,
}

/// Which hosts of a region servers go to, among those that have room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Placing {
    /// Emptiest or fullest first.
    pub preference: Preference,
    /// What is to stay free on a host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headroom: Option<Headroom>,
    /// What counts how much in the ranking.
    pub weights: Weights,
}

impl Region {
    /// Checks a region that did not come from a file.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn check(&self) -> Result<(), CatalogueError> {
        let mut problems = Problems::default();
        check_region(self, &mut problems);
        problems.finish()
    }
}

/// The prefix length of networks that are made without a range (specification: "a /20 network range is generated").
pub const VPC_PREFIX: u8 = 20;

/// How a pool's network reaches the world.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolKind {
    /// Through the host's address translation; the host takes the gateway's address.
    PublicNat,
    /// On the operator's own bridge; the gateway is the operator's router.
    PublicBridged,
}

/// Addresses that are given to servers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Its name, unique in the region.
    pub name: String,
    /// How it reaches the world.
    pub kind: PoolKind,
    /// The network.
    pub range: Ipv4Range,
    /// The gateway; the first host address if absent.
    #[serde(default)]
    pub gateway: Option<Ipv4Addr>,
    /// The first address to be given; the second host address if absent.
    #[serde(default)]
    pub first: Option<Ipv4Addr>,
    /// The last address to be given; the last host address if absent.
    #[serde(default)]
    pub last: Option<Ipv4Addr>,
}

impl Pool {
    /// The gateway.
    pub fn gateway(&self) -> Ipv4Addr {
        self.gateway.unwrap_or_else(|| self.range.gateway())
    }

    /// The first address to be given.
    pub fn first(&self) -> Ipv4Addr {
        self.first.unwrap_or_else(|| self.range.server_addresses().next().unwrap_or_else(|| self.range.last_host()))
    }

    /// The last address to be given.
    pub fn last(&self) -> Ipv4Addr {
        self.last.unwrap_or_else(|| self.range.last_host())
    }

    /// The addresses to be given, in order, without the gateway's.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        let gateway = self.gateway();
        let all = self.first().to_bits()..=self.last().to_bits();
        all.map(Ipv4Addr::from_bits).filter(move |address| *address != gateway)
    }
}

/// How big a server can be.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Its slug.
    pub slug: SizeSlug,
    /// The class, for people: `Basic`.
    pub description: String,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MiB, a multiple of 8 (specification: `size.memory`).
    pub memory_mib: u32,
    /// Disk in GB.
    pub disk_gb: u32,
    /// Traffic that is included in a month, in TB.
    pub transfer_tb: f64,
    /// The price of a month, which is also the most that the hours of a month come to.
    pub price_monthly: Money,
    /// The price of an hour.
    pub price_hourly: Money,
    /// The regions that offer it; all of them if absent.
    #[serde(default)]
    pub regions: Option<Vec<RegionSlug>>,
    /// Whether new servers may have it.
    #[serde(default = "yes")]
    pub available: bool,
    /// The GPUs that come with it. Such a size is of use where a host has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Gpus>,
}

/// GPUs of one kind that a server has to itself: devices of its host, handed through whole.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gpus {
    /// What the provider calls the kind: at Proxmox VE the id of a PCI mapping.
    pub mapping: String,
    /// How many.
    #[serde(default = "one")]
    pub count: u32,
    /// What tenants are shown as its model: `nvidia_a100`; the mapping's name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// GiB of memory that each of them has.
    pub vram_gib: u32,
}

impl Gpus {
    /// The model as tenants are shown it.
    pub fn model(&self) -> &str {
        self.model.as_deref().unwrap_or(&self.mapping)
    }
}

/// Whether a text can be the id of a mapping (Proxmox's `pve-configid`): a letter, then letters, digits, `-` and `_`.
pub fn is_mapping(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.len() >= 2
        && text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(plain)
}

fn one() -> u32 {
    1
}

impl Size {
    /// Whether the region offers it.
    pub fn is_offered_in(&self, region: &RegionSlug) -> bool {
        self.regions.as_ref().is_none_or(|regions| regions.contains(region))
    }
}

/// The distributions that the API has words for (specification: the schema `distribution`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Distribution {
    /// Arch Linux.
    #[serde(rename = "Arch Linux")]
    ArchLinux,
    /// CentOS.
    CentOS,
    /// CoreOS.
    CoreOS,
    /// Debian.
    Debian,
    /// Fedora.
    Fedora,
    /// Fedora Atomic.
    #[serde(rename = "Fedora Atomic")]
    FedoraAtomic,
    /// FreeBSD.
    FreeBSD,
    /// Gentoo.
    Gentoo,
    /// openSUSE.
    #[serde(rename = "openSUSE")]
    OpenSuse,
    /// RancherOS.
    RancherOS,
    /// Rocky Linux.
    #[serde(rename = "Rocky Linux")]
    RockyLinux,
    /// Ubuntu.
    Ubuntu,
    /// Any other.
    Unknown,
}

impl Distribution {
    /// The word as stored and as sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ArchLinux => "Arch Linux",
            Self::CentOS => "CentOS",
            Self::CoreOS => "CoreOS",
            Self::Debian => "Debian",
            Self::Fedora => "Fedora",
            Self::FedoraAtomic => "Fedora Atomic",
            Self::FreeBSD => "FreeBSD",
            Self::Gentoo => "Gentoo",
            Self::OpenSuse => "openSUSE",
            Self::RancherOS => "RancherOS",
            Self::RockyLinux => "Rocky Linux",
            Self::Ubuntu => "Ubuntu",
            Self::Unknown => "Unknown",
        }
    }
}

/// The processor that an image is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// 64-bit x86.
    #[default]
    #[serde(rename = "x86_64")]
    X86,
    /// 64-bit ARM.
    #[serde(rename = "aarch64")]
    Arm,
}

/// An image that every team may use.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Its slug, in DigitalOcean's manner: `debian-13-x64`.
    pub slug: Slug,
    /// Its name, which DigitalOcean writes without the distribution: `13 x64`.
    pub name: ImageName,
    /// The distribution.
    pub distribution: Distribution,
    /// A sentence for people.
    #[serde(default)]
    pub description: String,
    /// Where it is fetched from: `https://…`, or `http://…` with a `checksum`. A qcow2 or raw disk, of which virtual
    /// machines are made; or a `.tar.zst`, `.tar.xz` or `.tar.gz` of a root file system, of which containers are.
    #[serde(default)]
    pub url: Option<String>,
    /// What the bytes hash to.
    #[serde(default)]
    pub checksum: Option<Checksum>,
    /// Instead of `checksum`: the `https://…` address of the published list that has it ([`Checksum::find`]).
    #[serde(default)]
    pub checksum_url: Option<String>,
    /// Instead of `url`: the absolute path of the image on the hosts.
    #[serde(default)]
    pub file: Option<String>,
    /// The smallest disk that it fits on, in GB.
    pub min_disk_gb: u32,
    /// The user that the image comes with, who may log in beside root.
    pub default_user: String,
    /// The processor that it is for.
    #[serde(default)]
    pub architecture: Architecture,
}

/// Where an image of the catalogue comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source<'a> {
    /// Downloaded, against a checksum that is known already.
    Pinned {
        /// Address.
        url: &'a str,
        /// What it hashes to.
        checksum: &'a Checksum,
    },
    /// Downloaded, against a list that must be fetched first.
    Listed {
        /// Address.
        url: &'a str,
        /// The name under which the list has it: the last part of the address.
        file: &'a str,
        /// Address of the list.
        list: &'a str,
    },
    /// On the hosts already.
    File {
        /// Absolute path.
        path: &'a str,
        /// What it hashes to, where that is said.
        checksum: Option<&'a Checksum>,
    },
}

impl Image {
    /// What is made of it.
    pub fn guest(&self) -> GuestKind {
        self.url.as_deref().or(self.file.as_deref()).map_or(GuestKind::Machine, GuestKind::made_of)
    }

    /// Where it comes from, or what is wrong with what the entry says about it.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn source(&self) -> Result<Source<'_>, &'static str> {
        let (url, checksum) = match (&self.url, &self.file, &self.checksum, &self.checksum_url) {
            (None, None, ..) => return Err("needs a `url` or a `file`"),
            (Some(_), Some(_), ..) => return Err("has both a `url` and a `file`; keep one"),
            (None, Some(_), _, Some(_)) => return Err("has a `file`, for which `checksum_url` has no meaning"),
            (None, Some(path), checksum, None) if is_absolute(path) => {
                return Ok(Source::File { path, checksum: checksum.as_ref() });
            }
            (None, Some(_), ..) => return Err("needs the absolute path in `file`"),
            (Some(_), None, Some(_), Some(_)) => return Err("has both a `checksum` and a `checksum_url`; keep one"),
            (Some(_), None, None, None) => return Err("needs a `checksum` or a `checksum_url` beside its `url`"),
            (Some(url), None, Some(checksum), None) => (url, Ok(checksum)),
            (Some(url), None, None, Some(list)) => (url, Err(list)),
        };
        match checksum {
            Ok(checksum) if is_web(url, &["https://", "http://"]) => Ok(Source::Pinned { url, checksum }),
            Ok(_) => Err("needs a `url` that begins with https:// or http://"),
            Err(list) if is_web(url, &["https://"]) && is_web(list, &["https://"]) => {
                let path = url.split(['?', '#']).next().unwrap_or(url);
                match path.rsplit('/').next() {
                    Some(file) if !file.is_empty() => Ok(Source::Listed { url, file, list }),
                    _ => Err("needs a `url` that ends in the name of a file, by which the list knows it"),
                }
            }
            Err(_) => Err("needs https:// for both `url` and `checksum_url`; without it the list proves nothing"),
        }
    }
}

fn is_web(url: &str, schemes: &[&str]) -> bool {
    let host = schemes.iter().find_map(|scheme| url.strip_prefix(scheme));
    host.is_some_and(|rest| !rest.starts_with('/') && rest.contains('/')) && url.bytes().all(|b| b.is_ascii_graphic())
}

fn is_absolute(path: &str) -> bool {
    path.starts_with('/') && !path.contains('\0')
}

fn yes() -> bool {
    true
}

/// What is wrong with one entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The entry: `image debian-13-x64`, `region local, pool public`.
    pub entry: String,
    /// What is wrong, as the rest of a sentence that begins with the entry.
    pub problem: String,
}

/// Why a catalogue cannot be used.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum CatalogueError {
    /// Not TOML, a key that is not known, or a value of the wrong kind. The text shows the line.
    #[error("the catalogue cannot be read: {0}")]
    Toml(#[from] toml::de::Error),
    /// Entries that contradict themselves or each other; all of them.
    #[error("the catalogue cannot be used:{}", .0.iter().map(|p| format!("\n  {}: {}.", p.entry, p.problem)).collect::<String>())]
    Entries(Vec<Problem>),
}

impl Catalogue {
    /// Reads and checks a catalogue.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let catalogue: Self = toml::from_str(text)?;
        catalogue.check()?;
        Ok(catalogue)
    }

    /// The catalogue that an installation begins with.
    ///
    /// # Errors
    /// None; a test reads it.
    pub fn default_catalogue() -> Result<Self, CatalogueError> {
        Self::parse(DEFAULT)
    }

    /// The same with the images of these slugs taken from files (absolute paths) instead of being fetched, for places
    /// that cannot download. The files' own checksums are not known, so none is checked.
    ///
    /// # Errors
    /// If there is no such image or the path is not absolute.
    pub fn with_image_files(mut self, files: &BTreeMap<String, String>) -> Result<Self, CatalogueError> {
        let mut problems = Problems::default();
        for (slug, path) in files {
            let Some(image) = self.images.iter_mut().find(|image| image.slug.as_str() == slug) else {
                problems.add(format!("image {slug}"), "is not in the catalogue, so no file can stand for it");
                continue;
            };
            image.file = Some(path.clone());
            (image.url, image.checksum, image.checksum_url) = (None, None, None);
        }
        problems.finish()?;
        self.check()?;
        Ok(self)
    }

    /// The region of that slug.
    pub fn region(&self, slug: &str) -> Option<&Region> {
        self.regions.iter().find(|region| region.slug.as_str() == slug)
    }

    /// The size of that slug.
    pub fn size(&self, slug: &str) -> Option<&Size> {
        self.sizes.iter().find(|size| size.slug.as_str() == slug)
    }

    /// The image of that slug.
    pub fn image(&self, slug: &str) -> Option<&Image> {
        self.images.iter().find(|image| image.slug.as_str() == slug)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default() -> Catalogue {
        Catalogue::default_catalogue().unwrap()
    }

    /// The problems of the default catalogue after one replacement in its text.
    fn problems_with(from: &str, to: &str) -> Vec<String> {
        assert!(DEFAULT.contains(from), "{from}");
        match Catalogue::parse(&DEFAULT.replacen(from, to, 1)) {
            Err(CatalogueError::Entries(problems)) => {
                problems.into_iter().map(|p| format!("{}: {}", p.entry, p.problem)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_default_offers_what_the_design_says() {
        let catalogue = default();
        let shape = |slug: &str| {
            let size = catalogue.size(slug).unwrap();
            (size.vcpus, size.memory_mib, size.disk_gb)
        };
        assert_eq!(shape("small"), (1, 2048, 20));
        assert_eq!(shape("medium"), (2, 4096, 40));
        assert_eq!(shape("large"), (4, 8192, 80));
        assert_eq!(shape("xlarge"), (8, 16384, 160));
        let asserted = catalogue.size("s-1vcpu-1gb").unwrap();
        // Measured against the Terraform provider's tests (wire notes, section 3, number 12).
        assert_eq!((asserted.price_hourly.micros(), asserted.price_monthly.micros()), (8930, 6_000_000));
        assert_eq!(shape("s-1vcpu-1gb"), (1, 1024, 25));
        for slug in ["s-1vcpu-512mb-10gb", "s-1vcpu-2gb", "s-2vcpu-2gb", "s-2vcpu-4gb", "s-4vcpu-8gb", "s-8vcpu-16gb"] {
            assert!(catalogue.size(slug).unwrap().is_offered_in(&"local".into()), "{slug}");
        }
        for slug in ["debian-12-x64", "debian-13-x64", "ubuntu-22-04-x64", "ubuntu-24-04-x64", "rockylinux-9-x64"] {
            assert!(matches!(catalogue.image(slug).unwrap().source(), Ok(Source::Listed { .. })), "{slug}");
        }
        assert!(matches!(catalogue.image("fedora-44-x64").unwrap().source(), Ok(Source::Pinned { .. })));
        assert!(catalogue.image("almalinux-9-x64").is_some());
    }

    #[test]
    fn an_hour_of_the_default_costs_no_more_than_its_share_of_the_month() {
        for size in default().sizes {
            let month = size.price_hourly.times(672).unwrap();
            let off = (month.micros() - size.price_monthly.micros()).abs();
            assert!(off <= 10_000, "{}: {month} in 672 hours", size.slug);
        }
    }

    #[test]
    fn the_default_region() {
        let catalogue = default();
        let region = catalogue.region("local").unwrap();
        assert_eq!(region.provider, "qemu");
        assert_eq!(region.vpc_range.first_free(VPC_PREFIX, &[]).unwrap().to_string(), "10.116.0.0/20");
        let pool = &region.pools[0];
        assert_eq!(pool.gateway().to_string(), "198.18.64.1");
        assert_eq!((pool.first().to_string(), pool.last().to_string()), ("198.18.64.2".into(), "198.18.79.254".into()));
        assert_eq!(pool.addresses().count(), 4093);
    }

    #[test]
    fn a_gateway_in_the_middle_is_not_given_away() {
        let mut pool = default().regions[0].pools[0].clone();
        pool.gateway = Some("198.18.64.9".parse().unwrap());
        (pool.first, pool.last) = (Some("198.18.64.8".parse().unwrap()), Some("198.18.64.10".parse().unwrap()));
        let given: Vec<_> = pool.addresses().map(|a| a.to_string()).collect();
        assert_eq!(given, ["198.18.64.8", "198.18.64.10"]);
    }

    #[test]
    fn the_name_in_the_list_is_the_end_of_the_address() {
        let catalogue = default();
        let Ok(Source::Listed { file, list, .. }) = catalogue.image("debian-13-x64").unwrap().source() else {
            panic!()
        };
        assert_eq!(file, "debian-13-generic-amd64.qcow2");
        assert!(list.ends_with("/SHA512SUMS"));
    }

    #[test]
    fn a_file_stands_for_an_image() {
        let files = BTreeMap::from([("debian-13-x64".to_owned(), "/srv/debian.qcow2".to_owned())]);
        let catalogue = default().with_image_files(&files).unwrap();
        let source = catalogue.image("debian-13-x64").unwrap().source().unwrap();
        assert_eq!(source, Source::File { path: "/srv/debian.qcow2", checksum: None });
        for (slug, path) in [("debian-1-x64", "/srv/x"), ("debian-13-x64", "x.qcow2")] {
            let files = BTreeMap::from([(slug.to_owned(), path.to_owned())]);
            let error = default().with_image_files(&files).unwrap_err().to_string();
            assert!(error.contains(slug), "{error}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, said) in [
            ("slug = \"medium\"", "slug = \"small\"", "size small: is there twice"),
            ("memory_mib = 2048", "memory_mib = 2047", "size small: needs a memory_mib"),
            ("vcpus = 1", "vcpus = 0", "size small: needs between 1 and 4096 vcpus"),
            ("disk_gb = 20", "disk_gb = 0", "size small: needs a disk_gb"),
            ("transfer_tb = 1", "transfer_tb = nan", "size small: needs a transfer_tb"),
            ("price_monthly = 9", "price_monthly = -9", "size small: must not have a negative price"),
            ("vcpus = 1\n", "vcpus = 1\nregions = [\"moon\"]\n", "size small: names the region moon"),
            ("slug = \"small\"", "slug = \"Small\"", "size Small: has a slug"),
            (
                "vcpus = 1\n",
                "vcpus = 1\ngpu = { mapping = \"a 100\", vram_gib = 80 }\n",
                "size small: needs the id of a PCI mapping in gpu.mapping",
            ),
            (
                "vcpus = 1\n",
                "vcpus = 1\ngpu = { mapping = \"a100\", vram_gib = 80, count = 17 }\n",
                "size small: needs a gpu.count between 1 and 16",
            ),
            (
                "vcpus = 1\n",
                "vcpus = 1\ngpu = { mapping = \"a100\", vram_gib = 0 }\n",
                "size small: needs a gpu.vram_gib",
            ),
            (
                "vcpus = 1\n",
                "vcpus = 1\ngpu = { mapping = \"a100\", vram_gib = 80, model = \"\" }\n",
                "size small: has a gpu.model",
            ),
            ("min_disk_gb = 4", "min_disk_gb = 0", "image debian-13-x64: needs a min_disk_gb"),
            ("min_disk_gb = 4", "min_disk_gb = 500", "image debian-13-x64: needs a min_disk_gb between 1 and 320"),
            ("default_user = \"debian\"", "default_user = \"\"", "image debian-13-x64: needs the name of a user"),
            ("url = \"https://cloud.debian", "url = \"http://cloud.debian", "image debian-13-x64: needs https://"),
            ("checksum_url = ", "file = ", "image debian-13-x64: has both a `url` and a `file`"),
            (
                "min_disk_gb = 4",
                "checksum = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"\nmin_disk_gb = 4",
                "image debian-13-x64: has both a `checksum`",
            ),
            ("vpc_range = \"10.116.0.0/16\"", "vpc_range = \"100.64.0.0/16\"", "region local: needs a vpc_range"),
            ("vpc_range = \"10.116.0.0/16\"", "vpc_range = \"10.0.0.0/24\"", "region local: needs a vpc_range"),
            ("198.18.64.0/20", "10.116.0.0/20", "region local, pool public: overlaps the vpc_range"),
            ("198.18.64.0/20", "198.18.64.0/31", "region local, pool public: needs a range"),
            (
                "range = \"198.18.64.0/20\"",
                "range = \"198.18.64.0/20\"\ngateway = \"1.2.3.4\"",
                "pool public: has a gateway",
            ),
            (
                "range = \"198.18.64.0/20\"",
                "range = \"198.18.64.0/20\"\nfirst = \"1.2.3.4\"",
                "pool public: has a first",
            ),
            (
                "range = \"198.18.64.0/20\"",
                "range = \"198.18.64.0/20\"\nfirst = \"198.18.64.9\"\nlast = \"198.18.64.8\"",
                "behind its last",
            ),
            ("vcpus_percent = 800", "vcpus_percent = 0", "region local: must not have an overcommit"),
            ("slug = \"local\"", "slug = \"lo.cal\"", "region lo.cal: has a slug"),
            ("name = \"This machine\"", "name = \" \"", "region local: needs a name"),
            ("provider = \"qemu\"", "provider = \"\"", "region local: needs a provider"),
        ] {
            let problems = problems_with(from, to);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(said), "{said}: {problems:?}");
        }
    }

    #[test]
    fn a_size_may_have_gpus() {
        let text = DEFAULT.replacen("vcpus = 1\n", "vcpus = 1\ngpu = { mapping = \"a100\", vram_gib = 80 }\n", 1);
        let catalogue = Catalogue::parse(&text).unwrap();
        let gpus = catalogue.size("small").unwrap().gpu.clone().unwrap();
        assert_eq!((gpus.mapping.as_str(), gpus.count, gpus.model(), gpus.vram_gib), ("a100", 1, "a100", 80));
        assert_eq!(catalogue.size("medium").unwrap().gpu, None);
        let named = Gpus { model: Some("nvidia_a100".to_owned()), ..gpus };
        assert_eq!(named.model(), "nvidia_a100");
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let text = DEFAULT.replace("vcpus = 1\n", "vcpus = 0\n");
        let error = Catalogue::parse(&text).unwrap_err().to_string();
        assert_eq!(error.matches("needs between 1 and 4096 vcpus").count(), 4, "{error}");
    }

    #[test]
    fn unknown_keys_and_wrong_kinds_show_their_line() {
        for (from, to, said) in [
            ("provider = \"qemu\"", "provider = \"qemu\"\nprovidr = 1", "providr"),
            ("vcpus = 1\n", "vcpus = -1\n", "vcpus = -1"),
            ("distribution = \"Debian\"", "distribution = \"Debain\"", "Debain"),
            ("198.18.64.0/20", "198.18.64.1/20", "did you mean 198.18.64.0/20?"),
            ("slug = \"debian-13-x64\"", "slug = \"Debian\"", "Debian"),
            ("sha256:28", "sha256:zz", "not a checksum"),
            ("price_monthly = 9", "price_monthly = 1e300", "out of range"),
            ("vcpus = 1\n", "vcpus = 1\ngpu = { maping = \"a100\", vram_gib = 80 }\n", "maping"),
        ] {
            let error = Catalogue::parse(&DEFAULT.replacen(from, to, 1)).unwrap_err();
            assert!(matches!(error, CatalogueError::Toml(_)), "{error}");
            assert!(error.to_string().contains(said), "{said}: {error}");
        }
    }

    #[test]
    fn distributions_are_the_words_of_the_specification() {
        for word in [
            "Arch Linux",
            "CentOS",
            "CoreOS",
            "Debian",
            "Fedora",
            "Fedora Atomic",
            "FreeBSD",
            "Gentoo",
            "openSUSE",
            "RancherOS",
            "Rocky Linux",
            "Ubuntu",
            "Unknown",
        ] {
            let parsed: Distribution = serde_json::from_value(word.into()).unwrap();
            assert_eq!(parsed.as_str(), word);
        }
    }
}
