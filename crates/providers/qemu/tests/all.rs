//! The QEMU provider against real QEMU processes. A guest without a bootable disk is enough for everything but the
//! last test: its firmware sits there and waits.

#[cfg(test)]
#[path = "all/bridged.rs"]
mod bridged;
#[cfg(test)]
#[path = "all/guests.rs"]
mod guests;
#[cfg(test)]
#[path = "all/images.rs"]
mod images;
#[cfg(test)]
#[path = "all/real.rs"]
mod real;
#[cfg(test)]
#[path = "all/stage.rs"]
mod stage;
