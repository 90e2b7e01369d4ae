//! stub
use super::Endpoint;
pub(super) const ENDPOINTS: &[Endpoint] = &[];
pub(crate) fn seed_of(_: &crate::cluster::Config) -> std::collections::BTreeMap<String, String> {
    Default::default()
}
