//! Users are deactivated, deleted, exported, and come back: all of it a server's right.

use parlour_store::{Deleting, Gone, Inactivity, Life, NewTask, Work};
use parlour_wire::tasks::{ChannelsOfDeleted, MessagesOfDeleted, Task};
use parlour_wire::users::User;
use parlour_wire::{ErrorCode, UserId};

use crate::access::Caller;
use crate::error::ApiResult;
use crate::node::Node;
use crate::standings;

/// Who is deactivated is told nothing more when this returns.
pub(crate) async fn change_life(node: &Node, caller: &Caller, user: &UserId, life: Life) -> ApiResult<User> {
    caller.require_server()?;
    let changed = node.store.change_life(caller.app.id, user, life, node.clock.now()).await?.value;
    if life == Life::Deactivate {
        node.cut_off(caller.app.id, user, standings::inactive(user, Inactivity::Deactivated)).await;
    }
    Ok(changed)
}

/// From the answer on the user is deleted, and told nothing more; what it leaves behind is dealt with by the task.
pub(crate) async fn delete_user(
    node: &Node,
    caller: &Caller,
    user: &UserId,
    deleting: Deleting,
) -> ApiResult<Task> {
    caller.require_server()?;
    let Deleting { gone, messages, channels } = &deleting;
    let unknown = match (messages, channels) {
        (MessagesOfDeleted::Unknown(text), _) => Some(("messages", text, MessagesOfDeleted::KNOWN)),
        (_, ChannelsOfDeleted::Unknown(text)) => Some(("channels", text, ChannelsOfDeleted::KNOWN)),
        _ => None,
    };
    if let Some((name, text, known)) = unknown {
        let why = format!("`{name}` is {text:?}; it can be one of: {}.", known.join(", "));
        return Err(ErrorCode::InvalidInput.because(why).into());
    }
    let restorable = *gone == Gone::Restorably;
    if restorable && (*messages == MessagesOfDeleted::Hard || *channels != ChannelsOfDeleted::Keep) {
        let why = "Who can be restored keeps channels and the places of messages: say `hard=true`, or leave out \
                   `messages=hard` and `channels`.";
        return Err(ErrorCode::InvalidInput.because(why).into());
    }
    let task = create(node, caller, user, Work::Delete(deleting)).await?;
    node.cut_off(caller.app.id, user, standings::inactive(user, Inactivity::Deleted)).await;
    Ok(task)
}

pub(crate) async fn export_user(node: &Node, caller: &Caller, user: &UserId) -> ApiResult<Task> {
    caller.require_server()?;
    create(node, caller, user, Work::Export).await
}

async fn create(node: &Node, caller: &Caller, user: &UserId, work: Work) -> ApiResult<Task> {
    let new =
        NewTask { app: caller.app.id, id: node.dice.hex(), user: user.clone(), work, now: node.clock.now() };
    let task = node.store.create_task(new).await?.value;
    node.tasks.created();
    Ok(task)
}
