//! Bans, shadows, mutes, blocks and flags.

use parlour_store::{
    Audience, BanKind, BanQuery, BansOf, Committed, Connect, Deletion, Flagged, NewBan, NewFlag, NewMessage,
    Page, Requires, Restriction, StoreError, Wanted,
};
use parlour_wire::Event;
use parlour_wire::members::ChannelRole;
use parlour_wire::messages::EditMessage;
use parlour_wire::moderation::{Ban, Flag};

use crate::kit::{
    Kit, assert_err, at, channel_topic, cid, event, lines, message_id, user, user_topic, users,
};

const GENERAL: &str = "messaging:general";

impl Kit {
    async fn bans(
        &self,
        who: &str,
        from: Option<&str>,
        kind: BanKind,
        ends_ms: Option<i64>,
    ) -> Committed<Ban> {
        let restriction = Restriction { kind, ends_at: ends_ms.map(at), reason: Some("spam".to_owned()) };
        let ban = NewBan {
            app: self.app,
            user: user(who),
            cid: from.map(cid),
            restriction,
            banned_by: Some(user("alice")),
            now: at(0),
        };
        self.store.ban(ban).await.unwrap()
    }

    /// A send by somebody who must be a member, at this time.
    async fn tries(&self, who: &str, id: &str, ms: i64) -> Result<parlour_store::Sent, StoreError> {
        let message = NewMessage { now: at(ms), ..self.message(GENERAL, who, id, id) };
        Ok(self.store.send_message(message).await?.value)
    }

    /// The texts that somebody finds in the channel; `None` is a server.
    async fn finds(&self, viewer: Option<&str>) -> Vec<String> {
        let viewer = viewer.map(user);
        let page =
            self.store.messages(self.app, &cid(GENERAL), Page::Latest, 10, 0, viewer.as_ref()).await.unwrap();
        page.messages.into_iter().map(|message| message.text).collect()
    }

    async fn listed(&self, of: BansOf, viewer: Option<&str>, ms: i64) -> Vec<String> {
        let (mut before, mut names) = (None, Vec::new());
        loop {
            let query = BanQuery {
                app: self.app,
                of: of.clone(),
                user: None,
                viewer: viewer.map(user),
                before,
                limit: 2,
                now: at(ms),
            };
            let (bans, next) = self.store.bans(query).await.unwrap();
            names.extend(bans.iter().map(|ban| ban.user.id.to_string()));
            match next {
                Some(place) => before = Some(place),
                None => return names,
            }
        }
    }

    async fn flags(&self, who: &str, flagged: Flagged, reason: &str) -> Flag {
        let (app, reporter, reason) = (self.app, user(who), Some(reason.to_owned()));
        self.store.flag(NewFlag { app, reporter, flagged, reason, now: at(0) }).await.unwrap().value
    }
}

fn banned_until(ms: Option<i64>) -> StoreError {
    StoreError::Banned { ends_at: ms.map(at), reason: Some("spam".to_owned()) }
}

