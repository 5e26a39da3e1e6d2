//! What is made of secrets, and kept for as long as they stay the same.

use std::sync::{Arc, Mutex, PoisonError};

use secrecy::ExposeSecret;

use super::Secret;

/// Something that was made of up to `N` secrets, and is made anew when one of them has changed.
pub struct Made<T, const N: usize>(Mutex<Option<Kept<T, N>>>);

/// The secrets, and what was made of them.
type Kept<T, const N: usize> = ([Option<Secret>; N], Arc<T>);

impl<T, const N: usize> Default for Made<T, N> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T, const N: usize> std::fmt::Debug for Made<T, N> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Made").finish_non_exhaustive()
    }
}

impl<T, const N: usize> Made<T, N> {
    /// What is made of these secrets.
    ///
    /// # Errors
    /// Those of `make`; what was made before then stays.
    pub fn of<E>(
        &self,
        secrets: [Option<Secret>; N],
        make: impl FnOnce(&[Option<Secret>; N]) -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, made)) = kept.as_ref().filter(|(of, _)| same(of, &secrets)) {
            return Ok(Arc::clone(made));
        }
        let made = Arc::new(make(&secrets)?);
        *kept = Some((secrets, Arc::clone(&made)));
        Ok(made)
    }

    /// What was made last.
    pub fn last(&self) -> Option<Arc<T>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().map(|(_, made)| Arc::clone(made))
    }
}

fn same<const N: usize>(one: &[Option<Secret>; N], other: &[Option<Secret>; N]) -> bool {
    one.iter().zip(other).all(|pair| match pair {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one.expose_secret() == other.expose_secret(),
        (one, other) => one.is_none() && other.is_none(),
    })
}
