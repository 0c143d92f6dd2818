//! A message is deleted: by its sender, by a moderator, by a server; for good by a server only.

use parlour_store::Deletion;
use parlour_wire::messages::{Message, MessageType};
use parlour_wire::{Cid, ErrorCode, MessageId};

use super::edit_message::visible_message;
use crate::access::{self, Caller, Wish};
use crate::error::ApiResult;
use crate::node::Node;

/// Deletes, and gives what is left of the message.
pub(crate) async fn delete_message(
    node: &Node,
    caller: &Caller,
    cid: &Cid,
    id: &MessageId,
    deletion: Deletion,
) -> ApiResult<Message> {
    let granted = access::channel(node, caller, cid, Wish::DeleteOwn).await?;
    if deletion == Deletion::Hard {
        caller.require_server()?;
    }
    let message = visible_message(node, caller, cid, id, granted.hidden_up_to()).await?;
    let own = caller.user() == Some(&message.user.id);
    if !own && !granted.may(node, Wish::DeleteAny) {
        return Err(ErrorCode::NotAllowed.because("Only its sender and moderators delete a message.").into());
    }
    let now = node.clock.now();
    node.store.delete_message(caller.app.id, cid, id, deletion, now).await?;
    match deletion {
        Deletion::Soft => Ok(node.store.message(caller.app.id, cid, id, caller.user()).await?),
        Deletion::Hard => Ok(Message {
            message_type: MessageType::Deleted,
            text: String::new(),
            attachments: Vec::new(),
            mentioned_users: Vec::new(),
            custom: std::collections::BTreeMap::new(),
            updated_at: now,
            deleted_at: Some(now),
            ..message
        }),
    }
}
