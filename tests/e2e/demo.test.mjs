// `usersig demo`: its page, driven in a real browser.
import { execFile, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

test("the demo's page does all that it offers, and asks nobody else", { timeout: 300_000 }, async () => {
  const demo = spawn(process.env.USERSIG_BIN, ["demo", "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    let base;
    for await (const line of createInterface({ input: demo.stdout })) {
      base = /http:\/\/127\.0\.0\.1:\d+\//.exec(line)?.[0];
      if (base) break;
    }
    demo.stdout.resume();
    await promisify(execFile)(process.execPath, [fileURLToPath(new URL("demo-page.mjs", import.meta.url)), base]);
  } finally {
    demo.kill();
  }
});
