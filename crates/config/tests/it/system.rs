//! The sources of this process.

use almoner_config::{Flags, Sources, load};

#[test]
fn a_file_that_is_named_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.toml");
    std::fs::write(&path, "max_output = 7\n").unwrap();
    let flags = Flags { config: Some(path), state: Some(dir.path().into()), ..Flags::default() };
    let settings = load(&Sources::from_system(flags).unwrap()).unwrap();
    assert_eq!(settings.max_output, 7);
}

#[test]
fn a_file_that_is_named_and_absent_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let flags = Flags { config: Some(dir.path().join("none.toml")), ..Flags::default() };
    let errors = Sources::from_system(flags).err().expect("an error");
    assert!(errors.problems()[0].message.starts_with("cannot read the configuration "), "{errors}");
    assert!(errors.to_string().contains("none.toml"), "{errors}");
}

#[test]
fn a_file_that_is_no_text_or_too_long_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    for (content, says) in [(vec![0xff; 10], "UTF-8"), (vec![b' '; (1 << 20) + 1], "longer than 1048576 bytes")] {
        let path = dir.path().join("bad.toml");
        std::fs::write(&path, content).unwrap();
        let errors = Sources::from_system(Flags { config: Some(path), ..Flags::default() }).err().expect("an error");
        assert!(errors.to_string().contains(says), "{errors}");
    }
}

#[cfg(unix)]
#[test]
fn the_mode_of_a_key_file_is_looked_at() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let (config, key) = (dir.path().join("a.toml"), dir.path().join("key"));
    std::fs::write(&config, "[[provider]]\nname='a'\ndialects=['gemini']\nbase_url='https://a'\nkey.file='key'\n")
        .unwrap();
    std::fs::write(&key, "hunter2\n").unwrap();
    let flags = Flags { config: Some(config), state: Some(dir.path().into()), ..Flags::default() };
    for (mode, is_good) in [(0o600, true), (0o640, false)] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let loaded = load(&Sources::from_system(flags.clone()).unwrap());
        assert_eq!(loaded.is_ok(), is_good, "{loaded:?}");
    }
}
