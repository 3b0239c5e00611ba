// Runs the page beside `usersig demo`: `npm start`, or with your own app `npm start -- --sdk-app-id N --secret-file FILE`.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startGateway } from './stand-in/gateway.mjs';

const STAND_IN_APP = 1400000000;
const here = fileURLToPath(new URL('.', import.meta.url));
const built = ['release', 'debug'].map((kind) => join(here, '../../target', kind, 'usersig')).find(existsSync);
const binary = process.env.USERSIG_BIN || built || 'usersig';

let args = process.argv.slice(2);
// Whatever else there is, the service's own command line judges.
const { values } = parseArgs({ strict: false, options: { 'sdk-app-id': { type: 'string' }, 'listen': { type: 'string' } } });
if (!values['sdk-app-id']) {
  // Without an app at Tencent: one of our own, and a gateway that knows its secret.
  const secret = randomBytes(32).toString('hex');
  const folder = mkdtempSync(join(tmpdir(), 'usersig-h5-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'secret'), secret, { mode: 0o600 });
  const gateway = await startGateway({ sdkAppId: STAND_IN_APP, secret });
  process.env.USERSIG_GATEWAY = gateway.url;
  args = ['--sdk-app-id', String(STAND_IN_APP), '--secret-file', join(folder, 'secret'), ...args];
  console.log(`A stand-in for Tencent's gateway is at ${gateway.url}; no message leaves this machine.`);
}
process.env.USERSIG_DEMO = `http://${values.listen || '127.0.0.1:8080'}`;

const demo = spawn(binary, ['demo', ...args], { stdio: 'inherit' });
demo.on('error', ({ message }) => {
  console.error(`${message}: build it by \`cargo build\` in the repository, or name it in USERSIG_BIN`);
  process.exit(1);
});
demo.on('exit', (code) => process.exit(code ?? 1));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => demo.kill(signal));

const { createServer } = await import('vite');
const server = await createServer({ root: here });
await server.listen();
server.printUrls();
