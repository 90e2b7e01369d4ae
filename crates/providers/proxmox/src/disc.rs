//! The NoCloud seed as a disc: ISO 9660 with Joliet names, volume id `cidata`, the three documents in its root.

use provider::{Fault, Result, Seed};

const SECTOR: usize = 2048;
/// Larger documents are refused, so that nobody fills the cluster's storage with seeds.
const LARGEST: usize = 1 << 20;
const LABEL: &str = "cidata";
/// Sectors: 16 and 17 describe the volume, 18 ends the descriptions, 19–22 hold path tables, 23 and 24 the directories.
const TABLES: u32 = 19;
const PLAIN_ROOT: u32 = 23;
const JOLIET_ROOT: u32 = 24;
const FIRST_FILE: u32 = 25;

struct File<'a> {
    /// What systems without long names see.
    plain: &'static str,
    name: &'static str,
    content: &'a [u8],
    at: u32,
}

/// The disc's bytes; the same documents give the same bytes.
pub(crate) fn image(seed: &Seed) -> Result<Vec<u8>> {
    let documents = [
        ("META_DAT.;1", "meta-data", seed.meta_data.as_bytes()),
        ("NETWORK_.;1", "network-config", seed.network_config.as_bytes()),
        ("USER_DAT.;1", "user-data", seed.user_data.as_bytes()),
    ];
    let mut at = FIRST_FILE;
    let mut files = Vec::new();
    for (plain, name, content) in documents {
        if content.len() > LARGEST {
            return Err(Fault::refused(format!("{name} has {} bytes; {LARGEST} are allowed", content.len())));
        }
        files.push(File { plain, name, content, at });
        at += sectors(content.len());
    }
    let mut disc = vec![0; at as usize * SECTOR];
    put(&mut disc, 16, &descriptor(1, at));
    put(&mut disc, 17, &descriptor(2, at));
    put(&mut disc, 18, b"\xffCD001\x01");
    for (offset, root) in [(0, PLAIN_ROOT), (2, JOLIET_ROOT)] {
        put(&mut disc, TABLES + offset, &path_table(&root.to_le_bytes(), [1, 0]));
        put(&mut disc, TABLES + offset + 1, &path_table(&root.to_be_bytes(), [0, 1]));
    }
    put(&mut disc, PLAIN_ROOT, &directory(PLAIN_ROOT, &files, |file| file.plain.as_bytes().to_vec()));
    put(&mut disc, JOLIET_ROOT, &directory(JOLIET_ROOT, &files, |file| wide(file.name)));
    for file in &files {
        put(&mut disc, file.at, file.content);
    }
    Ok(disc)
}

fn sectors(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(SECTOR)).unwrap_or(u32::MAX)
}

fn put(disc: &mut [u8], sector: u32, bytes: &[u8]) {
    let start = sector as usize * SECTOR;
    disc[start..start + bytes.len()].copy_from_slice(bytes);
}

/// UCS-2, high byte first, as Joliet writes names.
fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// A number twice: low byte first, high byte first.
fn both32(number: u32) -> [u8; 8] {
    let (low, high) = (number.to_le_bytes(), number.to_be_bytes());
    [low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3]]
}

fn both16(number: u16) -> [u8; 4] {
    let (low, high) = (number.to_le_bytes(), number.to_be_bytes());
    [low[0], low[1], high[0], high[1]]
}

