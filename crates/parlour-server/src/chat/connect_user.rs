//! A user opens a connection: token, limits, the user itself, and everything the session starts from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parlour_proto::{Admission, TopicStart};
use parlour_store::{App, AppId, AppMode, Connect, Connected, Ticket};
use parlour_wire::frames::{FRAME_BYTES_MAX, Hello, Limits, Ready, ReplacedBy, Resumed};
use parlour_wire::messages::TEXT_CHARS_MAX;
use parlour_wire::presence::{PRESENCE_LISTED_MAX, PresenceSubscription};
use parlour_wire::{AppKey, CloseCode, ErrorBody, ErrorCode, ServerFrame, Timestamp, Topic, UserId};
use serde_json::Value;

use crate::auth::{self, Bearer};
use crate::connections::{Admittance, Arrival, Candidate, LastsBy, Places, Standing};
use crate::error::ApiError;
use crate::gateway::inbox::Inbox;
use crate::mailbox::Mailbox;
use crate::node::Node;
use crate::presence::{Audience, Picture, Whom};
use crate::profile::{Face, Holder};
use crate::standings;
use crate::user_fields;

/// Devices that a refused newcomer is told of by name.
const DEVICES_NAMED_MAX: usize = 5;

/// A refusal, with the close code that carries its behaviour.
pub(crate) struct Refusal {
    pub(crate) code: CloseCode,
    pub(crate) error: ErrorBody,
    pub(crate) retry_after_ms: Option<u32>,
}

/// An admitted connection.
pub(crate) struct Welcome {
    pub(crate) app: Arc<App>,
    pub(crate) user: Holder,
    pub(crate) admission: Box<Admission>,
    pub(crate) arrival: Arrival,
    /// The connection's name among its user's.
    pub(crate) seat: u64,
    /// What its token says of when it was issued.
    pub(crate) issued_at: Option<Timestamp>,
}

/// Why nobody was let in.
pub(crate) enum NotWelcome {
    Refused(Refusal),
    /// The connection that this one would go on was ended, and its client has not been told.
    Ended {
        bye: Box<ServerFrame>,
        code: CloseCode,
    },
}

impl From<Refusal> for NotWelcome {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Where a connection is reached, and what it lasts by.
pub(crate) struct Door<'a> {
    pub(crate) mailbox: &'a Arc<Mailbox>,
    pub(crate) inbox: Option<&'a Arc<Inbox>>,
    pub(crate) lasts_by: LastsBy,
    /// Where its client is, if that is known.
    pub(crate) address: Option<IpAddr>,
}

impl Refusal {
    pub(crate) fn new(code: CloseCode, error: ErrorBody) -> Self {
        Self { code, error, retry_after_ms: None }
    }
}

