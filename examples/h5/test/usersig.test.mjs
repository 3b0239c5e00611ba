// What usersig.ts promises, in fake time: run `npm test`, which compiles it to plain JavaScript first.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { TicketError, createTickets, isExpired, withLogin } from '../plain/usersig.js';

const SECOND = 1000;
const DAY = 86_400 * SECOND;

beforeEach(() => {
  // A device whose clock is years behind the service's: nothing may depend on it.
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000_000_000 });
  mock.method(Math, 'random', () => 0.5);
});
afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

/** Lets every promise that can go on go on; setImmediate is not faked. */
async function settle() {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((next) => setImmediate(next));
}

/** Moves the clock in steps, so that timers set by timers run too. */
async function pass(milliseconds, step = SECOND) {
  await settle();
  for (let left = milliseconds; left > 0; left -= step) {
    mock.timers.tick(Math.min(step, left));
    await settle();
  }
}

let serial = 0;
function ticket(fields = {}) {
  serial += 1;
  const expire = fields.expire ?? 86_400;
  const issuedAt = 1_790_000_000;
  return {
    sdkAppId: 1400000000,
    userId: 'alice',
    userSig: `ticket-${serial}`,
    expire,
    issuedAt,
    expiresAt: issuedAt + expire,
    renewAt: issuedAt + Math.floor(expire * 0.9),
    ...fields,
  };
}

function reply(status, body, headers = {}) {
  return { status, body, header: (name) => headers[name] ?? null };
}

function problem(status, code, headers) {
  return reply(status, { status, code, detail: `because of ${code}`, requestId: 'r-1' }, headers);
}

/** A service that gives these answers in turn, the last one for ever; `requests` is what it was asked. */
function service(...answers) {
  const requests = [];
  const transport = async (request) => {
    requests.push({ ...request, body: request.body && JSON.parse(request.body) });
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    const given = typeof answer === 'function' ? await answer() : answer;
    if (given instanceof Error) throw given;
    return given ?? reply(200, ticket());
  };
  return { requests, transport };
}

/** What the SDK shows of itself: `outcomes` are the codes of successive logins, 0 for success. */
function chat(...outcomes) {
  const handlers = new Map();
  return {
    logins: [],
    logouts: 0,
    async login({ userID, userSig }) {
      this.logins.push({ userID, userSig });
      const outcome = outcomes.shift() ?? 0;
      const code = typeof outcome === 'function' ? await outcome() : outcome;
      if (code) throw Object.assign(new Error(`refused: ${code}`), { code });
    },
    async logout() {
      this.logouts += 1;
    },
    on: (event, handler) => handlers.set(handler, event),
    off: (event, handler) => handlers.delete(handler),
    kick: (type) => [...handlers].forEach(([handler, event]) => event === 'kickedOut' && handler({ data: { type } })),
    get listeners() {
      return handlers.size;
    },
  };
}

const rejectsWith = (promise, fields) =>
  assert.rejects(promise, (error) => {
    assert.ok(error instanceof TicketError, String(error));
    for (const [name, value] of Object.entries(fields)) assert.equal(error[name], value, name);
    return true;
  });

test('the copies in the mini-program are these files: `npm run copy` after every change', () => {
  const read = (path) => readFileSync(new URL(path, import.meta.url), 'utf8');
  for (const name of ['usersig.js', 'texts.js']) {
    assert.equal(read(`../../miniprogram/utils/${name}`), read(`../plain/commonjs/${name}`), name);
  }
});

test('asks with cookies by default, and without a body so that no preflight is needed', async () => {
  const { requests, transport } = service(null);
  const got = await createTickets({ service: 'https://im.example.com/', transport }).get();
  assert.equal(got.userId, 'alice');
  const { url, headers, body, cookies } = requests[0];
  assert.deepEqual({ url, headers, body, cookies }, {
    url: 'https://im.example.com/v1/usersig',
    headers: {},
    body: undefined,
    cookies: true,
  });
});

test('asks with a bearer token, read anew each time, and without cookies', async () => {
  const { requests, transport } = service(null);
  let token = 'one';
  const tickets = createTickets({ transport, credential: { bearer: () => token }, sdkAppId: 1600000000, expire: 60 });
  await tickets.get();
  token = 'two';
  await tickets.renew();
  assert.deepEqual(requests.map((request) => request.headers.Authorization), ['Bearer one', 'Bearer two']);
  assert.equal(requests[0].cookies, false);
  assert.deepEqual(requests[0].body, { sdkAppId: 1600000000, expire: 60 });
  assert.equal(requests[0].headers['Content-Type'], 'application/json');
});

