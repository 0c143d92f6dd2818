//! The keys that an app's tokens are signed with: read once, used for every token.
//!
//! Each key has its algorithm and what its tokens may do. A token's header only picks among them: by `kid`, or by
//! saying nothing. What else a header brings along (`jwk`, `jku`, `x5u` …) is never looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jsonwebtoken::jwk::{EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use parlour_store::{App, AppMode, SigningKey};
use parlour_wire::app::{KeyAlgorithm, Scope};
use parlour_wire::{ErrorBody, ErrorCode, Timestamp, json};
use serde_json::Value;

/// An RSA key of fewer bytes (2,048 bits) is no protection.
const RSA_BYTES_MIN: usize = 256;
/// An uncompressed point of P-256.
const P256_BYTES: usize = 65;
const ED25519_BYTES: usize = 32;

/// All keys of one app.
pub(crate) struct Keyring {
    keys: Vec<Key>,
}

/// One key, ready to verify with.
pub(crate) struct Key {
    /// Absent: the app's own secret, or none at all.
    kid: Option<String>,
    /// What the header of its tokens says.
    alg: &'static str,
    proof: Proof,
    scopes: Arc<[Scope]>,
    expires_at: Option<Timestamp>,
    /// Of the last good token, in Unix milliseconds; 0: none since it was last recorded.
    used_at: AtomicI64,
}

/// What shows that a token is good.
enum Proof {
    Signature {
        algorithm: Algorithm,
        key: DecodingKey,
    },
    /// Nothing: whoever writes it is believed.
    Word,
}

impl Keyring {
    /// The app's secret and the keys that it lists. One that cannot be read verifies nothing, and is told.
    pub(crate) fn new(app: &App) -> Self {
        let secret = DecodingKey::from_secret(app.secret.as_bytes());
        let secret = Key {
            kid: None,
            alg: KeyAlgorithm::Hs256.as_str(),
            proof: Proof::Signature { algorithm: Algorithm::HS256, key: secret },
            scopes: Scope::ALL.into(),
            expires_at: None,
            used_at: AtomicI64::new(0),
        };
        let unsigned = Key::of_unsigned(app.mode);
        let listed = app.keys.iter().filter_map(|key| match Key::read(key) {
            Ok(key) => Some(key),
            Err(why) => {
                tracing::error!(app = %app.key, kid = key.kid, why, "a key of the app cannot be read");
                None
            }
        });
        Self { keys: std::iter::once(secret).chain([unsigned]).chain(listed).collect() }
    }

    /// The keys that a token with this header may be signed with: the one that it names. Where it names
    /// none, each with its algorithm: they are few.
    pub(crate) fn candidates<'a>(&'a self, alg: &str, kid: Option<&str>) -> impl Iterator<Item = &'a Key> {
        let named = self.keys.iter().find(|key| kid.is_some() && key.kid.as_deref() == kid);
        let is_meant = move |key: &&Key| match (named, kid) {
            (Some(named), _) => std::ptr::eq(*key, named),
            // Libraries write a `kid` of their own: it names no key, and does no harm to the secret.
            (None, Some(_)) => key.kid.is_none(),
            (None, None) => true,
        };
        self.keys.iter().filter(is_meant).filter(move |key| key.alg == alg)
    }

    /// The keys of which good tokens came since this was last asked, with the times of the latest.
    pub(crate) fn take_used(&self) -> Vec<(String, Timestamp)> {
        let used = |key: &Key| {
            let at = key.used_at.swap(0, Ordering::Relaxed);
            let kid = key.kid.clone().filter(|_| at != 0)?;
            Some((kid, Timestamp::from_unix_ms(at)))
        };
        self.keys.iter().filter_map(used).collect()
    }
}

impl Key {
    /// Takes tokens that nobody signed: of who is anonymous; and while developing, where there is nobody to be kept
    /// out, of users. The secret stays where it is.
    fn of_unsigned(mode: AppMode) -> Self {
        let scopes: &[Scope] = match mode {
            AppMode::Development => &[Scope::Users],
            AppMode::Production => &[],
        };
        Self {
            kid: None,
            alg: "none",
            proof: Proof::Word,
            scopes: scopes.into(),
            expires_at: None,
            used_at: AtomicI64::new(0),
        }
    }

    fn read(key: &SigningKey) -> Result<Self, String> {
        let algorithm = KeyAlgorithm::parse(&key.algorithm).ok_or("its algorithm is not known")?;
        let (jwt, decoding) = decoding_key(algorithm, &key.material)?;
        Ok(Self {
            kid: Some(key.kid.clone()),
            alg: algorithm.as_str(),
            proof: Proof::Signature { algorithm: jwt, key: decoding },
            scopes: key.scopes.iter().filter_map(|scope| Scope::parse(scope)).collect(),
            expires_at: key.expires_at,
            used_at: AtomicI64::new(0),
        })
    }

