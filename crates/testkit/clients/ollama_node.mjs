// Ollama's Node client: a prompt, a stream, vectors, a tool loop, and no money.

import assert from "node:assert/strict";
import { Ollama } from "ollama";

const host = process.env.ALMONER_BASE_URL;
const key = process.env.ALMONER_KEY;
const emptyKey = process.env.ALMONER_EMPTY_KEY;
const model = "rehearsal";
const noMoney = emptyKey ? "say: never" : "fail: 402";

const client = (key_ = key) => new Ollama({ host, headers: { authorization: `Bearer ${key_}` } });
const user = (content) => ({ role: "user", content });

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

  async ollama_node_embed() {
    const vectors = await client().embed({ model, input: ["one", "two"] });
    assert.equal(vectors.embeddings.length, 2);
  },

  async ollama_node_tool_loop() {
    const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
    const tools = [{ type: "function", function: { name: "weather", description: "Weather", parameters } }];
    const messages = [user('tool: weather {"city": "Oslo"}')];
    const first = await client().chat({ model, messages, tools });
    const [call] = first.message.tool_calls;
    assert.deepEqual(call.function.arguments, { city: "Oslo" });
    messages.push(first.message, { role: "tool", tool_name: "weather", content: "Rain in Oslo\nand wind" });
    const last = await client().chat({ model, messages, tools });
    assert.equal(last.message.content, "The tool answered: Rain in Oslo");
  },

  async ollama_node_no_money() {
    const error = await client(emptyKey ?? key).chat({ model, messages: [user(noMoney)] }).then(
      () => assert.fail("the call went through without money"),
      (error) => error,
    );
    assert.equal(error.status_code, 402, `${error}`);
    assert.ok(error.message.length > 20, `the error says only ${error.message}`);
  },
};

let failed = false;
for (const [name, story] of Object.entries(checks)) {
  try {
    await story();
    console.log(`ok ${name}`);
  } catch (error) {
    failed = true;
    console.log(`FAILED ${name}: ${String(error).split("\n")[0]}`);
  }
}
process.exit(failed ? 1 : 0);
