//! Responses: what the child gets for what an application returns.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::harness::{Daemon, Message, Request, each_python, newest_python};
use super::script;

#[test]
fn the_status_and_headers_arrive_in_order_and_repeated() {
    each_python(|python| {
        let daemon = Daemon::start(
            python,
            &script(
                "def headers(environ, start_response):\n    \
                     start_response('404 Not \\xe9 Here', [('Set-Cookie', 'a=1'), ('X-\\x41', '\\xe9'),\n        \
                         ('Set-Cookie', 'b=2')])\n    \
                     return [b'x', b'yz']\n",
            ),
        );
        let answer = daemon.connect().ask(&Request::get("/headers"));
        let head = answer.head.clone().unwrap();
        assert_eq!(
            (head.status, head.reason.as_str()),
            (404, "Not \u{e9} Here")
        );
        let headers: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let sent = [
            ("Set-Cookie", "a=1"),
            ("X-A", "\u{e9}"),
            ("Set-Cookie", "b=2"),
        ];
        assert_eq!(headers[..3], sent);
        assert_eq!(answer.text(), "xyz");
    });
}

#[test]
fn a_list_gets_its_content_length_and_travels_in_one_piece() {
    let daemon = Daemon::start(
        newest_python(),
        &script(
            "def pieces(environ, start_response):\n    \
                 start_response('200 OK', [])\n    \
                 return [b'a'] * 10\n\
             def none(environ, start_response):\n    \
                 start_response('204 No Content', [])\n    \
                 return []\n",
        ),
    );
    let child = daemon.connect();
    let answer = child.ask(&Request::get("/pieces"));
    assert_eq!(answer.header("Content-Length"), Some("10"));
    assert_eq!(answer.text(), "aaaaaaaaaa");
    let answer = child.ask(&Request::get("/none"));
    assert_eq!(
        (answer.status(), answer.header("Content-Length")),
        (204, None)
    );
    assert!(answer.is_whole());
}

#[test]
fn a_generators_pieces_are_sent_as_they_come() {
    each_python(|python| {
        let daemon = Daemon::start(
            python,
            &script(
                "def streams(environ, start_response):\n    \
                     start_response('200 OK', [])\n    \
                     yield b''\n    \
                     yield b'first'\n    \
                     yield environ['wsgi.input'].read()\n    \
                     yield b'last'\n",
            ),
        );
        let child = daemon.connect();
        child.send(&Request::post(
            "/streams",
            wsgi_wire::head::Body::Pulled(None),
        ));
        assert!(matches!(child.receive(), Message::Welcome { .. }));
        assert!(matches!(child.receive(), Message::Head(_)));
        assert!(matches!(child.receive(), Message::Data(data) if data == b"first"));
        assert!(matches!(child.receive(), Message::BodyWanted(_)));
        child.send_body(b"");
        let answer = child.collect(&[]);
        assert_eq!((answer.text().as_str(), answer.is_whole()), ("last", true));
    });
}

#[test]
fn close_is_called_exactly_once_whatever_happens() {
    each_python(|python| {
        let daemon = Daemon::start(
            python,
            &script(
                "closed = []\n\
                 class Body:\n    \
                     def __init__(self, name, pieces):\n        \
                         self.name, self.pieces = name, iter(pieces)\n    \
                     def __iter__(self):\n        \
                         return self\n    \
                     def __next__(self):\n        \
                         piece = next(self.pieces)\n        \
                         if piece is None:\n            \
                             raise ValueError('broken')\n        \
                         return piece\n    \
                     def close(self):\n        \
                         closed.append(self.name)\n\
                 def whole(environ, start_response):\n    \
                     start_response('200 OK', [])\n    \
                     return Body('whole', [b'a', b'b'])\n\
                 def raising(environ, start_response):\n    \
                     start_response('200 OK', [])\n    \
                     return Body('raising', [b'a', None])\n\
                 def unstarted(environ, start_response):\n    \
                     return Body('unstarted', [b'a'])\n\
                 def names(environ, start_response):\n    \
                     start_response('200 OK', [])\n    \
                     return [' '.join(closed).encode()]\n",
            ),
        );
        for path in ["/whole", "/raising", "/unstarted"] {
            daemon.connect().ask(&Request::get(path));
        }
        let answer = daemon.connect().ask(&Request::get("/names"));
        assert_eq!(answer.text(), "whole raising unstarted");
    });
}

