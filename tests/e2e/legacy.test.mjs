// The 1.x call style of examples/legacy, in Chromium against the real service: what it posts to Tencent is verified there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXPIRED, verify } from '../../examples/h5/stand-in/ticket.mjs';
import { startBackEnd } from './back-end.mjs';
import { APP, SECRET, SESSION_SECRET, freePort, path, person, startService, suite } from './support.mjs';

const shared = suite();

test('1.x: webim.login with our answer, one more try for an expired ticket, and a refusal told', async (t) => {
  const port = await freePort();
  const backEnd = await startBackEnd({
    redis: shared.redis,
    secret: SESSION_SECRET,
    service: `http://127.0.0.1:${port}`,
    dist: path('./pages'),
    assets: { '/login.js': path('../../examples/legacy/login.js') },
  });
  t.after(() => backEnd.close());
  await startService(t, { redis: shared.redis, port });

  const logins = [];
  let ahead = 0;
  const { context } = await person(t, shared.browser, backEnd.url);
  const page = await context.newPage();
  await page.route('https://webim.tim.qq.com/v4/openim/login?*', (route) => {
    // Read off the text: URLSearchParams would mend what was not safe in a query.
    const query = Object.fromEntries(route.request().url().split('?')[1].split('&').map((pair) => pair.split('=')));
    const now = Math.floor(Date.now() / 1000) + ahead;
    const { code } = verify(query.usersig, { sdkAppId: Number(query.sdkappid), secret: SECRET, userId: query.identifier, now });
    logins.push({ user: query.identifier, app: query.sdkappid, code });
    const answer = code
      ? { ActionStatus: 'FAIL', ErrorCode: code, ErrorInfo: 'stand-in' }
      : { ActionStatus: 'OK', ErrorCode: 0, TinyId: '1', A2Key: 'key' };
    return route.fulfill({ json: answer, headers: { 'Access-Control-Allow-Origin': '*' } });
  });
  await page.goto(`${backEnd.url}/legacy.html`);
  const enter = async () => {
    const before = await page.evaluate(() => globalThis.outcomes.length);
    await page.evaluate(() => globalThis.enter());
    await page.waitForFunction((count) => globalThis.outcomes.length > count, before);
    return page.evaluate(() => globalThis.outcomes.at(-1));
  };

  assert.deepEqual(await enter(), { status: 401, code: 'missing_credential', message: 'send the cookie or the token of a login session' });
  assert.deepEqual(logins, []);

  await page.evaluate(() => fetch('/session', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ userId: 'alice' }),
  }));
  const login = { user: 'alice', app: String(APP) };
  assert.equal(await enter(), 'ready');
  assert.deepEqual(logins.splice(0), [{ ...login, code: 0 }]);

  ahead = 2 * 86_400;
  assert.equal((await enter()).code, EXPIRED);
  assert.deepEqual(logins, [{ ...login, code: EXPIRED }, { ...login, code: EXPIRED }]);
});
