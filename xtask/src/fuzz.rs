//! `cargo xtask fuzz [TARGET] [--seconds N]`: the fuzz targets, each for as long as one likes.
//!
//! With `cargo-fuzz` installed libFuzzer drives them, on any toolchain: it follows the coverage, keeps what it found
//! worth keeping under `fuzz/corpus`, and goes on from there the next time. Without it the targets get random changes
//! of their seeds, as in the tests, but for longer. No sanitizer is asked for: our code has no `unsafe`.

use std::fs;
use std::process::Command;

use crate::{Outcome, root, run};

const USAGE: &str = "write `cargo xtask fuzz [TARGET] [--seconds N]`";

/// What a target gets where nobody says how much.
const SECONDS: u64 = 60;

/// No input is longer; what needs megabytes has a target that stretches its input.
const LEN_MAX: usize = 16 << 10;

/// More memory than this is a finding: no reader of ours may keep what strangers send without a bound.
const RSS_MB_MAX: usize = 512;

/// Longer than this for one input is a finding, too.
const INPUT_SECONDS_MAX: u64 = 10;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    target: Option<String>,
    seconds: u64,
}

impl Asked {
    fn read(args: &[String]) -> Result<Self, String> {
        let (mut target, mut seconds) = (None, SECONDS);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--seconds" => seconds = args.next().and_then(|number| number.parse().ok()).ok_or(USAGE)?,
                name if name.starts_with('-') || target.is_some() => return Err(USAGE.to_owned()),
                name => target = Some(name.to_owned()),
            }
        }
        Ok(Self { target, seconds })
    }
}

pub(crate) fn run(args: &[String]) -> Outcome {
    let asked = Asked::read(args)?;
    let targets = chosen(targets()?, asked.target.as_deref())?;
    let has_cargo_fuzz = run::program("cargo", &["fuzz", "--version"]).output().is_ok_and(|said| said.status.success());
    let fuzz = if has_cargo_fuzz {
        prepare()?;
        by_coverage
    } else {
        println!("by chance alone; `cargo install cargo-fuzz` brings libFuzzer, which follows the coverage");
        by_chance
    };
    // A finding in one target says nothing about the others, so all of them run.
    let failed: Vec<&str> =
        targets.iter().filter(|target| fuzz(target, asked.seconds).is_err()).map(String::as_str).collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("findings in {}", failed.join(", "))) }
}

/// The targets: each is a file.
fn targets() -> Result<Vec<String>, String> {
    let folder = root().join("fuzz/fuzz_targets");
    let files = fs::read_dir(&folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    let name = |path: std::path::PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = files.flatten().filter_map(|file| name(file.path())).collect();
    names.sort();
    Ok(names)
}

fn chosen(mut targets: Vec<String>, name: Option<&str>) -> Result<Vec<String>, String> {
    let all = targets.join(", ");
    targets.retain(|target| name.is_none_or(|name| name == target));
    if targets.is_empty() { Err(format!("no target has that name; there are {all}")) } else { Ok(targets) }
}

/// Gives libFuzzer the versions that we ship, and the words that it could only guess.
fn prepare() -> Outcome {
    let (lock, own) = (root().join("Cargo.lock"), root().join("fuzz/Cargo.lock"));
    fs::copy(lock, own).map_err(|why| format!("Cargo.lock cannot be copied: {why}"))?;
    let words = campaign(&[], &["words"]).output().map_err(|why| format!("the words cannot be listed: {why}"))?;
    let corpus = root().join("fuzz/corpus");
    fs::create_dir_all(&corpus)
        .and_then(|()| fs::write(corpus.join("words.dict"), words.stdout))
        .map_err(|why| format!("{}: {why}", corpus.display()))
}

/// libFuzzer, from our seeds and what it kept of earlier runs.
fn by_coverage(target: &str, seconds: u64) -> Outcome {
    run::to_end(&mut campaign(&[], &["seeds", target, &format!("fuzz/corpus/{target}")]))?;
    let mut fuzz = run::cargo(&["fuzz", "run", "--sanitizer", "none", target, "--", "-dict=fuzz/corpus/words.dict"]);
    fuzz.args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={LEN_MAX}"),
        format!("-rss_limit_mb={RSS_MB_MAX}"),
        format!("-timeout={INPUT_SECONDS_MAX}"),
        "-print_final_stats=1".to_owned(),
    ]);
    run::to_end(&mut fuzz)
}

/// Random changes of the seeds, with another seed each time it is asked: the seconds themselves.
fn by_chance(target: &str, seconds: u64) -> Outcome {
    let time = seconds.to_string();
    let mut fuzz = campaign(&["--release"], &["run", target, &time, &time]);
    // Optimised, but with every check of arithmetic.
    fuzz.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true").env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true");
    run::to_end(&mut fuzz)
}

/// The example that knows the seeds.
fn campaign(cargo_args: &[&str], args: &[&str]) -> Command {
    let mut command = run::cargo(&["run", "--quiet", "--package", "almoner-fuzzing", "--example", "fuzz"]);
    command.args(cargo_args).arg("--").args(args);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &str) -> Result<Asked, String> {
        Asked::read(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_target_and_a_time_may_be_asked_for() {
        let is = |target: Option<&str>, seconds| Ok(Asked { target: target.map(str::to_owned), seconds });
        assert_eq!(asked(""), is(None, SECONDS));
        assert_eq!(asked("sse"), is(Some("sse"), SECONDS));
        assert_eq!(asked("--seconds 3600"), is(None, 3600));
        assert_eq!(asked("--seconds 9 sse"), is(Some("sse"), 9));
        for bad in ["--seconds", "--seconds x", "--minutes 1", "sse splice"] {
            assert_eq!(asked(bad), Err(USAGE.to_owned()), "{bad}");
        }
    }

    #[test]
    fn a_target_that_is_not_there_is_named_with_those_that_are() {
        let known = || vec!["sse".to_owned(), "splice".to_owned()];
        assert_eq!(chosen(known(), None), Ok(known()));
        assert_eq!(chosen(known(), Some("sse")), Ok(vec!["sse".to_owned()]));
        assert_eq!(chosen(known(), Some("x")), Err("no target has that name; there are sse, splice".to_owned()));
        assert!(targets().is_ok_and(|targets| !targets.is_empty()));
    }
}
