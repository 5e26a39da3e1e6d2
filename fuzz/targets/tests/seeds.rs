//! What is fuzzed also runs here, with every kept input, so that a stable build notices what breaks.

use std::{fs, path::Path};

use ropeway_fuzz_targets::{TARGETS, verify};

/// Every kept input of a target, by its file's name.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds").join(target);
    let files = fs::read_dir(folder).expect("the target has seeds");
    let read = |file: fs::DirEntry| {
        let bytes = fs::read(file.path()).expect("a seed can be read");
        (file.file_name().to_string_lossy().into_owned(), bytes)
    };
    files.map(|file| read(file.expect("the folder can be read"))).collect()
}

#[test]
fn every_target_takes_every_seed() {
    // As much stack as the threads have that do this in production.
    let all = std::thread::Builder::new().stack_size(ropeway_mapping::STACK_SIZE).spawn(|| {
        for (target, run) in TARGETS {
            let seeds = seeds(target);
            assert!(!seeds.is_empty(), "{target} has no seeds");
            for (name, bytes) in seeds {
                println!("{target}/{name}");
                run(&bytes);
            }
        }
    });
    all.unwrap().join().unwrap();
}

#[test]
fn targets_are_those_of_the_fuzzer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz_targets");
    let mut found: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, TARGETS.map(|(name, _)| name));
}

/// A seed that is refused at the first header exercises nothing.
#[test]
fn seeds_of_every_way_to_verify_are_let_in() {
    let mut refused: Vec<String> =
        seeds("verify").into_iter().filter(|(_, bytes)| !verify::is_let_in(bytes)).map(|(name, _)| name).collect();
    refused.retain(|name| !name.starts_with("jwt"));
    // Their signatures were made with private keys that are not here.
    assert_eq!(refused, ["sendgrid"]);
}
