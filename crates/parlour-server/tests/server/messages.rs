//! Messages: sent once, edited, deleted, paged, and within their limits.

use serde_json::{Value, json};

use crate::kit::{Answer, GENERAL, Person, TestServer, at};

const MESSAGES: &str = "messaging:general/messages";

/// A channel of Alice, Bob and Carol.
async fn three() -> (TestServer, Person, Person, Person) {
    let server = TestServer::with_users(&["alice", "bob", "carol"]).await;
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
    alice.makes(GENERAL, &["bob", "carol"]).await;
    (server, alice, bob, carol)
}

async fn send(person: &Person, message: Value) -> Answer {
    person.post(&at(MESSAGES), json!({ "message": message })).await
}

#[tokio::test]
async fn the_same_id_again_is_the_same_message_and_anything_else_is_a_conflict_l5_10_l5_11() {
    let (server, alice, bob, _) = three().await;
    let mut live = bob.connects().await;
    let draft = json!({"id": "m1", "text": "hi", "mood": "cheerful", "attachments": [{"type": "x"}]});
    let first = send(&alice, draft.clone()).await.ok_with(201);
    for _ in 0..3 {
        assert_eq!(send(&alice, draft.clone()).await.ok_with(200), first);
    }
    for other in [
        json!({"id": "m1", "text": "ho"}),
        json!({"id": "m1", "text": "hi"}),
        json!({"id": "m1", "text": "hi", "mood": "cheerful", "attachments": [{"type": "x"}], "silent": true}),
    ] {
        send(&alice, other).await.refused("id_conflict");
    }
    let error = send(&bob, draft.clone()).await.refused("id_conflict");
    assert!(!error.to_string().contains("cheerful") && !error.to_string().contains("alice"), "{error}");
    // In another channel it is another message with the same id.
    alice.makes("messaging:other", &[]).await;
    alice.post(&at("messaging:other/messages"), json!({"message": draft})).await.refused("id_conflict");

    let heard = live.hears("message.new").await;
    assert_eq!(heard["event"]["message"], first["message"]);
    assert_eq!(live.settles().await, [Value::Null; 0], "once");
    let page = bob.get(&at(MESSAGES)).await.ok();
    assert_eq!(page["messages"], json!([first["message"]]));
    server.lives().await;
}

#[tokio::test]
async fn many_at_once_with_one_id_store_one_message() {
    let (_server, alice, _, _) = three().await;
    let answers = (0..20).map(|_| alice.sends_as(GENERAL, "m1", "hi"));
    let answers = futures_util::future::join_all(answers).await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    let mut bodies: Vec<Value> = answers.into_iter().map(Answer::ok).collect();
    bodies.dedup();
    assert_eq!((created, bodies.len()), (1, 1));
}

#[tokio::test]
async fn a_message_without_an_id_gets_one() {
    let (_server, alice, _, _) = three().await;
    let (one, two) = (alice.sends(GENERAL, "a").await, alice.sends(GENERAL, "a").await);
    assert_ne!(one["id"], two["id"]);
    assert_eq!(one["seq"].as_u64().unwrap() + 1, two["seq"].as_u64().unwrap());
}

#[tokio::test]
async fn its_sender_edits_a_message_and_what_is_not_named_stays() {
    let (server, alice, bob, _) = three().await;
    let mut live = bob.connects().await;
    let draft = json!({"id": "m1", "text": "hi", "mood": "calm", "old": 1, "mentioned_users": ["bob"]});
    let sent = send(&alice, draft.clone()).await.ok()["message"].clone();
    let edit = json!({"text": "hello", "set": {"mood": "glad"}, "unset": ["old"]});
    let edited = alice.patch(&at(&format!("{MESSAGES}/m1")), edit).await.ok()["message"].clone();
    assert_eq!(
        (&edited["text"], &edited["mood"], &edited["old"]),
        (&json!("hello"), &json!("glad"), &Value::Null)
    );
    assert_eq!((&edited["seq"], &edited["mentioned_users"]), (&sent["seq"], &json!(["bob"])));
    assert!(edited["edited_at"].is_string());
    let heard = live.hears("message.updated").await;
    assert_eq!(heard["event"]["message"], edited);
    assert_eq!(heard["seq"].as_u64().unwrap(), sent["seq"].as_u64().unwrap() + 1);

    let path = at(&format!("{MESSAGES}/m1"));
    bob.patch(&path, json!({"text": "x"})).await.refused("not_allowed");
    alice.patch(&path, json!({"set": {"seq": 7}})).await.refused("reserved_field");
    alice.patch(&path, json!({"text": "x".repeat(5_001)})).await.refused("text_too_long");
    alice.patch(&at(&format!("{MESSAGES}/none")), json!({"text": "x"})).await.refused("not_found");
    server.backend().patch(&path, json!({"text": "moderated"})).await.ok();
    assert_eq!(bob.get(&path).await.ok()["message"]["text"], "moderated");
    // Sending it again is still sending it again, and not an undoing of the edit.
    assert_eq!(send(&alice, draft).await.ok_with(200)["message"]["text"], "moderated");
}

