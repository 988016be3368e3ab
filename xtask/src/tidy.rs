//! `cargo xtask tidy`: what is true of the repository's text, file by file.
//!
//! It reads the files that git knows, and judges each as a path and a text, so that its own tests need no files. What
//! the compiler, clippy and rustfmt see is left to them.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::{Outcome, list, root, run};

const LINE_MAX: usize = 120;
const DECISIONS: &str = "docs/decisions";
const MAP: &str = "ARCHITECTURE.md";
const REASONS: &str = "docs/decisions/0002-dependencies.md";

/// One thing that is wrong, and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    path: String,
    /// The line, or 0 where it is none of them.
    line: usize,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// A text file by its path in the repository.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is(&self, extensions: &[&str]) -> bool {
        let extension = Path::new(&self.path).extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| extensions.contains(&extension))
    }

    fn problem(&self, line: usize, what: impl Into<String>) -> Problem {
        Problem { path: self.path.clone(), line, what: what.into() }
    }
}

pub(crate) fn run(_: &[String]) -> Outcome {
    let problems = check(&root()).map_err(|why| format!("the files cannot be listed: {why}"))?;
    if problems.is_empty() { Ok(()) } else { Err(list(&problems)) }
}

fn check(root: &Path) -> io::Result<Vec<Problem>> {
    let paths = paths()?;
    let mut problems = Vec::new();
    for path in &paths {
        // A file that is not text is somebody else's business; one that is gone is about to be committed as gone.
        let Ok(text) = fs::read_to_string(root.join(path)) else { continue };
        problems.extend(judge(&File { path: path.clone(), text }, &paths));
    }
    problems.extend(decisions(&paths, &fs::read_to_string(root.join(DECISIONS).join("README.md"))?));
    problems.extend(map(&paths, &fs::read_to_string(root.join(MAP))?));
    let (manifest, reasons) = (fs::read_to_string(root.join("Cargo.toml"))?, fs::read_to_string(root.join(REASONS))?);
    problems.extend(unreasoned(&manifest, &reasons));
    problems.sort();
    Ok(problems)
}

/// The files of the repository: tracked, or about to be.
fn paths() -> io::Result<BTreeSet<String>> {
    let listed = run::program("git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).output()?;
    if !listed.status.success() {
        return Err(io::Error::other("git knows no repository here"));
    }
    let listed = String::from_utf8_lossy(&listed.stdout);
    Ok(listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

fn judge(file: &File, paths: &BTreeSet<String>) -> Vec<Problem> {
    let mut problems = places(file);
    if file.is(&["rs", "md", "toml", "sh", "sql", "yml", "yaml"]) || file.path.starts_with(".ci/") {
        problems.extend(blanks(file));
    }
    if file.is(&["rs"]) {
        problems.extend(code(file));
    }
    if file.is(&["md"]) {
        problems.extend(links(file, paths));
    }
    problems
}

/// Blanks that nobody sees.
fn blanks(file: &File) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        if line.contains('\t') {
            problems.push(file.problem(at + 1, "a tab; write spaces, or \\t inside a string"));
        }
        if line.ends_with(char::is_whitespace) {
            problems.push(file.problem(at + 1, "white space at the end of the line"));
        }
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        problems.push(file.problem(file.text.lines().count(), "the last line does not end"));
    }
    problems
}

/// What rustfmt leaves alone: long comments, and promises to write code later. Where it leaves code long, a text stands
/// in it that is told to the user in one piece.
fn code(file: &File) -> Vec<Problem> {
    // Put together here, so that this file does not find itself.
    let later = [concat!("to", "do!("), concat!("unimple", "mented!(")];
    let mut problems = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        let length = line.chars().count();
        if length > LINE_MAX && line.trim_start().starts_with("//") {
            problems.push(file.problem(at + 1, format!("{length} characters; a line has at most {LINE_MAX}")));
        }
        if let Some(word) = later.iter().find(|word| line.contains(*word)) {
            problems.push(file.problem(at + 1, format!("`{word}`: write it, or an issue")));
        }
    }
    problems
}

