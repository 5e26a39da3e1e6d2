//! The headers of messages in our streams. Everything about a retry travels in them; nothing lives only in a pod.

/// The delivery id: names the event inside, from the moment it is stored.
pub const DELIVERY: &str = "Ropeway-Delivery";
/// The number of the attempt that comes next, from 1.
pub const ATTEMPT: &str = "Ropeway-Attempt";
/// How often the event was sent again out of the dead letters.
pub const RESEND: &str = "Ropeway-Resend";
/// When the first attempt failed, RFC 3339.
pub const FIRST_FAILURE: &str = "Ropeway-First-Failure";
/// How long the event waited after it had come due, in milliseconds.
pub const HELD_MS: &str = "Ropeway-Held-Ms";
/// How often the event was parked in all.
pub const PARKS: &str = "Ropeway-Parks";
/// Where an event of an ordered lane stands among those with its key: its sequence in the stream that it came from.
pub const ORDER: &str = "Ropeway-Order";
/// When the next attempt at the first event of a held key is due, RFC 3339.
pub const DUE: &str = "Ropeway-Due";
/// Why an event became a dead letter, in one word.
pub const REASON: &str = "Ropeway-Reason";
/// The HTTP status of the last answer.
pub const CODE: &str = "Ropeway-Code";
/// The last error, bounded, without credential.
pub const ERROR: &str = "Ropeway-Error";
/// Where something that could be no event stood in its source.
pub const PLACE: &str = "Ropeway-Place";
/// When an event became a dead letter, RFC 3339.
pub const LAST_FAILURE: &str = "Ropeway-Last-Failure";
/// The Integration's name.
pub const INTEGRATION: &str = "Ropeway-Integration";
/// The destination's name within the Integration.
pub const DESTINATION: &str = "Ropeway-Destination";

/// Where a request that was not sent would have gone.
pub const SHADOW_TARGET: &str = "Ropeway-Shadow-Target";
/// What begins the name of a header that it would have had.
pub const SHADOW_HEADER_PREFIX: &str = "Ropeway-Shadow-Header-";

/// What begins the name of a CloudEvents attribute (CloudEvents NATS binding).
pub const CLOUD_EVENT_PREFIX: &str = "ce-";
/// The media type of the data.
pub const CONTENT_TYPE: &str = "content-type";
/// W3C trace context.
pub const TRACE_PARENT: &str = "traceparent";

/// When a scheduled message fires: `@at <RFC 3339>` (ADR-51).
pub const SCHEDULE: &str = "Nats-Schedule";
/// Where a scheduled message goes when it fires (ADR-51).
pub const SCHEDULE_TARGET: &str = "Nats-Schedule-Target";
/// How long a message lives (ADR-43): whole seconds with the unit `s`.
pub const TTL: &str = "Nats-TTL";
/// What a counter grows by (ADR-49).
pub const INCREMENT: &str = "Nats-Incr";
/// The sequence that the last message of the subject must have.
pub const EXPECTED_LAST_SUBJECT_SEQUENCE: &str = "Nats-Expected-Last-Subject-Sequence";
/// The filter over which that is judged, where it is not the message's own subject.
pub const EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";
/// What names an atomic batch (ADR-50).
pub const BATCH_ID: &str = "Nats-Batch-Id";
/// The place of a message in an atomic batch, from 1.
pub const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
/// The last message of an atomic batch carries it.
pub const BATCH_COMMIT: &str = "Nats-Batch-Commit";
/// The message id that the stream de-duplicates by.
pub const MESSAGE_ID: &str = "Nats-Msg-Id";
