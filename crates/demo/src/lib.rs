//! A development identity provider and an echo application, on loopback only.
//!
//! `lychgate demo` runs both beside the gateway so that a newcomer sees a whole sign-in without an
//! account anywhere, and the end-to-end tests drive the same two against the real binary. There are
//! no passwords: whoever reaches the provider chooses a [persona](personas). That is why neither
//! binds anything but a loopback address; see [`NotLoopback`].
//!
//! The provider can be told to misbehave, coarsely with a [`Fault`] (`lychgate demo --break`) or
//! finely through [`Control`](provider::Control). Everything it signs is made here, on `aws-lc-rs`
//! directly. The gateway verifies with another library, so that one mistake cannot hide on both
//! sides.

pub mod echo;
mod fault;
mod html;
mod keys;
pub mod personas;
pub mod provider;
mod record;
mod serve;

pub use fault::{Fault, UnknownFault};
pub use keys::{Algorithm, UnknownAlgorithm};
pub use record::Recorded;
pub use serve::NotLoopback;
