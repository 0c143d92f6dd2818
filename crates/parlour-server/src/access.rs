//! The only door: who may do what, in a channel and in the app. What is granted to whom stands in
//! [`crate::permissions`].

use parlour_store::{BanKind, ChannelAccess, Requires, Restriction};
use parlour_wire::{ChannelType, Cid, ErrorBody, ErrorCode, Seq, UserId};
use std::sync::Arc;

use crate::auth::Bearer;
use crate::channel_types::{self, ChannelTypeSettings};
use crate::error::{ApiError, ApiResult};
use crate::node::Node;
use crate::permissions::Ranks;
pub(crate) use crate::permissions::Wish;

/// Who is calling, over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) app: Arc<parlour_store::App>,
    pub(crate) bearer: Bearer,
    /// The user that a server acts as.
    pub(crate) acts_as: Option<UserId>,
    /// What the key of the token lets a server do.
    pub(crate) scopes: Arc<[parlour_wire::app::Scope]>,
}

impl Caller {
    /// The user who calls, or whom the server acts as.
    pub(crate) fn user(&self) -> Option<&UserId> {
        match &self.bearer {
            Bearer::User(user) => Some(user),
            Bearer::Server => self.acts_as.as_ref(),
        }
    }

    /// The user; an error where a server named none.
    pub(crate) fn require_user(&self) -> Result<&UserId, ErrorBody> {
        self.user().ok_or_else(|| ErrorCode::UserRequired.error())
    }

    pub(crate) fn is_server(&self) -> bool {
        self.bearer == Bearer::Server
    }

    pub(crate) fn require_server(&self) -> Result<(), ErrorBody> {
        if self.is_server() { Ok(()) } else { Err(ErrorCode::ServerTokenRequired.error()) }
    }
}

/// Who somebody is to the table of permissions.
#[derive(Clone, Copy, Debug)]
enum Who {
    /// May everything.
    Server,
    User(Ranks),
}

/// A wish in a channel that was granted, with what it rests on.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    pub(crate) cid: Cid,
    pub(crate) settings: &'static ChannelTypeSettings,
    pub(crate) channel: ChannelAccess,
    /// Nobody but the caller is to see what it says.
    pub(crate) is_shadowed: bool,
    requires: Requires,
    who: Who,
}

impl Who {
    fn stands_above(self, other: Ranks) -> bool {
        match self {
            Self::Server => true,
            Self::User(who) => who.height() > other.height(),
        }
    }
}

impl Granted {
    /// What must still be true when the store writes for this caller.
    pub(crate) fn requires(&self) -> Requires {
        self.requires
    }

    /// What stands in the log up to this seq is hidden from the caller.
    pub(crate) fn hidden_up_to(&self) -> Seq {
        self.channel.membership.as_ref().map_or(0, |member| member.hidden_up_to)
    }

    /// Whether the caller may do this here, too.
    pub(crate) fn may(&self, node: &Node, wish: Wish) -> bool {
        match self.who {
            Who::Server => true,
            Who::User(who) => node.permissions.grants(&self.cid.channel_type, wish, who),
        }
    }

    /// Whether the caller stands above somebody.
    pub(crate) fn stands_above(&self, other: Ranks) -> bool {
        self.who.stands_above(other)
    }
}

/// A wish in the app that was granted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GrantedInApp {
    who: Who,
}

impl GrantedInApp {
    /// Whether the caller stands above somebody.
    pub(crate) fn stands_above(self, other: Ranks) -> bool {
        self.who.stands_above(other)
    }
}

/// Grants a wish in a channel, or refuses it. A channel that the caller may not see is not found: whether it
/// exists is nobody else's business.
pub(crate) async fn channel(node: &Node, caller: &Caller, cid: &Cid, wish: Wish) -> ApiResult<Granted> {
    let found = node.store.channel_access(caller.app.id, cid, caller.user()).await?;
    let settings = channel_types::settings(&cid.channel_type);
    let (Some(channel), Ok(settings)) = (found, settings) else { return Err(not_found(cid)) };
    let Bearer::User(user) = &caller.bearer else {
        let (who, requires, is_shadowed) = (Who::Server, Requires::Channel, false);
        return Ok(Granted { cid: cid.clone(), settings, channel, is_shadowed, requires, who });
    };
    let (standing, now) = (node.standing(caller.app.id, user).await?, node.clock.now());
    let channel_role = channel.membership.as_ref().map(|member| &member.channel_role);
    let who = Ranks::of(&standing.role, channel_role);
    let grants = |wish, who| node.permissions.grants(&cid.channel_type, wish, who);
    // A role of the app reaches no further than the user's teams.
    let is_inside = channel_role.is_some() || channel.inside;
    if !is_inside || !grants(Wish::Read, who) {
        return Err(not_found(cid));
    }
    if !grants(wish, who) {
        return Err(refusal(wish).into());
    }
    let channel_ban = channel.standing.ban.as_ref().filter(|ban| ban.holds(now));
    if let Some(ban) = channel_ban.filter(|ban| ban.kind == BanKind::Open && !is_left_to_banned(wish)) {
        return Err(because_of(ErrorCode::BannedFromChannel, ban).into());
    }
    if channel.standing.is_blocked && matches!(wish, Wish::Send | Wish::EditOwn | Wish::Type) {
        return Err(ErrorCode::Blocked.error().into());
    }
    let is_shadowed = standing.shadows(now) || channel_ban.is_some_and(|ban| ban.kind == BanKind::Shadow);
    let rests_on_membership = channel_role.is_some() && !grants(wish, Ranks::of(&standing.role, None));
    let requires = if rests_on_membership { Requires::Membership } else { Requires::Welcome };
    Ok(Granted { cid: cid.clone(), settings, channel, is_shadowed, requires, who: Who::User(who) })
}

