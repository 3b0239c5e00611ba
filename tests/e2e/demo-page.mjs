// Drives the page of `usersig demo` in a real browser: `node demo-page.mjs BASE_URL [DIRECTORY_FOR_PICTURES]`.
// Needs playwright-core, chromium (CHROMIUM names another one than /usr/bin/chromium) and curl, for the lines to copy.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [base, pictures] = process.argv.slice(2);
if (!base) throw new Error("usage: node demo-page.mjs BASE_URL [DIRECTORY_FOR_PICTURES]");
const { origin } = new URL(base);
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });

/** Opens the page and works on it; nothing may go wrong there but the answers that `expected` lists, in their order. */
async function visit(title, options, work) {
  const context = await browser.newContext({ timezoneId: "Asia/Shanghai", viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const refused = [], expected = [], wrong = [], foreign = [];
  page.on("console", (message) => {
    const status = /^Failed to load resource: (?:the server responded with a status of (\d+)|(net::\w+))/.exec(message.text());
    if (status) refused.push(Number(status[1]) || status[2]);
    else if (["error", "warning"].includes(message.type())) wrong.push(message.text());
  });
  page.on("pageerror", (error) => wrong.push(error.message));
  context.on("request", (request) => { if (new URL(request.url()).origin !== origin) foreign.push(request.url()); });
  await page.goto(base);
  await work(page, expected, wrong, context);
  assert.ok(await page.locator("#fault").isHidden(), await page.locator("#fault").textContent());
  assert.deepEqual({ refused, wrong, foreign }, { refused: expected, wrong: [], foreign: [] });
  await context.close();
  console.log(`ok - ${title}`);
}
const text = async (page, selector, pattern) => {
  await page.locator(selector).filter({ hasText: pattern }).waitFor();
  return page.locator(selector).textContent();
};
const signIn = async (page, user) => {
  await page.fill("#user", user);
  await page.click("#login .main");
  await text(page, "#who", user);
};
const getTicket = async (page) => {
  await page.click("#sig .main");
  await text(page, "#verdict", "valid");
  return JSON.parse(await page.locator("#answer").textContent());
};
const fitsItsWidth = async (page) => {
  const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= room, `${wide} pixels wide where ${room} are`);
};

await visit("signs in, gets a ticket, decodes it, copies it", { locale: "en-US", permissions: ["clipboard-read", "clipboard-write"] }, async (page) => {
  const served = await fetch(base);
  assert.match(served.headers.get("content-security-policy"), /default-src 'none'/);
  assert.doesNotMatch(await served.text(), /__[A-Z_]+__/);
  assert.match(await page.locator("#mode").textContent(), /^SDKAppID [1-9]\d* /);
  await signIn(page, "alice");
  const answer = await getTicket(page);
  assert.equal(answer.userId, "alice");
  assert.equal(answer.expiresAt, answer.issuedAt + answer.expire);
  const fields = await page.locator("#fields").innerText();
  for (const value of ["alice", answer.sdkAppId, answer.issuedAt, answer.expire, answer.expiresAt]) assert.ok(fields.includes(String(value)), fields);
  assert.match(await page.locator("#left").textContent(), /^[\d:d ]+$/);
  assert.match(await page.locator("#note").textContent(), /renewAt/);
  await page.click("#copy");
  await text(page, "#copy", "Copied");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), answer.userSig);
  await page.click("#logout");
  await text(page, "#who", "Not signed in");
  assert.equal(await page.evaluate(() => document.activeElement.id), "user");
  assert.equal(await page.locator("#answer").textContent(), "", "another user's ticket stays behind");
});

await visit("shows every refusal, and keeps the session", { locale: "en-US" }, async (page, expected) => {
  await signIn(page, "carol");
  const cases = { none: [401, "missing_credential"], other: [403, "user_mismatch"], forged: [401, "invalid_session"], admin: [403, "user_not_permitted"], app: [404, "unknown_app"] };
  assert.equal(await page.locator("#cases button").count(), Object.keys(cases).length);
  for (const [name, [status, code]] of Object.entries(cases)) {
    expected.push(status);
    await page.click(`#cases [value=${name}]`);
    assert.match(await text(page, "#advice", code), new RegExp(`^${status} ${code} \\w.*\\.$`));
    const problem = JSON.parse(await page.locator("#problem").textContent());
    assert.deepEqual([problem.status, problem.code], [status, code]);
    assert.ok(problem.detail && problem.requestId);
    assert.equal(await page.locator("#refused").textContent(), String(status));
  }
  assert.equal((await getTicket(page)).userId, "carol", "the refusals have changed the session");
});

