//! Oten: signed requests in the address, EdDSA ID tokens.
