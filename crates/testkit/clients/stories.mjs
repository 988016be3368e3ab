// What the stories of the Node clients share: whom they ask, how a check is told, and the tool of the tool loop.

import assert from "node:assert/strict";

export const base = process.env.ALMONER_BASE_URL;
export const key = process.env.ALMONER_KEY;
export const emptyKey = process.env.ALMONER_EMPTY_KEY;
export const model = "rehearsal";
export const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
export const toolScript = 'Look it up.\ntool: weather {"city": "Oslo"}';
export const toolAnswer = "The tool answered: Rain in Oslo";
export const noMoney = emptyKey ? "say: never" : "fail: 402";
// An answer that is long, and one that nobody waits for.
export const [long, endless] = ["words: 2000", "words: 20000"];

export const user = (content) => ({ role: "user", content });
export const weather = ({ city }) => `Rain in ${city}\nand wind`;

export function expectWords(pieces, wanted) {
  const text = pieces.map((piece) => piece ?? "").join("");
  assert.equal(text.trim().split(/\s+/).length, wanted);
}

export async function collect(stream) {
  const all = [];
  for await (const item of stream) all.push(item);
  return all;
}

// Takes the beginning of a stream, and hangs up.
export async function leave(stream) {
  let taken = 0;
  for await (const _ of stream) if (++taken === 5) break;
  assert.equal(taken, 5);
}

// A call without money ends in an error with this status that says why.
export async function expectRefusal(call, statusOf, status = 402) {
  const error = await call().then(
    () => assert.fail("the call went through without money"),
    (error) => error,
  );
  assert.equal(statusOf(error), status, `${error}`);
  assert.ok(error.message.length > 20, `the error says only ${error.message}`);
}

export async function tell(checks) {
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
}
