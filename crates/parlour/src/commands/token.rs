//! `parlour token create | inspect`

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::{Span, SpanRelativeTo, Timestamp};
use parlour_client::{ServerClient, TokenClaims};
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
    /// Print a user's token.
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
    pub(crate) fn read(self) -> anyhow::Result<(Option<String>, String)> {
        let key = given(self.app_key, APP_KEY_VARIABLE);
        if let Some(secret) = given(self.secret, SECRET_VARIABLE) {
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
    #[arg(long)]
    user: String,
    /// How long it is good for: `90s`, `15m`, `24h`, `7d`, or `none` for a token without an end
    #[arg(long, default_value = "24h")]
    ttl: Ttl,
    #[command(flatten)]
    secret: SecretArgs,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
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
    let (key, secret) = args.secret.read()?;
    // Signing asks no server: neither the address nor the key stands in a token.
    let signer = ServerClient::new("http://127.0.0.1:8790", key.as_deref().unwrap_or("app"), &secret)?;
    let ttl = match args.ttl {
        Ttl::Endless => None,
        Ttl::For(length) => Some(length),
    };
    let token = signer.create_token(&args.user, ttl)?;
    if args.json {
        print_line(&json!({ "user": args.user, "app_key": key, "token": token }).to_string())
    } else {
        print_line(&token)
    }
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
