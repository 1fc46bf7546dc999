//! Reading a socket together with the kernel's receive time of what was read; and, for a sample of writes, its transmit time.
//!
//! `SO_TIMESTAMPING` makes the kernel stamp each packet as it arrives, before any process has to run; `recvmsg` hands
//! the stamp out beside the bytes. Where packets were merged in the receive queue, the stamp is the later one's.
//! The one file that speaks to the system without a safe wrapper: rustix does not know this control message.
//! Not here: what the stamp means on the run's clock, see [`super::kernel_clock`].

#![expect(unsafe_code, reason = "no safe wrapper reads SCM_TIMESTAMPING")]

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Room for one `SCM_TIMESTAMPING` message (16 bytes of head, three timespecs) and a spare.
const CONTROL_BYTES: usize = 128;

/// Asks the kernel to stamp what arrives on a socket; asked of a listening one, also on those that it accepts from then on,
/// with what comes before they are accepted. Tells whether it will: unix sockets have no stamps.
pub(crate) fn enable_stamps(socket: BorrowedFd<'_>) -> bool {
    // The third keeps a transmit stamp, where a write asks for one, from carrying the packet back with it.
    let flags: libc::c_uint =
        libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE | libc::SOF_TIMESTAMPING_OPT_TSONLY;
    // SAFETY: the descriptor is open, and the option's value is a c_uint that outlives the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPING,
            (&raw const flags).cast(),
            size_of::<libc::c_uint>() as libc::socklen_t,
        )
    };
    set == 0
}

/// Reads what is there. Gives the number of bytes (0 at the end of the connection) and, if the kernel stamped them,
/// the time in nanoseconds of CLOCK_REALTIME.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Option<i64>)> {
    receive_with(socket, buffer, libc::MSG_DONTWAIT)
}

fn receive_with(socket: BorrowedFd<'_>, buffer: &mut [u8], flags: libc::c_int) -> io::Result<(usize, Option<i64>)> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = MaybeUninit::<ControlBuffer>::uninit();
    // SAFETY: an all-zero msghdr is a valid one.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_BYTES as _;
    // SAFETY: `message` points to one iovec over `buffer` and to a control buffer of the stated length; all outlive
    // the call.
    let read = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let read = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
    Ok((read, stamp_of(&message)))
}

/// Writes `slices` and asks the kernel for the time at which the last byte leaves; [`transmit_stamp`] gives it.
pub(super) fn send_stamped(socket: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut control = ControlBuffer([0; CONTROL_BYTES]);
    // SAFETY: an all-zero msghdr is a valid one.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // An IoSlice is an iovec; the kernel only reads it.
    message.msg_iov = slices.as_ptr().cast_mut().cast();
    message.msg_iovlen = slices.len() as _;
    message.msg_control = (&raw mut control).cast();
    // SAFETY: arithmetic on a constant.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<u32>() as libc::c_uint) } as _;
    // SAFETY: the control buffer is aligned for a message's head and larger than the stated length, so that the first
    // message lies inside it with room for a u32; `message` points to it and to `slices`, which outlive the call.
    let written = unsafe {
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SO_TIMESTAMPING;
        (*head).cmsg_len = libc::CMSG_LEN(size_of::<u32>() as libc::c_uint) as _;
        libc::CMSG_DATA(head).cast::<u32>().write_unaligned(libc::SOF_TIMESTAMPING_TX_SOFTWARE);
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    usize::try_from(written).map_err(|_| io::Error::last_os_error())
}

/// The transmit stamp that waits on a socket, in nanoseconds of CLOCK_REALTIME, if it is there yet.
pub(super) fn transmit_stamp(socket: BorrowedFd<'_>) -> Option<i64> {
    receive_with(socket, &mut [], libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT).ok().and_then(|(_, stamp)| stamp)
}

/// The software stamp among a message's control data.
fn stamp_of(message: &libc::msghdr) -> Option<i64> {
    // SAFETY: the kernel filled `msg_control` up to `msg_controllen`; the macros walk exactly that, and a message of
    // this level and type holds three timespecs, of which the first is the software stamp. It may be unaligned.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(message);
        while let Some(head) = control.as_ref() {
            if head.cmsg_level == libc::SOL_SOCKET && head.cmsg_type == libc::SCM_TIMESTAMPING {
                let stamp = libc::CMSG_DATA(control).cast::<libc::timespec>().read_unaligned();
                let ns = stamp.tv_sec * crate::time::SECOND_NS + stamp.tv_nsec;
                return (ns > 0).then_some(ns);
            }
            control = libc::CMSG_NXTHDR(message, control);
        }
    }
    None
}

