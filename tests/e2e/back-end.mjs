// A back end as many have it: Express, with express-session in Redis. It serves the built page, and knows nothing of UserSigs.
import { once } from 'node:events';
import { request } from 'node:http';
import { RedisStore } from 'connect-redis';
import express from 'express';
import session from 'express-session';
import { createClient } from 'redis';

export async function startBackEnd({ redis, secret, dist, service, config, paths = [], assets = {} }) {
  const client = createClient({ url: redis });
  await client.connect();
  const app = express();
  app.disable('x-powered-by');
  // What an ingress does with a path of the same host.
  app.use(['/v1', ...paths], (incoming, outgoing) => forward(service, incoming, outgoing));
  app.use(session({
    store: new RedisStore({ client }),
    secret,
    resave: false,
    saveUninitialized: false,
    cookie: { httpOnly: true, sameSite: 'lax' },
  }));
  app.post('/session', express.json(), (req, res, next) => {
    const { userId } = req.body;
    // A new id at every login, so that one given before it is worth nothing.
    req.session.regenerate((error) => {
      if (error) return next(error);
      req.session.user = { id: userId };
      req.session.rooms = [4242];
      return res.json({ userId });
    });
  });
  app.delete('/session', (req, res, next) => {
    req.session.destroy((error) => (error ? next(error) : res.clearCookie('connect.sid').status(204).end()));
  });
  app.get('/config.json', (_req, res) => res.json(config));
  for (const [url, file] of Object.entries(assets)) app.get(url, (_req, res) => res.sendFile(file));
  if (dist) app.use(express.static(dist));
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    port: server.address().port,
    /** The users of all sessions, read where the service reads them. */
    async sessions() {
      const keys = await client.keys('sess:*');
      const values = await Promise.all(keys.map((key) => client.get(key)));
      return values.filter(Boolean).map((value) => JSON.parse(value).user.id);
    },
    /** Logs everybody out, as a back end does after a change of password. */
    async dropSessions() {
      const keys = await client.keys('sess:*');
      if (keys.length) await client.del(keys);
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
      client.destroy();
    },
  };
}

function forward(service, incoming, outgoing) {
  const { host, port } = new URL(service);
  const passed = request({
    host: '127.0.0.1', port, method: incoming.method, path: incoming.originalUrl, headers: { ...incoming.headers, host },
  });
  passed.on('response', (answer) => {
    outgoing.writeHead(answer.statusCode, answer.headers);
    answer.pipe(outgoing);
  });
  passed.on('error', () => outgoing.writeHead(502).end());
  incoming.pipe(passed);
}
