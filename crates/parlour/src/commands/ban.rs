//! `parlour ban add | lift | list | flags`

use std::time::Duration;

use clap::{Args, Subcommand};
use parlour_client::ServerClient;
use parlour_client::wire::Cid;
use parlour_client::wire::moderation::{Ban, BanUser, Flag};
use serde_json::json;

use super::chat::{plain, print_line};
use super::server::ServerArgs;
use super::token::duration;

/// Bans users, lets them in again, and lists who is banned and what was flagged.
#[derive(Args)]
pub(crate) struct BanArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    server: ServerArgs,
    /// Print lines of JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Action {
    /// Ban a user from the app, or from a channel.
    Add(AddArgs),
    /// Lift a ban before its time.
    Lift(LiftArgs),
    /// Print the bans in force, the latest first.
    List(ListArgs),
    /// Print what users flagged, the latest first.
    Flags(ListArgs),
}

#[derive(Args)]
struct AddArgs {
    user: String,
    /// From this channel only
    #[arg(long)]
    channel: Option<Cid>,
    /// The user is told it
    #[arg(long)]
    reason: Option<String>,
    /// It ends by itself after this, such as `30m` or `7d` [default: it does not]
    #[arg(long = "for", value_parser = duration)]
    time: Option<Duration>,
    /// The user notices nothing: what it sends is seen by itself alone
    #[arg(long)]
    shadow: bool,
}

#[derive(Args)]
struct LiftArgs {
    user: String,
    /// From this channel [default: from the app]
    #[arg(long)]
    channel: Option<Cid>,
}

#[derive(Args)]
struct ListArgs {
    /// Of this channel only
    #[arg(long)]
    channel: Option<Cid>,
}

pub(crate) async fn run(args: BanArgs) -> anyhow::Result<()> {
    let server = args.server.client()?;
    match args.action {
        Action::Add(given) => add(&server, given, args.json).await,
        Action::Lift(given) => lift(&server, given, args.json).await,
        Action::List(given) => list(&server, given, args.json).await,
        Action::Flags(given) => flags(&server, given, args.json).await,
    }
}

async fn add(server: &ServerClient, args: AddArgs, json: bool) -> anyhow::Result<()> {
    let AddArgs { user, channel: cid, reason, time, shadow } = args;
    let duration_s = time.map(|time| time.as_secs().max(1));
    let ban = server.ban_user(&user, &BanUser { cid, reason, duration_s, shadow }).await?;
    print_ban(&ban, json)
}

async fn lift(server: &ServerClient, args: LiftArgs, json: bool) -> anyhow::Result<()> {
    server.unban_user(&args.user, args.channel.as_ref()).await?;
    if json {
        print_line(&json!({ "user_id": args.user, "cid": args.channel }).to_string())
    } else {
        print_line(&format!("{} is not banned from {} any more", args.user, place(args.channel.as_ref())))
    }
}

async fn list(server: &ServerClient, args: ListArgs, json: bool) -> anyhow::Result<()> {
    let mut next = None;
    loop {
        let page = server.bans(args.channel.as_ref(), next.as_deref()).await?;
        page.bans.iter().try_for_each(|ban| print_ban(ban, json))?;
        next = page.next;
        if next.is_none() {
            return Ok(());
        }
    }
}

async fn flags(server: &ServerClient, args: ListArgs, json: bool) -> anyhow::Result<()> {
    let mut next = None;
    loop {
        let page = server.flags(args.channel.as_ref(), next.as_deref()).await?;
        page.flags.iter().try_for_each(|flag| print_flag(flag, json))?;
        next = page.next;
        if next.is_none() {
            return Ok(());
        }
    }
}

fn place(cid: Option<&Cid>) -> String {
    cid.map_or_else(|| "the app".to_owned(), ToString::to_string)
}

fn print_ban(ban: &Ban, json: bool) -> anyhow::Result<()> {
    if json {
        return print_line(&serde_json::to_string(ban)?);
    }
    let kind = if ban.shadow { "shadow-banned" } else { "banned" };
    let until = ban.ends_at.map_or_else(String::new, |end| format!(" until {end}"));
    let by = ban.banned_by.as_ref().map_or_else(String::new, |user| format!(" by {}", user.id));
    let why = ban.reason.as_ref().map_or_else(String::new, |reason| format!(": {}", plain(reason)));
    print_line(&format!("{} is {kind} from {}{until}{by}{why}", ban.user.id, place(ban.cid.as_ref())))
}

fn print_flag(flag: &Flag, json: bool) -> anyhow::Result<()> {
    if json {
        return print_line(&serde_json::to_string(flag)?);
    }
    let what = match (&flag.cid, &flag.message_id) {
        (Some(cid), Some(id)) => format!("{id} of {} in {cid}", flag.user.id),
        _ => flag.user.id.to_string(),
    };
    let text =
        flag.message.as_ref().map_or_else(String::new, |message| format!(" \"{}\"", plain(&message.text)));
    let why = flag.reason.as_ref().map_or_else(String::new, |reason| format!(": {}", plain(reason)));
    print_line(&format!("{} flagged {what}{text}{why}", flag.reporter.id))
}
