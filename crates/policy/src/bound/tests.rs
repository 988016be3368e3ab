use almoner_units::{Timestamp, Usage};
use proptest::prelude::*;

use super::*;
use crate::{Extras, PriceBook, cost};

const NOW: Timestamp = Timestamp::from_ms(1_795_500_000_000);

fn price(model: &str) -> Price {
    PriceBook::shipped().find(None, model, NOW).unwrap().clone()
}

fn said(text: &str) -> Shape {
    let text_bytes_nfkc = u64::try_from(text_bytes_nfkc(text)).unwrap();
    Shape { text_bytes: u64::try_from(text.len()).unwrap(), text_bytes_nfkc, messages: 1, ..Shape::default() }
}

fn web_search(max_uses: Option<u64>) -> Shape {
    let tool = ServerTool { name: "web_search_20250305".to_owned(), max_uses, brings: None };
    Shape { server_tools: vec![tool], ..said("hi") }
}

#[track_caller]
fn check(model: &str, shape: &Shape, input_tokens: u64) {
    let bound = bound(shape, &price(model), &BoundSettings::default()).unwrap();
    assert_eq!(bound.input_tokens_max, input_tokens, "{model}: {:?}", bound.parts);
    assert_eq!(bound.ask.fixed[Meter::InputTokens], input_tokens);
    assert_eq!(bound.ask.fixed[Meter::Requests], 1);
}

/// Inputs of which the provider counts more tokens than the body has bytes, each with its bound.
#[test]
fn where_bytes_are_fewer_than_tokens_the_bound_is_not_bytes() {
    let opus = |shape: &Shape, tokens| check("claude-opus-5", shape, tokens);
    // A hidden template and the frame of a message: 2 bytes, and more tokens.
    opus(&said("hi"), 2 + 1_024 + 8);
    opus(&Shape { messages: 100, ..said("hi") }, 2 + 1_024 + 800);
    opus(&Shape { tools: 10, ..said("hi") }, 2 + 1_024 + 8 + 640);
    // 3 bytes that NFKC makes 33.
    opus(&said("\u{fdfa}"), 33 + 1_024 + 8);
    // A few bytes of picture are a picture.
    opus(&Shape { images: 2, ..said("hi") }, 1_034 + 9_600);
    check("gpt-4o", &Shape { images: 1, ..said("hi") }, 1_034 + 1_445);
    // What has no documented maximum, or is not in the body, is a whole window.
    check("gpt-6-sol", &Shape { images: 1, ..said("hi") }, 922_000);
    opus(&Shape { pages: 3, ..said("hi") }, 1_000_000);
    check("gpt-4o", &Shape { pages: 1, ..said("hi") }, 128_000);
    opus(&Shape { documents: 1, ..said("hi") }, 1_000_000);
    opus(&Shape { opaque: vec!["file_id".into()], ..said("hi") }, 1_000_000);
    check("gpt-4o", &Shape { opaque: vec!["previous_response_id".into()], ..said("hi") }, 128_000);
    check("gemini-2.5-flash", &Shape { sounds: 1, ..said("hi") }, 1_048_576);
    // Images that are billed at more than they are can pass the window.
    check("gpt-4o-mini", &Shape { images: 3, ..said("hi") }, 1_034 + 3 * 48_169);
    // A loop at the provider reads the window again at each use.
    opus(&web_search(Some(5)), 1_034 + 5_000_000);
}

#[test]
fn no_sampling_reads_more_than_the_window() {
    let long = Shape { text_bytes: 5_000_000, ..said("") };
    check("claude-opus-5", &long, 1_000_000);
    check("claude-sonnet-4-5", &long, 200_000);
    check("claude-sonnet-4-5", &Shape { long_context: true, ..long }, 1_000_000);
}

#[track_caller]
fn check_price(model: &str, shape: &Shape, input: &str, output: &str) {
    let bound = bound(shape, &price(model), &BoundSettings { is_global: true, ..BoundSettings::default() }).unwrap();
    let million = |text: &str| PicoUsdPerToken::per_million(text).unwrap();
    assert_eq!((bound.input_price, bound.ask.output_price), (million(input), million(output)), "{model}: {shape:?}");
}

