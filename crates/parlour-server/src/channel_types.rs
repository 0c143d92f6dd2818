//! The types of channels, and what each allows.

use parlour_wire::{ChannelType, ErrorBody, ErrorCode};

/// The settings of one type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChannelTypeSettings {
    pub(crate) name: &'static str,
    /// Whether users who are no members may read, watch and write, unless the permissions say otherwise.
    pub(crate) open: bool,
    pub(crate) typing: bool,
    pub(crate) reads: bool,
    /// Characters of a message's text.
    pub(crate) message_chars_max: usize,
}

const TYPES: &[ChannelTypeSettings] = &[
    ChannelTypeSettings {
        name: "messaging",
        open: false,
        typing: true,
        reads: true,
        message_chars_max: 5_000,
    },
    ChannelTypeSettings {
        name: "livestream",
        open: true,
        typing: false,
        reads: false,
        message_chars_max: 5_000,
    },
];

/// The settings of a type.
pub(crate) fn settings(channel_type: &ChannelType) -> Result<&'static ChannelTypeSettings, ErrorBody> {
    TYPES.iter().find(|settings| settings.name == channel_type.as_str()).ok_or_else(|| {
        let names: Vec<_> = TYPES.iter().map(|settings| settings.name).collect();
        let names = names.join(", ");
        ErrorCode::InvalidInput
            .because(format!("There is no channel type {channel_type}; there are: {names}."))
    })
}

/// Every type.
pub(crate) fn all() -> impl Iterator<Item = &'static ChannelTypeSettings> {
    TYPES.iter()
}
