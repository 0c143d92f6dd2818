//! The real client reaches the real server through real proxies that are in the way, and says what was in the way.

#![expect(clippy::unwrap_used, reason = "a broken fixture is a failed test")]
#![expect(clippy::print_stdout, reason = "a run tells its figures")]

mod kit;

use std::time::{Duration, Instant};

use kit::proxies::Program::{HaProxy, Nginx, Squid};
use kit::proxies::{Line, TestProxy};
use kit::server::{Home, Server};
use parlour_client::{
    Builder, Cause, Channel, Client, ClientEvent, ConnectionStatus, Event, Events, FellBack, NO_DATA, Open,
    State, Transport,
};
use tokio::sync::watch;

/// By when a message has come and gone, whatever stands in the way.
const SOON: Duration = Duration::from_secs(5);
/// What has to come comes within this.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often better transports are tried again here, where people wait for ten minutes.
const CLIMB_EVERY: Duration = Duration::from_secs(1);
const SAY_EVERY: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_squid_denies_tunnels_she_chats_over_a_stream_and_climbs_when_it_permits_them_l6_16() {
    let scene = Scene::new().await;
    let squid = TestProxy::start(Squid, &scene.server_url, "denies").await;
    let alice = scene.client(&scene.server_url).proxy(&squid.url);
    scene.gets_through(&squid, alice, &[(Transport::EventStream, "403")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_haproxy_refuses_the_upgrade_she_chats_over_a_stream_and_climbs_when_it_passes_it() {
    let scene = Scene::new().await;
    let proxy = TestProxy::start(HaProxy, &scene.server_url, "refuses").await;
    scene.gets_through(&proxy, scene.client(&proxy.url), &[(Transport::EventStream, "403")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_haproxy_strips_the_upgrade_she_chats_over_a_stream_and_climbs_when_it_passes_it_l1_21() {
    let scene = Scene::new().await;
    let proxy = TestProxy::start(HaProxy, &scene.server_url, "strips").await;
    scene.gets_through(&proxy, scene.client(&proxy.url), &[(Transport::EventStream, "426")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_haproxy_drops_the_upgrade_she_chats_over_a_stream_and_climbs_when_it_passes_it_l6_14() {
    let scene = Scene::new().await;
    let proxy = TestProxy::start(HaProxy, &scene.server_url, "drops").await;
    scene.gets_through(&proxy, scene.client(&proxy.url), &[(Transport::EventStream, "no answer")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nginx_knows_no_upgrade_and_keeps_streams_she_polls_and_climbs_when_it_is_told_of_both() {
    let scene = Scene::new().await;
    let proxy = TestProxy::start(Nginx, &scene.server_url, "keeps").await;
    let falls = [(Transport::EventStream, "426"), (Transport::LongPoll, "no answer")];
    scene.gets_through(&proxy, scene.client(&proxy.url), &falls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_cut_when_silent_is_cut_twice_and_then_held_by_heartbeats_l6_2() {
    let scene = Scene::new().await;
    let (by_three, by_twenty, by_sixty) =
        tokio::join!(scene.is_cut(3, 9), scene.is_cut(20, 60), scene.is_cut(60, 65));
    println!("silence of 3, 20, 60 s was cut {by_three}, {by_twenty}, {by_sixty} times");
    // Two, where time passes evenly: silences that differ by more than a tenth are not the same.
    assert!((2..5).contains(&by_three) && (2..5).contains(&by_twenty));
    assert_eq!(by_sixty, 0, "the heartbeats of the server come before that");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_swallows_everything_is_replaced_within_35_seconds_and_after_a_wake_within_three_l9_10() {
    let scene = Scene::new().await;
    // The two have a line of their own each. With a dial, which takes its moment here too.
    let (in_front, woken) = tokio::join!(
        scene.is_replaced("in-front", async |_| {}),
        scene.is_replaced("woken", async |alice| alice.woke().await.unwrap()),
    );
    println!("replaced after {in_front:.1?} in front, {woken:.1?} after a wake");
    assert!(in_front < Duration::from_secs(36), "{in_front:?}");
    assert!(woken < Duration::from_secs(4), "{woken:?}");
}

/// A server, and Bob, whose way to it nothing stands in.
struct Scene {
    server: Server,
    server_url: String,
    bob: Client,
    _home: (Home, tempfile::TempDir),
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("data"));
        let server = home.start().await;
        let bob = server.client().build().unwrap();
        bob.connect_user("bob", server.backend().create_token("bob", None).unwrap()).await.unwrap();
        Self { server, server_url: home.url(), bob, _home: (home, folder) }
    }

    /// Begins Alice's client.
    fn client(&self, url: &str) -> Builder {
        self.server.client_by(url).climb_every(CLIMB_EVERY)
    }

    /// Alice connects, and has a channel with Bob.
    async fn connects(&self, name: &str, client: Builder) -> Alice {
        let backend = self.server.backend();
        backend.upsert_users([name.to_owned()]).await.unwrap();
        let cid = format!("with-{name}");
        let creator = backend.as_user(name).unwrap().channel("messaging", &cid).unwrap();
        creator.get_or_create(&["bob"], NO_DATA).await.unwrap();
        let client = client.build().unwrap();
        let events = client.events();
        client.connect_user(name, backend.create_token(name, None).unwrap()).await.unwrap();
        let channel = client.channel("messaging", &cid).unwrap();
        let bobs = self.bob.channel("messaging", &cid).unwrap();
        Alice { status: client.connection(), client, events, seen: Seen::default(), channel, bobs }
    }

    /// Alice gets through whatever stands in the way, says what it was, and is back on WebSocket when it is gone,
    /// with no break and nothing lost. `falls` is to where she falls back, and what is heard of the way before.
    async fn gets_through(&self, proxy: &TestProxy, client: Builder, falls: &[(Transport, &str)]) {
        let began = Instant::now();
        let mut alice = self.connects("alice", client).await;
        let (hello, hi) = tokio::join!(alice.channel.send("hello"), alice.bobs.send("hi"));
        hello.and(hi).unwrap();
        alice.hears("hello").await;
        alice.hears("hi").await;
        let took = began.elapsed();
        println!("{}: a message there and back after {took:.1?}", proxy.name());
        assert!(took < SOON);
        alice.says_why(falls);

        alice.seen = Seen::default();
        let bob = Bob::begin(alice.bobs.clone());
        // Meanwhile she climbs in vain, more than once.
        alice.hears("60").await;
        proxy.becomes("passes");
        alice.until(|status| status.transport == Some(Transport::WebSocket)).await;
        let last = bob.rest(5).await;
        alice.hears(&last.to_string()).await;
        let said: Vec<String> = (1..=last).map(|n| n.to_string()).collect();
        assert_eq!(alice.seen.texts, said);
        assert_eq!(alice.seen.breaks, [], "she was connected all the while");
        alice.channel.send("bye").await.unwrap();
        alice.hears("bye").await;
    }

    /// Something on the way cuts what was silent for `idle` seconds. Answers how often, before it has not for `quiet`.
    async fn is_cut(&self, idle: u64, quiet: u64) -> usize {
        let proxy = TestProxy::cutting(&format!("{idle}s"), &self.server_url).await;
        let mut alice = self.connects(&format!("alice-{idle}"), self.client(&proxy.url)).await;
        let quiet = Duration::from_secs(quiet);
        let mut cuts = 0;
        while alice.is_within(quiet, |status| status.state != State::Connected).await {
            alice.until(|status| status.state == State::Connected).await;
            cuts += 1;
            assert!(cuts < 5, "silence of {idle} s is cut again and again");
        }
        alice.bobs.send("still there").await.unwrap();
        alice.hears("still there").await;
        assert_eq!(alice.seen.breaks, vec![Cause::TransportClosed; cuts]);
        assert_eq!(alice.status.borrow().transport, Some(Transport::WebSocket));
        cuts
    }

    /// The line of a connected Alice swallows everything. How long until she has another one.
    async fn is_replaced(&self, name: &str, meanwhile: impl AsyncFnOnce(&Client)) -> Duration {
        let line = Line::start(&self.server_url).await;
        let mut alice = self.connects(name, self.client(&line.url)).await;
        // Her requests keep a connection open, too.
        alice.channel.send("before").await.unwrap();
        alice.hears("before").await;
        let before = alice.status.borrow().connection_id.clone();
        line.swallow();
        let began = Instant::now();
        alice.bobs.send("into the void").await.unwrap();
        meanwhile(&alice.client).await;
        let patience = Duration::from_secs(60);
        let is_new =
            |status: &ConnectionStatus| status.state == State::Connected && status.connection_id != before;
        alice.until_within(patience, is_new).await;
        let took = began.elapsed();
        alice.hears("into the void").await;
        let answered = tokio::time::timeout(SOON, alice.channel.send("after")).await;
        answered.expect("what she sends goes another way, too").unwrap();
        alice.hears("after").await;
        assert_eq!(alice.seen.texts, ["before", "into the void", "after"]);
        assert_eq!(alice.seen.breaks, [Cause::DeadLink]);
        took
    }
}

/// Alice, and what her client has told up to now.
struct Alice {
    client: Client,
    status: watch::Receiver<ConnectionStatus>,
    events: Events,
    seen: Seen,
    channel: Channel,
    /// The same channel, as Bob has it.
    bobs: Channel,
}

#[derive(Default)]
struct Seen {
    texts: Vec<String>,
    fell_back: Vec<FellBack>,
    /// Why she was not connected any more, each time.
    breaks: Vec<Cause>,
}

impl Alice {
    async fn hears(&mut self, text: &str) {
        let came = tokio::time::timeout(PATIENCE, async {
            while !self.seen.texts.iter().any(|heard| heard == text) {
                let event = self.events.next().await.unwrap();
                self.seen.take(event);
            }
        });
        assert!(came.await.is_ok(), "{text:?} did not come, but {:?}", self.seen.texts);
    }

    fn says_why(&self, falls: &[(Transport, &str)]) {
        let mut from = Transport::WebSocket;
        let told = &self.seen.fell_back;
        assert_eq!(told.len(), falls.len(), "{told:?}");
        for (FellBack { from: told_from, to, because }, (expected, cause)) in told.iter().zip(falls) {
            assert_eq!((*told_from, *to), (from, *expected));
            assert!(because.contains(cause), "{because:?} does not say {cause:?}");
            from = *to;
        }
        let status = self.status.borrow();
        assert_eq!(status.transport, Some(from));
        assert_eq!(status.fell_back.as_ref(), told.last());
    }

    async fn until(&mut self, is: impl FnMut(&ConnectionStatus) -> bool) {
        self.until_within(PATIENCE, is).await;
    }

    async fn until_within(&mut self, patience: Duration, is: impl FnMut(&ConnectionStatus) -> bool) {
        let came = self.is_within(patience, is).await;
        assert!(came, "within {patience:?} only {:?}", self.client.connection().borrow());
    }

    async fn is_within(&mut self, wait: Duration, is: impl FnMut(&ConnectionStatus) -> bool) -> bool {
        tokio::time::timeout(wait, self.status.wait_for(is)).await.is_ok()
    }
}

impl Seen {
    fn take(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Event(frame) => {
                if let Open::Known(Event::MessageNew { message, .. }) = &frame.event {
                    self.texts.push(message.text.clone());
                }
            }
            ClientEvent::FellBack(fell_back) => self.fell_back.push(fell_back),
            ClientEvent::Connection(change) if change.from == State::Connected => {
                self.breaks.push(change.cause);
            }
            ClientEvent::Reset { topic, reason, .. } => panic!("{topic} was reset: {reason:?}"),
            _ => {}
        }
    }
}

/// Says a number every 100 ms.
struct Bob {
    rest: watch::Sender<Option<u64>>,
    said: tokio::task::JoinHandle<u64>,
}

impl Bob {
    fn begin(channel: Channel) -> Self {
        let (rest, until) = watch::channel(None);
        let said = tokio::spawn(async move {
            let mut turns = tokio::time::interval(SAY_EVERY);
            let (mut said, mut last) = (0, None);
            while last.is_none_or(|last| said < last) {
                turns.tick().await;
                said += 1;
                channel.send(said.to_string()).await.unwrap();
                last = last.or_else(|| until.borrow().map(|more: u64| said + more));
            }
            said
        });
        Self { rest, said }
    }

    /// Says as many more, and answers with the last number.
    async fn rest(self, more: u64) -> u64 {
        self.rest.send_replace(Some(more));
        self.said.await.unwrap()
    }
}