#[tokio::test]
async fn a_soft_delete_takes_the_text_and_leaves_the_place() {
    let (_server, alice, bob, carol) = three().await;
    let mut live = carol.connects().await;
    let sent = send(&bob, json!({"id": "m1", "text": "oops", "x": 1})).await.ok()["message"].clone();
    let path = at(&format!("{MESSAGES}/m1"));
    carol.delete(&path).await.refused("not_allowed");
    // The owner of the channel may, as its sender may; and again is the same.
    for _ in 0..2 {
        let answer = alice.delete(&path).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
    }
    let heard = live.hears("message.deleted").await["event"].clone();
    assert_eq!(
        (&heard["message_id"], &heard["message_seq"], &heard["hard"]),
        (&json!("m1"), &sent["seq"], &json!(false))
    );
    let left = carol.get(&path).await.ok()["message"].clone();
    assert_eq!((&left["type"], &left["text"], &left["x"]), (&json!("deleted"), &json!(""), &Value::Null));
    assert!(left["deleted_at"].is_string());
    assert_eq!(carol.get(&at(MESSAGES)).await.ok()["messages"], json!([left]));
    assert_eq!(live.settles().await, [Value::Null; 0], "the second delete says nothing");
    bob.patch(&path, json!({"text": "back"})).await.refused("not_found");
}

#[tokio::test]
async fn a_hard_delete_is_a_servers_right_and_keeps_the_id_taken_l5_7_l5_12() {
    let (server, alice, bob, _) = three().await;
    let mut live = bob.connects().await;
    let sent = alice.sends_as(GENERAL, "m1", "gone").await.ok()["message"].clone();
    let path = at(&format!("{MESSAGES}/m1"));
    alice.delete(&format!("{path}?hard=true")).await.refused("server_token_required");
    alice.delete(&format!("{path}?hard=maybe")).await.refused("invalid_input");
    server.backend().delete(&format!("{path}?hard=true")).await.ok();
    let heard = live.hears("message.deleted").await["event"].clone();
    assert_eq!(
        (&heard["message_id"], &heard["hard"], &heard["message"]),
        (&json!("m1"), &json!(true), &Value::Null)
    );
    bob.get(&path).await.refused("not_found");
    assert_eq!(bob.get(&at(MESSAGES)).await.ok()["messages"], json!([]));
    // Whoever sends it again learns what became of it; it does not come back, and the id is not free.
    let again = alice.sends_as(GENERAL, "m1", "gone").await.ok_with(200);
    assert_eq!((&again["message"]["type"], &again["message"]["text"]), (&json!("deleted"), &json!("")));
    alice.sends_as(GENERAL, "m1", "something else").await.refused("id_conflict");
    bob.sends_as(GENERAL, "m1", "gone").await.refused("id_conflict");
    assert_eq!(bob.get(&at(MESSAGES)).await.ok()["messages"], json!([]));
    // A replay shows its place, and nothing of it.
    let topic = "channel:messaging:general";
    let after = sent["seq"].as_u64().unwrap() - 1;
    live.says(&json!({"type": "watch", "topics": [{"topic": topic, "after": after}]})).await;
    let replayed = live.hears("message.deleted").await;
    assert_eq!((&replayed["seq"], &replayed["event"]["message"]), (&sent["seq"], &Value::Null));
}

#[tokio::test]
async fn messages_are_paged_before_after_and_around() {
    let (_server, alice, bob, _) = three().await;
    let mut seqs = Vec::new();
    for n in 0..30 {
        let sent = alice.sends_as(GENERAL, &format!("m{n}"), &n.to_string()).await.ok();
        seqs.push(sent["message"]["seq"].as_u64().unwrap());
    }
    let page = async |query: String| {
        let page = bob.get(&at(&format!("{MESSAGES}?{query}"))).await.ok();
        let texts =
            page["messages"].as_array().unwrap().iter().map(|m| m["text"].as_str().unwrap().parse().unwrap());
        let more = (page["has_more_before"].as_bool().unwrap(), page["has_more_after"].as_bool().unwrap());
        (texts.collect::<Vec<usize>>(), more)
    };
    let run = |range: std::ops::Range<usize>| range.collect::<Vec<_>>();
    assert_eq!(page(String::new()).await, (run(5..30), (true, false)), "25 by default");
    assert_eq!(page("limit=1".into()).await, (run(29..30), (true, false)));
    assert_eq!(page("limit=100".into()).await, (run(0..30), (false, false)));
    assert_eq!(page(format!("before={}&limit=5", seqs[10])).await, (run(5..10), (true, true)));
    assert_eq!(page(format!("before={}&limit=5", seqs[3])).await, (run(0..3), (false, true)));
    assert_eq!(page(format!("after={}&limit=5", seqs[10])).await, (run(11..16), (true, true)));
    assert_eq!(page(format!("after={}&limit=5", seqs[27])).await, (run(28..30), (true, false)));
    assert_eq!(page("after=0&limit=3".into()).await, (run(0..3), (false, true)));
    for around in [format!("around={}&limit=5", seqs[10]), "around_id=m10&limit=5".into()] {
        assert_eq!(page(around.clone()).await, (run(8..13), (true, true)), "{around}");
    }
    let (start, _) = page("around_id=m0&limit=5".into()).await;
    assert!(start.starts_with(&[0]) && start.len() <= 5, "{start:?}");
    assert_eq!(page(format!("before={}&limit=5", u64::MAX >> 11)).await.0, run(25..30));

    for query in ["limit=0", "limit=101", "limit=-1", "limit=x", "before=1&after=2", "before=-1", "befor=1"] {
        bob.get(&at(&format!("{MESSAGES}?{query}"))).await.refused("invalid_input");
    }
    for (query, code) in [("around_id=nope", "not_found"), ("around_id=n%20o", "invalid_id")] {
        bob.get(&at(&format!("{MESSAGES}?{query}"))).await.refused(code);
    }
    for query in ["before=9223372036854775807", "after=9223372036854775808", "around=18446744073709551615"] {
        bob.get(&at(&format!("{MESSAGES}?{query}"))).await.ok();
    }
}

