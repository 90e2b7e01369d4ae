//! Why a host will not do: facts for programs, and the rest of a sentence that begins with the host's name.

use super::{HostState, Keep, Sharing, Word};
use crate::catalogue::Architecture;
use std::fmt;

/// One of the amounts of [`super::Resources`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource {
    /// Virtual CPUs.
    Vcpus,
    /// Memory, in MiB.
    Memory,
    /// Disk, in GB.
    Disk,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vcpus => "vCPUs",
            Self::Memory => "MiB of memory",
            Self::Disk => "GB of disk",
        })
    }
}

/// Why a host will not do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Another host is required.
    NotRequired,
    /// It is to be avoided.
    Avoided,
    /// It takes no new servers.
    State(HostState),
    /// Its processor is another one.
    Architecture {
        /// Asked.
        wanted: Architecture,
        /// What it has, where that is known.
        found: Option<Architecture>,
    },
    /// It cannot do this.
    Feature(Word),
    /// It does not have this tag.
    TagMissing(Word),
    /// It has this tag.
    TagForbidden(Word),
    /// The group that is to be kept apart, or together, stands against it.
    Group {
        /// The group.
        group: Word,
        /// What was wished.
        keep: Keep,
        /// Members that it carries.
        members: u32,
    },
    /// Too little of something.
    Room {
        /// Of what.
        what: Resource,
        /// Asked.
        needed: i64,
        /// Left.
        free: i64,
    },
    /// There is room, but then less would be left than has to be.
    Headroom {
        /// Of what.
        what: Resource,
        /// What would be left.
        left: i64,
        /// In hundredths of what may be sold: what has to be left.
        percent: u32,
    },
    /// None of its storages will do.
    Storage(StorageLack),
    /// It has no GPU of the kind.
    NoGpu {
        /// Of this model, or of any.
        model: Option<Word>,
        /// With at least so many MiB.
        vram_mib: i64,
    },
    /// It has too few of them left.
    GpusTaken {
        /// Asked.
        needed: u32,
        /// Left, of the kind of which most are.
        free: u32,
    },
}

/// What keeps the storages of a host from being the one that is looked for: the first of these that leaves none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StorageLack {
    /// There is none at all.
    Any,
    /// None has this name.
    Name(Word),
    /// None keeps this.
    Content(Word),
    /// None is of the techniques that were asked for.
    Technique,
    /// None is local, or none is shared.
    Sharing(Sharing),
    /// Those that are left are too full.
    Room {
        /// GB asked.
        needed: i64,
        /// GB free on the one that has most.
        free: i64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRequired => f.write_str("is not the required host"),
            Self::Avoided => f.write_str("is to be avoided"),
            Self::State(HostState::Up) => f.write_str("takes servers"),
            Self::State(HostState::Maintenance) => f.write_str("is in maintenance"),
            Self::State(HostState::Gone) => f.write_str("has not been seen"),
            Self::Architecture { wanted, found: Some(found) } => {
                write!(f, "has a processor of {}, not {}", word(*found), word(*wanted))
            }
            Self::Architecture { wanted, found: None } => {
                write!(f, "has a processor of which nobody said that it is {}", word(*wanted))
            }
            Self::Feature(feature) => write!(f, "does not offer {feature}"),
            Self::TagMissing(tag) => write!(f, "does not have the tag {tag}"),
            Self::TagForbidden(tag) => write!(f, "has the tag {tag}, which is not wanted"),
            Self::Group { group, keep: Keep::Apart, members } => {
                write!(f, "carries {members} of group {group}, whose servers are to be kept apart")
            }
            Self::Group { group, keep: Keep::Together, .. } => {
                write!(f, "carries none of group {group}, whose servers are to be kept together")
            }
            Self::Room { what, needed, free } => write!(f, "has {free} {what} free of {needed} needed"),
            Self::Headroom { what, left, percent } => {
                write!(f, "would have {left} {what} left, less than the {percent} % that are to stay free")
            }
            Self::Storage(lack) => lack.fmt(f),
            Self::NoGpu { model: Some(model), vram_mib } => {
                write!(f, "has no GPU {model} with {vram_mib} MiB or more")
            }
            Self::NoGpu { model: None, vram_mib } => write!(f, "has no GPU with {vram_mib} MiB or more"),
            Self::GpusTaken { needed, free } => write!(f, "has {free} GPUs of the kind free of {needed} needed"),
        }
    }
}

impl fmt::Display for StorageLack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("has no storage"),
            Self::Name(name) => write!(f, "has no storage {name}"),
            Self::Content(content) => write!(f, "has no such storage for {content}"),
            Self::Technique => f.write_str("has no such storage of the wanted technique"),
            Self::Sharing(Sharing::Local) => f.write_str("has no such storage of its own"),
            Self::Sharing(Sharing::Shared) => f.write_str("has no such storage that it shares with other hosts"),
            Self::Room { needed, free } => write!(f, "has {free} GB free on its storages of {needed} needed on one"),
        }
    }
}

fn word(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86 => "x86_64",
        Architecture::Arm => "aarch64",
    }
}
