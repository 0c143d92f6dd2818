//! A channel as it is at this moment.

use parlour_store::AppId;
use parlour_wire::channels::ChannelState;
use parlour_wire::{Cid, Topic};

use crate::access::Caller;
use crate::error::ApiResult;
use crate::node::Node;

/// As far as it is the caller's to see, with so many of the latest messages. Whether she may is asked before.
pub(crate) async fn show_channel(
    node: &Node,
    caller: &Caller,
    cid: &Cid,
    messages: u32,
) -> ApiResult<ChannelState> {
    let state = node.store.channel_state(caller.app.id, cid, caller.user(), messages).await?;
    Ok(with_watchers(node, caller.app.id, state))
}

/// Adds what the store cannot know: how many watch.
pub(super) fn with_watchers(node: &Node, app: AppId, state: ChannelState) -> ChannelState {
    let topic = Topic::Channel(state.channel.cid.clone());
    ChannelState { watchers: node.hub.watchers(app, &topic), ..state }
}
