//! The server's half, one sentence at a time.

use parlour_proto::{Effect, Load, Session, SessionConfig, SessionInput, TopicStart};
use parlour_wire::events::ClientSignal;
use parlour_wire::frames::{AppState, ByeIntent, ClientFrame, Hello, Ready, ServerFrame};
use parlour_wire::presence::PresenceSubscription;
use parlour_wire::{CloseCode, ErrorCode, Open};

use crate::kit::{
    ALICE, GENERAL, RANDOM, Server, admission, bye, epoch, hello, live, moment, ready, resume,
    session_config, session_line, start, topic,
};

const NOTHING: [&str; 0] = [];

fn say_hello(resume: Option<parlour_wire::frames::Resume>) -> ClientFrame {
    ClientFrame::Hello(Box::new(hello(resume)))
}

#[test]
fn who_says_nothing_for_ten_seconds_is_closed_and_told_why_l6_7() {
    let mut server = Server::new();
    assert_eq!(server.machine.deadline(), Some(10_000));
    assert_eq!(server.ticks_at(9_999), NOTHING);
    assert_eq!(server.ticks_at(10_000), ["error hello_timeout", "close 4000 hello_timeout"]);
    assert_eq!(server.machine.deadline(), None);
    assert_eq!(server.hears(say_hello(None)), NOTHING);
}

#[test]
fn hello_is_not_missed_while_the_server_itself_is_late() {
    let mut server = Server::new();
    server.now = 10_000;
    assert_eq!(server.takes(SessionInput::Tick { late: true }), NOTHING);
    assert_eq!(server.machine.deadline(), Some(20_000));
    assert_eq!(server.hears(say_hello(None)), ["admit t1"]);
}

#[test]
fn the_first_frame_is_hello_l4_2() {
    for first in
        [ClientFrame::Ping { id: 1 }, ClientFrame::Pong, ClientFrame::Bye { intent: ByeIntent::Leave }]
    {
        assert_eq!(Server::new().hears(first), ["error bad_frame", "close 4000 bad_frame"]);
    }
    let unknown = SessionInput::Frame(Open::Unknown(serde_json::json!({"type": "confetti"})));
    assert_eq!(Server::new().takes(unknown), ["error bad_frame", "close 4000 bad_frame"]);
}

#[test]
fn hello_is_said_once_and_followed_by_nothing_until_ready() {
    let mut server = Server::new();
    assert_eq!(server.hears(say_hello(None)), ["admit t1"]);
    assert_eq!(server.hears(say_hello(None)), ["error bad_frame", "close 4000 bad_frame"]);
    assert_eq!(server.takes(SessionInput::Admitted(Box::new(admission(vec![])))), NOTHING);

    let mut server = Server::new();
    server.hears(say_hello(None));
    assert_eq!(server.hears(ClientFrame::Ping { id: 1 }), ["error bad_frame", "close 4000 bad_frame"]);

    let mut server = Server::listening_to(vec![]);
    assert_eq!(server.hears(say_hello(None)), ["error bad_frame", "close 4000 bad_frame"]);
}

#[test]
fn another_version_of_the_protocol_is_refused_before_anything_is_admitted_l7_13() {
    let mut newer = hello(None);
    newer.client.version = 2;
    let said = Server::new().hears(ClientFrame::Hello(Box::new(newer)));
    assert_eq!(said, ["error unsupported_version", "close 4006 unsupported_version"]);
}

#[test]
fn a_refused_admission_says_the_error_and_when_to_come_back() {
    let refuse = |retry_after_ms| {
        let mut server = Server::new();
        server.hears(say_hello(None));
        let error = Box::new(ErrorCode::Unavailable.error());
        server.takes(SessionInput::Refused { code: CloseCode::OVER_CAPACITY, error, retry_after_ms })
    };
    assert_eq!(refuse(None), ["error unavailable", "close 4100 unavailable"]);
    assert_eq!(refuse(Some(3_000)), ["error unavailable", "bye 4100", "close 4100 unavailable"]);
}

#[test]
fn ready_comes_first_then_every_topic_is_attached_and_its_head_looked_at_once_l4_6_l5_3() {
    let (_, said) = Server::admitted(None, vec![start(ALICE, 3), start(GENERAL, 7)]);
    let attached = [format!("attach {ALICE}"), format!("attach {GENERAL}")];
    assert_eq!(said, ["ready fresh", &attached[0], &attached[1], "look at heads"]);
}

#[test]
fn a_fresh_session_goes_on_after_the_heads() {
    let mut server = Server::listening_to(vec![start(GENERAL, 7)]);
    assert_eq!(server.live(GENERAL, 7), NOTHING);
    assert_eq!(server.live(GENERAL, 8), [format!("event {GENERAL} 8")]);
    assert_eq!(server.live(GENERAL, 8), NOTHING);
    assert_eq!(server.live(RANDOM, 1), NOTHING);
}

