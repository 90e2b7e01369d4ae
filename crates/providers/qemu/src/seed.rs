//! The NoCloud seed: a small FAT volume labelled `CIDATA` with three files, as cloud-init's NoCloud source wants it.

use provider::{Fault, Result, Seed};
use std::io::{Cursor, Write};

/// The volume's smallest size; FAT12 with room for the tables.
const SMALLEST: usize = 256 << 10;
/// User data beyond this is refused, so that nobody fills the host with seeds.
const LARGEST_DOCUMENT: usize = 1 << 20;

/// The bytes of the volume. The same documents always give the same bytes.
pub(crate) fn volume(seed: &Seed) -> Result<Vec<u8>> {
    let documents = [
        ("user-data", seed.user_data.as_bytes()),
        ("meta-data", seed.meta_data.as_bytes()),
        ("network-config", seed.network_config.as_bytes()),
    ];
    if let Some((name, document)) = documents.iter().find(|(_, document)| document.len() > LARGEST_DOCUMENT) {
        return Err(Fault::refused(format!("{name} has {} bytes; {LARGEST_DOCUMENT} are allowed", document.len())));
    }
    let content: usize = documents.iter().map(|(_, document)| document.len()).sum();
    // One sector more per eight for the tables and the last clusters' slack, in whole KiB.
    let size = (SMALLEST + content + content / 8).next_multiple_of(1024);
    fill(size, &documents).map_err(|error| Fault::bug(format!("writing the seed volume: {error}")))
}

fn fill(size: usize, documents: &[(&str, &[u8])]) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0_u8; size];
    let options = fatfs::FormatVolumeOptions::new().volume_label(*b"CIDATA     ").volume_id(0x0C1D_A7A0);
    fatfs::format_volume(Cursor::new(&mut bytes[..]), options)?;
    {
        let volume = fatfs::FileSystem::new(Cursor::new(&mut bytes[..]), fatfs::FsOptions::new())?;
        for (name, document) in documents {
            let mut file = volume.root_dir().create_file(name)?;
            file.write_all(document)?;
            file.flush()?;
        }
        volume.unmount()?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn seed(user_data: String) -> Seed {
        Seed {
            user_data,
            meta_data: "instance-id: i\n".into(),
            network_config: "version: 2\n".into(),
            plain: provider::PlainSeed::default(),
        }
    }

    #[test]
    fn the_documents_come_back() {
        let long = "#cloud-config\n".repeat(20_000);
        for text in [String::new(), "#cloud-config\n".to_owned(), long] {
            let mut bytes = volume(&seed(text.clone())).unwrap();
            assert_eq!(bytes, volume(&seed(text.clone())).unwrap());
            let volume = fatfs::FileSystem::new(Cursor::new(&mut bytes[..]), fatfs::FsOptions::new()).unwrap();
            assert_eq!(volume.volume_label(), "CIDATA");
            let mut found = String::new();
            volume.root_dir().open_file("user-data").unwrap().read_to_string(&mut found).unwrap();
            assert!(found == text, "user-data of {} bytes came back as {}", text.len(), found.len());
            assert_eq!(volume.root_dir().iter().filter(|entry| entry.as_ref().unwrap().is_file()).count(), 3);
        }
    }

    #[test]
    fn a_document_without_bounds_is_refused() {
        assert!(volume(&seed("x".repeat(LARGEST_DOCUMENT + 1))).is_err());
    }
}