test('asks with a header of its own', async () => {
  const { requests, transport } = service(null);
  await createTickets({ transport, credential: { header: 'satoken', token: async () => 'abc' } }).get();
  assert.deepEqual(requests[0].headers, { satoken: 'abc' });
});

test('by fetch: credentials included only for cookies, never cached, and a page of HTML is no ticket', async () => {
  const calls = [];
  let answer = () => new Response(JSON.stringify(ticket()), { status: 200 });
  mock.method(globalThis, 'fetch', async (url, init) => {
    calls.push({ url, ...init });
    return answer();
  });
  await createTickets({}).get();
  await createTickets({ credential: { bearer: 't' } }).get();
  assert.deepEqual(calls.map(({ url, method, credentials, cache }) => [url, method, credentials, cache]), [
    ['/v1/usersig', 'POST', 'include', 'no-store'],
    ['/v1/usersig', 'POST', 'omit', 'no-store'],
  ]);
  answer = () => new Response('<!doctype html>', { status: 200 });
  await rejectsWith(createTickets().get(), { reason: 'fault', status: 200 });
  answer = () => new Response('{"code":"rate_limited"}', { status: 429, headers: { 'Retry-After': '3600', 'X-Request-Id': 'r-9' } });
  await rejectsWith(createTickets().get(), { reason: 'unavailable', retryAfter: 3600, requestId: 'r-9' });
});

test('by fetch: an answer that never comes is given up after ten seconds and tried again', async () => {
  let calls = 0;
  mock.method(globalThis, 'fetch', (url, { signal }) => {
    calls += 1;
    if (calls === 2) return Promise.resolve(new Response(JSON.stringify(ticket())));
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  });
  const got = createTickets().get();
  await pass(9 * SECOND);
  assert.equal(calls, 1);
  await pass(3 * SECOND);
  assert.equal(calls, 2);
  assert.ok((await got).userSig);
});

test('one flight for callers at the same time; memory for later ones', async () => {
  const { requests, transport } = service(null);
  const tickets = createTickets({ transport });
  const got = await Promise.all([tickets.get(), tickets.get(), tickets.renew()]);
  assert.equal(new Set(got.map((one) => one.userSig)).size, 1);
  assert.equal((await tickets.get()).userSig, got[0].userSig);
  assert.equal(requests.length, 1);
  assert.notEqual((await tickets.renew()).userSig, got[0].userSig);
  assert.equal(requests.length, 2);
});

test('renews after renewAt and before expiry, spread by chance', async () => {
  for (const [chance, at] of [[0, 90], [0.5, 92.5], [0.999, 94.995]]) {
    Math.random.mock.mockImplementation(() => chance);
    const { requests, transport } = service(() => reply(200, ticket({ expire: 100 })));
    const tickets = createTickets({ transport });
    await tickets.get();
    await pass((at - 1) * SECOND);
    assert.equal(requests.length, 1, `too early at ${chance}`);
    await pass(2 * SECOND);
    assert.equal(requests.length, 2, `too late at ${chance}`);
    tickets.clear();
  }
});

test('a ticket of 180 days is not renewed at once: one timer cannot be that long', async () => {
  const { requests, transport } = service(() => reply(200, ticket({ expire: 180 * 86_400 })));
  await createTickets({ transport }).get();
  await pass(166 * DAY, DAY / 24);
  assert.equal(requests.length, 1);
  await pass(DAY, DAY / 24);
  assert.equal(requests.length, 2);
});

test('a timer that slept, or a clock set back, does not keep a ticket in use', async () => {
  const { requests, transport } = service(null);
  const tickets = createTickets({ transport });
  await tickets.get();
  mock.timers.setTime(1_000_000_000_000 - DAY);
  await tickets.get();
  assert.equal(requests.length, 2);
});

test('while the service is away, a ticket past renewAt is handed out until it expires', async () => {
  let answer = () => reply(200, ticket({ expire: 1000 }));
  const { requests, transport } = service(() => answer());
  const tickets = createTickets({ transport });
  const first = await tickets.get();
  answer = () => new TypeError('Failed to fetch');
  await pass(960 * SECOND);
  assert.ok(requests.length > 1, 'the renewal in the background tried');
  const again = tickets.get();
  await pass(20 * SECOND);
  assert.equal((await again).userSig, first.userSig);
  await pass(60 * SECOND);
  const late = rejectsWith(tickets.get(), { reason: 'unavailable', status: 0 });
  await pass(30 * SECOND);
  await late;
});

