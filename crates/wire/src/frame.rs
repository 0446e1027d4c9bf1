//! Frames: a kind byte, a big-endian 32-bit length, and that many bytes.
//!
//! Kind `J` is one JSON message, kind `D` is a piece of a blob. A frame is at most [`MAX_FRAME`] bytes long; a longer
//! one is refused before any of it is read, so that a peer cannot make us allocate.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest frame in bytes, header excluded.
pub const MAX_FRAME: usize = 1 << 20;

const HEADER: usize = 5;
const JSON: u8 = b'J';
const DATA: u8 = b'D';

/// Bytes that a frame has beyond its content.
pub const fn overhead() -> u64 {
    HEADER as u64
}

/// What can go wrong between two programs.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream ended between two frames.
    #[error("the other side closed the connection")]
    Closed,
    /// Reading or writing failed, or the stream ended within a frame.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// A frame of an unknown kind: the other side is not one of us.
    #[error("this is not the trt-deploy protocol: unexpected byte {0:#04x}")]
    Kind(u8),
    /// A frame that is longer than allowed.
    #[error("a frame of {len} bytes is longer than the limit of {MAX_FRAME} bytes")]
    TooLong {
        /// The announced length in bytes.
        len: usize,
    },
    /// A JSON frame that does not parse as the message expected here.
    #[error("a message could not be understood")]
    Json(#[from] serde_json::Error),
    /// A data frame where a message was expected, or the other way round.
    #[error("a {got} frame came where a {expected} frame was expected")]
    Unexpected {
        /// What came.
        got: &'static str,
        /// What should have come.
        expected: &'static str,
    },
}

/// One frame as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A JSON message, not yet parsed.
    Json(Vec<u8>),
    /// A piece of a blob.
    Data(Vec<u8>),
}

