//! What was seen of templates a moment ago. A template is looked at to be sure that it is whole and whose it is; that many
//! servers are made of it at once does not change it.

use crate::calls::GetTasks;
use crate::region::{Place, Region};
use crate::scalar::Lenient;
use crate::transport::held;
use model::ids::ImageId;
use provider::{Fault, ImageRef, ImageSeen, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a template that was seen is believed to be there. A clone of one that is gone fails, and looks again.
const BELIEVED: Duration = Duration::from_secs(5);
/// How long it is believed how many clones of a template are under way, beside those that were begun here.
const COUNTED: Duration = Duration::from_secs(1);

/// An image's template on a certain host, or on any.
type Where = (ImageId, Option<String>);

/// A template that disks are copied from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Original {
    pub(crate) place: Place,
    /// The storage that its disk is on.
    pub(crate) storage: String,
}

/// Templates that were seen.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    images: Mutex<HashMap<ImageId, (ImageSeen, Instant)>>,
    places: Mutex<HashMap<Where, (Original, Instant)>>,
}

impl Templates {
    /// An image that was seen.
    pub(crate) fn image(&self, image: &ImageRef) -> Option<ImageSeen> {
        let (seen, at) = held(&self.images).get(&image.image).copied()?;
        (at.elapsed() < BELIEVED).then_some(seen)
    }

    /// Keeps an image that was seen.
    pub(crate) fn keep_image(&self, image: &ImageRef, seen: &ImageSeen) {
        held(&self.images).insert(image.image, (*seen, Instant::now()));
    }

    /// Where its template was seen.
    pub(crate) fn place(&self, image: &ImageRef, host: Option<&str>) -> Option<Original> {
        let (original, at) = held(&self.places).get(&(image.image, host.map(str::to_owned))).cloned()?;
        (at.elapsed() < BELIEVED).then_some(original)
    }

    /// Keeps where its template was seen.
    pub(crate) fn keep_place(&self, image: &ImageRef, host: Option<&str>, original: &Original) {
        held(&self.places).insert((image.image, host.map(str::to_owned)), (original.clone(), Instant::now()));
    }

    /// Forgets what was seen of an image.
    pub(crate) fn forget(&self, image: &ImageRef) {
        held(&self.images).remove(&image.image);
        held(&self.places).retain(|(known, _), _| *known != image.image);
    }
}

/// The clones of each template. They are begun one at a time, so that counting those under way means something.
#[derive(Debug, Default)]
pub(crate) struct Cloning(Mutex<HashMap<u32, Arc<tokio::sync::Mutex<Clones>>>>);

/// How many clones of one template were under way when they were counted, and those that were begun since.
#[derive(Debug, Default)]
pub(crate) struct Clones {
    running: usize,
    counted: Option<Instant>,
}

impl Cloning {
    /// Those of one template.
    pub(crate) fn of(&self, template: &Place) -> Arc<tokio::sync::Mutex<Clones>> {
        Arc::clone(held(&self.0).entry(template.number).or_default())
    }
}

impl Region {
    /// Counts one more clone of a template, or refuses for the moment when as many are under way as may be. Those that have
    /// ended are counted out by asking, which is seldom enough: clones that are quick are few at a time.
    pub(crate) async fn room_to_clone(&self, template: &Place, clones: &mut Clones) -> Result<()> {
        let most = self.config.clones_at_once.max(1);
        let known = clones.counted.is_some_and(|at| at.elapsed() < COUNTED) && clones.running < most;
        if !known {
            clones.running = self.clones_of(template).await?;
            clones.counted = Some(Instant::now());
        }
        if clones.running >= most {
            let (running, number) = (clones.running, template.number);
            return Err(Fault::transient(format!("{running} clones of template {number} are under way")));
        }
        clones.running += 1;
        Ok(())
    }

    async fn clones_of(&self, template: &Place) -> Result<usize> {
        let call = GetTasks {
            node: template.node.clone(),
            source: Some("active".to_owned()),
            vmid: Some(template.number),
            typefilter: Some("qmclone".to_owned()),
            limit: Some(100),
        };
        let answer = self.transport.ask(&call).await?;
        Ok(answer.rows().iter().filter(|row| row.get("endtime").is_none()).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Kind;
    use model::ids::InstallationId;

    #[test]
    fn a_template_is_known_on_the_host_where_it_was_seen_until_it_is_forgotten() {
        let image = ImageRef { installation: InstallationId(uuid::Uuid::nil()), image: ImageId(7) };
        let place = Place { number: 90_000, kind: Kind::Machine, node: "a".to_owned() };
        let original = Original { place, storage: "local-lvm".to_owned() };
        let templates = Templates::default();
        templates.keep_place(&image, Some("a"), &original);
        templates.keep_image(&image, &ImageSeen { stored_bytes: 1, virtual_bytes: 2 });
        assert_eq!(templates.place(&image, Some("a")), Some(original));
        assert_eq!((templates.place(&image, Some("b")), templates.place(&image, None)), (None, None));
        assert!(templates.image(&image).is_some());
        templates.forget(&image);
        assert!(templates.place(&image, Some("a")).is_none() && templates.image(&image).is_none());
    }
}