#[test]
fn what_was_missed_is_replayed_from_the_cursor() {
    let (mut server, said) = Server::admitted(Some(resume("e1", &[(GENERAL, 5)])), vec![start(GENERAL, 7)]);
    let load = format!("load {GENERAL} after 5");
    assert_eq!(said, ["ready resumed", &format!("attach {GENERAL}"), &load, "look at heads"]);
    assert_eq!(
        server.loaded(GENERAL, [6, 7], 7),
        [format!("event {GENERAL} 6"), format!("event {GENERAL} 7")]
    );
    assert_eq!(server.live(GENERAL, 8), [format!("event {GENERAL} 8")]);
}

#[test]
fn a_resume_replays_three_hundred_events_of_a_topic_and_resets_at_one_more_l5_9() {
    let said =
        |cursor| Server::admitted(Some(resume("e1", &[(GENERAL, cursor)])), vec![start(GENERAL, 400)]).1;
    assert_eq!(said(100)[0], "ready resumed");
    assert!(said(100).contains(&format!("load {GENERAL} after 100")));
    assert_eq!(said(99)[..2], ["ready caught_up".to_owned(), format!("reset {GENERAL} too_far_behind 400")]);
    assert!(!said(99).iter().any(|line| line.starts_with("load")));
}

#[test]
fn what_is_hidden_from_a_member_is_skipped_without_a_reset() {
    let start = TopicStart { hidden_up_to: 390, floor: 380, ..start(GENERAL, 400) };
    let (_, said) = Server::admitted(Some(resume("e1", &[(GENERAL, 5)])), vec![start]);
    assert_eq!(said[0], "ready resumed");
    assert!(said.contains(&format!("load {GENERAL} after 390")));
}

#[test]
fn a_trimmed_place_and_one_ahead_of_the_log_are_reset_l5_4() {
    let said = |cursor| {
        let start = TopicStart { floor: 10, ..start(GENERAL, 20) };
        Server::admitted(Some(resume("e1", &[(GENERAL, cursor)])), vec![start]).1
    };
    assert_eq!(said(9)[..2], ["ready caught_up".to_owned(), format!("reset {GENERAL} trimmed 20")]);
    assert_eq!(said(10)[0], "ready resumed");
    assert_eq!(said(20)[0], "ready resumed");
    assert_eq!(said(21)[..2], ["ready caught_up".to_owned(), format!("reset {GENERAL} ahead_of_head 20")]);
    assert_eq!(said(u64::MAX)[1], format!("reset {GENERAL} ahead_of_head 20"));
}

#[test]
fn another_epoch_resets_everything_l5_4() {
    let (mut server, said) =
        Server::admitted(Some(resume("e0", &[(GENERAL, 7)])), vec![start(ALICE, 1), start(GENERAL, 7)]);
    let resets = [format!("reset {ALICE} other_epoch 1"), format!("reset {GENERAL} other_epoch 7")];
    assert_eq!(said[0], "ready caught_up");
    assert!(resets.iter().all(|reset| said.contains(reset)));
    assert!(!said.iter().any(|line| line.starts_with("load")));
    assert_eq!(server.live(GENERAL, 8), [format!("event {GENERAL} 8")]);
}

#[test]
fn a_topic_that_is_not_named_is_served_from_the_last_head_check() {
    let start = TopicStart { as_of_seq: Some(4), ..start(GENERAL, 7) };
    let (_, said) = Server::admitted(Some(resume("e1", &[])), vec![start]);
    assert_eq!(said[0], "ready resumed");
    assert!(said.contains(&format!("load {GENERAL} after 4")));

    // Trimming has taken away what came after it: that is said, and not passed over.
    let start = TopicStart { as_of_seq: Some(4), floor: 5, ..crate::kit::start(GENERAL, 7) };
    let (_, said) = Server::admitted(Some(resume("e1", &[])), vec![start]);
    assert_eq!(said[..2], ["ready caught_up".to_owned(), format!("reset {GENERAL} trimmed 7")]);
}

#[test]
fn a_channel_that_is_not_hers_is_reset_without_a_word_of_its_head_and_other_names_are_ignored() {
    let named = resume("e1", &[(GENERAL, 5), (RANDOM, 9), ("user:bob", 1), ("app:other", 1), ("moon:x", 1)]);
    let (_, said) = Server::admitted(Some(named), vec![start(GENERAL, 5)]);
    let reset = format!("reset {RANDOM} no_access 0");
    assert_eq!(said, ["ready caught_up", &reset, &format!("attach {GENERAL}"), "look at heads"]);
}

#[test]
fn no_more_than_five_hundred_cursors_are_looked_at_l4_3() {
    let names: Vec<String> = (0..100_000).map(|n| format!("channel:messaging:{n:06}")).collect();
    let cursors: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let (_, said) = Server::admitted(Some(resume("e1", &cursors)), vec![]);
    assert_eq!(said.iter().filter(|line| line.starts_with("reset")).count(), 500);
}

