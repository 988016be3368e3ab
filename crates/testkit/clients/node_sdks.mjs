// The Node SDKs of Anthropic and OpenAI: a prompt, streams, a hang-up, a tool loop, and no money.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

import { base, collect, emptyKey, endless, expectRefusal, expectWords, key, leave, long, model } from "./stories.mjs";
import { noMoney, schema, tell, toolAnswer, toolScript, user, weather } from "./stories.mjs";

const claude = (more = {}) => new Anthropic({ baseURL: base, apiKey: key, ...more });
const gpt = (more = {}) => new OpenAI({ baseURL: `${base}/v1`, apiKey: key, ...more });

// A fetch that counts what is really sent.
function counting() {
  const sent = [];
  return { sent, fetch: (url, options) => (sent.push(String(url)), fetch(url, options)) };
}

// A call without money is sent once.
async function expectOneRefusal(sent, call, status = 402) {
  await expectRefusal(call, (error) => error.status, status);
  assert.equal(sent.length, 1, `${sent.length} requests were sent`);
}

const checks = {
  async node_anthropic_prompt() {
    const messages = [user("say: one two three")];
    const message = await claude().messages.create({ model, max_tokens: 50, messages });
    assert.equal(message.content[0].text, "one two three");
    assert.equal(message.stop_reason, "end_turn");
    assert.equal(message.usage.output_tokens, 3);
  },

  async node_anthropic_stream() {
    const stream = claude().messages.stream({ model, max_tokens: 20, messages: [user("words: 30")] });
    let text = "";
    stream.on("text", (piece) => (text += piece));
    const message = await stream.finalMessage();
    assert.equal(text.trim().split(/\s+/).length, 20);
    assert.equal(message.stop_reason, "max_tokens");
    assert.equal(message.usage.output_tokens, 20);
  },

  async node_anthropic_long_stream() {
    const stream = claude().messages.stream({ model, max_tokens: 4000, messages: [user(long)] });
    const message = await stream.finalMessage();
    expectWords([message.content[0].text], 2000);
  },

  async node_anthropic_hang_up() {
    await leave(await claude().messages.create({ model, max_tokens: 30000, messages: [user(endless)], stream: true }));
    const message = await claude().messages.create({ model, max_tokens: 50, messages: [user("say: still here")] });
    assert.equal(message.content[0].text, "still here");
  },

  async node_anthropic_count() {
    const counted = await claude().messages.countTokens({ model, messages: [user("say: one two three")] });
    assert.equal(counted.input_tokens, 5);
  },

  async node_anthropic_tool_loop() {
    const tools = [{ name: "weather", description: "The weather of a city", input_schema: schema }];
    const messages = [user(toolScript)];
    const first = await claude().messages.stream({ model, max_tokens: 100, messages, tools }).finalMessage();
    assert.equal(first.stop_reason, "tool_use");
    const call = first.content.find((block) => block.type === "tool_use");
    assert.deepEqual(call.input, { city: "Oslo" });
    const result = { type: "tool_result", tool_use_id: call.id, content: weather(call.input) };
    messages.push({ role: "assistant", content: first.content }, { role: "user", content: [result] });
    const last = await claude().messages.create({ model, max_tokens: 100, messages, tools });
    assert.equal(last.content[0].text, toolAnswer);
  },

  async node_openai_prompt() {
    const messages = [user("say: one two three")];
    const completion = await gpt().chat.completions.create({ model, max_tokens: 50, messages });
    assert.equal(completion.choices[0].message.content, "one two three");
    assert.equal(completion.choices[0].finish_reason, "stop");
    assert.equal(completion.usage.completion_tokens, 3);
  },

  async node_openai_stream() {
    const stream = await gpt().chat.completions.create({
      model,
      max_completion_tokens: 20,
      messages: [user("words: 30")],
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await collect(stream);
    const choices = chunks.flatMap((chunk) => chunk.choices);
    const text = choices.map((choice) => choice.delta.content ?? "").join("");
    assert.equal(text.trim().split(/\s+/).length, 20);
    assert.equal(choices.at(-1).finish_reason, "length");
    assert.equal(chunks.at(-1).usage.completion_tokens, 20);
  },

  async node_openai_long_stream() {
    const chunks = await collect(await gpt().chat.completions.create({ model, messages: [user(long)], stream: true }));
    expectWords(chunks.flatMap((chunk) => chunk.choices).map((choice) => choice.delta.content), 2000);
  },

  async node_openai_hang_up() {
    await leave(await gpt().chat.completions.create({ model, messages: [user(endless)], stream: true }));
    const completion = await gpt().chat.completions.create({ model, messages: [user("say: still here")] });
    assert.equal(completion.choices[0].message.content, "still here");
  },

  async node_openai_stream_without_usage() {
    const messages = [user("say: one")];
    const chunks = await collect(await gpt().chat.completions.create({ model, messages, stream: true }));
    assert.ok(chunks.every((chunk) => !chunk.usage && chunk.choices.length > 0));
  },

  async node_openai_tool_loop() {
    const tool = { name: "weather", parameters: schema, function: weather, parse: JSON.parse };
    const runner = gpt().chat.completions.runTools({
      model,
      messages: [user(toolScript)],
      tools: [{ type: "function", function: tool }],
      stream: true,
    });
    assert.equal(await runner.finalContent(), toolAnswer);
  },

  async node_responses_prompt() {
    const response = await gpt().responses.create({ model, max_output_tokens: 50, input: "say: one two three" });
    assert.equal(response.output_text, "one two three");
    assert.equal(response.status, "completed");
    assert.deepEqual([response.usage.input_tokens, response.usage.output_tokens], [5, 3]);
  },

  async node_responses_stream() {
    const ask = { model, max_output_tokens: 20, input: "words: 30", stream: true };
    const events = await collect(await gpt().responses.create(ask));
    const deltas = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta);
    assert.equal(deltas.join("").trim().split(/\s+/).length, 20);
    const last = events.at(-1);
    assert.equal(last.type, "response.incomplete");
    assert.equal(last.response.usage.output_tokens, 20);
  },

  async node_responses_long_stream() {
    const events = await collect(await gpt().responses.create({ model, input: long, stream: true }));
    const deltas = events.filter((event) => event.type === "response.output_text.delta");
    expectWords(deltas.map((event) => event.delta), 2000);
  },

  async node_responses_hang_up() {
    await leave(await gpt().responses.create({ model, input: endless, stream: true }));
    const response = await gpt().responses.create({ model, input: "say: still here" });
    assert.equal(response.output_text, "still here");
  },

  async node_responses_tool_loop() {
    const tools = [{ type: "function", name: "weather", parameters: schema, strict: false }];
    const input = [user(toolScript)];
    const first = await gpt().responses.stream({ model, input, tools }).finalResponse();
    const call = first.output[0];
    assert.deepEqual([call.type, JSON.parse(call.arguments)], ["function_call", { city: "Oslo" }]);
    const output = weather(JSON.parse(call.arguments));
    input.push(...first.output, { type: "function_call_output", call_id: call.call_id, output });
    const last = await gpt().responses.create({ model, input, tools });
    assert.equal(last.output_text, toolAnswer);
  },

  async node_embeddings() {
    const answer = await gpt().embeddings.create({ model, input: ["one two", "three"], encoding_format: "float" });
    assert.deepEqual([answer.data.length, answer.usage.prompt_tokens], [2, 3]);
  },

  async node_completions() {
    const answer = await gpt().completions.create({ model, prompt: "say: one two three", max_tokens: 2 });
    assert.deepEqual([answer.choices[0].text, answer.choices[0].finish_reason], ["one two", "length"]);
  },

  async node_anthropic_no_money() {
    const { sent, fetch } = counting();
    const client = claude({ apiKey: emptyKey ?? key, fetch });
    const ask = () => client.messages.create({ model, max_tokens: 50, messages: [user(noMoney)] });
    await expectOneRefusal(sent, ask);
  },

  async node_openai_no_money() {
    const { sent, fetch } = counting();
    const client = gpt({ apiKey: emptyKey ?? key, fetch });
    await expectOneRefusal(sent, () => client.chat.completions.create({ model, messages: [user(noMoney)] }));
  },

  async node_responses_no_money() {
    const { sent, fetch } = counting();
    const client = gpt({ apiKey: emptyKey ?? key, fetch });
    // The rehearsal alone can say 402 only; a budget says what ends Codex.
    await expectOneRefusal(sent, () => client.responses.create({ model, input: noMoney }), emptyKey ? 429 : 402);
  },
};

await tell(checks);
