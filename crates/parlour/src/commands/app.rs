//! `parlour app`: the app itself, by a running server: its keys, and what they signed.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::Timestamp as Instant;
use parlour_client::wire::Timestamp;
use parlour_client::wire::app::{AddKey, JwksInfo, KeyAlgorithm, KeyInfo, Scope};
use parlour_client::{Revocation, ServerClient};
use serde::Serialize;

use super::Usage;
use super::chat::{plain, print_line};
use super::server::ServerArgs;
use super::token::{Algorithm, duration};

/// Shows the app, changes its keys, takes tokens back.
#[derive(Args)]
pub(crate) struct AppArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON, one object a line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Action {
    /// Print the app with the keys of its tokens.
    Show,
    /// Add, list and remove the keys that tokens are signed with.
    #[command(subcommand)]
    Keys(Keys),
    /// Name the address at which keys of users' tokens stand, as JWKS; named again, they are got anew.
    Jwks {
        /// Such as `https://id.example.com/.well-known/jwks.json`
        #[arg(required_unless_present = "remove")]
        address: Option<String>,
        /// Forget the address
        #[arg(long, conflicts_with = "address")]
        remove: bool,
    },
    /// Take tokens back: those that were issued up to now, of all users or of one.
    Revoke(RevokeArgs),
}

#[derive(Subcommand)]
enum Keys {
    /// Print the keys beside the app's secret.
    List,
    /// Add a key. The secret of one for HS256 is printed, this once.
    Add(AddArgs),
    /// Remove a key: its tokens are refused from now on.
    Remove { kid: String },
}

#[derive(Args)]
struct AddArgs {
    /// How its tokens are signed
    #[arg(long, value_enum, ignore_case = true, default_value_t = Algorithm::Hs256)]
    alg: Algorithm,
    /// The public half of the key, as PEM or JWK: a file, or `-` for the standard input
    #[arg(long)]
    public_key: Option<PathBuf>,
    /// What a token's header calls it [default: made up]
    #[arg(long)]
    kid: Option<String>,
    /// What its tokens may do: users, read, write, usage, admin [default: users; of HS256 all]
    #[arg(long, value_delimiter = ',')]
    scopes: Vec<String>,
    /// When its tokens are no longer good: in `30d`, `12h` … from now [default: never]
    #[arg(long)]
    expires: Option<String>,
}

#[derive(Args)]
struct RevokeArgs {
    /// Of this user [default: of all]
    #[arg(long)]
    user: Option<String>,
    /// What was issued before this time, such as 2026-11-21T07:00:00Z [default: now]
    #[arg(long)]
    before: Option<Instant>,
    /// Take the revocation back
    #[arg(long, conflicts_with = "before")]
    undo: bool,
}

pub(crate) async fn run(args: AppArgs) -> anyhow::Result<()> {
    let server = args.server.client()?;
    let shows = Shows { json: args.json };
    match args.action {
        Action::Show => {
            let app = server.app().await?;
            if args.json {
                return shows.json(&app);
            }
            print_line(&format!("app    {} ({}, made {})", app.app_key, app.mode, app.created_at))?;
            shows.keys(&app.keys)?;
            app.jwks.map_or(Ok(()), |jwks| shows.jwks(&jwks))
        }
        Action::Keys(Keys::List) => shows.keys(&server.app().await?.keys),
        Action::Keys(Keys::Add(add)) => self::add(&server, add, &shows).await,
        Action::Keys(Keys::Remove { kid }) => Ok(server.remove_key(&kid).await?),
        Action::Jwks { remove: true, .. } => Ok(server.remove_jwks().await?),
        Action::Jwks { address, .. } => shows.jwks(&server.set_jwks(&address.unwrap_or_default()).await?),
        Action::Revoke(revoke) => self::revoke(&server, revoke, &shows).await,
    }
}

async fn add(server: &ServerClient, args: AddArgs, shows: &Shows) -> anyhow::Result<()> {
    let public_key = match args.public_key {
        None => None,
        Some(path) if path.as_os_str() == "-" => {
            Some(std::io::read_to_string(std::io::stdin()).context("reading the standard input")?)
        }
        Some(path) => {
            Some(std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?)
        }
    };
    let scope = |name: &String| {
        let known = Scope::ALL.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ");
        Scope::parse(name).ok_or_else(|| Usage(format!("{name:?} is no scope; there are {known}")))
    };
    let scopes = args.scopes.iter().map(scope).collect::<Result<Vec<_>, _>>()?;
    let expires_at =
        args.expires.map(|text| duration(&text)).transpose().map_err(|e| Usage(e.to_string()))?;
    let in_ms = |length: std::time::Duration| i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    let now = Instant::now().as_millisecond();
    let key = AddKey {
        kid: args.kid,
        algorithm: KeyAlgorithm::from(args.alg),
        public_key,
        scopes: (!scopes.is_empty()).then_some(scopes),
        expires_at: expires_at.map(|length| Timestamp::from_unix_ms(now.saturating_add(in_ms(length)))),
    };
    let added = server.add_key(&key).await?;
    if shows.json {
        return shows.json(&added);
    }
    shows.keys(std::slice::from_ref(&added.key))?;
    added.secret.map_or(Ok(()), |secret| print_line(&format!("secret {secret}")))
}

async fn revoke(server: &ServerClient, args: RevokeArgs, shows: &Shows) -> anyhow::Result<()> {
    let revocation = match args.before {
        _ if args.undo => Revocation::Nothing,
        Some(time) => Revocation::Before(Timestamp::from_unix_ms(time.as_millisecond())),
        None => Revocation::Now,
    };
    let before = match &args.user {
        Some(user) => server.revoke_tokens(user, revocation).await?,
        None => server.revoke_all_tokens(revocation).await?,
    };
    if shows.json {
        return shows.json(&serde_json::json!({ "user": args.user, "revoke_tokens_issued_before": before }));
    }
    let whose = args.user.map_or("all users".to_owned(), |user| plain(&user));
    print_line(&match before {
        Some(time) => format!("{whose}: tokens that were issued before {time} are no longer good"),
        None => format!("{whose}: nothing is revoked"),
    })
}

struct Shows {
    json: bool,
}

impl Shows {
    fn json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        print_line(&serde_json::to_string(value)?)
    }

    fn keys(&self, keys: &[KeyInfo]) -> anyhow::Result<()> {
        for key in keys {
            if self.json {
                self.json(key)?;
                continue;
            }
            let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
            let used = key.last_used_at.map_or("never used".to_owned(), |at| format!("used {at}"));
            let ends = key.expires_at.map_or(String::new(), |at| format!(", ends {at}"));
            let (kid, alg) = (plain(&key.kid), key.algorithm.as_str());
            print_line(&format!("key    {kid:<24} {alg:<6} {:<30} {used}{ends}", scopes.join(",")))?;
        }
        Ok(())
    }

    fn jwks(&self, jwks: &JwksInfo) -> anyhow::Result<()> {
        if self.json {
            return self.json(jwks);
        }
        let got = jwks.fetched_at.map_or("not got yet".to_owned(), |at| format!("got {at}"));
        print_line(&format!("jwks   {} ({got}): {}", plain(&jwks.url), plain(&jwks.keys.join(", "))))?;
        jwks.error.as_ref().map_or(Ok(()), |why| print_line(&format!("       {}", plain(why))))
    }
}
