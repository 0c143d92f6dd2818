//! A message is sent.

use parlour_store::{NewMessage, Sent};
use parlour_wire::messages::{
    ATTACHMENTS_MAX, MENTIONS_MAX, MESSAGE_CUSTOM_BYTES_MAX, MESSAGE_RESERVED_FIELDS, MessageDraft,
};
use parlour_wire::{Cid, ErrorBody, ErrorCode, MessageId, UserId};
use serde_json::Value;
use std::collections::BTreeMap;

use super::get_or_create_channel::refuse_reserved;
use crate::access::{self, Caller, Wish};
use crate::error::ApiResult;
use crate::node::Node;

/// The same id again is the same message.
pub(crate) async fn send_message(
    node: &Node,
    caller: &Caller,
    cid: &Cid,
    draft: MessageDraft,
) -> ApiResult<Sent> {
    let sender = caller.require_user()?;
    let granted = access::channel(node, caller, cid, Wish::Send).await?;
    check_text(&draft.text, granted.settings.message_chars_max)?;
    check_attachments(&draft.attachments)?;
    check_mentions(&draft.mentioned_users)?;
    check_custom(&draft.custom)?;
    if draft.text.trim().is_empty() && draft.attachments.is_empty() && draft.custom.is_empty() {
        return Err(ErrorCode::InvalidInput
            .because("A message has text, an attachment or custom data; this one has none.")
            .into());
    }
    let id = match draft.id {
        Some(id) => id,
        None => new_id(node),
    };
    let message = NewMessage {
        app: caller.app.id,
        cid: granted.cid.clone(),
        sender: sender.clone(),
        requires: granted.requires(),
        id,
        text: draft.text,
        attachments: draft.attachments,
        mentioned_users: draft.mentioned_users,
        silent: draft.silent,
        custom: draft.custom,
        now: node.clock.now(),
    };
    let sent = node.store.send_message(message).await?.value;
    node.typing.stop(&*node.bus, caller.app.id, cid, sender);
    node.presence.active(caller.app.id, sender, node.clock.now());
    Ok(sent)
}

fn new_id(node: &Node) -> MessageId {
    let ms = node.clock.now().unix_ms();
    let text = format!("{ms:012x}{}", &node.dice.hex()[..20]);
    MessageId::parse(&text).expect("hexadecimal digits are within the charset")
}

/// Text is at most as long as the channel's type allows, in characters.
pub(crate) fn check_text(text: &str, chars_max: usize) -> Result<(), ErrorBody> {
    let chars = text.chars().count();
    if chars > chars_max {
        let why = format!("The text has {chars} characters; this channel allows {chars_max}.");
        return Err(ErrorCode::TextTooLong.because(why));
    }
    Ok(())
}

pub(crate) fn check_attachments(attachments: &[Value]) -> Result<(), ErrorBody> {
    let count = attachments.len();
    if count > ATTACHMENTS_MAX {
        let why = format!("A message has at most {ATTACHMENTS_MAX} attachments; this one has {count}.");
        return Err(ErrorCode::InvalidInput.because(why));
    }
    if attachments.iter().any(|attachment| !attachment.is_object()) {
        return Err(ErrorCode::InvalidInput.because("An attachment is an object."));
    }
    Ok(())
}

pub(crate) fn check_mentions(mentioned: &[UserId]) -> Result<(), ErrorBody> {
    let count = mentioned.len();
    if count > MENTIONS_MAX {
        let why = format!("A message mentions at most {MENTIONS_MAX} users; this one {count}.");
        return Err(ErrorCode::InvalidInput.because(why));
    }
    Ok(())
}

pub(crate) fn check_custom(custom: &BTreeMap<String, Value>) -> Result<(), ErrorBody> {
    refuse_reserved(custom.keys(), MESSAGE_RESERVED_FIELDS)?;
    let bytes = serde_json::to_vec(custom).map_or(0, |json| json.len());
    if bytes > MESSAGE_CUSTOM_BYTES_MAX {
        let why =
            format!("The message's custom data has {bytes} bytes; the limit is {MESSAGE_CUSTOM_BYTES_MAX}.");
        return Err(ErrorCode::TooLarge.because(why));
    }
    Ok(())
}
