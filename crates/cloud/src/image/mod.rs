//! Images: the catalogue's, snapshots, and those that teams bring.

pub(crate) mod fetch;
pub mod life;
