//! `almoner serve`

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use almoner_config::{Flags, Sources};
use almoner_daemon::{Options, Reread};

use crate::args::{Common, Serve};
use crate::client::settings;
use crate::fail::Outcome;
use crate::show;

pub(crate) fn run(common: &Common, serve: &Serve) -> Outcome {
    let idle_exit = serve.idle_exit.as_deref().map(str::parse).transpose()?;
    let flags = Flags {
        listen: serve.listen.clone(),
        personal: serve.personal,
        require_key: serve.require_key,
        no_budgets: serve.no_budgets,
        strict: serve.strict,
        ..Flags::default()
    };
    let settings = settings(common, flags.clone())?;
    let options = Options { version: env!("CARGO_PKG_VERSION"), idle_exit, reread: reread(common, flags) };
    almoner_daemon::serve(&settings, &options, &mut |text| show::line(text))?;
    Ok(ExitCode::SUCCESS)
}

/// How the configuration is read again: under the same flags, and from the same file. One that is gone is missed, and
/// not taken for none.
fn reread(common: &Common, flags: Flags) -> Reread {
    let flags = Flags { config: common.config.clone(), state: common.state.clone(), ..flags };
    Arc::new(move |file| {
        let mut flags = flags.clone();
        flags.config = file.map(Path::to_path_buf).or(flags.config);
        almoner_config::load(&Sources::from_system(flags)?)
    })
}
