// The built page of examples/h5 in Chromium, against the real service, a real Express back end, and the gateway's stand-in.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { startGateway } from '../../examples/h5/stand-in/gateway.mjs';
import { startBackEnd } from './back-end.mjs';
import { APP, OTHER_SECRET, SECRET, deploy, path, person, startDemo, stays, suite, until } from './support.mjs';

const shared = suite();

const world = (t, options) => deploy(t, { ...shared, ...options });

/** The ticket of the `nth` login is the one that the service answered to this tab, and says so itself. */
async function ticketOf(tab, gateway, userId, nth) {
  const login = gateway.logins[nth];
  // The body of an answer reaches this process later than the page, and not at all where the page has gone on.
  const issued = await until('the answer with the ticket that the gateway received', () =>
    tab.tickets.find((ticket) => ticket?.userSig === login.ticket));
  assert.deepEqual([issued.userId, issued.sdkAppId], [userId, APP]);
  assert.deepEqual([login.userId, login.fields['TLS.identifier'], login.fields['TLS.sdkappid']], [userId, userId, APP]);
  assert.deepEqual([login.fields['TLS.time'], login.fields['TLS.expire']], [issued.issuedAt, issued.expire]);
  return login;
}

const statuses = (requests) => Promise.all(requests.map(async (request) => (await request.response()).status()));

test('login and message, the service behind the page\'s own host', async (t) => {
  const { gateway, backEnd, person: comes } = await world(t, { sameHost: true, pages: [] });
  const alice = await (await comes()).open();
  await alice.signIn('alice');
  const bob = await (await comes()).open();
  await bob.signIn('bob');

  assert.deepEqual((await backEnd.sessions()).sort(), ['alice', 'bob']);
  assert.equal((await ticketOf(alice, gateway, 'alice', 0)).code, 0);
  assert.equal((await ticketOf(bob, gateway, 'bob', 1)).code, 0);
  assert.equal(await alice.page.textContent('#me'), 'alice');

  await alice.page.fill('#peer', 'bob');
  await alice.say('你好 <b>bob</b>');
  await alice.page.waitForSelector('#messages li.mine');
  await bob.page.waitForSelector('#messages li');
  assert.equal(await bob.page.textContent('#messages li span'), '你好 <b>bob</b>');
  assert.deepEqual(gateway.messages, [{ from: 'alice', to: 'bob', text: '你好 <b>bob</b>' }]);

  await alice.page.click('#sign-out');
  await alice.state('signed-out');
  await until('alice to be offline', () => gateway.users.join() === 'bob');
  assert.deepEqual(await backEnd.sessions(), ['bob']);
  // The same page serves the next user, with nothing left of this one.
  await alice.signIn('carol');
  assert.equal((await ticketOf(alice, gateway, 'carol', 2)).code, 0);
  assert.equal(await alice.page.locator('#messages li').count(), 0);
  assert.deepEqual([...alice.errors, ...bob.errors], []);
});

test('the same page against `usersig demo`, in Chinese', async (t) => {
  const gateway = await startGateway({ sdkAppId: APP, secret: SECRET });
  t.after(() => gateway.close());
  const demo = await startDemo(t);
  const backEnd = await startBackEnd({
    redis: shared.redis,
    secret: 'unused',
    service: demo.url,
    paths: ['/demo'],
    dist: path('../../examples/h5/dist'),
    config: { service: '', signIn: '/demo/session', credential: 'cookie', gateway: gateway.url },
  });
  t.after(() => backEnd.close());
  const tab = await (await person(t, shared.browser, backEnd.url, { locale: 'zh-CN' })).open();
  await tab.signIn('alice');
  assert.equal(await tab.page.textContent('#status'), '已连接');
  assert.equal((await ticketOf(tab, gateway, 'alice', 0)).code, 0);
  await tab.page.reload();
  await tab.state('online');
  await tab.page.click('#sign-out');
  await tab.state('signed-out');
  await tab.page.reload();
  await tab.state('signed-out');
  assert.equal(await tab.problem(), '');
});

