// Stands between a client and its base URL and counts the requests that would cost money, so that "exactly one" can be
// checked from outside the client. Prints its address; writes one line a request to the file it is given.
//
// An answer to `words: 40000` stops after its first bytes, and the file beside, `.begun`, tells that it has: a client
// that ends then hangs up in the middle, however slow the machine is.

import { appendFileSync } from "node:fs";
import { createServer, request } from "node:http";

const [base, log] = [new URL(process.argv[2]), process.argv[3]];
const prefix = base.pathname.replace(/\/$/, "");

const server = createServer((asked, answer) => {
  if (asked.method === "POST") appendFileSync(log, `${asked.method} ${asked.url}\n`);
  let said = "";
  asked.on("data", (piece) => (said += piece.toString("latin1")));
  const { hostname, port } = base;
  const headers = { ...asked.headers, host: base.host };
  const onward = request({ hostname, port, path: prefix + asked.url, method: asked.method, headers }, (got) => {
    answer.writeHead(got.statusCode, got.headers);
    if (!said.includes("words: 40000")) return got.pipe(answer);
    got.once("data", (piece) => {
      answer.write(piece);
      got.pause();
      appendFileSync(`${log}.begun`, "begun\n");
    });
  });
  onward.on("error", () => answer.destroy());
  answer.on("close", () => onward.destroy());
  asked.pipe(onward);
});
server.listen(0, "127.0.0.1", () => console.log(`127.0.0.1:${server.address().port}`));
