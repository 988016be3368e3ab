//! A model has several names, and none of them is a way around a budget.

use almoner_units::{Budget, Meter, Mode};

use crate::world::{Bench, budget, post, read};

const WHOLE: &str = "{\"type\":\"message\",\"model\":\"m\",\"stop_reason\":\"end_turn\",\
                     \"usage\":{\"input_tokens\":10,\"output_tokens\":10}}";

fn of_model(name: &str) -> Budget {
    let mut budget = budget("sonnet", "$1", Mode::StopNew);
    budget.filter = vec![("model".parse().unwrap(), name.to_owned())];
    budget
}

#[tokio::test]
async fn a_budget_of_a_model_counts_it_by_every_name() {
    for (written, asked) in [
        ("claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5-20250929"),
    ] {
        let bench = Bench::new(vec![of_model(written)]);
        bench.answers(200, &[("content-type", "application/json")], WHOLE);
        read(bench.call(post("/v1/messages", asked, ",\"max_tokens\":10")).await).await;
        assert_eq!(bench.ends(), ["settled"], "{written} {asked}");
    }
    let bench = Bench::new(vec![of_model("claude-opus-5")]);
    bench.answers(200, &[("content-type", "application/json")], WHOLE);
    read(bench.call(post("/v1/messages", "claude-sonnet-4-5", ",\"max_tokens\":10")).await).await;
    assert_eq!(bench.ends(), [""; 0]);
}

#[tokio::test]
async fn a_model_has_one_account_under_all_its_names() {
    let mut each = budget("each model", "$1", Mode::StopNew);
    each.per = vec!["model".parse().unwrap()];
    let bench = Bench::new(vec![each]);
    for name in ["claude-sonnet-4-5", "claude-sonnet-4-5-20250929"] {
        bench.answers(200, &[("content-type", "application/json")], WHOLE);
        read(bench.call(post("/v1/messages", name, ",\"max_tokens\":10")).await).await;
    }
    let views = bench.shared.state().ledger.views(crate::world::NOW);
    assert_eq!(views.len(), 1);
    assert_eq!(views[0].limits[0].spent, 2 * 180_000, "{:?}", views[0].limits[0].limit.meter == Meter::Usd);
}

#[tokio::test]
async fn the_model_that_an_answer_says_it_used_is_reported() {
    let bench = Bench::dollar();
    bench.answers(200, &[crate::routes::JSON], crate::routes::WHOLE);
    bench.messages(crate::routes::MORE).await;
    let state = bench.shared.state();
    let call = &state.reports[0];
    assert_eq!((call.model.as_str(), call.outcome.model.as_deref()), ("claude-opus-5", Some("m")));
}
