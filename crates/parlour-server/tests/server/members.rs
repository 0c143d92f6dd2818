//! Members: who comes hears at once, who goes hears nothing more.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::kit::{GENERAL, Heard, TestServer, at, kind};

const TOPIC: &str = "channel:messaging:general";

#[tokio::test]
async fn who_is_added_hears_the_channel_at_once_on_all_her_connections() {
    let server = TestServer::with_users(&["alice", "bob", "carol"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["carol"]).await;
    alice.sends(GENERAL, "before").await;
    let mut lives = [bob.connects().await, bob.connects().await];
    let mut carol = server.user("carol").connects().await;
    let state = alice.adds(GENERAL, &["bob"]).await;
    assert_eq!(state["channel"]["member_count"], 3);
    alice.sends(GENERAL, "after").await;
    for live in &mut lives {
        let added = live.hears("notification.added_to_channel").await;
        assert_eq!((&added["topic"], &added["event"]["cid"]), (&json!("user:bob"), &json!(GENERAL)));
        let member = live.hears("member.added").await;
        assert_eq!((&member["topic"], &member["seq"]), (&json!(TOPIC), &added["event"]["seq"]));
        let message = live.hears("message.new").await;
        assert_eq!(message["event"]["message"]["text"], "after", "what was before is loaded, not told");
        assert_eq!(message["seq"].as_u64().unwrap(), member["seq"].as_u64().unwrap() + 1);
    }
    assert_eq!(carol.hears("member.added").await["event"]["member"]["user_id"], "bob");
    let history = bob.get(&at("messaging:general/messages")).await.ok();
    assert_eq!(history["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn with_hidden_history_one_sees_only_what_comes_after() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &[]).await;
    alice.sends_as(GENERAL, "old", "before").await.ok();
    let add = json!({"add": ["bob"], "hide_history": true});
    alice.post(&at("messaging:general/members"), add).await.ok();
    let mut live = bob.connects().await;
    alice.sends(GENERAL, "after").await;
    let first = live.hears("message.new").await;
    assert_eq!(first["event"]["message"]["text"], "after");

    let state = bob.get(&at(GENERAL)).await.ok();
    let page = bob.get(&at("messaging:general/messages")).await.ok();
    let before = first["seq"].as_u64().unwrap();
    let earlier = bob.get(&at(&format!("messaging:general/messages?before={before}"))).await.ok();
    for messages in [&state["messages"], &page["messages"]] {
        assert_eq!(messages.as_array().unwrap().len(), 1, "{messages}");
        assert_eq!(messages[0]["text"], "after");
    }
    assert_eq!((&earlier["messages"], &earlier["has_more_before"]), (&json!([]), &json!(false)));
    bob.get(&at("messaging:general/messages/old")).await.refused("not_found");
    bob.get(&at("messaging:general/messages?around_id=old")).await.refused("not_found");
    // Nor from the log, however far back a client says that it stands.
    live.says(&json!({"type": "watch", "topics": [{"topic": TOPIC, "after": 0}]})).await;
    let replayed = live.settles().await;
    assert!(!json!(replayed).to_string().contains("before"), "{replayed:?}");
    let resume = json!({"epoch": live.ready["epoch"], "as_of": live.ready["as_of"], "cursors": {TOPIC: 0}});
    let mut again = bob.connects_with(json!({ "resume": resume })).await;
    let replayed = again.settles().await;
    assert!(!json!(replayed).to_string().contains("before"), "{replayed:?}");
    assert!(json!(replayed).to_string().contains("after"), "{replayed:?}");
}

#[tokio::test]
async fn who_leaves_or_is_removed_is_told_and_hears_nothing_more() {
    let server = TestServer::with_users(&["alice", "bob", "carol"]).await;
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    alice.makes(GENERAL, &["bob", "carol"]).await;
    let mut alices = alice.connects().await;
    let mut bobs = bob.connects().await;
    let mut carols = carol.connects().await;
    bob.post(&at("messaging:general/members"), json!({"remove": ["carol"]})).await.refused("not_allowed");
    bob.post(&at("messaging:general/members"), json!({"add": ["carol"]})).await.refused("not_allowed");
    let left = bob.removes(GENERAL, &["bob"]).await;
    assert_eq!((&left["channel"]["member_count"], &left["membership"]), (&json!(2), &Value::Null));
    alice.removes(GENERAL, &["carol"]).await;
    for (live, user) in [(&mut bobs, "bob"), (&mut carols, "carol")] {
        let told = live.hears("notification.removed_from_channel").await;
        assert_eq!(
            (&told["topic"], &told["event"]["cid"]),
            (&json!(format!("user:{user}")), &json!(GENERAL))
        );
        assert_eq!(alices.hears("member.removed").await["event"]["user"]["id"], user);
    }
    alice.sends(GENERAL, "they are gone").await;
    alices.hears("message.new").await;
    assert_eq!((bobs.settles().await, carols.settles().await), (Vec::new(), Vec::new()));
    bob.get(&at(GENERAL)).await.refused("not_found");
    bob.sends_as(GENERAL, "m", "still here").await.refused("not_found");
    bob.removes_is_not_found().await;
}

impl crate::kit::Person {
    async fn removes_is_not_found(&self) {
        let leave = json!({"remove": [self.id]});
        self.post(&at("messaging:general/members"), leave).await.refused("not_found");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_posted_after_the_answer_of_a_removal_reaches_the_removed() {
    const TRIALS: u64 = 200;
    let server = TestServer::with_users(&["alice", "bob", "carol"]).await;
    let (alice, bob, carol) = (server.user("alice"), server.user("bob"), server.user("carol"));
    alice.makes(GENERAL, &["carol"]).await;
    let members = at("messaging:general/members");

    // Odd while Bob may be a member, even while he is none. A message that began and was acknowledged within
    // one even time is one that he must never see.
    let phase = AtomicU64::new(0);
    let forbidden = Mutex::new(BTreeSet::new());
    let sending = async {
        for n in 0_u64.. {
            let before = phase.load(Ordering::SeqCst);
            if before > 2 * TRIALS {
                return n;
            }
            let id = format!("m{n}");
            carol.sends_as(GENERAL, &id, "x").await.ok_with(201);
            if before.is_multiple_of(2) && phase.load(Ordering::SeqCst) == before {
                forbidden.lock().unwrap().insert(id);
            }
        }
        unreachable!("the loop ends with the trials")
    };
    let removing = async {
        let mut resets = 0;
        for trial in 0..TRIALS {
            phase.store(2 * trial + 1, Ordering::SeqCst);
            let add = json!({"add": ["bob"], "hide_history": true});
            let head = alice.post(&members, add).await.ok()["head"].as_u64().unwrap();
            if trial % 2 == 0 {
                // Sometimes he has heard something, sometimes he is gone before.
                alice.sends(GENERAL, "hello bob").await;
            }
            alice.removes(GENERAL, &["bob"]).await;
            phase.store(2 * trial + 2, Ordering::SeqCst);
            let id = format!("after-{trial}");
            alice.sends_as(GENERAL, &id, "he is gone").await.ok_with(201);
            forbidden.lock().unwrap().insert(id);
            if trial % 20 == 0 {
                // Nor by coming back with an old place.
                let mut live = bob.connects().await;
                let resume = json!({
                    "epoch": live.ready["epoch"], "as_of": "2020-01-01T00:00:00.000Z",
                    "cursors": {TOPIC: head.saturating_sub(1)},
                });
                live.leaves().await;
                live = bob.connects_with(json!({ "resume": resume })).await;
                let heard = live.settles().await;
                let reset = heard.iter().find(|frame| frame["type"] == "reset").expect("a reset");
                assert_eq!((&reset["reason"], &reset["head"]), (&json!("no_access"), &json!(0)));
                assert!(
                    heard.iter().all(|frame| frame["topic"] != TOPIC || frame["type"] == "reset"),
                    "{heard:?}"
                );
                live.leaves().await;
                resets += 1;
            }
        }
        phase.store(2 * TRIALS + 1, Ordering::SeqCst);
        resets
    };
    let mut live = bob.connects_with(json!({"client": {"instance": "long", "version": 1}})).await;
    let listening = async {
        let mut heard = BTreeSet::new();
        let mut removals = 0;
        while removals < TRIALS {
            match live.next().await {
                Heard::Frame(frame) => {
                    removals += u64::from(kind(&frame) == "notification.removed_from_channel");
                    if kind(&frame) == "message.new" {
                        heard.insert(frame["event"]["message"]["id"].as_str().unwrap().to_owned());
                    }
                }
                Heard::Closed(code) => panic!("closed with {code:?} after {removals} removals"),
            }
        }
        heard
    };
    let (sent, resets, mut heard) = tokio::join!(sending, removing, listening);
    for frame in live.settles().await {
        assert_ne!(kind(&frame), "message.new", "{frame}");
    }
    let forbidden = forbidden.into_inner().unwrap();
    heard.retain(|id| forbidden.contains(id));
    assert_eq!(heard, BTreeSet::new());
    assert!(forbidden.len() as u64 >= TRIALS && sent > TRIALS && resets == 10, "the trial tried too little");
}

#[tokio::test]
async fn one_call_changes_1_to_100_members() {
    let server = TestServer::start().await;
    let (backend, alice) = (server.backend(), server.user("alice"));
    let ids: Vec<String> = (0..102).map(|n| format!("u{n}")).collect();
    for chunk in ids.chunks(100) {
        let users: Vec<Value> = chunk.iter().map(|id| json!({ "id": id })).collect();
        backend.post("/v1/users", json!({ "users": users })).await.ok();
    }
    server.knows(&["alice"]).await;
    alice.post(&at(GENERAL), json!({"members": ids[..101]})).await.refused("invalid_input");
    alice.get(&at(GENERAL)).await.refused("not_found");
    let made = alice.post(&at(GENERAL), json!({"members": ids[..100]})).await.ok_with(201);
    assert_eq!(made["channel"]["member_count"], 101, "exact, also beyond a hundred");
    assert_eq!(made["members"].as_array().unwrap().len(), 100);
    let members = at("messaging:general/members");
    for change in [json!({"remove": ids[..101]}), json!({}), json!({"add": ["u101"], "remove": ["u101"]})] {
        alice.post(&members, change).await.refused("invalid_input");
    }
    assert_eq!(alice.post(&members, json!({"remove": ids[..100]})).await.ok()["channel"]["member_count"], 1);
    assert_eq!(alice.post(&members, json!({"add": ids[..100]})).await.ok()["channel"]["member_count"], 101);
    // Adding who is there, and removing who is not, changes nothing.
    assert_eq!(alice.adds(GENERAL, &["u0"]).await["channel"]["member_count"], 101);
    assert_eq!(alice.removes(GENERAL, &["u101"]).await["channel"]["member_count"], 101);
    alice.post(&members, json!({"add": ["ghost"]})).await.refused("invalid_input");

    let first = alice.get(&at("messaging:general/members?limit=60")).await.ok();
    let next = first["next"].as_str().unwrap();
    let second = alice.get(&at(&format!("messaging:general/members?limit=60&next={next}"))).await.ok();
    assert_eq!(
        (first["members"].as_array().unwrap().len(), second["members"].as_array().unwrap().len()),
        (60, 41)
    );
    assert_eq!((&second["member_count"], &second["next"]), (&json!(101), &Value::Null));
    for query in ["limit=0", "limit=101", "limit=-1", "next=zzz", "page=2"] {
        alice.get(&at(&format!("messaging:general/members?{query}"))).await.refused("invalid_input");
    }
}
