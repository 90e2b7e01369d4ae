//! stub
use super::Endpoint;
pub(super) const ENDPOINTS: &[Endpoint] = &[];
#[derive(Default)]
pub(crate) struct Sdn;
impl Sdn {
    pub(crate) fn running_vnets(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
}
