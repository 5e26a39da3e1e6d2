// Makes a key that signs statements: FOLDER/assertion.pem (private) and FOLDER/assertion.jwk (public).
//
//   node keys.mjs FOLDER ALGORITHM
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';

const [folder, alg] = process.argv.slice(2);
const [kind, options] = {
  RS256: ['rsa', { modulusLength: 2048 }],
  PS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }],
  EdDSA: ['ed25519', {}],
}[alg];
const { publicKey, privateKey } = generateKeyPairSync(kind, options);
writeFileSync(`${folder}/assertion.pem`, privateKey.export({ type: 'pkcs8', format: 'pem' }));
writeFileSync(`${folder}/assertion.jwk`, JSON.stringify({ ...publicKey.export({ format: 'jwk' }), alg, kid: 'one', use: 'sig' }));