#[test]
fn an_error_in_close_is_logged_and_the_response_stays_whole() {
    let daemon = Daemon::start(
        newest_python(),
        &script(
            "class Body:\n    \
                 def __iter__(self):\n        \
                     return iter([b'body'])\n    \
                 def close(self):\n        \
                     raise ValueError('in close')\n\
             def closes(environ, start_response):\n    \
                 start_response('200 OK', [('Content-Length', '4')])\n    \
                 return Body()\n",
        ),
    );
    let answer = daemon.connect().ask(&Request::get("/closes"));
    assert_eq!(
        (answer.text().as_str(), answer.is_whole()),
        ("body", true),
        "{answer:?}"
    );
    assert!(
        answer.logged().contains("ValueError: in close"),
        "{answer:?}"
    );
}

#[test]
fn write_sends_before_what_is_returned() {
    each_python(|python| {
        let daemon = Daemon::start(
            python,
            &script(
                "def writes(environ, start_response):\n    \
                     write = start_response('200 OK', [])\n    \
                     write(b'one ')\n    \
                     write(b'two ')\n    \
                     return [b'three']\n",
            ),
        );
        assert_eq!(
            daemon.connect().ask(&Request::get("/writes")).text(),
            "one two three"
        );
    });
}

#[test]
fn headers_can_be_replaced_with_exc_info_until_they_are_sent() {
    each_python(|python| {
        let daemon = Daemon::start(
            python,
            &script(
                "import sys\n\
                 def replaces(environ, start_response):\n    \
                     start_response('200 OK', [('X', 'first')])\n    \
                     try:\n        \
                         raise KeyError('own')\n    \
                     except KeyError:\n        \
                         start_response('500 Own', [('X', 'second')], sys.exc_info())\n    \
                     return [b'']\n\
                 def too_late(environ, start_response):\n    \
                     write = start_response('200 OK', [])\n    \
                     write(b'sent')\n    \
                     try:\n        \
                         raise KeyError('own')\n    \
                     except KeyError:\n        \
                         start_response('500 Own', [], sys.exc_info())\n    \
                     return [b'']\n\
                 def twice(environ, start_response):\n    \
                     start_response('200 OK', [('X', 'first')])\n    \
                     start_response('201 Created', [('X', 'second')])\n    \
                     return [b'']\n",
            ),
        );
        let child = daemon.connect();
        let answer = child.ask(&Request::get("/replaces"));
        assert_eq!((answer.status(), answer.header("X")), (500, Some("second")));
        let answer = child.ask(&Request::get("/too_late"));
        assert!(
            answer.failure().is_some() && answer.logged().contains("KeyError"),
            "{answer:?}"
        );
        // As mod_wsgi does, and more lenient than PEP 3333.
        let answer = daemon.connect().ask(&Request::get("/twice"));
        assert_eq!((answer.status(), answer.header("X")), (201, Some("second")));
    });
}

#[test]
fn a_file_is_passed_by_descriptor_from_where_it_stands() {
    each_python(|python| {
        let daemon = Daemon::start(
            python,
            &script(
                "def file(environ, start_response):\n    \
                     file = open(__file__, 'rb')\n    \
                     file.seek(4)\n    \
                     start_response('200 OK', [])\n    \
                     return environ['wsgi.file_wrapper'](file, 8192)\n",
            ),
        );
        let answer = daemon.connect().ask(&Request::get("/file"));
        assert!(answer.is_whole(), "{answer:?}");
        let size = std::fs::metadata(&daemon.script).unwrap().len();
        let left = (size - 4).to_string();
        assert_eq!(answer.header("Content-Length"), Some(left.as_str()));
        let [(segment, file)] = &answer.files[..] else {
            panic!("{answer:?}")
        };
        assert_eq!((segment.offset, segment.length), (4, size - 4));
        let mut begin = [0; 11];
        let file = File::from(file.try_clone().unwrap());
        file.read_exact_at(&mut begin, 4).unwrap();
        assert_eq!(&begin, b"application");
        assert!(answer.body.is_empty());
    });
}

