//! The server, from its first word to its last.

use std::collections::{HashMap, HashSet};
use std::fs::Permissions;
use std::future::Future;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use almoner_api::Request;
use almoner_config::{BudgetsFrom, Settings};
use almoner_ledger::{Ledger, ReleaseReason, Who};
use almoner_policy::default_budgets;
use almoner_store::{AppendError, EventKind, History, Journal, OpenError, ReadError, StoredKey};
use almoner_units::{Budget, CallId, NanoUsd, Span, Timestamp, Zone, counted};
use almoner_web::Web;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

use crate::activity::Activity;
use crate::guests;
use crate::happened::{Budgets, Downs};
use crate::in_force::{InForce, Place, hosts};
use crate::keeper::Keeper;
use crate::keys::{self, Keyring};
use crate::known_bad::{self, KnownBad};
use crate::lanes::Lanes;
use crate::log::{CallLog, Log, WARNING, last_words};
use crate::look::Looker;
use crate::operations::{About, Operations, by_name, lasting_budgets};
use crate::over::Reasons;
use crate::providers::{price_book, providers};
use crate::recorder::{Keep, Recorder};
use crate::reload::{Reloading, Reread};
use crate::server::{self, Limits, Phase};
use crate::tokens::{Tokens, TokensError};
use crate::traces::Traces;
use crate::{clock, control, hours};

/// How often a server that may end by itself looks whether it is still used.
const IDLE_LOOK: Duration = Duration::from_secs(1);
/// How often keys whose time is up are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// How often a server that is ending looks whether every call has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// How long the disk has to end with, once nobody waits for an end in order.
const HURRY_MAX: Duration = Duration::from_secs(5);
/// How often history is shown what every account looks like, while something happens and they are few.
const SHOW_EVERY: Duration = Duration::from_secs(1);
/// How long each account is left alone after it was shown, so that a hundred thousand of them take a hundredth of the
/// keeper's time as well, and not all of it.
const SHOWN_FOR: Duration = Duration::from_millis(1);

/// How the server is run.
#[derive(Clone)]
pub struct Options {
    /// The version of the program.
    pub version: &'static str,
    /// After how long without use the server ends by itself; `None`: never.
    pub idle_exit: Option<Span>,
    /// How the configuration is read again.
    pub reread: Reread,
}

