//! Bans, mutes, blocks and flags: what a backend, a moderator and every user may ask for.

use http::Method;
use parlour_wire::members::{ChannelRole, Member, MemberResponse, UpdateMember};
use parlour_wire::moderation::{
    Ban, BanResponse, BanUser, BansResponse, Block, BlockUser, BlocksResponse, Flag, FlagContent,
    FlagResponse, FlagsResponse, Mute, MuteUser, MutesResponse,
};
use parlour_wire::{Cid, MessageId, UserId};
use std::time::Duration;

use crate::calls::{Calls, NOTHING, channel_path, percent_encoded};
use crate::{ActingChannel, ActingUser, Client, Error, ServerClient};

impl Calls {
    async fn ban(&self, user: &str, ban: &BanUser) -> Result<Ban, Error> {
        let path = format!("users/{}/ban", UserId::parse(user)?);
        let answer: BanResponse = self.call(Method::POST, &path, Some(ban)).await?;
        Ok(answer.ban)
    }

    async fn lift_ban(&self, user: &str, from: Option<&Cid>) -> Result<(), Error> {
        let from = from.map(|cid| format!("?cid={}", percent_encoded(&cid.to_string()))).unwrap_or_default();
        self.call(Method::DELETE, &format!("users/{}/ban{from}", UserId::parse(user)?), NOTHING).await
    }

    async fn bans(&self, from: Option<&Cid>, next: Option<&str>) -> Result<BansResponse, Error> {
        self.call(Method::GET, &format!("bans{}", page(from, next)), NOTHING).await
    }

    async fn flags(&self, of: Option<&Cid>, next: Option<&str>) -> Result<FlagsResponse, Error> {
        self.call(Method::GET, &format!("flags{}", page(of, next)), NOTHING).await
    }

    async fn flag(&self, flag: &FlagContent) -> Result<Flag, Error> {
        let answer: FlagResponse = self.call(Method::POST, "flags", Some(flag)).await?;
        Ok(answer.flag)
    }

    async fn mute(&self, user: &str, time: Option<Duration>) -> Result<Vec<Mute>, Error> {
        let duration_s = time.map(|time| time.as_secs());
        let mute = MuteUser { user_id: UserId::parse(user)?, duration_s };
        let answer: MutesResponse = self.call(Method::POST, "mutes", Some(&mute)).await?;
        Ok(answer.mutes)
    }

    async fn unmute(&self, user: &str) -> Result<Vec<Mute>, Error> {
        let path = format!("mutes/{}", UserId::parse(user)?);
        let answer: MutesResponse = self.call(Method::DELETE, &path, NOTHING).await?;
        Ok(answer.mutes)
    }

    async fn mutes(&self) -> Result<Vec<Mute>, Error> {
        let answer: MutesResponse = self.call(Method::GET, "mutes", NOTHING).await?;
        Ok(answer.mutes)
    }

    async fn block(&self, user: &str) -> Result<Vec<Block>, Error> {
        let block = BlockUser { user_id: UserId::parse(user)? };
        let answer: BlocksResponse = self.call(Method::POST, "blocks", Some(&block)).await?;
        Ok(answer.blocks)
    }

    async fn unblock(&self, user: &str) -> Result<Vec<Block>, Error> {
        let path = format!("blocks/{}", UserId::parse(user)?);
        let answer: BlocksResponse = self.call(Method::DELETE, &path, NOTHING).await?;
        Ok(answer.blocks)
    }

    async fn blocks(&self) -> Result<Vec<Block>, Error> {
        let answer: BlocksResponse = self.call(Method::GET, "blocks", NOTHING).await?;
        Ok(answer.blocks)
    }
}

fn page(cid: Option<&Cid>, next: Option<&str>) -> String {
    let cid = cid.map(|cid| format!("cid={}", percent_encoded(&cid.to_string())));
    let next = next.map(|next| format!("next={}", percent_encoded(next)));
    let named: Vec<String> = cid.into_iter().chain(next).collect();
    if named.is_empty() { String::new() } else { format!("?{}", named.join("&")) }
}

fn of_message(cid: &Cid, id: &MessageId, reason: Option<&str>) -> FlagContent {
    let reason = reason.map(str::to_owned);
    FlagContent { user_id: None, cid: Some(cid.clone()), message_id: Some(id.clone()), reason }
}

fn of_user(user: &str, reason: Option<&str>) -> Result<FlagContent, Error> {
    let (user_id, reason) = (Some(UserId::parse(user)?), reason.map(str::to_owned));
    Ok(FlagContent { user_id, cid: None, message_id: None, reason })
}

