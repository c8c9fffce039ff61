//! What a relying party must do, and must refuse, as the certification suites and the attacks of
//! the past ask it. Each case is a whole sign-in against a provider made of values.

mod answers;
mod callbacks;
mod certification;
mod exchanges;
mod hybrid;
mod id_tokens;
mod inquiries;
mod kinds;
mod logins;
mod metadata;
mod proofs;
mod quirks;
mod refreshes;
mod requests;
mod responses;
mod secrecy;
mod signer;
mod stage;
