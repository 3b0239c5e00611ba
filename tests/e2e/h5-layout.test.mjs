// The built page of examples/h5 as a person meets it: on a phone and on a desktop, in both languages, by keyboard alone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deploy, person, suite } from './support.mjs';

const shared = suite();

for (const [width, locale] of [[375, 'en-GB'], [375, 'zh-CN'], [1280, 'en-GB'], [1280, 'zh-CN']]) {
  test(`fits ${width} pixels in ${locale}, works by keyboard, and nothing jumps`, async (t) => {
    const { backEnd } = await deploy(t, shared);
    const tab = await (await person(t, shared.browser, backEnd.url, { locale, viewport: { width, height: 800 } })).open();
    const { page } = tab;
    const fitsItsWidth = async () => {
      const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(wide <= room, `${wide} pixels wide where ${room} are`);
    };
    const place = (selector) => page.evaluate((name) => {
      const { top, height } = document.querySelector(name).getBoundingClientRect();
      return [top, height];
    }, selector);
    const next = async () => {
      await page.keyboard.press('Tab');
      const [id, outline] = await page.evaluate(() => {
        const { activeElement } = document;
        return [activeElement.id || activeElement.textContent, getComputedStyle(activeElement).outlineStyle];
      });
      assert.equal(outline, 'solid', `${id} shows no focus`);
      return id;
    };
    const fail = (expression) => page.evaluate(`setTimeout(() => { ${expression} })`);

    await tab.state('signed-out');
    await fitsItsWidth();
    const card = await place('main');
    assert.deepEqual([await next(), await next()], ['language', 'user']);
    await page.keyboard.press('Enter');
    await tab.state('online');
    await fitsItsWidth();
    const chat = [await place('main'), await place('#chat')];
    await page.keyboard.type('https://example.com/' + 'long'.repeat(40));
    await page.keyboard.press('Enter');
    await page.waitForSelector('#messages li.mine');
    await fitsItsWidth();
    await fail('throw Object.assign(new Error("x"), { code: 70014 })');
    await page.waitForFunction(() => document.getElementById('problem').textContent.includes('70014'));
    await fitsItsWidth();
    assert.deepEqual([await place('main'), await place('#chat')], chat);
    // What browsers report without an error, as for another origin's script.
    await fail('dispatchEvent(new ErrorEvent("error", { message: "Script error." }))');
    await page.waitForFunction(() => document.getElementById('problem').textContent === 'Script error.');

    assert.equal((await next()).trim(), await page.textContent('#compose button'));
    assert.equal(await next(), 'sign-out');
    await page.keyboard.press('Enter');
    await tab.state('signed-out');
    await page.waitForFunction(() => document.activeElement.id === 'user');
    assert.deepEqual(await place('main'), card);
    assert.equal(await page.locator('input').count(), await page.locator('label[for]').count());
  });
}