/// Grants a wish in the app, or refuses it.
pub(crate) async fn app(node: &Node, caller: &Caller, wish: Wish) -> ApiResult<GrantedInApp> {
    granted_in_app(node, caller, wish, |who| node.permissions.grants_in_app(wish, who)).await
}

/// Grants the making of channels of a type, or refuses it.
pub(crate) async fn making(node: &Node, caller: &Caller, channel_type: &ChannelType) -> ApiResult<()> {
    let wish = Wish::CreateChannel;
    granted_in_app(node, caller, wish, |who| node.permissions.grants(channel_type, wish, who)).await?;
    Ok(())
}

async fn granted_in_app(
    node: &Node,
    caller: &Caller,
    wish: Wish,
    grants: impl FnOnce(Ranks) -> bool,
) -> ApiResult<GrantedInApp> {
    match who(node, caller).await? {
        Who::User(who) if !grants(who) => Err(refusal(wish).into()),
        who @ (Who::User(_) | Who::Server) => Ok(GrantedInApp { who }),
    }
}

async fn who(node: &Node, caller: &Caller) -> ApiResult<Who> {
    let Bearer::User(user) = &caller.bearer else { return Ok(Who::Server) };
    Ok(Who::User(Ranks::of(&node.standing(caller.app.id, user).await?.role, None)))
}

/// The types of channels that the caller reads without being a member.
pub(crate) async fn open_types(node: &Node, caller: &Caller) -> ApiResult<Vec<String>> {
    match who(node, caller).await? {
        // A server that acts as a user finds what any user would.
        Who::Server => {
            Ok(channel_types::all().filter(|known| known.open).map(|known| known.name.to_owned()).collect())
        }
        Who::User(who) => Ok(node.permissions.read_by(who)),
    }
}

/// The error of a ban, which says until when and why.
pub(crate) fn because_of(code: ErrorCode, ban: &Restriction) -> ErrorBody {
    let until = ban.ends_at.map_or_else(String::new, |end| format!(" The ban ends at {end}."));
    let why = ban.reason.as_ref().map_or_else(String::new, |reason| format!(" Reason: {reason}"));
    code.because(format!("{}{until}{why}", code.title()))
}

/// What somebody may still do who is banned from the channel: all that nobody else notices, and what takes something
/// away.
fn is_left_to_banned(wish: Wish) -> bool {
    matches!(wish, Wish::Read | Wish::KeepReads | Wish::Leave | Wish::DeleteOwn)
}

fn not_found(cid: &Cid) -> ApiError {
    ErrorCode::NotFound.because(format!("There is no channel {cid}, or the caller may not see it.")).into()
}

fn refusal(wish: Wish) -> ErrorBody {
    let why = match wish {
        Wish::Read
        | Wish::Send
        | Wish::EditOwn
        | Wish::DeleteOwn
        | Wish::Type
        | Wish::CreateChannel
        | Wish::SeeUsers
        | Wish::ChangeOneself
        | Wish::Defend => "The caller's role does not allow this here.",
        Wish::KeepReads => "Only members have a read position.",
        Wish::Leave => "Only members leave a channel.",
        Wish::DeleteAny | Wish::ChangeChannel | Wish::ChangeMembers | Wish::BanFromChannel => {
            "Only the channel's owner and moderators may do this."
        }
        Wish::ChangeRoles | Wish::DeleteChannel => "Only the channel's owner may do this.",
        Wish::BanFromApp => "Only moderators and admins of the app may do this.",
    };
    ErrorCode::NotAllowed.because(why)
}
