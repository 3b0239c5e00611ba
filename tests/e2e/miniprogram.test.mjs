// The mini-program's own modules against the real service, with a stand-in for `wx`, and the real SDK in its mini-program mode.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { startGateway } from '../../examples/h5/stand-in/gateway.mjs';
import { APP, OTHER_SECRET, SECRET, startDemo, until } from './support.mjs';

const require = createRequire(new URL('../../examples/miniprogram/', import.meta.url));

/** `wx` as WeChat documents it, as far as this mini-program and the SDK use it. `requests` is what was asked of it. */
function standIn() {
  const requests = [];
  const info = { platform: 'ios', language: 'zh_CN', fontSizeSetting: 16, SDKVersion: '3.8.0', version: '8.0.50', model: 'stand-in', brand: 'x' };
  return {
    requests,
    request({ url, method = 'GET', header = {}, data, timeout = 60_000, success, fail }) {
      requests.push({ url, method, header, data });
      const body = typeof data === 'string' || data === undefined ? data : JSON.stringify(data);
      const headers = new Headers({ 'content-type': 'application/json' });
      for (const [name, value] of Object.entries(header)) headers.set(name, value);
      fetch(url, { method, headers, body, signal: AbortSignal.timeout(timeout) })
        .then(async (response) => {
          const text = await response.text();
          let parsed = text;
          try {
            parsed = JSON.parse(text);
          } catch {
            // As WeChat: what is no JSON stays text.
          }
          // Some devices write header names as the server does, some as they like.
          const answered = Object.fromEntries([...response.headers].map(([name, value]) => [name.toUpperCase(), value]));
          success({ statusCode: response.status, data: parsed, header: answered });
        })
        .catch((error) => fail({ errMsg: `request:fail ${error.message}` }));
    },
    connectSocket({ url, complete }) {
      const socket = new WebSocket(url);
      socket.binaryType = 'arraybuffer';
      if (complete) complete({});
      return {
        get readyState() {
          return socket.readyState;
        },
        onOpen: (handler) => (socket.onopen = () => handler({ header: {} })),
        onMessage: (handler) => (socket.onmessage = ({ data }) => handler({ data })),
        onClose: (handler) => (socket.onclose = ({ code, reason }) => handler({ code, reason })),
        onError: (handler) => (socket.onerror = ({ message }) => handler({ errMsg: message })),
        send: ({ data }) => socket.send(data),
        close: () => socket.close(),
      };
    },
    getSystemInfoSync: () => info,
    getAppBaseInfo: () => info,
    getAccountInfoSync: () => ({ miniProgram: { appId: 'touristappid', envVersion: 'develop' } }),
    getNetworkType: ({ success }) => success({ networkType: 'wifi' }),
    onNetworkStatusChange: () => undefined,
    offNetworkStatusChange: () => undefined,
    getStorageSync: () => '',
    setStorageSync: () => undefined,
    removeStorageSync: () => undefined,
    onAppShow: () => undefined,
    onAppHide: () => undefined,
  };
}

const wx = standIn();
globalThis.wx = wx;
globalThis.getApp = () => ({ globalData: {} });
globalThis.__wxConfig = {};
const config = require('./config.js');
const fromHere = createRequire(import.meta.url);
const transport = require('./utils/transport.js');
const { explain } = require('./utils/texts.js');
const { createTickets } = require('./utils/usersig.js');

/** The mini-program's module as it is with `sdk` in place of the SDK that it names, and with nothing left of earlier cases. */
function imWith(sdk) {
  const own = require.resolve('@tencentcloud/chat');
  if (sdk !== '@tencentcloud/chat') require.cache[own] = { exports: fromHere(sdk) };
  delete require.cache[require.resolve('./utils/im.js')];
  return require('./utils/im.js');
}

/** The page as WeChat would run it, on the module of `imWith`. */
function pageWith(sdk) {
  const im = imWith(sdk);
  let page;
  globalThis.Page = (definition) => {
    page = { ...definition, data: { ...definition.data }, setData: (changes) => Object.assign(page.data, changes) };
  };
  delete require.cache[require.resolve('./pages/index/index.js')];
  require('./pages/index/index.js');
  return { page, im };
}

/** What a person has with this SDK: a gateway, a service, and the mini-program. `requests` are those for a UserSig. */
async function startWorld(t, sdk, options) {
  const world = {};
  // The first step afterwards, while there is a gateway: an SDK that is left logged in would be the next case's too.
  t.after(() => world.im && world.im.signOut());
  // The SDK leaves refusals of its own requests unhandled: WeChat logs them, a test runner takes them for a failure.
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', (error) => {
    if (error.code !== 70001) throw error;
  });
  const gateway = await startGateway({ sdkAppId: APP, secret: SECRET });
  t.after(() => gateway.close());
  const demo = await startDemo(t, options);
  Object.assign(config, { service: demo.url, signIn: `${demo.url}/demo/session`, gateway: gateway.url });
  const first = wx.requests.length;
  const requests = () => wx.requests.slice(first).filter(({ url }) => url === `${demo.url}/v1/usersig`);
  return Object.assign(world, { gateway, requests, ...pageWith(sdk) });
}

