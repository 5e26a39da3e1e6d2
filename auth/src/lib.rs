//! Credentials of every kind, and the one door through which requests leave us. Worker, operator and command share it.
//!
//! ```text
//! OAuth2 + Secrets ─▶ Request ─▶ (door) ─▶ Response ─▶ AccessToken ─▶ header of another request
//!            request           http        answer      cache          credentials
//! ```
//!
//! Everything between the doors is a plain function; time comes in as a value.

pub mod address;
pub mod azure;
pub mod brokered;
mod cache;
mod connect;
pub mod credentials;
pub mod discovery;
pub mod http;
pub mod keyring;
pub mod oauth2;
pub mod secret;
pub mod token;
pub mod tokens;
pub mod vault;
