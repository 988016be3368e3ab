//! What the config says of an account, and what the provider says of it later.

use almoner_gateway::{Pinned, Verdict};
use almoner_policy::Tier;
use almoner_units::{Meter, Mode};

use crate::world::{Bench, Reported, budget, post};

const STANDARD: &str = "{\"service_tier\":\"default\",\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}],\
                        \"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":100}}";
const PRIORITY: &str = "{\"service_tier\":\"priority\",\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}],\
                        \"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":100}}";

/// What is told of a call that asks for no tier, and is answered so.
async fn report(pinned: Pinned, answer: &'static str) -> Reported {
    let bench = Bench::at(pinned, vec![budget("firm", "$1", Mode::StopNew)]);
    bench.answers(200, &[("content-type", "application/json")], answer);
    let request = post("/v1/chat/completions", "gpt-5", ",\"max_completion_tokens\":100");
    assert_eq!(bench.call(request).await.status(), 200);
    bench.shared.state().reports.pop().unwrap()
}

fn held(report: &Reported) -> u64 {
    let Verdict::Admitted { held, .. } = &report.verdict else { panic!("{:?}", report.verdict) };
    held[Meter::Usd]
}

const STANDARD_ACCOUNT: Pinned = Pinned { service_tier: Some(Tier::Standard), regional: Some(false) };

#[tokio::test]
async fn an_account_that_is_known_halves_the_hold() {
    let unknown = report(Pinned::default(), STANDARD).await;
    let known = report(STANDARD_ACCOUNT, STANDARD).await;
    assert_eq!(held(&unknown), 2 * held(&known));
    assert_eq!(known.outcome.overrun[Meter::Usd], 0);
}

#[tokio::test]
async fn a_config_that_is_wrong_settles_at_the_truth_and_says_which_line() {
    let report = report(STANDARD_ACCOUNT, PRIORITY).await;
    assert_eq!(report.outcome.charge[Meter::Usd], 4_500_000, "1000 tokens at $2.50 a million and 100 at $20");
    assert!(report.outcome.overrun[Meter::Usd] > 0);
    assert_eq!(report.outcome.note, "the provider used another service tier than the config's `service_tier`");
}
