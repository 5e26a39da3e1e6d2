// Writes requests as vendors' own code signs them, one JSON object a line:
//
//   node sign.mjs VENDOR SEED COUNT
//
// What a vendor's library can verify is verified by it first, so that a fixture which only our verifier takes is noticed
// here. The same seed gives the same requests, but for SendGrid, whose keys and signatures are random.
import crypto from "node:crypto";
import assert from "node:assert";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const [vendor, seed, count] = process.argv.slice(2);

/** Numbers below a bound, the same for the same seed. */
function numbers(seed) {
  let round = 0;
  return (bound) => crypto.createHash("sha256").update(`${seed}/${round++}`).digest().readUInt32BE(0) % bound;
}

const below = numbers(`${vendor}/${seed}`);
const pick = (list) => list[below(list.length)];
const text = (length, letters) => Array.from({ length }, () => pick(letters)).join("");
const LETTERS = [..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"];
const DIFFICULT = [..."aZ 09é߿ñ漢字🚀𝄞‮​\u00a0'", "\\u003c", "\\u00e9", "\\n", "\\\\", "\\\"", "/", "%2F", "&", "=", "+"];

/** A body that is easy to get wrong: what is between its quotes is JSON already. */
function body(index) {
  const fill = index % 40 === 39 ? text(100_000, LETTERS) : text(below(200), DIFFICULT);
  const line = pick(["", "\n", "\r\n"]);
  const members = [`"id":"${text(12, LETTERS)}"`, `"empty":""`, `"text":"${fill}"`, `"number":${below(1e9)}.0`];
  const inside = members.join(`,${line}`);
  return pick(["", "", "", "\ufeff"]) + `{${line}${inside}${line}}` + pick(["", "", "\n", "\r\n", " "]);
}

const secret = () => text(16 + below(32), [...LETTERS, ..."+/= .:,%$~"]).trim() + "x";
const whsec = () => "whsec_" + crypto.createHash("sha512").update(secret()).digest().subarray(0, 24 + below(41)).toString("base64");
const address = () => `https://hooks.example.com/hooks/crm?${pick(["a=1&b=2", "q=%20x%3A", "z=%C3%A9", "", "to=a%40b.c"])}`;

/** What each vendor's code makes of a body at a time. */
const vendors = {
  async stripe(payload, now) {
    const { default: Stripe } = await import("stripe");
    const { webhooks } = new Stripe("sk_test_x");
    const key = pick([whsec(), secret()]).replaceAll(" ", "");
    const header = webhooks.generateTestHeaderString({ payload, secret: key, timestamp: now });
    assert(webhooks.signature.verifyHeader(payload, header, key, 300, undefined, now * 1000));
    return { secret: key, other: whsec(), headers: [["stripe-signature", header]] };
  },
  async github(payload) {
    const { sign, verify } = await import("@octokit/webhooks-methods");
    const key = secret();
    const signature = await sign(key, payload);
    assert(await verify(key, payload, signature));
    const id = crypto.createHash("md5").update(payload).digest("hex");
    return { secret: key, other: secret(), id, headers: [["x-hub-signature-256", signature], ["x-github-delivery", id]] };
  },
  async svix(payload, now) {
    const { Webhook } = await import("svix");
    return standard(Webhook, payload, now, pick(["svix", "webhook"]));
  },
  async standardwebhooks(payload, now) {
    const { Webhook } = await import("standardwebhooks");
    return standard(Webhook, payload, now, "webhook");
  },
  async hubspot(payload, now, version) {
    const { Signature } = require("@hubspot/api-client");
    const [method, url, key, timestamp] = ["POST", address(), secret(), now * 1000 + below(1000)];
    const given = { clientSecret: key, requestBody: payload, url, timestamp };
    const signature = Signature.getSignature(method, version, given);
    const headers = version === "v3"
      ? [["x-hubspot-signature-v3", signature], ["x-hubspot-request-timestamp", String(timestamp)]]
      : [["x-hubspot-signature", signature]];
    return { secret: key, other: secret(), method, url, headers };
  },
  hubspotV1: (payload, now) => vendors.hubspot(payload, now, "v1"),
  hubspotV2: (payload, now) => vendors.hubspot(payload, now, "v2"),
  hubspotV3: (payload, now) => vendors.hubspot(payload, now, "v3"),
  // Twilio's library verifies only, and so does Slack's and Shopify's: each judges what is signed here.
  async sendgrid(payload, now) {
    const { EventWebhook } = require("@sendgrid/eventwebhook");
    const pair = () => crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
    const shown = ({ publicKey }) => publicKey.export({ format: "der", type: "spki" }).toString("base64");
    const keys = pair();
    const signature = crypto.sign("sha256", Buffer.from(now + payload), keys.privateKey).toString("base64");
    const judge = new EventWebhook();
    assert(judge.verifySignature(judge.convertPublicKeyToECDSA(shown(keys)), payload, signature, String(now)));
    const names = ["x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp"];
    return { secret: shown(keys), other: shown(pair()), headers: [[names[0], signature], [names[1], String(now)]] };
  },
  async slack(payload, now) {
    const { verifySlackRequest } = require("@slack/bolt/dist/receivers/verify-request.js");
    const key = secret();
    const signature = "v0=" + crypto.createHmac("sha256", key).update(`v0:${now}:${payload}`).digest("hex");
    const headers = { "x-slack-signature": signature, "x-slack-request-timestamp": now };
    verifySlackRequest({ signingSecret: key, body: payload, headers, nowMilliseconds: now * 1000 });
    return { secret: key, other: secret(), headers: Object.entries(headers).map(([name, value]) => [name, String(value)]) };
  },
  async shopify(payload) {
    const key = secret();
    const signature = crypto.createHmac("sha256", key).update(payload).digest("base64");
    assert((await shopify(key)(payload, signature)).valid);
    const id = crypto.createHash("md5").update(payload).digest("hex");
    return { secret: key, other: secret(), id, headers: [["x-shopify-hmac-sha256", signature], ["x-shopify-webhook-id", id]] };
  },
};

function standard(Webhook, payload, now, prefix) {
  const [key, id] = [whsec(), "msg_" + text(20, LETTERS)];
  const signature = new Webhook(key).sign(id, new Date(now * 1000), payload);
  const noise = pick(["", "v1,bm90IHRoaXMgb25l ", "v1a,bm90aGluZw== "]);
  const headers = [[`${prefix}-id`, id], [`${prefix}-timestamp`, String(now)], [`${prefix}-signature`, noise + signature]];
  return { secret: key, other: whsec(), id, headers };
}

/** Shopify's judge of a webhook's signature. */
function shopify(apiSecretKey) {
  require("@shopify/shopify-api/adapters/node");
  const { shopifyApi } = require("@shopify/shopify-api");
  const config = { apiKey: "k", apiSecretKey, scopes: [], hostName: "shop.example.com", apiVersion: "2026-01", isEmbeddedApp: false };
  const api = shopifyApi({ ...config, logger: { log: () => {} } });
  return (rawBody, signature) => {
    const headers = {
      "x-shopify-hmac-sha256": signature, "x-shopify-topic": "orders/create", "x-shopify-shop-domain": "s.myshopify.com",
      "x-shopify-api-version": "2026-01", "x-shopify-webhook-id": "w",
    };
    return api.webhooks.validate({ rawBody, rawRequest: { headers, method: "POST", url: "/" }, rawResponse: {} });
  };
}

for (let index = 0; index < Number(count); index++) {
  const now = 1_700_000_000 + below(100_000_000);
  const payload = body(index);
  const made = await vendors[vendor](payload, now);
  const request = { method: "POST", url: "https://hooks.example.com/hooks/crm", id: null, ...made };
  const line = { vendor, nowSeconds: now, bodyBase64: Buffer.from(payload).toString("base64"), ...request };
  if (!process.stdout.write(JSON.stringify(line) + "\n")) await new Promise((done) => process.stdout.once("drain", done));
}