/// Verifies, admits, merges, counts. Whatever fails after the admission gives the place back.
pub(crate) async fn connect_user(node: &Node, door: &Door<'_>, hello: &Hello) -> Result<Welcome, NotWelcome> {
    let app = node.app(&hello.app_key).map_err(|error| Refusal::new(CloseCode::UNKNOWN_APP, error))?;
    let VerifiedUser { user, issued_at, expires_in_ms } = verify_user(node, &app.key, &hello.token).await?;
    let fields = own_fields(node, &app, &user, hello).await?;
    check_subscription(&hello.presence).map_err(|error| Refusal::new(CloseCode::PROTOCOL, error))?;
    refuse_while_draining(node, hello)?;
    let &Door { mailbox, inbox, lasts_by, address } = door;
    let limits = &node.config.limits;
    let in_force = node.limits.of(&app);
    let per_user = in_force.connections_per_user;
    let candidate = Candidate {
        app: app.id,
        user: &user,
        hello,
        mailbox,
        inbox,
        lasts_by,
        address,
        issued_at,
        now: node.clock.millis(),
        at: node.clock.now(),
        limit: per_user,
        on_limit: in_force.on_connection_limit,
        probe_wait_ms: limits.probe_wait_ms,
        slow_reader: Duration::from_millis(limits.slow_reader_ms),
        dials: (app.mode == AppMode::Production).then_some((limits.dials_per_minute, limits.dials_burst)),
    };
    let (ticket, arrival) = match node.connections.standing(&candidate) {
        Standing::Leased => (None, Arrival::Again),
        Standing::None => {
            let ticket = admit(node, &candidate).await?;
            // It may have come after all the others were told.
            if let Err(refusal) = refuse_while_draining(node, hello) {
                node.connections.remove(app.id, &user, mailbox, node.clock.now());
                return Err(refusal.into());
            }
            (Some(ticket), Arrival::Anew)
        }
        Standing::Ended { bye, code } => return Err(NotWelcome::Ended { bye, code }),
    };
    // Held before the user is read, as the friends' time is: what changes meanwhile is not missed.
    let holder = node.profiles.hold(app.id, &user);
    let friends_as_of = node.presence.friends_as_of(app.id);
    let connect = Connect {
        app: app.id,
        user: user.clone(),
        fields,
        ticket,
        resume: hello.resume.clone(),
        issued_at,
        now: node.clock.now(),
    };
    let mut connected = match node.store.connect(connect).await {
        Ok(committed) => committed.value,
        Err(error) => {
            // The lease of a poll goes on until the next one.
            if arrival == Arrival::Anew {
                node.connections.remove(app.id, &user, mailbox, node.clock.now());
            }
            return Err(store_refusal(error.into()).into());
        }
    };
    // Who is anonymous has no face: whatever shows one, shows nobody.
    if !user.is_anonymous() {
        holder.learn(&connected.me.user, connected.own_head());
    }
    mailbox.belongs_to(&holder);
    let now = node.clock.now();
    let seat = match arrival {
        Arrival::Anew => {
            node.presence.up(app.id, &holder, mailbox.number, &hello.app_state, now);
            mailbox.number
        }
        Arrival::Again => {
            let Some(seat) = node.connections.renew(&candidate) else {
                let error = ErrorCode::Unavailable.because("The connection ended while it was renewed.");
                return Err(Refusal::new(CloseCode::RECONNECT_NOW, error).into());
            };
            node.presence.stands(app.id, &user, seat, &hello.app_state, now);
            refuse_while_draining(node, hello)?;
            seat
        }
    };
    let friends = Friends { as_of: friends_as_of, may_have_some: connected.has_direct_channels() };
    let listening = audience(node, app.id, &holder, &hello.presence, friends).await;
    let there =
        listening.map(|listening| node.presence.subscribe(app.id, mailbox, listening)).unwrap_or_default();
    let to_proto = |start| to_proto(node, app.id, start);
    let topics = std::mem::take(&mut connected.topics).into_iter().map(to_proto).collect::<Vec<_>>();
    let ready = Box::new(ready(node, mailbox, hello, connected, &topics, there, per_user));
    let admission = Box::new(Admission { ready, topics, token_expires_in_ms: expires_in_ms });
    Ok(Welcome { app, user: holder, admission, arrival, seat, issued_at })
}

/// A server that is about to stop takes nobody, and says when it will.
fn refuse_while_draining(node: &Node, hello: &Hello) -> Result<(), Refusal> {
    if !node.is_draining() {
        return Ok(());
    }
    let now = node.clock.millis();
    let predecessor = hello.replaces.as_ref();
    let (code, why) = match predecessor.is_some_and(|id| node.connections.has_missed_its_turn(id, now)) {
        true => (
            CloseCode::DRAIN_SLOT_MISSED,
            "The restart takes longer than it was said: there is another turn.",
        ),
        false => (CloseCode::RESTART, "The server restarts."),
    };
    let error = ErrorCode::Unavailable.because(why);
    Err(Refusal { code, error, retry_after_ms: Some(node.late_turn()) })
}

/// Takes a place for a new connection; answers its right to be counted.
async fn admit(node: &Node, candidate: &Candidate<'_>) -> Result<Arc<Ticket>, Refusal> {
    node.pace.take(candidate.now).map_err(|retry_after_ms| {
        let error = ErrorCode::Unavailable.because("More connections come than the server lets in at once.");
        Refusal { code: CloseCode::OVER_CAPACITY, error, retry_after_ms: Some(retry_after_ms) }
    })?;
    node.connections.dial(candidate).map_err(|retry_after_ms| {
        let error = ErrorCode::RateLimited.because("This client dials more often than the limits allow.");
        Refusal { code: CloseCode::RATE_LIMITED, error, retry_after_ms: Some(retry_after_ms) }
    })?;
    let mut places = Places::Unasked;
    loop {
        match node.connections.admit(candidate, places) {
            Admittance::In(ticket) => return Ok(ticket),
            Admittance::Asking(asking) => {
                let outcome = asking.over(&node.clock).await;
                node.connections.judge(candidate, &asking, outcome);
                places = Places::Asked;
            }
            Admittance::Full { held_by } => {
                let error = ErrorCode::TooManyConnections.because(too_many(candidate, &held_by));
                return Err(Refusal::new(CloseCode::TOO_MANY_CONNECTIONS, error));
            }
        }
    }
}

