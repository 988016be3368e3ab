// Google's Node SDK: a prompt, a stream, a count, a tool loop, and no money.

import assert from "node:assert/strict";
import { GoogleGenAI } from "@google/genai";

const baseUrl = process.env.ALMONER_BASE_URL;
const key = process.env.ALMONER_KEY;
const emptyKey = process.env.ALMONER_EMPTY_KEY;
const model = "rehearsal";
const noMoney = emptyKey ? "say: never" : "fail: 402";

const models = (apiKey = key) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl } }).models;
const parametersJsonSchema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };

const checks = {
  async google_node_prompt() {
    const answer = await models().generateContent({ model, contents: "say: one two three" });
    assert.equal(answer.text, "one two three");
    assert.equal(answer.candidates[0].finishReason, "STOP");
    assert.equal(answer.usageMetadata.candidatesTokenCount, 3);
  },

  async google_node_stream() {
    const config = { maxOutputTokens: 20 };
    let [text, last] = ["", null];
    for await (const chunk of await models().generateContentStream({ model, contents: "words: 30", config })) {
      text += chunk.text ?? "";
      last = chunk;
    }
    assert.equal(text.trim().split(/\s+/).length, 20);
    assert.equal(last.candidates[0].finishReason, "MAX_TOKENS");
    assert.equal(last.usageMetadata.candidatesTokenCount, 20);
  },

  async google_node_count() {
    const counted = await models().countTokens({ model, contents: "say: one two three" });
    assert.equal(counted.totalTokens, 5);
  },

  async google_node_tool_loop() {
    const config = { tools: [{ functionDeclarations: [{ name: "weather", parametersJsonSchema }] }] };
    const contents = [{ role: "user", parts: [{ text: 'tool: weather {"city": "Oslo"}' }] }];
    const first = await models().generateContent({ model, contents, config });
    const [call] = first.functionCalls;
    assert.deepEqual(call.args, { city: "Oslo" });
    const response = { name: call.name, response: { result: `Rain in ${call.args.city}\nand wind` } };
    contents.push(first.candidates[0].content, { role: "user", parts: [{ functionResponse: response }] });
    const last = await models().generateContent({ model, contents, config });
    assert.equal(last.text, "The tool answered: Rain in Oslo");
  },

  async google_node_no_money() {
    const ask = () => models(emptyKey ?? key).generateContent({ model, contents: noMoney });
    const error = await ask().then(
      () => assert.fail("the call went through without money"),
      (error) => error,
    );
    assert.equal(error.status, 402, `${error}`);
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