#[test]
fn a_request_is_held_at_the_dearest_price_it_can_reach() {
    let hi = said("hi");
    let long = Shape { text_bytes: 300_000, ..said("") };
    check_price("claude-opus-5", &hi, "5", "25");
    check_price("claude-opus-5", &Shape { writes: Writes::FiveMinutes, ..hi.clone() }, "6.25", "25");
    check_price("claude-opus-5", &Shape { writes: Writes::Hour, ..hi.clone() }, "10", "25");
    check_price("claude-opus-5", &Shape { fast: true, ..hi.clone() }, "10", "50");
    check_price("claude-opus-5", &Shape { fast: true, writes: Writes::Hour, ..hi.clone() }, "20", "50");
    check_price("claude-opus-5", &Shape { regional: Some(true), ..hi.clone() }, "5.5", "27.5");
    // Long context only past its threshold.
    check_price("claude-haiku-5-5", &hi, "0.1", "0.5");
    check_price("claude-haiku-5-5", &long, "0.5", "2.5");
    check_price("gemini-2.5-pro", &Shape { service_tier: Some("standard".into()), ..long }, "2.5", "15");
    // The account's default may be the priority class, so nothing said is the dearer of the two.
    check_price("gpt-5", &hi, "2.5", "20");
    check_price("gpt-5", &Shape { service_tier: Some("auto".into()), ..hi.clone() }, "2.5", "20");
    check_price("gpt-5", &Shape { service_tier: Some("default".into()), ..hi.clone() }, "1.25", "10");
    check_price("gpt-5", &Shape { service_tier: Some("flex".into()), ..hi.clone() }, "1.25", "10");
    // GPT-5.6 bills what it writes to its cache unasked.
    check_price("gpt-5.6", &Shape { service_tier: Some("default".into()), ..hi.clone() }, "5", "20");
    check_price("gpt-6-astra", &Shape { service_tier: Some("ultrafast".into()), ..hi.clone() }, "75", "300");
    // Sound is dearer than text.
    check_price(
        "gemini-2.5-flash",
        &Shape { service_tier: Some("standard".into()), sounds: 1, ..hi.clone() },
        "1",
        "2.5",
    );
    // Another model that a tool brings in.
    let advisor = ServerTool { name: "advisor".into(), max_uses: Some(1), brings: Some(price("claude-fable-5")) };
    check_price("claude-haiku-4-5", &Shape { server_tools: vec![advisor], ..hi }, "10", "50");
}

#[test]
fn a_config_that_knows_the_account_pins_what_is_not_said() {
    let settings = BoundSettings { service_tier: Some(Tier::Standard), is_global: true, ..BoundSettings::default() };
    let bound_at = |settings| bound(&said("hi"), &price("gpt-5"), settings).unwrap().input_price.to_string();
    assert_eq!(bound_at(&settings), "$1.25");
    assert_eq!(bound_at(&BoundSettings::default()), "$2.50");
    let opus = bound(&said("hi"), &price("claude-opus-5"), &BoundSettings::default()).unwrap();
    assert_eq!(opus.input_price.to_string(), "$5.50", "a workspace may pin its region");
}

#[track_caller]
fn check_cap(model: &str, shape: &Shape, cap: u64) {
    let bound = bound(shape, &price(model), &BoundSettings::default()).unwrap();
    assert_eq!(bound.ask.cap_asked, cap, "{model}: {shape:?}");
}

#[test]
fn the_cap_is_the_least_of_what_is_asked_given_and_allowed() {
    let asked = |max_output| Shape { max_output, ..said("hi") };
    check_cap("claude-opus-5", &asked(Some(128_000)), 32_000);
    check_cap("claude-opus-5", &asked(Some(100)), 100);
    check_cap("claude-opus-5", &asked(None), 4_096);
    check_cap("claude-opus-5", &Shape { thinking: Some(10_000), ..asked(None) }, 14_096);
    check_cap("gpt-4-turbo", &asked(Some(30_000)), 4_096);
    check_cap("text-embedding-3-small", &asked(Some(0)), 0);
}

#[test]
fn every_answer_may_pass_its_cap_by_sixteen_tokens() {
    let asked = Shape { choices: 3, max_output: Some(10), output_beyond_cap: 100, ..said("hi") };
    let bound = bound(&asked, &price("gpt-4o"), &BoundSettings::default()).unwrap();
    assert_eq!(bound.ask.fixed[Meter::OutputTokens], 3 * 16 + 100);
    assert_eq!(bound.ask.charge_at(10).unwrap()[Meter::OutputTokens], 3 * 26 + 100);
}

