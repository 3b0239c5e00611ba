// Gets UserSigs from the service and keeps Tencent Cloud Chat logged in with them: one file to copy, no dependencies.

/** What the service answers. `sdkAppId`, `userId` and `userSig` belong together: never mix them with values from elsewhere. */
export interface Ticket {
  sdkAppId: number;
  userId: string;
  userSig: string;
  /** Seconds. */
  expire: number;
  /** Unix seconds of the service's clock, like the two below. */
  issuedAt: number;
  expiresAt: number;
  renewAt: number;
}

/** The answer of `/v1/private-map-key`: what a user needs to enter one TRTC room. */
export interface RoomKey extends Omit<Ticket, 'userSig'> {
  privateMapKey: string;
}

/** A TRTC room: a number, or a string room, and at most these privileges in it. */
export interface Room {
  roomId?: number;
  roomStr?: string;
  privileges?: number | string[];
  expire?: number;
}

/** How the service recognises the caller: the page's cookies, `Authorization: Bearer`, or a header of your own. */
export type Credential = 'cookie' | { bearer: Token } | { header: string; token: Token };

/** A function is asked before every request, so that a renewed token is used at once; one that fails is tried again. */
export type Token = string | (() => string | Promise<string>);

export interface TicketOptions {
  /** Where the service is, such as `https://im.example.com`. Omitted: the page's own host. */
  service?: string;
  /** Omitted: `'cookie'`. */
  credential?: Credential;
  /** Needed where the service has several apps. */
  sdkAppId?: number;
  /** Seconds that a ticket should live; the service may give less. */
  expire?: number;
  /** Omitted: `fetch`. A mini-program gives one made of `wx.request`. */
  transport?: Transport;
  /** Told when a renewal in the background came to nothing. */
  onError?: (error: TicketError) => void;
}

/** Sends one POST. `body` of the reply is parsed JSON, or undefined; a promise that rejects is an unreachable service. */
export type Transport = (request: {
  url: string;
  headers: Record<string, string>;
  body: string | undefined;
  cookies: boolean;
  timeout: number;
}) => Promise<Reply>;

export interface Reply {
  status: number;
  body: unknown;
  header: (name: string) => string | null | undefined;
}

/**
 * Why there is no ticket:
 * - `signed_out` (401): the session is over; show the sign-in page.
 * - `refused` (403): this user, origin or room is not permitted; `code` tells which.
 * - `unavailable` (429, 5xx, no network, no token): tried several times; try again after `retryAfter` seconds.
 * - `fault`: anything else, a mistake on our side or the service's; `code` and `requestId` help to find it.
 * - `cleared`: `clear()` was called while the answer was on its way.
 */
export type Reason = 'signed_out' | 'refused' | 'unavailable' | 'fault' | 'cleared';

export class TicketError extends Error {
  readonly reason: Reason;
  readonly status: number;
  /** The problem's `code`, such as `user_mismatch`; empty where the answer was not the service's. */
  readonly code: string;
  readonly requestId: string;
  /** Seconds; 0 where the service did not say. */
  readonly retryAfter: number;

  constructor(reason: Reason, message: string, reply?: Reply) {
    super(message);
    this.name = 'TicketError';
    this.reason = reason;
    this.status = reply ? reply.status : 0;
    this.code = text(reply, 'code');
    this.requestId = text(reply, 'requestId') || (reply && reply.header('X-Request-Id')) || '';
    this.retryAfter = reply ? secondsOf(reply.header('Retry-After')) : 0;
  }
}

export interface Tickets {
  /** The remembered ticket while it is fresh, otherwise a new one. */
  get(): Promise<Ticket>;
  /** A new ticket, whatever is remembered. */
  renew(): Promise<Ticket>;
  /** The key to one TRTC room; not remembered. */
  privateMapKey(room: Room): Promise<RoomKey>;
  /** Forgets everything and stops renewing. Call it at sign-out: until then every ticket is asked for the same user. */
  clear(): void;
}

const TIMEOUT = 10_000;
const TRIES = 5;
const LONGEST_WAIT = 30_000;
// A longer setTimeout fires at once, and a ticket may live for years.
const LONGEST_TIMER = 2 ** 31 - 1;