#[test]
fn ready_does_not_claim_what_is_still_being_replayed() {
    let as_of = |cursor| {
        let mut server = Server::new();
        server.hears(say_hello(Some(resume("e1", &[(GENERAL, cursor)]))));
        let said = server.outputs(SessionInput::Admitted(Box::new(admission(vec![start(GENERAL, 7)]))));
        let parlour_proto::SessionOutput::Send(frame) = &said[0] else { panic!("{said:?}") };
        let ServerFrame::Ready(ready) = &**frame else { panic!("{frame:?}") };
        ready.as_of
    };
    assert_eq!(as_of(7), moment(100));
    assert_eq!(as_of(6), moment(90));
}

#[test]
fn a_gap_is_loaded_once_and_what_comes_meanwhile_waits_for_it() {
    let mut server = Server::listening_to(vec![start(GENERAL, 7)]);
    assert_eq!(server.live(GENERAL, 9), [format!("load {GENERAL} after 7")]);
    assert_eq!(server.live(GENERAL, 10), NOTHING);
    assert_eq!(server.head(GENERAL, 9), NOTHING);
    let said = server.loaded(GENERAL, [8, 9], 9);
    let expected =
        [format!("event {GENERAL} 8"), format!("event {GENERAL} 9"), format!("load {GENERAL} after 9")];
    assert_eq!(said, expected);
    assert_eq!(server.loaded(GENERAL, [10], 10), [format!("event {GENERAL} 10")]);
    assert_eq!(server.live(GENERAL, 11), [format!("event {GENERAL} 11")]);
}

#[test]
fn a_head_beyond_the_cursor_is_a_publish_that_was_lost_l6_19() {
    let mut server = Server::listening_to(vec![start(GENERAL, 7)]);
    assert_eq!(server.head(GENERAL, 7), NOTHING);
    assert_eq!(server.head(GENERAL, 8), [format!("load {GENERAL} after 7")]);
    assert_eq!(server.loaded(GENERAL, [8], 8), [format!("event {GENERAL} 8")]);
}

#[test]
fn a_load_that_fails_is_tried_again_after_a_second_or_at_the_next_head_check() {
    let failing = || {
        let mut server = Server::listening_to(vec![start(GENERAL, 7)]);
        server.now = 500;
        server.live(GENERAL, 9);
        let failed = SessionInput::Loaded { topic: topic(GENERAL).into(), load: Load::Failed };
        assert_eq!(server.takes(failed), NOTHING);
        assert_eq!(server.machine.deadline(), Some(1_500));
        assert_eq!(server.live(GENERAL, 10), NOTHING);
        server
    };
    let mut server = failing();
    assert_eq!(server.ticks_at(1_499), NOTHING);
    assert_eq!(server.ticks_at(1_500), [format!("load {GENERAL} after 7")]);
    assert_eq!(server.loaded(GENERAL, [8, 9, 10], 10).len(), 3);
    assert_eq!(server.machine.deadline(), Some(25_000));

    let mut server = failing();
    assert_eq!(server.head(GENERAL, 10), [format!("load {GENERAL} after 7")]);
    assert_eq!(server.ticks_at(1_500), NOTHING);
}

#[test]
fn a_load_that_brings_nothing_does_not_spin() {
    let mut server = Server::listening_to(vec![start(GENERAL, 7)]);
    server.live(GENERAL, 9);
    assert_eq!(server.loaded(GENERAL, [], 9), NOTHING);
    assert_eq!(server.machine.deadline(), Some(1_000));
    // Asked once more and nothing again, though the log goes on: what comes next is not to be had.
    assert_eq!(server.ticks_at(1_000), [format!("load {GENERAL} after 7")]);
    assert_eq!(server.loaded(GENERAL, [], 9), [format!("reset {GENERAL} trimmed 9")]);
    assert_eq!(server.live(GENERAL, 10), [format!("event {GENERAL} 10")]);
}

#[test]
fn a_store_that_has_what_is_later_but_not_what_is_next_means_a_reset_and_never_silence_l4_8() {
    let mut server = Server::listening_to(vec![start(GENERAL, 7)]);
    server.live(GENERAL, 12);
    assert_eq!(server.loaded(GENERAL, [10, 11, 12], 12), [format!("reset {GENERAL} trimmed 12")]);
    assert_eq!(server.live(GENERAL, 13), [format!("event {GENERAL} 13")]);
}

#[test]
fn what_was_trimmed_while_it_was_loaded_is_reset() {
    let mut server = Server::listening_to(vec![start(GENERAL, 7)]);
    server.live(GENERAL, 12);
    let trimmed = SessionInput::Loaded { topic: topic(GENERAL).into(), load: Load::Trimmed { head: 11 } };
    let said = [format!("reset {GENERAL} trimmed 11"), format!("load {GENERAL} after 11")];
    assert_eq!(server.takes(trimmed), said);
}

