//! A hundred users who ask at the same time, and whether each gets a ticket of their own.

use std::net::SocketAddr;
use std::thread;

use super::raw::Connection;
use super::service::Service;

/// How many users there are: `user-0`, `user-1` and so on.
pub(crate) const USERS: usize = 100;

/// How many of them ask at the same time.
const AT_ONCE: usize = 20;

/// The users of one service.
pub(crate) struct Crowd {
    address: SocketAddr,
}

/// What the users were answered.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answered {
    /// A ticket for the user who asked.
    pub(crate) right: usize,
    /// A ticket for another.
    pub(crate) wrong: usize,
    /// 503.
    pub(crate) faults: usize,
    /// 401.
    pub(crate) denied: usize,
}

impl Crowd {
    pub(crate) fn of(service: &Service) -> Self {
        Self { address: service.public.address }
    }

    /// Asks so often, each time for another user, with this line of the head.
    pub(crate) fn ask(&self, count: usize, credential: impl Fn(&str) -> String + Sync) -> Answered {
        let (address, credential) = (self.address, &credential);
        let ask = move |first: usize| {
            let mut connection = Connection::open(address);
            let mut answered = Answered::default();
            for number in (first..count).step_by(AT_ONCE) {
                // Each connection meets all users.
                let user = format!("user-{}", (number + number / AT_ONCE) % USERS);
                let credential = credential(&user);
                connection.send(format!(
                    "POST /v1/usersig HTTP/1.1\r\nhost: h\r\nsec-fetch-site: same-origin\r\n{credential}\r\n\r\n"
                ));
                let answer = connection.read().expect("an answer");
                match answer.status {
                    200 if answer.json()["userId"] == user => answered.right += 1,
                    200 => answered.wrong += 1,
                    503 => answered.faults += 1,
                    401 => answered.denied += 1,
                    other => panic!("{other}: {}", answer.text()),
                }
            }
            answered
        };
        thread::scope(|scope| {
            let callers: Vec<_> = (0..AT_ONCE).map(|first| scope.spawn(move || ask(first))).collect();
            let answered = callers.into_iter().map(|caller| caller.join().expect("a caller that ends well"));
            answered.fold(Answered::default(), |sum, one| Answered {
                right: sum.right + one.right,
                wrong: sum.wrong + one.wrong,
                faults: sum.faults + one.faults,
                denied: sum.denied + one.denied,
            })
        })
    }
}