/// Why the server could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The ledger cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The ledger cannot be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The keys cannot be read.
    #[error(transparent)]
    Keys(#[from] ReadError),
    /// The address is taken, or not ours.
    #[error("cannot listen on {0}: {1}; another almoner may run there (`almoner status`), or use --listen")]
    Listen(SocketAddr, std::io::Error),
    /// The state folder is somebody else's.
    #[error("{} is no state folder of Almoner's: it has {found:?} in it; name another with --state", .path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What is in it.
        found: std::ffi::OsString,
    },
    /// The state folder cannot be used.
    #[error("cannot use the state folder {}: {source}; name another with --state", .path.display())]
    State {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The tokens cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// A provider cannot be reached in principle.
    #[error("{0}")]
    Provider(String),
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What only a state folder has: the ledger and its lock, and the log of a server that `exec` starts.
const SIGNS: [&str; 3] = ["ledger.db", "ledger.lock", SERVE_LOG];
/// Where a server that `exec` started writes what it says.
pub const SERVE_LOG: &str = "serve.log";

/// Makes the state folder, readable by its owner alone. A folder of somebody else is left as it is.
///
/// # Errors
/// [`ServeError::State`] where it cannot be made, [`ServeError::Foreign`] where it has other things in it.
pub fn prepare_state_dir(state: &Path) -> Result<(), ServeError> {
    let failed = |source| ServeError::State { path: state.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(state).map_err(failed)?;
    if let Some(found) = foreign(state).map_err(failed)? {
        return Err(ServeError::Foreign { path: state.to_owned(), found });
    }
    std::fs::set_permissions(state, Permissions::from_mode(0o700)).map_err(failed)
}

/// Something in a folder that is not empty and has no sign of ours.
fn foreign(folder: &Path) -> std::io::Result<Option<std::ffi::OsString>> {
    let found = std::fs::read_dir(folder)?.next().map(|entry| Ok::<_, std::io::Error>(entry?.file_name()));
    // Looked for last: another of us may have made the folder its own in between.
    let is_ours = SIGNS.iter().any(|sign| folder.join(sign).exists());
    found.filter(|_| !is_ours).transpose()
}

/// Serves until a signal or idleness ends it. What people should know goes to `say`, line by line.
///
/// # Errors
/// [`ServeError`] where it cannot start.
pub fn serve(settings: &Settings, options: &Options, say: &mut dyn FnMut(String)) -> Result<(), ServeError> {
    let log = Log::of(settings);
    log.of_process();
    let say: &mut dyn FnMut(String) = &mut |text: String| log.say(&text).into_iter().for_each(&mut *say);
    settings.warnings().iter().for_each(|warning| say(format!("{WARNING}{}", warning.unranked())));
    first_try(settings)?;
    prepare_state_dir(&settings.state_dir)?;
    let (journal, ledger) = open(settings)?;
    // For all that is no connection, and seldom does anything: the listener, the control socket, the signals.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let lanes = Arc::new(Lanes::start()?);
    let (recorder, recording) = open_history(settings, say)?;
    let log = CallLog::start(settings)?;
    let traces = Traces::start(settings, log.clone());
    let (traces, tracing) = traces.map_err(|error| ServeError::Provider(error.to_string()))?;
    let recorder = recorder.telling(log).tracing(traces);
    let facts = recorder.clone();
    let mut budgets = Budgets::of(&ledger);
    let unseen = Arc::new(AtomicBool::new(true));
    let news = Arc::clone(&unseen);
    let (keeper, keeping) = Keeper::start(
        ledger,
        journal,
        move |entries, ledger, took| {
            facts.committed(entries.len(), took);
            facts.facts(entries, ledger, &mut budgets);
            news.store(true, Ordering::Relaxed);
        },
        die,
    )?;
    let served = runtime.block_on(run(settings, options, &keeper, recorder, &lanes, unseen, say));
    // Tasks that still run are dropped here; their guards tell the keeper what to assume before it stops.
    runtime.shutdown_timeout(Duration::from_secs(5));
    Arc::into_inner(lanes).into_iter().for_each(Lanes::end);
    keeper.stop();
    let has_ended = if matches!(served, Ok(false)) {
        join_within(keeping, HURRY_MAX)
    } else {
        drop(keeping.join());
        true
    };
    if !has_ended {
        die("told to stop again, and the disk does not answer");
    }
    drop(recording.join());
    // Every call has ended by now.
    tracing.end();
    served.map(drop)
}

/// Waits so long for a thread to end; whether it has.
fn join_within<T: Send + 'static>(thread: JoinHandle<T>, most: Duration) -> bool {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(thread.join());
        // Nobody hears it any more where it took too long.
        tell.send(()).unwrap_or_default();
    });
    told.recv_timeout(most).is_ok()
}

/// Tries what may fail, where no ledger is yet, before anything is made: a start that fails leaves nothing behind.
fn first_try(settings: &Settings) -> Result<(), ServeError> {
    let state = &settings.state_dir;
    if state.join("ledger.db").exists() {
        // Whoever has this ledger has its port too; that it is taken is told by the ledger, which knows by whom.
        return Ok(());
    }
    let unusable = |source| ServeError::State { path: state.clone(), source };
    std::os::unix::net::SocketAddr::from_pathname(state.join(control::CONTROL_SOCKET)).map_err(unusable)?;
    providers(settings, &price_book(settings), &HashMap::new())
        .map_err(|error| ServeError::Provider(error.to_string()))?;
    let listening = std::net::TcpListener::bind(settings.listen);
    listening.map(drop).map_err(|error| ServeError::Listen(settings.listen, error))
}

