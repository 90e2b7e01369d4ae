//! Guests on this host: QEMU processes over QMP