/// Directories of one person's machine, and the addresses of package registries, which lock files pick up.
fn places(file: &File) -> Vec<Problem> {
    let homes = [concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/ro", "ot/"), concat!("/wo", "rk/")];
    let invented = concat!("/ho", "me/me/");
    let hosts = [
        concat!("registry.npm", "js.org"),
        concat!("files.python", "hosted.org"),
        concat!("py", "pi.org"),
        concat!("index.crates", ".io"),
        concat!("static.crates", ".io"),
        concat!("proxy.go", "lang.org"),
    ];
    let mut problems = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        for home in homes {
            let is_path = |(start, _): (usize, &str)| {
                let is_rooted = !line[..start].ends_with(|c: char| c.is_alphanumeric() || "._-*}>".contains(c));
                is_rooted && !line[start..].starts_with(invented)
            };
            if line.match_indices(home).any(is_path) {
                problems.push(file.problem(at + 1, format!("`{home}` is a directory of one machine")));
            }
        }
        if let Some(host) = hosts.iter().find(|host| line.contains(*host)) {
            problems
                .push(file.problem(at + 1, format!("`{host}`: a registry is named in nobody's file but their own")));
        }
    }
    problems
}

/// Links in Markdown that lead to no file of the repository.
fn links(file: &File, paths: &BTreeSet<String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut in_code = false;
    for (at, line) in file.text.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        if in_code {
            continue;
        }
        for target in targets(line) {
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains(':') {
                continue;
            }
            let path = beside(&file.path, target);
            let is_dir = || paths.iter().any(|known| known.starts_with(&format!("{path}/")));
            if !paths.contains(&path) && !is_dir() {
                problems.push(file.problem(at + 1, format!("the link `{target}` leads to `{path}`, which is no file")));
            }
        }
    }
    problems
}

/// What the links of a line lead to: `[text](target)`, outside of code.
fn targets(line: &str) -> Vec<&str> {
    let prose = line.split('`').step_by(2);
    prose.flat_map(|part| part.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())).collect()
}

/// The path of `target`, as it is written in the file at `from`.
fn beside(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Every decision page has a number of its own, `0007-a-few-words.md`, and stands in the list.
fn decisions(paths: &BTreeSet<String>, listed: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut numbers = BTreeSet::new();
    for path in paths.iter().filter(|path| path.starts_with(DECISIONS)) {
        let name = path.rsplit('/').next().unwrap_or_default();
        if name == "README.md" {
            continue;
        }
        let mut problem = |what: String| problems.push(Problem { path: path.clone(), line: 0, what });
        match name.split_once('-') {
            Some((number, _)) if number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit()) => {
                if !numbers.insert(number.to_owned()) {
                    problem(format!("{number} is the number of another page"));
                }
            }
            _ => problem("a decision is named by four digits and a few words: 0007-a-few-words.md".to_owned()),
        }
        if !listed.contains(&format!("({name})")) {
            problem(format!("{DECISIONS}/README.md does not list it"));
        }
    }
    problems
}

