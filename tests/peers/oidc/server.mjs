// An authorization server for tests: panva's oidc-provider, certified and strict, with the clients below, and beside it a
// resource that takes its tokens and a control address by which a test looks and gives orders.
//
//   node server.mjs PORT FOLDER TTL_SECONDS
//
// FOLDER holds server.crt, server.key, ca.crt (also the authority of client certificates), assertion.jwk (public) and
// subject (the subject of the client certificate).
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { X509Certificate, createHash } from 'node:crypto';
import { Provider, errors } from 'oidc-provider';
import { importJWK, jwtVerify } from 'jose';

const [port, folder, ttl] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4])];
const read = (name) => readFileSync(`${folder}/${name}`, 'utf8');
const issuer = `https://127.0.0.1:${port}`;
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const publicKey = JSON.parse(read('assertion.jwk'));

const client = (client_id, rest) => ({
  client_id,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  ...rest,
});
const SECRET = 'pass @ +/%&=:word-that-is-long-enough';
const clients = [
  client('basic @ +/%&=', { client_secret: SECRET, token_endpoint_auth_method: 'client_secret_basic' }),
  client('post', { client_secret: SECRET, token_endpoint_auth_method: 'client_secret_post' }),
  client('signed', {
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: publicKey.alg,
    jwks: { keys: [publicKey] },
  }),
  client('mutual', {
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_subject_dn: read('subject').trim(),
    tls_client_certificate_bound_access_tokens: true,
  }),
  client('bearer', { token_endpoint_auth_method: 'none', grant_types: [JWT_BEARER] }),
  client('consent', {
    client_secret: SECRET,
    token_endpoint_auth_method: 'client_secret_basic',
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    redirect_uris: ['http://127.0.0.1/callback'],
    application_type: 'native',
  }),
];

const certificate = (ctx) => {
  const peer = ctx.socket.getPeerX509Certificate?.();
  return peer && ctx.socket.authorized ? peer : undefined;
};
const provider = new Provider(issuer, {
  clients,
  scopes: ['openid', 'offline_access', 'events.write', 'events.read'],
  ttl: { ClientCredentials: ttl, AccessToken: ttl, RefreshToken: 3600, Grant: 3600, Session: 3600, Interaction: 600 },
  rotateRefreshToken: true,
  issueRefreshToken: () => true,
  pkce: { required: () => true },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  enabledJWA: { clientAuthSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'] },
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth', 'none'],
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: { enabled: false },
    mTLS: {
      enabled: true,
      tlsClientAuth: true,
      certificateBoundAccessTokens: true,
      getCertificate: certificate,
      certificateAuthorized: (ctx) => ctx.socket.authorized,
      certificateSubjectMatches: (ctx, property, expected) =>
        property === 'tls_client_auth_subject_dn' && certificate(ctx)?.subject.split('\n').join(',') === expected,
    },
  },
});

const seenAssertions = new Set();
provider.registerGrantType(
  JWT_BEARER,
  async (ctx) => {
    let claims;
    try {
      const key = await importJWK(publicKey, publicKey.alg);
      ({ payload: claims } = await jwtVerify(ctx.oidc.params.assertion, key, {
        audience: `${issuer}/token`, issuer: 'bearer', maxTokenAge: '3m', requiredClaims: ['sub', 'exp', 'iat'],
      }));
    } catch (error) {
      throw new errors.InvalidGrant(`assertion: ${error.message}`);
    }
    if (seenAssertions.has(claims.jti)) throw new errors.InvalidGrant('assertion was seen before');
    seenAssertions.add(claims.jti);
    const token = new provider.ClientCredentials({ client: ctx.oidc.client, scope: '' });
    ctx.body = { access_token: await token.save(), token_type: 'Bearer', instance_url: issuer };
  },
  ['assertion'],
);

// What was asked and delivered, and how the token endpoint is to fail.
const state = { tokens: [], deliveries: [], failing: null, subjects: new Set(), secrets: [] };

// What nobody but the two ends of a token request may ever see.
const SECRETS = [
  'client_secret', 'client_assertion', 'assertion', 'refresh_token', 'code', 'code_verifier', 'access_token', 'id_token',
];
const secretsOf = (told) => SECRETS.filter((name) => told?.[name]).map((name) => ({ name, value: told[name] }));

