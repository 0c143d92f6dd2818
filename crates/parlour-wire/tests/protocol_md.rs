//! Every JSON block of `spec/protocol.md` is what the types on the wire say, and the page shows every frame
//! and every event there is.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::BTreeSet;

use parlour_wire::error::ErrorResponse;
use parlour_wire::events::{ClientSignal, Signal};
use parlour_wire::{
    ClientFrame, Event, Open, ServerFrame, app, channels, frames, guests, json, members, messages,
    moderation, reads, tokens, users,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const PAGE: &str = include_str!("../../../spec/protocol.md");

/// A JSON block with the comment before it, which says what it is.
struct Block {
    line: usize,
    what: String,
    text: String,
}

fn blocks() -> Vec<Block> {
    let lines: Vec<&str> = PAGE.lines().collect();
    let mut blocks = Vec::new();
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| **line == "```json") {
        let what = at.checked_sub(1).map_or("", |before| lines[before]);
        let what = what.strip_prefix("<!-- ").and_then(|what| what.strip_suffix(" -->"));
        let what = what.unwrap_or_else(|| panic!("line {}: no comment says what this block is", at + 1));
        let text: Vec<&str> = lines[at + 1..].iter().take_while(|line| **line != "```").copied().collect();
        blocks.push(Block { line: at + 2, what: what.to_owned(), text: text.join("\n") });
    }
    assert!(blocks.len() > 40, "only {} blocks were found", blocks.len());
    blocks
}

/// What the type makes of the block, after reading it as strictly as the server reads.
fn through<T: DeserializeOwned + Serialize>(block: &Block) -> Value {
    let parsed: T = json::parse_as(block.text.as_bytes())
        .unwrap_or_else(|error| panic!("protocol.md:{}: no {}: {error}", block.line, block.what));
    serde_json::to_value(parsed).unwrap()
}

fn through_its_type(block: &Block) -> Value {
    match block.what.as_str() {
        "client frame" => through::<ClientFrame>(block),
        "server frame" => through::<ServerFrame>(block),
        "event" => through::<Event>(block),
        "error response" => through::<ErrorResponse>(block),
        "request: AddKey" => through::<app::AddKey>(block),
        "request: BanUser" => through::<moderation::BanUser>(block),
        "request: CreateGuest" => through::<guests::CreateGuest>(block),
        "request: ClientFrames" => through::<frames::ClientFrames>(block),
        "request: EditMessage" => through::<messages::EditMessage>(block),
        "request: GetOrCreateChannel" => through::<channels::GetOrCreateChannel>(block),
        "request: MarkRead" => through::<reads::MarkRead>(block),
        "request: MarkUnread" => through::<reads::MarkUnread>(block),
        "request: MuteUser" => through::<moderation::MuteUser>(block),
        "request: PartialUpdate" => through::<users::PartialUpdate>(block),
        "request: QueryChannels" => through::<channels::QueryChannels>(block),
        "request: SendMessage" => through::<messages::SendMessage>(block),
        "request: UpdateMember" => through::<members::UpdateMember>(block),
        "request: UpdateMembers" => through::<members::UpdateMembers>(block),
        "request: RevokeTokens" => through::<tokens::RevokeTokens>(block),
        "request: SetJwks" => through::<app::SetJwks>(block),
        "request: UpsertUsers" => through::<users::UpsertUsers>(block),
        "response: ChannelResponse" => through::<channels::ChannelResponse>(block),
        "response: ChannelsResponse" => through::<channels::ChannelsResponse>(block),
        "response: GuestResponse" => through::<guests::GuestResponse>(block),
        "response: MessageResponse" => through::<messages::MessageResponse>(block),
        "response: MessagesResponse" => through::<messages::MessagesResponse>(block),
        "response: ServerFrames" => through::<frames::ServerFrames>(block),
        "response: UnreadResponse" => through::<reads::UnreadResponse>(block),
        "response: UnreadTotals" => through::<reads::UnreadTotals>(block),
        "response: UsersResponse" => through::<users::UsersResponse>(block),
        other => panic!("protocol.md:{}: nobody knows what {other:?} is", block.line),
    }
}

#[test]
fn every_json_block_is_read_and_written_back_as_it_stands() {
    for block in blocks() {
        let written: Value = serde_json::from_str(&block.text).unwrap();
        assert_eq!(through_its_type(&block), written, "protocol.md:{}", block.line);
    }
}

#[test]
fn every_event_and_signal_in_a_frame_is_a_known_one_l4_24() {
    for block in blocks().iter().filter(|block| block.what == "server frame") {
        let is_known = match json::parse_as(block.text.as_bytes()).unwrap() {
            ServerFrame::Event(frame) => matches!(frame.event, Open::Known(_)),
            ServerFrame::Signal { signal, .. } => matches!(signal, Open::Known(_)),
            _ => true,
        };
        assert!(is_known, "protocol.md:{}", block.line);
    }
}

#[test]
fn every_frame_event_and_signal_is_shown_l4_9_l4_11() {
    let mut shown: BTreeSet<(&str, String)> = BTreeSet::new();
    for block in blocks() {
        let value: Value = serde_json::from_str(&block.text).unwrap();
        let is_from_client = block.what == "client frame";
        let places = [
            (if is_from_client { "client frame" } else { "server frame" }, &value),
            ("event", &value),
            ("event", &value["event"]),
            (if is_from_client { "client signal" } else { "signal" }, &value["signal"]),
        ];
        let kinds =
            places.iter().filter_map(|(what, value)| Some((*what, value["type"].as_str()?.to_owned())));
        shown.extend(kinds);
    }
    let there_are = [
        ("client frame", kinds::<ClientFrame>()),
        ("server frame", kinds::<ServerFrame>()),
        ("event", kinds::<Event>()),
        ("signal", kinds::<Signal>()),
        ("client signal", kinds::<ClientSignal>()),
    ];
    for (what, kinds) in there_are {
        assert!(kinds.len() > 1, "the kinds of {what} were not found");
        for kind in kinds {
            assert!(shown.contains(&(what, kind.clone())), "no {what} {kind} is shown");
        }
    }
}

/// Every `type` that the enum knows, as its own refusal of another one lists them.
fn kinds<T: DeserializeOwned>() -> Vec<String> {
    let refusal = serde_json::from_str::<T>(r#"{"type":"?"}"#).err().unwrap().to_string();
    refusal.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}
