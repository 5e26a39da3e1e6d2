//! The Secrets and ConfigMaps of the manifests, written as the kubelet would mount them.

use std::{
    fs::{self, Permissions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use kube::ResourceExt;
use ropeway_auth::secret::Secrets;

use super::{DevError, file_error};
use crate::manifest::Manifests;

/// Writes all of them below the data folder, readable by the user alone.
///
/// # Errors
/// If a file can't be written.
pub(super) fn write(manifests: &Manifests, data: &Path) -> Result<Secrets, DevError> {
    let (secrets, maps) = (data.join("secrets"), data.join("config-maps"));
    for secret in &manifests.secrets {
        let bytes = secret.data.iter().flatten().map(|(key, value)| (key, value.0.clone()));
        let text = secret.string_data.iter().flatten().map(|(key, value)| (key, value.clone().into_bytes()));
        object("Secret", &secret.name_any(), &secrets, bytes.chain(text))?;
    }
    for map in &manifests.config_maps {
        let text = map.data.iter().flatten().map(|(key, value)| (key, value.clone().into_bytes()));
        object("ConfigMap", &map.name_any(), &maps, text)?;
    }
    Ok(Secrets::new(secrets).with_config_maps(maps))
}

fn object<'a>(
    kind: &str,
    name: &str,
    folder: &Path,
    entries: impl Iterator<Item = (&'a String, Vec<u8>)>,
) -> Result<(), DevError> {
    let place = folder.join(name);
    let fail = || file_error(format!("write the {kind} {name}"));
    fs::create_dir_all(&place).map_err(fail())?;
    fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(fail())?;
    for (key, value) in entries {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(place.join(key)).map_err(fail())?;
        file.write_all(&value).map_err(fail())?;
    }
    Ok(())
}
