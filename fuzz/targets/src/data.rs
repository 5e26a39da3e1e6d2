//! The body of an event: what was read comes out as it went in, whichever way it was read.

use ropeway_mapping::Data;

/// Any bytes.
pub fn run(bytes: &[u8]) {
    let parsed = Data::parse(bytes);
    let shared = Data::parse_shared(&bytes.to_vec().into());
    match (parsed, shared) {
        (Ok(data), Ok(shared)) => {
            assert_eq!(data, shared, "the two ways to read a body differ");
            let written = data.to_json_bytes();
            let again = Data::parse(&written).expect("what was written can be read");
            assert_eq!(again, data, "reading what was written gives something else");
            assert_eq!(again.to_json_bytes(), written, "writing it again gives something else");
            assert_eq!(Data::from(data.to_json()), data, "the way through serde_json gives something else");
        }
        (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string(), "the two ways to read a body differ"),
        (one, other) => panic!("the two ways to read a body differ: {one:?}, {other:?}"),
    }
}
