// An OpenID Connect provider under ISSUER's path: discovery, key set, code flow, introspection and revocation are oidc-provider's own.
// GET /test/counts says how often each path was asked for, POST /test/rotate signs with another key from then on.

import { generateKeyPairSync } from 'node:crypto';
import express from 'express';
import Provider from 'oidc-provider';

const { ISSUER, CLIENT_SECRET } = process.env;
const mount = new URL(ISSUER).pathname;

// What a token is for: JWTs for one resource, opaque tokens for another.
const resources = {
  'https://im.example.com': { scope: 'chat', audience: 'im', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } },
  'https://other.example.com': { scope: 'chat', audience: 'account', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } },
  'https://opaque.example.com': { scope: 'chat', audience: 'im', accessTokenFormat: 'opaque' },
};

const keys = [];
function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  keys.unshift({ ...privateKey.export({ format: 'jwk' }), kid: `key-${keys.length + 1}`, use: 'sig', alg: 'RS256' });
}

function makeProvider() {
  const only = { client_secret: CLIENT_SECRET, redirect_uris: [], response_types: [], grant_types: [] };
  const provider = new Provider(ISSUER, {
    jwks: { keys },
    clients: [
      {
        client_id: 'web', client_secret: CLIENT_SECRET, redirect_uris: ['https://app.example.com/cb'],
        grant_types: ['authorization_code', 'refresh_token'],
      },
      { ...only, client_id: 'usersig' },
      { ...only, client_id: 'usersig-post', token_endpoint_auth_method: 'client_secret_post' },
    ],
    cookies: { keys: ['signs the cookies of this run'] },
    pkce: { required: () => false },
    features: {
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, resource) => resources[resource],
        useGrantedResource: () => true,
      },
    },
    routes: { introspection: '/protocol/openid-connect/token/introspect' },
    // As Keycloak names the client and the kind of token.
    formats: { customizers: { jwt: (ctx, token, { payload }) => Object.assign(payload, { azp: token.clientId, typ: 'Bearer' }) } },
    interactions: { url: (ctx, interaction) => `${mount}/login/${interaction.uid}` },
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    issueRefreshToken: () => true,
    ttl: { AccessToken: 3600, RefreshToken: 86400, IdToken: 3600, Grant: 86400, Session: 86400, Interaction: 600 },
    loadExistingGrant: async (ctx) => {
      const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
      grant.addOIDCScope('openid offline_access');
      for (const resource of Object.keys(resources)) grant.addResourceScope(resource, 'chat');
      await grant.save();
      return grant;
    },
  });
  provider.proxy = true;
  return provider;
}

newKey();
let provider = makeProvider();
const counts = {};

const app = express();
app.use((req, res, next) => {
  counts[req.path] = (counts[req.path] || 0) + 1;
  next();
});
app.get('/test/counts', (req, res) => res.json(counts));
app.post('/test/rotate', (req, res) => {
  newKey();
  provider = makeProvider();
  res.json({});
});
// The login page: whoever the client says wants to log in is logged in.
app.get(`${mount}/login/:uid`, async (req, res) => {
  req.url = req.originalUrl;
  const { params } = await provider.interactionDetails(req, res);
  await provider.interactionFinished(req, res, { login: { accountId: params.login_hint }, consent: {} });
});
app.use(mount, (req, res) => provider.callback()(req, res));

const server = app.listen(0, '127.0.0.1', 64, () => console.log(`listening ${server.address().port}`));
process.stdin.resume().on('end', () => process.exit());
