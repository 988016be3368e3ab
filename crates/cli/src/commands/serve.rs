//! `almoner serve`

use std::process::ExitCode;

use almoner_config::Flags;
use almoner_daemon::Options;

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
    let settings = settings(common, flags)?;
    settings.warnings().iter().for_each(|warning| show::line(format!("warning: {warning}")));
    let options = Options { version: env!("CARGO_PKG_VERSION"), idle_exit };
    almoner_daemon::serve(&settings, options, &mut |text| show::line(text))?;
    Ok(ExitCode::SUCCESS)
}