/// Why there is no place, and what would make one.
fn too_many(candidate: &Candidate<'_>, held_by: &[ReplacedBy]) -> String {
    let name = |by: &ReplacedBy| by.device.clone().unwrap_or_else(|| by.platform.clone());
    let mut named: Vec<String> = held_by.iter().map(name).filter(|name| !name.is_empty()).collect();
    let others = named.len().saturating_sub(DEVICES_NAMED_MAX);
    named.truncate(DEVICES_NAMED_MAX);
    if others > 0 {
        named.push(format!("{others} more"));
    }
    let (user, count, limit) = (candidate.user, held_by.len(), candidate.limit);
    let on = if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
    format!(
        "{user} has {count} connections{on}, and this app allows {limit}. Close one of them, and connect again."
    )
}

/// A user who may connect.
pub(crate) struct VerifiedUser {
    pub(crate) user: UserId,
    pub(crate) issued_at: Option<Timestamp>,
    pub(crate) expires_in_ms: Option<u64>,
}

/// The user of a token that may connect, and when the token ends. Whether it is revoked is not known here.
pub(crate) async fn verify_user(node: &Node, app: &AppKey, token: &str) -> Result<VerifiedUser, Refusal> {
    let now = node.clock.now();
    let hosted = node.hosted(app).map_err(|error| Refusal::new(CloseCode::UNKNOWN_APP, error))?;
    hosted.prepare(token, node.clock.millis(), now).await;
    let verified = auth::verify(&hosted, token, now).map_err(|error| {
        let expired = error.code == ErrorCode::TokenExpired.as_str();
        Refusal::new(if expired { CloseCode::TOKEN_EXPIRED } else { CloseCode::TOKEN_REFUSED }, error)
    })?;
    let expires_in_ms =
        verified.expires_at.map(|at| u64::try_from(at.unix_ms() - now.unix_ms()).unwrap_or(0));
    match verified.bearer {
        Bearer::User(user) => Ok(VerifiedUser { user, issued_at: verified.issued_at, expires_in_ms }),
        Bearer::Server => {
            Err(Refusal::new(CloseCode::SERVER_TOKEN, ErrorCode::ServerTokenCannotConnect.error()))
        }
    }
}

/// Refuses a user who may do nothing any more, or whose token has been revoked since it was verified.
pub(crate) async fn is_welcome(
    node: &Node,
    app: AppId,
    user: &UserId,
    issued_at: Option<Timestamp>,
) -> Result<(), Refusal> {
    if user.is_anonymous() {
        return Ok(());
    }
    let standing = node.standing(app, user).await.map_err(|error| store_refusal(error.into()))?;
    standings::must_be_welcome(user, &standing, issued_at, node.clock.now())
        .map_err(|error| store_refusal(error.into()))
}

/// The fields to merge. A user cannot raise itself: a role or teams other than it has are refused.
async fn own_fields(
    node: &Node,
    app: &App,
    user: &UserId,
    hello: &Hello,
) -> Result<BTreeMap<String, Value>, Refusal> {
    let Some(input) = &hello.user else { return Ok(BTreeMap::new()) };
    let refuse = |error: ErrorBody| Refusal::new(CloseCode::PROTOCOL, error);
    if input.id != *user {
        let why = format!("The token belongs to {user}; `user.id` is {}.", input.id);
        return Err(Refusal::new(CloseCode::TOKEN_REFUSED, ErrorCode::WrongUser.because(why)));
    }
    if user.is_anonymous() && !input.fields.is_empty() {
        return Err(refuse(ErrorCode::NotAllowed.because("Who is anonymous has no fields.")));
    }
    let taken = user_fields::take_apart(input.fields.clone()).map_err(refuse)?;
    if taken.role.is_some() || taken.teams.is_some() {
        let stored = node.store.users(app.id, std::slice::from_ref(user)).await;
        let stored = stored.map_err(|error| store_refusal(error.into()))?.pop();
        super::update_users::refuse_promotion(&taken, stored.as_ref()).map_err(refuse)?;
    }
    Ok(taken.own)
}

fn store_refusal(error: ApiError) -> Refusal {
    let error = error.into_body();
    let keeps_out = [ErrorCode::UserBanned, ErrorCode::UserDeactivated, ErrorCode::UserDeleted];
    let is_kept_out = keeps_out.iter().any(|code| error.code == code.as_str());
    // What the caller did wrong stays wrong; what the store could not do now, it may do later.
    let code = match error.status {
        _ if is_kept_out => CloseCode::USER_BANNED,
        401 => CloseCode::TOKEN_REFUSED,
        500.. => CloseCode::DEPENDENCY_DOWN,
        _ if error.retryable => CloseCode::DEPENDENCY_DOWN,
        _ => CloseCode::PROTOCOL,
    };
    let retry_after_ms = (code == CloseCode::DEPENDENCY_DOWN).then_some(1_000);
    Refusal { code, error, retry_after_ms }
}

