//! What stands in the way of a start, and is told so that a person knows what to do.

use std::path::Path;

use crate::world::World;

const TEAM: &str = "[[budget]]\nname = \"team\"\nlimit = \"$1\"\n";

/// The complaint of a server that does not start.
#[track_caller]
fn refuses(world: &World) -> String {
    world.fails(&["serve"])
}

#[test]
fn a_second_server_on_the_same_state_is_told_the_process_of_the_first() {
    let world = World::new("");
    let server = world.serve();
    let complaint = refuses(&world);
    assert!(complaint.contains(&format!("process {} has the ledger", server.pid())), "{complaint}");
    // So is whoever would check or mend the ledger under its feet.
    assert!(world.fails(&["ledger", "verify"]).contains(&format!("process {}", server.pid())));
    assert!(world.fails(&["ledger", "repair", "--charge-gap"]).contains(&format!("process {}", server.pid())));
    // The first goes on.
    assert!(world.ok(&["status"]).contains(&format!("pid {}", server.pid())));
    server.stop();
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let world = World::new("");
    let complaint = world.fails(&["serve", "--listen", &addr]);
    assert!(complaint.contains(&addr) && complaint.contains("--listen"), "{complaint}");
}

#[test]
fn a_start_that_fails_leaves_nothing_behind() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let world = World::new("");
    for args in [&["serve"][..], &["exec", "--", "true"]] {
        let fails = || {
            let mut command = world.command(args);
            command.env("ALMONER_LISTEN", &addr);
            let said = crate::world::Said::by(command);
            assert!(said.code == Some(1) && said.err.contains(&format!("cannot listen on {addr}")), "{said:?}");
        };
        fails();
        assert!(!world.state().exists(), "{args:?}");
        // A folder that somebody made for it stays, as empty as it was.
        std::fs::create_dir(world.state()).unwrap();
        fails();
        std::fs::remove_dir(world.state()).unwrap();
    }
    // A folder in which no socket can be is none for a server.
    let deep = world.path(&"d".repeat(120)).display().to_string();
    let complaint = world.fails(&["serve", "--state", &deep]);
    assert!(complaint.contains("cannot use the state folder") && complaint.contains("--state"), "{complaint}");
    assert!(!std::path::Path::new(&deep).exists());
}