#[tokio::test]
async fn every_limit_of_a_message_holds_to_the_last_one() {
    let (server, alice, _, _) = three().await;
    let users: Vec<String> = (0..26).map(|n| format!("u{n}")).collect();
    server.knows(&users.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let custom = |bytes: usize| json!({"pad": "x".repeat(bytes - r#"{"pad":""}"#.len())});
    let attachments = |count: usize| json!({"attachments": vec![json!({"type": "image"}); count]});
    for (fits, exceeds, code) in [
        // Characters, not bytes: each of these has four.
        (json!({"text": "😀".repeat(5_000)}), json!({"text": "😀".repeat(5_001)}), "text_too_long"),
        (json!({"text": "x".repeat(5_000)}), json!({"text": "x".repeat(5_001)}), "text_too_long"),
        (attachments(30), attachments(31), "invalid_input"),
        (
            json!({"text": "a", "mentioned_users": users[..25]}),
            json!({"text": "a", "mentioned_users": users[..26]}),
            "invalid_input",
        ),
        (custom(5_120), custom(5_121), "too_large"),
        (
            json!({"text": "a", "id": "i".repeat(128)}),
            json!({"text": "a", "id": "i".repeat(129)}),
            "invalid_input",
        ),
        (json!({"text": "a", "id": "i"}), json!({"text": "a", "id": ""}), "invalid_input"),
        (json!({"text": "a", "id": "A-z_0"}), json!({"text": "a", "id": "a.b"}), "invalid_input"),
        (json!({"text": " a "}), json!({"text": " \n"}), "invalid_input"),
        (json!({"x": 1}), json!({}), "invalid_input"),
        (json!({"text": "a", "x": null}), json!({"text": "a", "seq": 1}), "reserved_field"),
        (
            json!({"text": "a", "attachments": [{}]}),
            json!({"text": "a", "attachments": ["x"]}),
            "invalid_input",
        ),
        (json!({"text": "a", "silent": true}), json!({"text": "a", "silent": "yes"}), "invalid_input"),
    ] {
        let stored = send(&alice, fits.clone()).await.ok_with(201)["message"].clone();
        for (field, value) in fits.as_object().unwrap() {
            assert_eq!(&stored[field], value, "{field}");
        }
        let before = alice.get(&at(GENERAL)).await.ok()["head"].clone();
        send(&alice, exceeds).await.refused(code);
        assert_eq!(alice.get(&at(GENERAL)).await.ok()["head"], before, "a refused message leaves nothing");
    }
    alice
        .post(&at(MESSAGES), json!({"message": {"text": "a"}, "silent": true}))
        .await
        .refused("invalid_input");
    server.backend().post(&at(MESSAGES), json!({"message": {"text": "a"}})).await.refused("user_required");
    let acting = server.backend().acting_as("alice");
    assert_eq!(acting.sends(GENERAL, "for her").await["user"]["id"], "alice");
}

#[tokio::test]
async fn a_channel_id_is_1_to_128_of_its_characters() {
    let server = TestServer::with_users(&["alice"]).await;
    let alice = server.user("alice");
    let longest = "C".repeat(128);
    for good in ["a", "A_b-0", longest.as_str()] {
        alice.makes(&format!("messaging:{good}"), &[]).await;
    }
    let longer = "C".repeat(129);
    for bad in ["a.b", "a%20b", "a%2Fb", "%C3%A9", "a:b", "%00", longer.as_str()] {
        alice.post(&format!("/v1/channels/messaging/{bad}"), json!({})).await.refused("invalid_id");
    }
    alice.post("/v1/channels/messaging/%FF", json!({})).await.refused("invalid_id");
    alice.post("/v1/channels/Messaging/a", json!({})).await.refused("invalid_id");
}
