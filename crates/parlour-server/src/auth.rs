//! Who is calling: app keys and tokens.
//!
//! A token is a JWT, signed with the app's secret or with another of its [`keys`]. The algorithm belongs to the key:
//! what the header says is compared with it, never obeyed. While an app is developed, its users may come without any; and
//! at all times whoever is nobody.

mod jwks;
mod keys;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parlour_proto::Millis;
use parlour_store::App;
use parlour_wire::app::{KeyAlgorithm, Scope};
use parlour_wire::{ErrorBody, ErrorCode, Timestamp, UserId, json};
use serde_json::{Map, Value, json};

pub(crate) use jwks::{Jwks, check_url, fetch};
pub(crate) use keys::check_public_key;
use keys::{Key, Keyring};

/// A token is at most this many bytes: more is refused before any cryptography.
pub(crate) const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// How far the clocks of two machines may differ, in seconds.
pub(crate) const LEEWAY_S: i64 = 5;

/// An app, and the keys of its tokens, ready to verify with.
pub(crate) struct Hosted {
    pub(crate) app: Arc<App>,
    pub(crate) keys: Keyring,
    /// Keys that stand elsewhere.
    pub(crate) jwks: Option<Arc<Jwks>>,
}

impl Hosted {
    pub(crate) fn new(app: App) -> Self {
        let jwks = app.jwks_url.clone().map(|url| Arc::new(Jwks::new(url)));
        Self { keys: Keyring::new(&app), app: Arc::new(app), jwks }
    }

    /// The app as it is now; what is known of an address that it still has stays known.
    pub(crate) fn after(app: App, before: Option<&Self>) -> Self {
        let hosted = Self::new(app);
        let known = before.and_then(|before| before.jwks.clone());
        let is_same = |known: &Arc<Jwks>| Some(&known.url) == hosted.app.jwks_url.as_ref();
        match known.filter(is_same) {
            Some(known) => Self { jwks: Some(known), ..hosted },
            None => hosted,
        }
    }

    /// Sees to it that the key of this token is known, where it stands elsewhere.
    pub(crate) async fn prepare(&self, token: &str, now: Millis, at: Timestamp) {
        let Some(jwks) = self.jwks.as_ref().filter(|_| token.len() <= TOKEN_BYTES_MAX) else { return };
        let header = token.split_once('.').and_then(|(header, _)| object(header));
        let Some(header) = header else { return };
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        let (alg, kid) = (text("alg").unwrap_or_default(), text("kid"));
        let is_public = KeyAlgorithm::parse(alg).is_some_and(|alg| alg != KeyAlgorithm::Hs256);
        let is_here = kid.is_some() && self.keys.candidates(alg, kid).next().is_some();
        if is_public && !is_here {
            jwks.prepare(alg, kid, now, at).await;
        }
    }
}

/// What a good token says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verified {
    pub(crate) bearer: Bearer,
    /// What the key that signed it lets it do.
    pub(crate) scopes: Arc<[Scope]>,
    /// When it says that it was issued.
    pub(crate) issued_at: Option<Timestamp>,
    /// When it ends; a token without `exp` never does.
    pub(crate) expires_at: Option<Timestamp>,
}

/// Whose token it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bearer {
    /// Perhaps one who is anonymous: may read what is open to all, is stored nowhere and counted as nobody.
    User(UserId),
    /// May do everything over HTTP, and never connects.
    Server,
}

/// Verifies a token of this app.
///
/// # Errors
/// A distinct code for each: expired, not yet valid, used before issued, bad signature, malformed.
pub(crate) fn verify(hosted: &Hosted, token: &str, now: Timestamp) -> Result<Verified, ErrorBody> {
    let elsewhere = hosted.jwks.as_ref().map(|jwks| jwks.keys()).unwrap_or_default();
    let (claims, key) = signed_claims(&hosted.keys, &elsewhere, token, now)?;
    check_times(&claims, now.unix_ms().div_euclid(1_000))?;
    let time = |name| Ok::<_, ErrorBody>(seconds(&claims, name)?.map(from_unix_s));
    let bearer = bearer(&claims)?;
    let scopes = key.scopes();
    let may = match &bearer {
        // Being nobody takes no proof.
        Bearer::User(user) if user.is_anonymous() => true,
        Bearer::User(_) => scopes.contains(&Scope::Users),
        Bearer::Server => scopes.iter().any(|scope| *scope != Scope::Users),
    };
    if !may {
        return Err(bad_signature(if key.is_word() {
            "The token is not signed: such are taken of users of apps in development mode, and of who is anonymous."
        } else {
            "The key that signed this token may not sign such tokens: see its scopes."
        }));
    }
    key.is_used(now);
    Ok(Verified { bearer, scopes: scopes.clone(), issued_at: time("iat")?, expires_at: time("exp")? })
}

