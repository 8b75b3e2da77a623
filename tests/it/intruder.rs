//! Who has no business with a server: connections that say nothing, and bytes that mean nothing. Shared with the benchmarks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::common::SOON;

/// Bytes that no peer would send, or that one would send up to a point.
fn garbage(number: usize) -> Vec<u8> {
    // ZMTP 3.0: signature, version, mechanism, as-server, filler.
    let mut greeting = vec![0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 0];
    greeting.extend(b"CURVE");
    greeting.resize(64, 0);
    let mut seed = number as u32 + 1;
    let noise = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    })
    .take(300);
    match number % 6 {
        0 => noise.collect(),
        1 => greeting[..number % 64].to_vec(),
        2 => greeting.into_iter().chain(noise).collect(),
        // HELLO, as long as it must be and full of noise.
        3 => {
            let hello = b"\x04\xC8\x05HELLO\x01\x00".iter().copied();
            greeting
                .into_iter()
                .chain(hello.chain(noise))
                .take(64 + 202)
                .collect()
        }
        // A frame that announces 2^63 - 1 bytes.
        4 => {
            let frame = [2, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
            greeting.into_iter().chain(frame).chain(noise).collect()
        }
        // Not ZMTP at all.
        _ => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
    }
}

/// Connects: `silent` connections that say nothing, and `noisy` that say nonsense, of which half stay open.
pub fn intrude(address: SocketAddr, silent: usize, noisy: usize) -> Vec<TcpStream> {
    let connect = |_| TcpStream::connect_timeout(&address, SOON).unwrap();
    let mut open: Vec<TcpStream> = (0..silent).map(connect).collect();
    for number in 0..noisy {
        let mut stream = connect(number);
        stream.set_write_timeout(Some(SOON)).unwrap();
        // The server may have hung up in the middle of it.
        let _ = stream.write_all(&garbage(number));
        if number % 2 == 0 {
            open.push(stream);
        }
    }
    open
}

/// Returns when the other side has ended the connection.
pub fn wait_for_end(mut stream: TcpStream) {
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut bytes = [0; 256];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
            Err(error) => panic!("the server keeps a silent connection: {error}"),
        }
    }
}
