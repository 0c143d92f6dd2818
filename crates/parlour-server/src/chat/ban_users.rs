//! Users are banned, from the app or from a channel, and let in again.

use parlour_store::{BanKind, BanQuery, BansOf, NewBan, Restriction};
use parlour_wire::moderation::{Ban, BanUser, DURATION_S_MAX, REASON_CHARS_MAX};
use parlour_wire::{Cid, ErrorBody, ErrorCode, Timestamp, UserId};

use crate::access::{self, Caller, Wish};
use crate::error::ApiResult;
use crate::node::Node;
use crate::permissions::Ranks;

/// When this returns, the user is told nothing more, if it is banned from the app.
pub(crate) async fn ban_user(
    node: &Node,
    caller: &Caller,
    user: &UserId,
    request: BanUser,
) -> ApiResult<Ban> {
    let BanUser { cid, reason, duration_s, shadow } = request;
    check_reason(reason.as_deref())?;
    let now = node.clock.now();
    let ends_at = duration_s.map(|seconds| end(now, seconds)).transpose()?;
    refuse_above(node, caller, user, cid.as_ref()).await?;
    let kind = if shadow { BanKind::Shadow } else { BanKind::Open };
    let restriction = Restriction { kind, ends_at, reason };
    let is_from_app = cid.is_none();
    let new = NewBan {
        app: caller.app.id,
        user: user.clone(),
        cid,
        restriction: restriction.clone(),
        banned_by: caller.user().cloned(),
        now,
    };
    // Stored first: who is let in before this is among those who are cut off, who comes after it is refused.
    let ban = node.store.ban(new).await?.value;
    if is_from_app {
        // No event says it of a shadow ban.
        node.standings.changed(caller.app.id, user);
    }
    if is_from_app && kind == BanKind::Open {
        let error = access::because_of(ErrorCode::UserBanned, &restriction);
        node.cut_off(caller.app.id, user, error).await;
    }
    Ok(ban)
}

/// Lifts a ban; where there is none, nothing changes.
pub(crate) async fn lift_ban(
    node: &Node,
    caller: &Caller,
    user: &UserId,
    cid: Option<&Cid>,
) -> ApiResult<()> {
    refuse_above(node, caller, user, cid).await?;
    node.store.lift_ban(caller.app.id, user, cid, node.clock.now()).await?;
    if cid.is_none() {
        node.standings.changed(caller.app.id, user);
    }
    Ok(())
}

/// The bans that are in force: of a channel, for those who moderate it, or all.
pub(crate) async fn bans(
    node: &Node,
    caller: &Caller,
    cid: Option<Cid>,
    user: Option<UserId>,
    before: Option<i64>,
    limit: u32,
) -> ApiResult<(Vec<Ban>, Option<i64>)> {
    let of = match cid {
        Some(cid) => {
            access::channel(node, caller, &cid, Wish::BanFromChannel).await?;
            BansOf::Channel(cid)
        }
        None => {
            access::app(node, caller, Wish::BanFromApp).await?;
            BansOf::Everything
        }
    };
    let viewer = caller.user().cloned();
    let query = BanQuery { app: caller.app.id, of, user, viewer, before, limit, now: node.clock.now() };
    Ok(node.store.bans(query).await?)
}

/// Nobody bans, or lets in again, whoever stands as high or higher; nor itself.
async fn refuse_above(node: &Node, caller: &Caller, user: &UserId, cid: Option<&Cid>) -> ApiResult<()> {
    let stands_above = match cid {
        Some(cid) => {
            let granted = access::channel(node, caller, cid, Wish::BanFromChannel).await?;
            let in_channel = node.store.channel_access(caller.app.id, cid, Some(user)).await?;
            let channel_role = in_channel.and_then(|channel| Some(channel.membership?.channel_role));
            granted.stands_above(Ranks::of(
                &node.standing(caller.app.id, user).await?.role,
                channel_role.as_ref(),
            ))
        }
        None => {
            let granted = access::app(node, caller, Wish::BanFromApp).await?;
            granted.stands_above(Ranks::of(&node.standing(caller.app.id, user).await?.role, None))
        }
    };
    if stands_above {
        return Ok(());
    }
    let why = format!("{user} stands as high as the caller, or higher.");
    Err(ErrorCode::NotAllowed.because(why).into())
}

pub(crate) fn check_reason(reason: Option<&str>) -> Result<(), ErrorBody> {
    let chars = reason.map_or(0, |reason| reason.chars().count());
    if chars > REASON_CHARS_MAX {
        let why = format!("The reason has {chars} characters; at most {REASON_CHARS_MAX} are taken.");
        return Err(ErrorCode::InvalidInput.because(why));
    }
    Ok(())
}

/// When what begins now and lasts this long is over.
pub(crate) fn end(now: Timestamp, duration_s: u64) -> Result<Timestamp, ErrorBody> {
    if duration_s == 0 || duration_s > DURATION_S_MAX {
        let why = format!("`duration_s` is {duration_s}; it has to be 1 to {DURATION_S_MAX}, or absent.");
        return Err(ErrorCode::InvalidInput.because(why));
    }
    Ok(Timestamp::from_unix_ms(now.unix_ms().saturating_add_unsigned(duration_s * 1_000)))
}
