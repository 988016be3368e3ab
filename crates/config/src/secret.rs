//! Secrets, and where they come from.

use std::fmt;
use std::path::{Path, PathBuf};

/// The longest key that is read; the longest in use has about 2,000 bytes.
pub(crate) const KEY_BYTES_MAX: usize = 8192;

/// A secret text. It has no text form and is in no message; who needs it says so by [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret in a text, without the white space around it.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without the text, where it could not be sent in a header.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        match text {
            "" => Err("is empty"),
            _ if text.len() > KEY_BYTES_MAX => Err("is longer than 8 KiB"),
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => Err("has characters that no key has"),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// The secret in a header's value, which may have spaces in it.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without the text.
    pub(crate) fn of_header(text: &str) -> Result<Self, &'static str> {
        match text.len() <= KEY_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            true => Ok(Self(text.to_owned())),
            false => Err("is no value of a header"),
        }
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// A file that holds a key, as the system found it.
#[derive(Clone)]
pub struct KeyFile {
    /// The permission bits, where the system has such.
    pub mode: Option<u32>,
    /// The user whose file it is, and the user who reads it, where the system has such.
    pub owner: Option<(u32, u32)>,
    /// What the file holds.
    pub text: String,
}

impl KeyFile {
    /// The secret in the file.
    pub(crate) fn secret(&self, path: &Path) -> Result<Secret, String> {
        let path = path.display();
        if let Some((owner, reader)) = self.owner.filter(|(owner, reader)| ![0, *reader].contains(owner)) {
            let run = format!("run `chown {reader} {path}`, or copy the key into a file of your own");
            return Err(format!("{path} belongs to the user {owner}, who can change the key; {run}"));
        }
        if let Some(mode) = self.mode.map(|mode| mode & 0o777).filter(|mode| mode & 0o077 != 0) {
            return Err(format!("{path} has mode {mode:04o}, so others can read the key; run `chmod 600 {path}`"));
        }
        Secret::new(&self.text).map_err(|fault| format!("the key in {path} {fault}"))
    }
}

/// Where the key of a provider comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyFrom {
    Client,
    Env(String),
    File(PathBuf),
}

impl fmt::Display for KeyFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("the client's own"),
            Self::Env(name) => write!(f, "hidden, from {name}"),
            Self::File(path) => write!(f, "hidden, from {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new(" hunter2\n").unwrap();
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(hidden)");
        for bad in ["", " \n", "a b", "a\u{1b}b", "ü", &"x".repeat(KEY_BYTES_MAX + 1)] {
            assert!(Secret::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_file_is_for_its_owner_alone() {
        let file = |mode| KeyFile { mode, owner: None, text: "hunter2".to_owned() };
        let path = Path::new("key");
        assert!(file(Some(0o100_600)).secret(path).is_ok());
        assert!(file(Some(0o400)).secret(path).is_ok());
        assert!(file(None).secret(path).is_ok());
        for open in [0o644, 0o640, 0o604, 0o610, 0o602] {
            let why = file(Some(0o100_000 | open)).secret(path).unwrap_err();
            assert!(why.contains(&format!("mode {open:04o}")) && why.contains("chmod 600 key"), "{why}");
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn a_key_file_is_ours_or_the_systems() {
        let of = |owner| KeyFile { mode: Some(0o600), owner: Some((owner, 1000)), text: "hunter2".to_owned() };
        let path = Path::new("key");
        assert!(of(1000).secret(path).is_ok() && of(0).secret(path).is_ok());
        let why = of(1001).secret(path).unwrap_err();
        assert!(why.contains("belongs to the user 1001") && why.contains("chown 1000 key"), "{why}");
        assert!(!why.contains("hunter2"), "{why}");
    }
}
