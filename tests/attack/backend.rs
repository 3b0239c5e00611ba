//! A back end that recognises sessions, takes its time, and counts how many it is asked about at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::support::backend::{Backend, Reply};

/// It knows the user `NAME` by the token `token-of-NAME` in the header `X-Token`, and nobody else.
pub(crate) struct SlowBackend {
    server: Backend,
    most_at_once: Arc<AtomicUsize>,
}

impl SlowBackend {
    /// A back end that thinks for `delay`.
    pub(crate) fn start(delay: Duration) -> Self {
        Self::start_with(move || sleep(delay))
    }

    /// A back end that does this before each answer.
    pub(crate) fn start_with(think: impl Fn() + Send + Sync + 'static) -> Self {
        let (now, most_at_once) = (AtomicUsize::new(0), Arc::<AtomicUsize>::default());
        let most = Arc::clone(&most_at_once);
        let server = Backend::start(move |question| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            think();
            now.fetch_sub(1, Ordering::SeqCst);
            match question.header("x-token").strip_prefix("token-of-") {
                Some(user) => Reply::json(json!({"id": user})),
                None => Reply::new(401, ""),
            }
        });
        Self { server, most_at_once }
    }

    /// The rule that asks it.
    pub(crate) fn rule(&self, more: &str) -> String {
        format!(
            "[[session]]\nname = \"backend\"\nfrom = \"header:X-Token\"\ncheck = \"http\"\nurl = \"{}/me\"\n\
             user = \"/id\"\n{more}\n",
            self.server.url()
        )
    }

    /// How many questions it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.server.count()
    }

    /// The most questions that were open at the same moment.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }
}
