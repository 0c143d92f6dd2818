//! What users do against others themselves: mute, block, flag.

use parlour_store::{Flagged, NewFlag, Wanted};
use parlour_wire::moderation::{Block, Flag, FlagContent, Mute, MuteUser};
use parlour_wire::{Cid, ErrorCode, UserId};

use super::ban_users::{check_reason, end};
use super::edit_message::visible_message;
use crate::access::{self, Caller, Wish};
use crate::error::ApiResult;
use crate::node::Node;

/// The user who acts, and may.
async fn defender<'a>(node: &Node, caller: &'a Caller) -> ApiResult<&'a UserId> {
    let user = caller.require_user()?;
    access::app(node, caller, Wish::Defend).await?;
    Ok(user)
}

fn refuse_self(user: &UserId, target: &UserId) -> ApiResult<()> {
    if user == target {
        return Err(ErrorCode::InvalidInput.because("This is done to others, and not to oneself.").into());
    }
    Ok(())
}

pub(crate) async fn mute_user(node: &Node, caller: &Caller, request: MuteUser) -> ApiResult<Vec<Mute>> {
    let user = defender(node, caller).await?;
    refuse_self(user, &request.user_id)?;
    let now = node.clock.now();
    let ends_at = request.duration_s.map(|seconds| end(now, seconds)).transpose()?;
    let wanted = Wanted::No { ends_at };
    Ok(node.store.mute(caller.app.id, user, &request.user_id, wanted, now).await?.value)
}

pub(crate) async fn unmute_user(node: &Node, caller: &Caller, target: &UserId) -> ApiResult<Vec<Mute>> {
    let user = defender(node, caller).await?;
    Ok(node.store.mute(caller.app.id, user, target, Wanted::Again, node.clock.now()).await?.value)
}

pub(crate) async fn mutes(node: &Node, caller: &Caller) -> ApiResult<Vec<Mute>> {
    let user = defender(node, caller).await?;
    Ok(node.store.mutes(caller.app.id, user, node.clock.now()).await?)
}

pub(crate) async fn block_user(node: &Node, caller: &Caller, target: &UserId) -> ApiResult<Vec<Block>> {
    let user = defender(node, caller).await?;
    refuse_self(user, target)?;
    change_block(node, caller, user, target, Wanted::No { ends_at: None }).await
}

pub(crate) async fn unblock_user(node: &Node, caller: &Caller, target: &UserId) -> ApiResult<Vec<Block>> {
    let user = defender(node, caller).await?;
    change_block(node, caller, user, target, Wanted::Again).await
}

async fn change_block(
    node: &Node,
    caller: &Caller,
    user: &UserId,
    target: &UserId,
    wanted: Wanted,
) -> ApiResult<Vec<Block>> {
    let app = caller.app.id;
    let blocks = node.store.block(app, user, target, wanted, node.clock.now()).await?.value;
    // Neither hears any more whether the other is there, or does again.
    node.presence.friends_changed(app, user);
    node.presence.friends_changed(app, target);
    Ok(blocks)
}

pub(crate) async fn blocks(node: &Node, caller: &Caller) -> ApiResult<Vec<Block>> {
    let user = defender(node, caller).await?;
    Ok(node.store.blocks(caller.app.id, user).await?)
}

/// The same reporter flags the same only once: the first flag is the answer.
pub(crate) async fn flag(node: &Node, caller: &Caller, request: FlagContent) -> ApiResult<Flag> {
    let reporter = defender(node, caller).await?;
    check_reason(request.reason.as_deref())?;
    let flagged = match (request.user_id, request.cid, request.message_id) {
        (Some(user), None, None) => {
            refuse_self(reporter, &user)?;
            Flagged::User(user)
        }
        (None, Some(cid), Some(id)) => {
            let granted = access::channel(node, caller, &cid, Wish::Read).await?;
            visible_message(node, caller, &cid, &id, granted.hidden_up_to()).await?;
            Flagged::Message { cid, id }
        }
        _ => {
            let why = "Name a user by `user_id`, or a message by `cid` and `message_id`.";
            return Err(ErrorCode::InvalidInput.because(why).into());
        }
    };
    let (app, reason, now) = (caller.app.id, request.reason, node.clock.now());
    let flag = NewFlag { app, reporter: reporter.clone(), flagged, reason, now };
    Ok(node.store.flag(flag).await?.value)
}

/// What was flagged: in a channel, for those who moderate it, or all.
pub(crate) async fn flags(
    node: &Node,
    caller: &Caller,
    cid: Option<&Cid>,
    before: Option<i64>,
    limit: u32,
) -> ApiResult<(Vec<Flag>, Option<i64>)> {
    match cid {
        Some(cid) => {
            access::channel(node, caller, cid, Wish::BanFromChannel).await?;
        }
        None => {
            access::app(node, caller, Wish::BanFromApp).await?;
        }
    }
    let (mut flags, next) = node.store.flags(caller.app.id, cid, before, limit).await?;
    if !caller.is_server() {
        for flag in &mut flags {
            // What only its sender sees is shown to servers, and to nobody else.
            if flag.message.as_ref().is_some_and(|message| message.shadowed) {
                flag.message = None;
            }
        }
    }
    Ok((flags, next))
}
