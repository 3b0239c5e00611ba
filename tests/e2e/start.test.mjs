// The one command of examples/h5: `npm start` brings up the page, `usersig demo` and the gateway's stand-in.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startGateway } from '../../examples/h5/stand-in/gateway.mjs';
import { APP, SECRET, folder, freePort, path, person, run, startBrowser, until } from './support.mjs';

const H5 = path('../../examples/h5');

/** Where the page is, once the page and the service behind it answer. */
async function start(t, args, env = {}) {
  const listen = `--listen=127.0.0.1:${await freePort()}`;
  const npm = run(t, 'npm', ['start', '--', listen, ...args], { cwd: H5, env: { ...process.env, ...env }, detached: true });
  // Vite colours its lines, the address in the middle too.
  const address = () => /Local:\s+(http:\S+\/)/.exec(npm.output().replace(/\x1b\[\d+m/g, ''))?.[1];
  const page = await Promise.race([npm.failed, until('the address of the page', () => npm.alive() && address())]);
  await until('the service', () => npm.alive() && fetch(`${page}v1/usersig`, { method: 'POST' }).then(({ status }) => status === 401));
  return { page, output: npm.output };
}

test('npm start: sign in with a browser, and send a message', async (t) => {
  const { page, output } = await start(t, []);
  assert.match(output(), /no message leaves this machine/);
  const tab = await (await person(t, await startBrowser(t), page)).open();
  await tab.signIn('alice');
  await tab.say('hello');
  await tab.page.waitForSelector('#messages li.mine');
  assert.deepEqual(tab.errors, []);
});

test('npm start with an app of one\'s own: its gateway, not the stand-in', async (t) => {
  const gateway = await startGateway({ sdkAppId: APP, secret: SECRET });
  t.after(() => gateway.close());
  const file = join(folder(t), 'secret');
  writeFileSync(file, SECRET, { mode: 0o600 });
  const { page, output } = await start(t, [`--sdk-app-id=${APP}`, `--secret-file=${file}`], { USERSIG_GATEWAY: gateway.url });
  assert.doesNotMatch(output(), /stand-in/);
  const tab = await (await person(t, await startBrowser(t), page)).open();
  await tab.signIn('alice');
  assert.deepEqual(gateway.logins.map(({ userId, code }) => [userId, code]), [['alice', 0]]);
});
