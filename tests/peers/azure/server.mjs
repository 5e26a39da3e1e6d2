// What stands for Microsoft in tests: Entra ID, which is panva's oidc-provider at Entra's addresses, and a Key Vault of our
// own, which takes nothing but tokens of that. `vet.mjs` lets Microsoft's own clients judge both. Beside them an API that
// takes such tokens, and a control address.
//
//   node server.mjs PORT FOLDER TTL_SECONDS
//
// FOLDER holds server.crt, server.key, app.crt (the application's certificate) and cluster.pub (the key of service accounts).
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { X509Certificate, createHash, generateKeyPairSync, randomUUID } from 'node:crypto';
import { Provider } from 'oidc-provider';
import { SignJWT, createLocalJWKSet, decodeProtectedHeader, importSPKI, jwtVerify } from 'jose';

const [port, folder, ttl] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4])];
const read = (name) => readFileSync(`${folder}/${name}`, 'utf8');
const TENANT = 'contoso.example';
const issuer = `https://127.0.0.1:${port}/${TENANT}/v2.0`;
const endpoint = `https://127.0.0.1:${port}/${TENANT}/oauth2/v2.0/token`;
const VAULT = 'https://vault.azure.net';
const SECRET = 'pass @ +/%&=:word-that-is-long-enough';
const ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

const certificate = new X509Certificate(read('app.crt'));
const thumbprint = createHash('sha256').update(certificate.raw).digest('base64url');
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const signing = { ...privateKey.export({ format: 'jwk' }), kid: 'one', alg: 'RS256', use: 'sig' };
const client = (client_id, rest) => ({
  client_id, grant_types: ['client_credentials'], redirect_uris: [], response_types: [], ...rest,
});
const resourceOf = (scope) => (scope ?? '').replace(/\/\.default$/, '');

