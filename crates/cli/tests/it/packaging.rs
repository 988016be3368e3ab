//! What goes with the program: completions that their shells can read, manual pages, a unit for systemd, an image.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::world::World;

fn contrib(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../contrib").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// Whether a shell can read this; `None` where the shell is not there.
fn can_read(shell: &str, text: &str, world: &World) -> Option<bool> {
    let file = world.path("completions");
    std::fs::write(&file, text).unwrap();
    let read = Command::new(shell).arg("-n").arg(file).stdin(Stdio::null()).stderr(Stdio::null()).status();
    read.ok().map(|status| status.success())
}

#[test]
fn completions_name_every_command_and_their_shell_can_read_them() {
    let world = World::new("");
    for shell in ["bash", "zsh", "fish"] {
        let text = world.ok(&["completions", shell]);
        for word in ["reload", "metrics", "budgets", "require-key", "completions"] {
            assert!(text.contains(word), "{shell} does not know `{word}`");
        }
        match can_read(shell, &text, &world) {
            Some(reads) => assert!(reads, "{shell} cannot read it"),
            None => println!("no {shell} is here to read its completions"),
        }
    }
    assert_eq!(can_read("bash", "if then", &world), Some(false), "the check can fail");
    assert_eq!(world.run(&["completions", "csh"]).code, Some(2));
}

#[test]
fn every_command_has_a_manual_page() {
    let world = World::new("");
    let page = world.ok(&["man"]);
    assert!(page.contains(".TH almoner 1") && page.contains("almoner\\-reload"), "{page}");
    let folder = world.path("man");
    world.ok(&["man", "--out", folder.to_str().unwrap()]);
    for name in ["almoner.1", "almoner-serve.1", "almoner-budgets-set.1", "almoner-keys-create.1", "almoner-reload.1"] {
        let page = std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.contains(".SH SYNOPSIS") && page.contains(".SH OPTIONS"), "{name}: {page}");
    }
}

#[test]
fn the_unit_is_hardened_and_says_what_the_program_knows() {
    let unit = contrib("almoner.service");
    let setting = |key: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {key}")).to_owned()
    };
    for key in ["NoNewPrivileges", "PrivateTmp", "PrivateDevices", "MemoryDenyWriteExecute", "RestrictNamespaces"] {
        assert_eq!(setting(key), "true");
    }
    assert_eq!((setting("ProtectSystem").as_str(), setting("CapabilityBoundingSet").as_str()), ("strict", ""));
    // Longer than a drain may take, or systemd would kill what still runs.
    assert!(setting("TimeoutStopSec").parse::<u64>().unwrap() > 30);
    let world = World::new("");
    for key in ["ExecStartPre", "ExecStart", "ExecReload"] {
        let command = setting(key);
        let words: Vec<&str> = command.split(' ').collect();
        assert_eq!(words[0], "/usr/local/bin/almoner");
        world.ok(&[&words[1..], &["--help"]].concat());
    }
    // Every variable of ours is one that the program knows.
    let known = unit
        .lines()
        .chain(["Environment=ALMONER_LOG_FORMAT=json"])
        .filter_map(|line| line.strip_prefix("Environment=")?.split_once('=').map(|(name, _)| name.to_owned()));
    for name in known.filter(|name| name != "ALMONER_CONFIG") {
        let value = if name.ends_with("STATE") { world.state().display().to_string() } else { "json".to_owned() };
        let mut command = world.command(&["config", "check"]);
        command.env(&name, value);
        assert_eq!(crate::world::Said::by(command).code, Some(0), "{name}");
    }
    verify(&world, &unit);
}

/// Lets systemd read the unit, where there is one: with a program that is there.
#[allow(clippy::print_stdout, reason = "what a test could not look at is said")]
fn verify(world: &World, unit: &str) {
    let file = world.path("almoner.service");
    std::fs::write(&file, unit.replace("/usr/local/bin/almoner", env!("CARGO_BIN_EXE_almoner"))).unwrap();
    match Command::new("systemd-analyze").arg("verify").arg(&file).output() {
        Ok(said) => assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr)),
        Err(_) => println!("no systemd-analyze is here to verify the unit"),
    }
}

#[test]
fn the_image_runs_as_nobody_and_the_program_knows_its_variables() {
    let file = contrib("Dockerfile");
    let last = file.rsplit("\nFROM ").next().unwrap();
    assert!(last.starts_with("gcr.io/distroless/") && last.contains("\nUSER nonroot\n"), "{last}");
    assert!(last.contains("ENTRYPOINT [\"/usr/local/bin/almoner\"]") && last.contains("CMD [\"serve\"]"));
    let world = World::new("");
    let mut command = world.command(&["config", "print"]);
    command.env("ALMONER_LISTEN", "0.0.0.0:4141").env("ALMONER_LOG_FORMAT", "json");
    let said = crate::world::Said::by(command);
    assert!(said.out.contains("require_key = true") && said.out.contains("log_format = json"), "{said:?}");
}
