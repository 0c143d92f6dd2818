//! Bans, shadows, mutes, blocks, flags: what everybody sees of them, and what nobody does.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::{GENERAL, Live, Person, TestServer, at, kinds};
use crate::simulated::World;

const TOPIC: &str = "channel:messaging:general";

impl Person {
    async fn bans(&self, user: &str, how: Value) -> Value {
        self.post(&format!("/v1/users/{user}/ban"), how).await.ok()["ban"].clone()
    }

    async fn lifts(&self, user: &str, query: &str) {
        self.delete(&format!("/v1/users/{user}/ban{query}")).await.ok_with(204);
    }

    /// The texts that it finds in the channel.
    async fn finds(&self, cid: &str) -> Vec<String> {
        let page = self.get(&at(&format!("{cid}/messages"))).await.ok();
        let messages = page["messages"].as_array().unwrap().iter();
        messages.map(|message| message["text"].as_str().unwrap().to_owned()).collect()
    }
}

/// Alice owns the channel; bob and carol are members.
async fn three() -> (TestServer, Person, Person, Person) {
    let server = TestServer::with_users(&["alice", "bob", "carol"]).await;
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    alice.makes(GENERAL, &["bob", "carol"]).await;
    (server, alice, bob, carol)
}

async fn types(live: &mut Live) {
    live.says(&json!({"type": "signal", "topic": TOPIC, "signal": {"type": "typing.start"}})).await;
}

#[tokio::test]
async fn a_ban_from_the_app_closes_every_connection_and_every_door_f2_27_l7_10() {
    let (server, alice, bob, _) = three().await;
    let (mut phone, mut laptop) = (bob.connects().await, bob.connects().await);
    let mut stream = bob.streams_with(json!({"client": {"instance": "tab", "version": 1}})).await;
    let mut alices = alice.connects().await;
    let ban = server.backend().bans("bob", json!({"reason": "spam", "duration_s": 3_600})).await;
    assert_eq!((&ban["user"]["id"], &ban["reason"]), (&json!("bob"), &json!("spam")));
    for live in [&mut phone, &mut laptop] {
        let (frames, code) = live.until_closed().await;
        assert_eq!(code, Some(4003), "{frames:?}");
        assert!(json!(frames).to_string().contains("spam"), "it is told why: {frames:?}");
    }
    assert!(json!(stream.until_over().await).to_string().contains("4003"));
    let (error, code) = bob.is_refused(&bob.hello()).await;
    assert_eq!((&error["code"], code), (&json!("user_banned"), 4003));
    assert!(error["message"].as_str().unwrap().contains("Reason: spam"), "{error}");
    bob.get("/v1/me").await.refused("user_banned");
    bob.sends_as(GENERAL, "m1", "hello").await.refused("user_banned");
    bob.get(&at("messaging:never-made")).await.refused("user_banned");
    // Nobody else is told.
    assert!(!kinds(&alices.settles().await).contains(&"user.banned"));

    server.backend().lifts("bob", "").await;
    let mut back = bob.connects().await;
    bob.sends(GENERAL, "back again").await;
    back.hears_text("back again").await;
}

#[tokio::test]
async fn who_is_banned_hears_why_when_it_comes_back_f2_29() {
    let (server, alice, bob, _) = three().await;
    let live = bob.connects().await;
    let resume = json!({
        "epoch": live.ready["epoch"], "as_of": live.ready["as_of"], "cursors": live.ready["heads"],
    });
    live.breaks();
    server.backend().bans("bob", json!({"cid": GENERAL, "reason": "rude"})).await;
    let mut live = bob.connects_with(json!({ "resume": resume })).await;
    let told = live.hears("user.banned").await;
    assert_eq!((&told["topic"], &told["event"]["cid"]), (&json!("user:bob"), &json!(GENERAL)));
    assert_eq!(told["event"]["reason"], "rude");
    alice.lifts("bob", "?cid=messaging:general").await;
    assert_eq!(live.hears("user.unbanned").await["event"]["cid"], GENERAL);
}

