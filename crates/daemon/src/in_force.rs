//! What a configuration puts in force, as one value: whoever takes it has all of one configuration, and nothing of
//! another.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use almoner_api::{ConfigInfo, RouteInfo};
use almoner_config::Settings;
use almoner_gateway::{Gateway, GatewaySettings, Hosts, Patience};
use almoner_policy::PriceBook;
use almoner_units::Span;

use crate::catalog;
use crate::configured::config_info;
use crate::keeper::Keeper;
use crate::keys::Keyring;
use crate::providers::{paces, price_book, providers};
use crate::recorder::Recorder;
use crate::upstream::{NoWay, Way};
use crate::world::RealWorld;

/// How long a whole answer may take.
const ANSWER_MAX: Span = Span::from_secs(3600);

/// What one configuration puts in force, but for its budgets, which the ledger has.
pub(crate) struct InForce {
    pub(crate) settings: Settings,
    pub(crate) gateway: Arc<Gateway<RealWorld>>,
    pub(crate) book: PriceBook,
    /// The routes as they travel, without how their providers are.
    pub(crate) routes: Vec<RouteInfo>,
    /// Which file it is.
    pub(crate) config: Option<ConfigInfo>,
    /// The providers for which the server has a credential of its own.
    pub(crate) credentials: Vec<String>,
    /// The dialects that some provider of the config speaks.
    pub(crate) dialects: Vec<String>,
    /// The ways to its providers by their addresses, with the connections that are open there.
    ways: HashMap<String, Way>,
}

impl InForce {
    /// What `settings` put in force, with no budgets yet; in the place of `before`, where there is such.
    pub(crate) fn new(
        settings: Settings,
        (keeper, recorder, keyring): (Keeper, Recorder, Keyring),
        before: Option<&Self>,
    ) -> Result<Self, NoWay> {
        let book = price_book(&settings);
        let same = |before: &&Self| before.settings.connect_max == settings.connect_max;
        let none = HashMap::new();
        let ways = before.filter(same).map_or(&none, |before| &before.ways);
        let providers = providers(&settings, &book, ways)?;
        let with_credential = providers.iter().filter(|provider| provider.credential.is_some());
        let spoken: BTreeSet<_> =
            settings.providers.iter().flat_map(|provider| provider.dialects.iter().copied()).collect();
        let credentials = with_credential.map(|provider| provider.name.clone()).collect();
        let ways = providers.iter().map(|provider| (provider.base_url.clone(), provider.way.clone())).collect();
        let routes = catalog::routes(&settings, &providers);
        let gateway = Gateway::new(keeper, recorder, keyring, providers, gateway_settings(&settings), book.clone())
            .with_routes(settings.routes.clone(), settings.detours.clone())
            .with_paces(paces(&settings));
        let gateway = match before {
            Some(before) => gateway.instead_of(&before.gateway),
            None => gateway,
        };
        Ok(Self {
            gateway: Arc::new(gateway),
            book,
            routes,
            config: settings.file.as_ref().map(config_info),
            credentials,
            dialects: spoken.into_iter().map(|dialect| dialect.name().to_owned()).collect(),
            ways,
            settings,
        })
    }
}

/// Which names are ours.
pub(crate) fn hosts(settings: &Settings) -> Hosts {
    Hosts { names: settings.hosts.clone(), is_open: !settings.listen.ip().is_loopback() }
}

fn gateway_settings(settings: &Settings) -> GatewaySettings {
    GatewaySettings {
        max_output: settings.max_output,
        default_output: settings.default_output,
        hosts: hosts(settings),
        require_key: settings.require_key,
        strict: settings.strict,
        wait_max: settings.wait_max,
        ping_after: settings.ping_after,
        receive_max: settings.receive_max,
        body_bytes_max: settings.body_bytes_max,
        bodies_bytes_max: settings.bodies_bytes_max,
        patience: Patience {
            client: settings.stream_idle_max,
            provider: settings.provider_idle_max,
            drain: settings.drain_max,
            answer: ANSWER_MAX,
        },
    }
}

/// Where the configuration in force is found; cheap to clone.
#[derive(Clone)]
pub(crate) struct Place(Arc<RwLock<Arc<InForce>>>);

impl Place {
    pub(crate) fn new(first: InForce) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(first))))
    }

    /// What is in force now. A call takes it once, when it comes, and keeps it to its end.
    pub(crate) fn now(&self) -> Arc<InForce> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another in force for all that begins from now on. Done at the desk, so that whoever changes a budget there
    /// finds the gateway that is to know of it.
    pub(crate) fn put(&self, next: Arc<InForce>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = next;
    }
}