/// Bytes with the alignment that control messages need.
#[repr(C, align(8))]
struct ControlBuffer([u8; CONTROL_BYTES]);

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::time::realtime_ns;

    #[test]
    fn what_arrives_over_tcp_bears_a_time_between_its_write_and_its_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut out = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (input, _) = listener.accept().unwrap();
        assert!(enable_stamps(input.as_fd()));
        let mut buffer = [0; 16];
        // The kernel turns its stamping on a moment after the first socket asks for it.
        for _ in 0..1000 {
            let before = realtime_ns();
            out.write_all(b"hello").unwrap();
            let (n, stamp) = loop {
                match receive(input.as_fd(), &mut buffer) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    read => break read.unwrap(),
                }
            };
            assert_eq!(&buffer[..n], b"hello");
            if let Some(stamp) = stamp {
                assert!(before <= stamp && stamp <= realtime_ns(), "{before} {stamp}");
                return;
            }
        }
        panic!("no packet of a thousand was stamped");
    }

    #[test]
    fn what_arrives_before_the_accept_is_stamped_where_the_listener_asked_for_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(enable_stamps(listener.as_fd()));
        for _ in 0..1000 {
            let before = realtime_ns();
            let mut out = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            out.write_all(b"hello").unwrap();
            let written = realtime_ns();
            let (input, _) = listener.accept().unwrap();
            if let (5, Some(stamp)) = receive(input.as_fd(), &mut [0; 16]).unwrap() {
                assert!(before <= stamp && stamp <= written, "{before} {stamp} {written}");
                return;
            }
        }
        panic!("no packet of a thousand was stamped");
    }

    #[test]
    fn a_stamped_write_leaves_between_its_call_and_its_arrival() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let out = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut input, _) = listener.accept().unwrap();
        assert!(enable_stamps(out.as_fd()));
        assert_eq!(transmit_stamp(out.as_fd()), None);
        let before = realtime_ns();
        let slices = [IoSlice::new(b"hel"), IoSlice::new(b"lo")];
        assert_eq!(send_stamped(out.as_fd(), &slices).unwrap(), 5);
        let mut bytes = [0; 5];
        std::io::Read::read_exact(&mut input, &mut bytes).unwrap();
        let (after, stamp) = (realtime_ns(), transmit_stamp(out.as_fd()).unwrap());
        assert_eq!(&bytes, b"hello");
        assert!(before <= stamp && stamp <= after, "{before} {stamp} {after}");
        assert_eq!(transmit_stamp(out.as_fd()), None, "one write, one stamp");
        // A write that does not ask has none.
        std::io::Write::write_all(&mut &out, b"more.").unwrap();
        std::io::Read::read_exact(&mut input, &mut bytes).unwrap();
        assert_eq!(transmit_stamp(out.as_fd()), None);
    }

    #[test]
    fn a_socket_without_stamps_is_read_all_the_same_and_its_end_is_zero_bytes() {
        let (mut out, input) = UnixStream::pair().unwrap();
        let _ = enable_stamps(input.as_fd());
        out.write_all(b"hello").unwrap();
        drop(out);
        let mut buffer = [0; 3];
        assert_eq!(receive(input.as_fd(), &mut buffer).unwrap(), (3, None));
        assert_eq!(receive(input.as_fd(), &mut buffer).unwrap(), (2, None));
        assert_eq!(receive(input.as_fd(), &mut buffer).unwrap(), (0, None));
    }
}
