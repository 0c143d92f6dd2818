//! Read positions move.

use parlour_store::{ReadTo, Receipts};
use parlour_wire::reads::{MarkRead, MarkUnread, Unread};
use parlour_wire::{Cid, ErrorCode};

use crate::access::{self, Caller, Wish};
use crate::error::ApiResult;
use crate::node::Node;

/// Forward, to a message, a seq or the end.
pub(crate) async fn mark_read(
    node: &Node,
    caller: &Caller,
    cid: &Cid,
    request: MarkRead,
) -> ApiResult<Unread> {
    let user = caller.require_user()?;
    let granted = access::channel(node, caller, cid, Wish::KeepReads).await?;
    let to = match (request.message_id, request.seq) {
        (Some(_), Some(_)) => {
            return Err(ErrorCode::InvalidInput.because("Name `message_id` or `seq`, not both.").into());
        }
        (Some(id), None) => ReadTo::Message(id),
        (None, Some(seq)) => ReadTo::Seq(seq),
        (None, None) => ReadTo::Everything,
    };
    // Where nobody shows how far she has read, her own count goes all the same.
    let receipts = if granted.settings.reads { Receipts::Shown } else { Receipts::Hidden };
    Ok(node.store.mark_read(caller.app.id, cid, user, to, receipts, node.clock.now()).await?.value)
}

/// Back, to before a message.
pub(crate) async fn mark_unread(
    node: &Node,
    caller: &Caller,
    cid: &Cid,
    request: MarkUnread,
) -> ApiResult<Unread> {
    let user = caller.require_user()?;
    access::channel(node, caller, cid, Wish::KeepReads).await?;
    let from = &request.message_id;
    Ok(node.store.mark_unread(caller.app.id, cid, user, from, node.clock.now()).await?.value)
}