    /// A key that somebody else lists, for users alone.
    pub(super) fn of_jwk(jwk: &Value) -> Result<Self, String> {
        let text = |name: &str| match jwk.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(format!("its `{name}` is no text")),
        };
        let algorithm = match (text("alg")?, text("kty")?, text("crv")?) {
            (Some(alg), _, _) => KeyAlgorithm::parse(alg).filter(|alg| *alg != KeyAlgorithm::Hs256),
            (None, Some("RSA"), _) => Some(KeyAlgorithm::Rs256),
            (None, Some("EC"), Some("P-256")) => Some(KeyAlgorithm::Es256),
            (None, Some("OKP"), Some("Ed25519")) => Some(KeyAlgorithm::EdDsa),
            (None, _, _) => None,
        };
        let algorithm = algorithm.ok_or("its algorithm is none of RS256, ES256 and EdDSA")?;
        let (jwt, key) = from_jwk(algorithm, &jwk.to_string())?;
        Ok(Self {
            kid: text("kid")?.map(str::to_owned),
            alg: algorithm.as_str(),
            proof: Proof::Signature { algorithm: jwt, key },
            scopes: [Scope::Users].into(),
            expires_at: None,
            used_at: AtomicI64::new(0),
        })
    }

    /// Whether a token with this header may be signed with it: the header names it, or none.
    pub(super) fn is_meant(&self, alg: &str, kid: Option<&str>) -> bool {
        self.alg == alg && (kid.is_none() || self.kid.as_deref() == kid)
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(crate) fn verifies(&self, signature: &str, signed: &[u8]) -> bool {
        match &self.proof {
            Proof::Signature { algorithm, key } => {
                jsonwebtoken::crypto::verify(signature, signed, key, *algorithm).unwrap_or(false)
            }
            Proof::Word => signature.is_empty(),
        }
    }

    /// Whether it believes whoever comes.
    pub(crate) fn is_word(&self) -> bool {
        matches!(self.proof, Proof::Word)
    }

    pub(crate) fn scopes(&self) -> &Arc<[Scope]> {
        &self.scopes
    }

    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    pub(crate) fn is_used(&self, now: Timestamp) {
        self.used_at.store(now.unix_ms(), Ordering::Relaxed);
    }
}

/// Reads a public key, as PEM or as JWK, for this algorithm.
///
/// # Errors
/// Says why it is none: a private key, one for another use or algorithm, one that is too short.
pub(crate) fn check_public_key(algorithm: KeyAlgorithm, text: &str) -> Result<(), ErrorBody> {
    let wrong = |why: String| {
        ErrorCode::InvalidInput.because(format!("`public_key` is no key for {}: {why}.", algorithm.as_str()))
    };
    decoding_key(algorithm, text).map(drop).map_err(wrong)
}

fn decoding_key(algorithm: KeyAlgorithm, material: &str) -> Result<(Algorithm, DecodingKey), String> {
    let (jwt, key) = match algorithm {
        KeyAlgorithm::Hs256 => return Ok((Algorithm::HS256, DecodingKey::from_secret(material.as_bytes()))),
        _ if material.trim_start().starts_with('{') => return from_jwk(algorithm, material),
        _ if material.contains("PRIVATE KEY") => {
            return Err(
                "it is the private half, which belongs to whoever signs; give the public one".to_owned()
            );
        }
        KeyAlgorithm::Rs256 => (Algorithm::RS256, DecodingKey::from_rsa_pem(material.as_bytes())),
        KeyAlgorithm::Es256 => (Algorithm::ES256, DecodingKey::from_ec_pem(material.as_bytes())),
        KeyAlgorithm::EdDsa => (Algorithm::EdDSA, DecodingKey::from_ed_pem(material.as_bytes())),
    };
    let key = key.map_err(|error| format!("it cannot be read as PEM ({error})"))?;
    let bytes = key.try_get_as_bytes().map_or(0, <[u8]>::len);
    let is_long_enough = match algorithm {
        KeyAlgorithm::Hs256 => true,
        // The modulus and a few bytes around it.
        KeyAlgorithm::Rs256 => bytes > RSA_BYTES_MIN,
        KeyAlgorithm::Es256 => bytes == P256_BYTES,
        KeyAlgorithm::EdDsa => bytes == ED25519_BYTES,
    };
    if is_long_enough {
        Ok((jwt, key))
    } else {
        Err("its length is not what the algorithm asks for".to_owned())
    }
}

fn from_jwk(algorithm: KeyAlgorithm, text: &str) -> Result<(Algorithm, DecodingKey), String> {
    use jsonwebtoken::jwk::AlgorithmParameters as Parameters;
    let value = json::parse(text.as_bytes()).map_err(|error| format!("it is no JSON ({error})"))?;
    if ["d", "p", "q", "dp", "dq", "qi", "k"].iter().any(|secret| value.get(*secret).is_some()) {
        return Err("it holds a secret, which belongs to whoever signs; give the public half".to_owned());
    }
    let jwk: Jwk =
        serde_json::from_value(value).map_err(|error| format!("it cannot be read as JWK ({error})"))?;
    if jwk.common.public_key_use.as_ref().is_some_and(|use_| *use_ != PublicKeyUse::Signature) {
        return Err("its `use` is not `sig`".to_owned());
    }
    if jwk.common.key_operations.as_ref().is_some_and(|ops| !ops.contains(&KeyOperations::Verify)) {
        return Err("its `key_ops` do not have `verify`".to_owned());
    }
    if jwk.common.key_algorithm.is_some_and(|alg| alg.to_string() != algorithm.as_str()) {
        return Err("its `alg` is another one".to_owned());
    }
    let jwt = match (algorithm, &jwk.algorithm) {
        (KeyAlgorithm::Rs256, Parameters::RSA(rsa)) => {
            // Six bits a character.
            if rsa.n.len() * 6 / 8 < RSA_BYTES_MIN {
                return Err("an RSA key has 2,048 bits at least".to_owned());
            }
            Algorithm::RS256
        }
        (KeyAlgorithm::Es256, Parameters::EllipticCurve(ec)) if ec.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        (KeyAlgorithm::EdDsa, Parameters::OctetKeyPair(okp)) if okp.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        _ => return Err("its `kty` or `crv` is another one".to_owned()),
    };
    let key = DecodingKey::from_jwk(&jwk).map_err(|error| format!("it cannot be read as JWK ({error})"))?;
    Ok((jwt, key))
}