for (const sdk of ['@tencentcloud/chat', 'tim-wx-sdk']) {
  test(`${sdk}: signs in, gets a UserSig with the token in a header, and chats`, (t) => signsInAndChats(t, sdk));
  test(`${sdk}: the page sends again what an expired ticket held up, and becomes nobody else`, (t) => renewsQuietly(t, sdk));
  test(`${sdk}: the wrong secret: one login, a word that helps, and a new ticket at each further try`, (t) => isToldOfTheWrongSecret(t, sdk));
}

async function signsInAndChats(t, sdk) {
  const { gateway, requests, im } = await startWorld(t, sdk);

  await im.signIn('alice');
  const ended = [];
  const renewed = [];
  const login = await im.enter({
    onMessage: () => undefined,
    onRenewed: (ticket) => renewed.push(ticket.userSig),
    onEnded: (end) => ended.push(end),
  });
  assert.equal(login.ticket.userId, 'alice');
  const asked = requests();
  assert.equal(asked.length, 1);
  assert.equal(asked[0].method, 'POST');
  assert.match(asked[0].header.Authorization, /^Bearer ey/);
  assert.equal(gateway.logins[0].code, 0);
  assert.equal(gateway.logins[0].ticket, login.ticket.userSig);
  assert.equal(gateway.logins[0].fields['TLS.identifier'], 'alice');

  await im.send('bob', '你好');
  assert.deepEqual(gateway.messages, [{ from: 'alice', to: 'bob', text: '你好' }]);

  gateway.expire('alice', 'sendmsg');
  await assert.rejects(im.send('bob', 'anything that meets it'), { code: 70001 });
  await until('the second login', () => renewed.length === 1);
  assert.deepEqual(gateway.logins.map((one) => one.code), [0, 0]);
  assert.equal(gateway.logins[1].ticket, renewed[0]);
  assert.equal(requests().length, 2);

  await im.signOut();
  await until('alice to be offline', () => gateway.users.length === 0);
  assert.deepEqual(ended, []);
  await assert.rejects(im.enter({}), { reason: 'signed_out', code: 'missing_credential' });
}

async function renewsQuietly(t, sdk) {
  const { gateway, requests, page, im } = await startWorld(t, sdk);
  await page.onSignIn();
  assert.deepEqual([page.data.state, page.data.problem, page.data.me], ['online', '', 'alice']);

  gateway.expire('alice', 'sendmsg');
  page.onText({ detail: { value: 'still here' } });
  await page.onSend();
  await until('the message on the page', () => page.data.messages.length === 1);
  assert.deepEqual([page.data.state, page.data.problem, page.data.text], ['online', '', '']);
  assert.deepEqual(gateway.messages, [{ from: 'alice', to: 'bob', text: 'still here' }]);
  assert.deepEqual([requests().length, gateway.logins.length], [2, 2]);
  await page.onSignOut();

  // Another user's session meanwhile.
  await page.onSignIn();
  await im.signIn('carol');
  gateway.expire('alice', 'sendmsg');
  page.onText({ detail: { value: 'who am I?' } });
  await page.onSend();
  await until('the sign-in form', () => page.data.state === 'signed-out');
  assert.match(page.data.problem, /另一个用户.*user_mismatch/);
  assert.deepEqual(page.data.messages, []);
  await until('alice to be offline', () => gateway.users.length === 0);
  assert.deepEqual(gateway.logins.map((login) => login.userId), ['alice', 'alice', 'alice']);
}

async function isToldOfTheWrongSecret(t, sdk) {
  const { gateway, requests, page } = await startWorld(t, sdk, { secret: OTHER_SECRET });
  await page.onSignIn();
  assert.equal(page.data.state, 'ended');
  assert.match(page.data.problem, /密钥不属于这个应用.*70009/);
  assert.deepEqual([requests().length, gateway.logins.length], [1, 1]);
  await page.onAgain();
  assert.equal(page.data.state, 'ended');
  assert.deepEqual([requests().length, gateway.logins.map((login) => login.code)], [2, [70009, 70009]]);
  await page.onSignOut();
  assert.equal(page.data.state, 'signed-out');
}

test('tells a person what is wrong', async (t) => {
  const demo = await startDemo(t);
  const tickets = createTickets({ service: demo.url, credential: { bearer: 'not a session' }, transport });
  const refused = await tickets.get().catch((error) => error);
  assert.deepEqual([refused.reason, refused.status, refused.code], ['signed_out', 401, 'invalid_session']);
  assert.match(refused.requestId, /./);
  assert.equal(explain(refused, 'zh'), '登录状态已失效，请重新登录。');
  const unreachable = await transport({ url: 'http://127.0.0.1:1/v1/usersig', headers: {}, timeout: 1000 }).catch((error) => error);
  assert.match(unreachable.message, /request:fail/);
});
