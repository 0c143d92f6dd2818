//! What tells a connection from the others of its user, for whoever counts them by cause.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use parlour_store::Marks;
use parlour_wire::frames::{ClientInfo, Hello};

/// A device without a name is taken for another one's where it comes from another address.
pub(super) fn of(hello: &Hello, address: Option<IpAddr>) -> Marks {
    let ClientInfo { instance, page, sdk, platform, .. } = &hello.client;
    let address = if hello.device.is_none() { address } else { None };
    Marks {
        device: digest(&(&hello.device, platform, sdk, address)),
        // A client that does not tell pages apart is one by itself.
        page: digest(if page.is_empty() { instance } else { page }),
        instance: digest(instance),
        comes_back: hello.resume.is_some() || hello.replaces.is_some(),
    }
}

fn digest<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
