//! Coming back: what was missed comes, once and in order, or the server says that it cannot.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kit::{GENERAL, Live, Person, TestServer, at, kind};

const TOPIC: &str = "channel:messaging:general";

/// What a client keeps of a connection: the places in its topics.
struct Memory {
    epoch: Value,
    as_of: Value,
    cursors: BTreeMap<String, u64>,
}

impl Memory {
    fn of(live: &Live) -> Self {
        let heads = live.ready["heads"].as_object().unwrap();
        let cursors = heads.iter().map(|(topic, head)| (topic.clone(), head.as_u64().unwrap())).collect();
        Self { epoch: live.ready["epoch"].clone(), as_of: live.ready["as_of"].clone(), cursors }
    }

    fn resume(&self) -> Value {
        json!({"resume": {"epoch": self.epoch, "as_of": self.as_of, "cursors": self.cursors}})
    }

    /// Takes events as a client does; those that it was given, by topic. A hole or a double is a failed test.
    fn takes(&mut self, frames: &[Value]) -> Vec<(String, u64, String)> {
        let mut taken = Vec::new();
        for frame in frames.iter().filter(|frame| frame["type"] == "event") {
            let (topic, seq) = (frame["topic"].as_str().unwrap().to_owned(), frame["seq"].as_u64().unwrap());
            let cursor = self.cursors.entry(topic.clone()).or_insert(seq - 1);
            assert_eq!(seq, *cursor + 1, "{topic}: neither a hole nor a double");
            *cursor = seq;
            taken.push((topic, seq, kind(frame).to_owned()));
        }
        taken
    }
}

async fn back(person: &Person, memory: &Memory) -> (Live, Vec<Value>) {
    let mut live = person.connects_with(memory.resume()).await;
    let heard = live.settles().await;
    (live, heard)
}

#[tokio::test]
async fn a_dropped_connection_resumes_with_exactly_what_it_missed_l2_12() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    alice.makes("messaging:second", &["bob"]).await;
    alice.sends(GENERAL, "heard before").await;
    let mut live = bob.connects().await;
    let mut memory = Memory::of(&live);
    alice.sends_as(GENERAL, "m1", "one").await.ok();
    memory.takes(&[live.hears("message.new").await]);
    live.breaks();

    alice.sends_as(GENERAL, "m2", "two").await.ok();
    alice.sends_as("messaging:second", "m3", "three").await.ok();
    alice.patch(&at("messaging:general/messages/m1"), json!({"text": "edited"})).await.ok();
    alice.makes("messaging:third", &["bob"]).await;
    alice.sends("messaging:third", "in a new channel").await;
    bob.post(&at("messaging:general/read"), json!({"message_id": "m2"})).await.ok();
    bob.patch("/v1/users/bob", json!({"set": {"name": "Bob"}})).await.ok();

    let (mut live, heard) = back(&bob, &memory).await;
    assert_eq!(live.ready["resumed"], "resumed");
    let heard: Vec<Value> = heard
        .into_iter()
        .filter(|frame| memory.cursors.contains_key(frame["topic"].as_str().unwrap()))
        .collect();
    let taken = memory.takes(&heard);
    let of = |topic: &str| {
        taken.iter().filter(|(t, ..)| t == topic).map(|(_, _, kind)| kind.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of(TOPIC), ["message.new", "message.updated", "message.read"]);
    assert_eq!(of("channel:messaging:second"), ["message.new"]);
    assert_eq!(of("user:bob"), ["notification.added_to_channel", "notification.mark_read", "user.updated"]);
    // And then what happens, without a mark between them; also in the channel that is new to her.
    alice.sends(GENERAL, "four").await;
    alice.sends("messaging:third", "five").await;
    live.hears_text("four").await;
    live.hears_text("five").await;
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_by_breaking_again_and_again_while_others_send() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    let live = bob.connects().await;
    let mut memory = Memory::of(&live);
    live.breaks();
    let sending = async {
        for n in 0..150 {
            alice.sends_as(GENERAL, &format!("m{n}"), &n.to_string()).await.ok_with(201);
        }
    };
    let mut texts = Vec::new();
    let listening = async {
        let mut breaks = 0;
        while texts.len() < 150 {
            let mut live = bob.connects_with(memory.resume()).await;
            assert_eq!(live.ready["resumed"], "resumed");
            // Some of what comes is taken, then the link breaks in the middle of it.
            for _ in 0..7 {
                if texts.len() == 150 {
                    break;
                }
                let frame = live.hears("message.new").await;
                memory.takes(std::slice::from_ref(&frame));
                texts.push(frame["event"]["message"]["text"].as_str().unwrap().to_owned());
            }
            live.breaks();
            breaks += 1;
        }
        breaks
    };
    let ((), breaks) = tokio::join!(sending, listening);
    assert_eq!(texts, (0..150).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(breaks >= 20);
}

#[tokio::test]
async fn three_hundred_missed_events_are_replayed_and_one_more_is_a_reset_l4_7_l4_8_l5_9_l9_9() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    let live = bob.connects().await;
    let memory = Memory::of(&live);
    live.breaks();
    for n in 0..300 {
        alice.sends(GENERAL, &n.to_string()).await;
    }
    let (live, heard) = back(&bob, &memory).await;
    assert_eq!((live.ready["resumed"].as_str(), heard.len()), (Some("resumed"), 300));
    live.breaks();
    alice.sends(GENERAL, "300").await;
    let (mut live, heard) = back(&bob, &memory).await;
    let head = bob.get(&at(GENERAL)).await.ok()["head"].clone();
    let reset = json!({"type": "reset", "topic": TOPIC, "reason": "too_far_behind", "head": head});
    assert_eq!((live.ready["resumed"].as_str(), heard), (Some("caught_up"), vec![reset]));
    alice.sends(GENERAL, "after").await;
    assert_eq!(live.hears("message.new").await["seq"], head.as_u64().unwrap() + 1, "events go on after it");
}

