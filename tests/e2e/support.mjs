// What every case stands on: the real binary, Redis, an Express back end, the gateway's stand-in and Chromium, all on loopback.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { startGateway } from '../../examples/h5/stand-in/gateway.mjs';
import { startBackEnd } from './back-end.mjs';

export const APP = 1400000000;
export const SECRET = '5e'.repeat(32);
export const OTHER_SECRET = '07'.repeat(32);
export const SESSION_SECRET = 'the secret of the sample back end';

const BINARY = process.env.USERSIG_BIN;
const CHROMIUM = '/usr/bin/chromium';
// Generous: two busy cores.
const DEADLINE = 30_000;

export const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

/** The blocks of the documents in both languages, the READMEs and every page of docs/, that are written in `language` and hold `part`. */
export function documentBlocks(language, part = '') {
  return [['README.md', 'docs'], ['README.zh-CN.md', 'docs/zh-CN']].flatMap(([readme, folder]) => {
    const pages = readdirSync(path(`../../${folder}`)).filter((name) => name.endsWith('.md')).sort();
    const found = [readme, ...pages.map((name) => `${folder}/${name}`)].flatMap((name) => {
      const text = readFileSync(path(`../../${name}`), 'utf8');
      const blocks = text.split(`\n\`\`\`${language}\n`).slice(1).map((rest) => rest.split('\n```')[0]);
      return blocks.filter((block) => block.includes(part));
    });
    if (!found.length) throw new Error(`neither ${readme} nor a page of ${folder} has a ${language} block with ${part}`);
    return found;
  });
}

/** Waits until `condition` gives something true, and returns that. */
export async function until(what, condition, deadline = DEADLINE) {
  const end = Date.now() + deadline;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((next) => setTimeout(next, 20));
  }
}

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

export function folder(t) {
  const made = mkdtempSync(join(tmpdir(), 'usersig-e2e-'));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** A child that is ended by its own id, or `detached` with all that it has started; what it wrote is told when the test fails. */
export function run(t, command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let output = '';
  child.stdout.on('data', (data) => (output += data));
  child.stderr.on('data', (data) => (output += data));
  const failed = once(child, 'error').then(([error]) => {
    throw new Error(`${command}: ${error.message}`);
  });
  failed.catch(() => undefined);
  const kill = (signal) => process.kill(options.detached ? -child.pid : child.pid, signal);
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const exited = once(child, 'exit');
    kill('SIGTERM');
    const timer = setTimeout(() => kill('SIGKILL'), DEADLINE);
    await exited;
    clearTimeout(timer);
  };
  t.after(stop);
  const alive = () => {
    if (child.exitCode !== null) throw new Error(`${command} ended with ${child.exitCode}:\n${output}`);
    return true;
  };
  return { child, stop, alive, failed, output: () => output };
}

