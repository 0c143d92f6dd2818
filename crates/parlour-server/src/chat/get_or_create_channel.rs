//! A channel is made, or the one that is there is given.

use aws_lc_rs::digest;
use parlour_store::NewChannel;
use parlour_wire::channels::{
    CHANNEL_BYTES_MAX, CHANNEL_RESERVED_FIELDS, ChannelResponse, GetOrCreateChannel, MEMBERS_PER_BATCH_MAX,
};
use parlour_wire::messages::MESSAGES_PER_PAGE_MAX;
use parlour_wire::{ChannelId, ChannelType, Cid, ErrorBody, ErrorCode, Team, UserId};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use super::show_channel::show_channel;
use crate::access::{self, Caller, Wish};
use crate::channel_types;
use crate::error::ApiResult;
use crate::node::Node;

/// Messages that come with a channel where the caller does not say how many.
pub(crate) const MESSAGES_DEFAULT: u32 = 25;

/// By its id; or, without one, by its members: the same members in any order are the same channel.
pub(crate) async fn get_or_create_channel(
    node: &Node,
    caller: &Caller,
    channel_type: ChannelType,
    id: Option<ChannelId>,
    request: GetOrCreateChannel,
) -> ApiResult<ChannelResponse> {
    channel_types::settings(&channel_type)?;
    let messages = messages_wanted(request.messages)?;
    if request.members.len() > MEMBERS_PER_BATCH_MAX {
        let count = request.members.len();
        let why =
            format!("A channel is made with at most {MEMBERS_PER_BATCH_MAX} members; these are {count}.");
        return Err(ErrorCode::InvalidInput.because(why).into());
    }
    check_data(&request.data)?;
    let creator = caller.user().cloned();
    let mut team = request.team;
    if id.is_none() {
        // The same members of another team are another channel.
        team = node.store.team_of_new_channel(caller.app.id, creator.as_ref(), team.as_ref()).await?;
    }
    let members: BTreeSet<UserId> = creator.iter().cloned().chain(request.members).collect();
    let cid = match id {
        // Ids with `!` name what the server derives: only a channel that is there can be asked for so.
        Some(id) if id.is_of_members() => {
            let cid = Cid::new(channel_type, id);
            access::channel(node, caller, &cid, Wish::Read).await?;
            cid
        }
        Some(id) => Cid::new(channel_type, id),
        None if members.len() < 2 => {
            let why = "A channel without an id is named by its members: name at least one beside the caller.";
            return Err(ErrorCode::InvalidInput.because(why).into());
        }
        None => Cid::new(channel_type, distinct_id(&members, team.as_ref())),
    };
    if let Err(refused) = may_make(node, caller, &cid, &members).await {
        // What is there is given to whoever may see it.
        if access::channel(node, caller, &cid, Wish::Read).await.is_err() {
            return Err(refused);
        }
    }
    let channel = NewChannel {
        app: caller.app.id,
        cid: cid.clone(),
        creator,
        members: members.into_iter().collect(),
        team,
        data: request.data,
        now: node.clock.now(),
    };
    let created = node.store.get_or_create_channel(channel).await?.value;
    if !created {
        access::channel(node, caller, &cid, Wish::Read).await?;
    }
    let state = show_channel(node, caller, &cid, messages).await?;
    Ok(ChannelResponse { state, created })
}

/// Whether the caller may make a channel of these members.
async fn may_make(node: &Node, caller: &Caller, cid: &Cid, members: &BTreeSet<UserId>) -> ApiResult<()> {
    access::making(node, caller, &cid.channel_type).await?;
    let is_direct = cid.id.as_str().starts_with('!');
    if let (true, false, [one, other]) =
        (is_direct, caller.is_server(), members.iter().collect::<Vec<_>>().as_slice())
        && node.store.is_block_between(caller.app.id, one, other).await?
    {
        return Err(ErrorCode::Blocked.into());
    }
    Ok(())
}

/// How many messages to give, within the page's limit.
pub(crate) fn messages_wanted(wanted: Option<u32>) -> Result<u32, ErrorBody> {
    let wanted = wanted.unwrap_or(MESSAGES_DEFAULT);
    if wanted > MESSAGES_PER_PAGE_MAX {
        let why = format!("`messages` is {wanted}; at most {MESSAGES_PER_PAGE_MAX} come at once.");
        return Err(ErrorCode::InvalidInput.because(why));
    }
    Ok(wanted)
}

/// A channel's data has no field that only the server sets, and fits its limit.
pub(crate) fn check_data(data: &BTreeMap<String, Value>) -> Result<(), ErrorBody> {
    refuse_reserved(data.keys(), CHANNEL_RESERVED_FIELDS)?;
    let bytes = serde_json::to_vec(data).map_or(0, |json| json.len());
    if bytes > CHANNEL_BYTES_MAX {
        let why = format!(
            "The channel's data has {bytes} bytes as compact JSON; the limit is {CHANNEL_BYTES_MAX}."
        );
        return Err(ErrorCode::TooLarge.because(why));
    }
    Ok(())
}

/// Refuses the names that only the server sets.
pub(crate) fn refuse_reserved<'a>(
    names: impl Iterator<Item = &'a String>,
    reserved: &[&str],
) -> Result<(), ErrorBody> {
    for name in names {
        if reserved.contains(&name.as_str()) || name.is_empty() {
            let mut error =
                ErrorCode::ReservedField.because(format!("The field `{name}` is set by the server only."));
            error.fields.insert(name.clone(), "reserved".to_owned());
            return Err(error);
        }
    }
    Ok(())
}

/// The id that these members share, whatever their order.
fn distinct_id(members: &BTreeSet<UserId>, team: Option<&Team>) -> ChannelId {
    let mut names = team.map_or_else(String::new, |team| format!("{team}/ "));
    for member in members {
        // No user id has a space or a slash in it, so two sets of members never give one text.
        names.push_str(member.as_str());
        names.push(' ');
    }
    let hash = digest::digest(&digest::SHA256, names.as_bytes());
    let hex: String = hash.as_ref()[..20].iter().map(|byte| format!("{byte:02x}")).collect();
    ChannelId::parse(&format!("!members-{hex}"))
        .expect("hexadecimal digits and a fixed prefix are within the charset")
}
