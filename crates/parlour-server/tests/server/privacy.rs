//! Privacy settings: what a user does not wish to be seen reaches nobody else, on any way.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{SinkExt, StreamExt};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::kit::{Answer, EventStream, GENERAL, Live, Person, TestServer, at, kind, soon};

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const CHANNELS: [&str; 3] = ["messaging:a", "messaging:b", "messaging:c"];

fn enabled(typing: bool, reads: bool) -> Value {
    json!({ "typing_indicators": {"enabled": typing}, "read_receipts": {"enabled": reads} })
}

#[tokio::test]
async fn settings_are_kept_whichever_way_they_come_and_told_to_their_user_alone_f3_1_f3_10() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob, backend) = (server.user("alice"), server.user("bob"), server.backend());
    let settings = |on: bool| {
        let setting = json!({ "enabled": on });
        json!({"typing_indicators": setting, "read_receipts": setting, "delivery_receipts": setting})
    };
    let own = async || bob.get("/v1/me").await.ok()["me"]["privacy_settings"].clone();
    let connected = bob.connects_as(json!({"id": "bob", "privacy_settings": settings(false)})).await;
    assert_eq!(connected.ready["me"]["privacy_settings"], settings(false));
    assert_eq!(own().await, settings(false));
    assert_eq!(bob.connects().await.ready["me"]["privacy_settings"], settings(false), "they stay");
    let changed = json!({"set": {"privacy_settings": settings(true)}});
    let answer = bob.patch("/v1/users/bob", changed).await.ok();
    assert_eq!(answer["user"]["privacy_settings"], settings(true));
    assert_eq!(own().await, settings(true));
    let replaced = json!({"users": [{"id": "bob", "privacy_settings": settings(false)}]});
    let answer = backend.post("/v1/users", replaced).await.ok();
    assert_eq!(answer["users"][0]["privacy_settings"], settings(false), "a server sees users whole");
    assert_eq!(own().await, settings(false));
    assert_eq!(bob.sees("bob").await.unwrap()["privacy_settings"], settings(false));
    assert_eq!(alice.sees("bob").await.unwrap().get("privacy_settings"), None);
    bob.patch("/v1/users/bob", json!({"unset": ["privacy_settings"]})).await.ok();
    assert_eq!(own().await, Value::Null);
}

#[tokio::test]
async fn settings_that_are_none_are_refused_by_name_and_change_nothing_f3_1() {
    let server = TestServer::with_users(&["bob"]).await;
    let (bob, backend) = (server.user("bob"), server.backend());
    let good = json!({"read_receipts": {"enabled": false}});
    bob.patch("/v1/users/bob", json!({"set": {"privacy_settings": good}})).await.ok();
    for (bad, field) in [
        (json!({"privacy_settings": {"read_recipts": {"enabled": true}}}), "privacy_settings.read_recipts"),
        (json!({"privacy_settings": {"read_receipts": true}}), "privacy_settings.read_receipts"),
        (
            json!({"privacy_settings": {"delivery_receipts": {"enabled": "true"}}}),
            "privacy_settings.delivery_receipts.enabled",
        ),
        (json!({"privacy_settings.read_receipts.enabled": true}), "privacy_settings.read_receipts.enabled"),
    ] {
        let mut user = bad.clone();
        user["id"] = json!("bob");
        user["name"] = json!("Never");
        let patched = bob.patch("/v1/users/bob", json!({"set": user})).await.refused("invalid_input");
        let upserted = backend.post("/v1/users", json!({"users": [user]})).await.refused("invalid_input");
        let (dialled, code) = bob.is_refused(&bob.hello_with(json!({ "user": user }))).await;
        assert_eq!((dialled["code"].as_str(), code), (Some("invalid_input"), 4000));
        for error in [patched, upserted, dialled] {
            assert!(error["fields"].get(field).is_some(), "{field}: {error}");
        }
        let me = bob.get("/v1/me").await.ok()["me"].clone();
        assert_eq!((&me["privacy_settings"], me.get("name")), (&good, None), "{bad}");
    }
}

