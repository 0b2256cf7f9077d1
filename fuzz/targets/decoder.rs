//! Whatever a child writes, in whatever pieces it comes: the decoder never panics, and says the
//! same of it.
//!
//! The first byte is `max_reply`, the second how the rest is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warrener_fuzz::protocol::Decoder;

fn lines<'a>(max_reply: usize, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut decoder = Decoder::new(max_reply);
    for piece in pieces {
        decoder.feed(piece, &mut |line| lines.push(format!("{line:?}")));
    }
    decoder.finish(&mut |line| lines.push(format!("{line:?}")));
    lines
}

fuzz_target!(|input: &[u8]| {
    let [limit, cut, bytes @ ..] = input else { return };
    let max_reply = 16 + usize::from(*limit) * 8;
    let whole = lines(max_reply, std::iter::once(bytes));
    assert_eq!(whole, lines(max_reply, bytes.chunks(1)), "byte by byte");
    let size = usize::from(*cut) % 31 + 2;
    assert_eq!(whole, lines(max_reply, bytes.chunks(size)), "in pieces of {size}");
});