/// Ends the process because the disk failed: nobody can say any more what it holds.
pub(crate) fn die(reason: &str) {
    last_words(reason);
    std::process::exit(74);
}

/// Shows every account to history, again and again, where something has happened since.
async fn keep_shown(keeper: Keeper, recorder: Recorder, unseen: Arc<AtomicBool>) {
    loop {
        let shown = if unseen.swap(false, Ordering::Relaxed) { show(&keeper, &recorder).await } else { 0 };
        tokio::time::sleep(pause_after(shown)).await;
    }
}

/// How long it is until so many accounts are shown again.
fn pause_after(shown: usize) -> Duration {
    SHOWN_FOR.saturating_mul(u32::try_from(shown).unwrap_or(u32::MAX)).max(SHOW_EVERY)
}

/// Tells of providers that go down and come back, a moment later.
async fn watch_providers(in_force: Place, recorder: Recorder) {
    let mut look = tokio::time::interval(SHOW_EVERY);
    let mut downs = Downs::default();
    loop {
        look.tick().await;
        let healths = in_force.now().gateway.healths();
        downs.look(&healths, clock::read().wall).into_iter().for_each(|event| recorder.event(event));
    }
}

/// Shows every account to history as it is now, and says how many there are.
async fn show(keeper: &Keeper, recorder: &Recorder) -> usize {
    let Ok((views, now)) = keeper.operate(|desk, now| (desk.ledger.views(now), now)).await else { return 0 };
    let count = views.len();
    recorder.accounts(views, now);
    count
}

/// Opens the ledger, assumes what a crash left open, and puts the configured budgets in force.
pub(crate) fn open(settings: &Settings) -> Result<(Journal, Ledger), ServeError> {
    open_in(&settings.state_dir, configured(settings))
}

/// The same, for budgets that no settings ask for.
pub(crate) fn open_in(state_dir: &Path, configured: Vec<Budget>) -> Result<(Journal, Ledger), ServeError> {
    let (mut journal, recovered) = Journal::open(state_dir)?;
    let mut ledger = recovered.ledger;
    let now = clock::read().wall;
    recovered.open_holds.into_iter().for_each(|id| recover(&mut ledger, id, now));
    // A key that is good without its budget would spend without a limit, so that one must not be lost for the other.
    let keys = journal.keys_all()?;
    put_in_force(&mut ledger, configured, &keys, now);
    for key in keys.into_iter().filter_map(|key| adopted(&ledger, key)) {
        insist(|| journal.keys_put(&key))?;
    }
    let facts = ledger.take_facts();
    insist(|| journal.append(&facts))?;
    // Nobody waits for an answer yet, so all of it may be written at once.
    if journal.is_snapshot_due() {
        journal.snapshot_now(&mut ledger, now)?;
    }
    Ok((journal, ledger))
}

/// Writes once more where the disk is full: the first try gave back the room that is kept for what must be written.
fn insist<T>(mut write: impl FnMut() -> Result<T, AppendError>) -> Result<T, AppendError> {
    match write() {
        Err(AppendError::Full { .. }) => write(),
        written => written,
    }
}

/// Ends a hold that a crash left open: the call may have been sent, so what it held counts as spent.
fn recover(ledger: &mut Ledger, id: CallId, now: Timestamp) {
    let ended = if known_bad::is(KnownBad::ReleaseOnRecovery) {
        ledger.release(id, ReleaseReason::NeverSent, now)
    } else {
        ledger.assume(id, "almoner stopped before the call ended", now)
    };
    // The hold is open, so this is news.
    drop(ended);
}

