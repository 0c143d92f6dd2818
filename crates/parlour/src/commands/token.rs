//! `parlour token create | inspect`

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use jiff::{Span, SpanRelativeTo, Timestamp};
use jsonwebtoken::{EncodingKey, Header};
use parlour_client::wire::UserId;
use parlour_client::wire::app::KeyAlgorithm;
use parlour_client::{TokenClaims, development_token};
use parlour_server::AppFile;
use serde_json::{Value, json};

use super::Usage;
use super::chat::{APP_KEY_VARIABLE, given, print_line};

/// Where `parlour serve` keeps the app's key and secret, unless told otherwise.
const DATA_DIR: &str = "parlour-data";
const SECRET_VARIABLE: &str = "PARLOUR_SECRET";

/// Makes and reads tokens.
#[derive(Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print a token of a user, or of a server.
    Create(CreateArgs),
    /// Print what a token says, and whether the secret signed it.
    Inspect(InspectArgs),
}

/// The app's key and secret, as `load` needs them too.
#[derive(Args)]
pub(crate) struct SecretArgs {
    /// The app's key [default: PARLOUR_APP_KEY, or that of the data folder]
    #[arg(long, global = true)]
    app_key: Option<String>,
    /// The app's secret [default: PARLOUR_SECRET, or that of the data folder]
    #[arg(long, global = true)]
    secret: Option<String>,
    /// The folder in which `parlour serve` keeps its data [default: ./parlour-data]
    #[arg(long, global = true)]
    data: Option<PathBuf>,
}

impl SecretArgs {
    /// The key, if one is known, and the secret.
    pub(crate) fn read(&self) -> anyhow::Result<(Option<String>, String)> {
        let key = given(self.app_key.clone(), APP_KEY_VARIABLE);
        if let Some(secret) = given(self.secret.clone(), SECRET_VARIABLE) {
            return Ok((key, secret));
        }
        let dir = self.data.as_deref().unwrap_or(Path::new(DATA_DIR));
        let file = AppFile::read(dir).with_context(|| format!("reading {}/app.json", dir.display()))?;
        let Some(file) = file else {
            let why = format!(
                "no secret: give --secret, set {SECRET_VARIABLE}, or name the data folder of `parlour serve` \
                 by --data ({} has no app.json)",
                dir.display()
            );
            return Err(Usage(why).into());
        };
        Ok((key.or(Some(file.app_key)), file.secret))
    }
}

#[derive(Args)]
struct CreateArgs {
    /// The user's id
    #[arg(long, required_unless_present = "server")]
    user: Option<String>,
    /// A server's token instead: it may do over HTTP whatever is asked
    #[arg(long, conflicts_with_all = ["user", "dev"])]
    server: bool,
    /// How long it is good for: `90s`, `15m`, `24h`, `7d`, or `none` for a token without an end
    #[arg(long, default_value = "24h")]
    ttl: Ttl,
    /// Sign it with nothing at all: an app in development mode takes it, no other one does
    #[arg(long, conflicts_with_all = ["secret", "data", "ttl", "key", "alg", "kid"])]
    dev: bool,
    /// How it is signed
    #[arg(long, value_enum, ignore_case = true, default_value_t = Algorithm::Hs256)]
    alg: Algorithm,
    /// The private key that signs it, a PEM file: for all but HS256, which takes the secret
    #[arg(long, conflicts_with_all = ["secret", "data"])]
    key: Option<PathBuf>,
    /// What the header calls the key: what `parlour app keys add` said
    #[arg(long)]
    kid: Option<String>,
    #[command(flatten)]
    secret: SecretArgs,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// How tokens are signed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Algorithm {
    #[value(name = "HS256")]
    Hs256,
    #[value(name = "RS256")]
    Rs256,
    #[value(name = "ES256")]
    Es256,
    #[value(name = "EdDSA")]
    EdDsa,
}

impl From<Algorithm> for KeyAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Hs256 => Self::Hs256,
            Algorithm::Rs256 => Self::Rs256,
            Algorithm::Es256 => Self::Es256,
            Algorithm::EdDsa => Self::EdDsa,
        }
    }
}

#[derive(Clone, Copy)]
enum Ttl {
    Endless,
    For(Duration),
}

impl std::str::FromStr for Ttl {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text == "none" { Ok(Self::Endless) } else { duration(text).map(Self::For) }
    }
}

/// Reads a friendly duration, such as `30s` or `7d`.
pub(crate) fn duration(text: &str) -> anyhow::Result<Duration> {
    let span: Span = text.parse().context("a duration is written like 30s, 15m, 24h or 7d")?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours())?;
    let length = Duration::try_from(length).context("a duration is not negative")?;
    anyhow::ensure!(!length.is_zero(), "a duration is longer than nothing");
    Ok(length)
}