pub(crate) async fn a_ban_holds_until_its_time_or_until_it_is_lifted_f2_27_f2_29(kit: Kit) {
    kit.has_users(&["alice", "bob"]).await;
    let ban = kit.bans("bob", None, BanKind::Open, Some(1_000)).await;
    assert_eq!(lines(&ban.events), ["user:bob 1 user.banned"]);
    let Event::UserBanned { cid: None, reason: Some(reason), ends_at: Some(ends_at), .. } =
        event(&ban.events[0])
    else {
        panic!("{:?}", ban.events)
    };
    assert_eq!((reason.as_str(), *ends_at), ("spam", at(1_000)));
    assert_eq!(ban.value.banned_by.unwrap().id, user("alice"));
    let connects = async |ms| kit.store.connect(Connect { now: at(ms), ..kit.connect("bob") }).await;
    assert_err(connects(999).await, banned_until(Some(1_000)));
    assert_eq!(
        kit.store.monthly_active_users(kit.app, "2026-11").await.unwrap(),
        0,
        "the refused count as nothing"
    );
    connects(1_000).await.expect("nobody had to clear anything away");

    // Another one takes its place, and is lifted.
    kit.bans("bob", None, BanKind::Open, None).await;
    assert_err(connects(1_000_000_000).await, banned_until(None));
    let lifted = kit.store.lift_ban(kit.app, &user("bob"), None, at(2)).await.unwrap();
    assert_eq!((lifted.value, lines(&lifted.events)), (true, vec!["user:bob 3 user.unbanned".to_owned()]));
    connects(3).await.unwrap();
    let again = kit.store.lift_ban(kit.app, &user("bob"), None, at(2)).await.unwrap();
    assert_eq!((again.value, again.events.len()), (false, 0));
    let standing = kit.store.standing(kit.app, &user("bob")).await.unwrap();
    assert_eq!(standing.ban, None);
    // What was told of it is told without what was said in it.
    let Event::UserBanned { reason: None, .. } = event(&kit.events(&user_topic("bob"), 0).await[0]) else {
        panic!("the reason outlived the ban")
    };
}

pub(crate) async fn who_is_banned_from_a_channel_says_nothing_in_it_f2_28(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    kit.has_channel("messaging:other", &["alice", "bob"]).await;
    kit.bans("bob", Some(GENERAL), BanKind::Open, Some(1_000)).await;
    let access = kit.store.channel_access(kit.app, &cid(GENERAL), Some(&user("bob"))).await.unwrap().unwrap();
    assert!(access.standing.ban.unwrap().holds(at(999)));
    assert_eq!(kit.store.standing(kit.app, &user("bob")).await.unwrap().ban, None, "he is not from the app");
    let refused = StoreError::BannedFromChannel;
    assert_err(kit.tries("bob", "m1", 999).await, refused.clone());
    let open = NewMessage { requires: Requires::Welcome, ..kit.message(GENERAL, "bob", "m1", "hi") };
    assert_err(kit.store.send_message(open.clone()).await, refused);
    kit.sends("messaging:other", "bob", "m2").await;
    kit.tries("bob", "m1", 1_000).await.unwrap();
    // A server may.
    kit.bans("bob", Some(GENERAL), BanKind::Open, None).await;
    let server = NewMessage { requires: Requires::Channel, id: message_id("m3"), ..open };
    kit.store.send_message(server).await.unwrap();
    // A channel that is made again begins with nobody banned.
    kit.store.delete_channel(kit.app, &cid(GENERAL), at(0)).await.unwrap();
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    kit.tries("bob", "m4", 1).await.unwrap();
}