/// The budgets that the settings ask for.
pub(crate) fn configured(settings: &Settings) -> Vec<Budget> {
    match &settings.budgets {
        BudgetsFrom::Defaults => default_budgets(&Zone::utc()),
        BudgetsFrom::File(budgets) => budgets.clone(),
        BudgetsFrom::None => Vec::new(),
    }
}

/// A key with the limits of its budget, where an earlier version kept them in the ledger alone.
fn adopted(ledger: &Ledger, mut key: StoredKey) -> Option<StoredKey> {
    if !key.limits.is_empty() {
        return None;
    }
    let own = ledger.budgets().find(|budget| keys::owner(budget) == Some(&key.id))?;
    (key.limits, key.mode) = (own.limits.clone(), own.mode);
    Some(key)
}

/// Makes the ledger's budgets those of the settings and of the keys that are good.
fn put_in_force(ledger: &mut Ledger, configured: Vec<Budget>, keys: &[StoredKey], now: Timestamp) {
    let who = || Who("the configuration".to_owned());
    let good = || keys.iter().filter(|key| keys::is_good(key, now));
    let ids: HashSet<&str> = good().map(|key| key.id.as_str()).collect();
    let is_live = |budget: &Budget| keys::owner(budget).is_some_and(|key| ids.contains(key));
    let gone: Vec<_> = ledger
        .budgets()
        .filter(|known| !is_live(known) && !configured.iter().any(|budget| budget.name == known.name))
        .map(|budget| (budget.name.clone(), keys::owner(budget).is_some()))
        .collect();
    for (name, is_of_key) in &gone {
        // The budget of a key that is gone never comes back; another may.
        if *is_of_key {
            ledger.forget_budget(name, who(), now);
        } else {
            ledger.remove_budget(name, who(), now);
        }
    }
    configured.into_iter().for_each(|budget| ledger.set_budget(budget, who(), now));
    // Those that a crash kept from the ledger; the others are as they were.
    good().filter_map(keys::budget).for_each(|budget| ledger.set_budget(budget, who(), now));
}

pub(crate) fn open_history(
    settings: &Settings,
    say: &mut dyn FnMut(String),
) -> Result<(Recorder, std::thread::JoinHandle<()>), ServeError> {
    let history = History::open(&settings.state_dir).map_err(|error| std::io::Error::other(error.to_string()))?;
    if let Some(moved) = history.moved() {
        say(format!("{WARNING}the history could not be read; it was moved to {} and begins anew", moved.display()));
    }
    Ok(Recorder::start(history, keep(settings))?)
}

/// What history keeps by these settings.
pub(crate) fn keep(settings: &Settings) -> Keep {
    Keep { age: settings.history_keep, bytes: settings.history_bytes_max, call_events: settings.history_calls }
}