/// An audience, and whom it names.
pub(crate) struct Listening {
    pub(crate) audience: Audience,
    pub(crate) friends: BTreeSet<UserId>,
    pub(crate) friends_as_of: u64,
}

/// What is known of a user's friends before they are read.
pub(crate) struct Friends {
    /// Whatever changed after this is not known. See [`Presence::friends_as_of`](crate::presence::Presence).
    pub(crate) as_of: u64,
    /// Most users have no direct channel: then nothing is to be read.
    pub(crate) may_have_some: bool,
}

/// Whom a subscription of this user names; `None`: nobody. Who is seen by nobody, being anonymous, sees nobody.
pub(crate) async fn audience(
    node: &Node,
    app: AppId,
    user: &Holder,
    subscription: &PresenceSubscription,
    friends: Friends,
) -> Option<Listening> {
    let teams = user.face()?.teams.into_iter().collect();
    let listening = |whom| Listening {
        audience: Audience { whom, teams },
        friends: BTreeSet::new(),
        friends_as_of: friends.as_of,
    };
    let and = match subscription {
        PresenceSubscription::None => return None,
        PresenceSubscription::All => return Some(listening(Whom::All)),
        PresenceSubscription::Roles(roles) => {
            return Some(listening(Whom::Roles(roles.iter().cloned().collect())));
        }
        PresenceSubscription::Friends => BTreeSet::new(),
        PresenceSubscription::FriendsAnd(listed) => listed.iter().cloned().collect(),
    };
    let listening = listening(Whom::Friends { of: user.id.clone(), and });
    if !friends.may_have_some {
        return Some(listening);
    }
    let friends = match node.store.friends(app, &user.id).await {
        Ok(friends) => friends.into_iter().collect(),
        Err(error) => {
            // A connection is not refused for it; who is listed is heard of all the same.
            tracing::warn!(%error, "friends could not be read");
            BTreeSet::new()
        }
    };
    Some(Listening { friends, ..listening })
}

/// A subscription lists no more than it may.
pub(crate) fn check_subscription(subscription: &PresenceSubscription) -> Result<(), ErrorBody> {
    match subscription {
        PresenceSubscription::FriendsAnd(listed) if listed.len() > PRESENCE_LISTED_MAX => {
            let count = listed.len();
            let why = format!("lists {count} users; at most {PRESENCE_LISTED_MAX} can be listed");
            let mut error = ErrorCode::InvalidInput.because(format!("The presence subscription {why}."));
            error.fields.insert("presence.friends_and".to_owned(), why);
            Err(error)
        }
        _ => Ok(()),
    }
}

/// The answer to `hello`.
fn ready(
    node: &Node,
    mailbox: &Mailbox,
    hello: &Hello,
    connected: Connected,
    topics: &[TopicStart],
    presence: Picture,
    connections_per_user: u32,
) -> Ready {
    let limits = &node.config.limits;
    let clamp = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
    let Connected { mut me, epoch, channels, .. } = connected;
    me.user.online = !me.user.id.is_anonymous() && !Face::of(&me.user).invisible;
    let named: BTreeSet<_> = channels.iter().map(|unread| &unread.cid).collect();
    let is_told = |start: &&TopicStart| match &*start.topic {
        Topic::Channel(cid) => named.contains(cid),
        Topic::User(_) | Topic::App(_) | Topic::Unknown(_) => true,
    };
    let heads = topics.iter().filter(is_told).map(|start| (Topic::clone(&start.topic), start.head)).collect();
    Ready {
        connection_id: mailbox.connection.clone(),
        me,
        epoch,
        as_of: node.hub.checked_at(),
        heartbeat_ms: clamp(limits.heartbeat_ms),
        limits: Limits {
            frame_bytes: FRAME_BYTES_MAX as u32,
            frames_per_second: limits.frames_per_second,
            frames_burst: limits.frames_burst,
            connections_per_user,
            dead_link_ms: clamp(limits.dead_link_ms),
            message_chars: TEXT_CHARS_MAX as u32,
        },
        // The session knows what it can replay, and says so.
        resumed: if hello.resume.is_some() { Resumed::Resumed } else { Resumed::Fresh },
        heads,
        channels,
        presence: presence.users,
        presence_others: presence.others,
    }
}

/// The store's word for a topic's place, in the machine's words, by the name that all share.
pub(crate) fn to_proto(node: &Node, app: AppId, start: parlour_store::TopicStart) -> TopicStart {
    let parlour_store::TopicStart { topic, head, floor, hidden_up_to, as_of_seq } = start;
    TopicStart { topic: node.hub.share(app, topic), head, floor, hidden_up_to, as_of_seq }
}