test('a background renewal that fails is taken up again, and succeeds when the service is back', async () => {
  const outage = Array.from({ length: 6 }, () => problem(503, 'session_check_unavailable', { 'Retry-After': '1' }));
  const { requests, transport } = service(() => reply(200, ticket({ expire: 10_000 })), ...outage, null);
  const errors = [];
  await createTickets({ transport, onError: (error) => errors.push(error) }).get();
  await pass(9300 * SECOND, 10 * SECOND);
  assert.equal(requests.length, 6, 'five tries, then a pause');
  await pass(120 * SECOND);
  assert.equal(requests.length, 8);
  assert.deepEqual(errors, []);
});

for (const status of [429, 503]) {
  test(`${status}: waits as long as Retry-After says, and no longer than it must`, async () => {
    const { requests, transport } = service(problem(status, 'x', { 'Retry-After': '8' }), null);
    const got = createTickets({ transport }).get();
    await pass(7 * SECOND);
    assert.equal(requests.length, 1);
    await pass(4 * SECOND);
    assert.equal(requests.length, 2);
    await got;
  });
}

test('Retry-After as a date, which proxies write', async () => {
  const date = new Date(Date.now() + 8000).toUTCString();
  const { requests, transport } = service(reply(503, undefined, { 'Retry-After': date }), null);
  const got = createTickets({ transport }).get();
  await pass(7 * SECOND);
  assert.equal(requests.length, 1);
  await pass(4 * SECOND);
  await got;
});

test('a long Retry-After is the caller\'s to decide; asking again before its time sends nothing', async () => {
  const { requests, transport } = service(problem(429, 'rate_limited', { 'Retry-After': '120' }), null);
  const tickets = createTickets({ transport });
  const fields = { reason: 'unavailable', status: 429, code: 'rate_limited', retryAfter: 120, requestId: 'r-1' };
  await rejectsWith(tickets.get(), fields);
  await rejectsWith(tickets.get(), fields);
  assert.equal(requests.length, 1);
  await pass(150 * SECOND, 10 * SECOND);
  await tickets.get();
  assert.equal(requests.length, 2);
});

test('without Retry-After the waits double, and the fifth try is the last', async () => {
  for (const answer of [new TypeError('Failed to fetch'), problem(500, 'internal_error'), reply(502), reply(504, undefined)]) {
    const { requests, transport } = service(answer);
    const at = [];
    const start = Date.now();
    const tickets = createTickets({ transport: (request) => (at.push((Date.now() - start) / SECOND), transport(request)) });
    const failed = rejectsWith(tickets.get(), { reason: 'unavailable', retryAfter: 0 });
    await pass(40 * SECOND, 250);
    await failed;
    assert.deepEqual(at, [0, 0.75, 2.25, 5.25, 11.25]);
    assert.equal(requests.length, 5);
  }
});

test('500, or a token that cannot be had: the held ticket stays in use, and its renewal is taken up again', async () => {
  for (const cause of ['500', 'token']) {
    let away = false;
    const { requests, transport } = service(() =>
      away && cause === '500' ? problem(500, 'internal_error') : reply(200, ticket({ expire: 10_000 })));
    const errors = [];
    const token = () => (away && cause === 'token' ? Promise.reject(new Error('no token now')) : 't');
    const tickets = createTickets({ transport, credential: { bearer: token }, onError: (error) => errors.push(error) });
    const first = await tickets.get();
    away = true;
    const failed = rejectsWith(tickets.renew(), { reason: 'unavailable', status: cause === '500' ? 500 : 0 });
    await pass(40 * SECOND);
    await failed;
    assert.equal((await tickets.get()).userSig, first.userSig);
    // The planned renewal finds the service still away; the one after that does not.
    await pass(9300 * SECOND, 10 * SECOND);
    away = false;
    const before = requests.length;
    await pass(120 * SECOND);
    assert.equal(requests.length, before + 1, cause);
    assert.notEqual((await tickets.get()).userSig, first.userSig, cause);
    assert.deepEqual(errors, []);
    tickets.clear();
  }
});

