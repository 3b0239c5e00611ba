// The documents' TypeScript compiles unchanged, against the file to copy and Tencent's own declarations.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { folder, path, documentBlocks } from './support.mjs';

const COMPILER = path('../../examples/h5/node_modules/typescript/bin/tsc');
// What the reader has already.
const OWN = `
import type { Tickets } from './usersig';
declare global {
  const session: { token: string };
  const tickets: Tickets;
  const TRTC: typeof import('trtc-sdk-v5').default;
  function showEnded(kicked: string, error: unknown): void;
  function showSignIn(): void;
  function showError(error: unknown): void;
}
`;
const OPTIONS = {
  target: 'es2022', module: 'esnext', moduleResolution: 'bundler', lib: ['es2022', 'dom'], types: [], strict: true,
  skipLibCheck: true, noEmit: true,
};

test('every TypeScript block of the documents compiles', async (t) => {
  const blocks = documentBlocks('ts');
  assert.ok(blocks.some((block) => block.includes('privateMapKey')));
  const work = folder(t);
  symlinkSync(path('./node_modules'), join(work, 'node_modules'));
  copyFileSync(path('../../examples/h5/src/usersig.ts'), join(work, 'usersig.ts'));
  writeFileSync(join(work, 'own.d.ts'), OWN);
  writeFileSync(join(work, 'tsconfig.json'), JSON.stringify({ compilerOptions: OPTIONS }));
  for (const [nth, block] of blocks.entries()) {
    // A later block goes on from the first.
    const imports = block.includes('import ') ? '' : "import { createTickets } from './usersig';\n";
    writeFileSync(join(work, `block-${nth}.ts`), imports + block);
  }
  const compiled = promisify(execFile)(process.execPath, [COMPILER, '-p', work]);
  await compiled.catch(({ stdout }) => assert.fail(`${stdout}\n${blocks.join('\n\n')}`));
});
