//! Addresses → non-blocking sockets whose connect was started, on any of several local addresses.
//!
//! Invariant: an address that fails while its connect is started is followed by the next; one that fails later is the
//! caller's, so that no attempt is hidden. A socket is given out with every option set that a transport counts on.
//! Not here: waiting for the connect, TLS, any runtime.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use super::target::Failure;
use crate::outcome::Outcome;

/// Time without traffic until the kernel asks whether the peer is still there: below what home routers and cloud load
/// balancers forget a silent connection after.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Time between the questions that follow.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// The other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// TCP, at the first address that works.
    Tcp(Vec<SocketAddr>),
    /// A unix socket's path.
    Unix(PathBuf),
}

/// Makes sockets to one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialer {
    peer: Peer,
    /// Local addresses, used in turn.
    local: Vec<IpAddr>,
    turn: usize,
}

impl Dialer {
    /// A dialer from `local` addresses, or from the one the kernel chooses where there is none. Peer addresses of a
    /// family that no local address has are left out.
    pub fn new(peer: Peer, local: Vec<IpAddr>) -> Dialer {
        let reachable = |to: &SocketAddr| local.is_empty() || local.iter().any(|l| l.is_ipv4() == to.is_ipv4());
        let peer = match peer {
            Peer::Tcp(addresses) => Peer::Tcp(addresses.into_iter().filter(reachable).collect()),
            unix @ Peer::Unix(_) => unix,
        };
        Dialer { peer, local, turn: 0 }
    }

    /// The other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The same dialer without the peer's first `n` addresses; `None` where none is left.
    pub fn from_address(&self, n: usize) -> Option<Dialer> {
        let peer = match &self.peer {
            Peer::Tcp(addresses) => Peer::Tcp(addresses.get(n..).filter(|left| !left.is_empty())?.to_vec()),
            unix @ Peer::Unix(_) if n == 0 => unix.clone(),
            Peer::Unix(_) => return None,
        };
        Some(Dialer { peer, ..self.clone() })
    }

    /// A socket whose connect was started, and whether it is still under way: then the socket becomes writable once it
    /// has ended, and [`finish`] tells how.
    ///
    /// # Errors
    /// That of the last address. A unix socket whose listener's queue is full is `WouldBlock`.
    pub fn start(&mut self) -> io::Result<(Socket, bool)> {
        let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "no address that the local addresses can reach");
        match &self.peer {
            Peer::Unix(path) => {
                let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
                return connect(socket, &SockAddr::unix(path)?);
            }
            Peer::Tcp(addresses) => {
                for to in addresses {
                    let from = local_for(&self.local, self.turn, to);
                    self.turn = self.turn.wrapping_add(1);
                    match tcp(from, *to) {
                        Ok(started) => return Ok(started),
                        Err(e) => last = e,
                    }
                }
            }
        }
        Err(last)
    }
}

/// The next in turn of the local addresses that can reach `to`.
fn local_for(local: &[IpAddr], turn: usize, to: &SocketAddr) -> Option<IpAddr> {
    let fitting = || local.iter().filter(|l| l.is_ipv4() == to.is_ipv4());
    fitting().nth(turn % fitting().count().max(1)).copied()
}

fn tcp(from: Option<IpAddr>, to: SocketAddr) -> io::Result<(Socket, bool)> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking(), None)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL))?;
    if let Some(from) = from {
        choose_port_at_connect(&socket)?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    connect(socket, &to.into())
}