#[test]
fn what_is_no_file_is_read_in_blocks() {
    each_python(|python| {
        let daemon = Daemon::start(
            python,
            &script(
                "import io\n\
                 def blocks(environ, start_response):\n    \
                     start_response('200 OK', [])\n    \
                     return environ['wsgi.file_wrapper'](io.BytesIO(b'abcdefg'), 3)\n",
            ),
        );
        let answer = daemon.connect().ask(&Request::get("/blocks"));
        assert_eq!(
            (answer.text().as_str(), answer.is_whole()),
            ("abcdefg", true),
            "{answer:?}"
        );
        assert!(answer.files.is_empty());
    });
}

#[test]
fn large_pieces_arrive_whole() {
    let daemon = Daemon::start(
        newest_python(),
        &script(
            "def large(environ, start_response):\n    \
                 start_response('200 OK', [])\n    \
                 return [bytes(range(256)) * 20000]\n\
             def many(environ, start_response):\n    \
                 start_response('200 OK', [])\n    \
                 return (b'x' * 70000 for _ in range(50))\n",
        ),
    );
    let child = daemon.connect();
    let answer = child.ask(&Request::get("/large"));
    assert_eq!(answer.body.len(), 5_120_000);
    assert!(answer.body.chunks(256).all(|chunk| {
        chunk
            .iter()
            .enumerate()
            .all(|(at, byte)| at == usize::from(*byte))
    }));
    assert_eq!(child.ask(&Request::get("/many")).body.len(), 3_500_000);
}

#[test]
fn pieces_without_room_wait_for_their_child_and_let_others_run() {
    each_python(|python| {
        let daemon = Daemon::start(
            python,
            &script(
                "def pieces(environ, start_response):\n    \
                     start_response('200 OK', [])\n    \
                     for number in range(200):\n        \
                         yield bytes([number]) * 10000\n\
                 def short(environ, start_response):\n    \
                     start_response('200 OK', [])\n    \
                     return [b'short']\n",
            ),
        );
        let slow = daemon.connect();
        slow.send(&Request::get("/pieces"));
        assert!(matches!(slow.receive(), Message::Welcome { .. }));
        assert!(matches!(slow.receive(), Message::Head(_)));
        // The other child reads nothing meanwhile, and its socket is full at some time.
        for _ in 0..50 {
            assert_eq!(
                daemon.connect().ask(&Request::get("/short")).text(),
                "short"
            );
        }
        let mut expected = 0;
        loop {
            match slow.receive() {
                Message::Data(data) => {
                    assert_eq!(data, vec![expected; 10_000]);
                    expected += 1;
                }
                Message::End => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(expected, 200);
    });
}

#[test]
fn output_beyond_content_length_is_dropped_and_too_little_does_not_look_whole() {
    each_python(|python| {
        let daemon = Daemon::start(
            python,
            &script(
                "def declares(environ, start_response):\n    \
                     start_response('200 OK', [('Content-Length', environ['test.length'])])\n    \
                     return iter([b'abc', b'def'])\n",
            ),
        );
        let more = daemon
            .connect()
            .ask(&Request::get("/declares").with(b"test.length", b"4"));
        assert_eq!(
            (more.text().as_str(), more.is_whole()),
            ("abcd", true),
            "{more:?}"
        );
        let less = daemon
            .connect()
            .ask(&Request::get("/declares").with(b"test.length", b"9"));
        assert!(less.failure().is_some(), "{less:?}");
    });
}

#[test]
fn a_head_request_may_declare_a_length_without_a_body() {
    let daemon = Daemon::start(
        newest_python(),
        &script(
            "def declares(environ, start_response):\n    \
                 start_response('200 OK', [('Content-Length', '9')])\n    \
                 return []\n",
        ),
    );
    let answer = daemon
        .connect()
        .ask(&Request::get("/declares").method("HEAD"));
    assert!(answer.is_whole(), "{answer:?}");
}
