//! Reading: positions move, totals are what the messages say, and receipts can be kept to oneself.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::kit::{GENERAL, Person, TestServer, at, kinds};

async fn reads(person: &Person, cid: &str, body: Value) -> Value {
    person.post(&at(&format!("{cid}/read")), body).await.ok()["unread"].clone()
}

async fn unreads(person: &Person, cid: &str, message: &str) -> Value {
    let body = json!({ "message_id": message });
    person.post(&at(&format!("{cid}/unread")), body).await.ok()["unread"].clone()
}

#[tokio::test]
async fn a_position_moves_forward_by_reading_and_back_by_marking_unread() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    let mut seqs = Vec::new();
    for n in 0..5 {
        let sent = alice.sends_as(GENERAL, &format!("m{n}"), "x").await.ok();
        seqs.push(sent["message"]["seq"].as_u64().unwrap());
    }
    let totals = bob.get("/v1/unread").await.ok();
    assert_eq!((&totals["total_unread_count"], &totals["unread_channels"]), (&json!(5), &json!(1)));

    let mut bobs = bob.connects().await;
    let mut others = bob.connects().await;
    let mut alices = alice.connects().await;
    let unread = reads(&bob, GENERAL, json!({"message_id": "m1"})).await;
    assert_eq!((&unread["unread_messages"], &unread["last_read_seq"]), (&json!(3), &json!(seqs[1])));
    for live in [&mut bobs, &mut others] {
        let told = live.hears("notification.mark_read").await;
        assert_eq!((&told["topic"], &told["event"]["unread_messages"]), (&json!("user:bob"), &json!(3)));
    }
    let receipt = alices.hears("message.read").await;
    assert_eq!(receipt["event"]["user"]["id"], "bob");
    assert_eq!(
        (&receipt["topic"], &receipt["event"]["last_read_seq"]),
        (&json!("channel:messaging:general"), &json!(seqs[1]))
    );

    assert_eq!(
        reads(&bob, GENERAL, json!({"seq": seqs[0]})).await["unread_messages"],
        3,
        "never back by reading"
    );
    assert_eq!(reads(&bob, GENERAL, json!({"seq": seqs[2]})).await["unread_messages"], 2);
    assert_eq!(reads(&bob, GENERAL, json!({})).await["unread_messages"], 0);
    let back = unreads(&bob, GENERAL, "m3").await;
    assert_eq!((&back["unread_messages"], &back["last_read_seq"]), (&json!(2), &json!(seqs[3] - 1)));
    // Its author's own messages never count, and what she reads she has read.
    assert_eq!(alice.get("/v1/unread").await.ok()["total_unread_count"], 0);

    let path = at("messaging:general/read");
    bob.post(&path, json!({"message_id": "m1", "seq": 1})).await.refused("invalid_input");
    bob.post(&path, json!({"message_id": "none"})).await.refused("not_found");
    bob.post(&path, json!({"seq": -1})).await.refused("invalid_input");
    let far = reads(&bob, GENERAL, json!({"seq": 1_u64 << 53})).await;
    assert!(far["last_read_seq"].as_u64() <= far["head"].as_u64(), "not beyond what is there: {far}");
    alice.sends(GENERAL, "more").await;
    assert_eq!(bob.get("/v1/unread").await.ok()["total_unread_count"], 1);
    server.user("carol").post(&path, json!({})).await.refused("not_found");
    server.backend().post(&path, json!({})).await.refused("user_required");
}