impl Frame {
    /// Reads one frame; [`FrameError::Closed`] if the stream ends before it.
    pub fn read(reader: &mut impl Read) -> Result<Self, FrameError> {
        let mut header = [0; HEADER];
        let mut filled = 0;
        while filled < HEADER {
            match reader.read(&mut header[filled..]) {
                Ok(0) if filled == 0 => return Err(FrameError::Closed),
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
            if !matches!(header[0], JSON | DATA) {
                return Err(FrameError::Kind(header[0]));
            }
        }
        let len = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        if len > MAX_FRAME {
            return Err(FrameError::TooLong { len });
        }
        let mut body = vec![0; len];
        reader.read_exact(&mut body)?;
        Ok(if header[0] == JSON { Self::Json(body) } else { Self::Data(body) })
    }

    /// The message in this frame.
    pub fn message<T: DeserializeOwned>(self) -> Result<T, FrameError> {
        match self {
            Self::Json(body) => Ok(serde_json::from_slice(&body)?),
            Self::Data(_) => Err(FrameError::Unexpected { got: "data", expected: "message" }),
        }
    }

    /// The piece of a blob in this frame.
    pub fn data(self) -> Result<Vec<u8>, FrameError> {
        match self {
            Self::Data(body) => Ok(body),
            Self::Json(_) => Err(FrameError::Unexpected { got: "message", expected: "data" }),
        }
    }
}

/// Reads one message.
pub fn read_message<T: DeserializeOwned>(reader: &mut impl Read) -> Result<T, FrameError> {
    Frame::read(reader)?.message()
}

/// Writes one message and flushes.
pub fn write_message(writer: &mut impl Write, message: &impl Serialize) -> Result<(), FrameError> {
    let body = serde_json::to_vec(message)?;
    write(writer, JSON, &body)?;
    Ok(writer.flush()?)
}

/// Writes one piece of a blob, at most [`MAX_FRAME`] bytes; the caller flushes.
pub fn write_data(writer: &mut impl Write, piece: &[u8]) -> Result<(), FrameError> {
    write(writer, DATA, piece)
}

fn write(writer: &mut impl Write, kind: u8, body: &[u8]) -> Result<(), FrameError> {
    let len = body.len();
    if len > MAX_FRAME {
        return Err(FrameError::TooLong { len });
    }
    let mut header = [kind, 0, 0, 0, 0];
    header[1..].copy_from_slice(&(len as u32).to_be_bytes());
    writer.write_all(&header)?;
    Ok(writer.write_all(body)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_come_back_in_order() {
        let mut wire = Vec::new();
        write_message(&mut wire, &"hello").unwrap();
        write_data(&mut wire, &[1, 2, 3]).unwrap();
        let mut reader = wire.as_slice();
        assert_eq!(read_message::<String>(&mut reader).unwrap(), "hello");
        assert_eq!(Frame::read(&mut reader).unwrap().data().unwrap(), [1, 2, 3]);
        assert!(matches!(Frame::read(&mut reader), Err(FrameError::Closed)));
    }

    #[test]
    fn a_frame_over_the_cap_is_refused_before_it_is_read() {
        let wire = [DATA, 0xff, 0xff, 0xff, 0xff];
        assert!(matches!(Frame::read(&mut wire.as_slice()), Err(FrameError::TooLong { len: 0xffff_ffff })));
        assert!(matches!(
            write_data(&mut Vec::new(), &vec![0; MAX_FRAME + 1]),
            Err(FrameError::TooLong { .. })
        ));
    }

    #[test]
    fn a_login_banner_is_recognised_as_not_our_protocol() {
        assert!(matches!(Frame::read(&mut b"Welcome".as_slice()), Err(FrameError::Kind(b'W'))));
    }

    #[test]
    fn a_stream_cut_within_a_frame_is_an_error_and_not_an_end() {
        let mut wire = Vec::new();
        write_data(&mut wire, &[7; 100]).unwrap();
        for cut in 1..wire.len() {
            assert!(matches!(Frame::read(&mut &wire[..cut]), Err(FrameError::Io(_))), "{cut}");
        }
    }

    /// What each side may be sent, right and slightly wrong.
    const MESSAGES: [&str; 5] = [
        r#"{"request":"upload","blob":"6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85","size":1,"offset":0}"#,
        r#"{"request":"rollback","model":"m","to":null,"intent":"look"}"#,
        r#"{"protocol":1,"version":"0.1.0","features":[],"name":"me@here"}"#,
        r#"{"reply":"failed","code":"busy","message":"x","hint":null,"retry":"now"}"#,
        r#"{"reply":"event","event":"phase","phase":"build"}"#,
    ];

    fn body() -> impl Strategy<Value = Vec<u8>> {
        let mutated = (0..MESSAGES.len(), 0..200usize, any::<u8>(), any::<bool>()).prop_map(
            |(which, at, byte, cut)| {
                let mut body = MESSAGES[which].as_bytes().to_vec();
                let at = at % body.len();
                if cut {
                    body.truncate(at)
                } else {
                    body[at] = byte
                }
                body
            },
        );
        prop_oneof![mutated, proptest::collection::vec(any::<u8>(), 0..100)]
    }

    #[test]
    fn the_messages_to_mutate_are_right_to_begin_with() {
        use crate::message::{Hello, Reply, Request};
        let parses = |text: &str| {
            serde_json::from_str::<Request>(text).is_ok()
                || serde_json::from_str::<Hello>(text).is_ok()
                || serde_json::from_str::<Reply>(text).is_ok()
        };
        assert!(MESSAGES.iter().all(|text| parses(text)));
    }

    proptest! {
        #[test]
        fn arbitrary_frames_and_messages_never_panic(
            frames in proptest::collection::vec((prop_oneof![Just(JSON), Just(DATA), any::<u8>()], body()), 0..5),
            cut in any::<proptest::sample::Index>(),
        ) {
            let mut wire = Vec::new();
            for (kind, body) in &frames {
                write(&mut wire, *kind, body).unwrap();
            }
            wire.truncate(cut.index(wire.len() + 1));
            let mut reader = wire.as_slice();
            while let Ok(frame) = Frame::read(&mut reader) {
                let _ = frame.clone().message::<crate::message::Request>();
                let _ = frame.clone().message::<crate::message::Reply>();
                let _ = frame.message::<crate::message::Hello>();
            }
        }
    }
}