/// A user's token, as the app's backend would sign it. Without a time to live it has no end.
///
/// # Errors
/// The cryptography fails, which it has no reason to.
pub(crate) fn sign(
    app: &App,
    user: &UserId,
    now: Timestamp,
    ttl_s: Option<u64>,
) -> Result<String, ErrorBody> {
    let now_s = now.unix_ms().div_euclid(1_000);
    let mut claims = json!({ "user_id": user, "iat": now_s });
    if let Some(ttl_s) = ttl_s {
        claims["exp"] = json!(now_s.saturating_add_unsigned(ttl_s));
    }
    let key = EncodingKey::from_secret(app.secret.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
        .map_err(|_| ErrorCode::Internal.error())
}

fn malformed(what: impl Into<String>) -> ErrorBody {
    ErrorCode::TokenMalformed.because(what)
}

fn bad_signature(what: &str) -> ErrorBody {
    ErrorCode::TokenSignature.because(what)
}

/// The claims, once the signature over them is known to be by a key of the app.
fn signed_claims<'a>(
    keys: &'a Keyring,
    elsewhere: &'a [Key],
    token: &str,
    now: Timestamp,
) -> Result<(Map<String, Value>, &'a Key), ErrorBody> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(malformed(format!(
            "The token has {} bytes; at most {TOKEN_BYTES_MAX} are taken.",
            token.len()
        )));
    }
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        return Err(malformed("The token is not made of three parts with dots between."));
    };
    let header =
        object(header).ok_or_else(|| malformed("The token's header is no JSON object in base64url."))?;
    let alg = header.get("alg").and_then(Value::as_str).unwrap_or_default();
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.as_str()),
        Some(_) => return Err(bad_signature("The token's header names a key by something that is no text.")),
    };
    let elsewhere = elsewhere.iter().filter(|key| key.is_meant(alg, kid));
    let mut candidates = keys.candidates(alg, kid).chain(elsewhere).peekable();
    if candidates.peek().is_none() {
        return Err(bad_signature(
            "No key of this app has the algorithm and the `kid` of the token's header.",
        ));
    }
    // Extensions that change what is signed are not understood, and so cannot be verified.
    if ["crit", "b64", "zip", "enc"].iter().any(|name| header.contains_key(*name)) {
        return Err(bad_signature("The token's header asks for an extension that is not supported."));
    }
    let signed = &token.as_bytes()[..token.len() - signature.len() - 1];
    let key = candidates
        .find(|key| key.verifies(signature, signed))
        .ok_or_else(|| ErrorCode::TokenSignature.error())?;
    if key.has_expired(now) {
        return Err(bad_signature("The key that signed this token is no longer in use."));
    }
    let claims = object(claims).ok_or_else(|| {
        malformed("The token's claims are no JSON object in base64url, without duplicate keys.")
    })?;
    Ok((claims, key))
}

fn object(part: &str) -> Option<Map<String, Value>> {
    match json::parse(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()? {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}

/// A time claim: whole seconds since 1970, nothing else.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, ErrorBody> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(number.as_i64()),
        Some(other) => {
            Err(malformed(format!("The claim `{name}` is {other}; it has to be whole seconds since 1970.")))
        }
    }
}

fn from_unix_s(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(seconds.saturating_mul(1_000))
}

