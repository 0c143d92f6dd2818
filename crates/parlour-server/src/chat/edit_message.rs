//! A message is edited, by who sent it or by a server.

use parlour_store::Audience;
use parlour_wire::messages::{EditMessage, MESSAGE_RESERVED_FIELDS, Message};
use parlour_wire::{Cid, ErrorCode, MessageId};

use super::get_or_create_channel::refuse_reserved;
use super::send_message::{check_attachments, check_custom, check_mentions, check_text};
use crate::access::{self, Caller, Wish};
use crate::error::ApiResult;
use crate::node::Node;

pub(crate) async fn edit_message(
    node: &Node,
    caller: &Caller,
    cid: &Cid,
    id: &MessageId,
    edit: EditMessage,
) -> ApiResult<Message> {
    let granted = access::channel(node, caller, cid, Wish::EditOwn).await?;
    let message = visible_message(node, caller, cid, id, granted.hidden_up_to()).await?;
    let own = caller.user() == Some(&message.user.id);
    if !own && !caller.is_server() {
        return Err(ErrorCode::NotAllowed.because("Only its sender edits a message.").into());
    }
    if let Some(text) = &edit.text {
        check_text(text, granted.settings.message_chars_max)?;
    }
    check_attachments(edit.attachments.as_deref().unwrap_or_default())?;
    check_mentions(edit.mentioned_users.as_deref().unwrap_or_default())?;
    check_custom(&edit.set)?;
    refuse_reserved(edit.unset.iter(), MESSAGE_RESERVED_FIELDS)?;
    let audience = if granted.is_shadowed { Audience::Sender } else { Audience::Everybody };
    Ok(node.store.edit_message(caller.app.id, cid, id, edit, audience, node.clock.now()).await?.value)
}

/// The message, if it is not older than what the caller may see.
pub(crate) async fn visible_message(
    node: &Node,
    caller: &Caller,
    cid: &Cid,
    id: &MessageId,
    hidden_up_to: parlour_wire::Seq,
) -> ApiResult<Message> {
    let message = node.store.message(caller.app.id, cid, id, caller.user()).await?;
    if message.seq <= hidden_up_to {
        return Err(ErrorCode::NotFound.error().into());
    }
    Ok(message)
}
