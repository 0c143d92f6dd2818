//! `parlour chat`: a terminal chat on the SDK, and what the other client commands share with it.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use jiff::tz::TimeZone;
use parlour_client::wire::events::Signal;
use parlour_client::wire::frames::Resumed;
use parlour_client::wire::messages::MessageType;
use parlour_client::wire::presence::Presence;
use parlour_client::wire::{Cid, MessageId, UserId};
use parlour_client::{
    Builder, Channel, Client, ClientEvent, Error, ErrorCode, Event, Message, MessageDraft, NO_DATA, Open,
    PresenceSubscription, SendState, State, TokenClaims,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::signal::unix::{SignalKind, signal};

use super::Usage;

/// Where one talks when no channel is named.
pub(crate) const CHANNEL: &str = "messaging:general";
pub(crate) const APP_KEY_VARIABLE: &str = "PARLOUR_APP_KEY";
const URL: &str = "http://127.0.0.1:8790";
/// When standard input has ended, this long the last messages have to be acknowledged.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// A pipe is read no further while this many messages wait: it may hold more than the outbox does.
const WAITING_MAX: usize = 100;

/// Where the server is, and who one is there.
#[derive(Args)]
pub(crate) struct Target {
    /// The server [default: PARLOUR_URL, or http://127.0.0.1:8790]
    #[arg(long)]
    url: Option<String>,
    /// The app's key [default: PARLOUR_APP_KEY]
    #[arg(long)]
    app_key: Option<String>,
    /// The user's token [default: PARLOUR_TOKEN, which other users of this machine cannot see]
    #[arg(long)]
    token: Option<String>,
}

impl Target {
    /// The user whose token it is. The server verifies it.
    pub(crate) fn user(&self) -> anyhow::Result<UserId> {
        let user = TokenClaims::read(&self.token()?)?.user()?;
        user.context("this is a server's token: connect with a user's, made by `parlour token create`")
    }

    pub(crate) fn token(&self) -> Result<String, Error> {
        let token = given(self.token.clone(), "PARLOUR_TOKEN");
        Ok(token.ok_or_else(|| ErrorCode::TokenMissing.because("give --token or set PARLOUR_TOKEN"))?)
    }

    pub(crate) fn client(&self, set: impl FnOnce(Builder) -> Builder) -> anyhow::Result<Client> {
        let url = given(self.url.clone(), "PARLOUR_URL").unwrap_or_else(|| URL.to_owned());
        let Some(app_key) = given(self.app_key.clone(), APP_KEY_VARIABLE) else {
            return Err(Usage(format!("no app key: give --app-key or set {APP_KEY_VARIABLE}")).into());
        };
        Ok(set(Client::builder(url, app_key).device("parlour cli")).build()?)
    }
}

/// What was given on the command line, or else in the environment.
pub(crate) fn given(argument: Option<String>, variable: &str) -> Option<String> {
    argument.or_else(|| std::env::var(variable).ok()).filter(|value| !value.is_empty())
}

/// Prints one line at once. A reader that went away ends the command, without a panic.
pub(crate) fn print_line(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("nobody reads the output any more")
}

/// Text that somebody else wrote, safe for a terminal: without control characters, which could move the
/// cursor or worse, and without those that turn the direction of writing around.
pub(crate) fn plain(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    text.chars()
        .filter_map(|c| match c {
            '\n' => Some('⏎'),
            '\t' => Some(' '),
            c if harmful(c) => None,
            c => Some(c),
        })
        .collect()
}

/// Chats from a terminal: each line of standard input is a message.
#[derive(Args)]
pub(crate) struct ChatArgs {
    #[command(flatten)]
    target: Target,
    /// Made if it is not there
    #[arg(long, default_value = CHANNEL)]
    channel: Cid,
    /// Latest messages to begin with
    #[arg(long, default_value_t = 10)]
    history: usize,
}

pub(crate) async fn run(args: ChatArgs) -> anyhow::Result<()> {
    let user = args.target.user()?;
    let client = args.target.client(|builder| builder)?;
    let mut events = client.events();
    let me = client.connect_user(user.clone(), args.target.token()?).await?;
    let channel = client.channel_at(args.channel);
    let answer = channel.get_or_create(&[], NO_DATA).await?;
    // Who is no member hears only what is watched.
    let state = if answer.state.membership.is_some() { answer.state } else { channel.watch().await? };
    let mut screen = Screen {
        me: user,
        cid: channel.cid().clone(),
        seen: BTreeSet::new(),
        typed: BTreeSet::new(),
        expected: BTreeSet::new(),
    };
    let members = state.members.iter().map(|member| member.user_id.clone()).collect();
    client.set_presence(PresenceSubscription::FriendsAnd(members)).await?;
    let name = plain(me.user.display_name());
    screen.say(&format!(
        "connected as {name} · {} · {} members",
        channel.cid(),
        state.channel.member_count
    ))?;
    let skipped = state.messages.len().saturating_sub(args.history);
    for message in &state.messages[skipped..] {
        screen.message(message)?;
    }
    screen.seen.extend(state.messages.iter().map(|message| message.id.clone()));
    let talked = talk(&client, &channel, &mut events, &mut screen).await;
    let _ = client.disconnect().await;
    talked
}

async fn talk(
    client: &Client,
    channel: &Channel,
    events: &mut parlour_client::Events,
    screen: &mut Screen,
) -> anyhow::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin());
    let at_terminal = std::io::stdin().is_terminal();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut line = Vec::new();
    let mut waiting = 0;
    let mut end: Option<tokio::time::Instant> = None;
    let mut unread = false;
    loop {
        if end.is_some() && waiting == 0 && screen.expected.is_empty() {
            return Ok(());
        }
        tokio::select! {
            read = lines.read_until(b'\n', &mut line), if end.is_none() && waiting < WAITING_MAX => {
                let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
                line.clear();
                match text.as_str() {
                    _ if read? == 0 && text.is_empty() => {
                        end = Some(tokio::time::Instant::now() + LAST_WORDS);
                    }
                    "" => {}
                    "/quit" => end = Some(tokio::time::Instant::now() + LAST_WORDS),
                    "/typing" => channel.typing_start().await?,
                    "/status" => screen.say(&format!("{:?}", client.connection().borrow().ui_status))?,
                    "/help" => screen.say("each line is sent; /typing /status /quit")?,
                    text => {
                        let sending = channel.queue(MessageDraft::text(text)).await?;
                        if at_terminal {
                            screen.typed.insert(sending.id.clone());
                        }
                        screen.expected.insert(sending.id.clone());
                        waiting += 1;
                    }
                }
            }
            event = events.next() => match event {
                Some(ClientEvent::Outbox { state: SendState::Pending, .. }) => {}
                Some(ClientEvent::Outbox { state, id, .. }) => {
                    waiting = waiting.saturating_sub(1);
                    if let SendState::Failed(error) = state {
                        screen.expected.remove(&id);
                        screen.say(&format!("NOT SENT: {}", plain(&error.to_string())))?;
                    }
                }
                Some(event) => unread |= screen.event(&event)?,
                None => return Ok(()),
            },
            // Reading is told a moment later, once for all that came meanwhile.
            () = tokio::time::sleep(Duration::from_millis(300)), if unread => {
                unread = false;
                let channel = channel.clone();
                tokio::spawn(async move { channel.mark_read().await });
            }
            () = until(end) => {
                if waiting == 0 {
                    return Ok(());
                }
                let why = format!("{waiting} messages were not acknowledged in time");
                return Err(Error::from(ErrorCode::Timeout.because(why)).into());
            }
            _ = terminate.recv() => return Ok(()),
            interrupted = tokio::signal::ctrl_c() => return Ok(interrupted?),
        }
    }
}

