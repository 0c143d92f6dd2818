//! Members of channels, on the wire.

use serde::{Deserialize, Serialize};

use crate::open::open_enum;
use crate::users::UserBrief;
use crate::{Seq, Timestamp, UserId};

open_enum! {
    /// What a member may do in its channel.
    pub enum ChannelRole {
        Owner = "owner",
        Moderator = "moderator",
        Member = "member",
    }
}

/// A user's membership of a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Member {
    pub user_id: UserId,
    pub user: UserBrief,
    pub channel_role: ChannelRole,
    pub created_at: Timestamp,
    /// What stands in the channel's log up to this seq is hidden from the member (0: nothing is).
    #[serde(default)]
    pub hidden_up_to: Seq,
}

/// `POST …/members`: adds and removes members, at most 100 in all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UpdateMembers {
    #[serde(default)]
    pub add: Vec<UserId>,
    #[serde(default)]
    pub remove: Vec<UserId>,
    /// Whether the added members see only what comes after they joined.
    #[serde(default)]
    pub hide_history: bool,
}

/// `PATCH …/members/{user_id}`: what a member may do from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UpdateMember {
    pub channel_role: ChannelRole,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MemberResponse {
    pub member: Member,
}

/// A page of members, by the time they joined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MembersResponse {
    pub members: Vec<Member>,
    pub member_count: u64,
    /// Asks for the following page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