#[test]
fn who_may_not_read_any_more_is_told_and_hears_no_more() {
    let mut server = Server::listening_to(vec![start(GENERAL, 7)]);
    server.live(GENERAL, 9);
    let refused = SessionInput::Loaded { topic: topic(GENERAL).into(), load: Load::NoAccess };
    assert_eq!(server.takes(refused), [format!("reset {GENERAL} no_access 0"), format!("detach {GENERAL}")]);
    assert_eq!(server.live(GENERAL, 10), NOTHING);
}

fn join(seq: u64, channel: &str, from: u64) -> SessionInput<parlour_wire::frames::EventFrame> {
    SessionInput::Live(live(ALICE, seq, Effect::Join { topic: topic(channel).into(), seq: from }))
}

fn leave(seq: u64, channel: &str) -> SessionInput<parlour_wire::frames::EventFrame> {
    SessionInput::Live(live(ALICE, seq, Effect::Leave { topic: topic(channel).into() }))
}

#[test]
fn a_channel_that_she_joins_is_listened_to_from_its_event_on_and_the_event_itself_is_loaded() {
    let mut server = Server::listening_to(vec![start(ALICE, 3)]);
    let said = server.takes(join(4, GENERAL, 41));
    let expected =
        [format!("event {ALICE} 4"), format!("attach {GENERAL}"), format!("load {GENERAL} after 40")];
    assert_eq!(said, expected);
    assert_eq!(
        server.loaded(GENERAL, [41, 42], 42),
        [format!("event {GENERAL} 41"), format!("event {GENERAL} 42")]
    );
    assert_eq!(server.takes(leave(5, GENERAL)), [format!("event {ALICE} 5"), format!("detach {GENERAL}")]);
    assert_eq!(server.live(GENERAL, 43), NOTHING);
}

#[test]
fn an_effect_is_applied_in_its_place_and_once() {
    // The event with the effect comes early; it waits for the one before it.
    let mut server = Server::listening_to(vec![start(ALICE, 3)]);
    assert_eq!(server.takes(join(5, GENERAL, 41)), [format!("load {ALICE} after 3")]);
    let events = vec![
        live(ALICE, 4, Effect::None),
        live(ALICE, 5, Effect::Join { topic: topic(GENERAL).into(), seq: 41 }),
    ];
    let load = Load::Events { events, head: 5 };
    let said = server.takes(SessionInput::Loaded { topic: topic(ALICE).into(), load });
    assert_eq!(
        said[..3],
        [format!("event {ALICE} 4"), format!("event {ALICE} 5"), format!("attach {GENERAL}")]
    );

    // A client that asks for the events again has them again, without their effects.
    assert_eq!(server.watches(ALICE, Some(4)), [format!("load {ALICE} after 4")]);
    let events = vec![live(ALICE, 5, Effect::Leave { topic: topic(GENERAL).into() })];
    let load = Load::Events { events, head: 5 };
    let said = server.takes(SessionInput::Loaded { topic: topic(ALICE).into(), load });
    assert_eq!(said, [format!("event {ALICE} 5")]);
}

#[test]
fn an_effect_that_the_admission_knew_is_not_applied_again() {
    let (mut server, _) =
        Server::admitted(Some(resume("e1", &[(ALICE, 2)])), vec![start(ALICE, 4), start(GENERAL, 7)]);
    let events = vec![
        live(ALICE, 3, Effect::Leave { topic: topic(GENERAL).into() }),
        live(ALICE, 4, Effect::Join { topic: topic(GENERAL).into(), seq: 6 }),
    ];
    let said = server
        .takes(SessionInput::Loaded { topic: topic(ALICE).into(), load: Load::Events { events, head: 4 } });
    assert_eq!(said, [format!("event {ALICE} 3"), format!("event {ALICE} 4")]);
}

#[test]
fn an_answer_from_before_she_left_is_not_taken_for_a_new_one() {
    let mut server = Server::listening_to(vec![start(ALICE, 3), start(GENERAL, 7)]);
    server.live(GENERAL, 9);
    server.takes(leave(4, GENERAL));
    assert_eq!(server.takes(join(5, GENERAL, 20)), [format!("event {ALICE} 5"), format!("attach {GENERAL}")]);
    let refused = SessionInput::Loaded { topic: topic(GENERAL).into(), load: Load::NoAccess };
    assert_eq!(server.takes(refused), [format!("load {GENERAL} after 19")]);
    assert_eq!(server.loaded(GENERAL, [20], 20), [format!("event {GENERAL} 20")]);
}

