//! What only one operating system has. Linux has all of it; elsewhere, and with `--cfg portable`, what every system has takes
//! its place: Ctrl-C ends the process, nothing is reloaded by a signal, and no limit is known.

pub use imp::{ReloadSignal, ShutdownSignal, descriptor_limit, harden_process, process_collector};

#[cfg(all(target_os = "linux", not(portable)))]
mod imp {
    use std::io;

    use prometheus::process_collector::ProcessCollector;
    use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
    use tokio::signal::unix::{Signal, SignalKind, signal};

    /// Keeps the secrets from core dumps and debuggers, and takes all descriptors that the process may have. Where the kernel
    /// refuses, nothing is lost.
    pub fn harden_process() {
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
        // A soft limit below the hard one, as in containers, is for programs that use select(2).
        let descriptors = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: descriptors.maximum, ..descriptors });
    }

    /// How many descriptors the process may have; `None` where there is no limit.
    pub fn descriptor_limit() -> Option<usize> {
        usize::try_from(getrlimit(Resource::Nofile).current?).ok()
    }

    /// The metrics `process_*`.
    pub fn process_collector() -> Option<ProcessCollector> {
        Some(ProcessCollector::for_self())
    }

    /// SIGTERM and SIGINT, which end the process.
    pub struct ShutdownSignal {
        terminate: Signal,
        interrupt: Signal,
    }

    impl ShutdownSignal {
        /// Listens from now on.
        ///
        /// # Errors
        /// When the system refuses.
        pub fn listen() -> io::Result<Self> {
            Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
        }

        /// The name of the next one.
        pub async fn recv(&mut self) -> &'static str {
            tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
            }
        }
    }

    /// SIGHUP, which has secrets read again.
    pub struct ReloadSignal(Signal);

    impl ReloadSignal {
        /// Listens from now on.
        ///
        /// # Errors
        /// When the system refuses.
        pub fn listen() -> io::Result<Self> {
            signal(SignalKind::hangup()).map(Self)
        }

        /// Resolves when it comes.
        pub async fn recv(&mut self) {
            self.0.recv().await;
        }
    }
}

#[cfg(not(all(target_os = "linux", not(portable))))]
mod imp {
    use std::future::pending;
    use std::io;

    use prometheus::IntGauge;

    /// Does nothing here.
    pub fn harden_process() {}

    /// Unknown here.
    pub fn descriptor_limit() -> Option<usize> {
        None
    }

    /// None here.
    pub fn process_collector() -> Option<IntGauge> {
        None
    }

    /// Ctrl-C, which ends the process.
    pub struct ShutdownSignal;

    impl ShutdownSignal {
        /// Listens once it is awaited.
        ///
        /// # Errors
        /// None here.
        pub fn listen() -> io::Result<Self> {
            Ok(Self)
        }

        /// Its name, when it comes. Where it cannot be listened to, it ends the process by itself.
        pub async fn recv(&mut self) -> &'static str {
            match tokio::signal::ctrl_c().await {
                Ok(()) => "Ctrl-C",
                Err(_) => pending().await,
            }
        }
    }

    /// A signal that never comes.
    pub struct ReloadSignal;

    impl ReloadSignal {
        /// Listens to nothing.
        ///
        /// # Errors
        /// None here.
        pub fn listen() -> io::Result<Self> {
            Ok(Self)
        }

        /// Never resolves.
        pub async fn recv(&mut self) {
            pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn no_signal_comes_by_itself() {
        harden_process();
        let mut shutdown = ShutdownSignal::listen().expect("a signal");
        let mut reload = ReloadSignal::listen().expect("a signal");
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, shutdown.recv()).await.is_err());
        assert!(tokio::time::timeout(soon, reload.recv()).await.is_err());
        assert!(descriptor_limit().is_none_or(|limit| limit > 0));
    }
}