/// Lets the connect choose the port rather than the bind, which would take one from every peer at once.
fn choose_port_at_connect(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and `on` outlives the call, which reads
    // exactly its size.
    #[expect(unsafe_code, reason = "neither socket2 nor rustix has this option")]
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn connect(socket: Socket, to: &SockAddr) -> io::Result<(Socket, bool)> {
    match socket.connect(to) {
        Ok(()) => Ok((socket, false)),
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok((socket, true)),
        Err(e) => Err(e),
    }
}

/// What a flight is counted as whose connection could not be made: not sent, where this machine had no file descriptor
/// or local port for it.
pub fn failure_of(error: &io::Error) -> Failure {
    let lacking = [libc::EMFILE, libc::ENFILE, libc::EADDRNOTAVAIL];
    let is_ours = error.raw_os_error().is_some_and(|code| lacking.contains(&code));
    (if is_ours { Outcome::NotSent } else { Outcome::ConnectError }, error.to_string())
}

/// How a connect ended whose socket has become writable.
///
/// # Errors
/// The connect's own.
pub fn finish<S: AsFd>(socket: &S) -> io::Result<()> {
    SockRef::from(socket).take_error()?.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::os::unix::net::UnixListener;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn connected(dialer: &mut Dialer) -> io::Result<Socket> {
        let (socket, in_progress) = dialer.start()?;
        if in_progress {
            poll(&mut [PollFd::new(&socket, PollFlags::OUT)], None)?;
        }
        finish(&socket)?;
        Ok(socket)
    }

    /// An address on which nothing listens: its listener has just gone.
    fn deaf() -> SocketAddr {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
    }

    #[test]
    fn the_peer_sees_every_local_address_in_turn() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let local: Vec<IpAddr> =
            vec!["127.0.0.2".parse().unwrap(), "::1".parse().unwrap(), "127.0.0.3".parse().unwrap()];
        let mut dialer = Dialer::new(Peer::Tcp(vec![listener.local_addr().unwrap()]), local);
        let seen: Vec<String> = (0..4)
            .map(|_| {
                let _socket = connected(&mut dialer).unwrap();
                listener.accept().unwrap().1.ip().to_string()
            })
            .collect();
        assert_eq!(seen, ["127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.3"]);
    }

    #[test]
    fn sockets_do_not_block_and_do_not_wait_for_more_to_send() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let socket = connected(&mut Dialer::new(Peer::Tcp(vec![listener.local_addr().unwrap()]), Vec::new())).unwrap();
        assert!(socket.nonblocking().unwrap() && socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
    }

    #[test]
    fn a_refused_connect_is_an_error_and_the_next_address_is_tried_where_it_shows_at_once() {
        let refused = connected(&mut Dialer::new(Peer::Tcp(vec![deaf()]), Vec::new())).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        // A local address that no interface has fails at its bind.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = listener.local_addr().unwrap();
        let foreign = vec!["192.0.2.1".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        let mut dialer = Dialer::new(Peer::Tcp(vec![to, to]), foreign);
        connected(&mut dialer).unwrap();
        let mut nowhere = Dialer::new(Peer::Tcp(vec![to]), vec!["::1".parse().unwrap()]);
        assert_eq!(nowhere.start().unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn what_this_machine_lacks_is_told_from_what_the_peer_refuses() {
        let counted = |code| failure_of(&io::Error::from_raw_os_error(code)).0;
        assert_eq!([libc::EMFILE, libc::ENFILE, libc::EADDRNOTAVAIL].map(counted), [Outcome::NotSent; 3]);
        assert_eq!([libc::ECONNREFUSED, libc::ENETUNREACH].map(counted), [Outcome::ConnectError; 2]);
        let no_address = Dialer::new(Peer::Tcp(Vec::new()), Vec::new()).start().unwrap_err();
        assert_eq!(failure_of(&no_address).0, Outcome::ConnectError);
    }

    #[test]
    fn ipv6_is_dialled() {
        let Ok(listener) = TcpListener::bind("[::1]:0") else {
            println!("SKIPPED: this machine has no IPv6 loopback address");
            return;
        };
        let mut dialer = Dialer::new(Peer::Tcp(vec![listener.local_addr().unwrap()]), vec!["::1".parse().unwrap()]);
        let _socket = connected(&mut dialer).unwrap();
        assert!(listener.accept().unwrap().1.is_ipv6());
    }

    #[test]
    fn unix_sockets_are_dialled() {
        let path = std::env::temp_dir().join(format!("loadline-dial-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let mut dialer = Dialer::new(Peer::Unix(path.clone()), Vec::new());
        let _socket = connected(&mut dialer).unwrap();
        listener.accept().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(connected(&mut dialer).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(dialer.from_address(1).is_none());
    }
}
