//! When servers are backed up, and how long what was taken is kept.
//!
//! Windows and retention are those of the specification's examples (`droplets_list_supported_backup_policies`): windows
//! of four hours that open at 0, 4, 8, 12, 16 or 20 o'clock UTC; daily backups are kept for 7 days, weekly ones for 28.

use crate::refusal::Refusal;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The hours (UTC) at which a window can open.
pub const HOURS: [i64; 6] = [0, 4, 8, 12, 16, 20];

/// How long a window is.
pub const WINDOW_HOURS: i64 = 4;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;

/// 1970-01-04, the first Sunday, in seconds.
const FIRST_SUNDAY: i64 = 3 * DAY;

/// The beginnings of the servers' backups are spread over this part of the window; the rest is for making them.
const SPREAD_MINUTES: u64 = 180;

/// How often.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    /// Every day.
    Daily,
    /// Once a week.
    Weekly,
}

impl Plan {
    /// Both, the usual one first.
    pub const ALL: [Self; 2] = [Self::Weekly, Self::Daily];

    /// The word as stored and as sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
        }
    }

    /// How long a backup is kept.
    pub const fn retention_days(self) -> i64 {
        match self {
            Self::Daily => 7,
            Self::Weekly => 28,
        }
    }

    /// From one window to the next, in seconds.
    const fn period(self) -> i64 {
        match self {
            Self::Daily => DAY,
            Self::Weekly => WEEK,
        }
    }
}

/// A day of the week, in three capitals.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Weekday {
    /// Sunday.
    Sun,
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
}

impl Weekday {
    /// All seven, in the specification's order.
    pub const ALL: [Self; 7] = [Self::Sun, Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat];

    /// The word as stored and as sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sun => "SUN",
            Self::Mon => "MON",
            Self::Tue => "TUE",
            Self::Wed => "WED",
            Self::Thu => "THU",
            Self::Fri => "FRI",
            Self::Sat => "SAT",
        }
    }
}

/// What a request says of a policy; what it does not say is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Asked {
    /// How often.
    pub plan: Option<Plan>,
    /// On which day, in the weekly plan.
    pub weekday: Option<Weekday>,
    /// The hour (UTC) at which the window opens.
    pub hour: Option<i64>,
}

/// When a server is backed up. As JSON `{plan, weekday?, hour}`, which is also how it is stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Policy {
    plan: Plan,
    weekday: Option<Weekday>,
    hour: i64,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    plan: Plan,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weekday: Option<Weekday>,
    hour: i64,
}

impl TryFrom<Stored> for Policy {
    type Error = Refusal;
    fn try_from(stored: Stored) -> Result<Self, Refusal> {
        Self::choose(Asked { plan: Some(stored.plan), weekday: stored.weekday, hour: Some(stored.hour) }, 0)
    }
}

impl From<Policy> for Stored {
    fn from(policy: Policy) -> Self {
        Self { plan: policy.plan, weekday: policy.weekday, hour: policy.hour }
    }
}

/// A span of time in which a backup begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Window {
    /// Not before.
    pub start: Timestamp,
    /// Not after.
    pub end: Timestamp,
}

impl Default for Policy {
    /// Every Sunday at midnight.
    fn default() -> Self {
        Self { plan: Plan::Weekly, weekday: Some(Weekday::Sun), hour: 0 }
    }
}

impl Policy {
    /// The policy that was asked for. What is left open is weekly, on a day and at an hour that `seed` (the server's
    /// id) decides, so that servers whose owners do not care are not all backed up at once.
    ///
    /// # Errors
    /// Names `backup_policy.hour` or `backup_policy.weekday`.
    pub fn choose(asked: Asked, seed: u64) -> Result<Self, Refusal> {
        let plan = asked.plan.unwrap_or(Plan::Weekly);
        let weekday = match (plan, asked.weekday) {
            (Plan::Daily, Some(_)) => {
                let message = "A daily backup has no weekday. Leave it out, or choose the plan `weekly`.";
                return Err(Refusal::field("backup_policy.weekday", message));
            }
            (Plan::Daily, None) => None,
            (Plan::Weekly, Some(day)) => Some(day),
            (Plan::Weekly, None) => Some(of(&Weekday::ALL, seed).unwrap_or(Weekday::Sun)),
        };
        let hour = asked.hour.unwrap_or_else(|| of(&HOURS, seed / 7).unwrap_or(0));
        if !HOURS.contains(&hour) {
            return Err(Refusal::field("backup_policy.hour", "It is one of 0, 4, 8, 12, 16 and 20 (UTC)."));
        }
        Ok(Self { plan, weekday, hour })
    }

