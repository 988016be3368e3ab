//! Other programs: started in the workspace's directory, their words passed on.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::{Outcome, root};

/// `cargo` with these arguments.
pub(crate) fn cargo(args: &[&str]) -> Command {
    program("cargo", args)
}

/// A program with these arguments, in the workspace's directory.
pub(crate) fn program(name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(args).current_dir(root());
    command
}

/// Runs it to its end; anything but success is an error that names it.
pub(crate) fn to_end(command: &mut Command) -> Outcome {
    let name = words(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{name}` failed ({status})")),
        Err(why) => Err(format!("`{name}` could not be started: {why}")),
    }
}

/// Runs it to its end as [`to_end`] does, and hands each line that it prints to `each`.
pub(crate) fn line_by_line(command: &mut Command, mut each: impl FnMut(&str)) -> Outcome {
    let name = words(command);
    let started = command.stdout(Stdio::piped()).spawn();
    let mut child = started.map_err(|why| format!("`{name}` could not be started: {why}"))?;
    let mut out = BufReader::new(child.stdout.take().expect("its output was asked for"));
    let mut line = Vec::new();
    while out.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        each(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']));
        line.clear();
    }
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{name}` failed ({status})")),
        Err(why) => Err(format!("`{name}` could not be waited for: {why}")),
    }
}

fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