/// Serves until it is told to end; whether it then ended in order, and not because somebody did not wait for that.
async fn run(
    settings: &Settings,
    options: &Options,
    keeper: &Keeper,
    recorder: Recorder,
    lanes: &Arc<Lanes>,
    unseen: Arc<AtomicBool>,
    say: &mut dyn FnMut(String),
) -> Result<bool, ServeError> {
    // From the first line on somebody may tell it to stop.
    let (mut signals, mut hangups) = (Signals::new()?, Hangups::new()?);
    let listener = server::listen(settings.listen).map_err(|error| ServeError::Listen(settings.listen, error))?;
    let listen = listener.local_addr()?;
    let (notices, mut told) = mpsc::unbounded_channel();
    let reloading = Reloading::new(Arc::clone(&options.reread), notices.clone());
    let operations = Arc::new(join(settings, options, keeper, recorder.clone(), listen, reloading).await?);
    let socket = control::listen(&settings.state_dir)
        .map_err(|source| ServeError::State { path: settings.state_dir.clone(), source })?;
    introduce(settings, &operations, keeper, say).await;
    operations.gateway().remember_hours(hours::read(&settings.state_dir, say));
    tokio::spawn(hours::keep(operations.in_force.clone(), settings.state_dir.clone(), notices));
    let (phase, phases) = watch::channel(Phase::Serving);
    let (drained, all_drained) = oneshot::channel();
    let in_force = operations.in_force.clone();
    let activity = operations.activity.clone();
    let limits = limits(settings, say);
    let names = in_force.clone();
    let is_for_us =
        move |head: &hyper::http::request::Parts| hosts(&names.now().settings).take(&head.uri, &head.headers);
    let web = Arc::new(Web::new(Arc::clone(&operations), is_for_us));
    let face = Arc::clone(&web);
    let handle = move |request: hyper::Request<_>| {
        activity.note();
        let is_asked = almoner_web::takes(request.uri().path());
        let face = is_asked.then(|| Arc::clone(&face));
        // What a call begins under it ends under.
        let gateway = Arc::clone(&in_force.now().gateway);
        async move {
            match face {
                // In a box, so that calls are no larger for it.
                Some(face) => Box::pin(face.handle(request)).await,
                None => gateway.handle(request).await,
            }
        }
    };
    let listening = tokio::spawn(server::serve(listener, Arc::clone(lanes), limits, handle, phases.clone(), drained));
    tokio::spawn(keep_shown(keeper.clone(), recorder.clone(), unseen));
    tokio::spawn(watch_providers(operations.in_force.clone(), recorder.clone()));
    let data = serde_json::json!({ "version": options.version, "listen": operations.about.listen });
    recorder.happened(EventKind::Started, format!("almoner {} began", options.version), data);
    let controlling = tokio::spawn(control::serve(socket, Arc::clone(&operations), phases));
    let why = until_told(options, keeper, &operations, (&mut signals, &mut hangups), &mut told, say).await;
    let drain_max = operations.in_force.now().settings.drain_max;
    say(format!("{why}; running calls may finish within {drain_max}"));
    operations.gateway().stop();
    recorder.happened(EventKind::Stopping, format!("almoner ends: {why}"), serde_json::json!({ "because": why }));
    web.stop();
    phase.send_replace(Phase::Draining);
    let is_drained = unless_told(drain(all_drained, keeper, drain_max), signals.next(), say).await;
    phase.send_replace(Phase::Over);
    let closing = async {
        drop((listening.await, controlling.await));
        // Asks the keeper, who waits for the disk.
        show(keeper, &recorder).await;
    };
    let is_closed = if is_drained {
        unless_told(closing, signals.next(), say).await
    } else {
        tokio::time::timeout(HURRY_MAX, closing).await.is_ok()
    };
    if is_closed {
        let kept = hours::write(&settings.state_dir, &operations.gateway().hours());
        kept.unwrap_or_else(|error| say(hours::unkept(&error)));
    }
    drop(std::fs::remove_file(settings.state_dir.join(control::CONTROL_SOCKET)));
    Ok(is_closed)
}

/// Waits until this is done, or somebody who was told of it does not wait for it; whether it is done.
async fn unless_told(
    work: impl Future<Output = ()>,
    told: impl Future<Output = &'static str>,
    say: &mut dyn FnMut(String),
) -> bool {
    tokio::select! {
        () = work => true,
        why = told => {
            say(format!("{why} again; what runs is charged until its cost is known"));
            false
        }
    }
}

/// The limits of the listener, by the settings and by what this process may open.
fn limits(settings: &Settings, say: &mut dyn FnMut(String)) -> Limits {
    let connections = usize::try_from(settings.connections_max).unwrap_or(usize::MAX);
    let possible = guests::possible(connections);
    if possible < connections {
        say(format!(
            "this process may open too few files for {connections} connections, so {possible} are taken at once"
        ));
    }
    Limits {
        connections: possible,
        header_bytes: usize::try_from(settings.header_bytes_max).unwrap_or(usize::MAX).max(8192),
        header_time: Duration::from_millis(settings.receive_max.ms()),
        unread_time: Duration::from_millis(settings.stream_idle_max.ms()),
    }
}

