// Stands in for Tencent's gateway where there is no account there: the SDK reaches it by its `proxyServer` option.
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { WebSocketServer } from 'ws';
import { EXPIRED, OK, WRONG_APP, verify } from './ticket.mjs';

const KICKED_BY_LOGIN = 1;

/**
 * Listens on loopback. It verifies the ticket of every login, and carries text messages between the users that are online.
 * `instances` is the console's number of web instances of one user: more than that, and the oldest is kicked, as by Tencent.
 */
export async function startGateway({ sdkAppId, secret, port = 0, instances = 1, helloInterval = 120 }) {
  const gateway = new Gateway({ sdkAppId, secret, instances, helloInterval });
  const server = new WebSocketServer({ host: '127.0.0.1', port, maxPayload: 1 << 20 });
  server.on('connection', (socket) => gateway.connected(socket));
  await once(server, 'listening');
  gateway.url = `ws://127.0.0.1:${server.address().port}`;
  gateway.close = async () => {
    for (const socket of server.clients) socket.terminate();
    server.close();
    await once(server, 'close');
  };
  return gateway;
}

class Gateway {
  /** Every login that was tried: `{ userId, ticket, code, fields, at }`. */
  logins = [];
  /** Every text message that was sent: `{ from, to, text }`. */
  messages = [];
  /** Seconds by which this clock is ahead of the machine's: tickets look older than they are. */
  ahead = 0;
  /** After this many refusals for age the clock is right again. */
  aheadFor = Infinity;

  #online = new Map();
  #options;
  #serial = 0;

  constructor(options) {
    this.#options = options;
  }

  connected(socket) {
    socket.on('message', (data) => this.#frame(socket, JSON.parse(data.toString('utf8'))));
    socket.on('close', () => {
      for (const [key, session] of this.#online) if (session.socket === socket) this.#online.delete(key);
    });
  }

  /** The users that are logged in now, one entry for each instance. */
  get users() {
    return [...this.#online.values()].filter((session) => !session.expired).map((session) => session.userId);
  }

  /**
   * Whatever this user's instances send is refused, as when their ticket runs out while they are online: from now on, or
   * from their next `command` on, such as `sendmsg`.
   */
  expire(userId, command) {
    for (const session of this.#online.values()) {
      if (session.userId !== userId) continue;
      if (command) session.expiresAt = command;
      else session.expired = true;
    }
  }

  #frame(socket, { head, body }) {
    const command = head.servcmd.split('.').pop();
    const answer = (fields) => send(socket, { head, body: { ActionStatus: 'OK', ErrorCode: OK, ErrorInfo: '', ...fields } });
    const refuse = (code) => answer({ ActionStatus: 'FAIL', ErrorCode: code, ErrorInfo: `stand-in says ${code}` });

    if (command === 'wslogin' && !head.a2) return this.#login(socket, head, answer, refuse);
    // After a lost connection the SDK comes back with the key of its last login.
    const session = this.#online.get(head.a2);
    if (command === 'wslogin' && !session) return refuse(EXPIRED);
    if (session && session.expiresAt === command) session.expired = true;
    if (session && session.expired) return refuse(EXPIRED);
    if (command === 'wslogout') this.#online.delete(head.a2);
    if (command === 'sendmsg' && session) return this.#message(session, body, answer);
    // Without an index that says "this was the last page" the SDK asks for the next one without end.
    if (command === 'black_list_get') return answer({ BlackListItem: [], StartIndex: 0 });
    return answer();
  }

  #login(socket, { identifier, sdkappid, usersig }, answer, refuse) {
    const { sdkAppId, secret, instances, helloInterval } = this.#options;
    const now = Math.floor(Date.now() / 1000) + this.ahead;
    // Whoever comes with another app's id is served by another app's gateway: here that is a mismatch.
    const { code, fields } = verify(usersig, { sdkAppId, secret, userId: identifier, now });
    const verdict = code || (Number(sdkappid) === sdkAppId ? OK : WRONG_APP);
    this.logins.push({ userId: identifier, ticket: usersig, code: verdict, fields, at: Date.now() });
    if (verdict === EXPIRED && this.ahead && (this.aheadFor -= 1) <= 0) this.ahead = 0;
    if (verdict !== OK) return refuse(verdict);

    this.#serial += 1;
    const key = randomBytes(16).toString('hex');
    const others = [...this.#online.values()].filter((session) => session.userId === identifier && !session.expired);
    for (const session of others.slice(0, others.length + 1 - instances)) this.#kick(session);
    for (const [old, session] of this.#online) if (session.socket === socket) this.#online.delete(old);
    this.#online.set(key, { key, userId: identifier, socket, instance: this.#serial, expired: false });
    answer({
      A2Key: key,
      TinyId: String(144115000000000000n + BigInt(this.#serial)),
      InstId: this.#serial,
      HelloInterval: helloInterval,
      TimeStamp: now,
    });
  }

  #kick(session) {
    this.#online.delete(session.key);
    const KickoutMsgNotify = { KickType: KICKED_BY_LOGIN, NewInstInfo: {} };
    push(session.socket, { Event: 10, C2cNotifyMsgArray: [{ KickoutMsgNotify }] });
  }

  #message(session, body, answer) {
    const text = body.MsgBody.map((element) => element.MsgContent.Text || '').join('');
    const now = Math.floor(Date.now() / 1000);
    this.messages.push({ from: session.userId, to: body.To_Account, text });
    answer({ MsgTime: now, MsgSeq: body.MsgSeq, MsgKey: `${body.MsgSeq}_${body.MsgRandom}_${now}` });
    for (const peer of this.#online.values()) {
      if (peer.userId !== body.To_Account || peer.key === session.key || peer.expired) continue;
      const message = { ...body, From_Account: session.userId, MsgTimeStamp: now, MsgClientTime: now };
      push(peer.socket, { Event: 9, C2cMsgArray: [message] });
    }
  }
}

function push(socket, event) {
  send(socket, { head: { servcmd: 'im_open_push.msg_push', seq: 0 }, body: { EventArray: [event] } });
}

function send(socket, frame) {
  socket.send(Buffer.from(JSON.stringify(frame), 'utf8'));
}
