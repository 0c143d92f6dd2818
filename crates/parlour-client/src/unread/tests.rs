//! The tally against a server that counts naively, over many random histories.

use parlour_wire::channels::Channel;
use parlour_wire::frames::Limits;
use parlour_wire::users::{Me, User, UserBrief};
use parlour_wire::{ConnectionId, MessageId, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const ROOMS: usize = 3;

fn user(id: &str) -> UserBrief {
    UserBrief { id: UserId::parse(id).unwrap(), name: None, image: None }
}

fn now() -> Timestamp {
    Timestamp::default()
}

fn me() -> UserId {
    UserId::parse("me").unwrap()
}

fn cid(room: usize) -> Cid {
    format!("messaging:r{room}").parse().unwrap()
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    There,
    Deleted,
    Gone,
}

#[derive(Clone)]
struct Said {
    own: bool,
    silent: bool,
    system: bool,
    fate: Fate,
}

impl Said {
    fn counts(&self) -> bool {
        !self.own && !self.silent && !self.system && self.fate == Fate::There
    }
}

#[derive(Clone, Copy)]
enum Entry {
    Message,
    Deletion { of: Seq },
    Other,
}

#[derive(Default)]
struct Room {
    log: Vec<Entry>,
    said: BTreeMap<Seq, Said>,
    last_read: Seq,
    member: bool,
    /// What the client has been given.
    delivered: Seq,
}

impl Room {
    fn head(&self) -> Seq {
        self.log.len() as Seq
    }

    fn unread(&self) -> u64 {
        self.said.range(self.last_read + 1..).filter(|(_, said)| said.counts()).count() as u64
    }

    fn message(&self, room: usize, seq: Seq) -> Message {
        let said = &self.said[&seq];
        let deleted = said.fate != Fate::There;
        Message {
            id: MessageId::parse(&format!("m{room}-{seq}")).unwrap(),
            cid: cid(room),
            seq,
            message_type: match (deleted, said.system) {
                (true, _) => MessageType::Deleted,
                (false, true) => MessageType::System,
                (false, false) => MessageType::Regular,
            },
            text: String::new(),
            user: user(if said.own { "me" } else { "you" }),
            created_at: now(),
            updated_at: now(),
            edited_at: None,
            deleted_at: deleted.then_some(now()),
            attachments: Vec::new(),
            mentioned_users: Vec::new(),
            silent: said.silent,
            shadowed: false,
            custom: BTreeMap::new(),
        }
    }

    /// The event at a seq, rendered from the present state.
    fn event(&self, room: usize, seq: Seq) -> Event {
        let deleted = |of: Seq| Event::MessageDeleted {
            cid: cid(room),
            created_at: now(),
            message_id: MessageId::parse(&format!("m{room}-{of}")).unwrap(),
            message_seq: of,
            hard: self.said[&of].fate == Fate::Gone,
            message: (self.said[&of].fate == Fate::Deleted).then(|| self.message(room, of)),
        };
        match self.log[seq as usize - 1] {
            Entry::Message if self.said[&seq].fate == Fate::Gone => deleted(seq),
            Entry::Message => {
                Event::MessageNew { cid: cid(room), created_at: now(), message: self.message(room, seq) }
            }
            Entry::Deletion { of } => deleted(of),
            Entry::Other => Event::Placeholder { created_at: now() },
        }
    }

    fn snapshot(&self, room: usize) -> Unread {
        let (last_read_seq, unread_messages, head) = (self.last_read, self.unread(), self.head());
        Unread { cid: cid(room), last_read_seq, unread_messages, head }
    }
}

/// A call under way: asked, and perhaps answered by the server, the answer not yet there.
struct Load {
    want: Want,
    read: Option<Answer>,
}

enum Answer {
    All(UnreadTotals),
    Channel(Unread),
    NoMember,
}

struct World {
    rng: StdRng,
    rooms: Vec<Room>,
    user_log: Vec<Event>,
    user_delivered: usize,
    loads: Vec<Load>,
    tally: Tally,
    loaded: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let rooms = (0..ROOMS).map(|_| Room { member: true, ..Room::default() }).collect();
        let mut world = Self {
            rng: StdRng::seed_from_u64(seed),
            rooms,
            user_log: Vec::new(),
            user_delivered: 0,
            loads: Vec::new(),
            tally: Tally::default(),
            loaded: 0,
        };
        world.tally.clear(Some(me()));
        world
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.rng.random_range(0..sides)
    }

    fn any_seq(&mut self, room: usize) -> Option<Seq> {
        let seqs: Vec<Seq> = self.rooms[room].said.keys().copied().collect();
        (!seqs.is_empty()).then(|| seqs[self.roll(seqs.len())])
    }

    fn moved(&mut self, room: usize) {
        let Unread { cid, last_read_seq, unread_messages, head } = self.rooms[room].snapshot(room);
        self.user_log.push(Event::MarkRead { cid, created_at: now(), last_read_seq, unread_messages, head });
    }

    /// Something happens at the server.
    fn act(&mut self) {
        let room = self.roll(ROOMS);
        let what = self.roll(12);
        let seq = self.any_seq(room);
        let (own, silent, system) = (self.roll(4) == 0, self.roll(8) == 0, self.roll(12) == 0);
        let place = &mut self.rooms[room];
        match what {
            0..5 => {
                place.log.push(Entry::Message);
                let said = Said { own, silent, system, fate: Fate::There };
                place.said.insert(place.head(), said);
            }
            5 => place.log.push(Entry::Other),
            6 | 7 => {
                let Some(of) = seq else { return };
                let said = place.said.get_mut(&of).unwrap();
                let fate = if own { Fate::Gone } else { Fate::Deleted };
                if said.fate == Fate::Gone || said.fate == fate {
                    return;
                }
                said.fate = fate;
                place.log.push(Entry::Deletion { of });
            }
            8 | 9 if place.member => {
                let to = if own { place.head() } else { seq.unwrap_or(0) };
                if to > place.last_read {
                    place.last_read = to;
                    self.moved(room);
                }
            }
            10 if place.member => {
                let Some(of) = seq else { return };
                place.last_read = of - 1;
                self.moved(room);
            }
            11 if place.member && own => {
                place.log.push(Entry::Other);
                place.member = false;
                self.user_log.push(Event::RemovedFromChannel { cid: cid(room), created_at: now() });
            }
            11 if !place.member => {
                place.log.push(Entry::Other);
                place.member = true;
                place.last_read = place.head();
                let channel = Channel { member_count: 1, ..Channel::new(cid(room), now()) };
                let seq = place.head();
                self.user_log.push(Event::AddedToChannel { cid: cid(room), created_at: now(), channel, seq });
            }
            _ => {}
        }
    }

    /// One more event reaches the client, of one log or another.
    fn deliver(&mut self) -> bool {
        let ready: Vec<usize> = (0..ROOMS)
            .filter(|room| self.rooms[*room].member && self.rooms[*room].delivered < self.rooms[*room].head())
            .collect();
        let user_waits = self.user_delivered < self.user_log.len();
        let choices = ready.len() + usize::from(user_waits);
        if choices == 0 {
            return false;
        }
        let choice = self.roll(choices);
        let (topic, seq, event) = match ready.get(choice) {
            Some(room) => {
                let place = &mut self.rooms[*room];
                place.delivered += 1;
                (Topic::Channel(cid(*room)), place.delivered, place.event(*room, place.delivered))
            }
            None => {
                self.user_delivered += 1;
                let event = self.user_log[self.user_delivered - 1].clone();
                (Topic::User(me()), self.user_delivered as Seq, event)
            }
        };
        self.tally.event(&EventFrame { topic, seq, event: Open::Known(event) });
        true
    }

    /// A call moves on by one step, if one is under way or wanted.
    fn load(&mut self) -> bool {
        if let Some(want) = self.tally.wants() {
            self.loads.push(Load { want, read: None });
            return true;
        }
        if self.loads.is_empty() {
            return false;
        }
        let at = self.roll(self.loads.len());
        let fails = self.roll(10) == 0;
        if fails {
            let load = self.loads.swap_remove(at);
            self.tally.load_failed(&load.want, false);
            return true;
        }
        let want = self.loads[at].want.clone();
        let Some(answer) = self.loads[at].read.take() else {
            self.loads[at].read = Some(match want {
                Want::All => Answer::All(self.rooms_unread()),
                Want::Channel(asked) => {
                    let room = (0..ROOMS).find(|room| cid(*room) == asked).unwrap();
                    let place = &self.rooms[room];
                    if place.member { Answer::Channel(place.snapshot(room)) } else { Answer::NoMember }
                }
            });
            return true;
        };
        self.loads.swap_remove(at);
        self.loaded += 1;
        match (answer, &want) {
            (Answer::All(totals), _) => self.tally.loaded_all(&totals),
            (Answer::Channel(unread), Want::Channel(cid)) => self.tally.loaded(cid, Some(&unread)),
            (Answer::NoMember, want) => self.tally.load_failed(want, true),
            (Answer::Channel(_), Want::All) => unreachable!(),
        }
        true
    }

    fn rooms_unread(&self) -> UnreadTotals {
        let channels: Vec<Unread> = (0..ROOMS)
            .filter(|room| self.rooms[*room].member)
            .map(|room| self.rooms[room].snapshot(room))
            .filter(|unread| unread.unread_messages > 0)
            .collect();
        UnreadTotals {
            total_unread_count: channels.iter().map(|unread| unread.unread_messages).sum(),
            unread_channels: channels.len() as u64,
            channels,
        }
    }

    /// The connection comes (back): `ready`, and perhaps topics that cannot be replayed.
    fn connect(&mut self, fresh: bool) {
        let totals = self.rooms_unread();
        // Two of three channels, as a `ready` names thirty of many.
        let channels = (0..2).filter(|room| self.rooms[*room].member);
        let channels: Vec<Unread> = channels.map(|room| self.rooms[room].snapshot(room)).collect();
        let resets: Vec<usize> = (0..ROOMS).filter(|_| self.rng.random_range(0..4) == 0).collect();
        let user_reset = self.roll(6) == 0;
        let resumed = match (fresh, resets.is_empty() && !user_reset) {
            (true, _) => Resumed::Fresh,
            (false, true) => Resumed::Resumed,
            (false, false) => Resumed::CaughtUp,
        };
        let ready = Ready {
            connection_id: ConnectionId::parse("c").unwrap(),
            me: own_user(&totals),
            epoch: Epoch::parse("e").unwrap(),
            as_of: now(),
            heartbeat_ms: 25_000,
            limits: Limits {
                frame_bytes: 0,
                frames_per_second: 0,
                frames_burst: 0,
                connections_per_user: 0,
                dead_link_ms: 0,
                message_chars: 0,
            },
            resumed,
            heads: BTreeMap::new(),
            channels,
            presence: Vec::new(),
            presence_others: None,
        };
        self.tally.ready(&ready);
        if fresh {
            for room in &mut self.rooms {
                room.delivered = room.head();
            }
            self.user_delivered = self.user_log.len();
            return;
        }
        for room in resets {
            let head = self.rooms[room].head();
            self.rooms[room].delivered = head;
            self.tally.reset(&Topic::Channel(cid(room)), &ResetReason::TooFarBehind, head);
        }
        if user_reset {
            self.user_delivered = self.user_log.len();
            let head = self.user_delivered as Seq;
            self.tally.reset(&Topic::User(me()), &ResetReason::Trimmed, head);
        }
    }

    fn check(&mut self, seed: u64) {
        while self.deliver() || self.load() {}
        let counts = self.tally.counts();
        let naive = self.rooms_unread();
        assert!(counts.settled, "seed {seed}");
        assert_eq!(counts.total_unread_count, naive.total_unread_count, "seed {seed}");
        assert_eq!(counts.unread_channels, naive.unread_channels, "seed {seed}");
        for unread in naive.channels {
            let ours = self.tally.channel(&unread.cid).map(|ours| (ours.unread_messages, ours.last_read_seq));
            assert_eq!(ours, Some((unread.unread_messages, unread.last_read_seq)), "seed {seed}");
        }
    }
}

