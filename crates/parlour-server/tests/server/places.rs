//! As many connections as a user may have: who holds a place, who loses it, and who is not let in.

use std::collections::BTreeSet;
use std::time::Duration;

use parlour_server::Config;
use parlour_server::config::{Mode, OnConnectionLimit};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::kit::{EventStream, Heard, Live, Person, TestServer, check_error, kind, kinds, soon};
use crate::simulated::World;
use crate::still::{Line, Still, pass};

const SECOND: Duration = Duration::from_secs(1);

fn refuse(config: &mut Config) {
    config.limits.on_connection_limit = OnConnectionLimit::Refuse;
}

fn on(device: &str) -> Value {
    json!({ "device": device })
}

/// Nothing but pings came.
fn heard_nothing(line: &mut Line) -> bool {
    line.heard().iter().all(|heard| kind(&heard.frame) == "ping")
}

/// The last words, of whatever came before.
fn bye(frames: &[Value]) -> &Value {
    frames.last().filter(|frame| frame["type"] == "bye").unwrap_or_else(|| panic!("no bye in {frames:?}"))
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_within_a_second_makes_room_and_who_does_stays_l6_32() {
    let server = Still::with(|_| {}).await;
    // By its state it would be the first to go.
    let mut background = server.connects("alice", json!({"app_state": "background"})).await;
    let (mut first, mut second) =
        (server.connects("alice", on("one")).await, server.connects("alice", on("two")).await);
    first.falls_silent();
    second.falls_silent();
    pass(2 * SECOND).await;
    let began = Instant::now();
    let mut newcomer = server.connects("alice", on("three")).await;
    assert_eq!(began.elapsed().as_millis() / 10, 100, "{:?}: both at once, and no longer", began.elapsed());
    // Of the two, one has lost its place to the newcomer; there is one for the other, if it can come.
    let (frames, code) = first.until_closed().await;
    assert_eq!((&code, &bye(&frames)["replaced_by"]["device"]), (&json!(4005), &json!("three")));
    let (frames, code) = second.until_closed().await;
    assert_eq!((&code, &bye(&frames)["code"]), (&json!(4201), &json!(4201)));
    let began = Instant::now();
    let mut second = server.connects("alice", on("two")).await;
    assert!(began.elapsed() < SECOND / 10, "there is a place, and nobody has to be asked");
    pass(SECOND).await;
    assert!(heard_nothing(&mut background) && heard_nothing(&mut newcomer) && heard_nothing(&mut second));
}

#[tokio::test(start_paused = true)]
async fn where_everybody_answers_a_newcomer_does_not_wait_and_the_stalest_goes_l6_31_l6_32() {
    let server = Still::with(|_| {}).await;
    let mut lines = Vec::new();
    for device in ["one", "two", "three"] {
        lines.push(server.connects("alice", on(device)).await);
        pass(5 * SECOND).await;
    }
    let began = Instant::now();
    server.connects("alice", on("four")).await;
    assert!(began.elapsed() < SECOND / 10, "{:?}", began.elapsed());
    let (frames, code) = lines[0].until_closed().await;
    assert_eq!((&code, &bye(&frames)["replaced_by"]["device"]), (&json!(4005), &json!("four")));
    assert!(heard_nothing(&mut lines[1]) && heard_nothing(&mut lines[2]));
}

#[tokio::test(start_paused = true)]
async fn an_app_can_have_the_newcomer_refused_who_is_told_what_to_do_l6_33_l7_16() {
    let server = Still::with(refuse).await;
    let mut lines = Vec::new();
    for device in ["Alice's phone", "Alice's laptop", "Alice's car"] {
        lines.push(server.connects("alice", json!({"device": device, "app_state": "hidden"})).await);
    }
    pass(5 * SECOND).await;
    let (frames, code) = server.dials("alice", on("new")).await.until_closed().await;
    assert_eq!((kinds(&frames), &code), (vec!["error"], &json!(4009)));
    let error = &frames[0]["error"];
    check_error(error);
    assert_eq!(error["code"], "too_many_connections");
    let message = error["message"].as_str().unwrap();
    assert_eq!(
        message,
        "alice has 3 connections (Alice's phone, Alice's laptop, Alice's car), and this app allows 3. \
         Close one of them, and connect again."
    );
    // Other users have places of their own, and who comes back takes its own.
    server.connects("bob", json!({})).await;
    let phone = json!({"replaces": lines[0].ready["connection_id"]});
    let mut phone = server.connects("alice", phone).await;
    assert_eq!(lines.remove(0).until_closed().await.1, 4005);
    assert!(lines.iter_mut().all(heard_nothing) && heard_nothing(&mut phone));
    // Who goes makes room.
    phone.leaves().await;
    pass(SECOND).await;
    let mut fourth = server.connects("alice", on("new")).await;
    // And so does who is dead.
    lines[0].falls_silent();
    pass(2 * SECOND).await;
    server.connects("alice", on("newer")).await;
    let (frames, code) = lines[0].until_closed().await;
    assert_eq!((&code, &bye(&frames)["replaced_by"]["device"]), (&json!(4005), &json!("newer")));
    assert!(heard_nothing(&mut lines[1]) && heard_nothing(&mut fourth));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_taken_for_dead_while_the_server_itself_is_late_l6_3_l6_32() {
    let server = Still::with(|config| {
        refuse(config);
        config.limits.connections_per_user = Some(1);
    })
    .await;
    let mut slow = server.connects("alice", json!({})).await;
    slow.falls_silent();
    pass(2 * SECOND).await;
    let mut newcomer = server.dials("alice", json!({})).await;
    slow.hears("ping").await;
    // Five seconds in which the server does nothing; the answer waits to be read.
    tokio::time::advance(5 * SECOND).await;
    slow.says(&json!({"type": "pong"})).await;
    assert_eq!(newcomer.until_closed().await.1, 4009);
    assert!(heard_nothing(&mut slow));
}

#[tokio::test(start_paused = true)]
async fn who_still_reads_what_it_was_sent_is_not_dead_l6_32_l9_17() {
    let world = World::with(|config| {
        refuse(config);
        config.limits.connections_per_user = Some(1);
    })
    .await;
    world.backend("POST", "/v1/users", json!({"users": [{"id": "alice"}, {"id": "bob"}]})).await;
    let members = json!({"members": ["bob"]});
    world.asks("alice", "POST", "/v1/channels/messaging/general", members).await;
    // A link of a kilobyte per second, and minutes of messages: a ping stands behind them.
    let mut slow = world.dials("alice", 1_000).await;
    slow.hears("ready").await;
    for _ in 0..40 {
        let message = json!({"message": {"text": "x".repeat(4_000)}});
        world.asks("bob", "POST", "/v1/channels/messaging/general/messages", message).await;
    }
    let reading = tokio::spawn(async move { slow.until_closed().await });
    pass(20 * SECOND).await;
    let first = world.dials("alice", 1_000_000).await.next().await;
    assert!(
        matches!(&first, Heard::Frame(first) if first["error"]["code"] == "too_many_connections"),
        "{first:?}"
    );
    pass(20 * SECOND).await;
    assert!(!reading.is_finished() && world.connections().await == 1);
    reading.abort();
}

#[tokio::test(start_paused = true)]
async fn slow_devices_do_not_throw_each_other_out_in_turn_l6_32_l6_35() {
    let server = Still::with(|config| config.limits.connections_per_user = Some(2)).await;
    // Each answers too slowly to be taken for alive, and does what the code says that it is closed with.
    let mut there = Vec::new();
    let (mut dials, mut stay_away) = (0, 0);
    let mut coming: Vec<String> = (0..5).map(|n| format!("d{n}")).collect();
    while let Some(device) = coming.pop() {
        let line = server.connects("alice", on(&device)).await;
        line.falls_silent();
        there.push((device, line));
        dials += 1;
        pass(2 * SECOND).await;
        let mut kept = Vec::new();
        for (device, mut line) in there {
            let closed = line.heard().into_iter().find(|heard| heard.frame["type"] == "closed");
            match closed.map(|heard| heard.frame["code"].as_u64().unwrap()) {
                None => kept.push((device, line)),
                Some(4201) => coming.push(device),
                Some(4005) => stay_away += 1,
                Some(code) => panic!("{code}"),
            }
        }
        there = kept;
        assert!(dials < 20, "they take each other's place for ever");
    }
    assert_eq!((there.len(), stay_away), (2, 3));
}

#[tokio::test]
async fn a_poller_holds_its_place_for_its_lease_and_whoever_is_refused_is_told_on_every_transport_l6_33_l7_16()
 {
    let server = TestServer::with(|config| {
        refuse(config);
        config.limits.connections_per_user = Some(1);
        config.limits.poll_hold_ms = 1_500;
    })
    .await;
    let alice = server.user("alice");
    let ready = alice.polls(&alice.hello()).await.remove(0);
    // Also when it has been answered long ago: between two polls it has nothing to say.
    let clock = server.user("clock");
    let other = clock.polls(&clock.hello()).await.remove(0);
    clock.polls(&clock.hello_with(json!({"replaces": other["connection_id"]}))).await;
    let refused = |error: &Value| {
        check_error(error);
        assert_eq!(error["code"], "too_many_connections");
        assert!(error["message"].as_str().unwrap().contains("Close one of them"), "{error}");
    };
    let (error, code) = alice.is_refused(&alice.hello()).await;
    refused(&error);
    assert_eq!(code, 4009);
    let frames = alice.opens_stream(&alice.hello()).await.until_over().await;
    assert_eq!((kinds(&frames), &frames[1]["code"]), (vec!["error", "bye"], &json!(4009)));
    refused(&frames[0]["error"]);
    let frames = alice.polls(&alice.hello()).await;
    assert_eq!((kinds(&frames), &frames[1]["code"]), (vec!["error", "bye"], &json!(4009)));
    refused(&frames[0]["error"]);
    // Its own next poll is no newcomer, and its goodbye makes room.
    let next = alice.hello_with(json!({
        "replaces": ready["connection_id"], "frames": [{"type": "bye", "intent": "leave"}],
    }));
    assert_eq!(kinds(&alice.polls(&next).await), ["ready", "bye"]);
    soon(async {
        while server.backend().get("/v1/usage").await.ok()["concurrent_connections"]["current"] != 1 {}
    })
    .await;
    alice.connects().await;
}

/// One of many that come at once; reads and answers for as long as it is there.
struct Guest {
    person: Person,
    number: usize,
    told: mpsc::Sender<Told>,
}

/// What a guest was told.
#[derive(Debug)]
enum Told {
    In { number: usize },
    Refused { code: u64, error: Value },
    Ended { number: usize, bye: Value },
}

impl Guest {
    fn hello(&self, fields: Value) -> Value {
        let mut hello = self.person.hello_with(json!({
            "client": {"instance": format!("i{}", self.number), "version": 1},
            "device": format!("d{}", self.number),
            "heartbeat_ms": 5_000,
        }));
        hello.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        hello
    }

    async fn tells(&self, told: Told) {
        let _ = self.told.send(told).await;
    }

    /// By WebSocket, event stream or long-poll, in turn.
    async fn comes(self) {
        match self.number % 3 {
            0 => self.comes_by_socket().await,
            1 => self.comes_by_stream().await,
            _ => self.comes_by_polls().await,
        }
    }

    async fn comes_by_socket(self) {
        let mut live = self.person.dials(&self.hello(json!({}))).await;
        let Heard::Frame(first) = live.next().await else { panic!("closed without a word") };
        if first["type"] == "error" {
            let code = live.until_closed().await.1.unwrap().into();
            return self.tells(Told::Refused { code, error: first["error"].clone() }).await;
        }
        self.tells(Told::In { number: self.number }).await;
        let (frames, code) = live.until_closed().await;
        let bye = bye(&frames).clone();
        assert_eq!(bye["code"], code.unwrap());
        self.tells(Told::Ended { number: self.number, bye }).await;
    }

    async fn comes_by_stream(self) {
        let mut stream = self.person.opens_stream(&self.hello(json!({}))).await;
        let first = stream.next().await.unwrap();
        if first["type"] == "error" {
            let code = bye(&stream.until_over().await)["code"].as_u64().unwrap();
            return self.tells(Told::Refused { code, error: first["error"].clone() }).await;
        }
        stream.ready = first;
        self.tells(Told::In { number: self.number }).await;
        // By itself: its place may be lost while the answer is on its way, and then nobody takes it.
        stream.answers_pings = false;
        let mut frames = Vec::new();
        while let Some(frame) = stream.next().await {
            if frame["type"] == "ping" {
                stream.says(&json!({"type": "pong"})).await;
            }
            frames.push(frame);
        }
        let bye = bye(&frames).clone();
        self.tells(Told::Ended { number: self.number, bye }).await;
    }

    async fn comes_by_polls(self) {
        let mut frames = self.person.polls(&self.hello(json!({}))).await;
        if frames[0]["type"] == "error" {
            let (code, error) = (bye(&frames)["code"].as_u64().unwrap(), frames[0]["error"].clone());
            return self.tells(Told::Refused { code, error }).await;
        }
        self.tells(Told::In { number: self.number }).await;
        while frames.last().unwrap()["type"] != "bye" {
            let replaces = json!({"replaces": frames[0]["connection_id"]});
            frames = self.person.polls(&self.hello(replaces)).await;
        }
        self.tells(Told::Ended { number: self.number, bye: bye(&frames).clone() }).await;
    }
}

const NEWCOMERS: usize = 200;

/// How many may be there.
#[derive(Clone, Copy)]
struct Scale {
    mode: Mode,
    limit: usize,
    /// Of those who are there when the newcomers come, and nobody reads what is sent to them.
    dead: usize,
}

const PRODUCTION: Scale = Scale { mode: Mode::Production, limit: 50, dead: 25 };
const DEVELOPMENT: Scale = Scale { mode: Mode::Development, limit: 3, dead: 1 };

/// A user with as many connections as allowed, half of them dead, and a storm of newcomers.
struct Storm {
    scale: Scale,
    server: TestServer,
    told: mpsc::Receiver<Told>,
    dead: (Vec<Live>, Vec<EventStream>),
    guests: tokio::task::JoinSet<()>,
    /// How many connections were counted, at any time that it was asked for.
    seen: BTreeSet<u64>,
}

impl Storm {
    /// Until every newcomer knows whether it is in; what was told until then.
    async fn breaks_out(scale: Scale, on_limit: OnConnectionLimit) -> (Self, Vec<Told>) {
        let server = TestServer::with(|config| {
            config.app.mode = Some(scale.mode);
            config.limits.on_connection_limit = on_limit;
            // Two hundred and fifty clients in one process, beside other tests: they have a little longer to answer.
            config.limits.probe_wait_ms = 3_000;
            config.limits.poll_hold_ms = 400;
        })
        .await;
        let alice = server.user("alice");
        let (tell, mut told) = mpsc::channel(1_000);
        let mut guests = tokio::task::JoinSet::new();
        let guest = |number| Guest { person: alice.clone(), number, told: tell.clone() };
        // The dead first: the living are silent for less long.
        let (mut sockets, mut streams) = (Vec::new(), Vec::new());
        for n in 0..scale.dead {
            let client = json!({"client": {"instance": format!("dead{n}"), "version": 1}});
            match n % 2 {
                0 => sockets.push(alice.connects_with(client).await),
                _ => streams.push(alice.streams_with(client).await),
            }
        }
        for number in 0..scale.limit - scale.dead {
            guests.spawn(guest(NEWCOMERS + number).comes());
            assert!(matches!(soon(told.recv()).await, Some(Told::In { .. })));
        }
        // Until the dead have been silent for a second.
        let filled = Instant::now();
        while filled.elapsed() < Duration::from_millis(1_200) {
            server.lives().await;
        }
        let mut storm = Self { scale, server, told, dead: (sockets, streams), guests, seen: BTreeSet::new() };
        for number in 0..NEWCOMERS {
            storm.guests.spawn(guest(number).comes());
        }
        let (mut said, mut decided) = (Vec::new(), 0);
        while decided < NEWCOMERS {
            let next = soon(storm.told.recv()).await.unwrap();
            decided += usize::from(!matches!(next, Told::Ended { .. }));
            said.push(next);
            if said.len().is_multiple_of(8) {
                storm.counts().await;
            }
        }
        (storm, said)
    }

    async fn counts(&mut self) -> Value {
        let usage = self.server.backend().get("/v1/usage").await.ok();
        let counts = usage["concurrent_connections"].clone();
        self.seen.insert(counts["current"].as_u64().unwrap());
        counts
    }

    /// Never more than allowed at any instant, says the count that every admission takes, and every look at it.
    async fn checks_counts(&mut self) {
        let counts = self.counts().await;
        assert_eq!(
            (&counts["current"], &counts["peak_month"]),
            (&json!(self.scale.limit), &json!(self.scale.limit))
        );
        assert!(self.seen.iter().all(|count| *count <= self.scale.limit as u64), "{:?}", self.seen);
    }

    /// What the dead were told, when they are looked at.
    async fn last_words_of_the_dead(&mut self) -> Vec<Value> {
        let mut words = Vec::new();
        for live in &mut self.dead.0 {
            words.push(bye(&live.until_closed().await.0).clone());
        }
        for stream in &mut self.dead.1 {
            stream.answers_pings = false;
            words.push(bye(&stream.until_over().await).clone());
        }
        words
    }
}

async fn all_are_let_in_and_the_losers_told(scale: Scale) {
    let Scale { limit, dead, .. } = scale;
    let (mut storm, mut said) = Storm::breaks_out(scale, OnConnectionLimit::Evict).await;
    // All but those who are there at the end, and the dead, who have not been looked at.
    while said.len() < NEWCOMERS + (limit - dead) + (NEWCOMERS - limit) {
        said.push(soon(storm.told.recv()).await.unwrap());
    }
    let (mut came, mut ended) = (BTreeSet::new(), BTreeSet::new());
    for told in said {
        match told {
            Told::In { number } => assert!(came.insert(number), "{number} came twice"),
            Told::Ended { number, bye } => {
                assert_eq!(bye["code"], 4005, "{bye}");
                assert!(bye["replaced_by"]["device"].as_str().unwrap().starts_with('d'), "{bye}");
                assert!(ended.insert(number), "{number} was ended twice");
            }
            Told::Refused { code, error } => panic!("{code}: {error}"),
        }
    }
    assert_eq!((came.len(), ended.len()), (NEWCOMERS, NEWCOMERS - dead));
    storm.checks_counts().await;
    assert!(storm.last_words_of_the_dead().await.iter().all(|bye| bye["code"] == 4005));
    assert!(storm.told.try_recv().is_err(), "and nobody loses a place after that");
}

async fn newcomers_take_the_places_of_the_dead_and_no_more(scale: Scale) {
    let (mut storm, said) = Storm::breaks_out(scale, OnConnectionLimit::Refuse).await;
    let allows = format!("this app allows {}", scale.limit);
    let (mut came, mut refused) = (0, 0);
    for told in said {
        match told {
            Told::In { .. } => came += 1,
            Told::Refused { code, error } => {
                check_error(&error);
                assert_eq!((code, &error["code"]), (4009, &json!("too_many_connections")));
                assert!(error["message"].as_str().unwrap().contains(&allows), "{error}");
                refused += 1;
            }
            Told::Ended { number, bye } => panic!("{number} was there, and lost its place: {bye}"),
        }
    }
    assert_eq!((came, refused), (scale.dead, NEWCOMERS - scale.dead));
    storm.checks_counts().await;
    assert!(storm.last_words_of_the_dead().await.iter().all(|bye| bye["code"] == 4005));
    assert!(storm.told.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_dials_where_the_stalest_goes_are_all_let_in_and_the_losers_told_l6_30_l6_32_l6_34_f5_18()
{
    all_are_let_in_and_the_losers_told(PRODUCTION).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_dials_where_newcomers_are_refused_take_the_places_of_the_dead_and_no_more_l6_32_l6_33() {
    newcomers_take_the_places_of_the_dead_and_no_more(PRODUCTION).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_developing_two_hundred_dials_share_three_places_whoever_goes_l6_30_l6_33_f5_18() {
    all_are_let_in_and_the_losers_told(DEVELOPMENT).await;
    newcomers_take_the_places_of_the_dead_and_no_more(DEVELOPMENT).await;
}

/// A device that does what it is told, as an SDK does.
#[derive(Default)]
struct Device {
    line: Option<Line>,
    /// What its last connection was called.
    last: Value,
    /// Another one took its place: it waits for its user.
    is_away: bool,
}

/// Some devices of one user, more than may be connected.
struct Household {
    server: Still,
    devices: Vec<Device>,
    dials: usize,
}

impl Household {
    async fn dials(&mut self, n: usize, state: &str) {
        self.dials += 1;
        let mut fields = json!({
            "device": format!("d{n}"), "app_state": state,
            "client": {"instance": format!("d{n}"), "page": "p", "version": 1},
        });
        if !self.devices[n].last.is_null() {
            fields["replaces"] = self.devices[n].last.clone();
        }
        let line = self.server.connects("alice", fields).await;
        self.devices[n] =
            Device { last: line.ready["connection_id"].clone(), line: Some(line), is_away: false };
    }

    /// Everybody does what the server said, until nobody has anything to do.
    async fn settles(&mut self) {
        loop {
            pass(2 * SECOND).await;
            let mut back = Vec::new();
            for (n, device) in self.devices.iter_mut().enumerate() {
                let Some(line) = &mut device.line else { continue };
                let closed = line.heard().into_iter().find(|heard| heard.frame["type"] == "closed");
                match closed.map(|heard| heard.frame["code"].as_u64().unwrap()) {
                    None => continue,
                    Some(4005) => device.is_away = true,
                    Some(4201) => back.push(n),
                    Some(code) => panic!("{code}"),
                }
                device.line = None;
            }
            if back.is_empty() {
                return;
            }
            for n in back {
                self.dials(n, "background").await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_devices_and_networks_do_places_come_to_rest_l6_35_l9_20() {
    for seed in 0..30 {
        println!("seed {seed}");
        let mut dice = StdRng::seed_from_u64(seed);
        let server = Still::with(|config| config.limits.connections_per_user = Some(2)).await;
        let devices = (0..5).map(|_| Device::default()).collect();
        let mut home = Household { server, devices, dials: 0 };
        let (mut causes, steps) = (0, 40);
        for _ in 0..steps {
            let n = dice.random_range(0..5);
            match dice.random_range(0..5) {
                // The user takes it into her hands.
                0 | 1 => {
                    causes += 1;
                    home.dials(n, "foreground").await;
                }
                // The network loses it, and it comes back by itself, before the server knows or later.
                2 if home.devices[n].line.is_some() => {
                    causes += 1;
                    home.devices[n].line.as_ref().unwrap().falls_silent();
                    pass(SECOND * dice.random_range(0..20)).await;
                    home.dials(n, "background").await;
                }
                // It answers too slowly, and knows nothing of it.
                3 if home.devices[n].line.is_some() => {
                    causes += 1;
                    home.devices[n].line.as_ref().unwrap().falls_silent();
                }
                _ => {}
            }
            if dice.random_range(0..2) == 0 {
                home.settles().await;
            }
        }
        home.settles().await;
        // Each cause is worth one dial of its own, and at most one of another device that was only slow.
        assert!(home.dials <= 2 * causes, "{} dials for {causes} causes", home.dials);
        let before = home.dials;
        pass(300 * SECOND).await;
        home.settles().await;
        home.settles().await;
        assert!(home.dials <= before + 2, "those who were slow come back once, and then there is rest");
        let there = home.devices.iter().filter(|device| device.line.is_some()).count();
        let away = home.devices.iter().filter(|device| device.is_away).count();
        let came = home.devices.iter().filter(|device| !device.last.is_null()).count();
        assert_eq!((there, away), (came.min(2), came.saturating_sub(2)));
    }
}