#[test]
fn a_state_folder_that_cannot_be_one_is_refused_and_left_as_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new("");
    std::fs::write(world.path("state"), "a file").unwrap();
    let complaint = refuses(&world);
    assert!(complaint.contains("state") && complaint.contains("--state"), "{complaint}");
    assert_eq!(std::fs::read_to_string(world.path("state")).unwrap(), "a file");

    // Somebody else's folder keeps its mode and its files.
    std::fs::remove_file(world.path("state")).unwrap();
    std::fs::create_dir(world.path("state")).unwrap();
    std::fs::set_permissions(world.path("state"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(world.path("state/letter.txt"), "Dear all").unwrap();
    let complaint = refuses(&world);
    assert!(complaint.contains("letter.txt") && complaint.contains("--state"), "{complaint}");
    assert_eq!(mode(&world.path("state")), 0o755);
    assert_eq!(std::fs::read_dir(world.path("state")).unwrap().count(), 1);

    // So does a database that is no ledger.
    std::fs::remove_file(world.path("state/letter.txt")).unwrap();
    let foreign = rusqlite::Connection::open(world.path("state/ledger.db")).unwrap();
    foreign.execute_batch("CREATE TABLE songs (name TEXT); INSERT INTO songs VALUES ('one');").unwrap();
    drop(foreign);
    let complaint = refuses(&world);
    assert!(complaint.contains("is no ledger of Almoner, so it was left alone"), "{complaint}");
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn only_the_owner_can_look_into_the_state() {
    let world = World::new("");
    let server = world.serve();
    assert_eq!(mode(&world.state()), 0o700);
    assert_eq!(mode(&world.path("state/control.sock")), 0o600);
    for file in ["ledger.db", "history.db"] {
        assert_eq!(mode(&world.path("state").join(file)), 0o600, "{file}");
    }
    server.stop();
    assert!(!world.path("state/control.sock").exists(), "the socket goes with the server");
}

#[test]
fn a_damaged_ledger_enforces_nothing_until_it_is_repaired() {
    let world = World::new(TEAM);
    let server = world.serve();
    for _ in 0..3 {
        world.ok(&["usage", "add", "--cost", "$0.10", "--reason", "before the damage"]);
    }
    server.stop();
    assert!(world.ok(&["ledger", "verify"]).starts_with("sound: "));
    flip(&world.path("state/ledger.db"), b"before the damage");

    let complaint = refuses(&world);
    assert!(
        complaint.contains("is damaged") && complaint.contains("almoner ledger repair --charge-gap"),
        "{complaint}"
    );
    let found = world.fails(&["ledger", "verify"]);
    assert!(found.contains("ledger.db"), "{found}");
    assert!(refuses(&world).contains("is damaged"), "looking at it mends nothing");

    let told = world.ok(&["ledger", "repair", "--charge-gap"]);
    assert!(told.starts_with("kept "), "{told}");
    assert_eq!(world.json(&["ledger", "verify"])["sound"], true);
    let server = world.serve();
    // What was lost counts as spent, so that no budget is overrun by the damage.
    let limit = server.limit("team");
    assert_eq!(limit.left, 0, "{limit:?}");
    server.stop();
}

#[test]
fn a_folder_without_a_ledger_is_told_as_such_and_left_empty() {
    let world = World::new("");
    for command in [&["ledger", "verify"][..], &["ledger", "repair", "--charge-gap"]] {
        let complaint = world.fails(command);
        assert!(complaint.contains("there is no ledger in") && complaint.contains("--state"), "{complaint}");
    }
    assert!(!world.state().exists());
}

/// Flips a bit of the first place with these bytes.
fn flip(file: &Path, bytes: &[u8]) {
    let mut content = std::fs::read(file).unwrap();
    let at = content.windows(bytes.len()).position(|window| window == bytes).expect("the bytes are in the file");
    content[at] ^= 1;
    std::fs::write(file, content).unwrap();
}

#[test]
fn a_mistake_in_the_configuration_is_shown_at_its_place() {
    let world = World::new("");
    let table = [
        ("max_output = \"many\"\n", "almoner.toml:1:14"),
        ("[[budget]]\nname = \"x\"\nlimit = \"$5 / fortnight\"\n", "almoner.toml:3:"),
        ("[[budget]]\nname = \"x\"\nlimit = \"$0\"\n", "almoner.toml:3:"),
        ("[[budget]]\nname = \"x\"\nlimit = \"$-1\"\n", "almoner.toml:3:"),
        ("[[budget]]\nname = \"x\"\nlimit = \"$1 / day in Atlantis\"\n", "almoner.toml:3:"),
        ("[[budget]]\nname = \"x\"\nlimit = \"$1\"\n[[budget]]\nname = \"x\"\nlimit = \"$2\"\n", "almoner.toml:5:"),
        ("listen = \"localhost:4142\"\n", "did you mean `127.0.0.1:4142`?"),
        ("[[budgte]]\n", "`budget`"),
        ("port = 4141\n", "did you mean `listen`?"),
        ("[[budget]]\nname = \"x\"\nlimit = \"$1\"\nmode = \"stop\"\n", "did you mean `stop-new`?"),
        ("[budget]\nname = \"x\"\nlimit = \"$1\"\n", "write [[budget]] in TOML"),
        ("[[budget]]\nname = \"x\"\nlimit = \"5 dollars a day\"\n", "did you mean `$5.00 / day`?"),
        ("[[budget]]\nname = \"x\"\nlimit = \"100k/h\"\n", "did you mean `100k tokens / hour`?"),
        ("listen = \n", "almoner.toml:1:"),
        ("[[provider]]\nname = \"x\"\ndialects = [\"anthropic\"]\nbase_url = \"http://127.0.0.1:4141\"\n", ":4:12"),
    ];
    for (config, place) in table {
        world.configure(config);
        let mut serve = world.command(&["serve"]);
        serve.env("ALMONER_LISTEN", "127.0.0.1:4141");
        let said = crate::world::Said::by(serve);
        assert_eq!(said.code, Some(1), "{config}: {said:?}");
        assert!(said.err.contains(place), "{config}: {}", said.err);
        assert!(!world.state().exists(), "nothing is touched before the configuration is understood");
    }
}