/// A volume descriptor: 1 is the plain one, 2 the one with Joliet names (ECMA-119 8.4 and 8.5).
fn descriptor(kind: u8, sectors: u32) -> Vec<u8> {
    let joliet = kind == 2;
    let text = |text: &str, length: usize| -> Vec<u8> {
        let mut bytes = if joliet { wide(text) } else { text.as_bytes().to_vec() };
        while bytes.len() < length {
            bytes.extend_from_slice(if joliet { &[0, b' '] } else { b" " });
        }
        bytes.truncate(length);
        bytes
    };
    let (root, tables) = if joliet { (JOLIET_ROOT, TABLES + 2) } else { (PLAIN_ROOT, TABLES) };
    let mut bytes = vec![kind];
    bytes.extend_from_slice(b"CD001\x01\x00");
    bytes.extend(text("", 32));
    bytes.extend(text(LABEL, 32));
    bytes.extend([0; 8]);
    bytes.extend(both32(sectors));
    // Joliet level 3 announces itself here.
    let mut escape = [0; 32];
    if joliet {
        escape[..3].copy_from_slice(b"%/E");
    }
    bytes.extend(escape);
    bytes.extend(both16(1));
    bytes.extend(both16(1));
    bytes.extend(both16(2048));
    bytes.extend(both32(10));
    bytes.extend(tables.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend((tables + 1).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(record(root, 2048, 2, &[0]));
    bytes.extend(text("", 128 * 4));
    bytes.extend(text("", 37 * 3));
    for _ in 0..4 {
        bytes.extend(b"0000000000000000\x00");
    }
    bytes.push(1);
    bytes.resize(SECTOR, 0);
    bytes
}

/// The only directory is the root.
fn path_table(root: &[u8; 4], parent: [u8; 2]) -> Vec<u8> {
    let mut bytes = vec![1, 0];
    bytes.extend(root);
    bytes.extend(parent);
    bytes.extend([0, 0]);
    bytes
}

fn directory(at: u32, files: &[File<'_>], name: impl Fn(&File<'_>) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = record(at, 2048, 2, &[0]);
    bytes.extend(record(at, 2048, 2, &[1]));
    for file in files {
        let length = u32::try_from(file.content.len()).unwrap_or(u32::MAX);
        bytes.extend(record(file.at, length, 0, &name(file)));
    }
    bytes
}

/// A directory record (ECMA-119 9.1); its time is the first of January 2000.
fn record(at: u32, length: u32, flags: u8, name: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend(both32(at));
    bytes.extend(both32(length));
    bytes.extend([100, 1, 1, 0, 0, 0, 0, flags, 0, 0]);
    bytes.extend(both16(1));
    bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    bytes.extend(name);
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes[0] = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use provider::PlainSeed;

    fn seed(user_data: &str) -> Seed {
        Seed {
            user_data: user_data.into(),
            meta_data: "instance-id: i\n".into(),
            network_config: "version: 2\n".into(),
            plain: PlainSeed::default(),
        }
    }

    fn number(bytes: &[u8]) -> usize {
        u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize
    }

    /// Reads a document the way the standard says, through the Joliet descriptor.
    fn read(disc: &[u8], name: &str) -> Option<Vec<u8>> {
        let descriptor = &disc[17 * SECTOR..18 * SECTOR];
        assert_eq!(&descriptor[..7], b"\x02CD001\x01");
        let root = number(&descriptor[156 + 2..]) * SECTOR;
        let mut at = root;
        while disc[at] != 0 {
            let record = &disc[at..at + disc[at] as usize];
            let length = record[32] as usize;
            if record[33..33 + length] == wide(name) {
                let start = number(&record[2..]) * SECTOR;
                return Some(disc[start..start + number(&record[10..])].to_vec());
            }
            at += record.len();
        }
        None
    }

    #[test]
    fn the_documents_come_back() {
        for text in [String::new(), "#cloud-config\n".to_owned(), "x".repeat(5000)] {
            let disc = image(&seed(&text)).unwrap();
            assert_eq!(disc.len() % SECTOR, 0);
            assert_eq!(read(&disc, "user-data").unwrap(), text.as_bytes());
            assert_eq!(read(&disc, "meta-data").unwrap(), b"instance-id: i\n");
            assert_eq!(read(&disc, "network-config").unwrap(), b"version: 2\n");
            assert_eq!(read(&disc, "vendor-data"), None);
            assert_eq!(disc, image(&seed(&text)).unwrap());
        }
    }

    #[test]
    fn the_volume_is_called_what_cloud_init_looks_for() {
        let disc = image(&seed("x")).unwrap();
        assert_eq!(&disc[16 * SECTOR + 40..16 * SECTOR + 72], format!("{LABEL:<32}").as_bytes());
        let sectors = number(&disc[16 * SECTOR + 80..]);
        assert_eq!(sectors * SECTOR, disc.len());
    }

    #[test]
    fn a_document_without_bounds_is_refused() {
        assert!(image(&seed(&"x".repeat(LARGEST + 1))).is_err());
    }
}
