//! The page as Prometheus reads it: by its grammar, by its conventions, and without a series for each session.

use std::collections::{BTreeMap, BTreeSet};

use almoner_api::{Reply, Request};
use almoner_ledger::Who;
use almoner_units::{Budget, Labels};

use crate::operations::Operations;
use crate::tests::{call_with, settings, start};

/// One family of a page.
#[derive(Debug)]
struct Family {
    kind: String,
    /// The samples: the name, the labels as they stand, the value.
    samples: Vec<(String, String, String)>,
}

/// Reads a page, and is strict about it.
#[track_caller]
fn read(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n'));
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let mut helped = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(help.ends_with('.') && help.len() > 10, "help is a sentence: {line}");
            helped = name.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, helped, "the help comes first");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'));
            let family = Family { kind: kind.to_owned(), samples: Vec::new() };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} comes twice");
            current = name.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').map_or((series, ""), |(name, labels)| (name, labels));
            assert!(labels.is_empty() || labels.ends_with('}'), "{line}");
            let family = families.get_mut(&current).unwrap();
            let suffix = name.strip_prefix(&current).unwrap_or_else(|| panic!("{name} stands under {current}"));
            let suffixes: &[&str] = if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.contains(&suffix), "{line}");
            assert!(value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{line}");
            assert!(value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'), "no float came near it: {line}");
            family.samples.push((name.to_owned(), labels.trim_end_matches('}').to_owned(), value.to_owned()));
        }
    }
    families.iter().for_each(|(name, family)| check_family(name, family));
    families
}

#[track_caller]
fn check_family(name: &str, family: &Family) {
    let series: BTreeSet<_> = family.samples.iter().map(|(name, labels, _)| (name, labels)).collect();
    assert_eq!(series.len(), family.samples.len(), "{name} has a series twice");
    assert!(name.starts_with("almoner_") || name.starts_with("process_"), "{name}");
    let is_counter = family.kind == "counter";
    assert_eq!(is_counter, name.ends_with("_total"), "{name} is a {}", family.kind);
    assert!(["counter", "gauge", "histogram"].contains(&family.kind.as_str()), "{name}");
    for word in ["_ms", "_millis", "_nano", "_mb", "_percent", "_kb", "_dollars"] {
        assert!(!name.contains(word), "{name} is in no base unit");
    }
    if family.kind == "histogram" {
        check_histogram(name, family);
    }
}

/// A histogram's buckets rise, and the last has all.
#[track_caller]
fn check_histogram(name: &str, family: &Family) {
    let without_bound = |labels: &str| labels.split("le=").next().unwrap().trim_end_matches(',').to_owned();
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for (sample, labels, value) in &family.samples {
        if sample.ends_with("_bucket") {
            let count: u64 = value.parse().unwrap();
            let before = last.insert(without_bound(labels), count).unwrap_or(0);
            assert!(count >= before, "{name}: {labels}");
        } else if sample.ends_with("_count") {
            assert_eq!(last.get(labels).map(ToString::to_string).as_ref(), Some(value), "{name}");
        }
    }
}

async fn page(operations: &Operations) -> String {
    match operations.run(Request::Metrics).await {
        Reply::Metrics { text } => text,
        other => panic!("{other:?}"),
    }
}

/// The value of a series whose labels hold all of these.
#[track_caller]
fn value(page: &BTreeMap<String, Family>, name: &str, labels: &[&str]) -> String {
    let family = page.get(name).unwrap_or_else(|| panic!("no {name}"));
    let fits = |sample: &&(String, String, String)| labels.iter().all(|label| sample.1.contains(label));
    let found: Vec<_> = family.samples.iter().filter(fits).collect();
    assert_eq!(found.len(), 1, "{name} {labels:?}: {family:?}");
    found[0].2.clone()
}