fn own_user(totals: &UnreadTotals) -> Me {
    Me {
        total_unread_count: totals.total_unread_count,
        unread_channels: totals.unread_channels,
        mutes: Vec::new(),
        devices: Vec::new(),
        user: User { online: true, ..User::new(me(), now()) },
    }
}

#[test]
fn at_every_quiet_point_the_counts_are_those_of_a_server_that_counts_naively() {
    let mut loaded = 0;
    for seed in 0..3_000 {
        let mut world = World::new(seed);
        for _ in 0..20 {
            world.act();
        }
        world.connect(true);
        for step in 0..300 {
            match world.roll(8) {
                0..3 => world.act(),
                3..6 => {
                    world.deliver();
                }
                6 => {
                    world.load();
                }
                _ if world.roll(10) == 0 => {
                    let fresh = world.roll(8) == 0;
                    world.connect(fresh);
                }
                _ => {}
            }
            if step % 100 == 99 {
                world.check(seed);
            }
        }
        loaded += world.loaded;
    }
    // The server is asked when the events do not tell, and not for every event.
    assert!((1_000..100_000).contains(&loaded), "{loaded} loads");
}

#[test]
fn events_of_an_ordinary_day_need_no_call() {
    let mut world = World::new(1);
    world.connect(true);
    for _ in 0..50 {
        world.rooms[0].log.push(Entry::Message);
        let head = world.rooms[0].head();
        world.rooms[0]
            .said
            .insert(head, Said { own: false, silent: false, system: false, fate: Fate::There });
        while world.deliver() {}
        if head.is_multiple_of(10) {
            world.rooms[0].last_read = head;
            world.moved(0);
        }
    }
    world.check(1);
    assert_eq!(world.loaded, 0);
}

#[test]
fn old_news_of_leaving_does_not_undo_a_reset_that_jumped_past_it() {
    let mut tally = Tally::default();
    tally.clear(Some(me()));
    let cid = cid(0);
    let topic = Topic::Channel(cid.clone());
    // The channel jumps to 61; only then the user's own log tells how she left, came back at 56 and read up
    // to 57, when the channel stood at 58.
    tally.reset(&topic, &ResetReason::TooFarBehind, 61);
    tally.leave(&cid);
    tally.join(&cid, 56);
    tally.adopt(&Unread { cid: cid.clone(), last_read_seq: 57, unread_messages: 0, head: 58 });
    assert!(tally.has_wants(), "what came between 58 and 61 is not known, and has to be asked for");
    let Some(Want::Channel(wanted)) = tally.wants() else { panic!("the channel is wanted") };
    tally.loaded(&wanted, Some(&Unread { cid, last_read_seq: 57, unread_messages: 2, head: 61 }));
    assert_eq!(tally.counts().total_unread_count, 2);
    assert!(tally.counts().settled);
}