await visit("tells apart what is wrong with a sign-in or a ticket", { locale: "en-US" }, async (page, expected) => {
  expected.push(401);
  await page.click("#sig .main");
  await text(page, "#said", "missing_credential");
  await page.click("#login button:text-is('administrator')");
  await text(page, "#who", "administrator");
  expected.push(403);
  await page.click("#sig .main");
  await text(page, "#said", "user_not_permitted");
  await page.fill("#user", "no such user");
  expected.push(400);
  await page.press("#user", "Enter");
  await text(page, "#who", "invalid_request");
  await page.click("#login button:text-is('bob')");
  await text(page, "#who", "Signed in as bob");
  assert.equal((await getTicket(page)).userId, "bob");
});

await visit("gets a PrivateMapKey for either kind of room", { locale: "en-US" }, async (page, expected) => {
  await signIn(page, "alice");
  await page.click("section details summary");
  await page.click("#map .main");
  await text(page, "#fields", "roomId7privileges");
  await page.fill("#room", "live");
  await page.uncheck("#privileges [value=create]");
  await page.click("#map .main");
  assert.match(await text(page, "#fields", "roomStrlive"), /privilegesjoin send-audio/);
  assert.ok(JSON.parse(await page.locator("#answer").textContent()).privateMapKey);
  for (const box of await page.locator("#privileges input").all()) await box.uncheck();
  expected.push(400);
  await page.click("#map .main");
  await text(page, "#said", "invalid_request");
});

await visit("gives lines that work when they are pasted", { locale: "en-US" }, async (page) => {
  await signIn(page, "dave");
  await getTicket(page);
  for (const summary of await page.locator("#code summary").all()) if (!(await summary.evaluate((node) => node.parentNode.open))) await summary.click();
  const code = async (name) => page.locator(`#code-${name}`).textContent();
  const run = (line) => JSON.parse(execFileSync("sh", ["-c", line], { encoding: "utf8" }));
  assert.equal(run(await code("curl")).userId, "dave");
  const inspected = run(await code("inspect"));
  assert.deepEqual([inspected.verdict, inspected.fields.userId], ["valid", "dave"]);
  for (const name of ["cookie", "bearer", "wx"]) {
    const login = await page.evaluate(`new Promise((resolve, reject) => {
      const TencentCloudChat = { create: ({ SDKAppID }) => ({ login: async (login) => resolve({ SDKAppID, ...login }) }) };
      const wx = { request: ({ url, method, header, success }) => fetch(url, { method, headers: header, credentials: "omit" })
        .then(async (response) => success({ statusCode: response.status, data: await response.json() })).catch(reject) };
      (async () => { ${await code(name)} })().catch(reject);
    })`);
    assert.equal(typeof login.SDKAppID, "number");
    assert.equal(login.userID, "dave");
    assert.match(login.userSig, /^eJ[\w*-]{100,}$/);
  }
});

await visit("counts down to the end, and inspects again there", { locale: "en-US" }, async (page) => {
  await page.clock.install();
  await page.reload();
  await page.clock.pauseAt(Date.now() + 60_000); // from here on time passes by runFor alone
  await signIn(page, "alice");
  await page.selectOption("#expire", "30");
  await page.click("#sig .main");
  await text(page, "#verdict", "valid");
  assert.equal(await page.locator("#left").textContent(), "00:00:30");
  await page.clock.runFor(27_500);
  await text(page, "#note", "has passed");
  const inspected = page.waitForResponse(/inspect/);
  await page.clock.runFor(5_000);
  await text(page, "#note", "70001");
  assert.equal(await page.locator("#left").textContent(), "00:00:00");
  await inspected;
});

await visit("changes its language and keeps what it shows", { locale: "en-GB" }, async (page, expected) => {
  await signIn(page, "alice");
  const { userSig } = await getTicket(page);
  const language = () => page.evaluate(() => document.documentElement.lang);
  assert.equal(await language(), "en");
  await page.click("#lang");
  assert.equal(await language(), "zh-CN");
  assert.match(await page.locator("#sig .main").textContent(), /获取/);
  assert.match(await page.locator("#who").textContent(), /已登录为 alice/);
  assert.ok((await page.locator("#answer").textContent()).includes(userSig));
  expected.push(401);
  await page.click("#cases [value=none]");
  await text(page, "#advice", "登录页");
  const empty = await page.evaluate(() => [...document.querySelectorAll("[data-t]")].filter((node) => !node.textContent).length);
  assert.equal(empty, 0, "some text has no Chinese");
  await page.reload();
  assert.equal(await language(), "zh-CN", "a reload forgets the language");
  await page.click("#lang");
  assert.equal(await language(), "en");
});