pub(crate) async fn what_the_shadow_banned_says_is_its_own_on_every_path_f2_30(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    kit.sends(GENERAL, "alice", "before").await;
    let ban = kit.bans("bob", None, BanKind::Shadow, None).await;
    assert_eq!(ban.events, [], "nothing tells of it");
    kit.store.connect(kit.connect("bob")).await.expect("it connects as ever");
    let before = kit.store.channel_state(kit.app, &cid(GENERAL), Some(&user("alice")), 10).await.unwrap();

    let sent = kit.store.send_message(kit.message(GENERAL, "bob", "m1", "psst")).await.unwrap();
    assert_eq!(lines(&sent.events), ["channel:messaging:general 5 placeholder", "user:bob 2 message.new"]);
    let Event::MessageNew { cid: in_channel, message, .. } = event(&sent.events[1]) else {
        panic!("{sent:?}")
    };
    assert_eq!((in_channel.to_string().as_str(), message.seq, message.shadowed), (GENERAL, 5, false));
    let again = kit.store.send_message(kit.message(GENERAL, "bob", "m1", "psst")).await.unwrap();
    assert_eq!(again.value, parlour_store::Sent::Before(message.clone()));

    // Pages, states, single messages.
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(kit.finds(Some("bob")).await, texts(&["alice says before", "psst"]));
    assert_eq!(kit.finds(Some("alice")).await, texts(&["alice says before"]));
    assert_eq!(kit.finds(None).await, texts(&["alice says before", "psst"]));
    let one = async |viewer: Option<&str>| {
        let viewer = viewer.map(user);
        kit.store.message(kit.app, &cid(GENERAL), &message_id("m1"), viewer.as_ref()).await
    };
    assert_err(one(Some("alice")).await, StoreError::NotFound);
    assert!(one(None).await.unwrap().shadowed && !one(Some("bob")).await.unwrap().shadowed);
    let after = kit.store.channel_state(kit.app, &cid(GENERAL), Some(&user("alice")), 10).await.unwrap();
    assert_eq!(
        (after.messages, after.channel, after.unread.map(|unread| unread.unread_messages)),
        (before.messages, before.channel, Some(0)),
        "nothing has happened"
    );
    let page = kit.store.messages(kit.app, &cid(GENERAL), Page::Before(5), 10, 0, Some(&user("alice"))).await;
    assert!(!page.unwrap().has_more_after, "not even that there is something");
    let state = kit.store.channel_state(kit.app, &cid(GENERAL), Some(&user("bob")), 10).await.unwrap();
    assert_eq!(state.messages.len(), 2, "after a reload, too");
    // Counts and positions.
    assert_eq!(kit.unread("alice").await, 0);
    let connected = kit.store.connect(kit.connect("alice")).await.unwrap().value;
    assert_eq!(connected.me.total_unread_count, 0);
    let found = kit.store.mark_unread(kit.app, &cid(GENERAL), &user("alice"), &message_id("m1"), at(0)).await;
    assert_err(found, StoreError::NotFound);
    // Edits, deletions, replays.
    let edit = EditMessage { text: Some("pssst".to_owned()), ..EditMessage::default() };
    let edited = kit.edits(GENERAL, "m1", edit).await.unwrap();
    assert_eq!(lines(&edited.events), ["user:bob 3 message.updated"]);
    let deleted = kit.deletes(GENERAL, "m1", Deletion::Soft).await.unwrap();
    assert_eq!(lines(&deleted.events), ["user:bob 4 message.deleted"]);
    kit.deletes(GENERAL, "m1", Deletion::Hard).await.unwrap();
    let replayed = kit.events(&channel_topic(GENERAL), 4).await;
    assert_eq!(lines(&replayed), ["channel:messaging:general 5 placeholder"]);
    let own = kit.events(&user_topic("bob"), 1).await;
    assert!(
        own.iter().all(|logged| matches!(event(logged), Event::MessageDeleted { hard: true, .. })),
        "{own:?}"
    );

    // When it is over, what is said then is heard, and what was said stays where it was.
    kit.store.send_message(kit.message(GENERAL, "bob", "m2", "still nobody")).await.unwrap();
    assert!(kit.store.lift_ban(kit.app, &user("bob"), None, at(0)).await.unwrap().events.is_empty());
    kit.sends(GENERAL, "bob", "m3").await;
    assert_eq!(kit.finds(Some("alice")).await, texts(&["alice says before", "bob says m3"]));
}

pub(crate) async fn what_the_shadow_banned_edits_changes_for_itself_f2_30(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    kit.sends(GENERAL, "bob", "m1").await;
    let edits = async |text: &str, audience| {
        let edit = EditMessage { text: Some(text.to_owned()), ..EditMessage::default() };
        kit.store
            .edit_message(kit.app, &cid(GENERAL), &message_id("m1"), edit, audience, at(1))
            .await
            .unwrap()
    };
    let edited = edits("buy this", Audience::Sender).await;
    assert_eq!(edited.value.text, "buy this");
    assert_eq!(lines(&edited.events), ["user:bob 2 message.updated"]);
    assert_eq!(kit.finds(Some("bob")).await, ["buy this"]);
    assert_eq!(kit.finds(Some("alice")).await, ["bob says m1"]);
    let replayed = kit.events(&channel_topic(GENERAL), 0).await;
    assert!(!format!("{replayed:?}").contains("buy this"), "{replayed:?}");
    // The next edit goes on from what its author sees.
    let again = edits("buy this", Audience::Sender).await;
    assert_eq!(again.events, [], "nothing changed for the only one who sees it");
    edits("sorry", Audience::Everybody).await;
    assert_eq!(
        (kit.finds(Some("bob")).await, kit.finds(Some("alice")).await),
        (vec!["sorry".to_owned()], vec!["sorry".to_owned()])
    );
}

