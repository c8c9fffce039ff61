//! Ending a tunnel in words that both sides understand.
//!
//! A WebSocket that has to end gets a close frame with a code and a reason, to the client and to the application. A
//! control frame may stand between any two frames, also within a message that comes in several (RFC 6455 §5.4), and
//! never inside of one: so the frames that pass are followed, their headers alone. What is no WebSocket, or cannot be
//! followed, is closed without a word; nothing is ever put into the middle of a frame.
//!
//! Sources: RFC 6455 §5.2 (framing), §5.5.1 (close), §7.1.1.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::tether::{Ending, Tether};

/// How long the end of a frame that is under way is waited for.
const FRAME_PATIENCE: Duration = Duration::from_secs(1);

const CLOSE: u8 = 0x8;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;

/// What passes through one connection that has a [`Tether`].
#[derive(Debug)]
pub(super) struct Tunnel {
    tether: Arc<Tether>,
    /// To the client: the head of the 101, then frames.
    down: Frames,
    /// To the application: frames.
    up: Frames,
    state: State,
}

#[derive(Debug)]
enum State {
    Open,
    /// The end has come in the middle of a frame.
    Waiting {
        until: Instant,
    },
    /// The client is being told.
    Telling {
        frame: Vec<u8>,
        told: usize,
        ending: Ending,
    },
    /// The client was told; the application is next, if it can be.
    Told {
        ending: Ending,
    },
    /// There is nothing more to say.
    Over,
}

/// What to do with a piece that is on its way to the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// Write so much of it.
    Write(usize),
    /// Take it, and drop it: nobody listens any more.
    Drop,
    /// There is nobody to take it.
    Closed,
}

/// What the application's side reads next.
#[derive(Debug)]
pub(super) enum Next {
    /// Whatever the client sends.
    Client,
    /// Nothing before the frame under way has ended, or until then.
    Wait(Instant),
    /// These bytes are to be written to the client, first.
    Tell,
    /// This, in the client's place.
    Frame(Vec<u8>),
    /// The end.
    End,
    /// The end, without a word.
    Cut,
}

impl Tunnel {
    pub(super) fn new(tether: Arc<Tether>) -> Self {
        let (down, up) = (Frames::behind_a_head(Side::Server), Frames::new(Side::Client));
        Self { tether, down, up, state: State::Open }
    }

    pub(super) fn is_of(&self, tether: &Arc<Tether>) -> bool {
        Arc::ptr_eq(&self.tether, tether)
    }

    /// How much of `bytes`, on its way to the client, may be written.
    pub(super) fn passage(&self, bytes: &[u8]) -> Passage {
        match self.state {
            State::Open | State::Waiting { .. } if self.tether.ending().is_none() => {
                Passage::Write(bytes.len())
            }
            State::Open | State::Waiting { .. } if !self.tether.is_websocket() => Passage::Closed,
            State::Open | State::Waiting { .. } if self.down.is_between() => Passage::Drop,
            State::Open | State::Waiting { .. } => {
                let mut frames = self.down.clone();
                Passage::Write(frames.pass_one(bytes))
            }
            State::Telling { .. } | State::Told { .. } | State::Over => Passage::Drop,
        }
    }

    /// So much was written to the client.
    pub(super) fn went_down(&mut self, bytes: &[u8]) {
        if self.tether.is_websocket() {
            self.down.pass(bytes);
        }
    }

    /// So much was read from the client.
    pub(super) fn went_up(&mut self, bytes: &[u8]) {
        if self.tether.is_websocket() {
            self.up.pass(bytes);
        }
    }

    /// What the application's side reads next, given why the tunnel has to end.
    pub(super) fn next(&mut self, ending: Option<Ending>, now: Instant) -> Next {
        let Some(ending) = ending else { return Next::Client };
        match &self.state {
            State::Open | State::Waiting { .. } if !self.tether.is_websocket() => {
                self.state = State::Over;
                Next::Cut
            }
            State::Open | State::Waiting { .. } if self.down.is_between() => {
                let frame = close_frame(ending, Side::Server);
                self.state = State::Telling { frame, told: 0, ending };
                Next::Tell
            }
            State::Open if self.down.is_followed() => {
                let until = now + FRAME_PATIENCE;
                self.state = State::Waiting { until };
                Next::Wait(until)
            }
            State::Waiting { until } if now < *until && self.down.is_followed() => {
                Next::Wait(*until)
            }
            State::Open | State::Waiting { .. } => {
                self.state = State::Over;
                Next::Cut
            }
            State::Telling { .. } => Next::Tell,
            State::Told { ending } => {
                let frame = self.up.is_between().then(|| close_frame(*ending, Side::Client));
                self.state = State::Over;
                frame.map_or(Next::End, Next::Frame)
            }
            State::Over => Next::End,
        }
    }