fn check_times(claims: &Map<String, Value>, now_s: i64) -> Result<(), ErrorBody> {
    if seconds(claims, "exp")?.is_some_and(|exp| exp.saturating_add(LEEWAY_S) <= now_s) {
        return Err(ErrorCode::TokenExpired.error());
    }
    if seconds(claims, "nbf")?.is_some_and(|nbf| nbf.saturating_sub(LEEWAY_S) > now_s) {
        return Err(ErrorCode::TokenNotYetValid.error());
    }
    if seconds(claims, "iat")?.is_some_and(|iat| iat.saturating_sub(LEEWAY_S) > now_s) {
        return Err(ErrorCode::TokenUsedBeforeIssued.error());
    }
    Ok(())
}

fn bearer(claims: &Map<String, Value>) -> Result<Bearer, ErrorBody> {
    let text = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(other) => Err(malformed(format!("The claim `{name}` is {other}; it has to be text."))),
    };
    let is_server = match claims.get("server") {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(other) => {
            return Err(malformed(format!("The claim `server` is {other}; it has to be true or absent.")));
        }
    };
    let user = match (text("user_id")?, text("sub")?) {
        (Some(user), Some(sub)) if user != sub => {
            return Err(malformed("The claims `user_id` and `sub` name different users."));
        }
        (user, sub) => user.or(sub),
    };
    match (is_server, user) {
        (true, None) => Ok(Bearer::Server),
        (true, Some(_)) => Err(malformed("A token is a server's or a user's; this one claims both.")),
        (false, None) => Err(malformed("The token names no user: the claim `user_id` is missing.")),
        (false, Some(user)) => {
            let read = if user.starts_with('!') { UserId::parse_anonymous } else { UserId::parse };
            read(user).map(Bearer::User).map_err(|e| malformed(format!("The claim `user_id`: {e}.")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlour_store::{AppId, AppMode};
    use parlour_wire::AppKey;
    use proptest::prelude::*;

    const NOW_S: i64 = 1_795_243_620;

    fn app() -> App {
        App {
            id: AppId(1),
            key: AppKey::parse("dev").unwrap(),
            secret: "0123456789abcdef0123456789abcdef".to_owned(),
            mode: AppMode::Production,
            created_at: now(),
            keys: Vec::new(),
            jwks_url: None,
        }
    }

    fn verify(app: &App, token: &str, now: Timestamp) -> Result<Verified, ErrorBody> {
        super::verify(&Hosted::new(app.clone()), token, now)
    }

    fn now() -> Timestamp {
        Timestamp::from_unix_ms(NOW_S * 1_000)
    }

    fn sign(header: &Value, claims: &Value) -> String {
        sign_raw(&header.to_string(), &claims.to_string())
    }

    fn sign_raw(header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let key = jsonwebtoken::EncodingKey::from_secret(app().secret.as_bytes());
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    }

    fn hs256(claims: Value) -> Result<Bearer, u16> {
        let token = sign(&json!({"alg": "HS256", "typ": "JWT"}), &claims);
        verify(&app(), &token, now()).map(|v| v.bearer).map_err(|e| e.number.unwrap())
    }

    #[test]
    fn a_user_token_names_its_user_by_user_id_or_sub_f1_4_f1_7() {
        let alice = Bearer::User(UserId::parse("alice").unwrap());
        assert_eq!(hs256(json!({"user_id": "alice"})), Ok(alice.clone()));
        assert_eq!(hs256(json!({"sub": "alice"})), Ok(alice.clone()));
        assert_eq!(hs256(json!({"user_id": "alice", "sub": "alice"})), Ok(alice));
        assert_eq!(hs256(json!({"server": true})), Ok(Bearer::Server));
    }

    #[test]
    fn a_token_that_the_server_signs_is_the_users_for_as_long_as_it_says() {
        let alice = UserId::parse("alice").unwrap();
        let token = super::sign(&app(), &alice, now(), Some(60)).unwrap();
        let good = verify(&app(), &token, now()).unwrap();
        assert_eq!(good.bearer, Bearer::User(alice));
        assert_eq!(good.expires_at, Some(Timestamp::from_unix_ms((NOW_S + 60) * 1_000)));
        let later = Timestamp::from_unix_ms((NOW_S + 60 + LEEWAY_S) * 1_000);
        assert_eq!(verify(&app(), &token, later).unwrap_err().number, Some(40));
    }

    #[test]
    fn contradictions_and_wrong_types_are_malformed_f1_17_f1_26_f1_27() {
        for claims in [
            json!({}),
            json!({"user_id": "alice", "sub": "bob"}),
            json!({"user_id": 7}),
            json!({"user_id": "Alice"}),
            json!({"user_id": null}),
            json!({"server": "true", "user_id": "alice"}),
            json!({"server": true, "user_id": "alice"}),
            json!({"user_id": "alice", "exp": "9999999999"}),
            json!({"user_id": "alice", "exp": NOW_S as f64 + 0.5}),
            json!({"user_id": "alice", "exp": 1e300}),
            json!({"user_id": "alice", "nbf": null}),
            json!({"user_id": "alice", "iat": "now"}),
            json!([]),
        ] {
            assert_eq!(hs256(claims.clone()), Err(5), "{claims}");
        }
        let twice = sign_raw(r#"{"alg":"HS256"}"#, r#"{"user_id":"alice","user_id":"bob"}"#);
        assert_eq!(verify(&app(), &twice, now()).unwrap_err().code, "token_malformed");
    }

    #[test]
    fn each_wrong_time_has_its_own_error_and_five_seconds_are_forgiven_f1_12_f1_13_f1_14_f1_29() {
        let at = |name: &str, offset: i64| hs256(json!({"user_id": "alice", name: NOW_S + offset})).err();
        assert_eq!([at("exp", -4), at("exp", -5), at("exp", -30)], [None, Some(40), Some(40)]);
        assert_eq!([at("nbf", 5), at("nbf", 6)], [None, Some(41)]);
        assert_eq!([at("iat", 5), at("iat", 6)], [None, Some(42)]);
        assert_eq!(at("exp", -NOW_S - 1), Some(40), "a negative exp is long past");
    }

    #[test]
    fn the_algorithm_belongs_to_the_key_f1_11_f1_15() {
        let claims = json!({"user_id": "alice"});
        for header in [
            json!({"alg": "none"}),
            json!({"alg": "None"}),
            json!({"alg": "hs256"}),
            json!({"alg": "HS256 "}),
            json!({"alg": "HS512"}),
            json!({"alg": "RS256"}),
            json!({"alg": ["HS256"]}),
            json!({}),
            json!({"alg": "HS256", "crit": ["b64"]}),
            json!({"alg": "HS256", "b64": false}),
        ] {
            let error = verify(&app(), &sign(&header, &claims), now()).unwrap_err();
            assert_eq!(error.number, Some(43), "{header}");
        }
        let unsigned =
            format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode("{}"));
        assert_eq!(verify(&app(), &unsigned, now()).unwrap_err().number, Some(43));
    }

    fn unsigned(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(header), part(claims))
    }

    #[test]
    fn unsigned_tokens_of_users_are_good_while_developing_and_at_no_other_time_f1_30() {
        let developed = App { mode: AppMode::Development, ..app() };
        let number =
            |app: &App, token: &str| verify(app, token, now()).map_err(|error| error.number.unwrap());
        let (none, alice) = (json!({"alg": "none"}), json!({"user_id": "alice"}));
        let token = unsigned(&none, &alice);
        let good = number(&developed, &token).unwrap();
        assert_eq!(good.bearer, Bearer::User(UserId::parse("alice").unwrap()));
        assert_eq!(number(&app(), &token), Err(43));
        assert_eq!(number(&developed, &sign(&json!({"alg": "HS256"}), &alice)).unwrap().bearer, good.bearer);
        let past = json!({"user_id": "alice", "exp": NOW_S - 30});
        assert_eq!(number(&developed, &unsigned(&none, &past)), Err(40), "its times hold");
        for bad in [
            // Being a server takes the secret.
            unsigned(&none, &json!({"server": true})),
            // What is signed has to be signed well.
            unsigned(&json!({"alg": "HS256"}), &alice),
            sign(&none, &alice),
            unsigned(&json!({"alg": "None"}), &alice),
            unsigned(&json!({"alg": "none", "crit": ["x"]}), &alice),
            unsigned(&json!({"alg": ["none"]}), &alice),
            unsigned(&json!({}), &alice),
        ] {
            assert_eq!(number(&developed, &bad), Err(43), "{bad}");
        }
    }

    #[test]
    fn whoever_is_anonymous_needs_no_signature_and_is_nobody_else_f1_34_f1_37() {
        let nobody = "!3f9a0c61d27be845";
        let none = json!({"alg": "none"});
        for app in [app(), App { mode: AppMode::Development, ..app() }] {
            for name in ["user_id", "sub"] {
                let token = unsigned(&none, &json!({ name: nobody }));
                let bearer = verify(&app, &token, now()).unwrap().bearer;
                assert!(
                    matches!(bearer, Bearer::User(user) if user.is_anonymous() && user.as_str() == nobody)
                );
            }
            for (claims, number) in [
                (json!({"user_id": nobody, "server": true}), 5),
                (json!({"user_id": nobody, "sub": "alice"}), 5),
                (json!({"user_id": "!alice"}), 5),
                (json!({"user_id": nobody, "exp": NOW_S - 30}), 40),
                (json!({"server": true}), 43),
            ] {
                let error = verify(&app, &unsigned(&none, &claims), now()).unwrap_err();
                assert_eq!(error.number, Some(number), "{claims}");
            }
        }
    }

    #[test]
    fn keys_that_a_header_brings_along_are_ignored() {
        let header = json!({"alg": "HS256", "kid": "../../etc/passwd", "jku": "http://evil.example/", "jwk": {"k": "AA"}});
        assert!(verify(&app(), &sign(&header, &json!({"user_id": "alice"})), now()).is_ok());
    }

    #[test]
    fn another_secret_a_changed_byte_and_other_forms_are_refused() {
        let token = sign(&json!({"alg": "HS256"}), &json!({"user_id": "alice"}));
        let mut other = app();
        other.secret = "x".repeat(32);
        assert_eq!(verify(&other, &token, now()).unwrap_err().number, Some(43));
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(verify(&app(), &changed, now()).is_err(), "byte {at}");
        }
        for bad in
            ["", ".", "..", "a.b", "a.b.c.d", "a.b.c.d.e", &"a".repeat(1_000_000), r#"{"payload":"x"}"#]
        {
            assert!(verify(&app(), bad, now()).is_err());
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let seconds = (-100_i64..100).prop_map(|offset| json!(NOW_S + offset));
        prop_oneof![
            4 => seconds,
            2 => any::<i64>().prop_map(|number| json!(number)),
            2 => any::<f64>().prop_map(|number| json!(number)),
            2 => "[a-zA-Z@. -]{0,8}".prop_map(Value::String),
            1 => Just(json!("alice")),
            1 => any::<bool>().prop_map(Value::Bool),
            1 => Just(Value::Null),
            1 => Just(json!([])),
            1 => Just(json!({ "exp": 1 })),
        ]
    }

    proptest! {
        #[test]
        fn whatever_well_signed_claims_say_is_taken_or_refused_with_a_number_of_tokens(
            claims in proptest::collection::btree_map(
                prop_oneof!["user_id", "sub", "server", "exp", "nbf", "iat", "scopes", "alg"], any_value(), 0..7,
            ),
        ) {
            let claims = json!(claims);
            match hs256(claims.clone()) {
                Ok(bearer) => {
                    let names = |name: &str| claims.get(name).and_then(Value::as_str);
                    match bearer {
                        Bearer::User(user) => prop_assert_eq!(Some(user.as_str()), names("user_id").or(names("sub"))),
                        Bearer::Server => prop_assert_eq!(&claims["server"], &json!(true)),
                    }
                    let exp = claims.get("exp").map(|exp| exp.as_i64().unwrap());
                    prop_assert!(exp.is_none_or(|exp| exp > NOW_S - LEEWAY_S));
                }
                Err(number) => prop_assert!([5, 40, 41, 42].contains(&number), "{}", number),
            }
        }

        #[test]
        fn a_token_with_any_part_changed_is_refused_and_nothing_panics(
            part in 0_usize..3, text in "[A-Za-z0-9_=.-]{0,80}",
        ) {
            let good = sign(&json!({"alg": "HS256"}), &json!({"user_id": "alice"}));
            let mut parts: Vec<&str> = good.split('.').collect();
            prop_assume!(parts[part] != text);
            parts[part] = &text;
            prop_assert!(verify(&app(), &parts.join("."), now()).is_err());
            prop_assert!(verify(&app(), &text, now()).is_err());
        }
    }
}
