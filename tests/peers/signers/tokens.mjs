// Writes keys of an issuer and tokens that were signed with them, as one JSON object: { keys: { name: JWK }, tokens: { name:
// token } }.
//
//   node tokens.mjs ISSUER AUDIENCE
import crypto from "node:crypto";
import { SignJWT, UnsecuredJWT, exportJWK, exportSPKI, generateKeyPair } from "jose";

const [issuer, audience] = process.argv.slice(2);
const now = Math.floor(Date.now() / 1000);

async function pair(kid, alg) {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, publicKey, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } };
}

const rsa = await pair("rsa", "RS256");
const ec = await pair("ec", "ES256");
const next = await pair("next", "ES256");
const stranger = await pair("rsa", "RS256");
const unknown = await pair("unknown", "RS256");

const good = { iss: issuer, aud: audience, sub: "sender", iat: now, exp: now + 3600 };
const sign = (claims, key, header = {}) =>
  new SignJWT(claims).setProtectedHeader({ alg: key.alg, kid: key.kid, ...header }).sign(key.privateKey);
const without = (name) => Object.fromEntries(Object.entries(good).filter(([member]) => member !== name));

// Whoever takes the algorithm from the token takes the issuer's public key for a shared secret.
const confused = (secret) =>
  new SignJWT(good).setProtectedHeader({ alg: "HS256", kid: "rsa" }).sign(new Uint8Array(Buffer.from(secret)));
const [head, body, signature] = (await sign(good, rsa)).split(".");
const forged = Buffer.from(JSON.stringify({ ...good, sub: "other" })).toString("base64url");

const accepted = {
  rsa: await sign(good, rsa),
  ec: await sign(good, ec),
  severalAudiences: await sign({ ...good, aud: ["x", audience] }, ec),
  withinTheSkew: await sign({ ...good, exp: now - 5, nbf: now + 20 }, rsa),
  withoutKid: await new SignJWT(good).setProtectedHeader({ alg: "RS256" }).sign(rsa.privateKey),
};
const refused = {
  issuer: await sign({ ...good, iss: issuer + "/" }, rsa),
  noIssuer: await sign(without("iss"), rsa),
  audience: await sign({ ...good, aud: "somebody-else" }, rsa),
  noAudience: await sign(without("aud"), rsa),
  subject: await sign({ ...good, sub: "other" }, rsa),
  expired: await sign({ ...good, exp: now - 120 }, rsa),
  noExpiry: await sign(without("exp"), rsa),
  notYet: await sign({ ...good, nbf: now + 600 }, rsa),
  algorithm: await new SignJWT(good).setProtectedHeader({ alg: "PS256", kid: "rsa" })
    .sign(crypto.createPrivateKey({ key: await crypto.subtle.exportKey("jwk", rsa.privateKey).then(({ alg, key_ops, ...jwk }) => jwk), format: "jwk" })),
  none: new UnsecuredJWT(good).encode(),
  noneWithSignature: `${Buffer.from(JSON.stringify({ alg: "none", kid: "rsa" })).toString("base64url")}.${body}.${signature}`,
  confusedPem: await confused(await exportSPKI(rsa.publicKey)),
  confusedModulus: await confused(rsa.jwk.n),
  stranger: await sign(good, stranger),
  otherKeysId: await sign(good, ec, { kid: "rsa" }),
  forged: `${head}.${forged}.${signature}`,
  cut: `${head}.${body}`,
  noSignature: `${head}.${body}.`,
  // A token that brings its own key along must not be judged by it.
  ownKey: await sign(good, stranger, { jwk: stranger.jwk }),
};
const later = { unknown: await sign(good, unknown), next: await sign(good, next) };
console.log(JSON.stringify({ keys: { rsa: rsa.jwk, ec: ec.jwk, next: next.jwk }, accepted, refused, later }));