#[tokio::test]
async fn who_hides_while_typing_is_seen_to_stop_and_then_no_more_f3_1_f3_3() {
    let server = TestServer::with_users(&["alice", "bob"]).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    alice.makes(GENERAL, &["bob"]).await;
    let (mut alices, mut bobs) = (alice.connects().await, bob.connects().await);
    let mut stream = alice.streams_with(json!({})).await;
    let typing =
        json!({"type": "signal", "topic": "channel:messaging:general", "signal": {"type": "typing.start"}});
    alices.says(&typing).await;
    bobs.hears("typing.start").await;
    // By the app's backend, while two of her connections are up.
    let off = json!({"set": {"privacy_settings": enabled(false, true)}});
    server.backend().patch("/v1/users/alice", off).await.ok();
    bobs.hears("typing.stop").await;
    alices.says(&typing).await;
    alices.settles().await;
    stream.says(&typing).await.ok();
    stream.says(&json!({"type": "ping", "id": 1})).await.ok();
    stream.hears("pong").await;
    assert_eq!(bobs.settles().await, [Value::Null; 0]);
}

#[tokio::test]
async fn what_is_hidden_appears_in_nobody_elses_bytes_f3_1_f3_2_f3_3_f3_4_f3_5_f3_6_f3_7_f3_8_f3_10_f3_11() {
    for seed in [1, 2] {
        let mut world = World::new(seed).await;
        for step in 0..300 {
            world.step(step).await;
        }
        // A test of secrets is worth something where there were some, and others were seen.
        let Seen { receipts, positions, typing, hidden } = world.seen;
        assert!(
            receipts > 20 && positions > 50 && typing > 10 && hidden > 3,
            "seed {seed}: {:?}",
            world.seen
        );
        world.server.stop().await;
    }
}

/// One listening connection, and whose.
struct Line {
    user: usize,
    carrier: Carrier,
}

enum Carrier {
    Socket(Box<Live>),
    Stream(Box<EventStream>),
}

/// What a user lets others see.
#[derive(Clone, Copy, PartialEq)]
struct Shows {
    typing: bool,
    reads: bool,
}

const EVERYTHING: Shows = Shows { typing: true, reads: true };

/// How often something was seen that may be seen, or done that may not.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    receipts: usize,
    positions: usize,
    typing: usize,
    hidden: usize,
}

/// The server, and the naive model of who may see what.
struct World {
    server: TestServer,
    random: StdRng,
    seed: u64,
    lines: Vec<Line>,
    /// Now, and before the step.
    shows: [Shows; 4],
    showed: [Shows; 4],
    /// How far each has read, and what others may see of it.
    position: BTreeMap<(usize, usize), u64>,
    visible: BTreeMap<(usize, usize), u64>,
    /// Reading that others were told of: by whom, where, up to where.
    told: BTreeSet<(usize, usize, u64)>,
    messages: Vec<(usize, String)>,
    /// Texts that never appear in what anybody but this user gets.
    markers: Vec<(usize, String)>,
    /// Who was heard typing in this step, on which line.
    heard_typing: Vec<(usize, usize)>,
    pings: u64,
    seen: Seen,
}

impl World {
    async fn new(seed: u64) -> Self {
        let server = TestServer::with(|config| {
            let limits = &mut config.limits;
            limits.connections_per_user = Some(50);
            (limits.frames_per_second, limits.frames_burst) = (100_000, 100_000);
            limits.poll_lease_ms = 200;
        })
        .await;
        server.knows(&USERS).await;
        for cid in CHANNELS {
            server.user("alice").makes(cid, &USERS[1..]).await;
        }
        let mut world = Self {
            server,
            random: StdRng::seed_from_u64(seed),
            seed,
            lines: Vec::new(),
            shows: [EVERYTHING; 4],
            showed: [EVERYTHING; 4],
            position: BTreeMap::new(),
            visible: BTreeMap::new(),
            told: BTreeSet::new(),
            messages: Vec::new(),
            markers: Vec::new(),
            heard_typing: Vec::new(),
            pings: 0,
            seen: Seen::default(),
        };
        for user in 0..4 {
            for channel in 0..3 {
                world.joined(user, channel).await;
            }
            world.connects(user, false, json!({})).await;
            world.connects(user, true, json!({})).await;
        }
        world
    }

    fn person(&self, user: usize) -> Person {
        self.server.user(USERS[user])
    }

    fn at_random(&mut self) -> (usize, usize) {
        (self.random.random_range(0..4), self.random.random_range(0..3))
    }