#[tokio::test]
async fn unread_totals_are_what_a_naive_recount_says() {
    let seed = 20_261_121;
    let mut random = StdRng::seed_from_u64(seed);
    let names = ["alice", "bob", "carol"];
    let server = TestServer::with_users(&names).await;
    let people = names.map(|name| server.user(name));
    let cids: Vec<String> = (0..4).map(|n| format!("messaging:c{n}")).collect();
    for cid in &cids {
        people[0].makes(cid, &names[1..]).await;
    }
    // What each has read, by the rule: `(user, channel) → seq`.
    let mut positions: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    for (at_user, at_channel) in (0..3).flat_map(|u| (0..4).map(move |c| (u, c))) {
        let state = people[at_user].get(&at(&cids[at_channel])).await.ok();
        positions.insert((at_user, at_channel), state["unread"]["last_read_seq"].as_u64().unwrap());
    }
    let mut sent: Vec<(usize, String, u64)> = Vec::new();
    for step in 0..250 {
        let (who, which) = (random.random_range(0..3), random.random_range(0..4));
        let (person, cid) = (&people[who], &cids[which]);
        match random.random_range(0..10) {
            0..5 => {
                let id = format!("m{step}");
                let message =
                    json!({"message": {"id": id, "text": "x", "silent": random.random_range(0..5) == 0}});
                let answer = person.post(&at(&format!("{cid}/messages")), message).await.ok();
                sent.push((which, id, answer["message"]["seq"].as_u64().unwrap()));
            }
            5 if !sent.is_empty() => {
                let (channel, id, _) = sent[random.random_range(0..sent.len())].clone();
                let hard = if random.random_range(0..3) == 0 { "?hard=true" } else { "" };
                let path = at(&format!("{}/messages/{id}{hard}", cids[channel]));
                server.backend().delete(&path).await.ok();
                if !hard.is_empty() {
                    sent.retain(|(_, other, _)| *other != id);
                }
            }
            6..8 if !sent.is_empty() => {
                let (channel, id, seq) = sent[random.random_range(0..sent.len())].clone();
                let unread = if random.random_range(0..2) == 0 {
                    reads(person, &cids[channel], json!({ "message_id": id })).await
                } else {
                    unreads(person, &cids[channel], &id).await
                };
                let position = positions.get_mut(&(who, channel)).unwrap();
                let now = unread["last_read_seq"].as_u64().unwrap();
                assert!(
                    now == seq.max(*position) || now == seq - 1 || now == *position,
                    "seed {seed}: {unread}"
                );
                *position = now;
            }
            _ => {
                let unread = reads(person, cid, json!({})).await;
                positions.insert((who, which), unread["last_read_seq"].as_u64().unwrap());
            }
        }
    }
    for (who, person) in people.iter().enumerate() {
        let mut expected = BTreeMap::new();
        for (which, cid) in cids.iter().enumerate() {
            let page = person.get(&at(&format!("{cid}/messages?limit=100"))).await.ok();
            assert_eq!(page["has_more_before"], false, "the recount sees every message");
            let counts = page["messages"].as_array().unwrap().iter().filter(|message| {
                message["seq"].as_u64().unwrap() > positions[&(who, which)]
                    && message["user"]["id"] != person.id
                    && message["type"] == "regular"
                    && message["silent"] != true
            });
            expected.insert(cid.clone(), counts.count() as u64);
        }
        expected.retain(|_, count| *count > 0);
        let totals = person.get("/v1/unread").await.ok();
        let channels = totals["channels"].as_array().unwrap().iter();
        let told: BTreeMap<String, u64> = channels
            .map(|c| (c["cid"].as_str().unwrap().to_owned(), c["unread_messages"].as_u64().unwrap()))
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(told, expected, "seed {seed}: {}", person.id);
        assert_eq!(totals["total_unread_count"], expected.values().sum::<u64>(), "seed {seed}");
        assert_eq!(totals["unread_channels"], expected.len(), "seed {seed}");
        let ready = person.connects().await.ready;
        assert_eq!(ready["me"]["total_unread_count"], totals["total_unread_count"]);
        assert_eq!(person.get("/v1/me").await.ok()["me"]["total_unread_count"], totals["total_unread_count"]);
    }
}

#[tokio::test]
async fn who_keeps_receipts_to_herself_is_seen_reading_by_nobody_else_f3_1_f3_4_f3_5_f3_6_f3_7_f3_8() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    let quiet = json!({"id": "bob", "privacy_settings": {"read_receipts": {"enabled": false}}});
    let mut bobs = bob.connects_as(quiet).await;
    let mut alices = alice.connects().await;
    alice.sends_as(GENERAL, "m1", "read me").await.ok();
    reads(&bob, GENERAL, json!({})).await;
    assert_eq!(bobs.hears("notification.mark_read").await["event"]["unread_messages"], 0);
    assert_eq!(alices.settles().await.iter().filter(|f| f["event"]["type"] != "message.new").count(), 0);
    let state = alice.get(&at(GENERAL)).await.ok();
    let found = alice.post("/v1/channels", json!({})).await.ok();
    for reads in [&state["reads"], &found["channels"][0]["reads"]] {
        assert!(reads.as_array().unwrap().iter().all(|read| read["user_id"] != "bob"), "{reads}");
    }
    assert!(!alice.sees("bob").await.unwrap().to_string().contains("privacy"));
    // Her own devices and counts work on, and once she says so, others see it.
    assert_eq!(bob.get("/v1/unread").await.ok()["total_unread_count"], 0);
    bob.patch("/v1/users/bob", json!({"set": {"privacy_settings": {"read_receipts": {"enabled": true}}}}))
        .await
        .ok();
    alice.sends_as(GENERAL, "m2", "and me").await.ok();
    reads(&bob, GENERAL, json!({})).await;
    assert_eq!(alices.hears("message.read").await["event"]["user"]["id"], "bob");
    let reads = alice.get(&at(GENERAL)).await.ok()["reads"].clone();
    assert!(reads.as_array().unwrap().iter().any(|read| read["user_id"] == "bob"), "{reads}");
    // What was hidden stays hidden from who replays it.
    let topic = "channel:messaging:general";
    alices.says(&json!({"type": "watch", "topics": [{"topic": topic, "after": 0}]})).await;
    let replayed = alices.settles().await;
    let receipts = kinds(&replayed).into_iter().filter(|kind| *kind == "message.read").count();
    assert!(receipts <= 1, "{replayed:?}");
}
