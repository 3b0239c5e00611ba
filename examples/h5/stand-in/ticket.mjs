// Verifies a ticket the way Tencent's gateway would, and answers with the code that its clients would see.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { inflateSync } from 'node:zlib';

export const OK = 0;
export const EXPIRED = 70001;
export const MALFORMED = 70003;
export const WRONG_KEY = 70009;
export const WRONG_USER = 70013;
export const WRONG_APP = 70014;

/**
 * `{ code, fields, room }`: the verdict on `ticket` for this app and user at `now` (Unix seconds), what the ticket says, and
 * for a PrivateMapKey the room that it opens.
 */
export function verify(ticket, { sdkAppId, secret, userId, now }) {
  const fields = decode(ticket);
  if (!fields) return { code: MALFORMED };
  const { 'TLS.identifier': user, 'TLS.sdkappid': app, 'TLS.time': time, 'TLS.expire': expire } = fields;
  const buffer = fields['TLS.userbuf'];
  const room = buffer === undefined ? undefined : roomOf(Buffer.from(buffer, 'base64'));
  const signed = [`TLS.identifier:${user}`, `TLS.sdkappid:${app}`, `TLS.time:${time}`, `TLS.expire:${expire}`];
  if (buffer !== undefined) signed.push(`TLS.userbuf:${buffer}`);
  const expected = createHmac('sha256', secret).update(signed.map((line) => `${line}\n`).join('')).digest();
  const given = Buffer.from(String(fields['TLS.sig']), 'base64');

  let code = OK;
  if (app !== sdkAppId) code = WRONG_APP;
  else if (given.length !== expected.length || !timingSafeEqual(given, expected)) code = WRONG_KEY;
  else if (user !== userId) code = WRONG_USER;
  else if (now > time + expire) code = EXPIRED;
  return { code, fields, room };
}

function decode(ticket) {
  if (typeof ticket !== 'string' || !/^[A-Za-z0-9*\-_]+$/.test(ticket)) return undefined;
  const base64 = ticket.replaceAll('*', '+').replaceAll('-', '/').replaceAll('_', '=');
  try {
    const json = inflateSync(Buffer.from(base64, 'base64'), { maxOutputLength: 4096 }).toString('utf8');
    const fields = JSON.parse(json);
    const whole = ['TLS.sdkappid', 'TLS.time', 'TLS.expire'].every((name) => Number.isSafeInteger(fields[name]));
    return whole && fields['TLS.ver'] === '2.0' && typeof fields['TLS.identifier'] === 'string' ? fields : undefined;
  } catch {
    return undefined;
  }
}

function roomOf(buffer) {
  const length = buffer.readUInt16BE(1);
  const at = 3 + length;
  const userId = buffer.toString('utf8', 3, at);
  const common = {
    userId,
    sdkAppId: buffer.readUInt32BE(at),
    expiresAt: buffer.readUInt32BE(at + 8),
    privileges: buffer.readUInt32BE(at + 12),
  };
  if (buffer[0] === 0) return { ...common, roomId: buffer.readUInt32BE(at + 4) };
  return { ...common, roomStr: buffer.toString('utf8', at + 22, at + 22 + buffer.readUInt16BE(at + 20)) };
}