#[test]
fn a_channel_is_watched_from_now_on_or_from_a_place() {
    let mut server = Server::listening_to(vec![]);
    assert_eq!(server.watches(GENERAL, None), [format!("may watch {GENERAL}?")]);
    let said = server.takes(SessionInput::Watched { start: start(GENERAL, 7) });
    assert_eq!(said, [format!("attach {GENERAL}")]);
    assert_eq!(server.live(GENERAL, 8), [format!("event {GENERAL} 8")]);

    assert_eq!(server.watches(RANDOM, Some(5)), [format!("may watch {RANDOM}?")]);
    let said = server.takes(SessionInput::Watched { start: start(RANDOM, 7) });
    assert_eq!(said, [format!("attach {RANDOM}"), format!("load {RANDOM} after 5")]);
}

#[test]
fn a_watched_place_too_far_back_is_reset() {
    let mut server = Server::listening_to(vec![]);
    server.watches(GENERAL, Some(5));
    let said = server.takes(SessionInput::Watched { start: start(GENERAL, 306) });
    assert_eq!(said, [format!("reset {GENERAL} too_far_behind 306"), format!("attach {GENERAL}")]);
}

#[test]
fn a_watch_may_be_refused_or_taken_back_before_its_answer() {
    let mut server = Server::listening_to(vec![]);
    server.watches(GENERAL, None);
    let error = Box::new(ErrorCode::NotFound.error());
    let said = server.takes(SessionInput::WatchRefused { topic: topic(GENERAL).into(), error });
    assert_eq!(said, [format!("error not_found {GENERAL}")]);

    server.watches(GENERAL, None);
    assert_eq!(server.hears(ClientFrame::Unwatch { topics: vec![topic(GENERAL)] }), NOTHING);
    assert_eq!(server.takes(SessionInput::Watched { start: start(GENERAL, 7) }), NOTHING);
}

#[test]
fn unwatching_ends_what_was_watched_and_not_what_is_hers_by_right() {
    let mut server = Server::listening_to(vec![start(GENERAL, 7)]);
    assert_eq!(server.hears(ClientFrame::Unwatch { topics: vec![topic(GENERAL)] }), NOTHING);
    server.watches(RANDOM, None);
    server.takes(SessionInput::Watched { start: start(RANDOM, 7) });
    let said = server.hears(ClientFrame::Unwatch { topics: vec![topic(RANDOM)] });
    assert_eq!(said, [format!("detach {RANDOM}")]);
    assert_eq!(server.live(RANDOM, 8), NOTHING);
}

#[test]
fn only_channels_are_watched_and_three_hundred_at_most() {
    let mut server = Server::listening_to(vec![start(ALICE, 3)]);
    assert_eq!(server.watches("user:bob", None), ["error not_allowed user:bob"]);
    for n in 0..300 {
        server.now += 100;
        let said = server.watches(&format!("channel:livestream:{n}"), None);
        assert_eq!(said, [format!("may watch channel:livestream:{n}?")]);
    }
    server.now += 100;
    assert_eq!(server.watches("channel:livestream:x", None), ["error invalid_input channel:livestream:x"]);
}

#[test]
fn a_client_repairs_a_hole_by_watching_again_from_its_place() {
    let mut server = Server::listening_to(vec![start(GENERAL, 7)]);
    server.live(GENERAL, 8);
    server.live(GENERAL, 9);
    assert_eq!(server.watches(GENERAL, Some(7)), [format!("load {GENERAL} after 7")]);
    // What is live meanwhile comes after what is repaired.
    assert_eq!(server.live(GENERAL, 10), NOTHING);
    let said = server.loaded(GENERAL, [8, 9, 10], 10);
    assert_eq!(said, [8, 9, 10].map(|seq| format!("event {GENERAL} {seq}")));
    assert_eq!(server.watches(GENERAL, Some(10)), NOTHING);
}

#[test]
fn a_repair_overtakes_a_load_that_is_under_way() {
    let mut server = Server::listening_to(vec![start(GENERAL, 7)]);
    server.live(GENERAL, 9);
    assert_eq!(server.watches(GENERAL, Some(5)), NOTHING);
    assert_eq!(server.loaded(GENERAL, [8, 9], 9), [format!("load {GENERAL} after 5")]);
    assert_eq!(server.loaded(GENERAL, [6, 7, 8, 9], 9).len(), 4);
}

#[test]
fn pings_come_at_their_phase_and_then_at_every_heartbeat_l6_1() {
    let mut machine: Session<u64> = Session::new(0, session_config(), 0.4);
    let mut out = Vec::new();
    machine.handle(0, SessionInput::Frame(Open::Known(say_hello(None))), &mut out);
    machine.handle(0, SessionInput::Admitted(Box::new(admission(vec![]))), &mut out);
    assert_eq!(machine.deadline(), Some(10_000));
    machine.handle(10_000, SessionInput::Tick { late: false }, &mut out);
    machine.handle(10_020, SessionInput::Frame(Open::Known(ClientFrame::Pong)), &mut out);
    assert_eq!(machine.deadline(), Some(35_000));
}

