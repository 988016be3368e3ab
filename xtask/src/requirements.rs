//! The check of docs/requirements.md: its rows are well formed, and what they call done has a test.
//!
//! It reads the page and the sources as text and runs nothing: whether a test passes is another chore's business. A
//! test whose name a macro makes up is not found, and one that is ignored does not count.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const PAGE: &str = "docs/requirements.md";
const COLUMNS: [&str; 5] = ["id", "what", "place", "state", "test"];

/// How many rows are in which state.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Rows whose test exists.
    pub(crate) done: usize,
    /// Rows that an issue brings, by its number.
    pub(crate) to_come: BTreeMap<u32, usize>,
    /// Rows left out on purpose.
    pub(crate) superseded: usize,
}

/// One thing that is wrong with the page, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The line of the page, or 0 where it is none of them.
    line: usize,
    defect: Defect,
}

#[derive(Debug, PartialEq, Eq)]
enum Defect {
    Unreadable(String),
    NoRows,
    Columns(usize),
    Empty(&'static str),
    BadId(String),
    SecondId { id: String, first: usize },
    UnknownState(String),
    Untested(String),
    BadTest(String),
    NoSuchTest(TestPath),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Done,
    ToCome(u32),
    Superseded,
}

#[derive(Debug)]
struct Row {
    line: usize,
    id: String,
    state: State,
    test: Option<TestPath>,
}

/// Where a row says that its test is: package, modules and function.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TestPath {
    package: String,
    modules: Vec<String>,
    name: String,
}

/// A test as it stands in the sources, with every module name it may go by.
#[derive(Debug)]
struct Test {
    package: String,
    modules: BTreeSet<String>,
    name: String,
}

/// Reads the page and the sources under `root`; either how far the requirements are, or everything wrong with the page.
pub(crate) fn check(root: &Path) -> Result<Summary, Vec<Problem>> {
    let page = fs::read_to_string(root.join(PAGE)).map_err(|why| unreadable(PAGE, &why))?;
    let tests = tests_under(root).map_err(|why| unreadable("the sources", &why))?;
    judge(&page, &tests)
}

fn unreadable(what: &str, why: &io::Error) -> Vec<Problem> {
    vec![Problem { line: 0, defect: Defect::Unreadable(format!("{what} cannot be read: {why}")) }]
}

fn judge(page: &str, tests: &[Test]) -> Result<Summary, Vec<Problem>> {
    let (rows, mut problems) = rows(page);
    problems.extend(repeated_ids(&rows));
    problems.extend(rows.iter().filter_map(|row| untrue(row, tests)));
    if rows.is_empty() && problems.is_empty() {
        problems.push(Problem { line: 0, defect: Defect::NoRows });
    }
    problems.sort_by_key(|problem| problem.line);
    if problems.is_empty() { Ok(summary(&rows)) } else { Err(problems) }
}

fn summary(rows: &[Row]) -> Summary {
    let mut summary = Summary::default();
    for row in rows {
        match row.state {
            State::Done => summary.done += 1,
            State::ToCome(issue) => *summary.to_come.entry(issue).or_default() += 1,
            State::Superseded => summary.superseded += 1,
        }
    }
    summary
}

fn repeated_ids(rows: &[Row]) -> Vec<Problem> {
    let mut seen = HashMap::new();
    let repeated = rows.iter().filter_map(|row| {
        let first = *seen.entry(&row.id).or_insert(row.line);
        let defect = Defect::SecondId { id: row.id.clone(), first };
        (first != row.line).then_some(Problem { line: row.line, defect })
    });
    repeated.collect()
}

/// What the row says of its test and the sources do not bear out.
fn untrue(row: &Row, tests: &[Test]) -> Option<Problem> {
    let defect = match &row.test {
        None if row.state == State::Done => Defect::Untested(row.id.clone()),
        Some(path) if !tests.iter().any(|test| path.is(test)) => Defect::NoSuchTest(path.clone()),
        None | Some(_) => return None,
    };
    Some(Problem { line: row.line, defect })
}

// The page.

/// Every line that begins with a pipe is a row, unless it is the head of a table: a mistyped row must not hide.
fn rows(page: &str) -> (Vec<Row>, Vec<Problem>) {
    let mut rows = Vec::new();
    let mut problems = Vec::new();
    for (index, text) in page.lines().enumerate().filter(|(_, text)| text.trim_start().starts_with('|')) {
        let line = index + 1;
        let cells = cells(text);
        if is_head(&cells) {
            continue;
        }
        match row(line, &cells) {
            Ok(row) => rows.push(row),
            Err(defect) => problems.push(Problem { line, defect }),
        }
    }
    (rows, problems)
}

