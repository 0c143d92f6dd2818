//! Filters and orders over channels and users, as trees that cannot name a column that is not offered.

use parlour_wire::ChannelType;
use serde_json::Value;

/// Which of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter<F> {
    And(Vec<Self>),
    Or(Vec<Self>),
    Nor(Vec<Self>),
    Compare { field: F, comparison: Comparison },
}

/// Something that can be asked about.
pub trait Field: Clone {
    /// What its values are, and so what they compare with.
    fn kind(&self) -> Kind;
}

/// What the values of a field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    /// Compared with [`parlour_wire::Timestamp`] texts.
    Time,
    /// A set of texts: `Eq` (one of them), `In` (at least one of these).
    Set,
    /// True or false, never absent.
    Truth,
    /// Whatever the app put there.
    Json,
}

/// What can be asked about a channel.
#[derive(Clone, Debug, PartialEq)]
pub enum ChannelField {
    Cid,
    Id,
    Type,
    Team,
    /// The members' user ids.
    Members,
    MemberCount,
    CreatedAt,
    UpdatedAt,
    LastMessageAt,
    CreatedBy,
    /// A key of the channel's data: 1–64 characters, bound as a value and never concatenated.
    Data(String),
}

impl Field for ChannelField {
    fn kind(&self) -> Kind {
        match self {
            Self::Cid | Self::Id | Self::Type | Self::Team | Self::CreatedBy => Kind::Text,
            Self::Members => Kind::Set,
            Self::MemberCount => Kind::Number,
            Self::CreatedAt | Self::UpdatedAt | Self::LastMessageAt => Kind::Time,
            Self::Data(_) => Kind::Json,
        }
    }
}

/// What can be asked about a user.
#[derive(Clone, Debug, PartialEq)]
pub enum UserField {
    Id,
    /// The name, where it is a text.
    Name,
    Role,
    Teams,
    CreatedAt,
    UpdatedAt,
    LastActive,
    /// Openly banned from the app at the time of the query.
    Banned,
    DeactivatedAt,
    DeletedAt,
    /// A key of the user's own fields: 1–64 characters, bound as a value and never concatenated.
    Own(String),
}

impl Field for UserField {
    fn kind(&self) -> Kind {
        match self {
            Self::Id | Self::Name | Self::Role => Kind::Text,
            Self::Teams => Kind::Set,
            Self::CreatedAt | Self::UpdatedAt | Self::LastActive | Self::DeactivatedAt | Self::DeletedAt => {
                Kind::Time
            }
            Self::Banned => Kind::Truth,
            Self::Own(_) => Kind::Json,
        }
    }
}

/// How a field compares.
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
pub struct SortKey<F> {
    pub field: F,
    pub order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

/// A place between two pages: what the last one before it has to order by. It stays where it is whatever is written
/// in between: nothing that keeps its place in the order is passed over or comes twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Place(pub Vec<Key>);

/// One value of a [`Place`].
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
}

impl<F> Filter<F> {
    /// Everything.
    pub fn all() -> Self {
        Self::And(Vec::new())
    }
}

impl Filter<ChannelField> {
    /// The channels of one type.
    pub fn of_type(channel_type: &ChannelType) -> Self {
        Self::Compare { field: ChannelField::Type, comparison: Comparison::Eq(channel_type.as_str().into()) }
    }
}