for (const [status, code, reason] of [
  [401, 'invalid_session', 'signed_out'],
  [403, 'user_not_permitted', 'refused'],
  [400, 'invalid_request', 'fault'],
  [422, 'unusable_user_id', 'fault'],
]) {
  test(`${status}: a ${reason} error at once, no second try, and no renewal later`, async () => {
    const { requests, transport } = service(null, problem(status, code));
    const errors = [];
    const tickets = createTickets({ transport, onError: (error) => errors.push(error) });
    await tickets.get();
    await rejectsWith(tickets.renew(), { reason, status, code, message: `because of ${code}` });
    await pass(2 * DAY, 3600 * SECOND);
    assert.equal(requests.length, 3, 'the one renewal that was already planned');
    assert.deepEqual(errors.map((error) => error.reason), [reason]);
    await rejectsWith(tickets.get(), { reason });
  });
}

test('after 401 the remembered ticket is not handed out, even while the service is away', async () => {
  const { transport } = service(null, problem(401, 'invalid_session'), new TypeError('Failed to fetch'));
  const tickets = createTickets({ transport });
  await tickets.get();
  await rejectsWith(tickets.renew(), { reason: 'signed_out' });
  const failed = rejectsWith(tickets.get(), { reason: 'unavailable' });
  await pass(40 * SECOND);
  await failed;
});

test('an answer of 200 that is not a ticket is a fault', async () => {
  for (const body of [undefined, null, 'text', {}, { ...ticket(), userSig: '' }, { ...ticket(), userId: 7 }, { ...ticket(), expire: '60' }]) {
    const { requests, transport } = service(reply(200, body));
    await rejectsWith(createTickets({ transport }).get(), { reason: 'fault', status: 200 });
    assert.equal(requests.length, 1);
  }
});

test('every later request names the first ticket\'s user and app, until clear()', async () => {
  const { requests, transport } = service(null);
  const tickets = createTickets({ transport });
  await tickets.get();
  await tickets.renew();
  await tickets.privateMapKey({ roomId: 7 }).catch(() => undefined);
  tickets.clear();
  await tickets.get();
  assert.deepEqual(requests.map((request) => request.body), [
    undefined,
    { sdkAppId: 1400000000, userId: 'alice' },
    { sdkAppId: 1400000000, userId: 'alice', roomId: 7 },
    undefined,
  ]);
});

test('clear() while a request is on its way: its ticket is neither handed out nor remembered', async () => {
  let answer;
  const { requests, transport } = service(() => new Promise((resolve) => (answer = resolve)), null);
  const tickets = createTickets({ transport });
  const old = rejectsWith(tickets.get(), { reason: 'cleared' });
  await settle();
  tickets.clear();
  const fresh = tickets.get();
  answer(reply(200, ticket({ userId: 'mallory' })));
  await old;
  assert.equal((await fresh).userId, 'alice');
  assert.equal((await tickets.get()).userId, 'alice');
  assert.equal(requests.length, 2);
});

test('clear() while it waits to try again: it does not try again', async () => {
  const { requests, transport } = service(problem(503, 'x', { 'Retry-After': '5' }));
  const tickets = createTickets({ transport });
  const old = rejectsWith(tickets.get(), { reason: 'cleared' });
  await settle();
  tickets.clear();
  await pass(60 * SECOND);
  await old;
  assert.equal(requests.length, 1);
});

test('the key to a room is asked for each time', async () => {
  const { userSig, ...rest } = ticket();
  const { requests, transport } = service(reply(200, { ...rest, privateMapKey: 'key' }));
  const key = await createTickets({ transport }).privateMapKey({ roomStr: 'lobby', privileges: ['join'] });
  assert.equal(key.privateMapKey, 'key');
  assert.equal(requests[0].url, '/v1/private-map-key');
  assert.deepEqual(requests[0].body, { roomStr: 'lobby', privileges: ['join'] });
  assert.ok(userSig);
});

test('withLogin: logs in with the values of one answer', async () => {
  const { requests, transport } = service(null);
  const sdk = chat();
  const login = await withLogin(sdk, createTickets({ transport }));
  assert.deepEqual(sdk.logins, [{ userID: 'alice', userSig: login.ticket.userSig }]);
  assert.equal(requests.length, 1);
});

