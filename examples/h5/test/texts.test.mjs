// Every way to fail has words in both languages. The compiled copy is tested: it is this page's and the mini-program's.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';

const require = createRequire(new URL('../../miniprogram/utils/', import.meta.url));
const { explain, explainKick } = require('./texts.js');
const { TicketError } = require('./usersig.js');

const HAN = /\p{Script=Han}/u;
const openapi = readFileSync(new URL('../../../openapi.yaml', import.meta.url), 'utf8');
const codes = /^ {8}code:\n.*\n.*\n {10}enum:\n((?: {12}- \w+\n)+)/m.exec(openapi)[1].match(/\w+/g);

const refusal = (reason, status, code) =>
  new TicketError(reason, 'a detail in English', { status, body: { code, requestId: 'r-1' }, header: () => null });

test('each code of the service has words of its own', () => {
  assert.ok(codes.length >= 17, codes.join());
  for (const code of codes) {
    // Under a reason that no answer has: what is left are the words of the code.
    const error = refusal('none', 400, code);
    assert.match(explain(error, 'zh'), HAN, code);
    assert.match(explain(error, 'en'), new RegExp(`^[A-Z][^.]+\\..* \\(${code}, r-1\\)$`), code);
    assert.doesNotMatch(explain(error, 'en'), HAN);
  }
});

test('each reason has words, with the code behind them, or the status, or neither', () => {
  for (const reason of ['refused', 'unavailable', 'fault', 'cleared']) {
    assert.match(explain(refusal(reason, 499, 'brand_new'), 'zh'), /^\p{Script=Han}.*。 \(brand_new, r-1\)$/u, reason);
    assert.match(explain(refusal(reason, 499, 'brand_new'), 'en'), /^[A-Z].*\. \(brand_new, r-1\)$/, reason);
    assert.match(explain(new TicketError(reason, 'x'), 'en'), /^[A-Z][^()]*\.$/, reason);
  }
  const ofAProxy = new TicketError('unavailable', 'x', { status: 502, body: undefined, header: () => null });
  assert.equal(explain(ofAProxy, 'en'), 'The service is not available just now. Please try again. (502)');
  assert.equal(explain(refusal('signed_out', 401, 'brand_new'), 'en'), 'Your session is over. Please sign in again.');
});

test('each of Tencent\'s codes that a ticket can meet has words', () => {
  for (const code of [6206, 20002, 70001, 70003, 70005, 70009, 70013, 70014, 70050, 70052, 70101, 70169, 70500]) {
    const error = Object.assign(new Error('a message in English'), { code });
    assert.match(explain(error, 'zh'), new RegExp(`^\\p{Script=Han}.* \\(${code}\\)$`, 'u'));
    assert.match(explain(error, 'en'), new RegExp(`^[A-Z].* \\(${code}\\)$`));
    assert.doesNotMatch(explain(error, 'en'), /a message/);
  }
  assert.equal(explain(Object.assign(new Error('new'), { code: 99999 }), 'zh'), 'new (99999)');
});

test('an error event without an error does not end in another', () => {
  for (const nothing of [undefined, null, '', {}, 0]) {
    assert.match(explain(nothing, 'zh'), HAN);
    assert.match(explain(nothing, 'en'), /went wrong/);
  }
  assert.equal(explain('Script error.', 'en'), 'Script error.');
  assert.equal(explain(new Error('the cause'), 'zh'), 'the cause');
});

test('only an expired ticket is called expired', () => {
  assert.match(explainKick('userSigExpired', 'en'), /expired/);
  assert.match(explainKick('multipleAccount', 'zh'), /其他/);
  assert.equal(explainKick('brandNew', 'en'), 'This account has been signed out. (brandNew)');
  assert.match(explainKick('brandNew', 'zh'), HAN);
});
