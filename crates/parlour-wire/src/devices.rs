//! Devices registered for push, on the wire.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::open::open_enum;

/// At most this many devices of one user.
pub const DEVICES_PER_USER_MAX: u32 = 25;
/// A device's id has at most this many bytes: some are addresses.
pub const DEVICE_ID_BYTES_MAX: usize = 1_024;

open_enum! {
    /// Who brings pushes to a device.
    pub enum PushProvider {
        Apn = "apn",
        Fcm = "fcm",
        WebPush = "webpush",
    }
}

/// A device registered for push. It belongs to the user who registered it last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Device {
    /// What its provider knows it by: the token of an app's installation, or the endpoint of a browser's subscription.
    pub id: String,
    pub provider: PushProvider,
    /// Which of the app's configurations of this provider, where it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_name: Option<String>,
    pub created_at: Timestamp,
}

/// What a browser's subscription gives to encrypt with. It is not given back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WebPushKeys {
    pub p256dh: String,
    pub auth: String,
}

/// `POST /v1/devices`: registers a device for the caller, or for the user that a server acts as. One that is registered
/// already, by whomever, is the caller's from now on. At most 25 of each user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RegisterDevice {
    /// 1 to 1,024 visible ASCII characters.
    pub id: String,
    /// `apn`, `fcm` or `webpush`.
    pub provider: PushProvider,
    /// 1 to 64 of `a-z A-Z 0-9 _ -`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_name: Option<String>,
    /// With `webpush`, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<WebPushKeys>,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DeviceResponse {
    pub device: Device,
}

/// `GET /v1/devices`: the caller's, the earliest registered first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DevicesResponse {
    pub devices: Vec<Device>,
}