/** Tickets for the session of this page. Make one, and share it: it asks once where several ask at the same time. */
export function createTickets(options: TicketOptions = {}): Tickets {
  const service = (options.service || '').replace(/\/+$/, '');
  const transport = options.transport || viaFetch;
  // A change of generation tells everything under way that `clear` was called.
  let generation = 0;
  let known: Known | undefined;
  let flight: Promise<Ticket> | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let closed: { until: number; error: TicketError } | undefined;

  async function get(): Promise<Ticket> {
    const held = known;
    if (held && age(held) < held.renewAfter) return held.ticket;
    try {
      return await renew();
    } catch (error) {
      // Past its time to renew, but good until it expires: better than none while the service is away.
      const usable = held && held === known && age(held) < held.ticket.expire * 1000;
      if (usable && error instanceof TicketError && error.reason === 'unavailable') return held.ticket;
      throw error;
    }
  }

  function renew(): Promise<Ticket> {
    if (flight) return flight;
    const started = fetchTicket();
    const landed = () => {
      if (flight === started) flight = undefined;
    };
    flight = started;
    started.then(landed, landed);
    return started;
  }

  async function fetchTicket(): Promise<Ticket> {
    const asked = generation;
    const reply = await ask('/v1/usersig', { expire: options.expire }).catch((error: TicketError) => {
      // Remembered only as the user to ask for, no longer to be handed out.
      if (known && asked === generation && error.reason !== 'unavailable') known.at = -Infinity;
      throw error;
    });
    const ticket = reply.body as Ticket;
    if (!complete(ticket, 'userSig')) throw notATicket(reply);
    if (asked !== generation) throw cleared();
    // Measured on this device from now on: its clock may differ from the service's by hours.
    const soonest = ticket.renewAt - ticket.issuedAt;
    const spread = Math.max(0, ticket.expiresAt - ticket.renewAt) / 2;
    known = { ticket, at: Date.now(), renewAfter: (soonest + spread * Math.random()) * 1000 };
    renewLater(known.renewAfter);
    return ticket;
  }

  function renewLater(wait: number): void {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (wait > LONGEST_TIMER) renewLater(wait - LONGEST_TIMER);
      else renew().catch(renewalFailed);
    }, Math.min(wait, LONGEST_TIMER));
  }

  function renewalFailed(error: TicketError): void {
    if (error.reason === 'cleared') return;
    // A session that is over, or a refusal, does not mend itself: no further try until someone calls `get`.
    if (error.reason === 'unavailable' && known && age(known) < known.ticket.expire * 1000) {
      renewLater((Math.max(error.retryAfter, 60) + 60 * Math.random()) * 1000);
    } else if (options.onError) {
      options.onError(error);
    }
  }

  async function privateMapKey(room: Room): Promise<RoomKey> {
    const reply = await ask('/v1/private-map-key', { ...room });
    const key = reply.body as RoomKey;
    if (!complete(key, 'privateMapKey')) throw notATicket(reply);
    return key;
  }

  function clear(): void {
    generation += 1;
    known = flight = closed = undefined;
    clearTimeout(timer);
  }

  /** One answer of 200, after as many tries as are decent. */
  async function ask(path: string, fields: Record<string, unknown>): Promise<Reply> {
    const asked = generation;
    for (let attempt = 1; ; attempt += 1) {
      const wait = closed ? closed.until - Date.now() : 0;
      if (closed && wait > LONGEST_WAIT) throw closed.error;
      if (wait > 0) await sleep(wait);
      if (asked !== generation) throw cleared();
      const answer = await once(path, fields);
      if (asked !== generation) throw cleared();
      if (!(answer instanceof TicketError)) {
        closed = undefined;
        return answer;
      }
      if (answer.reason !== 'unavailable') throw answer;
      const own = 2 ** (attempt - 1) * (0.5 + 0.5 * Math.random());
      const pause = answer.retryAfter ? answer.retryAfter * (1 + 0.25 * Math.random()) : own;
      // Kept between calls too: pressing a button again must not get round Retry-After.
      closed = answer.retryAfter || attempt < TRIES ? { until: Date.now() + pause * 1000, error: answer } : undefined;
      if (attempt === TRIES) throw answer;
    }
  }

  async function once(path: string, fields: Record<string, unknown>): Promise<Reply | TicketError> {
    try {
      const headers: Record<string, string> = {};
      const credential = options.credential || 'cookie';
      if (credential !== 'cookie') {
        const token = 'bearer' in credential ? credential.bearer : credential.token;
        const value = typeof token === 'function' ? await token() : token;
        if ('bearer' in credential) headers['Authorization'] = `Bearer ${value}`;
        else headers[credential.header] = value;
      }
      // Once a user is known, the service is told whom the ticket must be for: someone else may have signed in, in another tab.
      const body = without({
        sdkAppId: known ? known.ticket.sdkAppId : options.sdkAppId,
        userId: known ? known.ticket.userId : undefined,
        ...fields,
      });
      if (body) headers['Content-Type'] = 'application/json';
      const reply = await transport({
        url: service + path,
        headers,
        body,
        cookies: credential === 'cookie',
        timeout: TIMEOUT,
      });
      return reply.status === 200 ? reply : refusal(reply);
    } catch (error) {
      return new TicketError('unavailable', `the UserSig service cannot be asked: ${String(error)}`);
    }
  }

  return { get, renew, privateMapKey, clear };
}

