//! Keys that stand at an address of the app's (JWKS), so that whoever signs exchanges them without telling anybody.
//!
//! The address is a setting and never a token's word. It is asked when a token needs a key: one that nobody knows yet, or
//! any when what is known has become old. What is known stays until the address says otherwise: a failure takes nobody's
//! key away. All of it is bounded: how much is read, how long, how often.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use parlour_proto::Millis;
use parlour_wire::app::JwksInfo;
use parlour_wire::{ErrorBody, ErrorCode, Timestamp, json};
use reqwest::Url;
use serde_json::Value;

use super::keys::Key;

const URL_CHARS_MAX: usize = 2_048;
const BYTES_MAX: usize = 64 * 1024;
const KEYS_MAX: usize = 16;
/// When the address has not answered for this long, it does not.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// When the keys were got this long ago, the next token asks for them again.
const GOOD_FOR_MS: Millis = 10 * 60_000;
/// The address is not asked again sooner, whatever tokens come.
const REST_MS: Millis = 30_000;

/// The keys at one address.
pub(crate) struct Jwks {
    pub(crate) url: String,
    known: RwLock<Known>,
    /// One asks, the others wait for what comes of it.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    keys: Arc<[Key]>,
    fetched_at: Option<(Millis, Timestamp)>,
    tried_at: Option<Millis>,
    error: Option<String>,
}

impl Known {
    /// Whether the address is to be asked. `is_wanting`: no key fits the token.
    fn is_due(&self, is_wanting: bool, now: Millis) -> bool {
        let has_rested = self.tried_at.is_none_or(|at| now >= at + REST_MS);
        let is_old = self.fetched_at.is_none_or(|(at, _)| now >= at + GOOD_FOR_MS);
        has_rested && (is_old || is_wanting)
    }

    fn learn(&mut self, fetched: Result<Vec<Key>, String>, now: Millis, at: Timestamp) {
        self.tried_at = Some(now);
        match fetched {
            Ok(keys) => {
                self.keys = keys.into();
                self.fetched_at = Some((now, at));
                self.error = None;
            }
            Err(why) => self.error = Some(why),
        }
    }
}

