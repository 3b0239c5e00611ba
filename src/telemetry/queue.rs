//! Lines on their way to stdout: a thread writes them, and those that it cannot take are dropped and counted.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::iter::once;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::thread;

use prometheus::IntCounter;

/// Lines that wait for a slow stdout; what comes on top of them is dropped.
const QUEUE_LINES: usize = 8192;

/// The end where lines are put in.
#[derive(Clone)]
pub(super) struct Queue {
    messages: SyncSender<Message>,
    dropped: IntCounter,
}

enum Message {
    Line(Vec<u8>),
    /// There are no more lines; this is dropped when all are written.
    End(Sender<()>),
}

impl Queue {
    /// Starts the thread.
    pub(super) fn start(dropped: IntCounter) -> io::Result<Self> {
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let (messages, received) = sync_channel(QUEUE_LINES);
        let unwritten = dropped.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || write(&received, stdout, &unwritten))?;
        Ok(Self { messages, dropped })
    }

    /// Puts in a line, unless the queue is full.
    pub(super) fn push(&self, line: &[u8]) {
        if self.messages.try_send(Message::Line(line.to_vec())).is_err() {
            self.dropped.inc();
        }
    }

    /// Waits for room in the queue, and lets `ended` go when all lines are written.
    pub(super) fn end(&self, ended: Sender<()>) {
        // An error says that it has ended.
        let _ = self.messages.send(Message::End(ended));
    }
}

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what comes; one write for many lines, when no other is waiting.
fn write(messages: &Receiver<Message>, stdout: File, unwritten: &IntCounter) {
    let mut stdout = BufWriter::new(stdout);
    while let Ok(first) = messages.recv() {
        for message in once(first).chain(messages.try_iter()) {
            match message {
                Message::Line(line) => {
                    // As on a full disk.
                    if stdout.write_all(&line).is_err() {
                        unwritten.inc();
                    }
                }
                Message::End(ended) => {
                    let _ = stdout.flush();
                    drop(ended);
                    return;
                }
            }
        }
        // What cannot be written stays in the buffer, and is tried again with the next line.
        let _ = stdout.flush();
    }
}
