//! OAuth 2.0 as a client (RFC 6749, 7521, 7523, 8705): how a token is asked for and what the answer means. Pure.

pub mod answer;
pub mod assertion;
pub mod request;

#[cfg(test)]
mod tests;
