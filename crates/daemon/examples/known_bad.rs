//! `known_bad reply-first|release-on-recovery --state DIR --config FILE`: a server that keeps its ledger wrongly.
//!
//! The kill loop runs it to show that it would find such a server. It is no part of what is shipped.

use std::error::Error;
use std::io::{Write, stdout};
use std::path::Path;
use std::sync::Arc;

use almoner_config::{Flags, Sources};
use almoner_daemon::{KnownBad, Options, choose, serve};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    choose(match words.next().as_deref() {
        Some("reply-first") => KnownBad::ReplyFirst,
        Some("release-on-recovery") => KnownBad::ReleaseOnRecovery,
        _ => return Err("say what to do wrong: reply-first or release-on-recovery".into()),
    });
    let mut flags = Flags { listen: Some("127.0.0.1:0".to_owned()), ..Flags::default() };
    while let (Some(flag), Some(value)) = (words.next(), words.next()) {
        match flag.as_str() {
            "--state" => flags.state = Some(value.into()),
            "--config" => flags.config = Some(value.into()),
            _ => return Err(format!("there is no flag `{flag}`").into()),
        }
    }
    let settings = almoner_config::load(&Sources::from_system(flags.clone())?)?;
    let reread = Arc::new(move |_: Option<&Path>| almoner_config::load(&Sources::from_system(flags.clone())?));
    let options = Options { version: "known bad", idle_exit: None, reread };
    serve(&settings, &options, &mut |text| {
        // Whoever started it may have stopped reading.
        let _ = writeln!(stdout(), "{text}").and_then(|()| stdout().flush());
    })?;
    Ok(())
}
