//! Images: the catalogue's, snapshots, and those that teams bring.

pub(crate) mod fetch;
pub mod life;
pub mod offers;
pub mod verbs;
pub mod wishes;
