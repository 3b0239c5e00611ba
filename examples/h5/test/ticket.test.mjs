// The gateway's stand-in judges as Tencent does: tickets of the official libraries pass, and each way to spoil one has its code.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { EXPIRED, MALFORMED, OK, WRONG_APP, WRONG_KEY, WRONG_USER, verify } from '../stand-in/ticket.mjs';

const vectors = new URL('../../../tests/vectors/official-tickets.json', import.meta.url);
const { tickets } = JSON.parse(readFileSync(vectors, 'utf8'));
const OTHER_KEY = '07'.repeat(32);

test('every ticket of the official libraries is valid at its time, and for no other', () => {
  assert.equal(tickets.length, 144);
  for (const { ticket, fields, sdkAppId, key, userId, time, expire } of tickets) {
    const right = { sdkAppId, secret: key, userId, now: time };
    const verdict = verify(ticket, right);
    assert.equal(verdict.code, OK, ticket);
    assert.deepEqual(verdict.fields, fields);
    for (const [wrong, code] of [
      [{ now: time + expire + 1 }, EXPIRED],
      [{ secret: OTHER_KEY }, WRONG_KEY],
      [{ userId: `${userId}x` }, WRONG_USER],
      [{ sdkAppId: sdkAppId + 1 }, WRONG_APP],
    ]) assert.equal(verify(ticket, { ...right, ...wrong }).code, code, `${JSON.stringify(wrong)}: ${ticket}`);
    assert.equal(verify(ticket, { ...right, now: time + expire }).code, OK, `at its last second: ${ticket}`);
  }
});

test('a ticket that is cut, or no ticket, cannot be read', () => {
  for (const { ticket, sdkAppId, key, userId, time } of tickets) {
    for (const spoilt of [ticket.slice(0, ticket.length / 2), ticket.slice(1), `${ticket} `, '', undefined]) {
      assert.deepEqual(verify(spoilt, { sdkAppId, secret: key, userId, now: time }), { code: MALFORMED }, String(spoilt));
    }
  }
});