interface Known {
  ticket: Ticket;
  at: number;
  renewAfter: number;
}

/** Milliseconds since the ticket came; a clock that was set back makes the ticket old rather than eternal. */
function age(known: Known): number {
  const elapsed = Date.now() - known.at;
  return elapsed < 0 ? Infinity : elapsed;
}

function refusal(reply: Reply): TicketError {
  const { status } = reply;
  const reason: Reason =
    status === 401 ? 'signed_out'
    : status === 403 ? 'refused'
    : status === 429 || status >= 500 ? 'unavailable'
    : 'fault';
  return new TicketError(reason, text(reply, 'detail') || `the UserSig service answered ${status}`, reply);
}

function complete(body: Ticket | RoomKey, name: 'userSig' | 'privateMapKey'): boolean {
  if (!body || typeof body !== 'object') return false;
  const { [name]: ticket, userId } = body as unknown as Record<string, unknown>;
  const numbers = [body.sdkAppId, body.expire, body.issuedAt, body.expiresAt, body.renewAt];
  return !!ticket && typeof ticket === 'string' && !!userId && typeof userId === 'string'
    && numbers.every((number) => typeof number === 'number');
}

function notATicket(reply: Reply): TicketError {
  return new TicketError('fault', 'the answer is not a ticket: is the service behind this address?', reply);
}

function cleared(): TicketError {
  return new TicketError('cleared', 'forgotten by clear()');
}

function text(reply: Reply | undefined, name: string): string {
  const value = reply && reply.body && (reply.body as Record<string, unknown>)[name];
  return typeof value === 'string' ? value : '';
}

/** Seconds of a Retry-After, which a proxy may write as a date. */
function secondsOf(value: string | null | undefined): number {
  if (!value) return 0;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return seconds > 0 ? seconds : 0;
}

/** JSON of what is defined; nothing at all where nothing is, so that the first request needs no preflight. */
function without(fields: Record<string, unknown>): string | undefined {
  const json = JSON.stringify(fields);
  return json === '{}' ? undefined : json;
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, milliseconds));
}

const viaFetch: Transport = async ({ url, headers, body, cookies, timeout }) => {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), timeout);
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers,
      body: body === undefined ? null : body,
      credentials: cookies ? 'include' : 'omit',
      cache: 'no-store',
      signal: abort.signal,
    });
    // A proxy's error page is no JSON, and its status says enough.
    const json = await response.text().then(JSON.parse).catch(() => undefined);
    return { status: response.status, body: json, header: (name) => response.headers.get(name) };
  } finally {
    clearTimeout(timer);
  }
};