for (const code of [6206, 70001, 70052, 70101, 20002]) {
  test(`withLogin: ${code} leads to one new ticket and one login`, async () => {
    const { requests, transport } = service(null);
    const sdk = chat(code, 0);
    const login = await withLogin(sdk, createTickets({ transport }));
    assert.equal(requests.length, 2);
    assert.equal(sdk.logins.length, 2);
    assert.notEqual(sdk.logins[0].userSig, sdk.logins[1].userSig);
    assert.equal(login.ticket.userSig, sdk.logins[1].userSig);
  });

  test(`withLogin: ${code} twice is the caller's`, async () => {
    const { requests, transport } = service(null);
    const sdk = chat(code, code, 0);
    await assert.rejects(withLogin(sdk, createTickets({ transport })), { code });
    await pass(60 * SECOND);
    assert.deepEqual([requests.length, sdk.logins.length, sdk.listeners], [2, 2, 0]);
  });
}

for (const code of [70002, 70003, 70005, 70009, 70013, 70014, 70016, 70050, 70051, 70169, 70500, 6208, 3002, 2025, 60020, undefined]) {
  test(`withLogin: ${code} leads to nothing but an error`, async () => {
    const { requests, transport } = service(null);
    const sdk = chat(() => Promise.reject(Object.assign(new Error('no'), { code })));
    await assert.rejects(withLogin(sdk, createTickets({ transport })), { code });
    await pass(60 * SECOND);
    assert.deepEqual([requests.length, sdk.logins.length, sdk.listeners], [1, 1, 0]);
  });
}

test('withLogin: an SDK that throws rather than rejects', async () => {
  const { transport } = service(null);
  const sdk = chat();
  sdk.login = () => {
    throw Object.assign(new Error('no'), { code: 2021 });
  };
  await assert.rejects(withLogin(sdk, createTickets({ transport })), { code: 2021 });
});

test('withLogin: expired while online leads to one new ticket and one login, however often it is said', async () => {
  const { requests, transport } = service(null);
  const sdk = chat();
  const renewed = [];
  const login = await withLogin(sdk, createTickets({ transport }), { onRenewed: (one) => renewed.push(one.userSig) });
  sdk.kick('userSigExpired');
  sdk.kick('userSigExpired');
  await settle();
  assert.equal(requests.length, 2);
  assert.equal(sdk.logins.length, 2);
  assert.deepEqual(renewed, [login.ticket.userSig]);
  assert.equal(sdk.logins[1].userSig, login.ticket.userSig);
});

test('withLogin: the same refusal told by event and by rejection counts once', async () => {
  const { requests, transport } = service(null);
  const ended = [];
  const sdk = chat(0, () => (sdk.kick('userSigExpired'), 70001), 0);
  await withLogin(sdk, createTickets({ transport }), { onEnded: (end) => ended.push(end) });
  sdk.kick('userSigExpired');
  await pass(60 * SECOND);
  assert.deepEqual([requests.length, sdk.logins.length], [2, 2]);
  assert.deepEqual(ended.map(({ kicked, error }) => [kicked, error.code]), [['userSigExpired', 70001]]);
});

test('withLogin: expired again before its time ends it; a day later it is renewed again', async () => {
  const { transport } = service(null);
  const ended = [];
  const sdk = chat();
  const tickets = createTickets({ transport });
  await withLogin(sdk, tickets, { onEnded: (end) => ended.push(end) });
  sdk.kick('userSigExpired');
  await pass(DAY, 3600 * SECOND);
  sdk.kick('userSigExpired');
  await settle();
  assert.deepEqual([sdk.logins.length, ended.length], [3, 0]);
  await pass(3600 * SECOND, 60 * SECOND);
  sdk.kick('userSigExpired');
  await settle();
  assert.equal(sdk.logins.length, 3);
  assert.equal(ended[0].kicked, 'userSigExpired');
  assert.match(ended[0].error.message, /expired/);
});

for (const type of ['multipleAccount', 'multipleDevice', 'REST_API_Kick']) {
  test(`withLogin: ${type} ends it, without a login`, async () => {
    const { requests, transport } = service(null);
    const sdk = chat();
    const ended = [];
    await withLogin(sdk, createTickets({ transport }), { onEnded: (end) => ended.push(end) });
    sdk.kick(type);
    sdk.kick(type);
    await pass(60 * SECOND);
    assert.deepEqual(ended, [{ kicked: type }]);
    assert.deepEqual([requests.length, sdk.logins.length, sdk.listeners], [1, 1, 0]);
  });
}