await visit("speaks Chinese to a Chinese browser", { locale: "zh-CN" }, async (page) => {
  assert.equal(await page.evaluate(() => document.documentElement.lang), "zh-CN");
});

await visit("says so when the service is gone, and goes on when it is back", { locale: "en-US" }, async (page, expected, _, context) => {
  await signIn(page, "alice");
  await context.route("**/*", (route) => route.abort());
  for (const [press, status] of [["#sig .main", "#said"], ["#login .main", "#who"], ["#cases [value=app]", "#advice"]]) {
    expected.push("net::ERR_FAILED");
    await page.click(press);
    assert.match(await text(page, status, "No usable answer"), new RegExp(origin));
  }
  await context.unroute("**/*");
  await signIn(page, "alice");
  await getTicket(page);
});

await visit("shows its own faults", { locale: "en-US" }, async (page, _, wrong) => {
  for (const fault of ['setTimeout(() => { throw new Error("first fault"); })', 'Promise.reject(new Error("second fault"))']) {
    await page.evaluate(`{ ${fault}; undefined; }`);
    await text(page, "#fault", /(first|second) fault/);
    await page.evaluate(() => { document.getElementById("fault").hidden = true; document.getElementById("fault").textContent = ""; });
  }
  assert.deepEqual(wrong.splice(0), ["first fault", "second fault"]);
});

await visit("works by keyboard, with a visible focus", { locale: "en-US" }, async (page) => {
  const seen = [];
  for (let step = 0; step < 40 && (await page.evaluate(() => document.activeElement?.closest("#code")?.lastChild !== document.activeElement?.closest("details"))); step += 1) {
    await page.keyboard.press("Tab");
    const [name, outline] = await page.evaluate(() => {
      const node = document.activeElement;
      return [node.id || node.value || node.textContent, getComputedStyle(node).outlineStyle];
    });
    assert.equal(outline, "solid", `${name} shows no focus`);
    seen.push(name);
    if (name === "user") { await page.keyboard.press("Enter"); await text(page, "#who", "Signed in as alice"); }
    if (name === "Get a UserSig") { await page.keyboard.press("Space"); await text(page, "#verdict", "valid"); }
  }
  for (const name of ["lang", "user", "Sign in", "administrator", "logout", "expire", "Get a UserSig", "copy", "none", "app"]) assert.ok(seen.includes(name), `${name} is not in ${seen}`);
  const nameless = await page.evaluate(() => [...document.querySelectorAll("input, select")].filter((node) => !node.labels.length || !node.labels[0].textContent.trim()).length);
  assert.equal(nameless, 0, "a field has no label");
});

for (const [name, width, colorScheme, locale] of [["phone", 375, "light", "zh-CN"], ["phone-dark", 375, "dark", "en-US"], ["desktop", 1280, "light", "en-US"], ["desktop-dark", 1280, "dark", "zh-CN"], ["narrow", 320, "light", "en-US"]]) {
  await visit(`fits ${name}`, { locale, colorScheme, viewport: { width, height: 800 } }, async (page, expected) => {
    const heights = () => page.evaluate(() => [...document.querySelectorAll("section")].slice(0, 3).map((node) => node.clientHeight));
    const before = await heights();
    await signIn(page, "alice");
    await getTicket(page);
    expected.push(401);
    await page.click("#cases [value=forged]");
    await text(page, "#refused", "401");
    // At 320 pixels what was one line before the sign-in takes two.
    if (width !== 320) (await heights()).forEach((height, index) => assert.ok(height - before[index] <= 1, `section ${index + 1} grows from ${before[index]} to ${height} pixels`));
    for (const summary of await page.locator("summary").all()) if (!(await summary.evaluate((node) => node.parentNode.open))) await summary.click();
    await fitsItsWidth(page);
    for (const summary of (await page.locator("summary").all()).filter((_, index) => index !== 1)) await summary.click();
    if (pictures) await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
  });
}
await browser.close();
