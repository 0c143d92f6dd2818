//! The only door to a channel: who may do what in it.

use parlour_store::{ChannelAccess, Requires};
use parlour_wire::members::ChannelRole;
use parlour_wire::users::Role;
use parlour_wire::{Cid, ErrorBody, ErrorCode, Seq, UserId};
use std::sync::Arc;

use crate::auth::Bearer;
use crate::channel_types::{self, ChannelTypeSettings};
use crate::error::{ApiError, ApiResult};
use crate::node::Node;

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

/// What is wished in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// See the channel, its members and messages; listen to it.
    Read,
    /// Send, edit and delete one's own messages; type.
    Send,
    /// Keep a read position: members do.
    KeepReads,
    /// Change the channel's data; add and remove others; delete others' messages.
    Moderate,
    /// Delete the channel.
    Own,
}

/// A wish that was granted, with what it rests on.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    pub(crate) cid: Cid,
    pub(crate) settings: &'static ChannelTypeSettings,
    pub(crate) channel: ChannelAccess,
    /// Whether the caller may also do what owners and moderators do.
    pub(crate) moderates: bool,
}

impl Granted {
    /// What must still be true when the store writes for this caller.
    pub(crate) fn requires(&self) -> Requires {
        let rests_on_membership = self.channel.membership.is_some() && !self.settings.open && !self.moderates;
        if rests_on_membership { Requires::Membership } else { Requires::Channel }
    }

    /// What stands in the log up to this seq is hidden from the caller.
    pub(crate) fn hidden_up_to(&self) -> Seq {
        self.channel.membership.as_ref().map_or(0, |member| member.hidden_up_to)
    }
}

/// Grants a wish in a channel, or refuses it. A channel that the caller may not see is not found: whether it
/// exists is nobody else's business.
pub(crate) async fn channel(node: &Node, caller: &Caller, cid: &Cid, wish: Wish) -> ApiResult<Granted> {
    let user = caller.user();
    let found = node.store.channel_access(caller.app.id, cid, user).await?;
    let settings = channel_types::settings(&cid.channel_type);
    let (Some(channel), Ok(settings)) = (found, settings) else {
        return Err(not_found(cid));
    };
    let role = channel.membership.as_ref().map(|member| &member.channel_role);
    let moderates = caller.is_server() || matches!(role, Some(ChannelRole::Owner | ChannelRole::Moderator));
    let sees = caller.is_server() || role.is_some() || (settings.open && channel.inside);
    if !sees {
        return Err(not_found(cid));
    }
    let granted = match wish {
        Wish::Read | Wish::Send => true,
        Wish::KeepReads => role.is_some(),
        Wish::Moderate => moderates,
        Wish::Own => caller.is_server() || matches!(role, Some(ChannelRole::Owner)),
    };
    if !granted {
        return Err(refusal(wish).into());
    }
    Ok(Granted { cid: cid.clone(), settings, channel, moderates })
}

/// Grants the making of channels, or refuses it: guests talk in those that there are.
pub(crate) async fn making(node: &Node, caller: &Caller) -> ApiResult<()> {
    let Bearer::User(user) = &caller.bearer else { return Ok(()) };
    let user = node.store.users(caller.app.id, std::slice::from_ref(user)).await?.pop();
    if user.is_some_and(|user| user.role == Role::Guest) {
        return Err(ErrorCode::NotAllowed.because("Guests make no channels.").into());
    }
    Ok(())
}

fn not_found(cid: &Cid) -> ApiError {
    ErrorCode::NotFound.because(format!("There is no channel {cid}, or the caller may not see it.")).into()
}

fn refusal(wish: Wish) -> ErrorBody {
    let why = match wish {
        Wish::Read | Wish::Send => "The caller may not do this in this channel.",
        Wish::KeepReads => "Only members have a read position.",
        Wish::Moderate => "Only the channel's owner and moderators may do this.",
        Wish::Own => "Only the channel's owner may do this.",
    };
    ErrorCode::NotAllowed.because(why)
}
