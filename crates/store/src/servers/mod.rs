//! Servers: the rows that requests write, the room they reserve, and what was seen of them.

mod adopt;
mod backups;
mod changes;
mod create;
mod everywhere;
mod heals;
mod orders;
mod place;
mod read;
mod seen;
mod watch;

pub use adopt::{
    Adopted, Adoption, Home, Unclaimed, adopt, adoption, claim_addresses, draw_id, fitting_size, home, known_addresses,
};
pub use backups::{BackedUp, backed_up, claim_backup};
pub use changes::{
    Growth, Leaving, destroy, erase, ids_tagged, request_destroy, reserve_growth, set_backups, set_image, set_name,
    set_resources, set_wanted_power,
};
pub use create::{
    Ground, GroundChoice, Image, ImageChoice, Key, KeyChoice, NewServer, NewServers, Region, Size, Vpc, ground, insert,
    other_policy, size,
};
pub use everywhere::{Placed, Where, everywhere};
pub use heals::{Idle, forget_heals, healed, idle};
pub use orders::{DestroyOrder, Going, destroy_order, order_destroy};
pub use place::{
    Candidate, GuestStorage, candidates, confirm, follow, place, release_target, reserve_target, stands_on, target,
    unplace,
};
pub use read::{
    Filter, Group, ImageOf, Server, WithGpus, Work, by_ids, capabilities, get, list, neighbor_groups, neighbors,
    on_region, work,
};
pub use seen::{Seen, answered, next_generation, record};
pub use watch::{Watched, elsewhere, living, touch_seen, was_out_of_reach, watched};
