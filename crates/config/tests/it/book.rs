//! The page of the book that lists the settings lists them all.

use almoner_config::load;

use crate::{load_toml, sources};

const PAGE: &str = include_str!("../../../../docs/book/src/config.md");

#[test]
fn the_book_has_every_setting_with_its_variable_and_default() {
    let settings = load_toml("").unwrap();
    for setting in settings.origins().iter().filter(|setting| !setting.key.contains('.')) {
        let variable = format!("`ALMONER_{}`", setting.key.to_uppercase());
        let begins = format!("| `{}` |", setting.key);
        let row = PAGE.lines().find(|line| line.starts_with(&begins)).unwrap_or_else(|| panic!("no row {begins}"));
        assert!(row.contains(&variable), "{row}");
        assert!(setting.key == "state" || row.contains(&format!("`{}`", setting.value)), "{row}");
    }
}

#[test]
fn the_book_has_every_key_of_every_table() {
    for table in ["provider", "price", "budget", "route", "pace"] {
        let errors = load_toml(&format!("[[{table}]]\nzzzzzzzzzzzz = 1")).unwrap_err();
        let mut helps = errors.problems().iter().filter_map(|problem| problem.help.clone());
        let help = helps.find(|help| help.starts_with("the keys of")).unwrap();
        let (_, keys) = help.split_once(" are ").unwrap();
        for key in keys.split(", ") {
            assert!(PAGE.lines().any(|line| line.starts_with(&format!("| `{key}` |"))), "no row for {key} of {table}");
        }
    }
}

#[test]
fn the_examples_of_the_book_load() {
    let mut fences = PAGE.split("```");
    let mut count = 0;
    while let (Some(_), Some(block)) = (fences.next(), fences.next()) {
        let (form, text) = block.split_once('\n').unwrap();
        if ["toml", "json", "yaml"].contains(&form) {
            load(&sources(&format!("book.{form}"), text)).unwrap_or_else(|errors| panic!("{errors}"));
            count += 1;
        }
    }
    assert!(count >= 4, "{count} examples");
}