fn is_head(cells: &[String]) -> bool {
    let is_rule = |cell: &String| !cell.is_empty() && cell.chars().all(|c| matches!(c, '-' | ':'));
    cells == COLUMNS || cells.iter().all(is_rule)
}

/// The cells between the pipes; `\|` is a pipe inside a cell.
fn cells(text: &str) -> Vec<String> {
    let text = text.trim();
    let text = text.strip_prefix('|').unwrap_or(text);
    let mut cells = vec![String::new()];
    let mut escaped = false;
    for c in text.strip_suffix('|').unwrap_or(text).chars() {
        let cell = cells.last_mut().expect("there is always a cell");
        match c {
            '|' if escaped => {
                cell.pop();
                cell.push('|');
            }
            '|' => cells.push(String::new()),
            _ => cell.push(c),
        }
        escaped = c == '\\';
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

fn row(line: usize, cells: &[String]) -> Result<Row, Defect> {
    let [id, what, place, state_text, test] = cells else { return Err(Defect::Columns(cells.len())) };
    for (name, cell) in COLUMNS.into_iter().zip([id, what, place, state_text, test]) {
        if cell.is_empty() {
            return Err(Defect::Empty(name));
        }
    }
    if !is_word(id, "-") {
        return Err(Defect::BadId(id.clone()));
    }
    let state = state(state_text).ok_or_else(|| Defect::UnknownState(state_text.clone()))?;
    Ok(Row { line, id: id.clone(), state, test: test_path(test)? })
}

fn state(text: &str) -> Option<State> {
    if text == "done" {
        return Some(State::Done);
    }
    if text.strip_prefix("superseded: ").is_some_and(|reason| !reason.is_empty()) {
        return Some(State::Superseded);
    }
    let issue = text.strip_prefix("to come (#")?.strip_suffix(')')?;
    issue.parse().ok().filter(|number| *number > 0).map(State::ToCome)
}

fn test_path(cell: &str) -> Result<Option<TestPath>, Defect> {
    let text = cell.trim_matches('`');
    if text == "-" {
        return Ok(None);
    }
    let parts: Vec<&str> = text.split("::").collect();
    let [package, modules @ .., name] = parts.as_slice() else { return Err(Defect::BadTest(cell.to_owned())) };
    if !is_word(package, "-") || !modules.iter().chain([name]).all(|part| is_word(part, "")) {
        return Err(Defect::BadTest(cell.to_owned()));
    }
    let modules = modules.iter().map(|&module| module.to_owned()).collect();
    // A path in Rust writes the package's hyphen as an underscore; both mean the same test.
    Ok(Some(TestPath { package: package.replace('_', "-"), modules, name: (*name).to_owned() }))
}

fn is_word(text: &str, also: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || also.contains(c))
}

// The sources.

impl TestPath {
    fn is(&self, test: &Test) -> bool {
        let is_there = |module| test.modules.contains(module);
        self.package == test.package && self.name == test.name && self.modules.iter().all(is_there)
    }
}

/// All tests that there are, for other pages that name some.
pub(crate) struct Tests(Vec<Test>);

impl Tests {
    /// Those of the sources under `root`.
    pub(crate) fn under(root: &Path) -> io::Result<Self> {
        tests_under(root).map(Self)
    }

    /// Whether one of them goes by this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        matches!(test_path(path), Ok(Some(path)) if self.0.iter().any(|test| path.is(test)))
    }
}

/// Every test of every package, in one walk.
fn tests_under(root: &Path) -> io::Result<Vec<Test>> {
    let mut tests = Vec::new();
    for (package, dir) in packages(root)? {
        for file in rust_files(&dir)? {
            let source = fs::read_to_string(&file)?;
            let modules = modules(file.strip_prefix(&dir).unwrap_or(&file), &source);
            let tests_here = test_names(&source).into_iter();
            tests.extend(tests_here.map(|name| Test { package: package.clone(), modules: modules.clone(), name }));
        }
    }
    Ok(tests)
}

/// The packages by name, each with its directory.
fn packages(root: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut packages = vec![("xtask".to_owned(), root.join("xtask"))];
    for entry in fs::read_dir(root.join("crates"))? {
        let dir = entry?.path();
        let name = match dir.file_name().and_then(|name| name.to_str()) {
            Some("cli") => "almoner".to_owned(),
            Some(name) => format!("almoner-{name}"),
            None => continue,
        };
        if dir.is_dir() {
            packages.push((name, dir));
        }
    }
    Ok(packages)
}

