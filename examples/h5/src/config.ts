// What differs between one deployment of this page and another, read from /config.json when it starts.

export interface Config {
  /** Where the UserSig service is; empty: behind the page's own host, which spares CORS and third-party cookies. */
  service: string;
  /** The back end's own sign-in: POST {"userId"} starts a session, DELETE ends it. */
  signIn: string;
  /** How the session reaches the service: its cookie, or the `token` that the sign-in answered. */
  credential: 'cookie' | 'bearer';
  /** The SDK's `proxyServer`; empty: Tencent. */
  gateway: string;
}

export async function readConfig(): Promise<Config> {
  const response = await fetch('/config.json', { cache: 'no-store' });
  if (!response.ok) throw new Error(`/config.json: ${response.status}`);
  return (await response.json()) as Config;
}