pub(crate) async fn bans_are_listed_while_they_hold_and_paged_f2_29(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob", "carol", "dave"]).await;
    for who in ["bob", "carol", "dave"] {
        kit.bans(who, Some(GENERAL), BanKind::Open, None).await;
    }
    kit.bans("bob", None, BanKind::Shadow, Some(1_000)).await;
    kit.bans("carol", Some(GENERAL), BanKind::Open, Some(500)).await;
    assert_eq!(kit.listed(BansOf::Everything, None, 1).await, ["carol", "bob", "dave", "bob"]);
    assert_eq!(
        kit.listed(BansOf::Everything, Some("bob"), 1).await,
        ["carol", "dave", "bob"],
        "not its own shadow"
    );
    assert_eq!(kit.listed(BansOf::Everything, None, 600).await, ["bob", "dave", "bob"]);
    assert_eq!(kit.listed(BansOf::Everything, None, 1_000).await, ["dave", "bob"]);
    assert_eq!(kit.listed(BansOf::Channel(cid(GENERAL)), None, 1).await, ["carol", "dave", "bob"]);
    let other = kit.other_app("second").await;
    assert!(other.listed(BansOf::Everything, None, 1).await.is_empty());
}

pub(crate) async fn mutes_end_by_the_clock_and_are_told_to_ones_own_devices_f2_31(kit: Kit) {
    kit.has_users(&["alice", "bob", "carol"]).await;
    let mutes = async |whom: &str, wanted, ms| {
        kit.store.mute(kit.app, &user("alice"), &user(whom), wanted, at(ms)).await.unwrap()
    };
    let muted = mutes("bob", Wanted::No { ends_at: Some(at(1_000)) }, 0).await;
    assert_eq!(lines(&muted.events), ["user:alice 1 notification.mutes_updated"]);
    assert_eq!(
        mutes("bob", Wanted::No { ends_at: Some(at(1_000)) }, 1).await.events,
        [],
        "it is muted already"
    );
    mutes("carol", Wanted::No { ends_at: None }, 2).await;
    let me = async |ms| kit.store.me(kit.app, &user("alice"), at(ms)).await.unwrap().unwrap().mutes;
    assert_eq!(me(999).await, users(&["carol", "bob"]));
    assert_eq!(me(1_000).await, users(&["carol"]));
    let connected = kit.store.connect(Connect { now: at(5), ..kit.connect("alice") }).await.unwrap().value;
    assert_eq!(connected.me.mutes, users(&["carol", "bob"]));
    assert_eq!(mutes("carol", Wanted::Again, 6).await.value.len(), 1);
    assert_eq!(mutes("carol", Wanted::Again, 7).await.events, []);
    assert_eq!(kit.store.mutes(kit.app, &user("bob"), at(0)).await.unwrap(), [], "it goes one way");
    let ghost =
        kit.store.mute(kit.app, &user("alice"), &user("ghost"), Wanted::No { ends_at: None }, at(0)).await;
    assert_err(ghost, StoreError::UnknownUsers(users(&["ghost"])));
}