test('a cookie, cross-origin from an allowed origin, with what the page may read of a refusal', async (t) => {
  const { gateway, service, backEnd, person: comes } = await world(t, { limit: 'per_user = "2/m"\nburst = 2' });
  const tab = await (await comes()).open();
  await tab.signIn('alice');
  assert.equal(new URL(tab.requests.at(-1).url()).origin, service.url);
  assert.notEqual(service.url, backEnd.url);
  assert.equal((await ticketOf(tab, gateway, 'alice', 0)).code, 0);

  const refused = await tab.page.evaluate(async (url) => {
    for (let nth = 0; nth < 5; nth += 1) {
      const response = await fetch(url, { method: 'POST', credentials: 'include' });
      if (response.status !== 200) {
        const { code, requestId } = await response.json();
        return { status: response.status, code, requestId, ...Object.fromEntries(response.headers) };
      }
    }
    return undefined;
  }, `${service.url}/v1/usersig`);
  assert.equal(refused.status, 429);
  assert.equal(refused.code, 'rate_limited');
  assert.match(refused['retry-after'], /^\d+$/);
  assert.equal(refused['x-request-id'], refused.requestId);
});

test('a foreign origin gets nothing, with the cookie and without it', async (t) => {
  const { service, backEnd, person: comes } = await world(t);
  const someone = await comes();
  await (await someone.open()).signIn('alice');
  const issued = await service.metric('usersig_tickets_total');
  const checks = await service.metric('usersig_session_checks_total');
  assert.equal(issued, 1);

  const foreign = createServer((_request, response) => response.setHeader('Content-Type', 'text/html').end('<title>x</title>'));
  foreign.listen(0, '127.0.0.1');
  await once(foreign, 'listening');
  t.after(() => foreign.close());
  const { port } = foreign.address();
  // The same site on another port: the browser sends the cookie along. Another site: it does not.
  for (const [origin, refusal] of [[`http://127.0.0.1:${port}`, 'origin_denied'], [`http://localhost:${port}`, 'missing_credential']]) {
    const before = await service.metric(`usersig_refusals_total{reason="${refusal}"}`);
    const page = await someone.context.newPage();
    await page.goto(origin);
    const seen = await page.evaluate(async (url) => {
      const attempt = (init) => fetch(url, { credentials: 'include', ...init }).then((response) => response.status, (error) => error.name);
      return [
        await attempt({ method: 'POST' }),
        await attempt({ method: 'GET' }),
        await attempt({ method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{}' }),
        await attempt({ method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: '{}' }),
        (await fetch(url, { method: 'POST', credentials: 'include', mode: 'no-cors' }).then((response) => response.text(), (error) => error.name)),
      ];
    }, `${service.url}/v1/usersig`);
    assert.deepEqual(seen.slice(0, 4), ['TypeError', 'TypeError', 'TypeError', 'TypeError'], origin);
    assert.ok(['', 'TypeError'].includes(seen[4]), origin);
    assert.ok((await service.metric(`usersig_refusals_total{reason="${refusal}"}`)) > before, `${origin}: ${refusal}`);
  }
  assert.equal(await service.metric('usersig_tickets_total'), issued);
  assert.equal(await service.metric('usersig_session_checks_total'), checks);
  assert.deepEqual(await backEnd.sessions(), ['alice']);
});

test('a logged-out session: 401, and the sign-in page', async (t) => {
  const { gateway, backEnd, person: comes } = await world(t);
  const tab = await (await comes()).open();
  await tab.signIn('alice');
  await backEnd.dropSessions();
  let before = tab.requests.length;
  await tab.page.reload();
  await tab.state('signed-out');
  assert.match(await tab.problem(), /session is over/);
  assert.deepEqual(await statuses(tab.requests.slice(before)), [401]);
  assert.equal(gateway.logins.length, 1);

  // The same while online: what ends it is the ticket, and there is no new one.
  await tab.signIn('alice');
  await backEnd.dropSessions();
  gateway.expire('alice', 'sendmsg');
  before = tab.requests.length;
  await tab.say('anyone?');
  await tab.state('signed-out');
  assert.match(await tab.problem(), /session is over/);
  await stays(3, () => tab.requests.length);
  assert.deepEqual(await statuses(tab.requests.slice(before)), [401]);
  assert.equal(gateway.logins.length, 2);
  before = tab.requests.length;
  await tab.signIn('alice');
  assert.deepEqual([tab.requests.length, gateway.logins.length], [before + 1, 3]);
  assert.deepEqual(tab.errors, []);
});

test('a ticket that has expired at login: exactly one refetch and one login, and no word of it', async (t) => {
  const { gateway, person: comes } = await world(t);
  const tab = await (await comes()).open();
  await tab.state('signed-out');
  const before = tab.requests.length;
  gateway.ahead = 2 * 86_400;
  gateway.aheadFor = 1;
  await tab.signIn('alice');
  assert.equal(tab.requests.length - before, 2);
  assert.deepEqual(gateway.logins.map((login) => login.code), [70001, 0]);
  await ticketOf(tab, gateway, 'alice', 0);
  await ticketOf(tab, gateway, 'alice', 1);
  assert.equal(await tab.problem(), '');
});

test('tickets that are always expired: two logins, then a word, and no loop', async (t) => {
  const { gateway, person: comes } = await world(t);
  const tab = await (await comes()).open();
  await tab.state('signed-out');
  const before = tab.requests.length;
  gateway.ahead = 2 * 86_400;
  await tab.page.press('#user', 'Enter');
  await tab.state('ended');
  assert.match(await tab.problem(), /refused as expired.*70001/);
  await stays(5, () => [tab.requests.length - before, gateway.logins.length]);
  assert.deepEqual([tab.requests.length - before, gateway.logins.length], [2, 2]);
});

test('expired while online: exactly one refetch and one login, and the message that met it arrives once', async (t) => {
  const { gateway, person: comes } = await world(t);
  const tab = await (await comes()).open();
  await tab.signIn('alice');
  const before = tab.requests.length;
  gateway.expire('alice', 'sendmsg');
  await tab.say('still here');
  await tab.page.waitForSelector('#messages li.mine');
  assert.equal(await tab.page.textContent('#renewed'), '1');
  assert.equal(await tab.problem(), '');
  await stays(3, () => [tab.requests.length - before, gateway.logins.length, gateway.messages.length]);
  assert.deepEqual([tab.requests.length - before, gateway.logins.length, gateway.messages.length], [1, 2, 1]);
  await ticketOf(tab, gateway, 'alice', 1);

  // The ticket in use is fresh now: no further one would mend this, so the page says so rather than log in against it.
  gateway.expire('alice', 'sendmsg');
  await tab.say('again');
  await tab.state('ended');
  assert.match(await tab.problem(), /refused as expired.*70001/);
  assert.deepEqual([tab.requests.length - before, gateway.logins.length], [1, 2]);
  await tab.page.click('#again');
  await tab.state('online');
});

test('expired while idle: the heartbeat meets it', async (t) => {
  const { gateway, person: comes } = await world(t, { gateway: { helloInterval: 1 } });
  const tab = await (await comes()).open();
  await tab.signIn('alice');
  const before = tab.requests.length;
  gateway.expire('alice');
  await until('the second login', () => gateway.logins.length === 2);
  await until('alice online again', () => gateway.users.join() === 'alice');
  await stays(3, () => [tab.requests.length - before, gateway.logins.length]);
  assert.equal(tab.requests.length - before, 1);
  await tab.state('online');
});

test('the wrong secret: one login, a word that helps, and no loop', async (t) => {
  const { gateway, person: comes } = await world(t, { secret: OTHER_SECRET });
  const tab = await (await comes()).open();
  await tab.state('signed-out');
  const before = tab.requests.length;
  await tab.page.press('#user', 'Enter');
  await tab.state('ended');
  assert.match(await tab.problem(), /secret does not belong to this app.*70009/);
  await tab.page.click('#language');
  assert.match(await tab.problem(), /密钥不属于这个应用.*70009/);
  await stays(10, () => [tab.requests.length - before, gateway.logins.length]);
  assert.deepEqual([tab.requests.length - before, gateway.logins.map((login) => login.code)], [1, [70009]]);
});

test('the right secret after the wrong one: trying again fetches a new ticket and logs in', async (t) => {
  const { gateway, service, person: comes } = await world(t, { secret: OTHER_SECRET });
  const tab = await (await comes()).open();
  await tab.state('signed-out');
  const before = tab.requests.length;
  await tab.page.press('#user', 'Enter');
  await tab.state('ended');
  await tab.page.waitForFunction(() => document.activeElement.id === 'again');
  await service.changeSecret(SECRET);
  assert.deepEqual(gateway.logins.map((login) => login.code), [70009]);
  await tab.page.click('#again');
  await tab.state('online');
  assert.equal(await tab.problem(), '');
  assert.equal(tab.requests.length - before, 2);
  assert.deepEqual(gateway.logins.map((login) => login.code), [70009, 0]);
  await ticketOf(tab, gateway, 'alice', 1);
});

test('the service restarts in between: nobody notices', async (t) => {
  const { gateway, service, person: comes } = await world(t);
  const tab = await (await comes()).open();
  await tab.signIn('alice');
  const before = tab.requests.length;
  await service.stop();
  gateway.expire('alice', 'sendmsg');
  await tab.say('through the gap');
  await until('a request to the stopped service', () => tab.requests.length > before);
  await service.start();
  await tab.page.waitForSelector('#messages li.mine');
  assert.equal(gateway.logins.length, 2);
  assert.equal((await ticketOf(tab, gateway, 'alice', 1)).code, 0);
  assert.equal(await service.metric('usersig_tickets_total'), 1);
  await tab.page.reload();
  await tab.state('online');
});

test('two tabs, one web instance allowed: the first is told, and neither fights for the login', async (t) => {
  const { gateway, person: comes } = await world(t);
  const someone = await comes();
  const first = await someone.open();
  await first.signIn('alice');
  const second = await someone.open();
  await second.state('online');
  await first.state('ended');
  assert.match(await first.problem(), /another page or device/);
  await stays(5, () => [first.requests.length, second.requests.length, gateway.logins.length]);
  assert.equal(gateway.logins.length, 2);
  await second.state('online');
  await ticketOf(second, gateway, 'alice', 1);
});

test('two tabs, several instances allowed: each renews for itself', async (t) => {
  const { gateway, person: comes } = await world(t, { gateway: { instances: 2, helloInterval: 1 } });
  const someone = await comes();
  const tabs = [await someone.open()];
  await tabs[0].signIn('alice');
  tabs.push(await someone.open());
  await tabs[1].state('online');
  const before = tabs.map((tab) => tab.requests.length);
  gateway.expire('alice');
  await until('both to log in again', () => gateway.logins.length === 4);
  await stays(3, () => gateway.logins.length);
  assert.deepEqual(tabs.map((tab, nth) => tab.requests.length - before[nth]), [1, 1]);
  assert.equal(gateway.users.length, 2);
});

test('two tabs, and another user signs in with the second: the first never becomes that user', async (t) => {
  const { gateway, person: comes } = await world(t, { gateway: { instances: 2 } });
  const someone = await comes();
  const first = await someone.open();
  await first.signIn('alice');
  const second = await someone.open();
  await second.state('online');
  await second.page.click('#sign-out');
  await second.signIn('bob');
  assert.deepEqual(gateway.users, ['alice', 'bob']);
  gateway.expire('alice', 'sendmsg');
  await first.say('who am I?');
  await first.state('signed-out');
  assert.match(await first.problem(), /Someone else has signed in/);
  assert.deepEqual(gateway.users, ['bob']);
  assert.deepEqual(gateway.logins.map((login) => login.userId), ['alice', 'alice', 'bob']);
});

test('the same, and the first was kicked: trying again does not make it that user either', async (t) => {
  const { gateway, person: comes } = await world(t);
  const someone = await comes();
  const first = await someone.open();
  await first.signIn('alice');
  const second = await someone.open();
  await second.state('online');
  await first.state('ended');
  await second.page.click('#sign-out');
  await second.signIn('bob');
  await first.page.click('#again');
  await first.state('signed-out');
  assert.match(await first.problem(), /Someone else has signed in/);
  assert.deepEqual(gateway.logins.map((login) => login.userId), ['alice', 'alice', 'bob']);
});
