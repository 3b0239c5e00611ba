// The mini-program's own modules against the real service, with a stand-in for `wx`, and the real SDK in its mini-program mode.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { startGateway } from '../../examples/h5/stand-in/gateway.mjs';
import { APP, SECRET, startDemo, until } from './support.mjs';

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
const { explain, explainEnd } = require('./utils/texts.js');
const { createTickets } = require('./utils/usersig.js');

/** The mini-program's module as it is with `sdk` in place of the SDK that it names, and with nothing left of earlier cases. */
function imWith(sdk) {
  const own = require.resolve('@tencentcloud/chat');
  if (sdk !== '@tencentcloud/chat') require.cache[own] = { exports: fromHere(sdk) };
  delete require.cache[require.resolve('./utils/im.js')];
  return require('./utils/im.js');
}

for (const sdk of ['@tencentcloud/chat', 'tim-wx-sdk']) {
  test(`${sdk}: signs in, gets a UserSig with the token in a header, and chats`, (t) => signsInAndChats(t, sdk));
}

async function signsInAndChats(t, sdk) {
  const gateway = await startGateway({ sdkAppId: APP, secret: SECRET });
  t.after(() => gateway.close());
  const demo = await startDemo(t);
  Object.assign(config, { service: demo.url, signIn: `${demo.url}/demo/session`, gateway: gateway.url });
  const im = imWith(sdk);

  await im.signIn('alice');
  const ended = [];
  const renewed = [];
  const login = await im.enter({
    onMessage: () => undefined,
    onRenewed: (ticket) => renewed.push(ticket.userSig),
    onEnded: (end) => ended.push(end),
  });
  assert.equal(login.ticket.userId, 'alice');
  const asked = wx.requests.filter(({ url }) => url === `${demo.url}/v1/usersig`);
  assert.equal(asked.length, 1);
  assert.equal(asked[0].method, 'POST');
  assert.match(asked[0].header.Authorization, /^Bearer ey/);
  assert.equal(gateway.logins[0].code, 0);
  assert.equal(gateway.logins[0].ticket, login.ticket.userSig);
  assert.equal(gateway.logins[0].fields['TLS.identifier'], 'alice');

  await im.send('bob', '你好');
  assert.deepEqual(gateway.messages, [{ from: 'alice', to: 'bob', text: '你好' }]);

  // The SDK leaves refusals of its own requests unhandled: WeChat logs them, a test runner takes them for a failure.
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', (error) => {
    if (error.code !== 70001) throw error;
  });
  gateway.expire('alice');
  await im.send('bob', 'anything that meets it').catch(({ code }) => assert.equal(code, 70001));
  await until('the second login', () => renewed.length === 1);
  assert.deepEqual(gateway.logins.map((one) => one.code), [0, 0]);
  assert.equal(gateway.logins[1].ticket, renewed[0]);
  assert.equal(wx.requests.filter(({ url }) => url === `${demo.url}/v1/usersig`).length, 2);

  await im.signOut();
  await until('alice to be offline', () => gateway.users.length === 0);
  assert.deepEqual(ended, []);
  await assert.rejects(im.enter({}), { reason: 'signed_out', code: 'missing_credential' });
}

test('tells a person what is wrong', async (t) => {
  const demo = await startDemo(t);
  const tickets = createTickets({ service: demo.url, credential: { bearer: 'not a session' }, transport });
  const refused = await tickets.get().catch((error) => error);
  assert.deepEqual([refused.reason, refused.status, refused.code], ['signed_out', 401, 'invalid_session']);
  assert.match(refused.requestId, /./);
  assert.equal(explain(refused), '登录状态已失效，请重新登录');
  assert.equal(explainEnd({ kicked: 'multipleAccount' }), '此账号已在其他设备登录');
  assert.match(explain({ code: 70009 }), /密钥/);
  const unreachable = await transport({ url: 'http://127.0.0.1:1/v1/usersig', headers: {}, timeout: 1000 }).catch((error) => error);
  assert.match(unreachable.message, /request:fail/);
});
