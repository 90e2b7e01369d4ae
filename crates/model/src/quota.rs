//! Whether a team may have what it asks for.

use crate::refusal::{Code, Refusal};
use serde::{Deserialize, Serialize};

/// Amounts of everything that is limited: what a team has, or what it asks for in addition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Amounts {
    /// Servers.
    pub servers: i64,
    /// Virtual CPUs of all servers.
    pub vcpus: i64,
    /// Memory of all servers in MiB.
    pub memory_mib: i64,
    /// Disk of all servers in GB.
    pub disk_gb: i64,
    /// Snapshots.
    pub snapshots: i64,
    /// Registered SSH keys.
    pub ssh_keys: i64,
}

/// The most that a team may have of each; 0 is none at all, and there is no word for unlimited.
pub type Limits = Amounts;

/// What a team has: always a sum of reservations that was taken under the lock of the team's quota.
pub type Usage = Amounts;

/// What a team asks for in addition.
pub type Ask = Amounts;

impl Amounts {
    /// This many servers of one size. Amounts beyond an `i64` stay at its maximum, which no limit admits.
    pub fn servers(count: usize, vcpus: u32, memory_mib: u32, disk_gb: u32) -> Self {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let times = |amount: u32| count.saturating_mul(i64::from(amount));
        Self {
            servers: count,
            vcpus: times(vcpus),
            memory_mib: times(memory_mib),
            disk_gb: times(disk_gb),
            ..Self::default()
        }
    }

    /// The growth of one server from one size to another: what is smaller afterwards asks for nothing.
    pub fn growth(from: Self, to: Self) -> Self {
        let more = |from: i64, to: i64| to.saturating_sub(from).max(0);
        Self {
            servers: 0,
            vcpus: more(from.vcpus, to.vcpus),
            memory_mib: more(from.memory_mib, to.memory_mib),
            disk_gb: more(from.disk_gb, to.disk_gb),
            ..Self::default()
        }
    }

    /// One snapshot.
    pub fn snapshot() -> Self {
        Self { snapshots: 1, ..Self::default() }
    }

    /// One SSH key.
    pub fn ssh_key() -> Self {
        Self { ssh_keys: 1, ..Self::default() }
    }

    /// Each amount with how a sentence calls it, the one that people know best first.
    fn rows(self) -> [(i64, &'static str, &'static str); 6] {
        [
            (self.servers, "creating this/these droplet(s) will exceed your droplet limit", "servers"),
            (self.vcpus, "this would exceed your vCPU limit", "vCPUs"),
            (self.memory_mib, "this would exceed your memory limit", "MiB of memory"),
            (self.disk_gb, "this would exceed your disk limit", "GB of disk"),
            (self.snapshots, "this would exceed your snapshot limit", "snapshots"),
            (self.ssh_keys, "this would exceed your SSH key limit", "SSH keys"),
        ]
    }
}

