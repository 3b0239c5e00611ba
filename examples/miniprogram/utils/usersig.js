"use strict";
// Gets UserSigs from the service and keeps Tencent Cloud Chat logged in with them: one file to copy, no dependencies.
Object.defineProperty(exports, "__esModule", { value: true });
exports.TicketError = void 0;
exports.createTickets = createTickets;
exports.isExpired = isExpired;
exports.withLogin = withLogin;
class TicketError extends Error {
    constructor(reason, message, reply) {
        super(message);
        this.name = 'TicketError';
        this.reason = reason;
        this.status = reply ? reply.status : 0;
        this.code = text(reply, 'code');
        this.requestId = text(reply, 'requestId') || (reply && reply.header('X-Request-Id')) || '';
        this.retryAfter = reply ? secondsOf(reply.header('Retry-After')) : 0;
    }
}
exports.TicketError = TicketError;
const TIMEOUT = 10000;
const TRIES = 5;
const LONGEST_WAIT = 30000;
// A longer setTimeout fires at once, and a ticket may live for years.
const LONGEST_TIMER = 2 ** 31 - 1;
/** Tickets for the session of this page. Make one, and share it: it asks once where several ask at the same time. */
function createTickets(options = {}) {
    const service = (options.service || '').replace(/\/+$/, '');
    const transport = options.transport || viaFetch;
    // A change of generation tells everything under way that `clear` was called.
    let generation = 0;
    let known;
    let flight;
    let timer;
    let closed;
    async function get() {
        const held = known;
        if (held && age(held) < held.renewAfter)
            return held.ticket;
        try {
            return await renew();
        }
        catch (error) {
            // Past its time to renew, but good until it expires: better than none while the service is away.
            const usable = held && held === known && age(held) < held.ticket.expire * 1000;
            if (usable && error instanceof TicketError && error.reason === 'unavailable')
                return held.ticket;
            throw error;
        }
    }
    function renew() {
        if (flight)
            return flight;
        const started = fetchTicket();
        const landed = () => {
            if (flight === started)
                flight = undefined;
        };
        flight = started;
        started.then(landed, landed);
        return started;
    }
    async function fetchTicket() {
        const asked = generation;
        const reply = await ask('/v1/usersig', { expire: options.expire }).catch((error) => {
            // Remembered only as the user to ask for, no longer to be handed out.
            if (known && asked === generation && error.reason !== 'unavailable')
                known.at = -Infinity;
            throw error;
        });
        const ticket = reply.body;
        if (!complete(ticket, 'userSig'))
            throw notATicket(reply);
        if (asked !== generation)
            throw cleared();
        // Measured on this device from now on: its clock may differ from the service's by hours.
        const soonest = ticket.renewAt - ticket.issuedAt;
        const spread = Math.max(0, ticket.expiresAt - ticket.renewAt) / 2;
        known = { ticket, at: Date.now(), renewAfter: (soonest + spread * Math.random()) * 1000 };
        renewLater(known.renewAfter);
        return ticket;
    }
    function renewLater(wait) {
        clearTimeout(timer);
        timer = setTimeout(() => {
            if (wait > LONGEST_TIMER)
                renewLater(wait - LONGEST_TIMER);
            else
                renew().catch(renewalFailed);
        }, Math.min(wait, LONGEST_TIMER));
    }
    function renewalFailed(error) {
        if (error.reason === 'cleared')
            return;
        // A session that is over, or a refusal, does not mend itself: no further try until someone calls `get`.
        if (error.reason === 'unavailable' && known && age(known) < known.ticket.expire * 1000) {
            renewLater((Math.max(error.retryAfter, 60) + 60 * Math.random()) * 1000);
        }
        else if (options.onError) {
            options.onError(error);
        }
    }
    async function privateMapKey(room) {
        const reply = await ask('/v1/private-map-key', Object.assign({}, room));
        const key = reply.body;
        if (!complete(key, 'privateMapKey'))
            throw notATicket(reply);
        return key;
    }
    function clear() {
        generation += 1;
        known = flight = closed = undefined;
        clearTimeout(timer);
    }
    /** One answer of 200, after as many tries as are decent. */
    async function ask(path, fields) {
        const asked = generation;
        for (let attempt = 1;; attempt += 1) {
            const wait = closed ? closed.until - Date.now() : 0;
            if (closed && wait > LONGEST_WAIT)
                throw closed.error;
            if (wait > 0)
                await sleep(wait);
            if (asked !== generation)
                throw cleared();
            const answer = await once(path, fields);
            if (asked !== generation)
                throw cleared();
            if (!(answer instanceof TicketError)) {
                closed = undefined;
                return answer;
            }
            if (answer.reason !== 'unavailable')
                throw answer;
            const own = 2 ** (attempt - 1) * (0.5 + 0.5 * Math.random());
            const pause = answer.retryAfter ? answer.retryAfter * (1 + 0.25 * Math.random()) : own;
            // Kept between calls too: pressing a button again must not get round Retry-After.
            closed = answer.retryAfter || attempt < TRIES ? { until: Date.now() + pause * 1000, error: answer } : undefined;
            if (attempt === TRIES)
                throw answer;
        }
    }
    async function once(path, fields) {
        try {
            const headers = {};
            const credential = options.credential || 'cookie';
            if (credential !== 'cookie') {
                const token = 'bearer' in credential ? credential.bearer : credential.token;
                const value = typeof token === 'function' ? await token() : token;
                if ('bearer' in credential)
                    headers['Authorization'] = `Bearer ${value}`;
                else
                    headers[credential.header] = value;
            }
            // Once a user is known, the service is told whom the ticket must be for: someone else may have signed in, in another tab.
            const body = without(Object.assign({ sdkAppId: known ? known.ticket.sdkAppId : options.sdkAppId, userId: known ? known.ticket.userId : undefined }, fields));
            if (body)
                headers['Content-Type'] = 'application/json';
            const reply = await transport({
                url: service + path,
                headers,
                body,
                cookies: credential === 'cookie',
                timeout: TIMEOUT,
            });
            return reply.status === 200 ? reply : refusal(reply);
        }
        catch (error) {
            return new TicketError('unavailable', `the UserSig service cannot be asked: ${String(error)}`);
        }
    }
    return { get, renew, privateMapKey, clear };
}
/** Milliseconds since the ticket came; a clock that was set back makes the ticket old rather than eternal. */
function age(known) {
    const elapsed = Date.now() - known.at;
    return elapsed < 0 ? Infinity : elapsed;
}
function refusal(reply) {
    const { status } = reply;
    const reason = status === 401 ? 'signed_out'
        : status === 403 ? 'refused'
            : status === 429 || status >= 500 ? 'unavailable'
                : 'fault';
    return new TicketError(reason, text(reply, 'detail') || `the UserSig service answered ${status}`, reply);
}
function complete(body, name) {
    if (!body || typeof body !== 'object')
        return false;
    const { [name]: ticket, userId } = body;
    const numbers = [body.sdkAppId, body.expire, body.issuedAt, body.expiresAt, body.renewAt];
    return !!ticket && typeof ticket === 'string' && !!userId && typeof userId === 'string'
        && numbers.every((number) => typeof number === 'number');
}
function notATicket(reply) {
    return new TicketError('fault', 'the answer is not a ticket: is the service behind this address?', reply);
}
function cleared() {
    return new TicketError('cleared', 'forgotten by clear()');
}
function text(reply, name) {
    const value = reply && reply.body && reply.body[name];
    return typeof value === 'string' ? value : '';
}
/** Seconds of a Retry-After, which a proxy may write as a date. */
function secondsOf(value) {
    if (!value)
        return 0;
    const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
    return seconds > 0 ? seconds : 0;
}
/** JSON of what is defined; nothing at all where nothing is, so that the first request needs no preflight. */
function without(fields) {
    const json = JSON.stringify(fields);
    return json === '{}' ? undefined : json;
}
function sleep(milliseconds) {
    return new Promise((wake) => setTimeout(wake, milliseconds));
}
const viaFetch = async ({ url, headers, body, cookies, timeout }) => {
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
    }
    finally {
        clearTimeout(timer);
    }
};
// The SDK's EVENT.KICKED_OUT and TYPES.KICKED_OUT_USERSIG_EXPIRED, spelled out so that this file needs no SDK.
const KICKED_OUT = 'kickedOut';
const EXPIRED = 'userSigExpired';
// The only codes that a new ticket mends. A login after any other makes a loop.
const EXPIRED_CODES = [6206, 70001, 70052, 70101, 20002];
/** Whether the SDK refused something because the ticket had expired: `withLogin` is renewing it, or has tried in vain. */
function isExpired(error) {
    return !!error && EXPIRED_CODES.includes(error.code);
}
const logins = new WeakMap();
/**
 * Logs in; once more with a new ticket if this one is refused as expired, now or while online. Any other refusal, and a
 * second one, goes to the caller, or to `onEnded` once logged in.
 */
