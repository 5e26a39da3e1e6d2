//! Writes the CRDs to the folder that is given. `make crds` calls it with `crds/yaml`.

use std::{env, fs, path::PathBuf, process::ExitCode};

use ropeway_crds::definition::{definitions, file_name, yaml};

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: crdgen FOLDER");
        return ExitCode::from(2);
    };
    for definition in definitions() {
        let path = folder.join(file_name(&definition));
        if let Err(error) = fs::write(&path, yaml(&definition)) {
            eprintln!("failed to write {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
