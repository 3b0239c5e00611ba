// A UserSig and a PrivateMapKey of the real service reach what trtc-sdk-v5 sends to Tencent. Its call to the scheduler has a
// fixed list of fields, the UserSig among them and the PrivateMapKey not: that one travels in the join of the signalling alone.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { WebSocketServer } from 'ws';
import { verify } from '../../examples/h5/stand-in/ticket.mjs';
import { startBackEnd } from './back-end.mjs';
import { APP, SECRET, SESSION_SECRET, freePort, path, person, startService, suite, until } from './support.mjs';

const shared = suite();
const ROOM = 4242;
const SCHEDULER = /^https:\/\/[a-z-]*schedule\.[a-z-]+\.[a-z]+\/api\/v1\/config$/;

test('a room key enters its room, and no other can be had', async (t) => {
  const signalling = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await once(signalling, 'listening');
  t.after(() => {
    for (const socket of signalling.clients) socket.terminate();
    signalling.close();
  });
  const joins = [];
  signalling.on('connection', (socket, request) => {
    const { searchParams } = new URL(request.url, 'ws://x');
    socket.on('message', (data) => {
      const { cmd, data: join } = JSON.parse(data);
      if (String(cmd).startsWith('join')) joins.push({ ...join, url: Object.fromEntries(searchParams) });
    });
    socket.send(JSON.stringify({ cmd: 19, code: 0, data: { clientIp: '127.0.0.1', signalInnerIp: '127.0.0.1', svrTime: Date.now() } }));
  });

  const port = await freePort();
  const service = `http://127.0.0.1:${port}`;
  const backEnd = await startBackEnd({
    redis: shared.redis,
    secret: SESSION_SECRET,
    service,
    dist: path('./pages'),
    assets: { '/trtc.js': path('./node_modules/trtc-sdk-v5/trtc.js'), '/usersig.js': path('../../examples/h5/plain/usersig.js') },
  });
  t.after(() => backEnd.close());
  await startService(t, { redis: shared.redis, port, rooms: 'rooms = "/rooms"\nmax_privileges = ["join", "receive-audio", "receive-video"]' });

  const { context } = await person(t, shared.browser, backEnd.url);
  const page = await context.newPage();
  const scheduled = [];
  await page.route((url) => url.protocol === 'https:', async (route) => {
    const request = route.request();
    if (SCHEDULER.test(request.url())) scheduled.push(request.postData());
    return route.abort();
  });
  await page.goto(`${backEnd.url}/trtc.html`);
  const { ticket, key } = await page.evaluate(
    ([room, proxy]) => globalThis.enter('alice', room, proxy),
    [ROOM, `ws://127.0.0.1:${signalling.address().port}`],
  );
  await until('the scheduler', () => scheduled.length > 0);
  const join = await until('the join', () => joins[0]);

  const { userId, sdkAppId, groupId, isStrGroupId, userSig } = fieldsOf(scheduled[0]);
  assert.deepEqual({ userId, sdkAppId, groupId, isStrGroupId, userSig }, {
    userId: 'alice', sdkAppId: String(APP), groupId: String(ROOM), isStrGroupId: 'false', userSig: ticket.userSig,
  });
  for (const form of scheduled) assert.ok(!form.includes(key.privateMapKey), 'the scheduler was sent the PrivateMapKey');
  assert.equal(join.roomId, String(ROOM));
  assert.equal(join.privateMapKey, key.privateMapKey);
  assert.equal(join.url.userSig, ticket.userSig);

  const now = Math.floor(Date.now() / 1000);
  const expected = { sdkAppId: APP, secret: SECRET, userId: 'alice', now };
  assert.equal(verify(join.url.userSig, expected).code, 0);
  const verdict = verify(join.privateMapKey, expected);
  assert.equal(verdict.code, 0);
  assert.deepEqual(verdict.room, {
    userId: 'alice', sdkAppId: APP, roomId: ROOM, privileges: 2 + 8 + 32, expiresAt: key.expiresAt,
  });

  const refused = await page.evaluate(() => globalThis.keyOf(4243));
  assert.deepEqual(refused, { reason: 'refused', code: 'room_not_permitted' });
});

/** The named fields of a multipart form. */
function fieldsOf(form) {
  return Object.fromEntries([...form.matchAll(/name="([^"]+)"\r\n\r\n([^\r]*)/g)].map(([, name, value]) => [name, value]));
}