impl Jwks {
    pub(crate) fn new(url: String) -> Self {
        Self { url, known: RwLock::default(), asking: tokio::sync::Mutex::default() }
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys that are known.
    pub(crate) fn keys(&self) -> Arc<[Key]> {
        Arc::clone(&self.known().keys)
    }

    pub(crate) fn info(&self) -> JwksInfo {
        let known = self.known();
        JwksInfo {
            url: self.url.clone(),
            keys: known.keys.iter().filter_map(Key::kid).map(str::to_owned).collect(),
            fetched_at: known.fetched_at.map(|(_, at)| at),
            error: known.error.clone(),
        }
    }

    /// Gets the keys anew, if it is time to for a token that is signed so.
    pub(super) async fn prepare(&self, alg: &str, kid: Option<&str>, now: Millis, at: Timestamp) {
        let is_due = || {
            let known = self.known();
            let is_wanting = !known.keys.iter().any(|key| key.is_meant(alg, kid));
            known.is_due(is_wanting, now)
        };
        if !is_due() {
            return;
        }
        let _asking = self.asking.lock().await;
        if !is_due() {
            return;
        }
        let fetched = fetch(&self.url).await;
        if let Err(why) = &fetched {
            tracing::warn!(url = self.url, why, "the keys at an app's address could not be got");
        }
        self.known_mut().learn(fetched, now, at);
    }

    /// These keys were got just now.
    pub(crate) fn learn(&self, keys: Vec<Key>, now: Millis, at: Timestamp) {
        self.known_mut().learn(Ok(keys), now, at);
    }
}

/// Refuses what is no address that keys may be got from.
pub(crate) fn check_url(text: &str, is_development: bool) -> Result<(), ErrorBody> {
    let refuse = |why: &str| Err(ErrorCode::InvalidInput.because(format!("`url` {why}.")));
    if text.len() > URL_CHARS_MAX {
        return refuse("has more than 2,048 characters");
    }
    let Ok(url) = Url::parse(text) else { return refuse("is no address") };
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return refuse("holds credentials or a fragment");
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_development || is_loopback(&url) => Ok(()),
        _ => refuse("does not begin with https://: whoever is on the way could put keys of its own there"),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The keys at this address.
///
/// # Errors
/// Why there are none to be had.
pub(crate) async fn fetch(url: &str) -> Result<Vec<Key>, String> {
    let text = tokio::time::timeout(ANSWER_WAIT, read(url));
    read_keys(&text.await.map_err(|_| format!("no answer within {} s", ANSWER_WAIT.as_secs()))??)
}

async fn read(url: &str) -> Result<Vec<u8>, String> {
    let parsed = Url::parse(url).map_err(|error| error.to_string())?;
    // Another address than the app's own says nothing about its keys.
    let mut client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    if is_loopback(&parsed) {
        client = client.no_proxy();
    }
    let client = client.build().map_err(|error| error.to_string())?;
    let asking = client.get(parsed).header(http::header::ACCEPT, "application/json").send().await;
    let mut answer = asking.map_err(|error| with_sources(&error))?;
    if answer.status() != http::StatusCode::OK {
        return Err(format!("the answer has the status {}", answer.status()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| with_sources(&error))? {
        if bytes.len() + chunk.len() > BYTES_MAX {
            return Err("the answer has more than 64 KiB".to_owned());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

/// The keys of a set. One that is meant for something else is left out.
fn read_keys(text: &[u8]) -> Result<Vec<Key>, String> {
    let value = json::parse(text).map_err(|error| format!("the answer is no JSON: {error}"))?;
    let Some(listed) = value.get("keys").and_then(Value::as_array) else {
        return Err("the answer is no JWKS: it has no list `keys`".to_owned());
    };
    if listed.len() > KEYS_MAX {
        return Err(format!("there are {} keys; at most {KEYS_MAX} are taken", listed.len()));
    }
    let read = |jwk: &Value| match Key::of_jwk(jwk) {
        Ok(key) => Some(key),
        Err(why) => {
            let kid = jwk.get("kid").and_then(Value::as_str).unwrap_or("-");
            tracing::debug!(kid, why, "a key of a JWKS is not used");
            None
        }
    };
    Ok(listed.iter().filter_map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A public key of Ed25519: the first of RFC 8032.
    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn set(kids: &[&str]) -> Vec<u8> {
        let keys: Vec<Value> =
            kids.iter().map(|kid| json!({ "kid": kid, "kty": "OKP", "crv": "Ed25519", "x": X })).collect();
        json!({ "keys": keys }).to_string().into_bytes()
    }

    fn at(ms: Millis) -> Timestamp {
        Timestamp::from_unix_ms(ms as i64)
    }

    #[test]
    fn the_address_is_asked_at_first_when_old_and_for_what_is_unknown_but_never_within_thirty_seconds_f1_6() {
        let mut known = Known::default();
        assert!(known.is_due(false, 0), "nothing was ever got");
        known.learn(read_keys(&set(&["a"])), 1_000, at(1_000));
        assert!(!known.is_due(false, 600_999));
        assert!(known.is_due(false, 601_000), "ten minutes old");
        assert!(!known.is_due(true, 30_999));
        assert!(known.is_due(true, 31_000), "nobody knows the key of the token");
        // A failure counts as a try and takes nothing away.
        known.learn(Err("away".to_owned()), 700_000, at(700_000));
        assert!(!known.is_due(true, 729_999) && known.is_due(false, 730_000));
        assert_eq!((known.keys.len(), known.error.as_deref()), (1, Some("away")));
        assert_eq!(known.fetched_at, Some((1_000, at(1_000))));
        // What the address no longer has is gone.
        known.learn(read_keys(&set(&["b"])), 730_000, at(730_000));
        let kids: Vec<_> = known.keys.iter().filter_map(Key::kid).collect();
        assert_eq!((kids.as_slice(), known.error), (["b"].as_slice(), None));
    }

    #[test]
    fn of_a_set_the_keys_that_sign_tokens_are_taken_f1_6_f1_28() {
        let key = |more: Value| {
            let mut key = json!({ "kty": "OKP", "crv": "Ed25519", "x": X });
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            key
        };
        let keys = json!({ "keys": [
            key(json!({ "kid": "good" })), key(json!({ "kid": "named", "alg": "EdDSA", "use": "sig" })), key(json!({})),
            key(json!({ "kid": "enc", "use": "enc" })), key(json!({ "kid": "private", "d": X })),
            key(json!({ "kid": 7 })), key(json!({ "kid": "other", "alg": "RS256" })),
            { "kid": "secret", "kty": "oct", "k": "AAAA" }, { "kid": "odd", "kty": "EC", "crv": "P-384" }, 7,
        ]});
        let keys = read_keys(keys.to_string().as_bytes()).unwrap();
        let kids: Vec<_> = keys.iter().map(Key::kid).collect();
        assert_eq!(kids, [Some("good"), Some("named"), None]);
        assert!(keys[0].is_meant("EdDSA", Some("good")) && keys[2].is_meant("EdDSA", None));
        assert!(!keys[0].is_meant("EdDSA", Some("named")) && !keys[0].is_meant("HS256", Some("good")));
        for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
            assert!(read_keys(bad.as_bytes()).is_err(), "{bad}");
        }
        let many: Vec<String> = (0..17).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(read_keys(&set(&many)).is_err() && read_keys(&set(&many[..16])).is_ok());
    }

    #[test]
    fn keys_are_got_where_nobody_on_the_way_can_change_them_f1_6() {
        for good in [
            "https://id.example.com/keys?v=1",
            "http://127.0.0.1:1/k",
            "http://[::1]/k",
            "http://localhost/k",
        ] {
            assert!(check_url(good, false).is_ok(), "{good}");
        }
        assert!(check_url("http://id.internal/keys", true).is_ok());
        let long = format!("https://id.example.com/{}", "k".repeat(2_048));
        for bad in [
            "http://id.example.com/keys",
            "ftp://id.example.com/keys",
            "file:///etc/passwd",
            "id.example.com",
            "",
            "https://me:secret@id.example.com/",
            "https://id.example.com/#k",
            "http://localhost.evil.example/",
            &long,
        ] {
            assert!(check_url(bad, false).is_err(), "{bad}");
        }
    }
}