/// Admits what is asked for if every sum stays within its limit. What is not asked for is not looked at, so a team that
/// is over a limit that was lowered may still do everything else.
///
/// # Errors
/// [`Code::QuotaExceeded`], for the first limit that would be exceeded: in DigitalOcean's words for servers, with
/// what was asked, what is left and what to do. A negative ask (which nothing makes) counts as none.
pub fn admit(limits: &Limits, used: &Usage, ask: &Ask) -> Result<(), Refusal> {
    let rows = limits.rows().into_iter().zip(used.rows()).zip(ask.rows());
    for (((limit, sentence, what), (used, ..)), (ask, ..)) in rows {
        let left = limit.max(0).saturating_sub(used.max(0)).max(0);
        if ask > left {
            let message = format!(
                "{sentence}: {ask} {what} asked for, {left} left of {limit}. \
                 Delete what is no longer needed, or ask your operator for a higher limit."
            );
            return Err(Refusal::new(Code::QuotaExceeded, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits =
        Limits { servers: 10, vcpus: 20, memory_mib: 40_960, disk_gb: 400, snapshots: 5, ssh_keys: 3 };

    #[test]
    fn up_to_the_limit_and_no_further() {
        let used = Usage { servers: 9, vcpus: 18, memory_mib: 36_864, disk_gb: 360, snapshots: 4, ssh_keys: 3 };
        admit(&LIMITS, &used, &Ask::servers(1, 2, 4096, 40)).unwrap();
        admit(&LIMITS, &used, &Ask::snapshot()).unwrap();
        let refusal = admit(&LIMITS, &used, &Ask::servers(2, 1, 1024, 10)).unwrap_err();
        assert_eq!(refusal.code, Code::QuotaExceeded);
        assert_eq!(
            refusal.message,
            "creating this/these droplet(s) will exceed your droplet limit: 2 servers asked for, 1 left of 10. \
             Delete what is no longer needed, or ask your operator for a higher limit."
        );
        for (ask, said) in [
            (Ask::servers(1, 3, 1024, 10), "3 vCPUs asked for, 2 left of 20"),
            (Ask::servers(1, 1, 8192, 10), "8192 MiB of memory asked for, 4096 left of 40960"),
            (Ask::servers(1, 1, 1024, 41), "41 GB of disk asked for, 40 left of 400"),
            (Ask::ssh_key(), "1 SSH keys asked for, 0 left of 3"),
        ] {
            let message = admit(&LIMITS, &used, &ask).unwrap_err().message;
            assert!(message.contains(said), "{message}");
        }
    }

    #[test]
    fn a_team_over_a_lowered_limit_may_do_the_rest() {
        let used = Usage { servers: 50, ..Usage::default() };
        admit(&LIMITS, &used, &Ask::ssh_key()).unwrap();
        let message = admit(&LIMITS, &used, &Ask::servers(1, 1, 1, 1)).unwrap_err().message;
        assert!(message.contains("0 left of 10"), "{message}");
    }

    #[test]
    fn growth_asks_for_the_difference() {
        let (small, large) = (Ask::servers(1, 1, 2048, 80), Ask::servers(1, 4, 8192, 40));
        let growth = Ask::growth(small, large);
        assert_eq!(growth, Ask { vcpus: 3, memory_mib: 6144, ..Ask::default() });
        assert_eq!(Ask::growth(large, large), Ask::default());
    }

    fn amounts() -> impl Strategy<Value = Amounts> {
        let amount = || prop_oneof![4 => 0i64..20, 1 => any::<i64>()];
        (amount(), amount(), amount(), amount(), amount(), amount()).prop_map(
            |(servers, vcpus, memory_mib, disk_gb, snapshots, ssh_keys)| Amounts {
                servers,
                vcpus,
                memory_mib,
                disk_gb,
                snapshots,
                ssh_keys,
            },
        )
    }

    proptest! {
        #[test]
        fn admitted_means_within_every_limit_that_is_touched(limits in amounts(), used in amounts(), ask in amounts()) {
            let within = limits.rows().iter().zip(used.rows()).zip(ask.rows()).all(|((limit, used), ask)| {
                ask.0 <= 0 || i128::from(used.0.max(0)) + i128::from(ask.0) <= i128::from(limit.0)
            });
            prop_assert_eq!(admit(&limits, &used, &ask).is_ok(), within);
        }

        #[test]
        fn asking_for_nothing_is_always_admitted(limits in amounts(), used in amounts()) {
            prop_assert!(admit(&limits, &used, &Ask::default()).is_ok());
        }

        #[test]
        fn no_count_of_servers_slips_through(count in any::<usize>(), vcpus in any::<u32>(), memory in any::<u32>(), disk in any::<u32>()) {
            let ask = Ask::servers(count, vcpus, memory, disk);
            prop_assert!(ask.servers >= 0 && ask.vcpus >= 0 && ask.memory_mib >= 0 && ask.disk_gb >= 0);
            prop_assert_eq!(admit(&LIMITS, &Usage::default(), &ask).is_ok(),
                count <= 10 && count as u128 * u128::from(vcpus) <= 20
                    && count as u128 * u128::from(memory) <= 40_960 && count as u128 * u128::from(disk) <= 400);
        }
    }
}
