//! Filters and orders over channels, as trees that cannot name a column that is not offered.

use parlour_wire::ChannelType;
use serde_json::Value;

/// Which channels.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    And(Vec<Self>),
    Or(Vec<Self>),
    Nor(Vec<Self>),
    /// `members` contains all or some of these users; values are user ids as strings.
    Compare {
        field: Field,
        comparison: Comparison,
    },
}

/// What can be asked about.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    Cid,
    Id,
    Type,
    /// The set of members' user ids: `Eq` (one of them), `In` (at least one of these).
    Members,
    MemberCount,
    CreatedAt,
    UpdatedAt,
    LastMessageAt,
    CreatedBy,
    /// A key of the channel's data: 1–64 characters, bound as a value and never concatenated.
    Data(String),
}

/// How a field compares. Times come as [`parlour_wire::Timestamp`] texts.
#[derive(Clone, Debug, PartialEq)]
pub enum Comparison {
    Eq(Value),
    Ne(Value),
    Gt(Value),
    Gte(Value),
    Lt(Value),
    Lte(Value),
    In(Vec<Value>),
    Nin(Vec<Value>),
    Exists(bool),
    /// Begins with this text, whatever the case.
    Autocomplete(String),
}

/// One key of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    pub field: Field,
    pub order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

impl Filter {
    /// Everything.
    pub fn all() -> Self {
        Self::And(Vec::new())
    }

    /// The channels of one type.
    pub fn of_type(channel_type: &ChannelType) -> Self {
        Self::Compare { field: Field::Type, comparison: Comparison::Eq(channel_type.as_str().into()) }
    }
}
