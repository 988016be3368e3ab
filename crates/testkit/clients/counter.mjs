// Stands between a client and its base URL and counts the requests that would cost money, so that "exactly one" can be
// checked from outside the client. Prints its address; writes one line a request to the file it is given.

import { appendFileSync } from "node:fs";
import { createServer, request } from "node:http";

const [base, log] = [new URL(process.argv[2]), process.argv[3]];
const prefix = base.pathname.replace(/\/$/, "");

const server = createServer((asked, answer) => {
  if (asked.method === "POST") appendFileSync(log, `${asked.method} ${asked.url}\n`);
  const { hostname, port } = base;
  const headers = { ...asked.headers, host: base.host };
  const onward = request({ hostname, port, path: prefix + asked.url, method: asked.method, headers }, (got) => {
    answer.writeHead(got.statusCode, got.headers);
    got.pipe(answer);
  });
  onward.on("error", () => answer.destroy());
  answer.on("close", () => onward.destroy());
  asked.pipe(onward);
});
server.listen(0, "127.0.0.1", () => console.log(`127.0.0.1:${server.address().port}`));