#[derive(Args)]
struct InspectArgs {
    token: String,
    /// Check the signature with this secret [default: PARLOUR_SECRET, or that of the data folder, if there is one]
    #[arg(long)]
    secret: Option<String>,
    /// The folder in which `parlour serve` keeps its data [default: ./parlour-data]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: TokenArgs) -> anyhow::Result<()> {
    match args.action {
        Action::Create(args) => create(args),
        Action::Inspect(args) => inspect(args),
    }
}

fn create(args: CreateArgs) -> anyhow::Result<()> {
    let (app_key, token) = match &args.user {
        Some(user) if args.dev => (None, development_token(user)?),
        _ => signed(&args)?,
    };
    if args.json {
        print_line(&json!({ "user": args.user, "app_key": app_key, "token": token }).to_string())
    } else {
        print_line(&token)
    }
}

/// The app's key, if it is known, and a signed token.
fn signed(args: &CreateArgs) -> anyhow::Result<(Option<String>, String)> {
    let mut claims = match &args.user {
        Some(user) => json!({ "user_id": UserId::parse(user).map_err(|error| Usage(format!("{error}")))? }),
        None => json!({ "server": true }),
    };
    let now = Timestamp::now().as_second();
    claims["iat"] = now.into();
    if let Ttl::For(length) = args.ttl {
        claims["exp"] = now.saturating_add_unsigned(length.as_secs()).into();
    }
    let (app_key, algorithm, key) = match (args.alg, &args.key) {
        (Algorithm::Hs256, None) => {
            let (app_key, secret) = args.secret.read()?;
            (app_key, jsonwebtoken::Algorithm::HS256, EncodingKey::from_secret(secret.as_bytes()))
        }
        (_, None) => return Err(Usage("--key is missing: the PEM file of the private key".to_owned()).into()),
        (alg, Some(path)) => {
            let pem = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            let (algorithm, key) = match alg {
                Algorithm::Hs256 => {
                    return Err(Usage("--key is a private key: say by --alg how it signs".to_owned()).into());
                }
                Algorithm::Rs256 => (jsonwebtoken::Algorithm::RS256, EncodingKey::from_rsa_pem(&pem)),
                Algorithm::Es256 => (jsonwebtoken::Algorithm::ES256, EncodingKey::from_ec_pem(&pem)),
                Algorithm::EdDsa => (jsonwebtoken::Algorithm::EdDSA, EncodingKey::from_ed_pem(&pem)),
            };
            let key = key.with_context(|| format!("{} is no such private key", path.display()))?;
            (None, algorithm, key)
        }
    };
    let header = Header { kid: args.kid.clone(), ..Header::new(algorithm) };
    Ok((app_key, jsonwebtoken::encode(&header, &claims, &key).context("signing")?))
}

fn inspect(args: InspectArgs) -> anyhow::Result<()> {
    let token = args.token.trim();
    let TokenClaims { algorithm, claims } = TokenClaims::read(token)?;
    let secret = SecretArgs { app_key: None, secret: args.secret, data: args.data };
    // Without a secret there is still much to read.
    let signed = secret.read().ok().map(|(_, secret)| TokenClaims::is_signed_with(token, &secret));
    let now = Timestamp::now();
    let times: Vec<(&str, Timestamp)> = ["iat", "nbf", "exp"]
        .into_iter()
        .filter_map(|name| {
            let seconds = claims.get(name)?.as_i64()?;
            Some((name, Timestamp::from_second(seconds).ok()?))
        })
        .collect();
    let expired = times.iter().any(|(name, time)| *name == "exp" && *time <= now);
    if args.json {
        let times: serde_json::Map<String, Value> =
            times.iter().map(|(name, time)| ((*name).to_owned(), time.to_string().into())).collect();
        let said = json!({
            "algorithm": algorithm, "claims": claims, "times": times, "expired": expired, "signature_is_good": signed,
        });
        return print_line(&said.to_string());
    }
    print_line(&format!("algorithm   {algorithm}"))?;
    if let Value::Object(claims) = &claims {
        for (name, value) in claims {
            let time = times.iter().find(|(timed, _)| *timed == name.as_str());
            let aside = time.map(|(_, time)| format!("   ({time})")).unwrap_or_default();
            print_line(&format!("{name:<11} {value}{aside}"))?;
        }
    }
    print_line(if expired { "expired     yes" } else { "expired     no" })?;
    print_line(match signed {
        _ if token.ends_with('.') => "signature   none: for development mode alone",
        Some(true) => "signature   good",
        Some(false) => "signature   NOT by this secret",
        None => "signature   not checked: give --secret",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in
            [("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800), ("1h 30m", 5_400)]
        {
            assert_eq!(duration(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for bad in ["", "-5s", "0s", "5", "soon"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }
}
