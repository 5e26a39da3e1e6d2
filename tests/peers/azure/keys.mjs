// Keys for server.mjs, and tokens of a service account as a cluster signs them.
//
//   node keys.mjs FOLDER                  app.key, cluster.key and cluster.pub
//   node keys.mjs FOLDER token AUDIENCE   token
import { readFileSync, writeFileSync } from 'node:fs';
import { generateKeyPairSync } from 'node:crypto';
import { SignJWT, importPKCS8 } from 'jose';

const [folder, what, audience] = process.argv.slice(2);
const write = (name, text) => writeFileSync(`${folder}/${name}`, text, { mode: 0o600 });
const pem = { privateKeyEncoding: { type: 'pkcs8', format: 'pem' }, publicKeyEncoding: { type: 'spki', format: 'pem' } };

if (what === 'token') {
  const key = await importPKCS8(readFileSync(`${folder}/cluster.key`, 'utf8'), 'ES256');
  const token = await new SignJWT({}).setProtectedHeader({ alg: 'ES256' })
    .setIssuer('https://cluster.example').setSubject('system:serviceaccount:default:robot').setAudience(audience)
    .setIssuedAt().setExpirationTime('1h').sign(key);
  write('token', token);
} else {
  write('app.key', generateKeyPairSync('rsa', { modulusLength: 2048, ...pem }).privateKey);
  const cluster = generateKeyPairSync('ec', { namedCurve: 'P-256', ...pem });
  write('cluster.key', cluster.privateKey);
  write('cluster.pub', cluster.publicKey);
}
