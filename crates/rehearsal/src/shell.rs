//! A prompt without a script that asks for a command, as a person would: run `ls`.

use serde_json::{Map, Value, json};

use crate::prompt::{Prompt, Tool};

/// What the coding agents call their shell.
const SHELLS: [&str; 5] = ["Bash", "bash", "shell", "run_shell_command", "exec_command"];

/// The call that the prompt asks for in words, where there is a shell to make it.
pub(crate) fn asked(prompt: &Prompt) -> Option<(String, Value)> {
    let shell = SHELLS.iter().find_map(|name| prompt.tool(name))?;
    let command = command(&prompt.text)?;
    Some((shell.name.clone(), input(shell, command)))
}

fn command(text: &str) -> Option<&str> {
    // Lower-casing ASCII keeps every byte where it was.
    let begins = text.to_ascii_lowercase().find("run `")? + "run `".len();
    let (command, _) = text[begins..].split_once('`')?;
    (!command.trim().is_empty()).then_some(command)
}

/// The input in the form that this shell's schema asks for.
fn input(shell: &Tool, command: &str) -> Value {
    let mut input = Map::new();
    let name = if shell.schema["properties"]["cmd"].is_object() { "cmd" } else { "command" };
    let wants_list = shell.schema["properties"][name]["type"] == "array";
    input.insert(name.to_owned(), if wants_list { json!(["sh", "-c", command]) } else { json!(command) });
    let required = shell.schema["required"].as_array().map_or(&[][..], Vec::as_slice);
    if required.iter().any(|name| name == "description") {
        input.insert("description".to_owned(), json!("Run the rehearsed command"));
    }
    Value::Object(input)
}