    /// How often.
    pub const fn plan(self) -> Plan {
        self.plan
    }

    /// On which day, in the weekly plan.
    pub const fn weekday(self) -> Option<Weekday> {
        self.weekday
    }

    /// The hour (UTC) at which the window opens.
    pub const fn hour(self) -> i64 {
        self.hour
    }

    /// Until when a backup that is taken at this moment is kept.
    pub fn keep_until(self, taken: Timestamp) -> Timestamp {
        at(taken.as_second().saturating_add(self.plan.retention_days() * DAY))
    }

    /// The window in which the next backup begins: the one that is open, unless it is served already, otherwise the
    /// next one. `served`: up to when every window has had its backup.
    pub fn next_window(self, now: Timestamp, served: Timestamp) -> Window {
        let latest = self.latest(now);
        let open = now.as_second() < latest + WINDOW_HOURS * HOUR;
        let start = if open && served.as_second() < latest { latest } else { latest + self.plan.period() };
        Window { start: at(start), end: at(start + WINDOW_HOURS * HOUR) }
    }

    /// Whether a backup has to be begun. Within the window each server has a moment of its own, by `seed`; a window
    /// that went by while nobody was there to serve it is made up for as soon as somebody is.
    pub fn is_due(self, now: Timestamp, served: Timestamp, seed: u64) -> bool {
        let (latest, served) = (self.latest(now), served.as_second());
        let moment = i64::try_from(seed % SPREAD_MINUTES * 60).unwrap_or(0);
        let missed_before = served < latest - self.plan.period();
        served < latest && (missed_before || now.as_second() >= latest + moment)
    }

    /// When the latest window opened, in seconds.
    fn latest(self, now: Timestamp) -> i64 {
        let day = self.weekday.and_then(|day| Weekday::ALL.iter().position(|known| *known == day)).unwrap_or(0);
        let day = i64::try_from(day).unwrap_or(0);
        let phase = FIRST_SUNDAY + day * DAY + self.hour * HOUR;
        let now = now.as_second();
        now - (now - phase).rem_euclid(self.plan.period())
    }
}

fn of<T: Copy>(choices: &[T], seed: u64) -> Option<T> {
    let count = u64::try_from(choices.len()).ok()?;
    let index = usize::try_from(seed.checked_rem(count)?).ok()?;
    choices.get(index).copied()
}