/** The part of the SDK that is used here: `@tencentcloud/chat`, `tim-js-sdk` and `tim-wx-sdk` all have it. */
export interface Chat {
  login(options: { userID: string; userSig: string }): Promise<unknown>;
  logout(): Promise<unknown>;
  on(event: string, handler: (event: { data: { type: string } }) => void): void;
  off(event: string, handler: (event: { data: { type: string } }) => void): void;
}

export interface LoginOptions {
  /** A ticket had expired; we are logged in again with this one. */
  onRenewed?: (ticket: Ticket) => void;
  /** The login is over and nobody asked for it. Nothing is tried any more: tell the person. */
  onEnded?: (end: Ended) => void;
}

/** `kicked` is the SDK's word, such as `multipleAccount`; `error` is a TicketError or the SDK's error with its `code`. */
export type Ended = { kicked: string; error?: unknown };

export interface Login {
  /** The ticket that is in use. */
  readonly ticket: Ticket;
  /** Logs out and forgets the tickets. */
  logout(): Promise<void>;
}

// The SDK's EVENT.KICKED_OUT and TYPES.KICKED_OUT_USERSIG_EXPIRED, spelled out so that this file needs no SDK.
const KICKED_OUT = 'kickedOut';
const EXPIRED = 'userSigExpired';
// The only codes that a new ticket mends. A login after any other makes a loop.
const EXPIRED_CODES = [6206, 70001, 70052, 70101, 20002];

/** Whether the SDK refused something because the ticket had expired: `withLogin` is renewing it, or has tried in vain. */
export function isExpired(error: unknown): boolean {
  return !!error && EXPIRED_CODES.includes((error as { code: number }).code);
}

const logins = new WeakMap<Chat, Promise<Login>>();

/**
 * Logs in; once more with a new ticket if this one is refused as expired, now or while online. Any other refusal, and a
 * second one, goes to the caller, or to `onEnded` once logged in.
 */
export function withLogin(chat: Chat, tickets: Tickets, options: LoginOptions = {}): Promise<Login> {
  const running = logins.get(chat);
  if (running) return running;
  const started = start(chat, tickets, options);
  logins.set(chat, started);
  started.catch(() => {
    if (logins.get(chat) === started) logins.delete(chat);
  });
  return started;
}

async function start(chat: Chat, tickets: Tickets, options: LoginOptions): Promise<Login> {
  let ticket = await tickets.get();
  let renewed: { at: number; lifetime: number } | undefined;
  // While a login is under way its own promise tells the outcome; the SDK may say the same by an event.
  let busy = true;
  let over = false;

  const enter = async () => chat.login({ userID: ticket.userId, userSig: ticket.userSig });

  async function again(cause: unknown): Promise<void> {
    // A ticket that is fresh and still "expired" is not mended by another one: clocks, or a login that was ended on purpose.
    if (renewed && Date.now() - renewed.at < renewed.lifetime) throw cause;
    ticket = await tickets.renew();
    if (over) return;
    renewed = { at: Date.now(), lifetime: (ticket.renewAt - ticket.issuedAt) * 1000 };
    await enter();
    // Someone logged out while this was on its way.
    if (over) await leave();
  }

  // The SDK rejects a logout where nobody is logged in, which is what was wanted.
  const leave = () => chat.logout().catch(() => undefined);

  function end(ended?: Ended): void {
    if (over) return;
    over = true;
    chat.off(KICKED_OUT, kicked);
    logins.delete(chat);
    if (ended && options.onEnded) options.onEnded(ended);
  }

  function kicked(event: { data: { type: string } }): void {
    const { type } = event.data;
    if (type !== EXPIRED) return end({ kicked: type });
    if (busy) return;
    busy = true;
    again(Object.assign(new Error('the UserSig was refused as expired'), { code: 70001 })).then(
      () => {
        busy = false;
        if (!over && options.onRenewed) options.onRenewed(ticket);
      },
      (error) => end({ kicked: type, error }),
    );
  }

  chat.on(KICKED_OUT, kicked);
  try {
    await enter().catch((error) => {
      if (!isExpired(error)) throw error;
      return again(error);
    });
    busy = false;
  } catch (error) {
    end();
    throw error;
  }
  return {
    get ticket() {
      return ticket;
    },
    async logout() {
      end();
      tickets.clear();
      await leave();
    },
  };
}
