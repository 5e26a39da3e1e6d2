//! How the server is told what becomes of messages.

use std::sync::atomic::Ordering;

use async_nats::Subject;
use bytes::Bytes;

use super::jetstream::Broker;

impl Broker {
    /// Tells the server that a message's life has ended, and waits until it has confirmed that.
    ///
    /// # Errors
    /// If the server does not confirm.
    pub async fn acknowledge(&self, reply: Subject) -> Result<(), async_nats::RequestError> {
        self.client.request(reply, Bytes::from_static(b"+ACK")).await.map(drop)
    }

    /// Tells the server that the lives of messages of one consumer have ended, and waits until it has confirmed that.
    ///
    /// A server takes the acknowledgements of one consumer that come over one connection in their order, so the
    /// confirmation of the last is one for all. Were there two connections, nothing is known of those on the first.
    pub async fn acknowledge_together(&self, replies: Vec<Subject>) -> bool {
        let statistics = self.client.statistics();
        let connections = || statistics.connects.load(Ordering::SeqCst);
        let before = connections();
        let mut last = None;
        for reply in replies {
            if let Some(earlier) = last.replace(reply)
                && self.client.publish(earlier, Bytes::from_static(b"+ACK")).await.is_err()
            {
                return false;
            }
        }
        let Some(last) = last else { return true };
        self.acknowledge(last).await.is_ok() && connections() == before
    }

    /// Tells the server that messages are still being worked on. Best effort: unheard, they come again.
    pub async fn still_working(&self, replies: Vec<Subject>) {
        for reply in replies {
            if self.client.publish(reply, Bytes::from_static(b"+WPI")).await.is_err() {
                return;
            }
        }
    }
}
