//! A message is deleted: by its sender, by a moderator, by a server; for good by a server only.

use parlour_store::Deletion;
use parlour_wire::{Cid, ErrorCode, MessageId};

use super::edit_message::visible_message;
use crate::access::{self, Caller, Wish};
use crate::error::ApiResult;
use crate::node::Node;

pub(crate) async fn delete_message(
    node: &Node,
    caller: &Caller,
    cid: &Cid,
    id: &MessageId,
    deletion: Deletion,
) -> ApiResult<()> {
    let granted = access::channel(node, caller, cid, Wish::Send).await?;
    if deletion == Deletion::Hard {
        caller.require_server()?;
    }
    match visible_message(node, caller, cid, id, granted.hidden_up_to()).await {
        Ok(message) => {
            let own = caller.user() == Some(&message.user.id);
            if !own && !granted.moderates {
                return Err(ErrorCode::NotAllowed
                    .because("Only its sender and moderators delete a message.")
                    .into());
            }
        }
        // A server that deletes for good twice finds nothing the second time: that is what it wanted.
        Err(error) if !(caller.is_server() && error.code() == ErrorCode::NotFound.as_str()) => {
            return Err(error);
        }
        Err(_) => {}
    }
    node.store.delete_message(caller.app.id, cid, id, deletion, node.clock.now()).await?;
    Ok(())
}