function withLogin(chat, tickets, options = {}) {
    const running = logins.get(chat);
    if (running)
        return running;
    const started = start(chat, tickets, options);
    logins.set(chat, started);
    started.catch(() => {
        if (logins.get(chat) === started)
            logins.delete(chat);
    });
    return started;
}
async function start(chat, tickets, options) {
    let ticket = await tickets.get();
    let renewed;
    // While a login is under way its own promise tells the outcome; the SDK may say the same by an event.
    let busy = true;
    let over = false;
    const enter = async () => chat.login({ userID: ticket.userId, userSig: ticket.userSig });
    async function again(cause) {
        // A ticket that is fresh and still "expired" is not mended by another one: clocks, or a login that was ended on purpose.
        if (renewed && Date.now() - renewed.at < renewed.lifetime)
            throw cause;
        ticket = await tickets.renew();
        if (over)
            return;
        renewed = { at: Date.now(), lifetime: (ticket.renewAt - ticket.issuedAt) * 1000 };
        await enter();
        // Someone logged out while this was on its way.
        if (over)
            await leave();
    }
    // The SDK rejects a logout where nobody is logged in, which is what was wanted.
    const leave = () => chat.logout().catch(() => undefined);
    function end(ended) {
        if (over)
            return;
        over = true;
        chat.off(KICKED_OUT, kicked);
        logins.delete(chat);
        if (ended && options.onEnded)
            options.onEnded(ended);
    }
    function kicked(event) {
        const { type } = event.data;
        if (type !== EXPIRED)
            return end({ kicked: type });
        if (busy)
            return;
        busy = true;
        again(Object.assign(new Error('the UserSig was refused as expired'), { code: 70001 })).then(() => {
            busy = false;
            if (!over && options.onRenewed)
                options.onRenewed(ticket);
        }, (error) => end({ kicked: type, error }));
    }
    chat.on(KICKED_OUT, kicked);
    try {
        await enter().catch((error) => {
            if (!isExpired(error))
                throw error;
            return again(error);
        });
        busy = false;
    }
    catch (error) {
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