pub(crate) async fn a_block_stands_between_two_in_both_directions_f2_32(kit: Kit) {
    // The name of a channel that is made by its members.
    const DIRECT: &str = "messaging:!members-1";
    kit.has_channel(DIRECT, &["alice", "bob"]).await;
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    let is_blocked = async |channel: &str, who: &str| {
        let access = kit.store.channel_access(kit.app, &cid(channel), Some(&user(who))).await.unwrap();
        access.unwrap().standing.is_blocked
    };
    assert!(!is_blocked(DIRECT, "alice").await && !is_blocked(DIRECT, "bob").await);
    let blocks = async |wanted| {
        kit.store.block(kit.app, &user("alice"), &user("bob"), wanted, at(0)).await.unwrap().value.len()
    };
    assert_eq!(blocks(Wanted::No { ends_at: None }).await, 1);
    assert_eq!(blocks(Wanted::No { ends_at: None }).await, 1);
    assert!(is_blocked(DIRECT, "alice").await && is_blocked(DIRECT, "bob").await);
    assert!(!is_blocked(GENERAL, "bob").await, "others are there, too");
    for who in ["alice", "bob"] {
        assert_eq!(
            kit.store.friends(kit.app, &user(who)).await.unwrap(),
            [],
            "nor is either shown to the other"
        );
    }
    assert!(kit.store.is_block_between(kit.app, &user("bob"), &user("alice")).await.unwrap());
    assert_eq!(kit.store.blocks(kit.app, &user("bob")).await.unwrap(), []);
    assert_eq!(blocks(Wanted::Again).await, 0);
    assert!(!is_blocked(DIRECT, "bob").await);
}

pub(crate) async fn the_same_reporter_flags_the_same_once_f2_33(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob", "carol"]).await;
    kit.sends(GENERAL, "bob", "m1").await;
    let message = || Flagged::Message { cid: cid(GENERAL), id: message_id("m1") };
    let flag = kit.flags("alice", message(), "rude").await;
    assert_eq!((flag.user.id.as_str(), flag.reason.as_deref()), ("bob", Some("rude")));
    assert_eq!(kit.flags("alice", message(), "very rude").await.reason.as_deref(), Some("rude"));
    kit.flags("carol", message(), "rude").await;
    kit.flags("alice", Flagged::User(user("bob")), "a bot").await;
    let listed = async |of: Option<&str>| {
        let of = of.map(cid);
        let (first, next) = kit.store.flags(kit.app, of.as_ref(), None, 2).await.unwrap();
        let (rest, none) = match next {
            Some(next) => kit.store.flags(kit.app, of.as_ref(), Some(next), 2).await.unwrap(),
            None => (Vec::new(), None),
        };
        assert_eq!(none, None);
        [first, rest].concat()
    };
    let all = listed(None).await;
    let reporters: Vec<_> = all.iter().map(|flag| flag.reporter.id.as_str()).collect();
    assert_eq!(reporters, ["alice", "carol", "alice"], "the latest first");
    assert_eq!(
        (all[0].message_id.as_ref(), all[1].message.as_ref().unwrap().text.as_str()),
        (None, "bob says m1")
    );
    assert_eq!(listed(Some(GENERAL)).await.len(), 2);
    kit.deletes(GENERAL, "m1", Deletion::Hard).await.unwrap();
    assert_eq!(listed(Some(GENERAL)).await[0].message, None, "the flag outlives what it is about");
    let nothing = Flagged::Message { cid: cid(GENERAL), id: message_id("no") };
    let (app, reporter) = (kit.app, user("alice"));
    let flag = NewFlag { app, reporter, flagged: nothing, reason: None, now: at(0) };
    assert_err(kit.store.flag(flag).await, StoreError::NotFound);
}

pub(crate) async fn a_members_role_changes_once(kit: Kit) {
    kit.has_channel(GENERAL, &["alice", "bob"]).await;
    let makes = async |who: &str, role| {
        kit.store.change_member_role(kit.app, &cid(GENERAL), &user(who), role, at(0)).await
    };
    let made = makes("bob", ChannelRole::Moderator).await.unwrap();
    assert_eq!(made.value.channel_role, ChannelRole::Moderator);
    assert_eq!(lines(&made.events), ["channel:messaging:general 4 member.updated"]);
    assert_eq!(makes("bob", ChannelRole::Moderator).await.unwrap().events, []);
    assert_err(makes("carol", ChannelRole::Moderator).await, StoreError::NotMember);
}
