//! What the book prints for people to type, typed: every `sh` block of a page, in order, in one shell.

use crate::server::Server;
use crate::world::{Said, World};

const REST: &str = include_str!("../../../../docs/book/src/rest.md");
const BUDGETS: &str = include_str!("../../../../docs/book/src/budgets.md");

/// The budgets that the pages speak of.
const CONFIG: &str = "[[budget]]\nname = \"the house\"\nlimit = \"$100\"\n\
                      [[budget]]\nname = \"each session\"\nlimit = \"1M tokens / day\"\nper = [\"session\"]\n";

/// The shell of a reader who stops at the first thing that does not work. Of an answer without an end (`curl -N`) the
/// first line will do.
const SHELL: &str = r#"
set -eu
almoner() { "$BINARY" "$@"; }
curl() {
  case " $* " in
    *" -N "*)
      mkfifo answer
      command curl -sS --fail-with-body "$@" > answer &
      head -n 1 answer
      kill $! ;;
    *) command curl -sS --fail-with-body "$@"; echo ;;
  esac
}
"#;

/// The blocks of a page that are for a shell.
fn blocks(page: &str) -> Vec<&str> {
    page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// Types these blocks, with the address of this server in the place of the printed one.
#[track_caller]
fn type_in(world: &World, server: &Server, blocks: &[&str]) -> Said {
    let script = format!("{SHELL}{}", blocks.concat()).replace("127.0.0.1:4141", &server.addr.to_string());
    let mut shell = world.command_of("sh", &["-c", &script]);
    shell.env("BINARY", env!("CARGO_BIN_EXE_almoner"));
    let said = Said::by(shell);
    assert_eq!(said.code, Some(0), "{script}\n{}{}", said.out, said.err);
    said
}

#[test]
fn the_page_on_rest_can_be_typed_from_its_first_line_to_its_last() {
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: there is no curl");
        return;
    }
    let world = World::new(CONFIG);
    let server = world.serve();
    let blocks = blocks(REST);
    assert_eq!(blocks.len(), 4, "{blocks:?}");
    let said = type_in(&world, &server, &blocks);
    let house = server.limit("the house");
    assert_eq!((house.amount, house.spent), (20_000_000_000, 36_000_000), "{house:?}");
    assert_eq!(server.limit("each session [session=worker_1]").spent, 12_000);
    assert!(world.ok(&["keys", "show", "ci"]).contains("team=red"));
    let list = world.ok(&["token", "list"]);
    assert!(list.contains("board (viewer): revoked") && list.contains("night (operator): good"), "{list}");
    assert!(said.out.ends_with(": all is well\n"), "{}", said.out);
    server.stop();
}

#[test]
fn what_the_page_on_budgets_changes_can_be_typed() {
    let world = World::new(CONFIG);
    let server = world.serve();
    let change = blocks(BUDGETS)[0];
    let said = type_in(&world, &server, &[change]);
    assert_eq!(change.lines().count(), 6, "{change}");
    assert!(said.out.ends_with("1 account of `each session` begins anew; what is in flight stays held\n"), "{said:?}");
    server.stop();
}