    /// Something happens, and everybody hears what there is to hear.
    async fn step(&mut self, step: usize) {
        self.showed = self.shows;
        self.heard_typing.clear();
        match self.random.random_range(0..20) {
            0..4 => self.changes_settings().await,
            4..8 => self.sends(step).await,
            8..12 => self.reads().await,
            12 => self.marks_unread().await,
            13..15 => self.types().await,
            15 => self.comes_anew().await,
            16 => self.leaves_and_joins().await,
            _ => self.looks().await,
        }
        self.settles().await;
    }

    /// A user's settings change, in one of the ways in which they can.
    async fn changes_settings(&mut self) {
        let (user, _) = self.at_random();
        let shows = Shows { typing: self.random.random(), reads: self.random.random_range(0..3) == 0 };
        let settings = enabled(shows.typing, shows.reads);
        let id = USERS[user];
        let fields = json!({"user": {"id": id, "privacy_settings": settings}});
        let set = json!({"set": {"privacy_settings": settings}});
        let path = format!("/v1/users/{id}");
        let (own, backend) = (self.person(user), self.server.backend());
        let way = self.random.random_range(0..7);
        // Before the change is made: what it shows may come with its own answer.
        self.wishes(user, if way == 6 { EVERYTHING } else { shows });
        match way {
            0 => self.connects(user, false, fields).await,
            1 => self.connects(user, true, fields).await,
            2 => self.polls(user, fields).await,
            3 => drop(self.asks(&own, Some(user), "PATCH", &path, Some(set)).await),
            4 => drop(self.asks(&backend, None, "PATCH", &path, Some(set)).await),
            5 => {
                let users = json!({"users": [{"id": id, "privacy_settings": settings}]});
                self.asks(&backend, None, "POST", "/v1/users", Some(users)).await.ok();
            }
            _ => {
                let unset = json!({"unset": ["privacy_settings"]});
                self.asks(&own, Some(user), "PATCH", &path, Some(unset)).await.ok();
            }
        }
    }

    fn wishes(&mut self, user: usize, shows: Shows) {
        if shows.reads && !self.shows[user].reads {
            // What was reached before is not shown again.
            self.visible.retain(|(reader, _), _| *reader != user);
        }
        self.shows[user] = shows;
    }

    async fn sends(&mut self, step: usize) {
        let (user, channel) = self.at_random();
        let id = format!("m{step}");
        self.person(user).sends_as(CHANNELS[channel], &id, "said").await.ok();
        self.messages.push((channel, id));
    }

    async fn reads(&mut self) {
        let (user, channel) = self.at_random();
        let up_to = if self.random.random_range(0..4) > 0 {
            json!({})
        } else {
            json!({"seq": self.random.random_range(0..200)})
        };
        let path = at(&format!("{}/read", CHANNELS[channel]));
        let person = self.person(user);
        let before = self.position[&(user, channel)];
        // Heard by others as soon as it is done, but by what the answer says; so the check waits for that.
        let answer = person.post(&path, up_to).await.ok();
        let now = answer["unread"]["last_read_seq"].as_u64().unwrap();
        if now == before {
            return;
        }
        assert!(now > before, "seed {}: {answer}", self.seed);
        self.position.insert((user, channel), now);
        if self.shows[user].reads {
            self.visible.insert((user, channel), now);
            self.told.insert((user, channel, now));
        } else {
            self.visible.remove(&(user, channel));
            self.marks(user, channel).await;
        }
        let totals = person.get("/v1/unread").await.ok();
        let unread = totals["channels"].as_array().unwrap();
        let unread = unread.iter().find(|unread| unread["cid"] == CHANNELS[channel]);
        let count = unread.map_or(json!(0), |unread| unread["unread_messages"].clone());
        assert_eq!(count, answer["unread"]["unread_messages"], "her own count goes on");
    }