/// Beyond the years that exist, the last moment of them.
fn at(seconds: i64) -> Timestamp {
    let edge = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(edge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn weekly(weekday: Weekday, hour: i64) -> Policy {
        Policy::choose(Asked { plan: Some(Plan::Weekly), weekday: Some(weekday), hour: Some(hour) }, 0).unwrap()
    }

    fn daily(hour: i64) -> Policy {
        Policy::choose(Asked { plan: Some(Plan::Daily), weekday: None, hour: Some(hour) }, 0).unwrap()
    }

    #[test]
    fn the_windows_of_the_specifications_examples() {
        let now = time("2024-09-13T14:30:00Z");
        let sunday = weekly(Weekday::Sun, 20).next_window(now, now);
        assert_eq!(sunday, Window { start: time("2024-09-15T20:00:00Z"), end: time("2024-09-16T00:00:00Z") });
        let evening = daily(20).next_window(now, now);
        assert_eq!(evening, Window { start: time("2024-09-13T20:00:00Z"), end: time("2024-09-14T00:00:00Z") });
    }

    #[test]
    fn the_open_window_is_the_next_one_until_it_is_served() {
        let policy = daily(8);
        let (now, before) = (time("2026-03-01T09:00:00Z"), time("2026-02-28T08:20:00Z"));
        assert_eq!(policy.next_window(now, before).start, time("2026-03-01T08:00:00Z"));
        assert_eq!(policy.next_window(now, now).start, time("2026-03-02T08:00:00Z"));
    }

    #[test]
    fn a_policy_that_was_just_set_waits_for_a_window_and_a_missed_one_is_made_up_for() {
        let policy = weekly(Weekday::Mon, 4);
        let set = time("2026-03-02T05:00:00Z"); // a Monday, in the middle of the window
        assert!(!policy.is_due(set, set, 0));
        assert!(!policy.is_due(time("2026-03-09T03:59:59Z"), set, 0));
        assert!(policy.is_due(time("2026-03-09T04:00:00Z"), set, 0));
        assert!(!policy.is_due(time("2026-03-09T04:00:00Z"), set, 60), "its moment is an hour later");
        assert!(policy.is_due(time("2026-03-09T05:00:00Z"), set, 60));
        assert!(policy.is_due(time("2026-03-11T12:00:00Z"), set, 60), "nobody was there on Monday");
        assert!(policy.is_due(time("2026-03-16T04:00:00Z"), set, 60), "nor in the whole week");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let field = |asked| Policy::choose(asked, 0).unwrap_err().field.unwrap();
        for hour in [-4, 1, 24, i64::MAX, i64::MIN] {
            assert_eq!(field(Asked { hour: Some(hour), ..Asked::default() }), "backup_policy.hour");
        }
        let day = Asked { plan: Some(Plan::Daily), weekday: Some(Weekday::Mon), hour: None };
        assert_eq!(field(day), "backup_policy.weekday");
    }

    #[test]
    fn it_is_stored_as_it_is_asked_for() {
        let stored = serde_json::json!({ "plan": "weekly", "weekday": "SUN", "hour": 4 });
        assert_eq!(serde_json::to_value(weekly(Weekday::Sun, 4)).unwrap(), stored);
        assert_eq!(serde_json::from_value::<Policy>(stored).unwrap(), weekly(Weekday::Sun, 4));
        let stored = serde_json::json!({ "plan": "daily", "hour": 0 });
        assert_eq!(serde_json::to_value(daily(0)).unwrap(), stored);
        for wrong in [serde_json::json!(null), serde_json::json!({ "plan": "daily", "hour": 3 })] {
            serde_json::from_value::<Policy>(wrong).unwrap_err();
        }
    }

    fn policies() -> impl Strategy<Value = Policy> {
        (any::<bool>(), 0..7_usize, 0..6_usize).prop_map(|(often, day, hour)| {
            if often { daily(HOURS[hour]) } else { weekly(Weekday::ALL[day], HOURS[hour]) }
        })
    }

    // From 1902 to 2200.
    fn moments() -> impl Strategy<Value = Timestamp> {
        (-2_145_916_800_i64..7_258_118_400).prop_map(at)
    }

    proptest! {
        #[test]
        fn a_window_is_four_hours_from_the_policys_hour_on_its_day(policy in policies(), now in moments(), ago in 0..WEEK) {
            let window = policy.next_window(now, at(now.as_second() - ago));
            prop_assert!(window.end > now);
            prop_assert!(window.start.as_second() - now.as_second() <= policy.plan().period());
            prop_assert_eq!(window.end.as_second() - window.start.as_second(), WINDOW_HOURS * HOUR);
            let start = window.start.to_zoned(jiff::tz::TimeZone::UTC);
            prop_assert_eq!((i64::from(start.hour()), start.minute(), start.second()), (policy.hour(), 0, 0));
            if let Some(day) = policy.weekday() {
                let index = usize::try_from(start.weekday().to_sunday_zero_offset()).unwrap();
                prop_assert_eq!(Weekday::ALL[index], day);
            }
        }

        #[test]
        fn what_was_just_served_is_not_due_and_what_was_served_long_ago_is(
            policy in policies(), now in moments(), seed in any::<u64>(),
        ) {
            prop_assert!(!policy.is_due(now, now, seed));
            prop_assert!(policy.is_due(now, at(now.as_second() - 2 * policy.plan().period()), seed));
        }

        /// A scheduler that looks every minute takes one backup a window, within the window.
        #[test]
        fn a_minute_by_minute_scheduler_takes_one_a_window(policy in policies(), now in moments(), seed in any::<u64>()) {
            let mut served = now;
            let mut taken = 0;
            let periods = 3;
            for minute in 1..=(periods * policy.plan().period() / 60) {
                let now = at(now.as_second() + minute * 60);
                if policy.is_due(now, served, seed) {
                    let window = policy.next_window(now, served);
                    prop_assert!(window.start <= now && now < window.end);
                    served = now;
                    taken += 1;
                }
            }
            prop_assert!((periods - 1..=periods + 1).contains(&taken), "{taken}");
        }

        #[test]
        fn what_is_left_open_is_chosen_validly(seed in any::<u64>()) {
            let policy = Policy::choose(Asked::default(), seed).unwrap();
            prop_assert_eq!(policy.plan(), Plan::Weekly);
            prop_assert!(HOURS.contains(&policy.hour()) && policy.weekday().is_some());
        }

        #[test]
        fn retention_is_counted_in_days(policy in policies(), now in moments()) {
            let days = (policy.keep_until(now).as_second() - now.as_second()) / DAY;
            prop_assert_eq!(days, policy.plan().retention_days());
        }
    }
}
