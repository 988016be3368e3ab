use serde_json::{Value, json};

use super::RehearsalRoute::{ChatCompletions, CountTokens, InputTokens, Messages, Responses};
use super::*;

/// A request for the rehearsal with this prompt, and whatever else it shall have.
fn request(prompt: &str, more: &Value) -> Value {
    let mut request = json!({ "model": MODEL, "messages": [{ "role": "user", "content": prompt }] });
    for (name, value) in more.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

fn ask(route: RehearsalRoute, request: &Value) -> Reply {
    answer(route, request.to_string().as_bytes())
}

fn body(reply: &Reply) -> Value {
    assert_eq!(reply.chunks.len(), 1);
    serde_json::from_slice(&reply.chunks[0]).unwrap()
}

/// The data of each event of a stream; what is no JSON becomes a string.
fn events(reply: &Reply) -> Vec<Value> {
    assert!(reply.stream);
    reply
        .chunks
        .iter()
        .map(|chunk| {
            let text = std::str::from_utf8(chunk).unwrap();
            assert!(text.ends_with("\n\n") || text.ends_with("\r\n\r\n"), "{text}");
            let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
            serde_json::from_str(data).unwrap_or_else(|_| json!(data))
        })
        .collect()
}

/// What Gemini's stream told: its objects, however they lie in the bytes.
fn objects(reply: &Reply, framing: Framing) -> Vec<Value> {
    assert!(reply.stream);
    match framing {
        Framing::Events => events(reply),
        Framing::Array => serde_json::from_slice(&reply.chunks.concat()).unwrap(),
        Framing::Lines => reply.chunks.iter().map(|line| serde_json::from_slice(line).unwrap()).collect(),
    }
}

/// A request in Gemini's words.
fn contents(request: &Value) -> Value {
    let mut config = json!({});
    for (theirs, ours) in [("maxOutputTokens", "max_tokens"), ("maxOutputTokens", "max_completion_tokens")] {
        if request[ours].is_number() {
            config[theirs] = request[ours].clone();
        }
    }
    let parts = json!([{ "text": request["messages"][0]["content"] }]);
    json!({ "contents": [{ "role": "user", "parts": parts }], "generationConfig": config })
}

fn check_ollama(request: &Value, text: &str, finish: &str, usage: (u64, u64)) {
    let cap =
        ["max_completion_tokens", "max_tokens"].iter().find_map(|name| request.get(*name)).cloned().unwrap_or_default();
    let options = json!({ "num_predict": if cap.is_null() { json!(-1) } else { cap } });
    let prompt = &request["messages"][0]["content"];
    for (route, holder) in
        [(RehearsalRoute::OllamaChat, "/message/content"), (RehearsalRoute::OllamaGenerate, "/response")]
    {
        let mut asked =
            json!({ "model": MODEL, "options": options, "messages": request["messages"], "prompt": prompt });
        let streamed = objects(&ask(route, &asked), Framing::Lines);
        asked["stream"] = json!(false);
        for answers in [streamed, vec![body(&ask(route, &asked))]] {
            let told: String = answers.iter().filter_map(|part| part.pointer(holder)?.as_str()).collect();
            assert_eq!(told, text);
            let (last, before) = answers.split_last().unwrap();
            assert!(last["done"] == true && before.iter().all(|part| part["done"] == false));
            assert_eq!(last["done_reason"], finish);
            let count = |name: &str| last[name].as_u64().unwrap();
            assert_eq!((count("prompt_eval_count"), count("eval_count")), usage);
        }
    }
}

fn check_gemini(request: &Value, text: &str, finish: &str, usage: (u64, u64)) {
    let request = contents(request);
    let reason = if finish == "length" { "MAX_TOKENS" } else { "STOP" };
    let told = |answers: &[Value]| -> String {
        answers.iter().filter_map(|answer| answer["candidates"][0]["content"]["parts"][0]["text"].as_str()).collect()
    };
    let whole = [body(&ask(RehearsalRoute::GenerateContent(None), &request))];
    let streamed = [Framing::Events, Framing::Array]
        .map(|framing| objects(&ask(RehearsalRoute::GenerateContent(Some(framing)), &request), framing));
    for answers in [&whole[..], &streamed[0], &streamed[1]] {
        assert_eq!(told(answers), text);
        let last = answers.last().unwrap();
        assert_eq!(last["candidates"][0]["finishReason"], reason);
        let count = |name: &str| last["usageMetadata"][name].as_u64().unwrap();
        assert_eq!((count("promptTokenCount"), count("candidatesTokenCount")), usage);
    }
}

/// Checks a prompt in every dialect, whole and streamed: each must tell the same text, end and usage.
fn check(prompt: &str, more: &Value, text: &str, stop: &str, finish: &str, usage: (u64, u64)) {
    let whole = request(prompt, more);
    let mut streamed = whole.clone();
    streamed["stream"] = json!(true);
    streamed["stream_options"] = json!({ "include_usage": true });

    check_gemini(&whole, text, finish, usage);
    check_ollama(&whole, text, finish, usage);
    let reply = body(&ask(Messages, &whole));
    assert_eq!(reply["content"][0]["text"], text);
    assert_eq!(reply["stop_reason"], stop);
    assert_eq!(anthropic_usage(&reply["usage"]), usage);

    let seen = events(&ask(Messages, &streamed));
    let told: String = seen.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    assert_eq!(told, text);
    let last = seen.iter().find(|event| event["type"] == "message_delta").unwrap();
    assert_eq!(last["delta"]["stop_reason"], stop);
    assert_eq!(anthropic_usage(&last["usage"]), usage);

    let reply = body(&ask(ChatCompletions, &whole));
    assert_eq!(reply["choices"][0]["message"]["content"], text);
    assert_eq!(reply["choices"][0]["finish_reason"], finish);
    assert_eq!(chat_usage(&reply["usage"]), usage);

    let seen = events(&ask(ChatCompletions, &streamed));
    let told: String = seen.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(told, text);
    assert_eq!(seen.last().unwrap(), "[DONE]");
    let usage_chunk = &seen[seen.len() - 2];
    assert_eq!(usage_chunk["choices"], json!([]));
    assert_eq!(chat_usage(&usage_chunk["usage"]), usage);
    assert_eq!(seen[seen.len() - 3]["choices"][0]["finish_reason"], finish);

    let (whole, streamed) = (of_responses(&whole), of_responses(&streamed));
    let status = if finish == "length" { "incomplete" } else { "completed" };
    let reply = body(&ask(Responses, &whole));
    assert_eq!(reply["output"][0]["content"][0]["text"], text);
    assert_eq!((&reply["status"], responses_usage(&reply["usage"])), (&json!(status), usage));
    let seen = events(&ask(Responses, &streamed));
    let deltas = seen.iter().filter(|event| event["type"] == "response.output_text.delta");
    let told: String = deltas.filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(told, text);
    let last = seen.last().unwrap();
    assert_eq!(last["type"], format!("response.{status}"));
    assert_eq!(last["response"]["output"][0]["content"], reply["output"][0]["content"]);
    assert_eq!((&last["response"]["status"], responses_usage(&last["response"]["usage"])), (&json!(status), usage));
}

/// The same request in the words of Responses.
fn of_responses(request: &Value) -> Value {
    let mut request = request.clone();
    let members = request.as_object_mut().unwrap();
    let cap = "max_output_tokens";
    for (name, other) in [("messages", "input"), ("max_tokens", cap), ("max_completion_tokens", cap)] {
        members.remove(name).map(|value| members.insert(other.to_owned(), value));
    }
    request
}

fn responses_usage(usage: &Value) -> (u64, u64) {
    (usage["input_tokens"].as_u64().unwrap(), usage["output_tokens"].as_u64().unwrap())
}

#[test]
fn codex_is_given_a_command_and_hears_what_it_said() {
    let prompt = json!({ "role": "user", "content": [{ "type": "input_text", "text": "Please run `ls -l`." }] });
    let shell = json!({ "type": "function", "name": "exec_command", "parameters": { "properties": { "cmd": {} } } });
    let mut request = json!({ "model": MODEL, "input": [prompt], "tools": [shell, { "type": "web_search" }] });
    let call = body(&ask(Responses, &request))["output"][0].clone();
    assert_eq!((&call["type"], &call["name"]), (&json!("function_call"), &json!("exec_command")));
    assert_eq!(call["arguments"], r#"{"cmd":"ls -l"}"#);
    request["stream"] = json!(true);
    let seen = events(&ask(Responses, &request));
    let done = seen.iter().find(|event| event["type"] == "response.output_item.done").unwrap();
    assert_eq!((&done["item"]["name"], &done["item"]["arguments"]), (&call["name"], &call["arguments"]));
    let output = "Chunk ID: 1\nProcess exited with code 0\nOutput:\nmade.txt\n";
    let said = json!({ "type": "function_call_output", "call_id": call["call_id"], "output": output });
    request["stream"] = json!(false);
    request["input"].as_array_mut().unwrap().extend([call, said]);
    let answer = body(&ask(Responses, &request));
    assert_eq!(answer["output"][0]["content"][0]["text"], "The tool answered: made.txt");
    let counted = body(&ask(InputTokens, &json!({ "model": MODEL, "input": "say: one two three" })));
    assert_eq!(counted["input_tokens"], 5);
}

fn anthropic_usage(usage: &Value) -> (u64, u64) {
    assert_eq!(usage["cache_read_input_tokens"], 0);
    (usage["input_tokens"].as_u64().unwrap(), usage["output_tokens"].as_u64().unwrap())
}

fn chat_usage(usage: &Value) -> (u64, u64) {
    let (input, output) = (usage["prompt_tokens"].as_u64().unwrap(), usage["completion_tokens"].as_u64().unwrap());
    assert_eq!(usage["total_tokens"], input + output);
    (input, output)
}

#[test]
fn a_prompt_without_a_script_is_greeted() {
    let greeting =
        "Hello from the rehearsal provider: nobody thought about this, nothing was paid, and the usage is exact.";
    check("hi", &json!({}), greeting, "end_turn", "stop", (1, 17));
}

#[test]
fn a_script_is_played() {
    check("say: one\nsay: two  three", &json!({}), "one\ntwo  three", "end_turn", "stop", (6, 3));
    check("please\nwords: 3", &json!({}), "word1 word2 word3", "end_turn", "stop", (4, 3));
    check("say: a\nusage: input=7 output=9", &json!({}), "a", "end_turn", "stop", (7, 9));
    check("say: a\nusage: output=0", &json!({}), "a", "end_turn", "stop", (6, 0));
}

#[test]
fn a_line_that_cannot_be_read_is_answered_with_how_to_write_it() {
    let text = "I cannot read the line `words: many`; write it like `words: 50`.";
    check("words: many", &json!({}), text, "end_turn", "stop", (3, 12));
    let text = "I cannot read the line `cut: -1`; write it like `cut: 3`.";
    check("cut: -1", &json!({}), text, "end_turn", "stop", (2, 12));
}

#[test]
fn no_script_makes_an_answer_without_end() {
    let reply = body(&ask(Messages, &request("words: 50000\nwords: 1\nwords: 50000", &json!({}))));
    assert_eq!(reply["usage"]["output_tokens"], 50_000 + 2 * 12);
}

#[test]
fn the_cap_ends_the_answer_and_says_so() {
    check("words: 30", &json!({ "max_tokens": 2 }), "word1 word2", "max_tokens", "length", (3, 2));
    check("words: 3", &json!({ "max_tokens": 3 }), "word1 word2 word3", "end_turn", "stop", (2, 3));
    let both = json!({ "max_tokens": 9, "max_completion_tokens": 1 });
    check("words: 3", &both, "word1", "max_tokens", "length", (2, 1));
}

#[test]
fn a_long_stream_comes_in_pieces() {
    let more = json!({ "stream": true });
    let seen = events(&ask(Messages, &request("words: 100", &more)));
    let kinds: Vec<&str> = seen.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(&kinds[..3], ["message_start", "content_block_start", "ping"]);
    assert_eq!(kinds.iter().filter(|kind| **kind == "content_block_delta").count(), 13);
    assert_eq!(&kinds[16..], ["content_block_stop", "message_delta", "message_stop"]);
    assert_eq!(seen[0]["message"]["usage"]["input_tokens"], 3);
}

#[test]
fn choices_are_each_paid() {
    let reply = body(&ask(ChatCompletions, &request("words: 5", &json!({ "n": 3 }))));
    assert_eq!(reply["choices"].as_array().unwrap().len(), 3);
    assert_eq!(chat_usage(&reply["usage"]).1, 15);
    let seen = events(&ask(ChatCompletions, &request("words: 5", &json!({ "n": 3, "stream": true }))));
    assert!(seen.iter().all(|event| event.get("usage").is_none()), "nobody asked for usage");
    let ends: Vec<u64> = seen
        .iter()
        .filter(|event| event["choices"][0]["finish_reason"] == "stop")
        .map(|event| event["choices"][0]["index"].as_u64().unwrap())
        .collect();
    assert_eq!(ends, [0, 1, 2]);
}

#[test]
fn a_cut_stream_never_tells_its_usage() {
    for (cut, kept) in [(0, 0), (1, 1), (4, 4), (1000, 5)] {
        let prompt = format!("say: hello\ncut: {cut}");
        let seen = events(&ask(Messages, &request(&prompt, &json!({ "stream": true }))));
        assert_eq!(seen.len(), kept, "cut: {cut}");
        let more = json!({ "stream": true, "stream_options": { "include_usage": true } });
        let seen = events(&ask(ChatCompletions, &request(&prompt, &more)));
        assert!(seen.iter().all(|event| event["usage"].is_null() && event != "[DONE]"), "cut: {cut}");
    }
}

#[test]
fn a_failure_has_the_form_of_its_dialect() {
    let prompt = request("fail: 529", &json!({}));
    let reply = ask(Messages, &prompt);
    assert_eq!((reply.status, &body(&reply)["error"]["type"]), (529, &json!("overloaded_error")));
    let reply = ask(ChatCompletions, &prompt);
    assert_eq!((reply.status, &body(&reply)["error"]["type"]), (529, &json!("server_error")));
    for route in [Messages, CountTokens, ChatCompletions] {
        assert_eq!(answer(route, b"{").status, 400);
        assert_eq!(answer(route, b"[]").status, 400);
        assert_eq!(answer(route, br#"{"model":"rehearsal","messages":[]}"#).status, 400);
        let other = json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": "hi" }] });
        let reply = ask(route, &other);
        assert_eq!(reply.status, 404);
        assert!(body(&reply)["error"]["message"].as_str().unwrap().contains("`gpt-4o`"));
    }
    let refused = ask(Messages, &request("hi", &json!({ "max_tokens": 0 })));
    assert_eq!(refused.status, 400);
    assert_eq!(ask(ChatCompletions, &request("hi", &json!({ "n": 9 }))).status, 400);
}

#[test]
fn counting_counts_what_the_call_would_be_charged() {
    let call = request("say: hello", &json!({ "system": [{ "type": "text", "text": "Be brief." }] }));
    let counted = body(&ask(CountTokens, &call))["input_tokens"].clone();
    assert_eq!(counted, body(&ask(Messages, &call))["usage"]["input_tokens"]);
    // `Be brief.` and `say: hello` are 19 bytes.
    assert_eq!(counted, 5);
}

#[test]
fn media_are_no_text() {
    let image = json!({ "type": "image", "source": { "type": "base64", "data": "A".repeat(4000) } });
    let content = json!([{ "type": "text", "text": "hi" }, image]);
    let call = json!({ "model": MODEL, "messages": [{ "role": "user", "content": content }] });
    assert_eq!(body(&ask(CountTokens, &call))["input_tokens"], 1);
}

/// A Messages request with a shell, after these messages.
fn with_shell(messages: &Value) -> Value {
    let schema =
        json!({ "type": "object", "properties": { "command": { "type": "string" } }, "required": ["command"] });
    json!({ "model": MODEL, "messages": messages, "tools": [{ "name": "Bash", "input_schema": schema }] })
}

#[test]
fn a_tool_loop_goes_round() {
    let asked = json!({ "role": "user", "content": [
        { "type": "text", "text": "<system-reminder>say: never\nrun `rm`</system-reminder>" },
        { "type": "text", "text": "Please run `echo hi` for me." },
    ] });
    let reply = body(&ask(Messages, &with_shell(&json!([asked]))));
    assert_eq!(reply["stop_reason"], "tool_use");
    let call = &reply["content"][0];
    assert_eq!((&call["name"], &call["input"]), (&json!("Bash"), &json!({ "command": "echo hi" })));
    assert_eq!(reply["usage"]["output_tokens"], 3);

    let result = json!({ "type": "tool_result", "tool_use_id": call["id"], "content": "\nhi\nthere" });
    let told = json!({ "role": "user", "content": [result, { "type": "text", "text": "words: 9" }] });
    let late = json!({ "role": "system", "content": "Mind the time." });
    let messages = json!([asked, { "role": "assistant", "content": reply["content"] }, told, late]);
    let reply = body(&ask(Messages, &with_shell(&messages)));
    assert_eq!(reply["stop_reason"], "end_turn");
    assert_eq!(reply["content"][0]["text"], "The tool answered: hi");
}

#[test]
fn a_tool_call_streams_its_input() {
    let mut call =
        with_shell(&json!([{ "role": "user", "content": "tool: Bash {\"command\": \"a b c d e f g h i j\"}" }]));
    call["stream"] = json!(true);
    let seen = events(&ask(Messages, &call));
    let input: String = seen.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
    assert_eq!(input, r#"{"command":"a b c d e f g h i j"}"#);
    assert_eq!(seen[1]["content_block"]["input"], json!({}));
}

#[test]
fn a_chat_tool_loop_goes_round_once_for_each_line() {
    let tools = json!([
        { "type": "function", "function": { "name": "add", "parameters": { "type": "object" } } },
    ]);
    let script = "tool: add {\"a\": 1}\ntool: add {\"a\": 2}\nsay: Done.";
    let mut messages = vec![json!({ "role": "user", "content": script })];
    for round in 1..=2 {
        let call = json!({ "model": MODEL, "messages": messages, "tools": tools });
        let reply = body(&ask(ChatCompletions, &call));
        assert_eq!(reply["choices"][0]["finish_reason"], "tool_calls");
        let message = reply["choices"][0]["message"].clone();
        assert_eq!(message["tool_calls"][0]["function"]["arguments"], format!("{{\"a\":{round}}}"));
        messages.push(message.clone());
        let id = &message["tool_calls"][0]["id"];
        messages.push(json!({ "role": "tool", "tool_call_id": id, "content": format!("sum {round}") }));
    }
    let mut call = json!({ "model": MODEL, "messages": messages, "tools": tools });
    let reply = body(&ask(ChatCompletions, &call));
    assert_eq!(reply["choices"][0]["message"]["content"], "Done.\nThe tool answered: sum 2");

    call["messages"] = json!([{ "role": "user", "content": script }]);
    call["stream"] = json!(true);
    let seen = events(&ask(ChatCompletions, &call));
    let arguments: String = seen
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str())
        .collect();
    assert_eq!(arguments, "{\"a\":1}");
}

#[test]
fn a_call_that_is_cut_off_is_none() {
    let mut call = with_shell(&json!([{ "role": "user", "content": "run `echo hi`" }]));
    call["max_tokens"] = json!(2);
    let reply = body(&ask(Messages, &call));
    assert_eq!((&reply["stop_reason"], &reply["content"][0]["text"]), (&json!("max_tokens"), &json!("")));
    assert_eq!(reply["usage"]["output_tokens"], 2);
}

#[test]
fn a_tool_that_is_not_there_is_named() {
    let call = with_shell(&json!([{ "role": "user", "content": "tool: Write {}" }]));
    let text = "I cannot call `Write`: this request has Bash.";
    assert_eq!(body(&ask(Messages, &call))["content"][0]["text"], text);
}

#[test]
fn like_requests_get_like_answers() {
    let call = request("say: hello", &json!({}));
    assert_eq!(ask(Messages, &call), ask(Messages, &call));
    let other = request("say: hello!", &json!({}));
    assert_ne!(body(&ask(Messages, &call))["id"], body(&ask(Messages, &other))["id"]);
}

#[test]
fn gemini_plays_a_tool_loop_and_counts() {
    let route = RehearsalRoute::of("/v1beta/models/rehearsal:streamGenerateContent?key=k&alt=sse").unwrap();
    assert_eq!(route, RehearsalRoute::GenerateContent(Some(Framing::Events)));
    let mut request = json!({
        "contents": [{ "parts": { "text": "tool: weather {\"city\": \"Oslo\"}" } }],
        "tools": [{ "functionDeclarations": [{ "name": "weather", "parametersJsonSchema": {} }] }],
    });
    let called = objects(&ask(route, &request), Framing::Events);
    let call = &called[0]["candidates"][0]["content"]["parts"][0]["functionCall"];
    assert_eq!(*call, json!({ "name": "weather", "args": { "city": "Oslo" } }));
    let answer = json!({ "functionResponse": { "name": "weather", "response": { "result": "Rain\nand wind" } } });
    let turns = [json!({ "role": "model", "parts": [{ "functionCall": call }] }), json!({ "parts": [answer] })];
    let asked = request["contents"][0].clone();
    request["contents"] = json!([asked, turns[0], turns[1]]);
    let told = body(&ask(RehearsalRoute::GenerateContent(None), &request));
    assert_eq!(told["candidates"][0]["content"]["parts"][0]["text"], "The tool answered: Rain");
    let count = json!({ "generateContentRequest": { "contents": [{ "parts": [{ "text": "12345" }] }] } });
    assert_eq!(body(&ask(RehearsalRoute::CountContentTokens, &count)), json!({ "totalTokens": 2 }));
}

#[test]
fn gemini_reads_both_names_of_a_member() {
    let route = RehearsalRoute::GenerateContent(None);
    let asked = |config: &str, cap: &str, tools: &str, declared: &str| {
        let text = "tool: weather {}\nwords: 40";
        let plain = json!({ "contents": [{ "parts": [{ "text": "words: 40" }] }], config: { cap: 5 } });
        let calls = json!({
            "contents": [{ "parts": [{ "text": text }] }],
            tools: [{ declared: [{ "name": "weather" }] }],
        });
        let reason = body(&ask(route, &plain))["candidates"][0]["finishReason"].clone();
        (reason, body(&ask(route, &calls))["candidates"][0]["content"]["parts"][0]["functionCall"]["name"].clone())
    };
    let camel = asked("generationConfig", "maxOutputTokens", "tools", "functionDeclarations");
    assert_eq!(camel, (json!("MAX_TOKENS"), json!("weather")));
    assert_eq!(asked("generation_config", "max_output_tokens", "tools", "function_declarations"), camel);
    assert_eq!(asked("generation_config", "maxOutputTokens", "tools", "functionDeclarations"), camel);
}

#[test]
fn gemini_fails_and_is_cut_in_its_own_form() {
    let ask =
        |prompt: &str, stream| ask(RehearsalRoute::GenerateContent(stream), &contents(&request(prompt, &json!({}))));
    let failed = ask("fail: 429", None);
    assert_eq!((failed.status, &body(&failed)["error"]["status"]), (429, &json!("RESOURCE_EXHAUSTED")));
    let cut = ask("words: 40\ncut: 2", Some(Framing::Array));
    assert_eq!(cut.chunks.len(), 2);
    assert!(cut.chunks[0].starts_with(b"[{") && cut.chunks[1].starts_with(b",\r\n{"));
    assert_eq!(RehearsalRoute::of("/v1beta/models/other:generateContent"), None);
}

#[test]
fn texts_are_embedded_and_go_on() {
    use RehearsalRoute::{Completions, Embeddings};
    let reply = body(&ask(Embeddings, &json!({ "model": MODEL, "input": ["one two", "three"] })));
    assert_eq!((reply["data"].as_array().unwrap().len(), &reply["usage"]["prompt_tokens"]), (2, &json!(3)));
    let mut request = json!({ "model": MODEL, "prompt": "say: one two three", "max_tokens": 2 });
    let reply = body(&ask(Completions, &request));
    assert_eq!((&reply["choices"][0]["text"], chat_usage(&reply["usage"])), (&json!("one two"), (5, 2)));
    assert_eq!(reply["choices"][0]["finish_reason"], "length");
    request["stream"] = json!(true);
    request["stream_options"] = json!({ "include_usage": true });
    let seen = events(&ask(Completions, &request));
    let told: String = seen.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
    assert_eq!(told, "one two");
    assert_eq!(chat_usage(&seen[seen.len() - 2]["usage"]), (5, 2));
    assert_eq!(ask(Embeddings, &json!({ "model": MODEL })).status, 400);
}

#[test]
fn ollama_plays_a_tool_loop_and_makes_vectors() {
    let route = RehearsalRoute::of("/api/chat").unwrap();
    let tools = json!([{ "type": "function", "function": { "name": "weather", "parameters": {} } }]);
    let mut asked = request("tool: weather {\"city\": \"Oslo\"}", &json!({ "tools": tools }));
    let called = objects(&ask(route, &asked), Framing::Lines);
    let message = &called[0]["message"];
    assert_eq!(message["tool_calls"][0]["function"], json!({ "name": "weather", "arguments": { "city": "Oslo" } }));
    let (prompt, result) = (asked["messages"][0].clone(), json!({ "role": "tool", "content": "Rain\nand wind" }));
    asked["messages"] = json!([prompt, message, result]);
    asked["stream"] = json!(false);
    assert_eq!(body(&ask(route, &asked))["message"]["content"], "The tool answered: Rain");
    let embed = RehearsalRoute::of("/api/embed").unwrap();
    let vectors = body(&ask(embed, &json!({ "model": MODEL, "input": ["12345", "678"] })));
    assert_eq!((vectors["embeddings"].as_array().unwrap().len(), &vectors["prompt_eval_count"]), (2, &json!(2)));
    assert_eq!(body(&ask(route, &json!({ "model": "x" })))["error"].as_str().map(str::is_empty), Some(false));
}
