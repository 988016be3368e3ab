//! A closer bound for a call that is large for what is left: by a count of its tokens instead of its bytes.
//!
//! The provider counts where it has a call for that, which bills nothing; so nothing is held meanwhile. Where the
//! model's vocabulary is published, plain text is counted here. No count is waited for longer than a moment; without
//! one the bytes decide.

use std::sync::Arc;
use std::time::Duration;

use almoner_policy::{Bound, Counted, bound_counted, encoding_for};
use almoner_units::Span;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::ask::{price_of, settings};
use crate::dialect::{Counts, count_plain, fill};
use crate::http;
use crate::port::Upstream;
use crate::provider::authorise;
use crate::relay::{Deadline, collect};
use crate::stack::{Gateway, Understood, World};

/// How long a provider may take to count.
const COUNT_MAX: Duration = Duration::from_secs(2);
/// The most bytes of a provider's count.
const COUNT_BYTES_MAX: usize = 64 << 10;
/// How long a count is remembered: a client whose call was refused may send it again and again, and each count is a
/// request to the provider.
const COUNT_KEPT: Span = Span::from_secs(600);
/// How long it is remembered that there is none.
const UNCOUNTED_KEPT: Span = Span::from_secs(10);
/// How long it may take to count here: enough for a megabyte of prose, and an end to text that was made to be slow.
const COUNT_HERE_MAX: Span = Span::from_ms(500);
/// How many texts are counted here at once; each takes a processor.
const COUNTS_MAX: usize = 2;
/// Whose vocabularies are published, as the price book names them.
const PUBLISHED: &str = "openai";

/// The places for those who count here.
#[derive(Clone, Debug)]
pub(crate) struct Counting(Arc<Semaphore>);

impl Default for Counting {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(COUNTS_MAX)))
    }
}

/// Who can count the input of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Provider,
    Here,
}

/// Who can count the input of this call; `None` where nobody can count all of it.
pub(crate) fn way<W: World>(gateway: &Gateway<W>, understood: &Understood) -> Option<Way> {
    let provider = &gateway.providers[understood.provider];
    let call = &understood.call;
    match understood.endpoint.counts {
        Counts::Provider { .. } => (call.is_countable() && !provider.free).then_some(Way::Provider),
        Counts::Here => {
            // Others may call a model of their own by the same name.
            let is_theirs = provider.name == PUBLISHED
                && understood.price.as_ref().is_some_and(|price| price.provider() == PUBLISHED);
            (is_theirs && call.is_plain && encoding_for(&call.model).is_some()).then_some(Way::Here)
        }
        Counts::Nobody => None,
    }
}

/// The bound by a count, where there is one in time.
pub(crate) async fn bound_by_count<W: World>(gateway: &Gateway<W>, understood: &Understood) -> Option<Bound> {
    let counted = match way(gateway, understood)? {
        Way::Provider => Counted::Body(timeout(COUNT_MAX, ask_provider(gateway, understood)).await.ok()??),
        Way::Here => Counted::Text(timeout(COUNT_MAX, count_here(gateway, understood)).await.ok()??),
    };
    bound_counted(&understood.call.shape, counted, &price_of(understood), &settings(gateway, understood)).ok()
}

/// Counts plain text, on a thread beside those that serve.
async fn count_here<W: World>(gateway: &Gateway<W>, understood: &Understood) -> Option<u64> {
    let place = Arc::clone(&gateway.counting.0).acquire_owned().await.ok()?;
    let (model, body) = (understood.call.model.clone(), understood.body.clone());
    let count = move || {
        // The time runs from the first question on, when the vocabulary is there: that is loaded once.
        let mut until = None;
        let mut keep_going = || until.get_or_insert_with(|| Instant::now_plus(COUNT_HERE_MAX)).elapsed().is_zero();
        let tokens = count_plain(&model, &body, &mut keep_going);
        drop(place);
        tokens
    };
    tokio::task::spawn_blocking(count).await.ok()?
}

/// Asks the provider how many tokens the input has. It bills nothing for that, so nothing is held.
async fn ask_provider<W: World>(gateway: &Gateway<W>, understood: &Understood) -> Option<u64> {
    let Counts::Provider { path, body, tokens } = understood.endpoint.counts else { return None };
    let provider = &gateway.providers[understood.provider];
    let mut request = Request::new(body(&understood.body, &understood.call.model).ok()?);
    *request.method_mut() = hyper::Method::POST;
    *request.uri_mut() = format!("{}{}", provider.base_url, fill(path, &understood.call.model)).parse().ok()?;
    *request.headers_mut() = http::onward(&understood.head.headers);
    let betas: Vec<_> = request.headers().get_all("anthropic-beta").iter().map(HeaderValue::as_bytes).collect();
    let print = gateway.remembered.prints.of((request.uri(), betas, request.body()));
    if let Some(counted) = gateway.remembered.counted.of(print) {
        return counted;
    }
    let counted = ask_for(gateway, understood, request, tokens).await;
    let keeps = if counted.is_some() { COUNT_KEPT } else { UNCOUNTED_KEPT };
    gateway.remembered.counted.put(print, counted, keeps);
    counted
}

/// Sends for a count.
async fn ask_for<W: World>(
    gateway: &Gateway<W>,
    understood: &Understood,
    mut request: Request<Bytes>,
    tokens: &str,
) -> Option<u64> {
    let provider = &gateway.providers[understood.provider];
    let dialect = understood.endpoint.dialect;
    if !authorise(request.headers_mut(), dialect, provider.credential.as_ref(), &understood.shown) {
        return None;
    }
    let answer = provider.way.send(request).await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    let body = collect(answer.into_body(), COUNT_BYTES_MAX, gateway.settings.patience).await.ok()?;
    serde_json::from_slice::<serde_json::Value>(&body).ok()?.pointer(tokens)?.as_u64()
}