#[tokio::test]
async fn the_page_follows_the_grammar_and_tells_what_happened() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(&dir);
    let budget = "name = \"each\"\nper = [\"session\"]\nlimit = [\"3 requests\", \"$5 / day\"]";
    settings.budgets = budgets(&dir, budget);
    let server = start(&settings).await;
    for status in [200, 200, 200, 402] {
        assert_eq!(call_with(&server.operations, &[("x-almoner-session", "a")]).await, status);
    }
    // What calls leave in the tray is taken with the next batch.
    let page = read(&page(&server.operations).await);
    assert_eq!(value(&page, "almoner_calls_total", &["provider=\"rehearsal\"", "outcome=\"settled\""]), "3");
    assert_eq!(value(&page, "almoner_refusals_total", &["reason=\"exhausted\"", "budget=\"each\""]), "1");
    assert_eq!(value(&page, "almoner_budget_spent_requests", &["budget=\"each\"", "meter=\"requests\""]), "3");
    assert_eq!(value(&page, "almoner_budget_limit_requests", &["budget=\"each\""]), "3");
    let spent = value(&page, "almoner_budget_spent_usd", &["budget=\"each\""]);
    assert_eq!(value(&page, "almoner_cost_usd_total", &["model=\"rehearsal\""]), spent);
    assert_eq!(value(&page, "almoner_budget_accounts", &["budget=\"each\"", "level=\"critical\""]), "1");
    assert_eq!(value(&page, "almoner_provider_up", &["provider=\"rehearsal\""]), "1");
    assert_eq!(value(&page, "almoner_provider_answers_total", &["status=\"2xx\""]), "3");
    let all = |labels: &[&'static str]| [labels, &["le=\"+Inf\""]].concat();
    let labels = all(&["provider=\"rehearsal\"", "dialect=\"anthropic\""]);
    assert_eq!(value(&page, "almoner_first_byte_seconds", &labels), "3");
    assert_eq!(value(&page, "almoner_added_latency_seconds", &all(&["dialect=\"anthropic\""])), "3");
    for name in ["almoner_overrun_usd_total", "almoner_unbounded_total", "almoner_history_dropped_total"] {
        assert_eq!(value(&page, name, &[]), "0", "{name} should read 0");
    }
    let commits: u64 = value(&page, "almoner_journal_commit_seconds", &["le=\"+Inf\""]).parse().unwrap();
    assert!(commits >= 3, "each call waited for one");
    assert!(value(&page, "almoner_tokens_total", &["kind=\"output\""]).parse::<u64>().unwrap() > 0);
    assert!(page.contains_key("process_resident_memory_bytes") && page.contains_key("process_open_fds"));
    assert_eq!(value(&page, "almoner_build_info", &["version=\"test\""]), "1");
}

/// The budgets of a configuration with this table.
fn budgets(dir: &tempfile::TempDir, table: &str) -> almoner_config::BudgetsFrom {
    let text = format!("[[budget]]\n{table}\n");
    let file = almoner_config::ConfigFile { path: "almoner.toml".into(), text };
    let sources = almoner_config::Sources { file: Some(file), ..almoner_config::Sources::empty(dir.path()) };
    almoner_config::load(&sources).unwrap().budgets
}

#[tokio::test]
async fn ten_thousand_sessions_and_a_hundred_budgets_of_keys_are_no_more_series_than_two() {
    const MANY: usize = 10_000;
    const KEYS: usize = 100;
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(&dir);
    settings.budgets = budgets(&dir, "name = \"each\"\nper = [\"session\"]\nlimit = \"$5 / day\"");
    let server = start(&settings).await;
    let open = |from: usize, to: usize, keys: usize| {
        let filled = server.keeper.operate(move |desk, now| {
            let each = desk.ledger.budgets().find(|budget| budget.name.as_str() == "each").unwrap().clone();
            for number in from..to {
                let session = ("session".parse().unwrap(), format!("session-{number}").parse().unwrap());
                let account = each.account(&[session].into_iter().collect());
                desk.ledger.open(&account, "", now).unwrap();
            }
            for number in from..keys {
                let key = format!("key-{number}");
                let own = Budget {
                    name: format!("key {key}").parse().unwrap(),
                    filter: vec![("key".parse().unwrap(), key.parse().unwrap())],
                    per: Vec::new(),
                    ..each.clone()
                };
                let account = own.account(&Labels::new());
                desk.ledger.set_budget(own, Who("a test".to_owned()), now);
                desk.ledger.open(&account, &key, now).unwrap();
            }
        });
        async move { filled.await.unwrap() }
    };
    open(0, 2, 2).await;
    call_with(&server.operations, &[("x-almoner-session", "session-0")]).await;
    let few = page(&server.operations).await;
    open(2, MANY, KEYS).await;
    let many = page(&server.operations).await;
    let series = |page: &str| read(page).values().map(|family| family.samples.len()).sum::<usize>();
    assert_eq!(series(&many), series(&few));
    let counts = read(&many);
    assert_eq!(value(&counts, "almoner_budget_accounts", &["budget=\"each\"", "level=\"none\""]), MANY.to_string());
    assert_eq!(value(&counts, "almoner_budget_accounts", &["budget=\"(keys)\"", "level=\"none\""]), KEYS.to_string());
    assert!(!many.contains("session-") && !many.contains("key-"), "nobody's name is a label");
}

#[test]
fn what_clients_make_up_is_counted_as_other() {
    use super::{Metrics, OTHER, REASONS_MAX};
    let metrics = Metrics::default();
    (0..REASONS_MAX * 2).for_each(|number| metrics.refused(&number.to_string(), ""));
    let refusals = super::held(&metrics.refusals);
    assert_eq!(refusals.len(), REASONS_MAX + 1);
    assert_eq!(refusals[&(OTHER.to_owned(), String::new())], REASONS_MAX as u64);
}

#[test]
#[should_panic(expected = "is a gauge")]
fn the_check_sees_a_name_against_the_conventions() {
    read("# HELP almoner_calls_total How many calls.\n# TYPE almoner_calls_total gauge\nalmoner_calls_total 1\n");
}

#[test]
#[should_panic(expected = "has a series twice")]
fn the_check_sees_a_series_that_comes_twice() {
    read("# HELP almoner_up Whether it is.\n# TYPE almoner_up gauge\nalmoner_up{a=\"b\"} 1\nalmoner_up{a=\"b\"} 2\n");
}
