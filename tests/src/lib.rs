//! The stories end to end, told against the real binary.

pub mod cast;
