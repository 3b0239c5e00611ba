//! Single flight: callers who ask the same at the same time share one question, and one address cannot take the places of
//! all others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, WeakShared};

/// The SHA-256 of everything of a caller's that reaches the back end.
pub type QuestionKey = [u8; 32];

/// The questions of one rule that are under way.
pub(super) struct Flights<T: Clone>(Arc<Mutex<Inner<T>>>);

/// An address has started as many questions as it may while others need the places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the caller's address has a quarter of the rule's max_in_flight under way, and more than half of it is taken")]
pub struct ShareTaken;

struct Inner<T: Clone> {
    /// How many questions may be under way at once.
    places: usize,
    /// Each question, alive as long as somebody waits for its answer.
    questions: HashMap<QuestionKey, WeakShared<BoxFuture<'static, T>>>,
    /// How many questions there are.
    taken: usize,
    /// How many of them each address has started.
    by_address: HashMap<IpAddr, usize>,
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    /// With so many places, of which one address has a quarter once more than half are taken.
    pub(super) fn new(places: usize) -> Self {
        let (questions, by_address) = (HashMap::new(), HashMap::new());
        Self(Arc::new(Mutex::new(Inner { places, questions, taken: 0, by_address })))
    }

    /// The answer to the question `key`: to the one that is under way, or else to the one that `ask` starts for `address`. A
    /// question goes on as long as anybody waits for it, and is dropped with the last who does.
    ///
    /// # Errors
    /// When the address has its share; without an address there is none.
    pub(super) async fn join(
        &self,
        key: QuestionKey,
        address: Option<IpAddr>,
        ask: impl FnOnce() -> BoxFuture<'static, T>,
    ) -> Result<T, ShareTaken> {
        // Dropped after the question, also when this caller leaves.
        let _entry = Entry { flights: &self.0, key };
        let question = {
            let mut inner = lock(&self.0);
            if let Some(question) = inner.questions.get(&key).and_then(WeakShared::upgrade) {
                question
            } else {
                inner.take_place(address)?;
                let (place, answer) = (Place { flights: Arc::clone(&self.0), address }, ask());
                let question = async move {
                    let _place = place;
                    answer.await
                };
                let question = question.boxed().shared();
                inner.questions.extend(question.downgrade().map(|question| (key, question)));
                question
            }
        };
        Ok(question.await)
    }
}

impl<T: Clone> Inner<T> {
    fn take_place(&mut self, address: Option<IpAddr>) -> Result<(), ShareTaken> {
        if let Some(address) = address {
            let of_address = self.by_address.get(&address).copied().unwrap_or_default();
            if self.taken > self.places / 2 && of_address >= (self.places / 4).max(1) {
                return Err(ShareTaken);
            }
            self.by_address.insert(address, of_address + 1);
        }
        self.taken += 1;
        Ok(())
    }
}

/// A question's place, until it has its answer or is dropped.
struct Place<T: Clone> {
    flights: Arc<Mutex<Inner<T>>>,
    address: Option<IpAddr>,
}

impl<T: Clone> Drop for Place<T> {
    fn drop(&mut self) {
        let mut inner = lock(&self.flights);
        inner.taken -= 1;
        let Some(address) = self.address else { return };
        match inner.by_address.get_mut(&address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(inner.by_address.remove(&address)),
        }
    }
}

/// Removes a question behind the last who waited for it.
struct Entry<'a, T: Clone> {
    flights: &'a Mutex<Inner<T>>,
    key: QuestionKey,
}

impl<T: Clone> Drop for Entry<'_, T> {
    fn drop(&mut self) {
        let mut inner = lock(self.flights);
        if inner.questions.get(&self.key).is_some_and(|question| question.upgrade().is_none()) {
            inner.questions.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    const ONE: QuestionKey = [1; 32];

    fn host(number: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, number).into()
    }

    fn is_idle<T: Clone>(flights: &Flights<T>) -> bool {
        let inner = lock(&flights.0);
        inner.taken == 0 && inner.questions.is_empty() && inner.by_address.is_empty()
    }

    #[tokio::test]
    async fn callers_at_the_same_time_share_one_question() {
        let (flights, asked, go) = (Flights::new(8), &AtomicUsize::new(0), &Arc::new(Notify::new()));
        let join = |key: QuestionKey| {
            flights.join(key, Some(host(1)), move || {
                asked.fetch_add(1, Ordering::Relaxed);
                let go = Arc::clone(go);
                async move {
                    go.notified().await;
                    key[0]
                }
                .boxed()
            })
        };
        let (same, other) = (join_all((0..10).map(|_| join(ONE))), join([2; 32]));
        let answers = async { tokio::join!(same, other) };
        let release = async {
            for _ in 0..2 {
                tokio::task::yield_now().await;
                go.notify_one();
            }
        };
        let ((same, other), ()) = tokio::join!(answers, release);
        assert_eq!((same, other), (vec![Ok(1); 10], Ok(2)));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert!(is_idle(&flights));
        // What has been answered is asked anew.
        assert_eq!(flights.join(ONE, Some(host(1)), || async { 7 }.boxed()).await, Ok(7));
    }

    #[tokio::test]
    async fn a_question_goes_on_for_the_others_when_its_starter_leaves_and_ends_with_the_last() {
        let (flights, go) = (Flights::new(8), Arc::new(Notify::new()));
        let ask = |go: &Arc<Notify>| {
            let go = Arc::clone(go);
            async move { go.notified().await }.boxed()
        };
        let mut starter = Box::pin(flights.join(ONE, Some(host(1)), || ask(&go)));
        let mut waiter = Box::pin(flights.join(ONE, Some(host(2)), || unreachable!("it is under way")));
        assert!((&mut starter).now_or_never().is_none() && (&mut waiter).now_or_never().is_none());
        drop(starter);
        go.notify_one();
        assert_eq!(waiter.await, Ok(()));
        let mut last = Box::pin(flights.join(ONE, Some(host(1)), || pending().boxed()));
        assert!((&mut last).now_or_never().is_none() && !is_idle(&flights));
        drop(last);
        assert!(is_idle(&flights));
    }

    #[tokio::test]
    async fn an_address_has_a_quarter_of_the_places_once_more_than_half_are_taken() {
        let flights = Flights::<()>::new(8);
        let key = AtomicUsize::new(0);
        let start = |address| {
            let key = key.fetch_add(1, Ordering::Relaxed);
            let mut bytes = ONE;
            bytes[1..9].copy_from_slice(&key.to_be_bytes());
            Box::pin(flights.join(bytes, address, || pending().boxed()))
        };
        let mut held = Vec::new();
        for _ in 0..5 {
            let mut question = start(Some(host(1)));
            assert!((&mut question).now_or_never().is_none(), "places are free");
            held.push(question);
        }
        assert_eq!(start(Some(host(1))).await, Err(ShareTaken));
        let mut no_address = start(None);
        assert!((&mut no_address).now_or_never().is_none());
        for _ in 0..2 {
            let mut question = start(Some(host(2)));
            assert!((&mut question).now_or_never().is_none(), "another has its own share");
            held.push(question);
        }
        assert_eq!(start(Some(host(2))).await, Err(ShareTaken));
        held.clear();
        drop(no_address);
        assert!(is_idle(&flights));
    }
}