/// The calls that are the same for a user's own client and for a backend in a user's name.
macro_rules! moderation_of_a_user {
    ($client:ty, $calls:expr) => {
        impl $client {
            /// Bans a user from the app or from a channel, where this user may.
            pub async fn ban_user(&self, user: &str, ban: &BanUser) -> Result<Ban, Error> {
                $calls(self).ban(user, ban).await
            }

            /// Lifts a ban from a channel, or from the app.
            pub async fn unban_user(&self, user: &str, from: Option<&Cid>) -> Result<(), Error> {
                $calls(self).lift_ban(user, from).await
            }

            /// A page of the bans in force, the latest first: from one channel, or all.
            pub async fn bans(&self, from: Option<&Cid>, next: Option<&str>) -> Result<BansResponse, Error> {
                $calls(self).bans(from, next).await
            }

            /// Mutes another user, for this time or for good; answers whom this one mutes.
            pub async fn mute_user(&self, user: &str, time: Option<Duration>) -> Result<Vec<Mute>, Error> {
                $calls(self).mute(user, time).await
            }

            /// Hears another user again.
            pub async fn unmute_user(&self, user: &str) -> Result<Vec<Mute>, Error> {
                $calls(self).unmute(user).await
            }

            /// Whom this user mutes.
            pub async fn mutes(&self) -> Result<Vec<Mute>, Error> {
                $calls(self).mutes().await
            }

            /// Blocks another user: nothing is sent between the two any more. Answers whom this one blocks.
            pub async fn block_user(&self, user: &str) -> Result<Vec<Block>, Error> {
                $calls(self).block(user).await
            }

            /// Takes a block back.
            pub async fn unblock_user(&self, user: &str) -> Result<Vec<Block>, Error> {
                $calls(self).unblock(user).await
            }

            /// Whom this user blocks.
            pub async fn blocks(&self) -> Result<Vec<Block>, Error> {
                $calls(self).blocks().await
            }

            /// Tells the moderators of a user; again is the same.
            pub async fn flag_user(&self, user: &str, reason: Option<&str>) -> Result<Flag, Error> {
                $calls(self).flag(&of_user(user, reason)?).await
            }

            /// Tells the moderators of a message; again is the same.
            pub async fn flag_message(
                &self,
                cid: &Cid,
                id: &MessageId,
                reason: Option<&str>,
            ) -> Result<Flag, Error> {
                $calls(self).flag(&of_message(cid, id, reason)).await
            }

            /// A page of what was flagged, the latest first: in one channel, or all. For those who moderate.
            pub async fn flags(&self, of: Option<&Cid>, next: Option<&str>) -> Result<FlagsResponse, Error> {
                $calls(self).flags(of, next).await
            }
        }
    };
}

moderation_of_a_user!(Client, Client::calls);
moderation_of_a_user!(ActingUser, |user: &ActingUser| user.calls.clone());

impl ServerClient {
    /// Bans a user from the app or from a channel. From the app: when this returns, the user hears nothing more.
    ///
    /// ```no_run
    /// # async fn run(server: parlour_client::ServerClient) -> Result<(), parlour_client::Error> {
    /// use parlour_client::wire::moderation::BanUser;
    /// let ban = BanUser { reason: Some("spam".to_owned()), duration_s: Some(86_400), ..BanUser::default() };
    /// server.ban_user("mallory", &ban).await?;
    /// # Ok(()) }
    /// ```
    pub async fn ban_user(&self, user: &str, ban: &BanUser) -> Result<Ban, Error> {
        self.calls.ban(user, ban).await
    }

    /// Lifts a ban from a channel, or from the app.
    pub async fn unban_user(&self, user: &str, from: Option<&Cid>) -> Result<(), Error> {
        self.calls.lift_ban(user, from).await
    }

    /// A page of the bans in force, the latest first: from one channel, or all.
    pub async fn bans(&self, from: Option<&Cid>, next: Option<&str>) -> Result<BansResponse, Error> {
        self.calls.bans(from, next).await
    }

    /// A page of what was flagged, the latest first: in one channel, or all.
    pub async fn flags(&self, of: Option<&Cid>, next: Option<&str>) -> Result<FlagsResponse, Error> {
        self.calls.flags(of, next).await
    }
}

impl ActingChannel {
    /// Makes a member a moderator or an owner, or an ordinary one again.
    pub async fn change_role(&self, user: &str, channel_role: ChannelRole) -> Result<Member, Error> {
        let path = format!("{}/members/{}", channel_path(self.cid()), UserId::parse(user)?);
        let answer: MemberResponse =
            self.calls.call(Method::PATCH, &path, Some(&UpdateMember { channel_role })).await?;
        Ok(answer.member)
    }
}
