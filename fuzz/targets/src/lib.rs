//! What is fuzzed: each module feeds bytes of a stranger to one parser on the ways in, and checks what that parser
//! promises. `fuzz/fuzz_targets/` hands in what libFuzzer makes up, `tests/seeds.rs` what is kept in `fuzz/seeds/`.

pub mod batch;
pub mod data;
pub mod decode;
pub mod hint;
pub mod items;
mod message;
pub mod page;
pub mod schema;
pub mod verify;

/// What a target does with an input. It panics where a promise is broken.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 8] = [
    ("batch", batch::run),
    ("data", data::run),
    ("decode", decode::run),
    ("hint", hint::run),
    ("items", items::run),
    ("page", page::run),
    ("schema", schema::run),
    ("verify", verify::run),
];