const provider = new Provider(issuer, {
  clients: [
    client('app-secret', { client_secret: SECRET, token_endpoint_auth_method: 'client_secret_post' }),
    client('app-stranger', { client_secret: SECRET, token_endpoint_auth_method: 'client_secret_post' }),
    client('app-certificate', {
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'PS256',
      jwks: { keys: [{ ...certificate.publicKey.export({ format: 'jwk' }), alg: 'PS256', use: 'sig' }] },
    }),
  ],
  jwks: { keys: [signing] },
  ttl: { ClientCredentials: ttl },
  routes: { token: `/${TENANT}/oauth2/v2.0/token` },
  enabledJWA: { clientAuthSigningAlgValues: ['PS256'] },
  clientAuthMethods: ['client_secret_post', 'private_key_jwt'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: (ctx) => resourceOf(ctx.oidc.params?.scope),
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource) => ({
        audience: resource, scope: `${resource}/.default`, accessTokenTTL: ttl, accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});

const state = { tokens: [], reads: [], deliveries: [], secrets: {}, failing: null, tokenFailing: null, revokedBefore: 0, expected: null, allowed: false, told: [] };

// What nobody but the two ends of a token request may ever see.
const secretsOf = (told) => ['client_secret', 'client_assertion', 'access_token']
  .filter((name) => told?.[name]).map((name) => ({ name, value: told[name] }));
const keys = createLocalJWKSet({ keys: [{ kty: signing.kty, n: signing.n, e: signing.e, kid: 'one', alg: 'RS256' }] });
const respond = (ctx, status, body, headers = {}) => {
  ctx.status = status;
  ctx.set(headers);
  ctx.body = body;
  ctx.type = 'json';
};

async function bodyOf(stream) {
  let body = '';
  for await (const chunk of stream) body += chunk;
  return body;
}

// A workload identity is a client whose statement is a token of a cluster. The provider knows no such clients, so it is
// judged here by Entra's rules: issuer, subject and audience are those of the federated credential.
async function federated(ctx, form) {
  const cluster = await importSPKI(read('cluster.pub'), 'ES256');
  try {
    await jwtVerify(form.get('client_assertion'), cluster, {
      issuer: 'https://cluster.example', subject: 'system:serviceaccount:default:robot', audience: 'api://AzureADTokenExchange',
    });
  } catch (error) {
    return respond(ctx, 401, { error: 'invalid_client', error_description: `AABSTS700024: ${error.code}`, error_codes: [700024] });
  }
  const access_token = await signed('app-federated', resourceOf(form.get('scope')));
  return respond(ctx, 200, { token_type: 'Bearer', expires_in: ttl, access_token });
}

async function token(ctx, next) {
  const body = await bodyOf(ctx.req);
  const form = new URLSearchParams(body);
  const entry = { at: Date.now(), status: 0, error: null, client: form.get('client_id'), scope: form.get('scope') };
  state.tokens.push(entry);
  const told = secretsOf(Object.fromEntries(form));
  if (state.tokenFailing) {
    // With `echo` it says again what it was told.
    const description = state.tokenFailing.echo && told.map((it) => it.value).join(' ');
    respond(ctx, state.tokenFailing.status, { error: 'temporarily_unavailable', error_description: description });
  } else if (form.get('client_id') === 'app-federated' && form.get('client_assertion_type') === ASSERTION) {
    await federated(ctx, form);
  } else if (form.get('client_id') === 'app-certificate'
    && decodeProtectedHeader(form.get('client_assertion') ?? '')['x5t#S256'] !== thumbprint) {
    respond(ctx, 401, { error: 'invalid_client', error_description: 'AADSTS700027: no such certificate', error_codes: [700027] });
  } else {
    // The provider reads the form anew.
    ctx.req.body = body;
    await next();
  }
  entry.status = ctx.status;
  entry.error = ctx.body?.error ?? null;
  state.told.push(...told, ...secretsOf(ctx.body));
}

const signed = (owner, audience) => new SignJWT({ client_id: owner })
  .setProtectedHeader({ alg: 'RS256', kid: 'one', typ: 'at+jwt' })
  .setIssuer(issuer).setSubject(owner).setAudience(audience).setJti(randomUUID())
  .setIssuedAt().setExpirationTime(`${ttl}s`).sign(privateKey);

// What an App Service gives its containers, api-version 2019-08-01: numbers are text.
async function appService(ctx) {
  const { query } = ctx;
  const good = ctx.get('x-identity-header') === 'the header' && query['api-version'] === '2019-08-01';
  const entry = { at: Date.now(), status: good ? 200 : 400, error: null, client: 'node', scope: query.resource };
  state.tokens.push(entry);
  if (!good) return respond(ctx, 400, {});
  const access_token = await signed('node', query.resource);
  return respond(ctx, 200, {
    access_token, expires_on: String(Math.floor(Date.now() / 1000) + ttl), resource: query.resource, token_type: 'Bearer',
  });
}

// Which client a token is of, and nothing where it is not good for this audience.
async function proved(ctx, audience) {
  const [, value] = /^Bearer (.+)$/.exec(ctx.get('authorization')) ?? [];
  if (!value) return undefined;
  try {
    const { payload } = await jwtVerify(value, keys, { issuer, audience });
    return payload.iat * 1000 <= state.revokedBefore - 1000 ? undefined : payload.client_id;
  } catch {
    return undefined;
  }
}

const refusal = (code, message, inner) => ({ error: { code, message, ...(inner && { innererror: { code: inner } }) } });

// GET /secrets/NAME[/VERSION], as learn.microsoft.com/rest/api/keyvault/secrets/get-secret has it.
async function vault(ctx) {
  const [, , name, version] = ctx.path.split('/');
  const owner = await proved(ctx, VAULT);
  const entry = { at: Date.now(), name, version: version || null, status: 0, client: owner ?? null };
  state.reads.push(entry);
  const secret = state.secrets[name];
  const found = secret && (version ? secret.versions.find((it) => it.version === version) : secret.versions.at(-1));
  if (!/^(7\.[4-6]|2025-07-01|2026-04-01)$/.test(ctx.query['api-version'] ?? '')) {
    respond(ctx, 400, refusal('BadParameter', 'api-version'));
  } else if (!owner) {
    const challenge = `Bearer authorization="https://127.0.0.1:${port}/${TENANT}", resource="${VAULT}"`;
    respond(ctx, 401, refusal('Unauthorized', 'AKV10000: Request is missing a Bearer or PoP token.'), { 'www-authenticate': challenge });
  } else if (state.failing) {
    const headers = state.failing.retryAfter ? { 'retry-after': String(state.failing.retryAfter) } : {};
    const said = state.failing.echo ? `${found?.value} ${ctx.get('authorization')}` : 'Request was not processed because too many requests were received.';
    respond(ctx, state.failing.status, refusal('Throttled', said), headers);
    if (state.failing.times && --state.failing.times === 0) state.failing = null;
  } else if (owner === 'app-stranger' && !state.allowed) {
    respond(ctx, 403, refusal('Forbidden', 'Caller is not authorized to perform action on resource.', 'ForbiddenByRbac'));
  } else if (!found) {
    respond(ctx, 404, refusal('SecretNotFound', `A secret with (name/id) ${name} was not found in this key vault.`));
  } else if (!found.enabled) {
    respond(ctx, 403, refusal('Forbidden', 'Operation get is not allowed on a disabled secret.', 'SecretDisabled'));
  } else {
    const id = `https://127.0.0.1:${port}/secrets/${name}/${found.version}`;
    respond(ctx, 200, { value: found.value, id, attributes: { enabled: true, created: 1, updated: 1, recoveryLevel: 'Recoverable' } });
  }
  entry.status = ctx.status;
}

async function control(ctx) {
  const body = await bodyOf(ctx.req);
  const given = body ? JSON.parse(body) : null;
  switch (ctx.path) {
    case '/control/state':
      return respond(ctx, 200, { tokens: state.tokens, reads: state.reads, deliveries: state.deliveries });
    case '/control/secrets':
      return respond(ctx, 200, state.told);
    case '/control/put': {
      const secret = (state.secrets[given.name] ??= { versions: [] });
      secret.versions.push({ version: randomUUID().replaceAll('-', ''), value: given.value, enabled: true });
      return respond(ctx, 200, { version: secret.versions.at(-1).version });
    }
    case '/control/enable':
      state.secrets[given.name].versions.at(-1).enabled = given.enabled;
      return respond(ctx, 200, {});
    case '/control/remove':
      delete state.secrets[given.name];
      return respond(ctx, 200, {});
    case '/control/fail':
      state.failing = given;
      return respond(ctx, 200, {});
    case '/control/fail-tokens':
      state.tokenFailing = given;
      return respond(ctx, 200, {});
    case '/control/allow':
      state.allowed = true;
      return respond(ctx, 200, {});
    case '/control/expect':
      state.expected = given.token;
      return respond(ctx, 200, {});
    case '/control/revoke-all':
      state.revokedBefore = Date.now();
      return respond(ctx, 200, {});
    default:
      return respond(ctx, 404, {});
  }
}

// An API: takes tokens of Entra ID for itself at /deliver, and one that stands in the vault (a bearer's, or X-Key) at /static.
async function deliver(ctx) {
  const good = ctx.path === '/static'
    ? [ctx.get('authorization'), `Bearer ${ctx.get('x-key')}`].includes(`Bearer ${state.expected}`)
    : Boolean(await proved(ctx, 'https://crm.example'));
  state.deliveries.push({ id: JSON.parse(await bodyOf(ctx.req)).id, good, at: Date.now() });
  return respond(ctx, good ? 200 : 401, {});
}

// What MSAL asks before it asks for a token.
const discovery = {
  issuer, token_endpoint: endpoint, authorization_endpoint: `${issuer}/authorize`, jwks_uri: `${issuer}/keys`,
  response_types_supported: ['code'], subject_types_supported: ['pairwise'], id_token_signing_alg_values_supported: ['RS256'],
};

provider.use(async (ctx, next) => {
  const { path } = ctx;
  if (path.startsWith('/control/')) return control(ctx);
  if (path.startsWith('/secrets/')) return vault(ctx);
  if (path === '/msi/token') return appService(ctx);
  if (path === '/deliver' || path === '/static') return deliver(ctx);
  if (path === `/${TENANT}/v2.0/.well-known/openid-configuration`) return respond(ctx, 200, discovery);
  if (path !== `/${TENANT}/oauth2/v2.0/token`) return respond(ctx, 404, {});
  return token(ctx, next);
});
provider.on('server_error', (ctx, error) => console.error('server error', error));
provider.on('grant.error', (ctx, error) => console.error('grant refused', error.error, error.error_detail ?? error.error_description));

createServer({ key: read('server.key'), cert: read('server.crt') }, provider.callback())
  .listen(port, '127.0.0.1', () => console.log(`ready on ${port}`));
