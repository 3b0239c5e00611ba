// The session with your own back end: what your page has already, in place of this file.
import type { Config } from './config.ts';

export interface Session {
  /** The token of this session, for pages that do not use cookies; in memory only, so a reload signs out. */
  readonly token: string;
  start(userId: string): Promise<void>;
  end(): Promise<void>;
}

export function createSession({ signIn }: Config): Session {
  let token = '';
  return {
    get token() {
      return token;
    },
    async start(userId) {
      const response = await fetch(signIn, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ userId }),
      });
      const body: { token?: string; detail?: string } = await response.json().catch(() => ({}));
      if (!response.ok) throw new Error(body.detail || `${signIn}: ${response.status}`);
      token = body.token || '';
    },
    async end() {
      token = '';
      await fetch(signIn, { method: 'DELETE' });
    },
  };
}