    /// What is still to be told to the client.
    pub(super) fn untold(&self) -> Option<&[u8]> {
        match &self.state {
            State::Telling { frame, told, .. } => frame.get(*told..),
            State::Open | State::Waiting { .. } | State::Told { .. } | State::Over => None,
        }
    }

    /// So much of it was written.
    pub(super) fn told(&mut self, bytes: usize) {
        if let State::Telling { told, .. } = &mut self.state {
            *told += bytes;
        }
    }

    /// All of it is on its way.
    pub(super) fn was_told(&mut self) {
        if let State::Telling { ending, .. } = self.state {
            self.state = State::Told { ending };
        }
    }
}

/// What a reader gets from a tunnel that was cut.
pub(super) fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the session has ended")
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

fn close_frame(ending: Ending, from: Side) -> Vec<u8> {
    let text = ending.text().as_bytes();
    // A control frame holds 125 bytes at most, and ours are far shorter.
    let length = u8::try_from(text.len() + 2).unwrap_or(2);
    let mut frame = vec![FINAL | CLOSE];
    match from {
        // A mask of zeros changes nothing, and a mask there has to be.
        Side::Client => frame.extend([MASKED | length, 0, 0, 0, 0]),
        Side::Server => frame.push(length),
    }
    frame.extend(ending.close_code().to_be_bytes());
    frame.extend(text);
    frame
}

/// Where in a stream of frames one side is.
#[derive(Clone, Debug)]
struct Frames {
    side: Side,
    at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In the head of the response, so far into the empty line behind it.
    Head(usize),
    /// In a frame's header, of which this much is known.
    Header { known: [u8; 14], length: usize },
    /// In what a frame carries.
    Payload { left: u64, closes: bool },
    /// Behind a close frame, or in something that is no WebSocket.
    Lost,
}

const BETWEEN: At = At::Header { known: [0; 14], length: 0 };
const HEAD_END: &[u8] = b"\r\n\r\n";

impl Frames {
    fn new(side: Side) -> Self {
        Self { side, at: BETWEEN }
    }

    fn behind_a_head(side: Side) -> Self {
        Self { side, at: At::Head(0) }
    }

    /// Whether a frame of ours may stand here.
    fn is_between(&self) -> bool {
        self.at == BETWEEN
    }