#[test]
fn a_search_has_a_price_beside_its_tokens() {
    let bound = bound(&web_search(Some(3)), &price("claude-opus-4-5"), &BoundSettings::default()).unwrap();
    // 601,034 tokens at $5, 4 × 16 at $25, 3 searches at a cent.
    assert_eq!(bound.ask.fixed.usd(), "$3.03677".parse().unwrap());
}

#[track_caller]
fn check_refused(model: &Price, shape: &Shape, says: &str) {
    let error = bound(shape, model, &BoundSettings::default()).unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}

/// What makes the provider sample more than once, with its bound in tokens of input and of output past the cap, or
/// what a person is told to do instead. `hi` is 1,034 tokens; Opus 5 has a window of a million and writes 128,000.
#[test]
fn what_samples_more_than_once_is_bounded_or_refused_with_advice() {
    let with = |name: &str, max_uses| {
        let tool = ServerTool { name: name.to_owned(), max_uses, brings: None };
        Shape { server_tools: vec![tool], ..said("hi") }
    };
    let compacting = |shape: Shape| Shape { compacts_at: Some(150_000), ..shape };
    let long = Shape { text_bytes: 200_000, ..said("") };
    let million = 1_000_000;
    let bounded = [
        // platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool: `max_uses`.
        (with("web_search_20250305", Some(2)), 1_034 + 2 * million, 3 * 16),
        // …/tool-use/web-fetch-tool: `max_uses`.
        (with("web_fetch_20250910", Some(1)), 1_034 + million, 2 * 16),
        // …/build-with-claude/compaction-threshold: one more sampling, from 150,000 tokens of input on unless `trigger`
        // says another; looked at anew before every sampling.
        (compacting(said("hi")), 1_034, 16),
        (compacting(long.clone()), 201_032 + million, 2 * 16 + 128_000),
        (compacting(with("web_search_20250305", Some(1))), 1_034 + 3 * million, 4 * 16 + 2 * 128_000),
    ];
    for (shape, input, beyond) in bounded {
        let bound = bound(&shape, &price("claude-opus-5"), &BoundSettings::default()).unwrap();
        assert_eq!(bound.input_tokens_max, input, "{:?}", bound.parts);
        assert_eq!(bound.ask.fixed[Meter::OutputTokens], beyond, "{:?}", bound.parts);
    }
    // …/api/handling-stop-reasons: the loop of the provider's tools ends at an iteration limit without a number.
    for (name, advice) in [
        ("mcp_servers", "connect to the MCP server from the client"),
        ("mcp_toolset", "connect to the MCP server from the client"),
        ("code_execution_20260120", "run the code in the client"),
        ("tool_search_tool_regex_20251119", "`tool_reference` blocks"),
        ("compaction", "`compact_20260112` edit"),
        ("web_search_20260209", "`\"allowed_callers\": [\"direct\"]`"),
        // developers.openai.com/api/docs/pricing: a price for each call of the tool, and no word on how many there are.
        ("web_search_options", "search with a tool of your own"),
        ("a tool of tomorrow", "budget of mode `warn`"),
    ] {
        check_refused(&price("claude-opus-5"), &with(name, None), advice);
    }
    let own = Price::flat(PicoUsdPerToken::new(1), PicoUsdPerToken::new(1));
    check_refused(&own, &compacting(long), "compaction can fill the context window");
}

#[test]
fn what_has_no_bound_is_refused_by_name() {
    let opus = price("claude-opus-5");
    check_refused(&opus, &web_search(None), "`web_search_20250305` without limit");
    let tool = ServerTool { name: "code_execution".to_owned(), max_uses: Some(1), brings: None };
    check_refused(&opus, &Shape { server_tools: vec![tool], ..said("hi") }, "use of `code_execution`");
    check_refused(&price("claude-sonnet-5"), &Shape { fast: true, ..said("hi") }, "`fast` mode");
    let own = Price::flat(PicoUsdPerToken::new(1), PicoUsdPerToken::new(1));
    check_refused(&own, &Shape { documents: 1, ..said("hi") }, "a document can fill the context window");
    let endless = Shape { messages: u64::MAX, ..said("") };
    check_refused(&own, &Shape { text_bytes: u64::MAX, ..endless }, "more than the ledger can count");
}

