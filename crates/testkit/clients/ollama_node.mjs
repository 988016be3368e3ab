// Ollama's Node client: a prompt, streams, a hang-up, vectors, a tool loop, and no money.

import assert from "node:assert/strict";
import { Ollama } from "ollama";

import { base, emptyKey, endless, expectRefusal, expectWords, key, leave, long, model } from "./stories.mjs";
import { noMoney, schema, tell, toolAnswer, toolScript, user, weather } from "./stories.mjs";

const client = (key_ = key) => new Ollama({ host: base, headers: { authorization: `Bearer ${key_}` } });

const checks = {
  async ollama_node_prompt() {
    const answer = await client().chat({ model, messages: [user("say: one two three")] });
    assert.equal(answer.message.content, "one two three");
    assert.equal(answer.done_reason, "stop");
    assert.equal(answer.eval_count, 3);
    const generated = await client().generate({ model, prompt: "say: one two three" });
    assert.equal(generated.response, "one two three");
  },

  async ollama_node_stream() {
    const options = { num_predict: 20 };
    let [text, last] = ["", null];
    for await (const part of await client().chat({ model, messages: [user("words: 30")], options, stream: true })) {
      text += part.message.content;
      last = part;
    }
    assert.equal(text.trim().split(/\s+/).length, 20);
    assert.equal(last.done_reason, "length");
    assert.equal(last.eval_count, 20);
  },

  async ollama_node_long_stream() {
    const pieces = [];
    const stream = await client().generate({ model, prompt: long, stream: true });
    for await (const part of stream) pieces.push(part.response);
    expectWords(pieces, 2000);
  },

  async ollama_node_hang_up() {
    const stream = await client().generate({ model, prompt: endless, stream: true });
    await leave(stream);
    stream.abort();
    const answer = await client().generate({ model, prompt: "say: still here" });
    assert.equal(answer.response, "still here");
  },

  async ollama_node_embed() {
    const vectors = await client().embed({ model, input: ["one", "two"] });
    assert.equal(vectors.embeddings.length, 2);
  },

  async ollama_node_tool_loop() {
    const tools = [{ type: "function", function: { name: "weather", description: "Weather", parameters: schema } }];
    const messages = [user(toolScript)];
    const first = await client().chat({ model, messages, tools });
    const [call] = first.message.tool_calls;
    assert.deepEqual(call.function.arguments, { city: "Oslo" });
    messages.push(first.message, { role: "tool", tool_name: "weather", content: weather(call.function.arguments) });
    const last = await client().chat({ model, messages, tools });
    assert.equal(last.message.content, toolAnswer);
  },

  async ollama_node_no_money() {
    const ask = () => client(emptyKey ?? key).chat({ model, messages: [user(noMoney)] });
    await expectRefusal(ask, (error) => error.status_code);
  },
};

await tell(checks);
