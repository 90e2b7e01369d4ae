//! What a disk image is, read from its own first bytes. A tenant's image is hostile input: QEMU's probing follows
//! backing files and external data files (`/etc/shadow`, say), so nothing of QEMU sees an image that was not passed
//! here, and QEMU is always told the format.

use provider::{DiskFormat, Fault, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// What an acceptable image is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Inspected {
    /// Its layout.
    pub(crate) format: DiskFormat,
    /// Size of the disk in it.
    pub(crate) virtual_bytes: u64,
}

/// Incompatible features that we accept: dirty (refcounts are repaired on opening) and compression type.
const ACCEPTED_FEATURES: u64 = 0b1001;
const CORRUPT: u64 = 0b10;
const DATA_FILE: u64 = 0b100;
/// The header extension that names an external data file.
const DATA_FILE_NAME: u32 = 0x4441_5441;

/// Formats that are neither, by how they begin.
const OTHERS: [(&[u8], &str); 11] = [
    (b"KDMV", "a VMDK disk"),
    (b"COWD", "a VMDK disk"),
    (b"# Disk DescriptorFile", "a VMDK descriptor"),
    (b"vhdxfile", "a VHDX disk"),
    (b"conectix", "a VHD disk"),
    (b"QED\0", "a QED disk"),
    (b"<<< ", "a VDI disk"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"BZh", "compressed with bzip2"),
];

/// Reads what the file is, or says why it is refused.
pub(crate) fn inspect(path: &Path) -> Result<Inspected> {
    let io = |error: &std::io::Error| crate::fault::from_io(format!("reading {}", path.display()), error);
    let mut file = File::open(path).map_err(|error| io(&error))?;
    let length = file.metadata().map_err(|error| io(&error))?.len();
    let mut start = Vec::new();
    (&mut file).take(4096).read_to_end(&mut start).map_err(|error| io(&error))?;
    if start.starts_with(b"QFI\xfb") {
        return qcow2(&start, &mut file);
    }
    if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Err(Fault::refused(format!("the image is {what}; qcow2 and raw disks are supported")));
    }
    if length < 512 {
        return Err(Fault::refused("the image is too short to be a disk"));
    }
    Ok(Inspected { format: DiskFormat::Raw, virtual_bytes: length.next_multiple_of(512) })
}

fn qcow2(start: &[u8], file: &mut File) -> Result<Inspected> {
    let cut = || Fault::refused("the image's qcow2 header is cut off");
    let (Some(version), Some(backing), Some(virtual_bytes), Some(encryption)) =
        (number(start, 4, 4), number(start, 8, 8), number(start, 24, 8), number(start, 32, 4))
    else {
        return Err(cut());
    };
    if !(2..=3).contains(&version) {
        return Err(Fault::refused(format!("qcow2 version {version} is not supported")));
    }
    if backing != 0 {
        return Err(Fault::refused("the image names a backing file; a standalone image is needed"));
    }
    if encryption != 0 {
        return Err(Fault::refused("the image is encrypted"));
    }
    let accepted = Inspected { format: DiskFormat::Qcow2, virtual_bytes };
    if version == 2 {
        return Ok(accepted);
    }
    let (Some(features), Some(header)) = (number(start, 72, 8), number(start, 100, 4)) else { return Err(cut()) };
    if features & DATA_FILE != 0 {
        return Err(Fault::refused("the image keeps its data in an external file; a standalone image is needed"));
    }
    if features & CORRUPT != 0 {
        return Err(Fault::refused("the image is marked as corrupt"));
    }
    if features & !ACCEPTED_FEATURES != 0 {
        return Err(Fault::refused(format!("the image has unknown qcow2 features ({features:#x})")));
    }
    extensions(file, header)?;
    Ok(accepted)
}

/// Walks the header extensions; they end with an empty one of type 0.
fn extensions(file: &mut File, mut position: u64) -> Result<()> {
    let broken = |_: std::io::Error| Fault::refused("the image's qcow2 header is cut off");
    for _ in 0..64 {
        file.seek(SeekFrom::Start(position)).map_err(broken)?;
        let mut header = [0_u8; 8];
        file.read_exact(&mut header).map_err(broken)?;
        let (Some(kind), Some(length)) = (number(&header, 0, 4), number(&header, 4, 4)) else { break };
        if kind == 0 {
            return Ok(());
        }
        if kind == u64::from(DATA_FILE_NAME) {
            return Err(Fault::refused("the image names an external data file"));
        }
        position = position.saturating_add(8).saturating_add(length.next_multiple_of(8));
    }
    Err(Fault::refused("the image's qcow2 header extensions do not end"))
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    Some(bytes.get(at..at + length)?.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
}