#[test]
fn what_nobody_knows_is_listed_and_held_at_the_dearest() {
    let shape = Shape { unknown: vec!["turbo".into()], ..said("hi") };
    let bound_of = |shape| bound(shape, &price("claude-opus-5"), &BoundSettings::default()).unwrap();
    assert_eq!(bound_of(&shape).unbounded, ["turbo"]);
    // Fast mode, written for an hour, in a region.
    assert_eq!(bound_of(&shape).input_price.to_string(), "$22.00");
    let sonnet =
        bound(&Shape { long_context: true, ..said("hi") }, &price("claude-sonnet-4-5"), &BoundSettings::default());
    assert_eq!(sonnet.unwrap().unbounded, ["long context"]);
    let odd = bound_of(&Shape { service_tier: Some("gold".into()), ..said("hi") });
    assert_eq!((odd.unbounded, odd.input_price.to_string()), (vec!["service_tier".to_owned()], "$11.00".to_owned()));
}

#[test]
fn a_free_model_costs_nothing_and_counts_its_tokens() {
    let shape = Shape { images: 1, text_bytes: 200_000, ..said("") };
    let bound = bound(&shape, &Price::free(), &BoundSettings::default()).unwrap();
    assert_eq!(bound.ask.charge_at(4_096).unwrap().usd(), NanoUsd::ZERO);
    assert_eq!(bound.input_tokens_max, LOCAL_WINDOW);
}

#[test]
fn a_model_without_a_price_is_bounded_in_tokens_and_is_no_free_model() {
    let unknown = Price::unknown("new-model");
    let fast = Shape { fast: true, ..said("hi") };
    assert_eq!(bound(&fast, &unknown, &BoundSettings::default()).unwrap().input_tokens_max, 2 + 1_024 + 8);
    check_refused(&unknown, &Shape { documents: 1, ..said("hi") }, "the context window of `new-model`");
    let tool = ServerTool { name: "web_search".into(), max_uses: Some(1), brings: None };
    check_refused(&unknown, &Shape { server_tools: vec![tool], ..said("hi") }, "the context window of `new-model`");
}

#[test]
fn what_is_left_of_a_request_without_what_has_no_bound_has_one() {
    let shape = Shape {
        server_tools: vec![ServerTool { name: "code_execution".into(), max_uses: None, brings: None }],
        opaque: vec!["a URL".into()],
        documents: 1,
        fast: true,
        ..said("hi")
    };
    let sonnet = price("claude-sonnet-5");
    assert!(bound(&shape, &sonnet, &BoundSettings::default()).is_err());
    let rest = bound(&shape.without_the_boundless(), &sonnet, &BoundSettings::default()).unwrap();
    assert_eq!(rest.input_tokens_max, 2 + 1_024 + 8);
}

#[track_caller]
fn check_counted(shape: &Shape, counted: Counted, input_tokens: u64) {
    let bound = bound_counted(shape, counted, &price("claude-opus-5"), &BoundSettings::default()).unwrap();
    assert_eq!(bound.input_tokens_max, input_tokens, "{counted:?}");
}

#[test]
fn a_count_tightens_the_bound_and_never_loosens_it() {
    let shape = Shape { images: 1, tools: 1, ..said(&"word ".repeat(10_000)) };
    check_counted(&shape, Counted::Text(10_000), 10_264 + 64 + 4_800);
    check_counted(&shape, Counted::Body(12_000), 12_304);
    check_counted(&shape, Counted::Body(1_000_000), 50_000 + 1_024 + 8 + 64 + 4_800);
    check_counted(&Shape { opaque: vec!["url".into()], ..shape }, Counted::Body(12_000), 1_000_000);
}

#[test]
fn an_image_billed_above_what_it_is_stays_so_when_counted() {
    let shape = Shape { images: 1, ..said("hi") };
    let counted = bound_counted(&shape, Counted::Body(100), &price("gpt-4o-mini"), &BoundSettings::default());
    assert_eq!(counted.unwrap().input_tokens_max, 166 + 48_169);
}

