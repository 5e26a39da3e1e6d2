//! Objects in a storage.