fn rust_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

/// The names by which a path may reach into this file: its directories, its stem and the modules written inside it.
fn modules(file: &Path, source: &str) -> BTreeSet<String> {
    let stemmed = file.with_extension("");
    let outside = stemmed.iter().filter_map(|part| part.to_str()).map(str::to_owned);
    let inside = source.lines().filter_map(|line| {
        let (before, after) = line.trim().strip_suffix('{')?.split_once("mod ")?;
        (before.is_empty() || before.starts_with("pub")).then(|| after.trim().to_owned())
    });
    outside.chain(inside).collect()
}

/// The functions that stand below a test attribute and are not ignored.
fn test_names(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut attributes = Vec::new();
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[") {
            attributes.push(line);
        } else if let Some(name) = function_name(line) {
            if is_live_test(&attributes) {
                names.push(name.to_owned());
            }
            attributes.clear();
        }
    }
    names
}

fn is_live_test(attributes: &[&str]) -> bool {
    let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    attributes.iter().any(is_test) && !attributes.iter().any(|line| line.starts_with("#[ignore"))
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let name = after.split_once('(')?.0;
    (matches!(before, "" | "async " | "pub " | "pub async ") && is_word(name, "")).then_some(name)
}

// What people read.

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to_come: usize = self.to_come.values().sum();
        let all = self.done + to_come + self.superseded;
        write!(f, "{all} requirements: {} done, {to_come} to come", self.done)?;
        if to_come > 0 {
            let by_issue: Vec<String> = self.to_come.iter().map(|(issue, n)| format!("#{issue}: {n}")).collect();
            write!(f, " ({})", by_issue.join(", "))?;
        }
        write!(f, ", {} superseded", self.superseded)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.defect),
            line => write!(f, "{PAGE}:{line}: {}", self.defect),
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "{why}"),
            Self::NoRows => write!(f, "{PAGE} has no rows; a row is `| {} |`", COLUMNS.join(" | ")),
            Self::Columns(count) => {
                write!(f, "{count} cells where a row has {}: {}", COLUMNS.len(), COLUMNS.join(", "))
            }
            Self::Empty(column) => write!(f, "the cell `{column}` is empty"),
            Self::BadId(id) => write!(f, "`{id}` is no id; write letters, digits, `-` and `_`, like R1-001"),
            Self::SecondId { id, first } => {
                write!(f, "`{id}` is the id of line {first} already; give this row its own")
            }
            Self::UnknownState(state) => {
                write!(f, "`{state}` is no state; write `done`, `to come (#N)` or `superseded: REASON`")
            }
            Self::Untested(id) => write!(f, "`{id}` is done but names no test; name one, or write `to come (#N)`"),
            Self::BadTest(test) => write!(f, "`{test}` is no test path; write PACKAGE::MODULE::FUNCTION, or `-`"),
            Self::NoSuchTest(path) => write!(f, "no test `{path}` is run; name one that is"),
        }
    }
}

