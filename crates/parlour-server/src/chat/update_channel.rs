//! A channel's data is changed; a channel is deleted.

use parlour_wire::Cid;
use parlour_wire::channels::{CHANNEL_RESERVED_FIELDS, ChannelResponse};
use parlour_wire::users::PartialUpdate;

use super::get_or_create_channel::{check_data, refuse_reserved};
use super::show_channel::show_channel;
use crate::access::{self, Caller, Wish};
use crate::error::ApiResult;
use crate::node::Node;

pub(crate) async fn update_channel(
    node: &Node,
    caller: &Caller,
    cid: &Cid,
    update: PartialUpdate,
) -> ApiResult<ChannelResponse> {
    access::channel(node, caller, cid, Wish::ChangeChannel).await?;
    check_data(&update.set)?;
    refuse_reserved(update.unset.iter(), CHANNEL_RESERVED_FIELDS)?;
    node.store.update_channel(caller.app.id, cid, update.set, update.unset, node.clock.now()).await?;
    let state = show_channel(node, caller, cid, 0).await?;
    Ok(ChannelResponse { state, created: false })
}

pub(crate) async fn delete_channel(node: &Node, caller: &Caller, cid: &Cid) -> ApiResult<()> {
    access::channel(node, caller, cid, Wish::DeleteChannel).await?;
    node.store.delete_channel(caller.app.id, cid, node.clock.now()).await?;
    Ok(())
}