test('withLogin: kicked by another terminal while a new ticket is on its way: no login against it', async () => {
  let answer;
  const { transport } = service(null, () => new Promise((resolve) => (answer = resolve)));
  const sdk = chat();
  const ended = [];
  const renewed = [];
  const options = { onEnded: (end) => ended.push(end), onRenewed: (one) => renewed.push(one) };
  await withLogin(sdk, createTickets({ transport }), options);
  sdk.kick('userSigExpired');
  await settle();
  sdk.kick('multipleAccount');
  answer(reply(200, ticket()));
  await settle();
  assert.deepEqual([sdk.logins.length, ended, renewed], [1, [{ kicked: 'multipleAccount' }], []]);
});

test('withLogin: expired while online and signed out meanwhile: told, and no login', async () => {
  const { requests, transport } = service(null, problem(401, 'invalid_session'));
  const sdk = chat();
  const ended = [];
  await withLogin(sdk, createTickets({ transport }), { onEnded: (end) => ended.push(end) });
  sdk.kick('userSigExpired');
  await pass(60 * SECOND);
  assert.equal(ended[0].error.reason, 'signed_out');
  assert.deepEqual([requests.length, sdk.logins.length, sdk.listeners], [2, 1, 0]);
});

test('withLogin: someone else signed in meanwhile: never logged in as that user', async () => {
  const { requests, transport } = service(null, () =>
    requests[1].body.userId === 'alice' ? problem(403, 'user_mismatch') : reply(200, ticket({ userId: 'bob' })));
  const sdk = chat();
  const ended = [];
  await withLogin(sdk, createTickets({ transport }), { onEnded: (end) => ended.push(end) });
  sdk.kick('userSigExpired');
  await settle();
  assert.equal(ended[0].error.code, 'user_mismatch');
  assert.equal(sdk.logins.length, 1);
});

test('withLogin: no ticket, no login', async () => {
  const { transport } = service(problem(401, 'missing_credential'));
  const sdk = chat();
  await rejectsWith(withLogin(sdk, createTickets({ transport })), { reason: 'signed_out', code: 'missing_credential' });
  assert.deepEqual([sdk.logins.length, sdk.listeners], [0, 0]);
});

test('withLogin: called twice it is one login, and it can be called again after the end', async () => {
  const { transport } = service(null);
  const sdk = chat(70009, 0, 0);
  const tickets = createTickets({ transport });
  await assert.rejects(withLogin(sdk, tickets), { code: 70009 });
  const [one, two] = await Promise.all([withLogin(sdk, tickets), withLogin(sdk, tickets)]);
  assert.equal(one, two);
  assert.equal(sdk.logins.length, 2);
  await one.logout();
  await withLogin(sdk, tickets);
  assert.equal(sdk.logins.length, 3);
});

test('logout: logs out, listens no more, forgets; and not in when a renewal was on its way', async () => {
  let answer;
  const { requests, transport } = service(null, () => new Promise((resolve) => (answer = resolve)), null);
  const sdk = chat();
  const tickets = createTickets({ transport });
  const ended = [];
  const login = await withLogin(sdk, tickets, { onEnded: (end) => ended.push(end) });
  sdk.kick('userSigExpired');
  await settle();
  await login.logout();
  answer(reply(200, ticket()));
  await pass(2 * DAY, 3600 * SECOND);
  assert.deepEqual([requests.length, sdk.logins.length, sdk.logouts, sdk.listeners], [2, 1, 1, 0]);
  assert.deepEqual(ended, []);
});

test('logout while the login is on its way to the gateway: out in the end', async () => {
  let enter;
  const { transport } = service(null);
  const sdk = chat(0, () => new Promise((resolve) => (enter = resolve)));
  sdk.logout = async () => {
    sdk.logouts += 1;
    throw Object.assign(new Error('not logged in'), { code: 2024 });
  };
  const login = await withLogin(sdk, createTickets({ transport }));
  sdk.kick('userSigExpired');
  await settle();
  await login.logout();
  enter(0);
  await settle();
  assert.equal(sdk.logouts, 2);
});

test('isExpired tells what a new ticket mends', () => {
  assert.deepEqual([70001, 20002, 70009, undefined].map((code) => isExpired({ code })), [true, true, false, false]);
  assert.equal(isExpired(undefined), false);
});
