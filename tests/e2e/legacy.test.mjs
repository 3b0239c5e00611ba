// The 1.x call style of examples/legacy and of the documents, in Chromium against the real service: what it posts to Tencent is
// verified there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXPIRED, verify } from '../../examples/h5/stand-in/ticket.mjs';
import { startBackEnd } from './back-end.mjs';
import { APP, SECRET, SESSION_SECRET, freePort, path, person, documentBlocks, startService, suite } from './support.mjs';

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
  // The next so many logins come with a ticket that is two days older than it is.
  let late = 0;
  let asked = 0;
  const { context } = await person(t, shared.browser, backEnd.url);
  const page = await context.newPage();
  await page.route('https://webim.tim.qq.com/v4/openim/login?*', (route) => {
    // Read off the text: URLSearchParams would mend what was not safe in a query.
    const query = Object.fromEntries(route.request().url().split('?')[1].split('&').map((pair) => pair.split('=')));
    const now = Math.floor(Date.now() / 1000) + ((late -= 1) < 0 ? 0 : 2 * 86_400);
    const { code } = verify(query.usersig, { sdkAppId: Number(query.sdkappid), secret: SECRET, userId: query.identifier, now });
    logins.push({ user: query.identifier, app: query.sdkappid, code });
    const answer = code
      ? { ActionStatus: 'FAIL', ErrorCode: code, ErrorInfo: 'stand-in' }
      : { ActionStatus: 'OK', ErrorCode: 0, TinyId: '1', A2Key: 'key' };
    return route.fulfill({ json: answer, headers: { 'Access-Control-Allow-Origin': '*' } });
  });
  page.on('request', (request) => {
    if (new URL(request.url()).pathname === '/v1/usersig') asked += 1;
  });
  await page.goto(`${backEnd.url}/legacy.html`);
  const enter = async () => {
    const before = await page.evaluate(() => globalThis.outcomes.length);
    await page.evaluate(() => globalThis.enter());
    await page.waitForFunction((count) => globalThis.outcomes.length > count, before);
    return page.evaluate(() => globalThis.outcomes.at(-1));
  };

  /** What came of a snippet, the login's requests at Tencent, and how often the service was asked. */
  const snippet = (code) => page.evaluate((text) => new Promise((resolve) => {
    const run = new Function('ACCOUNT_TYPE', 'listeners', 'onReady', 'onError', text);
    run(1, {}, () => resolve('ready'), ({ status, ErrorCode }) => resolve(status || ErrorCode));
  }), code);
  const seen = () => {
    const since = [asked, logins.splice(0)];
    asked = 0;
    return since;
  };
  const snippets = documentBlocks('js', 'webim.login');

  assert.deepEqual(await enter(), { status: 401, code: 'missing_credential', message: 'send the cookie or the token of a login session' });
  assert.deepEqual(seen(), [1, []]);
  for (const code of snippets) assert.equal(await snippet(code), 401);
  assert.deepEqual(seen(), [snippets.length, []]);

  await page.evaluate(() => fetch('/session', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ userId: 'alice' }),
  }));
  const login = (code) => ({ user: 'alice', app: String(APP), code });
  assert.equal(await enter(), 'ready');
  assert.deepEqual(seen(), [1, [login(0)]]);
  for (const code of snippets) {
    assert.equal(await snippet(code), 'ready');
    assert.deepEqual(seen(), [1, [login(0)]]);
    late = 1;
    assert.equal(await snippet(code), EXPIRED);
    assert.deepEqual(seen(), [1, [login(EXPIRED)]]);
  }

  late = 1;
  assert.equal(await enter(), 'ready');
  assert.deepEqual(seen(), [2, [login(EXPIRED), login(0)]]);

  late = 2;
  assert.equal((await enter()).code, EXPIRED);
  assert.deepEqual(seen(), [2, [login(EXPIRED), login(EXPIRED)]]);
});