#[tokio::test]
async fn what_is_kept_no_longer_is_a_reset_l5_4() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    let live = bob.connects().await;
    let mut memory = Memory::of(&live);
    live.breaks();
    // Ahead of the log: it was restored from a copy.
    memory.cursors.insert(TOPIC.to_owned(), 1_000_000);
    let (live, heard) = back(&bob, &memory).await;
    assert_eq!(live.ready["resumed"], "caught_up");
    assert_eq!((&heard[0]["reason"], heard.len()), (&json!("ahead_of_head"), 1));
    live.breaks();

    memory = Memory::of(&bob.connects().await);
    memory.epoch = json!("e-of-another-log");
    let (mut live, heard) = back(&bob, &memory).await;
    assert_eq!(live.ready["resumed"], "caught_up");
    assert_eq!(heard.len(), 3, "{heard:?}");
    for reset in heard {
        assert_eq!((&reset["type"], &reset["reason"]), (&json!("reset"), &json!("other_epoch")), "{reset}");
        assert_eq!(reset["head"], live.ready["heads"][reset["topic"].as_str().unwrap()]);
    }
    alice.sends(GENERAL, "goes on").await;
    live.hears_text("goes on").await;
}

#[tokio::test]
async fn a_cursor_of_what_is_not_hers_tells_nothing() {
    let server = TestServer::with_users(&["alice", "bob", "mallory"]).await;
    let (alice, mallory) = (server.user("alice"), server.user("mallory"));
    alice.makes("messaging:secret", &["bob"]).await;
    alice.sends("messaging:secret", "hush").await;
    let live = mallory.connects().await;
    let mut memory = Memory::of(&live);
    live.leaves().await;
    for topic in
        ["channel:messaging:secret", "channel:messaging:missing", "user:alice", "app:other", "what:ever"]
    {
        memory.cursors.insert(topic.to_owned(), 0);
    }
    let (mut live, heard) = back(&mallory, &memory).await;
    assert_eq!(live.ready["resumed"], "caught_up");
    let resets: Vec<_> = heard
        .iter()
        .map(|frame| (frame["topic"].as_str().unwrap(), &frame["reason"], &frame["head"]))
        .collect();
    let no_access = json!("no_access");
    assert_eq!(
        resets,
        [
            ("channel:messaging:missing", &no_access, &json!(0)),
            ("channel:messaging:secret", &no_access, &json!(0)),
        ],
        "the same for both"
    );
    alice.sends("messaging:secret", "still hush").await;
    alice.patch("/v1/users/alice", json!({"set": {"name": "A"}})).await.ok();
    assert_eq!(live.settles().await, [Value::Null; 0]);
    for topic in ["user:alice", "app:other", "app:dev", "user:mallory"] {
        live.says(&json!({"type": "watch", "topics": [{"topic": topic, "after": 0}]})).await;
        let heard = live.settles().await;
        let leaked = json!(heard).to_string();
        assert!(!leaked.contains("alice\"}") && !leaked.contains("hush"), "{topic}: {leaked}");
    }
}

#[tokio::test]
async fn topics_that_are_not_named_are_served_from_as_of_l4_4() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    let live = bob.connects().await;
    let mut memory = Memory::of(&live);
    live.breaks();
    memory.cursors.clear();
    alice.sends(GENERAL, "missed").await;
    let (_live, heard) = back(&bob, &memory).await;
    assert!(heard.iter().any(|frame| frame["event"]["message"]["text"] == "missed"), "{heard:?}");
}

#[tokio::test]
async fn a_resume_survives_a_restart_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let start = async || TestServer::with(|config| config.storage.data_dir = Some(dir.clone())).await;
    let server = start().await;
    server.knows(&["alice", "bob"]).await;
    server.user("alice").makes(GENERAL, &["bob"]).await;
    let live = server.user("bob").connects().await;
    let mut memory = Memory::of(&live);
    drop(live);
    server.user("alice").sends(GENERAL, "before").await;
    server.stop().await;
    let server = start().await;
    server.user("alice").sends(GENERAL, "after").await;
    let (live, heard) = back(&server.user("bob"), &memory).await;
    assert_eq!(live.ready["resumed"], "resumed");
    assert_eq!(memory.takes(&heard).len(), 2);
}