/// Joins the gateway and the operations with the keeper, the providers and the keys.
pub(crate) async fn join(
    settings: &Settings,
    options: &Options,
    keeper: &Keeper,
    recorder: Recorder,
    listen: SocketAddr,
    reloading: Reloading,
) -> Result<Operations, ServeError> {
    let about = About {
        version: options.version,
        listen: listen.to_string(),
        state_dir: settings.state_dir.clone(),
        started: clock::read().wall,
    };
    let asked = keeper.operate(|desk, _| (desk.journal.keys_all(), by_name(lasting_budgets(desk)))).await;
    let (keys, budgets) = asked.map_err(|error| std::io::Error::other(error.to_string()))?;
    let keyring = Keyring::default();
    keys?.into_iter().for_each(|key| keyring.put(key));
    let parts = (keeper.clone(), recorder.clone(), keyring.clone());
    let in_force = InForce::new(settings.clone(), parts, None);
    let in_force = in_force.map_err(|error| ServeError::Provider(error.to_string()))?;
    in_force.gateway.set_budgets(budgets);
    let activity = Activity::default();
    activity.note();
    let (keeper, in_force, reasons) = (keeper.clone(), Place::new(in_force), Reasons::default());
    let history = Looker::new(settings.state_dir.clone());
    let tokens = Tokens::open(&settings.state_dir)?;
    let operations =
        Operations { about, keeper, in_force, reloading, keyring, recorder, history, activity, reasons, tokens };
    operations.note_start().await;
    Ok(operations)
}

/// Says what is in force and how to use it.
async fn introduce(settings: &Settings, operations: &Operations, keeper: &Keeper, say: &mut dyn FnMut(String)) {
    let about = &operations.about;
    say(format!("almoner {} listens on http://{}", about.version, about.listen));
    say(format!("state in {}", about.state_dir.display()));
    let in_force = operations.in_force.now();
    match &in_force.config {
        Some(config) => say(format!("configuration from {}", config.path)),
        None => say("no configuration file".to_owned()),
    }
    let assumed = keeper.operate(|desk, _| desk.journal.assumed_list().unwrap_or_default()).await.unwrap_or_default();
    if !assumed.is_empty() {
        let nano = assumed.iter().map(|assumed| assumed.hold.amount.usd().get()).fold(0, u64::saturating_add);
        let (calls, amount) = (counted(assumed.len() as u64, "ended call"), NanoUsd::new(nano));
        say(format!("{amount} is charged without news, over {calls}; see `almoner holds list`"));
    }
    let budgets = keeper.operate(|desk, _| by_name(lasting_budgets(desk))).await.unwrap_or_default();
    if budgets.is_empty() {
        say("no budgets are in force: every call passes".to_owned());
    }
    for budget in &budgets {
        let limits: Vec<String> = budget.limits.iter().map(ToString::to_string).collect();
        say(format!("budget `{}` ({}): {}", budget.name, budget.mode, limits.join(", ")));
    }
    if settings.budgets == BudgetsFrom::Defaults {
        say(
            "these are the defaults; they count tokens without cache reads, which alone would stop an agent in minutes"
                .to_owned(),
        );
    }
    let crowded = operations.crowded_keys(&budgets);
    if crowded > 0 {
        let keys = counted(crowded, "key");
        say(format!(
            "{keys} with a budget cannot call: a call may touch 16 budgets, and these leave no room; join some"
        ));
    }
    if in_force.settings.require_key {
        say("every call needs a key: `almoner keys create NAME` makes one".to_owned());
    }
    let admin = &operations.tokens.admin;
    if let Some(why) = admin.replaced {
        say(format!("the admin's token in {} was replaced: {why}", admin.path.display()));
    }
    say(format!("REST at http://{}/api/v1; `almoner token show` prints the admin's token", about.listen));
    say("point an agent at it:".to_owned());
    say(format!("  export ANTHROPIC_BASE_URL=http://{}", about.listen));
    say(format!("  export OPENAI_BASE_URL=http://{}/v1", about.listen));
}

