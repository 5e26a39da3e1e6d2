//! The mapping of an Integration: what the worker does to every event, and what the tests in the
//! resource run, by the same code.
//!
//! In: the event's [`Data`] and [`Context`](crate::Context). Out: for each destination a record, or
//! that the event is not wanted there, or at which stage the mapping failed.

use std::borrow::Cow;

use crate::data::Data;
use crate::guard::{LimitKind, Limits};
use crate::program::Program;
use crate::run::{Input, RunError, run_filter, run_transform};

/// The compiled mapping of an Integration, or of one lane of it.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    /// Compiled for [`Purpose::Normalize`](crate::Purpose::Normalize).
    pub normalize: Option<Program>,
    /// In the order of the resource.
    pub destinations: Vec<DestinationMapping>,
}

/// What one destination wants of the normalised event.
#[derive(Debug, Clone, Default)]
pub struct DestinationMapping {
    /// The destination's name within the Integration.
    pub name: String,
    /// Compiled for [`Purpose::Filter`](crate::Purpose::Filter); without one every event is wanted.
    pub filter: Option<Program>,
    /// Compiled for [`Purpose::Transform`](crate::Purpose::Transform); without one the record is the
    /// normalised event.
    pub transform: Option<Program>,
}

/// What became of an event on its way to one destination.
#[derive(Debug, Clone, PartialEq)]
pub enum Mapped {
    /// To be delivered.
    Record(Data),
    /// Not wanted there; this is success.
    Filtered,
}

/// The stage at which a mapping failed on an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// In `normalize`; holds for all destinations.
    #[error("normalize: {0}")]
    Normalize(#[source] RunError),
    /// In the destination's `filter`.
    #[error("filter: {0}")]
    Filter(#[source] RunError),
    /// In the destination's `transform`.
    #[error("transform: {0}")]
    Transform(#[source] RunError),
}

impl MapError {
    /// The limit that was passed, if that is the reason.
    #[must_use]
    pub fn limit(&self) -> Option<LimitKind> {
        let (Self::Normalize(error) | Self::Filter(error) | Self::Transform(error)) = self;
        match error {
            RunError::Limit(limit) => Some(*limit),
            RunError::Failed { .. } | RunError::Panicked => None,
        }
    }
}

impl Mapping {
    /// The event in its common shape; the event itself where the mapping has no `normalize`.
    ///
    /// # Errors
    ///
    /// [`MapError::Normalize`].
    pub fn normalize<'a>(&self, input: Input<'a>, limits: &Limits) -> Result<Cow<'a, Data>, MapError> {
        match &self.normalize {
            None => Ok(Cow::Borrowed(input.data)),
            Some(program) => run_transform(program, input, limits).map(Cow::Owned).map_err(MapError::Normalize),
        }
    }

    /// The destination with that name.
    #[must_use]
    pub fn destination(&self, name: &str) -> Option<&DestinationMapping> {
        self.destinations.iter().find(|d| d.name == name)
    }
}

impl DestinationMapping {
    /// The record that this destination gets of a normalised event.
    ///
    /// # Errors
    ///
    /// [`MapError::Filter`] and [`MapError::Transform`].
    pub fn apply(&self, input: Input<'_>, limits: &Limits) -> Result<Mapped, MapError> {
        if let Some(filter) = &self.filter
            && !run_filter(filter, input, limits).map_err(MapError::Filter)?
        {
            return Ok(Mapped::Filtered);
        }
        match &self.transform {
            None => Ok(Mapped::Record(input.data.clone())),
            Some(program) => run_transform(program, input, limits).map(Mapped::Record).map_err(MapError::Transform),
        }
    }
}