#[test]
fn a_ping_without_a_pong_for_eight_seconds_ends_the_connection_l6_3() {
    let mut server = Server::listening_to(vec![]);
    assert_eq!(server.ticks_at(24_999), NOTHING);
    assert_eq!(server.ticks_at(25_000), ["ping as of 100"]);
    assert_eq!(server.machine.deadline(), Some(33_000));
    assert_eq!(server.ticks_at(32_999), NOTHING);
    assert_eq!(server.ticks_at(33_000), ["bye 4201", "close 4201 pong_missing"]);
}

#[test]
fn no_pong_is_judged_while_the_server_itself_is_late_l6_3() {
    let mut server = Server::listening_to(vec![]);
    server.ticks_at(25_000);
    server.now = 60_000;
    assert_eq!(server.takes(SessionInput::Tick { late: true }), NOTHING);
    assert_eq!(server.machine.deadline(), Some(68_000));
    assert_eq!(server.hears(ClientFrame::Pong), NOTHING);
    assert_eq!(server.machine.deadline(), Some(50_000));
    assert_eq!(server.ticks_at(60_001), ["ping as of 100"]);
}

#[test]
fn no_pong_is_judged_while_the_client_reads_what_came_before_the_ping_l9_17() {
    let mut server = Server::listening_to(vec![]);
    let asked_at = server.machine.deadline().unwrap();
    assert_eq!(server.ticks_at(asked_at), ["ping as of 100"]);
    server.now = asked_at + 8_000;
    assert_eq!(server.takes(SessionInput::Behind), NOTHING);
    assert_eq!(server.ticks_at(asked_at + 15_999), NOTHING);
    assert_eq!(server.ticks_at(asked_at + 16_000), ["bye 4201", "close 4201 pong_missing"]);
}

#[test]
fn a_client_that_somebody_asks_for_is_pinged_at_once_and_not_twice_l6_32() {
    let mut server = Server::listening_to(vec![]);
    server.now = 3_000;
    assert_eq!(server.takes(SessionInput::Probe), ["ping as of 100"]);
    server.now = 4_000;
    assert_eq!(server.takes(SessionInput::Probe), NOTHING, "the answer to the first will do");
    assert_eq!(server.machine.deadline(), Some(11_000), "it is a ping as any other");
    server.hears(ClientFrame::Pong);
    assert_eq!(server.machine.deadline(), Some(28_000));
    assert_eq!(server.takes(SessionInput::Probe), ["ping as of 100"]);
    assert_eq!(server.ticks_at(12_000), ["bye 4201", "close 4201 pong_missing"]);
    assert_eq!(server.takes(SessionInput::Probe), NOTHING);
    assert_eq!(Server::new().takes(SessionInput::Probe), NOTHING, "who has not said hello is asked nothing");
}

#[test]
fn a_client_may_ask_for_a_shorter_heartbeat_within_bounds() {
    let in_force = |asked| {
        let mut server = Server::new();
        server.hears(ClientFrame::Hello(Box::new(Hello { heartbeat_ms: asked, ..hello(None) })));
        let said = server.outputs(SessionInput::Admitted(Box::new(admission(vec![]))));
        let parlour_proto::SessionOutput::Send(frame) = &said[0] else { panic!("{said:?}") };
        let ServerFrame::Ready(ready) = &**frame else { panic!("{frame:?}") };
        assert_eq!(server.machine.deadline(), Some(ready.heartbeat_ms.into()));
        ready.heartbeat_ms
    };
    assert_eq!(in_force(None), 25_000);
    assert_eq!(in_force(Some(15_000)), 15_000);
    assert_eq!(in_force(Some(1_800)), 1_800);
    assert_eq!(in_force(Some(0)), 1_000);
    assert_eq!(in_force(Some(u32::MAX)), 25_000);
}

#[test]
fn a_ping_says_up_to_when_everything_was_sent() {
    let mut server = Server::listening_to(vec![start(GENERAL, 7)]);
    server.takes(SessionInput::Checked { as_of: moment(105) });
    assert_eq!(server.ticks_at(25_000), ["ping as of 105"]);
    server.hears(ClientFrame::Pong);
    // A topic that is behind holds it back.
    server.head(GENERAL, 8);
    server.takes(SessionInput::Checked { as_of: moment(110) });
    assert_eq!(server.ticks_at(50_000), ["ping as of 105"]);
    server.hears(ClientFrame::Pong);
    server.loaded(GENERAL, [8], 8);
    assert_eq!(server.ticks_at(75_000), ["ping as of 110"]);
}

#[test]
fn a_ping_of_the_client_is_answered_with_its_number() {
    assert_eq!(Server::listening_to(vec![]).hears(ClientFrame::Ping { id: 7 }), ["pong 7"]);
}