export async function startRedis(t) {
  const port = await freePort();
  const dir = folder(t);
  const redis = run(t, 'redis-server', ['--port', port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', dir].map(String));
  await Promise.race([redis.failed, until('Redis', () => redis.alive() && redis.output().includes('Ready to accept'))]);
  return `redis://127.0.0.1:${port}/0`;
}

/**
 * `usersig serve` with the sessions of the Express back end. `pages` are the origins that may use its cookie. It can be
 * stopped and started again at the same address.
 */
export async function startService(t, { redis, pages = [], secret = SECRET, port, limit = '', rooms = '' }) {
  const dir = folder(t);
  const own = port || (await freePort());
  const ops = await freePort();
  const file = join(dir, 'usersig.toml');
  const saveSecret = (value) => writeFileSync(join(dir, 'secret'), value, { mode: 0o600 });
  saveSecret(secret);
  writeFileSync(file, `
[server]
listen = "127.0.0.1:${own}"
ops_listen = "127.0.0.1:${ops}"
allowed_origins = ${JSON.stringify(pages)}
lame_duck = "0s"
drain = "5s"

[[app]]
sdk_app_id = ${APP}
secret = "file:${join(dir, 'secret')}"
${rooms && `[app.private_map_key]\n${rooms}`}

[limit]
${limit || 'per_user = "off"'}

[[session]]
name = "web"
from = "cookie:connect.sid"
unwrap = "express"
secrets = ["env:SESSION_SECRET"]
check = "redis"
url = "${redis}"
key = "sess:{id}"
user = "/user/id"
`);
  const service = { url: `http://127.0.0.1:${own}`, ops: `http://127.0.0.1:${ops}` };
  service.start = async () => {
    const env = { ...process.env, SESSION_SECRET };
    const process_ = run(t, BINARY, ['serve', '--config', file], { env });
    service.stop = process_.stop;
    service.output = process_.output;
    await Promise.race([process_.failed, until('the service', () => process_.alive() && answers(`${service.ops}/readyz`))]);
  };
  service.metric = async (name) => metric(await (await fetch(`${service.ops}/metrics`)).text(), name);
  service.changeSecret = async (value) => {
    saveSecret(value);
    const fingerprint = createHash('sha256').update(value).digest('hex').slice(0, 8);
    await until('the new key', () => service.metric(`usersig_key_info{fingerprint="${fingerprint}"}`));
  };
  await service.start();
  return service;
}

/** `usersig demo` with an app that the gateway's stand-in knows. */
export async function startDemo(t, { secret = SECRET } = {}) {
  const file = join(folder(t), 'secret');
  writeFileSync(file, secret, { mode: 0o600 });
  const url = `http://127.0.0.1:${await freePort()}`;
  const demo = run(t, BINARY, ['demo', '--listen', new URL(url).host, '--sdk-app-id', String(APP), '--secret-file', file]);
  await Promise.race([demo.failed, until('the demo', () => demo.alive() && answers(url))]);
  return { url, output: demo.output };
}

async function answers(url) {
  return fetch(url).then((response) => response.ok, () => false);
}

/** The sum of a metric over those of its labels that `name` does not fix, as in `usersig_refusals_total{reason="x"}`. */
function metric(text, name) {
  const [family, labels = ''] = name.replace('}', '').split('{');
  return text.split('\n')
    .filter((line) => line.startsWith(family) && /^[ {]/.test(line.slice(family.length)) && line.includes(labels))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

export async function startBrowser(t) {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    headless: true,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
    ],
  });
  t.after(() => browser.close());
  return browser;
}

/** Redis and Chromium for a file of cases, begun before the first and ended after the last. */
export function suite() {
  const shared = {};
  const steps = [];
  before(async () => {
    const file = { after: (step) => steps.push(step) };
    shared.redis = await startRedis(file);
    shared.browser = await startBrowser(file);
  });
  after(async () => {
    for (const step of steps.reverse()) await step();
  });
  return shared;
}

/**
 * One deployment: a gateway, a service, a back end with the built page, and a browser profile of its own.
 * `sameHost`: the service is behind the back end's own host, as behind one ingress; otherwise the page reaches it by CORS.
 */
export async function deploy(t, { redis, browser, sameHost = false, gatewaySecret = SECRET, gateway: options, ...service }) {
  const gateway = await startGateway({ sdkAppId: APP, secret: gatewaySecret, ...options });
  t.after(() => gateway.close());
  const port = await freePort();
  const backEnd = await startBackEnd({
    redis,
    secret: SESSION_SECRET,
    dist: path('../../examples/h5/dist'),
    service: `http://127.0.0.1:${port}`,
    config: { service: sameHost ? '' : `http://127.0.0.1:${port}`, signIn: '/session', credential: 'cookie', gateway: gateway.url },
  });
  t.after(() => backEnd.close());
  await backEnd.dropSessions();
  const running = await startService(t, { redis, port, pages: [backEnd.url], ...service });
  const world = { gateway, backEnd, service: running };
  world.person = () => person(t, browser, backEnd.url);
  return world;
}

/** Someone with a browser profile of their own; `open` is one more tab. */
export async function person(t, browser, home, options = { locale: 'en-GB' }) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(DEADLINE);
  t.after(() => context.close());
  const open = async () => {
    const page = await context.newPage();
    const tab = { page, requests: [], tickets: [], errors: [] };
    page.on('pageerror', (error) => tab.errors.push(error.message));
    page.on('request', (request) => {
      if (isForTicket(request)) tab.requests.push(request);
    });
    page.on('response', async (response) => {
      if (!isForTicket(response.request()) || response.status() !== 200) return;
      tab.tickets.push(await response.json().catch(() => undefined));
    });
    tab.state = (state) => page.waitForSelector(`body[data-state="${state}"]`);
    tab.problem = () => page.textContent('#problem');
    tab.signIn = async (user) => {
      await tab.state('signed-out');
      await page.fill('#user', user);
      await page.press('#user', 'Enter');
      await tab.state('online');
    };
    tab.say = async (text) => {
      await page.fill('#text', text);
      await page.press('#text', 'Enter');
    };
    await page.goto(home);
    return tab;
  };
  return { context, open };
}

function isForTicket(request) {
  return request.method() === 'POST' && new URL(request.url()).pathname === '/v1/usersig';
}

/** Nothing more happens for `seconds`: the count stays what it is. */
export async function stays(seconds, count) {
  const before = await count();
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    await new Promise((next) => setTimeout(next, 200));
    const now = await count();
    if (JSON.stringify(now) !== JSON.stringify(before)) throw new Error(`${JSON.stringify(before)} became ${JSON.stringify(now)}`);
  }
}