#[tokio::test]
async fn who_is_banned_from_a_channel_reads_and_says_nothing_f2_28() {
    let (_server, alice, bob, carol) = three().await;
    bob.sends_as(GENERAL, "bobs", "mine").await.ok();
    let mut bobs = bob.connects().await;
    let mut alices = alice.connects().await;
    alice.bans("bob", json!({"cid": GENERAL})).await;
    bobs.hears("user.banned").await;
    let messages = at("messaging:general/messages");
    bob.sends_as(GENERAL, "m1", "hello").await.refused("banned_from_channel");
    bob.patch(&format!("{messages}/bobs"), json!({"text": "x"})).await.refused("banned_from_channel");
    types(&mut bobs).await;
    bobs.settles().await;
    assert!(!kinds(&alices.settles().await).contains(&"typing.start"));
    // It reads on, live and over HTTP, takes back what it said, and goes where it likes.
    carol.sends(GENERAL, "still here").await;
    bobs.hears_text("still here").await;
    assert_eq!(bob.finds(GENERAL).await, ["mine", "still here"]);
    bob.delete(&format!("{messages}/bobs")).await.ok();
    bob.makes("messaging:elsewhere", &["carol"]).await;
    bob.sends("messaging:elsewhere", "hello").await;
    bob.removes(GENERAL, &["bob"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_ban_ends_by_the_clock_f2_29() {
    let world = World::with_members(&["alice", "bob"]).await;
    let ban = async |body: Value| world.backend("POST", "/v1/users/bob/ban", body).await.0;
    assert_eq!(ban(json!({"duration_s": 60})).await, 200);
    assert_eq!(ban(json!({"cid": GENERAL, "duration_s": 120})).await, 200);
    for bad in
        [json!({"duration_s": 0}), json!({"duration_s": 315_360_001}), json!({"reason": "x".repeat(501)})]
    {
        assert_eq!(ban(bad).await, 400);
    }
    let sends = async || {
        let message = json!({"message": {"text": "hi"}});
        world.asks("bob", "POST", "/v1/channels/messaging/general/messages", message).await
    };
    let code = |answer: (u16, Value)| answer.1["error"]["code"].as_str().unwrap_or("ok").to_owned();
    tokio::time::advance(Duration::from_millis(59_999)).await;
    assert_eq!(code(sends().await), "user_banned");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(code(sends().await), "banned_from_channel");
    world.connects("bob").await;
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(code(sends().await), "ok");
    let listed = world.backend("GET", "/v1/bans", Value::Null).await.1;
    assert_eq!(listed["bans"], json!([]), "what is over is not listed");
}

#[tokio::test]
async fn nobody_bans_whoever_stands_as_high_f2_27() {
    let (server, alice, bob, _) = three().await;
    let users = json!([
        {"id": "mo", "role": "moderator"}, {"id": "ma", "role": "moderator"}, {"id": "ada", "role": "admin"},
    ]);
    server.backend().post("/v1/users", json!({ "users": users })).await.ok();
    let (mo, ada) = (server.user("mo"), server.user("ada"));
    let ban = async |who: &Person, whom: &str, how: Value| {
        let answer = who.post(&format!("/v1/users/{whom}/ban"), how).await;
        if answer.status == 200 {
            "ok".to_owned()
        } else {
            answer.json()["error"]["code"].as_str().unwrap().to_owned()
        }
    };
    let from_general = || json!({ "cid": GENERAL });
    alice.patch(&at("messaging:general/members/bob"), json!({"channel_role": "moderator"})).await.ok();
    for (who, whom, how, comes) in [
        (&bob, "carol", json!({}), "not_allowed"),
        (&mo, "ma", json!({}), "not_allowed"),
        (&mo, "mo", json!({}), "not_allowed"),
        (&mo, "ada", json!({}), "not_allowed"),
        (&bob, "alice", from_general(), "not_allowed"),
        (&bob, "bob", from_general(), "not_allowed"),
        (&bob, "carol", from_general(), "ok"),
        (&alice, "bob", from_general(), "ok"),
        (&alice, "mo", from_general(), "not_allowed"),
        (&mo, "alice", json!({}), "ok"),
        (&ada, "mo", json!({}), "ok"),
        (&ada, "ghost", json!({}), "invalid_input"),
    ] {
        assert_eq!(ban(who, whom, how).await, comes, "{} bans {whom}", who.id);
    }
    let listed = ada.get("/v1/bans?limit=3").await.ok();
    let names = |page: &Value| -> Vec<String> {
        let bans = page["bans"].as_array().unwrap().iter();
        bans.map(|ban| {
            format!("{} by {}", ban["user"]["id"].as_str().unwrap(), ban["banned_by"]["id"].as_str().unwrap())
        })
        .collect()
    };
    assert_eq!(names(&listed), ["mo by ada", "alice by mo", "bob by alice"]);
    let next = listed["next"].as_str().unwrap();
    let rest = ada.get(&format!("/v1/bans?limit=3&next={next}")).await.ok();
    assert_eq!((names(&rest), &rest["next"]), (vec!["carol by bob".to_owned()], &Value::Null));
    for query in ["limit=0", "limit=101", "next=x", "page=1"] {
        ada.get(&format!("/v1/bans?{query}")).await.refused("invalid_input");
    }
}

#[tokio::test]
async fn the_shadow_banned_notices_nothing_and_nobody_notices_it_f2_30() {
    let (server, alice, bob, carol) = three().await;
    let mut bobs = bob.connects().await;
    let mut phone = bob.connects().await;
    let mut alices = alice.connects().await;
    let heads = json!({
        "epoch": alices.ready["epoch"], "as_of": alices.ready["as_of"], "cursors": alices.ready["heads"],
    });
    server.backend().bans("bob", json!({"shadow": true, "reason": "troll"})).await;
    assert_eq!((bobs.settles().await, phone.settles().await), (vec![], vec![]));

    let sent = bob.sends(GENERAL, "hello there").await;
    assert_eq!((&sent["text"], sent.get("shadowed")), (&json!("hello there"), None));
    let own = phone.hears("message.new").await;
    assert_eq!(
        (&own["event"]["message"], own["event"]["cid"].as_str()),
        (&sent, Some(GENERAL)),
        "on all devices"
    );
    bobs.hears("message.new").await;
    types(&mut bobs).await;
    bobs.settles().await;
    let edited = at(&format!("messaging:general/messages/{}", sent["id"].as_str().unwrap()));
    bob.patch(&edited, json!({"text": "hello there!"})).await.ok();
    phone.hears("message.updated").await;
    assert_eq!(bob.finds(GENERAL).await, ["hello there!"], "after a reload, too");

    // Whatever alice asks and hears, it holds nothing of it.
    let nothing_of = |what: &str, heard: &Value| {
        let text = heard.to_string();
        assert!(
            !text.contains("hello there") && !text.contains("troll") && !text.contains("typing"),
            "{what}: {text}"
        );
    };
    nothing_of("live", &json!(alices.settles().await));
    let mut again = alice.connects_with(json!({ "resume": heads })).await;
    nothing_of("ready", &again.ready);
    nothing_of("a replay", &json!(again.settles().await));
    again.says(&json!({"type": "watch", "topics": [{"topic": TOPIC, "after": 0}]})).await;
    nothing_of("another replay", &json!(again.settles().await));
    alice.get(&edited).await.refused("not_found");
    alice.delete(&edited).await.refused("not_found");
    let around = format!("messaging:general/messages?around_id={}", sent["id"].as_str().unwrap());
    alice.get(&at(&around)).await.refused("not_found");
    for path in [
        at(GENERAL),
        at("messaging:general/messages"),
        at("messaging:general/members"),
        "/v1/unread".to_owned(),
        "/v1/users?ids=bob".to_owned(),
    ] {
        nothing_of(&path, &alice.get(&path).await.ok());
    }
    nothing_of("channels", &alice.post("/v1/channels", json!({})).await.ok());
    assert_eq!(alice.get("/v1/unread").await.ok()["total_unread_count"], 0);
    assert_eq!(alice.get(&at(GENERAL)).await.ok()["channel"]["last_message_at"], Value::Null);

    // Nor does bob find out: not from his own user, nor from lists.
    for path in ["/v1/me", "/v1/users?ids=bob"] {
        let seen = bob.get(path).await.ok().to_string();
        assert!(!seen.contains("shadow") && !seen.contains("banned"), "{seen}");
    }
    assert_eq!(bob.get(&at(GENERAL)).await.ok()["channel"]["last_message_at"], sent["created_at"]);
    // A server sees what it is.
    let seen = server.backend().get(&edited).await.ok();
    assert_eq!(seen["message"]["shadowed"], true);

    server.backend().lifts("bob", "").await;
    bob.sends(GENERAL, "so quiet here").await;
    alices.hears_text("so quiet here").await;
    assert_eq!(carol.finds(GENERAL).await, ["so quiet here"]);
    assert_eq!(bob.finds(GENERAL).await.len(), 2);
}

#[tokio::test]
async fn a_moderator_who_is_shadow_banned_does_not_find_itself_listed_f2_30() {
    let (server, alice, bob, _) = three().await;
    alice.patch(&at("messaging:general/members/bob"), json!({"channel_role": "moderator"})).await.ok();
    alice.bans("bob", json!({"cid": GENERAL, "shadow": true})).await;
    assert_eq!(bob.get("/v1/bans?cid=messaging:general").await.ok()["bans"], json!([]));
    bob.delete("/v1/users/bob/ban?cid=messaging:general").await.refused("not_allowed");
    assert_eq!(server.backend().get("/v1/bans").await.ok()["bans"][0]["shadow"], true);
}

#[tokio::test]
async fn a_mute_is_ones_own_and_told_to_ones_devices_f2_31() {
    let (_server, alice, bob, _) = three().await;
    let mut phone = alice.connects().await;
    let mut bobs = bob.connects().await;
    alice.post("/v1/mutes", json!({"user_id": "bob", "duration_s": 3_600})).await.ok();
    let told = phone.hears("notification.mutes_updated").await;
    assert_eq!(
        (&told["topic"], &told["event"]["mutes"][0]["user"]["id"]),
        (&json!("user:alice"), &json!("bob"))
    );
    alice.post("/v1/mutes", json!({"user_id": "carol"})).await.ok();
    let muted = |me: &Value| -> BTreeSet<String> {
        let mutes = me["mutes"].as_array().unwrap().iter();
        mutes.map(|user| user.as_str().unwrap().to_owned()).collect()
    };
    let both = BTreeSet::from(["bob".to_owned(), "carol".to_owned()]);
    assert_eq!(muted(&alice.get("/v1/me").await.ok()["me"]), both);
    assert_eq!(muted(&alice.connects().await.ready["me"]), both);
    // It keeps nothing from being said, or from counting: what to do with it is the app's affair.
    bob.sends(GENERAL, "hello").await;
    phone.hears_text("hello").await;
    assert_eq!(alice.get("/v1/unread").await.ok()["total_unread_count"], 1);
    assert!(!kinds(&bobs.settles().await).contains(&"notification.mutes_updated"));
    let left = alice.delete("/v1/mutes/bob").await.ok();
    assert_eq!(left["mutes"].as_array().unwrap().len(), 1);
    assert_eq!(alice.get("/v1/mutes").await.ok(), left);
    for bad in
        [json!({"user_id": "alice"}), json!({"user_id": "ghost"}), json!({"user_id": "bob", "duration_s": 0})]
    {
        alice.post("/v1/mutes", bad).await.refused("invalid_input");
    }
}

#[tokio::test]
async fn nothing_is_sent_between_two_of_whom_one_blocked_the_other_f2_32() {
    let (server, alice, bob, carol) = three().await;
    let direct = alice.post("/v1/channels/messaging", json!({"members": ["bob"]})).await.ok_with(201);
    let cid = direct["channel"]["cid"].as_str().unwrap().to_owned();
    let mut alices = alice.connects().await;
    let mut bobs = bob.connects().await;
    let blocked = alice.post("/v1/blocks", json!({"user_id": "bob"})).await.ok();
    assert_eq!(blocked["blocks"][0]["user"]["id"], "bob");
    for (who, other) in [(&alice, &mut bobs), (&bob, &mut alices)] {
        who.sends_as(&cid, &format!("m-{}", who.id), "hello").await.refused("blocked");
        assert!(!kinds(&other.settles().await).contains(&"message.new"));
    }
    let topic = format!("channel:{cid}");
    bobs.says(&json!({"type": "signal", "topic": topic, "signal": {"type": "typing.start"}})).await;
    bobs.settles().await;
    assert!(!kinds(&alices.settles().await).contains(&"typing.start"));
    // Bob is not told, reads what was said, and meets her where others are, too.
    assert_eq!(bob.get("/v1/blocks").await.ok()["blocks"], json!([]));
    bob.get(&at(&cid)).await.ok();
    bob.sends(GENERAL, "hello everybody").await;
    alices.hears_text("hello everybody").await;
    // Nor does anybody find another way to a channel of two.
    carol.post("/v1/blocks", json!({"user_id": "bob"})).await.ok();
    bob.post("/v1/channels/messaging", json!({"members": ["carol"]})).await.refused("blocked");
    carol.post("/v1/channels/messaging", json!({"members": ["bob"]})).await.refused("blocked");
    server
        .backend()
        .acting_as("bob")
        .post("/v1/channels/messaging", json!({"members": ["carol"]}))
        .await
        .ok();
    alice.delete("/v1/blocks/bob").await.ok();
    bob.sends(&cid, "sorry").await;
    alices.hears_text("sorry").await;
}

#[tokio::test]
async fn what_is_flagged_is_listed_for_those_who_moderate_f2_33() {
    let (server, alice, bob, carol) = three().await;
    let mut bobs = bob.connects().await;
    let sent = bob.sends(GENERAL, "rude words").await;
    bobs.hears_text("rude words").await;
    let of_message = json!({"cid": GENERAL, "message_id": sent["id"], "reason": "rude"});
    let flag = carol.post("/v1/flags", of_message.clone()).await.ok();
    assert_eq!((&flag["flag"]["user"]["id"], flag["flag"].get("message")), (&json!("bob"), None));
    assert_eq!(carol.post("/v1/flags", of_message).await.ok(), flag, "once is enough");
    carol.post("/v1/flags", json!({"user_id": "bob"})).await.ok();
    assert_eq!(bobs.settles().await, [Value::Null; 0], "who is flagged is not told");
    let listed = alice.get("/v1/flags?cid=messaging:general").await.ok();
    assert_eq!(listed["flags"][0]["message"]["text"], "rude words");
    assert_eq!(listed["flags"].as_array().unwrap().len(), 1);
    assert_eq!(server.backend().get("/v1/flags").await.ok()["flags"].as_array().unwrap().len(), 2);
    carol.get("/v1/flags?cid=messaging:general").await.refused("not_allowed");
    alice.get("/v1/flags").await.refused("not_allowed");
    for bad in [
        json!({}),
        json!({"user_id": "carol"}),
        json!({"cid": GENERAL}),
        json!({"user_id": "bob", "cid": GENERAL, "message_id": "m"}),
        json!({"user_id": "bob", "reason": "x".repeat(501)}),
    ] {
        carol.post("/v1/flags", bad).await.refused("invalid_input");
    }
    carol.post("/v1/flags", json!({"cid": GENERAL, "message_id": "no"})).await.refused("not_found");
    let other = server.user("alice");
    other.makes("messaging:private", &[]).await;
    let hidden = other.sends("messaging:private", "mine").await;
    let of_hidden = json!({"cid": "messaging:private", "message_id": hidden["id"]});
    carol.post("/v1/flags", of_hidden).await.refused("not_found");
}

#[tokio::test]
async fn a_role_of_the_app_reads_live_what_it_may_read() {
    let (server, alice, _, _) = three().await;
    server.backend().post("/v1/users", json!({"users": [{"id": "mo", "role": "moderator"}]})).await.ok();
    let mo = server.user("mo");
    alice.sends(GENERAL, "first").await;
    let mut live = mo.connects().await;
    live.says(&json!({"type": "watch", "topics": [{"topic": TOPIC, "after": 0}]})).await;
    live.hears_text("first").await;
    alice.sends(GENERAL, "second").await;
    live.hears_text("second").await;
    assert_eq!(live.settles().await, [Value::Null; 0], "and no reset");
    // When the role is taken away, so is what rested on it, at once.
    server.backend().patch("/v1/users/mo", json!({"set": {"role": "user"}})).await.ok();
    alice.sends(GENERAL, "third").await;
    let (heard, code) = live.until_closed().await;
    assert_eq!(code, Some(4203), "it comes back at once");
    assert!(!json!(heard).to_string().contains("third"), "{heard:?}");
    let mut live = mo.connects().await;
    live.says(&json!({"type": "watch", "topics": [{"topic": TOPIC}]})).await;
    assert_eq!(live.hears("error").await["error"]["code"], "not_found");
}