impl fmt::Display for TestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::", self.package)?;
        self.modules.iter().try_for_each(|module| write!(f, "{module}::"))?;
        write!(f, "{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "# Title\n\n| id | what | place | state | test |\n|---|---|---|---|---|\n";
    /// How many lines stand above the first row.
    const ABOVE: usize = 4;

    fn known(file: &str, source: &str) -> Vec<Test> {
        let modules = modules(Path::new(file), source);
        let test = |name| Test { package: "almoner-ledger".to_owned(), modules: modules.clone(), name };
        test_names(source).into_iter().map(test).collect()
    }

    /// Checks rows against a package with one test and compares what is said, with lines counted from the first row.
    fn check_rows(rows: &str, said: &str) {
        let tests = known("src/account.rs", "mod tests {\n#[test]\nfn it_counts() {}\n}");
        let answer = match judge(&format!("{HEAD}{rows}"), &tests) {
            Ok(summary) => summary.to_string(),
            Err(problems) => {
                let say = |p: &Problem| format!("{}: {}", p.line.saturating_sub(ABOVE), p.defect);
                problems.iter().map(say).collect::<Vec<_>>().join("\n")
            }
        };
        assert_eq!(answer, said);
    }

    #[test]
    fn rows_are_counted_by_state() {
        check_rows(
            "| R1-001 | a | b | done | `almoner-ledger::account::tests::it_counts` |\n\
             | R1-002 | a | b | to come (#3) | - |\n\
             | 8_RISKS-REQ-031 | a | b | to come (#2) | - |\n\
             \n### Another table\n\n| id | what | place | state | test |\n|---|:-:|---|---|---|\n\
             | R2-001 | a | b | superseded: for a reason | - |\n\
             | R2-002 | a | b | to come (#3) | - |\n",
            "5 requirements: 1 done, 3 to come (#2: 1, #3: 2), 1 superseded",
        );
    }

    #[test]
    fn a_done_row_needs_a_test_that_is_there() {
        check_rows(
            "| R1-001 | a | b | done | - |\n\
             | R1-002 | a | b | done | almoner-ledger::account::tests::it_sings |\n\
             | R1-003 | a | b | done | almoner-ledger::window::tests::it_counts |\n\
             | R1-004 | a | b | done | almoner::account::tests::it_counts |\n\
             | R1-005 | a | b | done | almoner_ledger::it_counts |\n",
            "1: `R1-001` is done but names no test; name one, or write `to come (#N)`\n\
             2: no test `almoner-ledger::account::tests::it_sings` is run; name one that is\n\
             3: no test `almoner-ledger::window::tests::it_counts` is run; name one that is\n\
             4: no test `almoner::account::tests::it_counts` is run; name one that is",
        );
    }

    #[test]
    fn a_test_that_is_named_early_must_exist_too() {
        check_rows(
            "| R1-001 | a | b | superseded: why | almoner-ledger::gone |\n",
            "1: no test `almoner-ledger::gone` is run; name one that is",
        );
    }

    #[test]
    fn an_id_stands_once() {
        check_rows(
            "| R1-001 | a | b | to come (#2) | - |\n| R1-001 | c | d | to come (#2) | - |\n",
            "2: `R1-001` is the id of line 5 already; give this row its own",
        );
    }

    #[test]
    fn a_state_is_one_of_three() {
        for state in ["Done", "to come", "to come (#0)", "to come (#two)", "superseded", "superseded:", "done (#2)"] {
            check_rows(
                &format!("| R1-001 | a | b | {state} | - |\n"),
                &format!("1: `{state}` is no state; write `done`, `to come (#N)` or `superseded: REASON`"),
            );
        }
    }

    #[test]
    fn a_malformed_row_is_not_passed_over() {
        check_rows(
            "| R1-001 | a | b | done |\n| R1 002 | a | b | done | - |\n| R1-003 | | b | done | - |\n\
             | R1-004 | a | b | done | some words |\n| R1-005 | a | b | done | it_counts |\n",
            "1: 4 cells where a row has 5: id, what, place, state, test\n\
             2: `R1 002` is no id; write letters, digits, `-` and `_`, like R1-001\n\
             3: the cell `what` is empty\n\
             4: `some words` is no test path; write PACKAGE::MODULE::FUNCTION, or `-`\n\
             5: `it_counts` is no test path; write PACKAGE::MODULE::FUNCTION, or `-`",
        );
    }

    #[test]
    fn a_page_without_rows_is_no_success() {
        check_rows("", "0: docs/requirements.md has no rows; a row is `| id | what | place | state | test |`");
    }

    #[test]
    fn an_escaped_pipe_stays_in_its_cell() {
        assert_eq!(cells(r"| a \| b | `c\d` | |"), ["a | b", r"`c\d`", ""]);
    }

    #[test]
    fn only_a_live_test_counts() {
        let source = "#[test]\nfn plain() {}\n\
                      #[tokio::test(start_paused = true)]\n#[allow(unused)]\n/// Why.\nasync fn waiting() {}\n\
                      proptest! {\n    #[test]\n    fn any(x in 0..9u8) {}\n}\n\
                      #[test]\n#[ignore = \"slow\"]\nfn after() {}\n#[ignore]\n#[test]\nfn before() {}\n\
                      // #[test]\nfn helper() {}\n#[test]\n// fn gone() {}\n";
        assert_eq!(test_names(source), ["plain", "waiting", "any"]);
    }

    #[test]
    fn a_path_goes_through_files_and_inline_modules() {
        let found = modules(Path::new("src/window/ring.rs"), "mod tests {\npub(crate) mod wide {\nmod elsewhere;\n");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["ring", "src", "tests", "wide", "window"]);
    }

    #[test]
    fn the_page_of_this_repository_holds() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        if let Err(problems) = check(&root) {
            let said: Vec<String> = problems.iter().map(Problem::to_string).collect();
            panic!("{}", said.join("\n"));
        }
    }

    #[test]
    fn a_missing_page_is_said_so() {
        let said = check(Path::new("no/such/place")).unwrap_err()[0].to_string();
        assert!(said.starts_with("docs/requirements.md cannot be read: "), "{said}");
    }
}
