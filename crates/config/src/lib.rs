//! Files, environment and flags in; one validated [`Settings`] of plain values out.
//!
//! This is the only crate that reads either. [`Sources`] holds them as values, so that a test needs no file and no
//! variable; [`Sources::from_system`] alone asks the system. [`load`] turns them into settings, or into every fault at
//! once, each with its place and the nearest valid word.

mod address;
mod advice;
mod budget;
mod fields;
mod layers;
mod load;
mod mask;
mod pace;
mod place;
mod price;
mod problem;
mod provider;
mod reach;
mod read;
mod route;
mod sample;
mod secret;
mod settings;
mod sources;
mod telling;
mod tree;
mod value;

pub use advice::{TYPICAL_CALL_TOKENS, TYPICAL_CALLS_MIN};
pub use almoner_units::nearest;
pub use layers::{Flags, Origin, Setting};
pub use load::{load, state_folder};
pub use mask::masked_message as masked;
pub use place::Location;
pub use price::UserPrice;
pub use problem::{ConfigErrors, Problem};
pub use provider::{Credential, DefaultTier, DialectName, Provider};
pub use sample::sample;
pub use secret::{KeyFile, Secret};
pub use settings::{BudgetsFrom, Settings};
pub use sources::{ConfigFile, Sources};
pub use telling::{LogFormat, LogLevel, Traces};
