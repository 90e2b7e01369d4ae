//! Images at hand: found, brought in, removed.

use crate::download;
use crate::durable::{self, blocking};
use crate::inspect::{Inspected, inspect};
use crate::locks;
use crate::program::Program;
use crate::region::Region;
use crate::tasks::Progress;
use provider::{Begun, Checksum, DiskFormat, Fault, ImageRef, ImageSeen, ImageSource, Result};
use sha2::{Digest, Sha256, Sha512};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A conversion or a copy of a whole disk may take this long.
pub(crate) const LONG: Duration = Duration::from_secs(4 * 3600);

impl Region {
    /// See [`provider::Provider::find_image`].
    pub(crate) async fn find_image(&self, image: &ImageRef) -> Result<Option<ImageSeen>> {
        let path = self.own_image(image)?;
        blocking(move || seen(&path)).await
    }

    /// See [`provider::Provider::ensure_image`].
    pub(crate) async fn ensure_image(self: &Arc<Self>, image: &ImageRef, source: &ImageSource) -> Result<Begun> {
        if self.find_image(image).await?.is_some() {
            return Ok(Begun::Done);
        }
        match source {
            ImageSource::Snapshot => return Err(Fault::refused("the snapshot's disk is not in this region")),
            ImageSource::Url { url, checksum } => download::check_address(url, checksum.as_ref())?,
            ImageSource::File { path, .. } if !Path::new(path).is_absolute() => {
                return Err(Fault::refused("an image's path must be absolute"));
            }
            ImageSource::File { .. } => {}
        }
        let (region, image, source) = (Arc::clone(self), *image, source.clone());
        let subject = fetching(&image);
        let task = self.tasks.begin(subject, |progress| async move { region.bring(image, source, progress).await });
        Ok(Begun::Task(task))
    }

    /// See [`provider::Provider::delete_image`]. The guests made from it keep its bytes alive by links of their own.
    pub(crate) async fn delete_image(&self, image: &ImageRef) -> Result<Begun> {
        let path = self.own_image(image)?;
        // Only a fetch can be given up halfway; a snapshot's job must be closed in QEMU, so it is waited for.
        self.tasks.give_up(&fetching(image));
        let held = locks::take(&self.layout.locks(), &lock_name(image), Duration::from_secs(5)).await?;
        let part = ["part", "validator", "converted"].map(|extension| self.layout.download(image, extension));
        blocking(move || {
            durable::remove(&path)?;
            part.iter().try_for_each(|path| durable::remove(path))
        })
        .await?;
        held.retire();
        Ok(Begun::Done)
    }

    /// The path of an image, which must be one of this installation.
    pub(crate) fn own_image(&self, image: &ImageRef) -> Result<PathBuf> {
        if image.installation == self.layout.installation() {
            return Ok(self.layout.image(image));
        }
        Err(Fault::bug(format!("image {} belongs to another installation", image.image)))
    }

