//! Members come and go.

use parlour_store::MemberChange;
use parlour_wire::channels::{ChannelResponse, MEMBERS_PER_BATCH_MAX};
use parlour_wire::members::{ChannelRole, Member, UpdateMembers};
use parlour_wire::{Cid, ErrorCode, UserId};

use super::show_channel::show_channel;
use crate::access::{self, Caller, Wish};
use crate::error::ApiResult;
use crate::node::Node;

/// Owners and moderators change others; every member may leave.
pub(crate) async fn change_members(
    node: &Node,
    caller: &Caller,
    cid: &Cid,
    request: UpdateMembers,
) -> ApiResult<ChannelResponse> {
    let UpdateMembers { add, remove, hide_history } = request;
    let count = add.len() + remove.len();
    if count == 0 || count > MEMBERS_PER_BATCH_MAX {
        let why =
            format!("One call adds and removes 1 to {MEMBERS_PER_BATCH_MAX} members; this one {count}.");
        return Err(ErrorCode::InvalidInput.because(why).into());
    }
    if let Some(both) = add.iter().find(|user| remove.contains(user)) {
        return Err(ErrorCode::InvalidInput
            .because(format!("{both} is to be added and removed at once."))
            .into());
    }
    let leaves = add.is_empty() && remove.iter().all(|user| Some(user) == caller.user());
    let wish = if leaves { Wish::Leave } else { Wish::ChangeMembers };
    let granted = access::channel(node, caller, cid, wish).await?;
    let change = MemberChange {
        app: caller.app.id,
        cid: granted.cid,
        add,
        remove,
        hide_history,
        now: node.clock.now(),
    };
    node.store.change_members(change).await?;
    // Whoever left a private channel sees it no more, but is told what became of the call.
    let state = show_channel(node, caller, cid, 0).await?;
    Ok(ChannelResponse { state, created: false })
}

/// Makes a member a moderator or an owner, or an ordinary one again.
pub(crate) async fn change_member_role(
    node: &Node,
    caller: &Caller,
    cid: &Cid,
    user: &UserId,
    role: ChannelRole,
) -> ApiResult<Member> {
    access::channel(node, caller, cid, Wish::ChangeRoles).await?;
    if let ChannelRole::Unknown(unknown) = &role {
        let known = ChannelRole::KNOWN.join(", ");
        let why = format!("There is no role {unknown:?} in channels; there are: {known}.");
        return Err(ErrorCode::InvalidInput.because(why).into());
    }
    let now = node.clock.now();
    Ok(node.store.change_member_role(caller.app.id, cid, user, role, now).await?.value)
}