const respond = (ctx, status, type, body) => Object.assign(ctx, { status, type, body });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function control(ctx) {
  const body = await bodyOf(ctx.req);
  switch (ctx.path) {
    case '/control/state':
      return respond(ctx, 200, 'json', { tokens: state.tokens, deliveries: state.deliveries });
    case '/control/secrets':
      return respond(ctx, 200, 'json', state.secrets);
    case '/control/fail':
      state.failing = body ? JSON.parse(body) : null;
      return respond(ctx, 204);
    case '/control/consent': {
      const grant = new provider.Grant({ accountId: 'person', clientId: 'consent' });
      grant.addOIDCScope('openid offline_access');
      const grantId = await grant.save();
      const owner = await provider.Client.find('consent');
      const token = new provider.RefreshToken({
        accountId: 'person', client: owner, grantId, scope: 'openid offline_access', gty: 'authorization_code',
        authTime: Math.floor(Date.now() / 1000),
      });
      return respond(ctx, 200, 'json', { refresh_token: await token.save(), grant_id: grantId });
    }
    case '/control/revoke-all':
      state.revokedBefore = Date.now();
      return respond(ctx, 204);
    case '/control/revoke-grant':
      await provider.RefreshToken.revokeByGrantId(body);
      await provider.AccessToken.revokeByGrantId(body);
      return respond(ctx, 204);
    case '/control/change-secret': {
      const [id, secret] = JSON.parse(body);
      const owner = await provider.Client.find(id);
      owner.clientSecret = secret;
      clients.find((one) => one.client_id === id).client_secret = secret;
      return respond(ctx, 204);
    }
    default:
      return respond(ctx, 404);
  }
}

async function bodyOf(stream) {
  let body = '';
  for await (const chunk of stream) body += chunk;
  return body;
}

// The vendor: takes an event by any token that is good now; one that is bound to a certificate only over that.
async function deliver(ctx) {
  const [, value] = /^Bearer (.+)$/.exec(ctx.get('authorization')) ?? [];
  const token = value && ((await provider.ClientCredentials.find(value)) ?? (await provider.AccessToken.find(value)));
  const bound = token?.['x5t#S256'];
  const shown = certificate(ctx);
  const digest = shown && createHash('sha256').update(new X509Certificate(shown.raw).raw).digest('base64url');
  const revoked = token && state.revokedBefore && token.iat * 1000 <= state.revokedBefore - 1000;
  const good = Boolean(token) && !token.isExpired && (!bound || bound === digest) && !revoked;
  const body = await bodyOf(ctx.req);
  state.deliveries.push({ id: JSON.parse(body).id, good, at: Date.now() });
  return respond(ctx, good ? 200 : 401, 'json', {});
}

async function fail(ctx, how, told) {
  switch (how.kind) {
    case 'slow':
      await sleep(how.ms);
      return false;
    case 'status':
      if (how.retryAfter) ctx.set('retry-after', String(how.retryAfter));
      respond(ctx, how.status, 'json', how.body ?? {});
      return true;
    case 'echo': {
      // A server that says again what it was told.
      const description = [...secretsOf(told).map((it) => it.value), ctx.get('authorization')].join(' ');
      respond(ctx, how.status, 'json', { error: how.error ?? 'temporarily_unavailable', error_description: description });
      return true;
    }
    case 'garbage':
      respond(ctx, 200, 'html', '<html>not what you asked for</html>');
      return true;
    default:
      return false;
  }
}

provider.use(async (ctx, next) => {
  if (ctx.path.startsWith('/control/')) return control(ctx);
  if (ctx.path === '/deliver') return deliver(ctx);
  if (ctx.path !== '/token') return next();
  const entry = { at: Date.now(), status: 0, error: null, client: null, grant: null };
  state.tokens.push(entry);
  const form = await bodyOf(ctx.req);
  const told = Object.fromEntries(new URLSearchParams(form));
  // The provider takes it from here.
  ctx.req.body = form;
  if (!(state.failing && (await fail(ctx, state.failing, told)))) await next();
  state.secrets.push(...secretsOf(told), ...(ctx.body?.error ? [] : secretsOf(ctx.body)));
  entry.status = ctx.status;
  entry.error = ctx.body?.error ?? null;
  entry.client = ctx.oidc?.client?.clientId ?? null;
  entry.grant = ctx.oidc?.params?.grant_type ?? null;
});
provider.on('server_error', (ctx, error) => console.error('server error', error));
provider.on('grant.error', (ctx, error) => console.error('grant refused', error.error, error.error_detail ?? error.error_description));

createServer(
  { key: read('server.key'), cert: read('server.crt'), ca: read('ca.crt'), requestCert: true, rejectUnauthorized: false },
  provider.callback(),
).listen(port, '127.0.0.1', () => console.log(`ready on ${port}`));