#[test]
fn sixty_frames_at_once_and_twenty_a_second_are_taken_and_one_more_ends_it_l6_37() {
    // `hello` was the first of the sixty.
    let mut server = Server::listening_to(vec![]);
    for _ in 0..59 {
        assert_eq!(server.takes(SessionInput::Control), NOTHING);
    }
    server.now = 50;
    assert_eq!(server.hears(ClientFrame::Ping { id: 1 }), ["pong 1"]);
    server.now = 99;
    assert_eq!(server.hears(ClientFrame::Ping { id: 2 }), ["bye 4102", "close 4102 rate_limited"]);
}

#[test]
fn a_token_is_asked_for_at_four_fifths_of_its_life_and_given_thirty_seconds_beyond_it_l6_25_l6_28() {
    let mut server = Server::new();
    server.hears(say_hello(None));
    let admission = parlour_proto::Admission { token_expires_in_ms: Some(5_000), ..admission(vec![]) };
    server.takes(SessionInput::Admitted(Box::new(admission)));
    assert_eq!(server.machine.deadline(), Some(4_000));
    assert_eq!(server.ticks_at(3_999), NOTHING);
    assert_eq!(server.ticks_at(4_000), ["token_expiring 31000"]);
    assert_eq!(server.hears(ClientFrame::Token { token: "t2".into() }), ["verify t2"]);
    assert_eq!(server.takes(SessionInput::TokenAccepted { expires_in_ms: Some(15_000) }), NOTHING);
    assert_eq!(server.ticks_at(16_000), ["token_expiring 33000"]);
    server.ticks_at(25_000);
    server.hears(ClientFrame::Pong);
    assert_eq!(server.ticks_at(48_999), NOTHING);
    assert_eq!(server.ticks_at(49_000), ["bye 4202", "close 4202 token_expired"]);
}

#[test]
fn a_refused_token_ends_the_connection_with_its_error() {
    let mut server = Server::listening_to(vec![]);
    server.hears(ClientFrame::Token { token: "t2".into() });
    let error = Box::new(ErrorCode::TokenRevoked.error());
    let said = server.takes(SessionInput::TokenRefused { code: CloseCode::TOKEN_REFUSED, error });
    assert_eq!(said, ["error token_revoked", "close 4002 token_revoked"]);
}

#[test]
fn what_is_no_frame_ends_the_connection_and_a_frame_of_a_newer_kind_does_not() {
    let mut server = Server::listening_to(vec![]);
    let newer = SessionInput::Frame(Open::Unknown(serde_json::json!({"type": "confetti"})));
    assert_eq!(server.takes(newer), ["error bad_frame"]);
    let error = ErrorCode::InvalidJson.error();
    let said = server.takes(SessionInput::Malformed { error });
    assert_eq!(said, ["error invalid_json", "close 4000 invalid_json"]);
}

#[test]
fn a_signal_reaches_only_channels_that_are_listened_to() {
    let mut server = Server::listening_to(vec![start(ALICE, 1), start(GENERAL, 7)]);
    let typing = |place: &str| ClientFrame::Signal { topic: topic(place), signal: ClientSignal::TypingStart };
    assert_eq!(server.hears(typing(GENERAL)), [format!("signal to {GENERAL}")]);
    assert_eq!(server.hears(typing(RANDOM)), [format!("error not_allowed {RANDOM}")]);
    assert_eq!(server.hears(typing(ALICE)), [format!("error not_allowed {ALICE}")]);
}

#[test]
fn app_state_and_presence_are_passed_on() {
    let mut server = Server::listening_to(vec![]);
    let hidden = ClientFrame::AppState { state: AppState::Hidden, lease_ms: None };
    assert_eq!(server.hears(hidden), ["app_state hidden"]);
    let all = ClientFrame::Presence { subscription: Some(PresenceSubscription::All) };
    assert_eq!(server.hears(all), ["presence"]);
}

#[test]
fn a_bye_says_how_the_client_goes_and_is_the_end() {
    let mut server = Server::listening_to(vec![start(GENERAL, 7)]);
    let said = server.hears(ClientFrame::Bye { intent: ByeIntent::Park });
    assert_eq!(said, ["leaving park", "close 1000 left"]);
    assert_eq!(server.live(GENERAL, 8), NOTHING);
    assert_eq!(server.ticks_at(1_000_000), NOTHING);
}

#[test]
fn the_server_ends_with_its_word_first_at_any_time() {
    let end =
        || SessionInput::End { bye: Box::new(bye(CloseCode::REPLACED, None)), code: CloseCode::REPLACED };
    for mut server in [Server::new(), Server::listening_to(vec![])] {
        assert_eq!(server.takes(end()), ["bye 4005", "close 4005 replaced"]);
        assert_eq!(server.takes(end()), NOTHING);
    }
}

