//! Dead letters as values: what an entry says, which entries are meant, what of them may be shown, and the message that
//! sends one again. Pure; the stream itself is behind [`crate::io::dead_letters`].
//!
//! ```text
//! Stored ─▶ Entry ─▶ Selector::matches ─▶ Resend (subject, headers)      or shown, redacted
//! ```

pub mod entry;
pub mod redact;
pub mod resend;
pub mod selector;

pub use entry::Entry;
pub use selector::Selector;
