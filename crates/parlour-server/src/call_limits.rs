//! How many calls are answered: windows of a minute, one for each user, endpoint and platform, and one for each
//! endpoint of an app.
//!
//! A window begins with the first call after the last one ended, so that the figures in the answers are exact: so many
//! calls are left, and then so many seconds until the next window. Who has not called for a minute is forgotten. Keys are
//! digests, made of ids that a token has proved, of addresses and of texts that the server itself knows: nobody makes
//! entries at will.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use parlour_proto::Millis;
use parlour_store::AppId;
use parlour_wire::UserId;

const WINDOW_MS: Millis = 60_000;
/// Parts of the map, so that calls do not wait for each other.
const SHARDS: usize = 16;
/// Windows in one part before those that are over are forgotten.
const SWEEP_FROM: usize = 1_024;
/// Windows in one part, at most: about 32 MiB in all. Beyond it those that end soonest go before their time.
const WINDOWS_MAX: usize = 65_536;

/// From where a user calls: one of a few, for whoever calls says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Platform {
    Web,
    Ios,
    Android,
    Other,
}

impl Platform {
    /// By the name that the program gives itself.
    pub(crate) fn of(user_agent: &str) -> Self {
        let names = |parts: &[&str]| parts.iter().any(|part| user_agent.contains(part));
        if user_agent.starts_with("Mozilla/") {
            Self::Web
        } else if names(&["CFNetwork", "Darwin", "iOS"]) {
            Self::Ios
        } else if names(&["okhttp", "Android", "Dalvik"]) {
            Self::Android
        } else {
            Self::Other
        }
    }
}

/// What a call is counted by.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) enum Counted<'a> {
    User {
        app: AppId,
        user: &'a UserId,
        endpoint: &'a str,
        platform: Platform,
    },
    /// Those of one address who have not shown who they are.
    Address {
        app: AppId,
        address: Option<IpAddr>,
        endpoint: &'a str,
    },
    App {
        app: AppId,
        endpoint: &'a str,
    },
}

/// The address, or the network that stands for it: a household has as many of the longer ones as it likes.
pub(crate) fn household(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.into(),
            None => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        },
    }
}

/// What is left of a window after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// Until the window ends.
    pub(crate) reset_ms: Millis,
    /// Whether the call is one too many.
    pub(crate) is_refused: bool,
}

#[derive(Clone, Copy)]
struct Window {
    ends_at: Millis,
    used: u32,
}

