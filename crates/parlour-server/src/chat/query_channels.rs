//! Channels are looked for.

use parlour_store::{ChannelField, ChannelQuery, Order, SortKey};
use parlour_wire::channels::{CHANNELS_PER_PAGE_MAX, ChannelsResponse, QueryChannels};

use super::get_or_create_channel::messages_wanted;
use super::show_channel::with_watchers;
use super::{filters, pages};
use crate::access::{self, Caller};
use crate::error::ApiResult;
use crate::node::Node;

pub(crate) async fn query_channels(
    node: &Node,
    caller: &Caller,
    query: QueryChannels,
) -> ApiResult<ChannelsResponse> {
    let limit = pages::limit(query.limit, 10, CHANNELS_PER_PAGE_MAX)?;
    let order = pages::order(&query.sort);
    let after = query.next.as_deref().map(|next| pages::read(next, &order)).transpose()?;
    let filter = filters::read(query.filter, &field)?;
    let mut sort = filters::read_sort(query.sort, &sort_field)?;
    if sort.is_empty() {
        sort.push(SortKey { field: ChannelField::LastMessageAt, order: Order::Descending });
    }
    let page = node
        .store
        .query_channels(ChannelQuery {
            app: caller.app.id,
            viewer: caller.user().cloned(),
            public_types: access::open_types(node, caller).await?,
            filter,
            sort,
            limit,
            after,
            messages: messages_wanted(query.messages)?,
        })
        .await?;
    let app = caller.app.id;
    let channels = page.channels.into_iter().map(|state| with_watchers(node, app, state));
    Ok(ChannelsResponse {
        channels: channels.collect(),
        next: page.next.map(|place| pages::write(&place, &order)),
    })
}

/// The field of this name.
pub(super) fn field(name: &str) -> Option<ChannelField> {
    Some(match name {
        "cid" => ChannelField::Cid,
        "id" => ChannelField::Id,
        "type" => ChannelField::Type,
        "team" => ChannelField::Team,
        "members" => ChannelField::Members,
        "member_count" => ChannelField::MemberCount,
        "created_at" => ChannelField::CreatedAt,
        "updated_at" => ChannelField::UpdatedAt,
        "last_message_at" => ChannelField::LastMessageAt,
        "created_by" => ChannelField::CreatedBy,
        "name" => ChannelField::Data("name".to_owned()),
        custom => ChannelField::Data(filters::custom_key(custom)?),
    })
}

fn sort_field(name: &str) -> Option<ChannelField> {
    field(name).filter(|field| {
        matches!(
            field,
            ChannelField::LastMessageAt
                | ChannelField::UpdatedAt
                | ChannelField::CreatedAt
                | ChannelField::MemberCount
                | ChannelField::Cid
        )
    })
}