async fn until(end: Option<tokio::time::Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

struct Screen {
    me: UserId,
    cid: Cid,
    /// Messages that the history showed already.
    seen: BTreeSet<MessageId>,
    /// Messages that were typed into this terminal, where they still stand.
    typed: BTreeSet<MessageId>,
    /// Messages that were queued here and have not come back as events.
    expected: BTreeSet<MessageId>,
}

impl Screen {
    fn say(&self, text: &str) -> anyhow::Result<()> {
        print_line(&format!("* {text}"))
    }

    fn message(&self, message: &Message) -> anyhow::Result<()> {
        let name = plain(message.user.name.as_deref().unwrap_or(message.user.id.as_str()));
        let text = match message.message_type {
            MessageType::Deleted => "(deleted)".to_owned(),
            _ => plain(&message.text),
        };
        let edited = if message.edited_at.is_some() { " (edited)" } else { "" };
        print_line(&format!("{} {name}: {text}{edited}", clock(message.created_at.unix_ms())))
    }

    /// Shows an event; says whether there is something new to read.
    fn event(&mut self, event: &ClientEvent) -> anyhow::Result<bool> {
        match event {
            ClientEvent::Event(frame) => match &frame.event {
                Open::Known(event) => return self.durable(event),
                Open::Unknown(_) => {}
            },
            ClientEvent::Signal { signal: Open::Known(signal), .. } => self.signal(signal)?,
            ClientEvent::Connection(change) => match &change.to {
                State::Connected => {}
                State::Reconnecting { attempt: 1, .. } if change.from == State::Connected => {
                    self.say("connection lost, reconnecting")?;
                }
                State::NoNetwork => self.say("no network")?,
                State::Failed(why) => {
                    self.say(&format!("connection failed: {}", plain(&format!("{why:?}"))))?;
                }
                _ => {}
            },
            ClientEvent::Recovered { resumed, .. } => {
                self.say("connected again")?;
                if *resumed != Resumed::Resumed {
                    self.say("some messages may be missing above: start again to load them")?;
                }
            }
            ClientEvent::Lagged { missed } => self.say(&format!("{missed} events were left out"))?,
            ClientEvent::Refused { error, .. } => self.say(&plain(&error.to_string()))?,
            _ => {}
        }
        Ok(false)
    }

    fn durable(&mut self, event: &Event) -> anyhow::Result<bool> {
        match event {
            Event::MessageNew { cid, message, .. } if *cid == self.cid => {
                let own = message.user.id == self.me;
                self.expected.remove(&message.id);
                if self.seen.remove(&message.id) || self.typed.remove(&message.id) {
                    return Ok(!own);
                }
                self.message(message)?;
                return Ok(!own);
            }
            Event::MessageUpdated { cid, message, .. } if *cid == self.cid => self.message(message)?,
            Event::MessageDeleted { cid, message: Some(message), .. } if *cid == self.cid => {
                self.message(message)?;
            }
            Event::MessageRead { cid, user, .. } if *cid == self.cid && user.id != self.me => {
                self.say(&format!("{} has read", brief(user.name.as_deref(), &user.id)))?;
            }
            Event::MemberAdded { cid, member, .. } if *cid == self.cid => {
                self.say(&format!("{} joined", brief(member.user.name.as_deref(), &member.user_id)))?;
            }
            Event::MemberRemoved { cid, user, .. } if *cid == self.cid => {
                self.say(&format!("{} left", brief(user.name.as_deref(), &user.id)))?;
            }
            Event::ChannelDeleted { cid, .. } if *cid == self.cid => self.say("the channel was deleted")?,
            Event::MessageNew { cid, message, .. } if message.user.id != self.me => {
                self.say(&format!("new message in {cid}"))?;
            }
            _ => {}
        }
        Ok(false)
    }

    fn signal(&self, signal: &Signal) -> anyhow::Result<()> {
        match signal {
            Signal::TypingStart { cid, user } if *cid == self.cid && user.id != self.me => {
                self.say(&format!("{} is typing", brief(user.name.as_deref(), &user.id)))
            }
            Signal::PresenceChanged { users } => {
                let others = users.iter().filter(|presence| presence.user_id != self.me);
                others.map(presence_line).try_for_each(|line| self.say(&line))
            }
            Signal::TypingStart { .. }
            | Signal::TypingStop { .. }
            | Signal::PresenceSnapshot { .. }
            | Signal::PresenceDigest(_) => Ok(()),
        }
    }
}

fn presence_line(presence: &Presence) -> String {
    let how = if presence.online { "online" } else { "offline" };
    format!("{} is {how}", presence.user_id)
}

fn brief(name: Option<&str>, id: &UserId) -> String {
    plain(name.unwrap_or(id.as_str()))
}

/// Hours and minutes where the reader is.
fn clock(unix_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(unix_ms) {
        Ok(time) => time.to_zoned(TimeZone::system()).strftime("%H:%M").to_string(),
        Err(_) => "--:--".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_write_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\u{7}\r\nc\u{9b}d\u{202e}e"), "a[2Jb⏎cde");
    }
}
