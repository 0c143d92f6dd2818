//! Devices are registered for push, and removed: by the user itself, or by a server that acts as it.

use parlour_wire::devices::{DEVICE_ID_BYTES_MAX, Device, PushProvider, RegisterDevice};
use parlour_wire::{ErrorBody, ErrorCode, Team};

use crate::access::Caller;
use crate::error::ApiResult;
use crate::node::Node;

/// Bytes of each of a browser's keys, at most.
const KEY_BYTES_MAX: usize = 256;

pub(crate) async fn register_device(
    node: &Node,
    caller: &Caller,
    device: RegisterDevice,
) -> ApiResult<Device> {
    let user = caller.require_user()?;
    check(&device)?;
    Ok(node.store.register_device(caller.app.id, user, device, node.clock.now()).await?)
}

fn check(device: &RegisterDevice) -> Result<(), ErrorBody> {
    let wrong = |field: &str, why: String| {
        let mut error = ErrorCode::InvalidInput.because(format!("The device's `{field}` {why}."));
        error.fields.insert(field.to_owned(), why);
        Err(error)
    };
    let RegisterDevice { id, provider, provider_name, keys } = device;
    if !(1..=DEVICE_ID_BYTES_MAX).contains(&id.len()) {
        return wrong("id", format!("has {} bytes; it has 1 to {DEVICE_ID_BYTES_MAX}", id.len()));
    }
    if let Some(bad) = id.chars().find(|c| !c.is_ascii_graphic()) {
        return wrong("id", format!("has the character {bad:?}; it is made of visible ASCII"));
    }
    if let PushProvider::Unknown(name) = provider {
        return wrong("provider", format!("is {name:?}; it is one of: {}", PushProvider::KNOWN.join(", ")));
    }
    // The same charset as a team's.
    if let Some(Err(error)) = provider_name.as_deref().map(Team::parse) {
        return wrong("provider_name", format!("is none: {}", error.to_string().replace("a team", "it")));
    }
    match (provider, keys) {
        (PushProvider::WebPush, None) => {
            wrong("keys", "are missing: a browser's subscription has `p256dh` and `auth`".to_owned())
        }
        (PushProvider::WebPush, Some(keys)) => {
            let is_key = |key: &str| {
                (1..=KEY_BYTES_MAX).contains(&key.len())
                    && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '='))
            };
            match is_key(&keys.p256dh) && is_key(&keys.auth) {
                true => Ok(()),
                false => wrong("keys", "are not base64url, or too long".to_owned()),
            }
        }
        (_, Some(_)) => wrong("keys", "belong to `webpush` only".to_owned()),
        (_, None) => Ok(()),
    }
}