/// Waits for a reason to end: a signal, or that nobody uses the server any more.
async fn until_told(
    options: &Options,
    keeper: &Keeper,
    operations: &Operations,
    (signals, hangups): (&mut Signals, &mut Hangups),
    told: &mut mpsc::UnboundedReceiver<String>,
    say: &mut dyn FnMut(String),
) -> String {
    let mut look = tokio::time::interval(IDLE_LOOK);
    let mut forget = tokio::time::interval(FORGET_EVERY);
    loop {
        tokio::select! {
            why = signals.next() => return why.to_owned(),
            _ = hangups.signal.recv() => {
                if hangups.are_of_a_closed_terminal() {
                    return "its terminal was closed".to_owned();
                }
                // How it came out is told to `told`.
                drop(operations.run(Request::Reload { by: "the signal HUP".to_owned() }).await);
            }
            Some(line) = told.recv() => say(line),
            _ = forget.tick() => operations.forget_ended().await,
            _ = look.tick() => {
                if let Some(idle_max) = options.idle_exit.filter(|idle_max| operations.activity.idle() >= *idle_max)
                    && open_holds(keeper).await == 0
                {
                    return format!("nobody used the server for {idle_max}");
                }
            }
        }
    }
}

/// The signals that end the server: the first lets calls finish, the second does not.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// The signal that makes the server read its configuration again. A terminal that is closed sends the same.
struct Hangups {
    signal: Signal,
    /// Whether the server was started by hand, at a terminal.
    has_terminal: bool,
}

impl Hangups {
    fn new() -> std::io::Result<Self> {
        Ok(Self { signal: signal(SignalKind::hangup())?, has_terminal: std::io::stdin().is_terminal() })
    }

    /// Whether they come from the terminal that it was started at, which is gone by then.
    fn are_of_a_closed_terminal(&self) -> bool {
        self.has_terminal && !std::io::stdin().is_terminal()
    }
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "told to stop",
            _ = self.interrupt.recv() => "interrupted",
        }
    }
}

async fn open_holds(keeper: &Keeper) -> usize {
    keeper.operate(|desk, _| desk.ledger.holds().len()).await.unwrap_or(0)
}

/// Waits until every client has its answer and every call has ended, but not for ever.
async fn drain(clients: oneshot::Receiver<()>, keeper: &Keeper, most: Span) {
    let drained = async {
        drop(clients.await);
        while open_holds(keeper).await > 0 {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    };
    // What has not ended by then is assumed, and can be corrected.
    drop(tokio::time::timeout(Duration::from_millis(most.ms()), drained).await);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::sync::mpsc::channel;

    #[test]
    fn many_accounts_are_shown_less_often_than_few() {
        let seconds = [0, 1, 1_000, 10_000, 110_000].map(|shown| pause_after(shown).as_secs());
        assert_eq!(seconds, [1, 1, 1, 10, 110]);
    }

    #[tokio::test]
    async fn whoever_tells_it_again_to_stop_is_heard_whatever_hangs() {
        let mut said = Vec::new();
        assert!(unless_told(ready(()), pending(), &mut |line| said.push(line)).await);
        assert!(!unless_told(pending(), ready("told to stop"), &mut |line| said.push(line)).await);
        assert_eq!(said, ["told to stop again; what runs is charged until its cost is known"]);
    }

    #[test]
    fn a_thread_that_hangs_is_not_waited_for() {
        let (_go, gone) = channel::<()>();
        assert!(!join_within(std::thread::spawn(move || gone.recv()), Duration::ZERO));
        assert!(join_within(std::thread::spawn(|| ()), Duration::from_secs(60)));
    }
}