/// The map names every crate that there is.
fn map(paths: &BTreeSet<String>, map: &str) -> Vec<Problem> {
    let manifests = paths.iter().filter_map(|path| path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml"));
    let missing = manifests.filter(|name| !map.contains(&format!("`{name}`")));
    missing.map(|name| Problem { path: MAP.to_owned(), line: 0, what: format!("says nothing of `{name}`") }).collect()
}

/// Every dependency from outside has its reason written down.
fn unreasoned(manifest: &str, reasons: &str) -> Vec<Problem> {
    let table = manifest.split("[workspace.dependencies]").nth(1).and_then(|rest| rest.split("\n[").next());
    let names = table.into_iter().flat_map(str::lines).filter_map(|line| Some(line.split_once('=')?.0.trim()));
    let theirs = names.filter(|name| !name.starts_with("almoner-") && !name.starts_with('#'));
    let missing = theirs.filter(|name| !reasons.contains(&format!("| `{name}` |")));
    missing
        .map(|name| Problem { path: REASONS.to_owned(), line: 0, what: format!("gives no reason for `{name}`") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_this_repository_is_tidy() {
        let problems = check(&root()).unwrap();
        assert!(problems.is_empty(), "{}", list(&problems));
    }

    fn known(paths: &[&str]) -> BTreeSet<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    /// Judges one file among a few others; `said` begins each line with the number of the line.
    #[track_caller]
    fn check_file(path: &str, text: &str, said: &[&str]) {
        let paths = known(&["README.md", "docs/a.md", "docs/decisions/0001-one.md", "crates/ledger/src/lib.rs"]);
        let problems = judge(&File { path: path.to_owned(), text: text.to_owned() }, &paths);
        let found: Vec<String> = problems.iter().map(|problem| format!("{}: {}", problem.line, problem.what)).collect();
        assert_eq!(found.len(), said.len(), "{found:?}");
        for (found, said) in found.iter().zip(said) {
            assert!(found.starts_with(said), "{found}");
        }
    }

    #[test]
    fn blanks_that_nobody_sees_are_found() {
        check_file("a.rs", "fn a() {}\n", &[]);
        check_file("a.rs", "fn a() {} \n\n\tb\nc", &["1: white space", "3: a tab", "4: the last line"]);
        check_file("notes.json", "{\t} \n", &[]);
    }

    #[test]
    fn a_comment_ends_at_the_margin() {
        let long = "x".repeat(LINE_MAX + 1);
        check_file("a.rs", &format!("{}\n", &long[1..]), &[]);
        check_file("a.rs", &format!("// {long}\n"), &["1: 124 characters"]);
        check_file("a.rs", &format!("    /// {long}\n"), &["1: 129 characters"]);
        check_file("a.rs", &format!("say(\"{long}\");\n"), &[]);
        check_file("a.md", &format!("{long}\n"), &[]);
    }

    #[test]
    fn code_is_written_or_not_there() {
        check_file("a.rs", concat!("fn a() { to", "do!() }\n"), &["1: `to"]);
    }

    #[test]
    fn no_machine_is_named() {
        check_file("a.toml", concat!("a = \"/ho", "me/ann/x\"\n"), &["1: `/ho"]);
        check_file("a.json", concat!("\"file:///wo", "rk/x\"\n"), &["1: `/wo"]);
        check_file("a.md", concat!("`/ho", "me/me/state` is nobody's, and src/wo", "rk/x is in here\n"), &[]);
        check_file("package-lock.json", concat!("https://registry.npm", "js.org/x\n"), &["1: `registry"]);
    }

    #[test]
    fn a_link_leads_to_a_file() {
        check_file("docs/b.md", "[a](a.md), [r](../README.md#top), [d](decisions/), [w](https://x.y), [h](#h)\n", &[]);
        check_file("docs/b.md", "[a](b/a.md) and `[c](d)`\n", &["1: the link `b/a.md` leads to `docs/b/a.md`"]);
        check_file("docs/b.md", "```\n[a](nowhere)\n```\n[a](nowhere)\n", &["4: the link"]);
    }

    #[test]
    fn a_decision_is_numbered_and_listed() {
        let paths = known(&["docs/decisions/0001-one.md", "docs/decisions/0001-two.md", "docs/decisions/three.md"]);
        let said: Vec<String> = decisions(&paths, "[one](0001-one.md)").iter().map(|p| p.what.clone()).collect();
        let unlisted = "docs/decisions/README.md does not list it";
        let unnamed = "a decision is named by four digits and a few words: 0007-a-few-words.md";
        assert_eq!(said, ["0001 is the number of another page", unlisted, unnamed, unlisted]);
    }

    #[test]
    fn the_page_on_ninety_percent_weighs_the_marks_beside_it() {
        let page = fs::read_to_string(root().join(DECISIONS).join("0006-ninety-percent.md")).unwrap();
        for words in ["8_RISKS-REQ-031", "**Not 80 %.**", "**Not 95 %.**", "**So 90 %:**"] {
            assert!(page.contains(words), "{words}");
        }
    }

    #[test]
    fn the_book_says_what_each_priority_is_for() {
        let page = fs::read_to_string(root().join("docs/book/src/budgets.md")).unwrap();
        for row in [
            "| critical | production incidents, security issues |",
            "| high | important features, urgent bugs |",
            "| normal | standard development work |",
            "| low | documentation, research, cleanup |",
        ] {
            assert!(page.lines().any(|line| line == row), "{row}");
        }
    }

    #[test]
    fn every_crate_is_held_to_document_what_it_offers() {
        let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
        let (_, lints) = workspace.split_once("[workspace.lints.rust]").unwrap();
        assert!(lints.split("\n[").next().unwrap().contains("\nmissing_docs = "));
        for path in paths().unwrap().iter().filter(|path| path.starts_with("crates/") && path.ends_with("/Cargo.toml"))
        {
            let manifest = fs::read_to_string(root().join(path)).unwrap();
            assert!(manifest.contains("[lints]\nworkspace = true\n"), "{path}");
        }
    }

    #[test]
    fn a_dependency_has_a_reason() {
        let manifest =
            "[workspace.dependencies]\nalmoner-units = { path = \"x\" }\n# why\nserde = \"1\"\ntoml = \"1\"\n\n[x]\n";
        let said: Vec<String> =
            unreasoned(manifest, "| `serde` | wire types |").iter().map(Problem::to_string).collect();
        assert_eq!(said, ["docs/decisions/0002-dependencies.md: gives no reason for `toml`"]);
    }

    #[test]
    fn the_map_names_every_crate() {
        let paths = known(&["crates/ledger/Cargo.toml", "crates/units/Cargo.toml"]);
        assert_eq!(map(&paths, "`units` and more")[0].what, "says nothing of `ledger`");
    }
}