#[test]
fn ready_is_given_as_admitted_but_for_what_the_session_decides() {
    let mut server = Server::new();
    server.hears(say_hello(None));
    let heads = [(topic(GENERAL), 7)].into();
    let given = Ready { heads, epoch: epoch("e9"), ..ready() };
    let admission = parlour_proto::Admission { ready: Box::new(given.clone()), ..admission(vec![]) };
    let said = server.outputs(SessionInput::Admitted(Box::new(admission)));
    assert_eq!(said[0], parlour_proto::SessionOutput::Send(Box::new(ServerFrame::Ready(Box::new(given)))));
    assert_eq!(session_line(&said[1]), "look at heads");
}

fn background(lease_ms: u32) -> ClientFrame {
    ClientFrame::AppState { state: AppState::Background, lease_ms: Some(lease_ms) }
}

/// One that listens, and is never asked whether it is there.
fn unasked() -> Server {
    let config = SessionConfig { heartbeat_ms: 1_000_000, ..session_config() };
    let mut server = Server { machine: Session::new(0, config, 1.0), now: 0 };
    server.hears(say_hello(None));
    server.takes(SessionInput::Admitted(Box::new(admission(vec![]))));
    server
}

#[test]
fn a_background_lease_ends_the_connection_five_seconds_after_it_ended_l2_14() {
    let mut server = unasked();
    server.now = 1_000;
    assert_eq!(server.hears(background(30_000)), ["app_state background"]);
    assert_eq!(server.machine.deadline(), Some(36_000));
    assert_eq!(server.ticks_at(35_999), NOTHING);
    assert_eq!(server.ticks_at(36_000), ["bye 4008", "close 4008 lease_expired"]);
}

#[test]
fn every_ping_of_the_client_renews_the_lease_and_nothing_else_does_l4_10() {
    let mut server = unasked();
    server.hears(background(30_000));
    server.now = 29_000;
    assert_eq!(server.hears(ClientFrame::Ping { id: 1 }), ["pong 1"]);
    assert_eq!(server.machine.deadline(), Some(64_000));
    server.now = 40_000;
    server.hears(ClientFrame::Presence { subscription: Some(PresenceSubscription::All) });
    server.hears(ClientFrame::Pong);
    assert_eq!(server.ticks_at(63_999), NOTHING);
    assert_eq!(server.ticks_at(64_000), ["bye 4008", "close 4008 lease_expired"]);
}

#[test]
fn a_lease_is_over_when_the_app_is_no_longer_in_the_background() {
    for state in [AppState::Foreground, AppState::Hidden, AppState::Background] {
        let mut server = unasked();
        server.hears(background(30_000));
        // The last word counts: without a lease, there is none.
        server.hears(ClientFrame::AppState { state, lease_ms: None });
        assert_eq!(server.ticks_at(999_999), NOTHING);
    }
    // Outside of the background it means nothing.
    let mut server = unasked();
    server.hears(ClientFrame::AppState { state: AppState::Hidden, lease_ms: Some(30_000) });
    assert_eq!(server.machine.deadline(), Some(1_000_000));
}

#[test]
fn a_lease_that_is_too_short_or_too_long_is_refused_and_changes_nothing() {
    for refused in [0, 999, 600_001, u32::MAX] {
        let mut server = unasked();
        server.hears(background(30_000));
        assert_eq!(server.hears(background(refused)), ["error invalid_input"], "{refused}");
        assert_eq!(server.machine.deadline(), Some(35_000));
    }
    for taken in [1_000, 600_000] {
        assert_eq!(unasked().hears(background(taken)), ["app_state background"]);
    }
}

#[test]
fn a_lease_is_not_judged_while_the_server_itself_is_late() {
    let mut server = unasked();
    server.hears(background(30_000));
    server.now = 36_000;
    assert_eq!(server.takes(SessionInput::Tick { late: true }), NOTHING);
    assert_eq!(server.machine.deadline(), Some(41_000));
    assert_eq!(server.ticks_at(41_000), ["bye 4008", "close 4008 lease_expired"]);
}

#[test]
fn when_what_it_was_admitted_by_may_not_hold_any_more_a_session_asks_and_ends_where_it_does_not() {
    for place in [ALICE, "app:dev"] {
        let mut server = Server::new();
        server.hears(say_hello(None));
        server.takes(SessionInput::Admitted(Box::new(admission(vec![start(ALICE, 0), start("app:dev", 0)]))));
        let told = SessionInput::Live(live(place, 1, Effect::Review));
        assert_eq!(server.takes(told), [format!("event {place} 1"), "review".to_owned()]);
        let error = Box::new(ErrorCode::TokenRevoked.error());
        let code = CloseCode::TOKEN_REFUSED;
        assert_eq!(
            server.takes(SessionInput::Refused { code, error, retry_after_ms: None }),
            ["error token_revoked", "close 4002 token_revoked"]
        );
        assert_eq!(server.live(place, 2), NOTHING);
    }
}
