//! The client's half, one sentence at a time.

use parlour_proto::{AppLevel, FailedWhy, Input, NetworkLevel, Output, State, UiStatus};
use parlour_wire::frames::{
    ByeIntent, ClientFrame, EventFrame, Ready, ReplacedBy, ResetReason, Resumed, ServerFrame,
};
use parlour_wire::presence::PresenceSubscription;
use parlour_wire::{CloseCode, ErrorCode, Open};
use serde_json::json;

use crate::kit::{Client, GENERAL, RANDOM, bye, epoch, event, moment, ready, reset, topic, user};

const NOTHING: [&str; 0] = [];

fn fetched(fetch: u64, token: &str) -> Input {
    Input::TokenFetched { fetch, token: token.into() }
}

fn failed(client: &Client) -> FailedWhy {
    match client.machine.state() {
        State::Failed(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_user_is_connected_by_a_token_a_transport_a_hello_and_a_ready() {
    let mut client = Client::new();
    assert_eq!(client.state(), "idle");
    let said = client.takes(Input::ConnectUser { user: user("alice") });
    assert_eq!(said, ["fetch 1", "idle -> connecting 1 (Wish)"]);
    assert_eq!(client.takes(fetched(1, "t1")), ["open 1"]);
    assert_eq!(client.takes(Input::Opened { dial: 1 }), ["transmit 1 hello t1 with user"]);
    let said = client.hears(1, ServerFrame::Ready(Box::new(ready())));
    assert_eq!(said, ["ready fresh", "connecting 1 -> connected (Ready)"]);
}

#[test]
fn events_are_delivered_once_and_in_order_from_the_heads_on_l5_2() {
    let mut client = Client::connected(&[(GENERAL, 7)]);
    assert_eq!(client.hears_event(1, GENERAL, 7), NOTHING);
    assert_eq!(client.hears_event(1, GENERAL, 8), [format!("deliver {GENERAL} 8")]);
    assert_eq!(client.hears_event(1, GENERAL, 8), NOTHING);
    // Of a topic without a head, the first that comes is the next.
    assert_eq!(client.hears_event(1, RANDOM, 40), [format!("deliver {RANDOM} 40")]);
    assert_eq!(client.hears_event(1, RANDOM, 39), NOTHING);
}

#[test]
fn an_event_of_a_newer_kind_is_delivered_too() {
    let mut client = Client::connected(&[(GENERAL, 7)]);
    let newer = EventFrame { event: Open::Unknown(json!({"type": "poll.closed"})), ..event(GENERAL, 8) };
    let said = client.hears(1, ServerFrame::Event(Box::new(newer)));
    assert_eq!(said, [format!("deliver {GENERAL} 8")]);
    assert_eq!(client.hears_event(1, GENERAL, 9), [format!("deliver {GENERAL} 9")]);
    let newer = Open::Unknown(json!({"type": "confetti"}));
    assert_eq!(client.takes(Input::Received { dial: 1, frame: newer }), NOTHING);
}

#[test]
fn a_hole_is_asked_for_once_until_it_is_closed() {
    let mut client = Client::connected(&[(GENERAL, 7)]);
    assert_eq!(client.hears_event(1, GENERAL, 9), [format!("transmit 1 watch {GENERAL} after 7")]);
    assert_eq!(client.hears_event(1, GENERAL, 10), NOTHING);
    for seq in 8..=10 {
        assert_eq!(client.hears_event(1, GENERAL, seq), [format!("deliver {GENERAL} {seq}")]);
    }
    assert_eq!(client.hears_event(1, GENERAL, 12), [format!("transmit 1 watch {GENERAL} after 10")]);
}

#[test]
fn a_hole_that_a_break_left_open_is_asked_for_again() {
    let mut client = Client::connected(&[(GENERAL, 7)]);
    client.hears_event(1, GENERAL, 9);
    client.closed(1, None);
    client.waits_until(500);
    client.gets_ready(2, Resumed::Resumed);
    assert_eq!(client.hears_event(2, GENERAL, 9), [format!("transmit 2 watch {GENERAL} after 7")]);
}

#[test]
fn a_ping_is_answered_and_its_time_is_where_a_resume_begins_l6_46() {
    let mut client = Client::connected(&[(GENERAL, 7)]);
    assert_eq!(client.hears(1, ServerFrame::Ping { as_of: moment(130) }), ["transmit 1 pong"]);
    client.closed(1, None);
    client.waits_until(500);
    let said = client.outputs(Input::Opened { dial: 2 });
    let Output::Transmit { frame, .. } = &said[0] else { panic!("{said:?}") };
    let ClientFrame::Hello(hello) = &**frame else { panic!("{frame:?}") };
    let resume = hello.resume.as_ref().unwrap();
    assert_eq!((&resume.epoch, resume.as_of), (&epoch("e1"), moment(130)));
    assert_eq!(hello.replaces, Some("c1".parse().unwrap()));
    assert_eq!(hello.user, None);
}

#[test]
fn a_blip_is_seen_as_connected_reconnecting_connected_each_once_l9_16() {
    let mut client = Client::connected(&[(GENERAL, 7)]);
    client.now = 60_000;
    client.hears_event(1, GENERAL, 8);
    let mut seen = Vec::new();
    let mut observe = |outputs: Vec<Output>| {
        for output in outputs {
            if let Output::Changed(transition) = output
                && !transition.is_update()
            {
                seen.push(crate::kit::line(&Output::Changed(transition)));
            }
        }
    };
    observe(client.outputs(Input::Closed { dial: 1, code: None, reason: String::new() }));
    client.now = client.machine.deadline().unwrap();
    observe(client.outputs(Input::Tick));
    observe(client.outputs(Input::Opened { dial: 2 }));
    let back = Ready { resumed: Resumed::Resumed, ..ready() };
    let frame = Open::Known(ServerFrame::Ready(Box::new(back)));
    observe(client.outputs(Input::Received { dial: 2, frame }));
    let expected =
        ["connected -> reconnecting 1 at 60500 (TransportClosed)", "reconnecting 1 -> connected (Ready)"];
    assert_eq!(seen, expected);
}

#[test]
fn a_resume_names_what_the_app_has() {
    let mut client = Client::connected(&[(GENERAL, 7)]);
    client.hears_event(1, RANDOM, 40);
    let said = client.closed(1, None);
    assert_eq!(said, ["connected -> reconnecting 1 at 500 (TransportClosed)"]);
    assert_eq!(client.waits_until(499), NOTHING);
    let said = client.waits_until(500);
    assert_eq!(said, ["500: open 2", "500: reconnecting 1 at 500 -> reconnecting 1 (Timer)"]);
    let hello = format!("transmit 2 hello t1 after [{GENERAL} 7, {RANDOM} 40]");
    let said = client.gets_ready(2, Resumed::Resumed);
    assert_eq!(said, [&hello, "ready resumed", "reconnecting 1 -> connected (Ready)"]);
    assert_eq!(client.hears_event(2, GENERAL, 8), [format!("deliver {GENERAL} 8")]);
}

#[test]
fn a_resume_names_the_five_hundred_topics_of_the_latest_events_l4_3() {
    let mut client = Client::connected(&[]);
    let name = |n: u32| format!("channel:messaging:{n:03}");
    for n in (0..600).rev() {
        client.hears_event(1, &name(n), 1);
    }
    client.hears_event(1, &name(599), 2);
    client.closed(1, None);
    client.waits_until(500);
    let said = client.takes(Input::Opened { dial: 2 });
    assert_eq!(said[0].matches("channel:").count(), 500);
    assert!(said[0].contains(&format!("{} 2", name(599))) && said[0].contains(&format!("{} 1", name(498))));
    assert!(!said[0].contains(&name(499)) && !said[0].contains(&name(598)));
}

#[test]
fn a_link_that_is_silent_for_35_seconds_is_dead_l6_4() {
    let mut client = Client::connected(&[]);
    client.now = 10_000;
    client.hears(1, ServerFrame::Ping { as_of: moment(0) });
    assert_eq!(client.waits_until(44_999), NOTHING);
    let said = client.waits_until(45_000);
    let changed = "45000: connected -> reconnecting 1 at 45500 (DeadLink)";
    assert_eq!(said, ["45000: close 1 4900", changed]);
    // Its end is no news any more.
    assert_eq!(client.closed(1, None), NOTHING);
}

#[test]
fn the_server_says_how_long_silence_may_be_l6_5() {
    let mut client = Client::new();
    client.takes(Input::ConnectUser { user: user("alice") });
    client.takes(fetched(1, "t1"));
    client.takes(Input::Opened { dial: 1 });
    let mut ready = ready();
    ready.limits.dead_link_ms = 12_000;
    client.hears(1, ServerFrame::Ready(Box::new(ready)));
    assert_eq!(client.machine.deadline(), Some(12_000));
}

#[test]
fn a_dial_has_ten_seconds_from_opening_to_ready_l6_6() {
    let mut client = Client::new();
    client.takes(Input::ConnectUser { user: user("alice") });
    client.now = 4_000;
    client.takes(fetched(1, "t1"));
    client.now = 9_000;
    client.takes(Input::Opened { dial: 1 });
    assert_eq!(client.waits_until(13_999), NOTHING);
    let said = client.waits_until(14_000);
    let changed = "14000: connecting 1 -> reconnecting 1 at 14500 (DialTimeout)";
    assert_eq!(said, ["14000: close 1 4900", changed]);
    // The old dial comes too late for anything.
    assert_eq!(client.hears(1, ServerFrame::Ready(Box::new(ready()))), NOTHING);
    assert_eq!(client.takes(Input::Opened { dial: 1 }), ["close 1 4900"]);
}

#[test]
fn waits_grow_from_half_a_second_to_twenty_and_are_random_in_full_l6_9() {
    let waits = |jitter: f64, app: AppLevel| {
        let mut client = Client::connected(&[]);
        client.takes(Input::App(app));
        client.jitter = jitter;
        client.now = 1_000_000;
        client.closed(1, None);
        let mut waits = Vec::new();
        for dial in 2..11 {
            let at = client.machine.deadline().unwrap();
            waits.push(at - client.now);
            client.now = at;
            client.takes(Input::Tick);
            client.closed(dial, None);
        }
        waits
    };
    let full = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000, 20_000];
    assert_eq!(waits(1.0, AppLevel::Foreground), full);
    assert_eq!(waits(0.5, AppLevel::Foreground), full.map(|ms| ms / 2));
    assert_eq!(waits(0.0, AppLevel::Foreground), [0; 9]);
    let hidden = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000];
    assert_eq!(waits(1.0, AppLevel::Hidden), hidden);
}

#[test]
fn the_waits_begin_anew_only_after_ten_seconds_and_an_answered_ping_l6_11() {
    // Connected a second time after one failure, for this long, with or without a ping.
    let next_wait = |connected_ms, pinged: bool| {
        let mut client = Client::connected(&[]);
        client.closed(1, None);
        client.waits_until(500);
        client.gets_ready(2, Resumed::Resumed);
        if pinged {
            client.hears(2, ServerFrame::Ping { as_of: moment(0) });
        }
        client.now += connected_ms;
        client.closed(2, None);
        client.machine.deadline().unwrap() - client.now
    };
    assert_eq!(next_wait(9_999, true), 1_000);
    assert_eq!(next_wait(10_000, false), 1_000);
    assert_eq!(next_wait(10_000, true), 500);
}

#[test]
fn retry_now_dials_within_300_milliseconds_and_keeps_count_l3_12_l6_12() {
    let mut client = Client::connected(&[]);
    for dial in 1..8 {
        client.closed(dial, None);
        client.now = client.machine.deadline().unwrap();
        client.takes(Input::Tick);
    }
    client.closed(8, None);
    assert_eq!(client.machine.deadline(), Some(client.now + 20_000));
    client.jitter = 0.5;
    let (now, later) = (client.now, client.now + 20_000);
    let soon = now + 150;
    let said = client.takes(Input::RetryNow);
    assert_eq!(said, [format!("reconnecting 8 at {later} -> reconnecting 8 at {soon} (Wish)")]);
    client.waits_until(soon);
    client.closed(9, None);
    assert_eq!(client.state(), format!("reconnecting 9 at {}", soon + 10_000));
}

#[test]
fn without_network_the_waits_pause_but_for_a_probe_every_thirty_seconds_l6_13() {
    let mut client = Client::connected(&[]);
    assert_eq!(client.takes(Input::Network(NetworkLevel::Down)), NOTHING);
    assert_eq!(client.closed(1, None), ["connected -> nonetwork (TransportClosed)"]);
    assert_eq!(client.waits_until(29_999), NOTHING);
    assert_eq!(client.waits_until(30_000), ["30000: open 2"]);
    assert_eq!(client.closed(2, None), NOTHING);
    assert_eq!(client.waits_until(60_000), ["60000: open 3"]);
    client.closed(3, None);
    client.now = 70_000;
    let said = client.takes(Input::Network(NetworkLevel::Up));
    assert_eq!(said, ["nonetwork -> reconnecting 1 at 70300 (Network)"]);
    client.waits_until(70_300);
    client.closed(4, None);
    // The probes did not count.
    assert_eq!(client.state(), "reconnecting 2 at 71300");
}

#[test]
fn a_probe_that_gets_through_connects_whatever_the_platform_says_l6_13() {
    let mut client = Client::connected(&[]);
    client.takes(Input::Network(NetworkLevel::Down));
    client.closed(1, None);
    client.waits_until(30_000);
    let said = client.gets_ready(2, Resumed::Resumed);
    assert_eq!(said.last().unwrap(), "nonetwork -> connected (Ready)");
}

#[test]
fn a_terminal_code_fails_with_everything_that_was_said() {
    let mut client = Client::connected(&[]);
    client.hears(1, ServerFrame::Error { error: ErrorCode::NotAllowed.error(), topic: None });
    client.hears(1, ServerFrame::Pong { id: 1 });
    let by = ReplacedBy { device: Some("phone".into()), ..ReplacedBy::default() };
    let bye = ServerFrame::Bye {
        code: CloseCode::REPLACED,
        reason: "replaced".into(),
        retry_after_ms: None,
        replaced_by: Some(by.clone()),
    };
    assert_eq!(client.hears(1, bye), NOTHING);
    assert_eq!(client.closed(1, Some(4005)), ["connected -> failed (ServerClosed 4005)"]);
    let why = FailedWhy::Refused {
        code: CloseCode::REPLACED,
        reason: "replaced".into(),
        error: None,
        replaced_by: Some(by),
    };
    assert_eq!(failed(&client), why);
    assert_eq!(client.machine.ui_status(0), UiStatus::NeedsAction);
}

#[test]
fn a_refused_hello_fails_with_its_error() {
    let mut client = Client::new();
    client.takes(Input::ConnectUser { user: user("alice") });
    client.takes(fetched(1, "t1"));
    client.takes(Input::Opened { dial: 1 });
    let error = ErrorCode::TokenSignature.error();
    client.hears(1, ServerFrame::Error { error: error.clone(), topic: None });
    client.takes(Input::Closed {
        dial: 1,
        code: Some(CloseCode::TOKEN_REFUSED),
        reason: "token_signature".into(),
    });
    let why = FailedWhy::Refused {
        code: CloseCode::TOKEN_REFUSED,
        reason: "token_signature".into(),
        error: Some(Box::new(error)),
        replaced_by: None,
    };
    assert_eq!(failed(&client), why);
    // Asked again, it does not offer the same token.
    assert_eq!(client.takes(Input::Connect), ["fetch 2", "failed -> connecting 1 (Wish)"]);
}

#[test]
fn an_evicted_client_comes_back_only_with_its_user_l6_35_l9_20() {
    let evicted = || {
        let mut client = Client::connected(&[]);
        client.takes(Input::App(AppLevel::Hidden));
        client.closed(1, Some(4009));
        client.takes(Input::Network(NetworkLevel::Up));
        assert_eq!(client.waits_until(3_600_000), NOTHING);
        assert_eq!(client.state(), "failed");
        client
    };
    let back = "failed -> connecting 1";
    assert_eq!(evicted().takes(Input::Connect), ["open 2", &format!("{back} (Wish)")]);
    assert_eq!(evicted().takes(Input::RetryNow), ["open 2", &format!("{back} (Wish)")]);
    let foreground = Input::App(AppLevel::Foreground);
    assert_eq!(evicted().takes(foreground.clone()), ["open 2", &format!("{back} (AppState)")]);
    let connect_user = Input::ConnectUser { user: user("alice") };
    assert_eq!(evicted().takes(connect_user), ["fetch 2", &format!("{back} (Wish)")]);

    let mut banned = Client::connected(&[]);
    banned.takes(Input::App(AppLevel::Hidden));
    banned.closed(1, Some(4003));
    assert_eq!(banned.takes(foreground), NOTHING);
}

#[test]
fn every_code_says_how_to_come_back_l7_1_l7_2_l7_3_l7_4_l7_5_l9_19() {
    // What is said at once, and when it is dialled.
    let after = |code: u16, said_before: &[ServerFrame]| {
        let mut client = Client::connected(&[]);
        client.now = 1_000;
        for frame in said_before {
            client.hears(1, frame.clone());
        }
        client.jitter = 0.5;
        client.closed(1, Some(code));
        client.state()
    };
    assert_eq!(after(1000, &[]), "reconnecting 1 at 1250");
    assert_eq!(after(1006, &[]), "reconnecting 1 at 1250");
    assert_eq!(after(1001, &[]), "reconnecting 1 at 3500");
    assert_eq!(after(1012, &[]), "reconnecting 1 at 3500");
    assert_eq!(after(1008, &[]), "failed");
    assert_eq!(after(1013, &[]), "reconnecting 1 at 2250");
    assert_eq!(after(4042, &[]), "failed");
    assert_eq!(after(4100, &[]), "reconnecting 1 at 2250");
    assert_eq!(after(4142, &[]), "reconnecting 1 at 2250");
    assert_eq!(after(4100, &[bye(CloseCode(4100), Some(7_000))]), "reconnecting 1 at 8000");
    assert_eq!(after(4200, &[]), "reconnecting 1");
    assert_eq!(after(4242, &[]), "reconnecting 1");
    assert_eq!(after(1012, &[ServerFrame::Drain { retry_after_ms: 9_000 }]), "reconnecting 1 at 10000");
    assert_eq!(after(1006, &[bye(CloseCode::USER_BANNED, None)]), "failed");
}

#[test]
fn a_server_that_closes_every_hello_is_not_dialled_in_a_loop() {
    let mut client = Client::connected(&[]);
    assert_eq!(client.closed(1, Some(4200))[0], "open 2");
    client.takes(Input::Opened { dial: 2 });
    assert_eq!(
        client.closed(2, Some(4200)),
        ["reconnecting 1 -> reconnecting 2 at 1000 (ServerClosed 4200)"]
    );
}

#[test]
fn a_drain_is_kept_in_mind_also_where_the_link_just_dies() {
    let mut client = Client::connected(&[]);
    client.hears(1, ServerFrame::Drain { retry_after_ms: 50_000 });
    client.waits_until(35_000);
    assert_eq!(client.state(), "reconnecting 1 at 50000");

    // Once its time is over, it would only bring all clients back in the same moment.
    let mut client = Client::connected(&[]);
    client.hears(1, ServerFrame::Drain { retry_after_ms: 5_000 });
    client.waits_until(35_000);
    assert_eq!(client.state(), "reconnecting 1 at 35500");
}

#[test]
fn an_expired_token_is_replaced_once_by_a_different_one_l7_24() {
    let mut client = Client::connected(&[]);
    let said = client.closed(1, Some(4202));
    assert_eq!(said, ["fetch 2 instead of t1", "connected -> reconnecting 1 (ServerClosed 4202)"]);
    assert_eq!(client.takes(fetched(2, "t2")), ["open 2"]);
    let hello = client.takes(Input::Opened { dial: 2 });
    assert_eq!(hello, ["transmit 2 hello t2 after []"]);
    // Refused a second time in a row: it is over.
    let said = client.closed(2, Some(4202));
    assert_eq!(said, ["reconnecting 1 -> failed (ServerClosed 4202)"]);
}

#[test]
fn the_same_token_again_is_the_end_without_another_dial_l7_24() {
    let mut client = Client::connected(&[]);
    client.closed(1, Some(4202));
    assert_eq!(client.takes(fetched(2, "t1")), ["reconnecting 1 -> failed (Token)"]);
    let why = failed(&client);
    assert!(matches!(why, FailedWhy::Refused { code: CloseCode::TOKEN_EXPIRED, .. }), "{why:?}");
}

#[test]
fn a_token_that_worked_may_expire_again() {
    let mut client = Client::connected(&[]);
    client.closed(1, Some(4202));
    client.takes(fetched(2, "t2"));
    client.gets_ready(2, Resumed::Resumed);
    assert_eq!(client.closed(2, Some(4202))[0], "fetch 3 instead of t2");
}

#[test]
fn a_token_is_renewed_in_place() {
    let mut client = Client::connected(&[]);
    assert_eq!(client.hears(1, ServerFrame::TokenExpiring { grace_ms: 30_000 }), ["fetch 2"]);
    assert_eq!(client.takes(fetched(1, "old answer")), NOTHING);
    assert_eq!(client.takes(fetched(2, "t2")), ["transmit 1 token t2"]);
    client.closed(1, None);
    client.waits_until(500);
    assert_eq!(client.takes(Input::Opened { dial: 2 }), ["transmit 2 hello t2 after []"]);
}

#[test]
fn a_provider_that_fails_is_asked_again_and_one_that_fails_for_good_is_the_end() {
    let token_failed = |fetch, permanent| Input::TokenFailed { fetch, permanent, message: "no".into() };
    let mut client = Client::new();
    client.takes(Input::ConnectUser { user: user("alice") });
    let said = client.takes(token_failed(1, false));
    assert_eq!(said, ["connecting 1 -> reconnecting 1 at 500 (Token)"]);
    assert_eq!(client.waits_until(500)[0], "500: fetch 2");
    assert_eq!(client.takes(token_failed(1, true)), NOTHING);
    assert_eq!(client.takes(token_failed(2, true)), ["reconnecting 1 -> failed (Token)"]);
    assert_eq!(failed(&client), FailedWhy::Token { message: "no".into() });

    // The same while connected.
    let mut client = Client::connected(&[]);
    client.hears(1, ServerFrame::TokenExpiring { grace_ms: 30_000 });
    assert_eq!(client.takes(token_failed(2, false)), NOTHING);
    assert_eq!(client.waits_until(500), ["500: fetch 3"]);
    assert_eq!(client.takes(token_failed(3, true)), ["close 1 4900", "connected -> failed (Token)"]);
}

#[test]
fn a_provider_that_does_not_answer_counts_as_failed_after_thirty_seconds() {
    let mut client = Client::new();
    client.takes(Input::ConnectUser { user: user("alice") });
    assert_eq!(client.waits_until(29_999), NOTHING);
    assert_eq!(client.waits_until(30_000), ["30000: connecting 1 -> reconnecting 1 at 30500 (Token)"]);
    assert_eq!(client.takes(fetched(1, "t1")), NOTHING);
}

#[test]
fn a_disconnect_during_a_dial_cancels_it_and_is_done_when_it_is_gone_l3_5() {
    let mut client = Client::new();
    client.takes(Input::ConnectUser { user: user("alice") });
    client.takes(fetched(1, "t1"));
    assert_eq!(client.takes(Input::Disconnect), ["close 1 1000"]);
    // It opened in the same moment: it is told again.
    assert_eq!(client.takes(Input::Opened { dial: 1 }), ["close 1 1000"]);
    assert_eq!(client.closed(1, None), ["connecting 1 -> offline (Wish)"]);
    assert_eq!(client.takes(Input::Opened { dial: 1 }), ["close 1 1000"]);
    assert_eq!(client.machine.deadline(), None);
}

#[test]
fn a_disconnect_says_bye_and_keeps_the_place() {
    let mut client = Client::connected(&[(GENERAL, 7)]);
    assert_eq!(client.takes(Input::Disconnect), ["transmit 1 bye leave", "close 1 1000"]);
    // What still comes is not delivered: it comes again with the resume.
    assert_eq!(client.hears_event(1, GENERAL, 8), NOTHING);
    assert_eq!(client.closed(1, Some(1000)), ["connected -> offline (Wish)"]);
    assert_eq!(client.takes(Input::Disconnect), NOTHING);
    assert_eq!(client.takes(Input::RetryNow), NOTHING);
    assert_eq!(client.takes(Input::Connect), ["open 2", "offline -> connecting 1 (Wish)"]);
    let hello = format!("transmit 2 hello t1 after [{GENERAL} 7]");
    assert_eq!(client.takes(Input::Opened { dial: 2 }), [hello]);
}

#[test]
fn a_disconnect_while_waiting_is_done_at_once() {
    let mut client = Client::connected(&[]);
    client.closed(1, None);
    assert_eq!(client.takes(Input::Disconnect), ["reconnecting 1 at 500 -> offline (Wish)"]);
    assert_eq!(client.waits_until(60_000), NOTHING);
}

#[test]
fn a_connect_while_closing_dials_when_the_old_transport_is_gone() {
    let mut client = Client::connected(&[]);
    client.takes(Input::Disconnect);
    assert_eq!(client.takes(Input::Connect), NOTHING);
    assert_eq!(client.closed(1, Some(1000)), ["open 2", "connected -> connecting 1 (Wish)"]);
}

#[test]
fn a_transport_that_never_says_closed_is_taken_for_closed() {
    let mut client = Client::connected(&[]);
    client.takes(Input::Disconnect);
    assert_eq!(client.waits_until(4_999), NOTHING);
    assert_eq!(client.waits_until(5_000), ["5000: connected -> offline (Wish)"]);
}

#[test]
fn the_next_user_waits_for_the_last_one_to_be_gone_and_knows_nothing_of_her() {
    let mut client = Client::connected(&[(GENERAL, 7)]);
    client.takes(Input::Watch { topic: topic(RANDOM), after: Some(3) });
    assert_eq!(client.takes(Input::DisconnectUser), ["transmit 1 bye leave", "close 1 1000"]);
    assert_eq!(client.takes(Input::ConnectUser { user: user("bob") }), NOTHING);
    assert_eq!(client.closed(1, Some(1000)), ["fetch 2", "connected -> connecting 1 (Wish)"]);
    client.takes(fetched(2, "bobs"));
    let said = client.gets_ready(2, Resumed::Fresh);
    let changed = "connecting 1 -> connected (Ready)";
    assert_eq!(said, ["transmit 2 hello bobs with user", "ready fresh", changed]);
}

#[test]
fn a_logged_out_client_is_closed_and_connects_only_with_a_user() {
    let mut client = Client::connected(&[]);
    client.takes(Input::DisconnectUser);
    assert_eq!(client.closed(1, Some(1000)), ["connected -> closed (Wish)"]);
    assert_eq!(client.machine.ui_status(0), UiStatus::SignedOut);
    assert_eq!(client.takes(Input::Connect), NOTHING);
    assert_eq!(client.takes(Input::RetryNow), NOTHING);
    let said = client.takes(Input::ConnectUser { user: user("alice") });
    assert_eq!(said, ["fetch 2", "closed -> connecting 1 (Wish)"]);
}

#[test]
fn a_changed_user_is_told_with_the_next_hello_and_only_then_l4_15() {
    let mut client = Client::connected(&[]);
    let renamed = user("alice").with("name", "Alice");
    assert_eq!(client.takes(Input::ConnectUser { user: renamed }), NOTHING);
    let mut hello = |dial: u64| {
        client.closed(dial, None);
        client.now = client.machine.deadline().unwrap();
        client.takes(Input::Tick);
        client.gets_ready(dial + 1, Resumed::Resumed)[0].clone()
    };
    assert_eq!(hello(1), "transmit 2 hello t1 with user after []");
    assert_eq!(hello(2), "transmit 3 hello t1 after []");
}

#[test]
fn watched_topics_are_watched_again_from_their_place_and_not_named_in_the_resume() {
    let mut client = Client::connected(&[(GENERAL, 7)]);
    let watch = Input::Watch { topic: topic(RANDOM), after: Some(3) };
    assert_eq!(client.takes(watch), [format!("transmit 1 watch {RANDOM} after 3")]);
    client.hears_event(1, RANDOM, 4);
    client.closed(1, None);
    client.waits_until(500);
    let said = client.gets_ready(2, Resumed::Resumed);
    let hello = format!("transmit 2 hello t1 after [{GENERAL} 7]");
    let watch = format!("transmit 2 watch {RANDOM} after 4");
    assert_eq!(said, [&hello, "ready resumed", &watch, "reconnecting 1 -> connected (Ready)"]);

    let unwatch = Input::Unwatch { topic: topic(RANDOM) };
    assert_eq!(client.takes(unwatch), ["transmit 2 unwatch"]);
    client.closed(2, None);
    client.waits_until(2_000);
    let said = client.gets_ready(3, Resumed::Resumed);
    assert_eq!(said[0], format!("transmit 3 hello t1 after [{GENERAL} 7]"));
    assert_eq!(said.len(), 3);
    // Where it comes all the same, nothing comes twice.
    assert_eq!(client.hears_event(3, RANDOM, 4), NOTHING);
}

#[test]
fn a_reset_is_told_and_events_go_on_after_its_head() {
    let mut client = Client::connected(&[(GENERAL, 7)]);
    let said = client.hears(1, reset(GENERAL, ResetReason::Trimmed, 20));
    assert_eq!(said, [format!("reset {GENERAL} trimmed 20")]);
    assert_eq!(client.hears_event(1, GENERAL, 20), NOTHING);
    assert_eq!(client.hears_event(1, GENERAL, 21), [format!("deliver {GENERAL} 21")]);
    // A topic that is no longer hers is forgotten.
    client.hears(1, reset(GENERAL, ResetReason::NoAccess, 0));
    client.closed(1, None);
    client.waits_until(500);
    assert_eq!(client.takes(Input::Opened { dial: 2 }), ["transmit 2 hello t1 after []"]);
}

#[test]
fn another_epoch_resets_every_topic_once() {
    let mut client = Client::connected(&[(GENERAL, 7)]);
    client.hears_event(1, RANDOM, 40);
    client.closed(1, None);
    client.waits_until(500);
    client.takes(Input::Opened { dial: 2 });
    let heads = [(topic(GENERAL), 2)].into();
    let other = Ready { epoch: epoch("e2"), resumed: Resumed::CaughtUp, heads, ..ready() };
    let said = client.hears(2, ServerFrame::Ready(Box::new(other)));
    let resets = [format!("reset {GENERAL} other_epoch 2"), format!("reset {RANDOM} other_epoch 0")];
    assert_eq!(said[1..3], resets);
    assert_eq!(client.hears(2, reset(GENERAL, ResetReason::OtherEpoch, 2)), NOTHING);
    assert_eq!(client.hears(2, reset(RANDOM, ResetReason::OtherEpoch, 5)), NOTHING);
    assert_eq!(client.hears_event(2, RANDOM, 5), NOTHING);
    assert_eq!(client.hears_event(2, RANDOM, 6), [format!("deliver {RANDOM} 6")]);
    // What comes later is news again.
    let again = reset(GENERAL, ResetReason::OtherEpoch, 9);
    assert_eq!(client.hears(2, again), [format!("reset {GENERAL} other_epoch 9")]);
}

#[test]
fn what_changes_while_the_answer_to_hello_is_on_its_way_is_told_after_it() {
    let mut client = Client::new();
    client.takes(Input::ConnectUser { user: user("alice") });
    client.takes(fetched(1, "t1"));
    client.takes(Input::Opened { dial: 1 });
    assert_eq!(client.takes(Input::App(AppLevel::Hidden)), NOTHING);
    assert_eq!(client.takes(Input::Presence(PresenceSubscription::All)), NOTHING);
    assert_eq!(client.takes(Input::Watch { topic: topic(RANDOM), after: None }), NOTHING);
    let said = client.hears(1, ServerFrame::Ready(Box::new(ready())));
    let watch = format!("transmit 1 watch {RANDOM}");
    assert_eq!(said[1..4], [&watch, "transmit 1 app_state hidden", "transmit 1 presence"]);
    assert_eq!(client.takes(Input::App(AppLevel::Hidden)), NOTHING);
    assert_eq!(
        client.takes(Input::App(AppLevel::Foreground)),
        ["transmit 1 app_state foreground", "transmit 1 ping 0"],
    );
}

#[test]
fn what_is_sent_without_a_connection_is_dropped() {
    let mut client = Client::connected(&[]);
    assert_eq!(client.takes(Input::Send(ClientFrame::Ping { id: 7 })), ["transmit 1 ping 7"]);
    assert_eq!(client.hears(1, ServerFrame::Pong { id: 7 }), ["pong 7"]);
    client.closed(1, None);
    assert_eq!(client.takes(Input::Send(ClientFrame::Ping { id: 8 })), NOTHING);
}

#[test]
fn coming_to_the_foreground_hurries_a_wait_l6_12() {
    let mut client = Client::connected(&[]);
    client.takes(Input::App(AppLevel::Hidden));
    client.closed(1, Some(1013));
    assert_eq!(client.state(), "reconnecting 1 at 1500");
    client.takes(Input::App(AppLevel::Foreground));
    assert_eq!(client.state(), "reconnecting 1 at 300");
}

#[test]
fn a_server_that_speaks_before_ready_or_says_it_twice_is_left() {
    let mut client = Client::connected(&[]);
    let said = client.hears(1, ServerFrame::Ready(Box::new(ready())));
    assert_eq!(said, ["close 1 4900", "connected -> reconnecting 1 at 500 (Protocol)"]);
    client.waits_until(500);
    client.takes(Input::Opened { dial: 2 });
    let said = client.hears_event(2, GENERAL, 8);
    assert_eq!(said, ["close 2 4900", "reconnecting 1 -> reconnecting 2 at 1500 (Protocol)"]);
}

#[test]
fn a_banner_is_quiet_for_two_seconds_and_gone_at_once_l3_11() {
    let mut client = Client::new();
    assert_eq!(client.machine.ui_status(0), UiStatus::SignedOut);
    client.takes(Input::ConnectUser { user: user("alice") });
    assert_eq!(client.machine.ui_status(1_999), UiStatus::SignedOut);
    assert_eq!(client.machine.ui_status(2_000), UiStatus::Reconnecting);

    let mut client = Client::connected(&[]);
    assert_eq!(client.machine.ui_status(0), UiStatus::Online);
    client.now = 1_000;
    client.closed(1, None);
    assert_eq!(client.machine.ui_status(2_999), UiStatus::Online);
    assert_eq!(client.machine.ui_status(3_000), UiStatus::Reconnecting);
    client.takes(Input::Network(NetworkLevel::Down));
    assert_eq!(client.machine.ui_status(3_000), UiStatus::Offline);
    client.takes(Input::Network(NetworkLevel::Up));
    client.waits_until(3_500);
    client.gets_ready(2, Resumed::Resumed);
    assert_eq!(client.machine.ui_status(3_500), UiStatus::Online);
    client.takes(Input::Disconnect);
    assert_eq!(client.machine.ui_status(3_500), UiStatus::Offline);
}

#[test]
fn throttles_and_refusals_are_told_and_the_connection_stays() {
    let mut client = Client::connected(&[]);
    let throttle = ServerFrame::Throttle { feature: "typing".into(), retry_after_ms: 3_000 };
    assert_eq!(client.hears(1, throttle), ["throttled typing 3000"]);
    let refused = ServerFrame::Error { error: ErrorCode::NotAllowed.error(), topic: Some(topic(RANDOM)) };
    assert_eq!(client.hears(1, refused), ["refused not_allowed"]);
    assert_eq!(client.state(), "connected");
    assert_eq!(
        client.takes(Input::Send(ClientFrame::Bye { intent: ByeIntent::Park })),
        ["transmit 1 bye park"]
    );
}
