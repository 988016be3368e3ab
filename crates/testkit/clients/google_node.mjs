// Google's Node SDK: a prompt, streams, a hang-up, a count, a tool loop, and no money.

import assert from "node:assert/strict";
import { GoogleGenAI } from "@google/genai";

import { base, emptyKey, endless, expectRefusal, expectWords, key, leave, long, model } from "./stories.mjs";
import { noMoney, schema, tell, toolAnswer, toolScript, weather } from "./stories.mjs";

const models = (apiKey = key) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl: base } }).models;

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

  async google_node_long_stream() {
    const pieces = [];
    for await (const chunk of await models().generateContentStream({ model, contents: long })) pieces.push(chunk.text);
    expectWords(pieces, 2000);
  },

  async google_node_hang_up() {
    await leave(await models().generateContentStream({ model, contents: endless }));
    assert.equal((await models().generateContent({ model, contents: "say: still here" })).text, "still here");
  },

  async google_node_count() {
    const counted = await models().countTokens({ model, contents: "say: one two three" });
    assert.equal(counted.totalTokens, 5);
  },

  async google_node_tool_loop() {
    const config = { tools: [{ functionDeclarations: [{ name: "weather", parametersJsonSchema: schema }] }] };
    const contents = [{ role: "user", parts: [{ text: toolScript }] }];
    const first = await models().generateContent({ model, contents, config });
    const [call] = first.functionCalls;
    assert.deepEqual(call.args, { city: "Oslo" });
    const response = { name: call.name, response: { result: weather(call.args) } };
    contents.push(first.candidates[0].content, { role: "user", parts: [{ functionResponse: response }] });
    const last = await models().generateContent({ model, contents, config });
    assert.equal(last.text, toolAnswer);
  },

  async google_node_no_money() {
    const ask = () => models(emptyKey ?? key).generateContent({ model, contents: noMoney });
    await expectRefusal(ask, (error) => error.status);
  },
};

await tell(checks);
