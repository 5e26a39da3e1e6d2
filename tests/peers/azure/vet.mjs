// Microsoft's own clients against what stands for Microsoft in tests. Prints what they saw, as JSON.
//
//   node vet.mjs URL FOLDER
//
// FOLDER holds app.pem (the application's certificate and key) and token (a token of a service account). The vault holds the
// secret `vetted` in two versions, `off`, which is disabled, and nothing else.
import { ClientCertificateCredential, ClientSecretCredential, WorkloadIdentityCredential } from '@azure/identity';
import { SecretClient } from '@azure/keyvault-secrets';

const [url, folder] = process.argv.slice(2);
const TENANT = 'contoso.example';
const SECRET = 'pass @ +/%&=:word-that-is-long-enough';
const at = { authorityHost: url, disableInstanceDiscovery: true };
const vault = (credential) =>
  new SecretClient(url, credential, { disableChallengeResourceVerification: true, retryOptions: { maxRetries: 3 } });
const control = (what, body) => fetch(`${url}/control/${what}`, { method: 'POST', body: JSON.stringify(body) });
const seen = {};
const attempt = async (name, work) => {
  try {
    seen[name] = await work();
  } catch (error) {
    seen[name] = { code: error.code ?? error.name, status: error.statusCode ?? null };
  }
};

const bySecret = vault(new ClientSecretCredential(TENANT, 'app-secret', SECRET, at));
await attempt('secret', async () => (await bySecret.getSecret('vetted')).value);
await attempt('version', async () => {
  const { properties } = await bySecret.getSecret('vetted');
  const again = await bySecret.getSecret('vetted', { version: properties.version });
  return again.value === 'two' && again.properties.version === properties.version && again.properties.enabled;
});
await attempt('missing', () => bySecret.getSecret('absent'));
await attempt('disabled', () => bySecret.getSecret('off'));
await attempt('throttled', async () => {
  await control('fail', { status: 429, retryAfter: 1, times: 2 });
  const begin = Date.now();
  const { value } = await bySecret.getSecret('vetted');
  return { value, waited: Date.now() - begin >= 1900 };
});
await attempt('certificate', async () => {
  const path = { certificatePath: `${folder}/app.pem` };
  return (await vault(new ClientCertificateCredential(TENANT, 'app-certificate', path, at)).getSecret('vetted')).value;
});
await attempt('federated', async () => {
  const federated = { tenantId: TENANT, clientId: 'app-federated', tokenFilePath: `${folder}/token`, ...at };
  return (await vault(new WorkloadIdentityCredential(federated)).getSecret('vetted')).value;
});
await attempt('stranger', () => vault(new ClientSecretCredential(TENANT, 'app-stranger', SECRET, at)).getSecret('vetted'));
await attempt('wrong', () => vault(new ClientSecretCredential(TENANT, 'app-secret', 'wrong', at)).getSecret('vetted'));
console.log(JSON.stringify(seen));