/// A request that a model may get, and the parts of a usage that it may report, as shares of what the bound allows.
fn requests() -> impl Strategy<Value = (usize, Shape, [u64; 5], Extras)> {
    let sizes = (0..3_000_000_u64, 0..40_u64, 0..5_u64, 0..200_000_u64, 1..4_u64);
    let tiers = prop::sample::select(vec![None, Some("default"), Some("flex"), Some("priority"), Some("gold")]);
    let asked = (sizes, 0..3_u8, tiers, any::<bool>(), 0..4_u64, any::<bool>());
    (any::<usize>(), asked, prop::array::uniform5(prop::sample::select(vec![0, 0, 1, 500, 1_000_u64]))).prop_map(
        |(model, asked, shares)| {
            let (sizes, writes, tier, is_regional, searches, points_elsewhere) = asked;
            let (text_bytes, messages, images, max_output, choices) = sizes;
            let writes = [Writes::None, Writes::FiveMinutes, Writes::Hour][usize::from(writes)];
            let service_tier = tier.map(str::to_owned);
            let mut shape = Shape { text_bytes, messages, images, choices, writes, service_tier, ..Shape::default() };
            shape.max_output = Some(max_output);
            shape.regional = Some(is_regional);
            // All that stands elsewhere may be sound, and so may what is read from a cache.
            shape.opaque = if points_elsewhere { vec!["a file".to_owned()] } else { Vec::new() };
            let sound = if points_elsewhere { u64::MAX } else { 0 };
            let extras = Extras {
                service_tier: shape.service_tier.clone(),
                regional: is_regional,
                web_searches: searches,
                audio_input: sound,
                audio_read: sound,
                ..Extras::default()
            };
            (model, shape, shares, extras)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_usage_within_the_bound_costs_more_than_it((model, mut shape, shares, mut extras) in requests()) {
        let prices = PriceBook::shipped().prices();
        let price = &prices[model % prices.len()];
        if price.web_search().is_none() || price.context_window().is_none() {
            extras.web_searches = 0;
        }
        if extras.web_searches > 0 {
            let max_uses = Some(extras.web_searches);
            shape.server_tools.push(ServerTool { name: "web_search".into(), max_uses, brings: None });
        }
        let Ok(bound) = bound(&shape, price, &BoundSettings::default()) else { return Ok(()) };
        let cap = bound.ask.cap_asked;
        let output_max = cap * bound.ask.choices + bound.ask.fixed[Meter::OutputTokens];
        let parts = [shares[0], shares[1], shares[2], shares[3]];
        let whole = parts.iter().sum::<u64>().max(1);
        let [input, read, mut write_5m, mut write_1h] = parts.map(|part| bound.input_tokens_max * part / whole);
        if shape.writes < Writes::FiveMinutes && !price.writes_unasked() { write_5m = 0; }
        if shape.writes < Writes::Hour { write_1h = 0; }
        let usage = Usage {
            input: Some(input),
            cache_read: Some(read),
            cache_write_5m: Some(write_5m),
            cache_write_1h: Some(write_1h),
            output: Some(output_max * shares[4] / 1_000),
            reasoning: None,
        };
        let truth = cost(&usage, &extras, price).unwrap();
        let held = bound.ask.charge_at(cap).unwrap();
        prop_assert!(truth <= held.usd(), "{}: {truth} of {}", price.model(), held.usd());
        prop_assert!(usage.input_total() <= held[Meter::InputTokens]);
        prop_assert!(usage.output.unwrap_or(0) <= held[Meter::OutputTokens]);
    }
}

/// A million tokens of sound cost $1 there and of text $0.3, half as much more each at priority.
#[test]
fn a_file_that_nobody_here_sees_is_held_as_sound() {
    let flash = |shape: &Shape| bound(shape, &price("gemini-2.5-flash"), &BoundSettings::default()).unwrap();
    let file = flash(&Shape { opaque: vec!["a file".into()], ..said("hi") });
    let sound = flash(&Shape { sounds: 1, ..said("hi") });
    assert_eq!(file.input_price, sound.input_price);
    assert!(flash(&said("hi")).input_price < file.input_price);
}

#[test]
fn inputs_that_are_read_one_by_one_have_a_window_each() {
    let said = said(&"a".repeat(100_000));
    check("text-embedding-3-small", &Shape { inputs: 1, max_output: Some(0), ..said.clone() }, 8_191);
    check("text-embedding-3-small", &Shape { inputs: 4, max_output: Some(0), ..said.clone() }, 4 * 8_191);
    check("text-embedding-3-small", &Shape { inputs: 50, max_output: Some(0), ..said }, 100_000 + 1_024 + 8);
}
