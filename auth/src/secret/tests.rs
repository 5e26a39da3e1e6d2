use super::*;

#[test]
fn missing_empty_and_binary_values_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::new(folder.path());
    let key = |key: &str| SecretKeyRef { name: "crm".into(), key: key.into() };
    assert!(matches!(secrets.text(&key("token")), Err(SecretError::Missing { .. })));
    std::fs::create_dir(folder.path().join("crm")).unwrap();
    for (name, value) in [("token", &b"s3cret\n"[..]), ("empty", b""), ("blank", b"\n"), ("binary", &[0xff, 0xfe])] {
        std::fs::write(folder.path().join("crm").join(name), value).unwrap();
    }
    assert_eq!(secrets.text(&key("token")).unwrap().expose_secret(), "s3cret");
    assert!(matches!(secrets.text(&key("empty")), Err(SecretError::Empty { .. })));
    assert!(matches!(secrets.text(&key("blank")), Err(SecretError::Empty { .. })));
    assert!(matches!(secrets.text(&key("binary")), Err(SecretError::NotText { .. })));
    assert!(!format!("{:?}", secrets).contains("s3cret"));
}

#[test]
fn a_value_is_what_is_written_or_what_a_secret_or_a_config_map_holds() {
    let (secrets, maps) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let read = Secrets::new(secrets.path()).with_config_maps(maps.path());
    for (folder, name, text) in [(&secrets, "keys", "of a Secret\n"), (&maps, "settings", "of a ConfigMap\n")] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        std::fs::write(folder.path().join(name).join("user"), text).unwrap();
    }
    let secret = |name: &str| ValueSource {
        secret_key_ref: Some(SecretKeyRef { name: name.into(), key: "user".into() }),
        config_map_key_ref: None,
        azure_key_vault: None,
    };
    let map = |name: &str| ValueSource {
        secret_key_ref: None,
        azure_key_vault: None,
        config_map_key_ref: Some(ConfigMapKeyRef { name: name.into(), key: "user".into() }),
    };
    assert_eq!(read.value(Some("written"), None).unwrap(), "written");
    assert_eq!(read.value(None, Some(&secret("keys"))).unwrap(), "of a Secret");
    assert_eq!(read.value(None, Some(&map("settings"))).unwrap(), "of a ConfigMap");
    // The one is never taken for the other.
    assert!(read.value(None, Some(&secret("settings"))).is_err());
    let missing = read.value(None, Some(&map("keys"))).unwrap_err().to_string();
    assert_eq!(missing, "the key user of the ConfigMap keys is missing");
}