    /// The whole way of an image. Another process may be at it: whoever has the lock works, the others find it done.
    async fn bring(self: Arc<Self>, image: ImageRef, source: ImageSource, progress: Progress) -> Result<()> {
        let held = locks::take(&self.layout.locks(), &lock_name(&image), LONG).await?;
        if self.find_image(&image).await?.is_some() {
            return Ok(());
        }
        let part = self.layout.download(&image, "part");
        let checksum = match &source {
            ImageSource::Url { url, checksum } => {
                let validator = self.layout.download(&image, "validator");
                let target = download::Target { part: &part, validator: &validator, limit: self.largest_image() };
                download::fetch(url, checksum.is_some(), &target, &progress).await?;
                durable::remove(&validator)?;
                checksum.clone()
            }
            ImageSource::File { path, checksum } => {
                copy(PathBuf::from(path), part.clone(), self.largest_image()).await?;
                checksum.clone()
            }
            ImageSource::Snapshot => return Err(Fault::refused("a snapshot cannot be fetched")),
        };
        let accepted = self.accept(&part, checksum).await;
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(fault) => {
                // These bytes are wrong; a repeat must not go on from them.
                durable::remove(&part)?;
                return Err(fault);
            }
        };
        self.land(&image, part, accepted).await?;
        held.retire();
        Ok(())
    }

    /// Verifies the bytes; hashing and looking are all that happens to them before they are known to be harmless.
    async fn accept(&self, part: &Path, checksum: Option<Checksum>) -> Result<Inspected> {
        let limit = self.largest_image();
        let part = part.to_owned();
        blocking(move || {
            if let Some(checksum) = checksum {
                verify(&part, &checksum)?;
            }
            let inspected = inspect(&part)?;
            if inspected.virtual_bytes > limit {
                let size = inspected.virtual_bytes;
                return Err(Fault::refused(format!("the image's disk has {size} bytes; {limit} are allowed")));
            }
            Ok(inspected)
        })
        .await
    }

    /// Gives the verified file its place among the images, as qcow2.
    async fn land(&self, image: &ImageRef, part: PathBuf, inspected: Inspected) -> Result<()> {
        let ready = match inspected.format {
            DiskFormat::Qcow2 => part.clone(),
            DiskFormat::Raw => {
                let converted = self.layout.download(image, "converted");
                durable::remove(&converted)?;
                let arguments = ["convert", "-f", "raw", "-O", "qcow2"];
                let convert = Program::new(&self.config.qemu_img_binary).args(arguments).args([&part, &converted]);
                if let Err(fault) = convert.limit(LONG).run().await {
                    durable::remove(&converted)?;
                    return Err(fault);
                }
                converted
            }
        };
        let place = self.layout.image(image);
        blocking(move || {
            publish(&ready, &place)?;
            durable::remove(&part)
        })
        .await
    }

    pub(crate) fn largest_image(&self) -> u64 {
        self.config.largest_image_bytes
    }
}

/// Makes a finished file an image: flushed, readable for every guest's user, changed by nobody, there at once.
pub(crate) fn publish(ready: &Path, place: &Path) -> Result<()> {
    let io = |error: &std::io::Error| crate::fault::from_io(format!("publishing {}", place.display()), error);
    let file = std::fs::File::open(ready).map_err(|error| io(&error))?;
    file.set_permissions(std::fs::Permissions::from_mode(0o444)).map_err(|error| io(&error))?;
    file.sync_all().map_err(|error| io(&error))?;
    durable::rename(ready, place)
}

/// What the task that brings an image in is about.
fn fetching(image: &ImageRef) -> String {
    format!("fetching image {}", image.image)
}

/// The name of an image's lock.
pub(crate) fn lock_name(image: &ImageRef) -> String {
    format!("image-{}", image.image)
}

/// What stands at an image's place.
pub(crate) fn seen(path: &Path) -> Result<Option<ImageSeen>> {
    match std::fs::metadata(path) {
        Ok(found) => {
            let inspected = inspect(path)?;
            Ok(Some(ImageSeen { stored_bytes: found.blocks() * 512, virtual_bytes: inspected.virtual_bytes }))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(crate::fault::from_io(format!("looking at {}", path.display()), &error)),
    }
}

/// Copies a file of the host; a reflink where the file system can.
async fn copy(from: PathBuf, to: PathBuf, limit: u64) -> Result<()> {
    blocking(move || {
        let io = |error: &std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Fault::refused(format!("{} does not exist", from.display())),
            _ => crate::fault::from_io(format!("copying {}", from.display()), error),
        };
        let found = std::fs::metadata(&from).map_err(|error| io(&error))?;
        if !found.is_file() || found.len() > limit {
            return Err(Fault::refused(format!("{} is no regular file of at most {limit} bytes", from.display())));
        }
        durable::remove(&to)?;
        std::fs::copy(&from, &to).map(drop).map_err(|error| io(&error))
    })
    .await
}

fn verify(path: &Path, checksum: &Checksum) -> Result<()> {
    let (found, wanted) = match checksum {
        Checksum::Sha256(wanted) => (hash::<Sha256>(path)?, wanted),
        Checksum::Sha512(wanted) => (hash::<Sha512>(path)?, wanted),
    };
    if found.eq_ignore_ascii_case(wanted.trim()) {
        return Ok(());
    }
    Err(Fault::refused(format!("the image's checksum is {found}; {wanted} was announced")))
}

fn hash<D: Digest>(path: &Path) -> Result<String> {
    let io = |error: &std::io::Error| crate::fault::from_io(format!("reading {}", path.display()), error);
    let mut file = std::fs::File::open(path).map_err(|error| io(&error))?;
    let mut hash = D::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(|error| io(&error))? {
            0 => return Ok(hex::encode(hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}
