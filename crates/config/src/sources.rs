//! Where settings come from, as values; and the one place that asks the system for them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use crate::layers::Flags;
use crate::problem::{ConfigErrors, Fault, Report};
use crate::secret::{KEY_BYTES_MAX, KeyFile};

/// The largest configuration file that is read.
const CONFIG_BYTES_MAX: usize = 1 << 20;

/// The configuration file's name, in the working directory and in the user's folder for configuration.
const FILE_NAME: &str = "almoner.toml";

/// A configuration file: its name says its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// The path, as messages name it.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
}

impl ConfigFile {
    /// The path from the root, by which another process knows it too.
    #[must_use]
    pub fn full_path(&self) -> PathBuf {
        self.path.canonicalize().or_else(|_| std::path::absolute(&self.path)).unwrap_or_else(|_| self.path.clone())
    }
}

/// Where settings come from, as values.
#[derive(Clone)]
pub struct Sources {
    /// The configuration file, if there is one.
    pub file: Option<ConfigFile>,
    /// The environment: every variable, of which only a few are looked at.
    pub env: Vec<(String, String)>,
    /// The command line.
    pub flags: Flags,
    /// The folder for state where nobody says another; `None` where the user has no home.
    pub state_dir: Option<PathBuf>,
    /// How the file of a key is read.
    pub read_key: fn(&Path) -> io::Result<KeyFile>,
}

impl Sources {
    /// Sources that say nothing: everything is as by default, with the state in `state_dir`.
    #[must_use]
    pub fn empty(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            file: None,
            env: Vec::new(),
            flags: Flags::default(),
            state_dir: Some(state_dir.into()),
            read_key: read_key_file,
        }
    }

    /// The sources of this process: its environment, the configuration file that it names or that stands where it is
    /// looked for, and these flags.
    ///
    /// # Errors
    /// [`ConfigErrors`] where a file was named and is not there, or is there and cannot be read.
    pub fn from_system(flags: Flags) -> Result<Self, ConfigErrors> {
        Self::from_system_where(flags, |_, fault| Err(fault))
    }

    /// The same, for who only asks a server: a file that nobody named and that cannot be read stands in nobody's way.
    ///
    /// # Errors
    /// [`ConfigErrors`] where a file was named and cannot be read.
    pub fn from_system_to_ask(flags: Flags) -> Result<Self, ConfigErrors> {
        Self::from_system_where(flags, |is_named, fault| if is_named { Err(fault) } else { Ok(None) })
    }

    fn from_system_where(
        flags: Flags,
        unreadable: impl Fn(bool, Fault) -> Result<Option<ConfigFile>, Fault>,
    ) -> Result<Self, ConfigErrors> {
        let base = etcetera::choose_base_strategy().ok();
        let env = environment();
        let config_dir = base.as_ref().map(BaseStrategy::config_dir);
        let found = find_file(&flags, &env, config_dir);
        let file = found.or_else(|fault| unreadable(named(&flags, &env).is_some(), fault)).map_err(|fault| {
            let mut report = Report::default();
            report.error(fault);
            report.finish().expect_err("a fault was noted")
        })?;
        let state_dir = base.map(|base| base.state_dir().unwrap_or_else(|| base.data_dir()).join("almoner"));
        Ok(Self { file, env, flags, state_dir, read_key: read_key_file })
    }
}

/// The file that the flag names, else the variable.
fn named(flags: &Flags, env: &[(String, String)]) -> Option<PathBuf> {
    let variable = env.iter().find(|(name, value)| name == "ALMONER_CONFIG" && !value.is_empty());
    flags.config.clone().or_else(|| variable.map(|(_, value)| value.into()))
}

/// The environment. What is not Unicode keeps a mark in its place, so that a path among it is refused, not mistaken.
fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .collect()
}

/// The file that the flag names, else the variable, else the first that is there of those it is looked for.
fn find_file(
    flags: &Flags,
    env: &[(String, String)],
    config_dir: Option<PathBuf>,
) -> Result<Option<ConfigFile>, Fault> {
    if let Some(path) = named(flags, env) {
        return read_file(&path).map(Some).map_err(|error| unreadable(&path, &error));
    }
    let candidates = [Some(PathBuf::from(FILE_NAME)), config_dir.map(|dir| dir.join("almoner").join(FILE_NAME))];
    for path in candidates.into_iter().flatten() {
        match read_file(&path) {
            Ok(file) => return Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&path, &error)),
        }
    }
    Ok(None)
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    let fault = Fault::new(format!("cannot read the configuration {}: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::NotFound => fault.help("name a file that is there, or none: then ./almoner.toml is looked for"),
        _ => fault,
    }
}

fn read_file(path: &Path) -> io::Result<ConfigFile> {
    Ok(ConfigFile { path: path.to_owned(), text: read_text(&File::open(path)?, CONFIG_BYTES_MAX)? })
}

fn read_key_file(path: &Path) -> io::Result<KeyFile> {
    // Looked at before it is opened: to open a pipe is to wait for whoever writes to it.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let file = File::open(path)?;
    let (mode, owner) = rights(&file)?;
    Ok(KeyFile { mode, owner, text: read_text(&file, KEY_BYTES_MAX)? })
}

/// The whole of a file, if it is no longer than `bytes_max`.
fn read_text(file: &File, bytes_max: usize) -> io::Result<String> {
    let mut text = String::new();
    let one_too_many = u64::try_from(bytes_max).map_or(u64::MAX, |bytes| bytes.saturating_add(1));
    file.take(one_too_many).read_to_string(&mut text)?;
    if text.len() > bytes_max {
        return Err(io::Error::other(format!("it is longer than {bytes_max} bytes")));
    }
    Ok(text)
}

/// The permission bits of a file, its owner, and who we are.
type Rights = (Option<u32>, Option<(u32, u32)>);

#[cfg(unix)]
fn rights(file: &File) -> io::Result<Rights> {
    use std::os::unix::fs::MetadataExt;
    let found = file.metadata()?;
    Ok((Some(found.mode()), Some((found.uid(), rustix::process::geteuid().as_raw()))))
}

#[cfg(not(unix))]
fn rights(_: &File) -> io::Result<Rights> {
    Ok((None, None))
}
