//! Arbitrary bytes must never panic a decoder, nor make it claim more than it was given.

use proptest::prelude::*;
use wsgi_wire::control;
use wsgi_wire::frame::{HEADER_BYTES, Header, Tag};
use wsgi_wire::function::Answer;
use wsgi_wire::head::RequestHead;
use wsgi_wire::launch::{DaemonConfig, EmbeddedConfig, Message, MonitorConfig};
use wsgi_wire::response::ResponseHead;
use wsgi_wire::supervision::{Order, Report};
use wsgi_wire::to_child::{ToChild, ToChildTag};
use wsgi_wire::to_daemon::{ToDaemonTag, decode_body_failed, decode_variable};

proptest! {
    #[test]
    fn a_header_never_promises_more_than_its_limit(bytes: [u8; HEADER_BYTES]) {
        if let Ok(header) = Header::<ToChildTag>::decode(&bytes) {
            prop_assert!(header.length <= header.tag.limit());
        }
        if let Ok(header) = Header::<ToDaemonTag>::decode(&bytes) {
            prop_assert!(header.length <= header.tag.limit());
        }
    }

    #[test]
    fn every_message_decoder_survives_any_bytes(payload: Vec<u8>, tag in 1u8..=13) {
        if let Some(tag) = ToChildTag::from_code(tag) {
            let _ = ToChild::decode(tag, &payload);
        }
        let _ = decode_body_failed(&payload);
        let _ = Answer::decode_all(&payload);
        let _ = decode_variable(&payload);
        if let Ok(head) = RequestHead::decode(&payload) {
            prop_assert_eq!(head.environ().count(), head.pair_count());
        }
        if let Ok(head) = ResponseHead::decode(&payload) {
            let bytes: usize = head.headers().map(|(name, value)| name.len() + value.len()).sum();
            prop_assert!(bytes <= payload.len());
        }
    }

    #[test]
    fn every_launch_decoder_survives_any_bytes(mut bytes: Vec<u8>) {
        bytes.insert(0, wsgi_wire::frame::VERSION);
        let _ = MonitorConfig::from_bytes(&bytes);
        let _ = DaemonConfig::from_bytes(&bytes);
        let _ = EmbeddedConfig::from_bytes(&bytes);
        let _ = Report::from_bytes(&bytes);
        let _ = Order::from_bytes(&bytes);
        let _ = control::Ask::from_bytes(&bytes);
        let _ = control::Answer::from_bytes(&bytes);
    }
}