    /// Whether there will be such a place.
    fn is_followed(&self) -> bool {
        self.at != At::Lost
    }

    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let passed = self.pass_one(bytes);
            bytes = bytes.get(passed..).unwrap_or_default();
        }
    }

    /// Passes no more than what belongs to the frame under way, and says how much that is. Never nothing.
    fn pass_one(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while let Some(rest) = bytes.get(passed..).filter(|rest| !rest.is_empty()) {
            passed += match self.at {
                At::Head(matched) => self.head(matched, rest),
                At::Header { known, length } => self.header(known, length, rest),
                At::Payload { left, closes } => {
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    self.at = match left - length as u64 {
                        0 if closes => At::Lost,
                        0 => BETWEEN,
                        left => At::Payload { left, closes },
                    };
                    length
                }
                At::Lost => rest.len(),
            };
            if self.is_between() {
                break;
            }
        }
        passed
    }

    fn head(&mut self, mut matched: usize, bytes: &[u8]) -> usize {
        for (index, byte) in bytes.iter().enumerate() {
            matched = match HEAD_END.get(matched) {
                Some(expected) if expected == byte => matched + 1,
                _ => usize::from(*byte == b'\r'),
            };
            if matched == HEAD_END.len() {
                self.at = BETWEEN;
                return index + 1;
            }
        }
        self.at = At::Head(matched);
        bytes.len()
    }

    fn header(&mut self, mut known: [u8; 14], mut length: usize, bytes: &[u8]) -> usize {
        for (index, byte) in bytes.iter().enumerate() {
            if let Some(place) = known.get_mut(length) {
                *place = *byte;
            }
            length += 1;
            let [first, second, extended @ ..] = &known;
            if length < 2 {
                continue;
            }
            let masked = second & MASKED != 0;
            let size = second & !MASKED;
            let of_length = match size {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            if length < 2 + of_length + if masked { 4 } else { 0 } {
                continue;
            }
            let opcode = first & 0xF;
            let is_one = masked == (self.side == Side::Client) && matches!(opcode, 0..=2 | 8..=10);
            let left = match size {
                126 | 127 => {
                    let bytes = extended.iter().take(of_length);
                    bytes.fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
                }
                size => u64::from(size),
            };
            let closes = opcode == CLOSE;
            self.at = match left {
                _ if !is_one => At::Lost,
                0 if closes => At::Lost,
                0 => BETWEEN,
                left => At::Payload { left, closes },
            };
            return index + 1;
        }
        self.at = At::Header { known, length };
        bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n";

    fn frame(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
        let mask = if masked { MASKED } else { 0 };
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..126 => frame.push(mask | u8::try_from(length).unwrap()),
            length @ 126..65536 => {
                frame.push(mask | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                frame.push(mask | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        if masked {
            frame.extend([1, 2, 3, 4]);
        }
        frame.extend(payload);
        frame
    }

    /// R16: however the bytes are cut, the places between frames are those where a frame ends, and no others.
    #[test]
    fn places_between_frames_are_found_however_the_bytes_are_cut() {
        for masked in [false, true] {
            let side = if masked { Side::Client } else { Side::Server };
            let lengths = [0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000];
            let frames: Vec<_> = lengths
                .iter()
                .zip([0x81, 0x02, 0x00, 0x80, 0x89, 0x8A, 0xC1, 0x82, 0x82])
                .map(|(length, first)| frame(first, &vec![0x81; *length], masked))
                .collect();
            let ends: Vec<_> = frames
                .iter()
                .scan(0, |end, frame| {
                    *end += frame.len();
                    Some(*end)
                })
                .collect();
            let all = frames.concat();
            for piece in [1, 2, 3, 7, 1000, all.len()] {
                let mut state = Frames::new(side);
                let (mut at, mut between) = (0, Vec::new());
                for piece in all.chunks(piece) {
                    let mut rest = piece;
                    while !rest.is_empty() {
                        let passed = state.pass_one(rest);
                        assert!(passed > 0);
                        at += passed;
                        rest = &rest[passed..];
                        if state.is_between() {
                            between.push(at);
                        }
                    }
                }
                assert_eq!(between, ends, "in pieces of {piece}");
            }
        }
    }

    #[test]
    fn nothing_stands_in_the_head_behind_a_close_frame_or_in_what_is_no_web_socket() {
        let mut frames = Frames::behind_a_head(Side::Server);
        for byte in &HEAD[..HEAD.len() - 1] {
            frames.pass(&[*byte]);
            assert!(!frames.is_between() && frames.is_followed());
        }
        frames.pass(b"\n");
        assert!(frames.is_between());

        frames.pass(&frame(FINAL | CLOSE, b"\x03\xe8", false));
        assert!(!frames.is_between() && !frames.is_followed());

        for foreign in [&b"\x83\x00"[..], b"\x81\x80\x00\x00\x00\x00", b"SSH-2.0"] {
            let mut frames = Frames::new(Side::Server);
            frames.pass(foreign);
            assert!(!frames.is_between(), "{foreign:?}");
        }
    }

    #[test]
    fn a_close_frame_says_the_code_and_the_reason() {
        use lychgate_gateway::reason::Reason;
        let ending = Ending::Unadmitted(Reason::SessionExpired);
        assert_eq!(close_frame(ending, Side::Server), b"\x88\x11\x11\x31session_expired");
        let up = close_frame(Ending::Stopping, Side::Client);
        assert!(up.starts_with(b"\x88\x93\0\0\0\0\x03\xe9"), "{up:?}");
        let longest = Reason::ALL.iter().map(|reason| reason.code().len()).max();
        assert!(longest.is_some_and(|longest| longest + 2 <= 125));
    }
}