/// All windows.
pub(crate) struct CallLimits {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    windows: HashMap<u64, Window>,
    /// The map has been swept at half this size.
    sweep_at: usize,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self { hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl CallLimits {
    /// Counts a call, of which so many are answered in a minute.
    pub(crate) fn take(&self, counted: Counted<'_>, limit: u32, now: Millis) -> Quota {
        let key = self.hasher.hash_one(counted);
        let shard = &self.shards[(key >> 60) as usize % SHARDS];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.make_room(now);
        let begun = Window { ends_at: now + WINDOW_MS, used: 0 };
        let window = shard.windows.entry(key).or_insert(begun);
        if window.ends_at <= now {
            *window = begun;
        }
        let is_refused = window.used >= limit;
        window.used = window.used.saturating_add(1).min(limit);
        Quota { limit, remaining: limit - window.used, reset_ms: window.ends_at - now, is_refused }
    }
}

impl Shard {
    /// Forgets windows that are over, when as many have come as there were then; and others, where there are too many.
    fn make_room(&mut self, now: Millis) {
        if self.windows.len() < self.sweep_at.max(SWEEP_FROM) {
            return;
        }
        self.windows.retain(|_, window| window.ends_at > now);
        if self.windows.len() >= WINDOWS_MAX {
            let mut ends: Vec<Millis> = self.windows.values().map(|window| window.ends_at).collect();
            let middle = ends.len() / 2;
            let median = *ends.select_nth_unstable(middle).1;
            self.windows.retain(|_, window| window.ends_at > median);
        }
        self.sweep_at = (self.windows.len() * 2).min(WINDOWS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: AppId = AppId(1);

    fn user(n: usize) -> UserId {
        UserId::parse(&format!("u{n}")).unwrap()
    }

    fn of(user: &UserId) -> Counted<'_> {
        Counted::User { app: APP, user, endpoint: "GET /v1/me", platform: Platform::Web }
    }

    #[test]
    fn whoever_has_a_network_of_long_addresses_is_one_household() {
        let of = |text: &str| household(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }

    #[test]
    fn a_window_begins_with_its_first_call_and_says_what_is_left_f5_19_f5_23() {
        let limits = CallLimits::default();
        let alice = user(1);
        let take = |now| limits.take(of(&alice), 3, now);
        let left = |remaining, reset_ms| Quota { limit: 3, remaining, reset_ms, is_refused: false };
        assert_eq!([take(5), take(5), take(20_005)], [left(2, 60_000), left(1, 60_000), left(0, 40_000)]);
        assert_eq!(take(20_006), Quota { is_refused: true, ..left(0, 39_999) });
        assert_eq!(take(60_004), Quota { is_refused: true, ..left(0, 1) });
        assert_eq!(take(60_005), left(2, 60_000), "who was refused has not made it longer");
    }

    #[test]
    fn users_endpoints_platforms_and_apps_have_windows_of_their_own_f5_19_f5_21() {
        let limits = CallLimits::default();
        let (alice, bob) = (user(1), user(2));
        let (web, ios) = (Platform::Web, Platform::Ios);
        let all = [
            of(&alice),
            of(&bob),
            Counted::User { app: AppId(2), user: &alice, endpoint: "GET /v1/me", platform: web },
            Counted::User { app: APP, user: &alice, endpoint: "GET /v1/unread", platform: web },
            Counted::User { app: APP, user: &alice, endpoint: "GET /v1/me", platform: ios },
            Counted::App { app: APP, endpoint: "GET /v1/me" },
            Counted::App { app: AppId(2), endpoint: "GET /v1/me" },
        ];
        assert!(all.iter().all(|counted| !limits.take(*counted, 1, 0).is_refused));
        assert!(all.iter().all(|counted| limits.take(*counted, 1, 0).is_refused));
    }

    #[test]
    fn a_platform_is_one_of_four_whatever_a_program_calls_itself() {
        for (name, platform) in [
            ("Mozilla/5.0 (X11; Linux x86_64) Chrome/140", Platform::Web),
            ("Chat/1 CFNetwork/1490 Darwin/23.2.0", Platform::Ios),
            ("okhttp/4.12.0", Platform::Android),
            ("", Platform::Other),
            ("x".repeat(9_000).as_str(), Platform::Other),
        ] {
            assert_eq!(Platform::of(name), platform, "{name}");
        }
    }

    #[test]
    fn windows_that_are_over_are_forgotten_and_there_are_never_more_than_a_fixed_number() {
        let limits = CallLimits::default();
        let held = || limits.shards.iter().map(|shard| shard.lock().unwrap().windows.len()).sum::<usize>();
        for n in 0..200_000 {
            limits.take(of(&user(n)), 60, 0);
        }
        assert_eq!(held(), 200_000, "nobody is forgotten in the middle of a minute");
        for n in 0..200_000 {
            limits.take(of(&user(1_000_000 + n)), 60, 60_000);
        }
        assert!(held() <= 260_000, "{}", held());
        for n in 0..2_000_000 {
            limits.take(of(&user(2_000_000 + n)), 60, 60_001 + n as u64 / 1_000);
        }
        assert!(held() <= SHARDS * WINDOWS_MAX, "{}", held());
        assert_eq!(limits.take(of(&user(3_999_999)), 60, 62_001).remaining, 58, "the latest are kept");
    }
}
