//! The systems that the gateway was made for, each simulated by itself, with the configuration that we ship for it.
//!
//! A simulator checks what it is sent more strictly than the real provider has to, and misbehaves when it is told
//! to. Its JOSE is somebody else's, so that one mistake cannot hide on both sides.

mod ais;
mod checks;
mod events;
mod example;
mod fanbase;
mod faults;
mod hybrid;
mod oten;
mod stage;
mod strict;
mod uae;