    /// What a position that nobody is to see looks like, as its user sees it.
    async fn marks(&mut self, user: usize, channel: usize) {
        self.seen.hidden += 1;
        let state = self.person(user).get(&at(CHANNELS[channel])).await;
        let text = state.text().to_owned();
        let begin = format!(r#"{{"user_id":"{}","last_read_seq":"#, USERS[user]);
        let begin = text.find(&begin).expect("one sees one's own position");
        let end = begin + text[begin..].find('}').unwrap();
        self.markers.push((user, text[begin..end].to_owned()));
    }

    async fn marks_unread(&mut self) {
        if self.messages.is_empty() {
            return;
        }
        let (user, _) = self.at_random();
        let at_message = self.random.random_range(0..self.messages.len());
        let (channel, id) = self.messages[at_message].clone();
        let path = at(&format!("{}/unread", CHANNELS[channel]));
        let answer = self.person(user).post(&path, json!({ "message_id": id })).await.ok();
        let now = answer["unread"]["last_read_seq"].as_u64().unwrap();
        self.position.insert((user, channel), now);
        // Where a position is seen, so is the step back; where none is, no step is.
        self.visible.entry((user, channel)).and_modify(|seen| *seen = now);
    }

    async fn types(&mut self) {
        let at_line = self.random.random_range(0..self.lines.len());
        let (_, channel) = self.at_random();
        let user = self.lines[at_line].user;
        let starts = self.random.random_range(0..4) > 0;
        let signal = if starts { "typing.start" } else { "typing.stop" };
        let topic = format!("channel:{}", CHANNELS[channel]);
        let frame = json!({"type": "signal", "topic": topic, "signal": {"type": signal}});
        if self.random.random_range(0..4) == 0 {
            return self.polls(user, json!({ "frames": [frame] })).await;
        }
        match &mut self.lines[at_line].carrier {
            Carrier::Socket(live) => live.says(&frame).await,
            Carrier::Stream(stream) => drop(stream.says(&frame).await.ok()),
        }
        self.settles().await;
        let heard: Vec<_> = self.heard_typing.iter().filter(|(typist, _)| *typist == user).collect();
        let others = self.lines.len() - 1;
        let expected = if starts && self.shows[user].typing { others } else { 0 };
        assert_eq!(heard.len(), expected, "seed {}: {} types", self.seed, USERS[user]);
    }

    /// A connection takes the place of another of its user, and has everything told again.
    async fn comes_anew(&mut self) {
        let at_line = self.random.random_range(0..self.lines.len());
        let Line { user, carrier } = self.lines.remove(at_line);
        if let Carrier::Socket(live) = carrier {
            live.breaks();
        }
        let is_stream = self.random.random();
        self.connects(user, is_stream, json!({})).await;
        let watch: Vec<_> =
            CHANNELS.iter().map(|cid| json!({"topic": format!("channel:{cid}"), "after": 0})).collect();
        let watch = json!({"type": "watch", "topics": watch});
        match &mut self.lines.last_mut().unwrap().carrier {
            Carrier::Socket(live) => live.says(&watch).await,
            Carrier::Stream(stream) => drop(stream.says(&watch).await.ok()),
        }
        let ready = self.person(user).connects().await.ready;
        let cursors: BTreeMap<_, _> = CHANNELS.iter().map(|cid| (format!("channel:{cid}"), 0)).collect();
        let resume = json!({"epoch": ready["epoch"], "as_of": ready["as_of"], "cursors": cursors});
        self.polls(user, json!({ "resume": resume })).await;
    }

    async fn leaves_and_joins(&mut self) {
        let (user, channel) = (self.random.random_range(1..4), self.random.random_range(0..3));
        let backend = self.server.backend();
        backend.removes(CHANNELS[channel], &[USERS[user]]).await;
        self.visible.remove(&(user, channel));
        backend.adds(CHANNELS[channel], &[USERS[user]]).await;
        self.joined(user, channel).await;
    }

    /// To join is to have read what was before.
    async fn joined(&mut self, user: usize, channel: usize) {
        let state = self.person(user).get(&at(CHANNELS[channel])).await.ok();
        let position = state["unread"]["last_read_seq"].as_u64().unwrap();
        self.position.insert((user, channel), position);
        if self.shows[user].reads {
            self.visible.insert((user, channel), position);
        }
    }

    /// Somebody asks for something that others may be seen in.
    async fn looks(&mut self) {
        let (user, channel) = self.at_random();
        let cid = CHANNELS[channel];
        let (person, viewer) = match self.random.random_range(0..4) {
            0 => (self.server.backend(), None),
            1 => (self.server.backend().acting_as(USERS[user]), Some(user)),
            _ => (self.person(user), Some(user)),
        };
        let state = self.asks(&person, viewer, "GET", &at(cid), None).await.ok();
        self.shows_positions(viewer, channel, &state);
        let made = self.asks(&person, viewer, "POST", &at(cid), Some(json!({"messages": 10}))).await.ok();
        self.shows_positions(viewer, channel, &made);
        let changed = json!({"set": {"topic": format!("{:x}", self.random.random::<u32>())}});
        let backend = self.server.backend();
        let changed = self.asks(&backend, None, "PATCH", &at(cid), Some(changed)).await.ok();
        self.shows_positions(None, channel, &changed);
        let query = json!({"filter": {"cid": {"$in": CHANNELS}}});
        let found = self.asks(&person, viewer, "POST", "/v1/channels", Some(query)).await.ok();
        for state in found["channels"].as_array().unwrap() {
            let channel = CHANNELS.iter().position(|cid| state["channel"]["cid"] == *cid).unwrap();
            self.shows_positions(viewer, channel, state);
        }
        let mut paths = vec![at(&format!("{cid}/members")), at(&format!("{cid}/messages?limit=50"))];
        paths.push("/v1/users?ids=alice,bob,carol,dave".to_owned());
        paths.extend(viewer.map(|_| "/v1/unread".to_owned()));
        paths.extend(viewer.map(|_| "/v1/me".to_owned()));
        for path in paths {
            self.asks(&person, viewer, "GET", &path, None).await.ok();
        }
    }

    /// The positions in a channel's state are one's own and those that may be seen: no more, and no fewer.
    fn shows_positions(&mut self, viewer: Option<usize>, channel: usize, state: &Value) {
        let shown: BTreeSet<(usize, u64)> = state["reads"]
            .as_array()
            .unwrap()
            .iter()
            .map(|read| (number_of(&read["user_id"]), read["last_read_seq"].as_u64().unwrap()))
            .collect();
        let own = viewer.map(|viewer| (viewer, self.position[&(viewer, channel)]));
        let of_others = (0..4).filter(|user| Some(*user) != viewer && self.shows[*user].reads);
        let of_others = of_others.filter_map(|user| Some((user, *self.visible.get(&(user, channel))?)));
        let expected: BTreeSet<_> = of_others.chain(own).collect();
        assert_eq!(shown, expected, "seed {}: seen by {viewer:?}", self.seed);
        self.seen.positions += shown.len();
    }

    /// Asks, and judges the answer.
    async fn asks(
        &mut self,
        person: &Person,
        viewer: Option<usize>,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let body = body.map(|body| body.to_string());
        let answer = person.asks(method, path, body.as_deref().map(str::as_bytes)).await;
        self.judge(viewer, None, answer.text());
        answer
    }

    async fn connects(&mut self, user: usize, as_stream: bool, fields: Value) {
        let person = self.person(user);
        let carrier = if as_stream {
            Carrier::Stream(Box::new(person.streams_with(fields).await))
        } else {
            Carrier::Socket(Box::new(person.connects_with(fields).await))
        };
        let ready = match &carrier {
            Carrier::Socket(live) => live.ready.to_string(),
            Carrier::Stream(stream) => stream.ready.to_string(),
        };
        self.judge(Some(user), None, &ready);
        self.lines.push(Line { user, carrier });
        if self.lines.len() > 12 {
            self.lines.remove(0);
        }
    }

    /// A poll of its own, whose connection ends by itself.
    async fn polls(&mut self, user: usize, fields: Value) {
        let person = self.person(user);
        let answer = person.asks_to_poll(&person.hello_with(fields)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.judge(Some(user), None, answer.text());
    }

    /// Judges everything that the server has for every line.
    async fn settles(&mut self) {
        let mut lines = std::mem::take(&mut self.lines);
        for (number, line) in lines.iter_mut().enumerate() {
            // The first answer may overtake what waits; by the second, it has been taken out.
            for _ in 0..2 {
                self.pings += 1;
                let pong = format!(r#"{{"type":"pong","id":{}}}"#, self.pings);
                let ping = json!({"type": "ping", "id": self.pings});
                let texts = line.carrier.until(&ping, &pong).await;
                for text in texts {
                    self.judge(Some(line.user), Some(number), &text);
                }
            }
        }
        self.lines = lines;
    }

    /// Judges one text that somebody gets: as bytes, and by what it says.
    fn judge(&mut self, viewer: Option<usize>, line: Option<usize>, text: &str) {
        let seed = self.seed;
        for (owner, marker) in &self.markers {
            assert!(
                Some(*owner) == viewer || !text.contains(marker),
                "seed {seed}: {marker} is seen by {viewer:?} in {text}"
            );
        }
        self.judge_value(viewer, line, &serde_json::from_str(text).unwrap());
    }

    fn judge_value(&mut self, viewer: Option<usize>, line: Option<usize>, value: &Value) {
        let fields = match value {
            Value::Array(values) => {
                return values.iter().for_each(|value| self.judge_value(viewer, line, value));
            }
            Value::Object(fields) => fields,
            _ => return,
        };
        let seed = self.seed;
        let owner = match (&value["user_id"], &value["user"]["id"], &value["id"]) {
            (Value::String(id), _, _) | (_, Value::String(id), _) | (_, _, Value::String(id)) => {
                USERS.iter().position(|user| user == id)
            }
            _ => None,
        };
        let is_own = owner == viewer;
        if let (Some(owner), false) = (owner, is_own) {
            let settings = fields.get("privacy_settings");
            assert!(viewer.is_none() || settings.is_none(), "seed {seed}: {viewer:?} sees {value}");
            if let Some(seq) = value["last_read_seq"].as_u64() {
                let may_be_seen = self.shows[owner].reads;
                assert!(may_be_seen, "seed {seed}: {viewer:?} sees {seq} of {}: {value}", USERS[owner]);
            }
        }
        match (value["type"].as_str(), owner) {
            (Some("message.read"), Some(owner)) => {
                let channel = CHANNELS.iter().position(|cid| value["cid"] == *cid).unwrap();
                let seq = value["last_read_seq"].as_u64().unwrap();
                assert!(self.told.contains(&(owner, channel, seq)), "seed {seed}: {value}");
                self.seen.receipts += 1;
            }
            (Some("typing.start"), Some(owner)) => {
                assert!(self.shows[owner].typing, "seed {seed}: {viewer:?} hears {value}");
                self.heard_typing.extend(line.map(|line| (owner, line)));
                self.seen.typing += 1;
            }
            (Some("typing.stop"), Some(owner)) => {
                let may = self.shows[owner].typing || self.showed[owner].typing;
                assert!(may, "seed {seed}: {viewer:?} hears {value}");
            }
            _ => {}
        }
        if let (Some(topic), Some(viewer)) = (value["topic"].as_str(), viewer)
            && topic.starts_with("user:")
        {
            assert_eq!(topic, format!("user:{}", USERS[viewer]), "seed {seed}");
        }
        fields.values().for_each(|value| self.judge_value(viewer, line, value));
    }
}

fn number_of(id: &Value) -> usize {
    USERS.iter().position(|user| id == *user).unwrap()
}

impl Carrier {
    /// Says a ping; the texts that come before its answer, as they come.
    async fn until(&mut self, ping: &Value, pong: &str) -> Vec<String> {
        let mut texts = Vec::new();
        match self {
            Self::Socket(live) => live.socket.send(Message::text(ping.to_string())).await.unwrap(),
            Self::Stream(stream) => drop(stream.says(ping).await.ok()),
        }
        loop {
            let text = match self {
                Self::Socket(live) => match soon(live.socket.next()).await.unwrap().unwrap() {
                    Message::Text(text) => text.to_string(),
                    _ => continue,
                },
                Self::Stream(stream) => match stream.block().await.unwrap().strip_prefix("data: ") {
                    Some(data) => data.trim_end().to_owned(),
                    None => continue,
                },
            };
            let frame: Value = serde_json::from_str(&text).unwrap();
            match kind(&frame) {
                "pong" if text == pong => return texts,
                "ping" => self.answers().await,
                _ => texts.push(text),
            }
        }
    }

    async fn answers(&mut self) {
        let pong = json!({"type": "pong"});
        match self {
            Self::Socket(live) => live.says(&pong).await,
            Self::Stream(stream) => drop(stream.says(&pong).await),
        }
    }
}
