//! What a running expression reads and writes.
//!
//! In: the event and its metadata, borrowed. Out: reads of both, and writes to a copy of the event
//! that is made with the first of them and thrown away with the run.

use std::borrow::Cow;

use vrl::compiler::{SecretTarget, Target};
use vrl::path::{OwnedTargetPath, PathPrefix};
use vrl::value::Value;

/// The event under a running expression: copied only when it is written to.
#[derive(Debug)]
pub(super) struct EventTarget<'a> {
    pub(super) data: Cow<'a, Value>,
    pub(super) metadata: &'a Value,
}

/// The compiler refuses such writes; this is for what it might overlook.
const READ_ONLY: &str = "metadata is read-only";

impl Target for EventTarget<'_> {
    fn target_insert(&mut self, path: &OwnedTargetPath, value: Value) -> Result<(), String> {
        match path.prefix {
            PathPrefix::Metadata => return Err(READ_ONLY.to_owned()),
            PathPrefix::Event if path.path.is_root() => self.data = Cow::Owned(value),
            PathPrefix::Event => {
                self.data.to_mut().insert(&path.path, value);
            }
        }
        Ok(())
    }

    fn target_get(&self, path: &OwnedTargetPath) -> Result<Option<&Value>, String> {
        Ok(match path.prefix {
            PathPrefix::Event => self.data.get(&path.path),
            PathPrefix::Metadata => self.metadata.get(&path.path),
        })
    }

    fn target_get_mut(&mut self, path: &OwnedTargetPath) -> Result<Option<&mut Value>, String> {
        match path.prefix {
            PathPrefix::Event => Ok(self.data.to_mut().get_mut(&path.path)),
            PathPrefix::Metadata => Err(READ_ONLY.to_owned()),
        }
    }

    fn target_remove(&mut self, path: &OwnedTargetPath, compact: bool) -> Result<Option<Value>, String> {
        match path.prefix {
            PathPrefix::Event => Ok(self.data.to_mut().remove(&path.path, compact)),
            PathPrefix::Metadata => Err(READ_ONLY.to_owned()),
        }
    }
}

/// Expressions have no secrets: no allowed function asks for one.
impl SecretTarget for EventTarget<'_> {
    fn get_secret(&self, _key: &str) -> Option<&str> {
        None
    }

    fn insert_secret(&mut self, _key: &str, _value: &str) {}

    fn remove_secret(&mut self, _key: &str) {}
}
