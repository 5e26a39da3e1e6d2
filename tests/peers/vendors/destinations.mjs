// Sends made-up events through Segment's own destination for a vendor, with made-up answers of the vendor, and writes what it
// sent and what it took each event for:
//
//   node destinations.mjs VENDOR SEED COUNT
//
// A line is one request at the vendor: { events, body, answer: { status, body }, statuses }. The same seed gives the same.
import assert from "node:assert";
import crypto from "node:crypto";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const nock = require("nock");
const { Destination } = require("@segment/actions-core");
const [vendor, seed, count] = process.argv.slice(2);

let round = 0;
const below = (bound) => crypto.createHash("sha256").update(`${vendor}/${seed}/${round++}`).digest().readUInt32BE(0) % bound;
const pick = (list) => list[below(list.length)];
const LETTERS = [..."abcdefghijklmnopqrstuvwxyz ABCXYZ0189-_.,éßñ漢🚀\"\\\n/<>&'"];
const text = (most) => Array.from({ length: 1 + below(most) }, () => pick(LETTERS)).join("");
const word = () => Array.from({ length: 1 + below(10) }, () => pick([..."abcdefghijklmnopqrstuvwxyz"])).join("");

function value(depth) {
  const kind = below(depth > 0 ? 6 : 4);
  if (kind === 0) return text(50);
  if (kind === 1) return below(1e9) - 5e8;
  if (kind === 2) return (below(2e6) - 1e6) / 128;
  if (kind === 3) return pick([true, false]);
  if (kind === 4) return Array.from({ length: below(4) }, () => text(20));
  return Object.fromEntries(Array.from({ length: below(4) }, () => [word(), value(depth - 1)]));
}

function event(depth) {
  const number = below(1e9);
  const properties = Object.fromEntries(Array.from({ length: below(8) }, () => [`p_${word()}`, value(depth)]));
  const at = new Date(Date.UTC(2026, 10, 1 + below(20), below(24), below(60), below(60), below(1000)));
  return {
    type: "track", event: `E ${word()}`, userId: `user-${number}`, anonymousId: `visitor-${number}`, messageId: `m-${number}-${round}`,
    timestamp: at.toISOString(), properties, traits: { email: `user.${number}.${round}@example.com` }, context: {},
  };
}

const at = (path) => ({ "@path": path });
const some = (events) => events.map((_, index) => index).filter(() => below(5) === 0);

/** How each vendor is sent to, and how it answers. */
const vendors = {
  braze: {
    name: "braze", action: pick(["trackEvent"]), batch: 75, depth: 2, host: "https://rest.iad-01.braze.com",
    settings: { api_key: "k", app_id: "app", endpoint: "https://rest.iad-01.braze.com" },
    mapping: {
      external_id: at("$.userId"), name: at("$.event"), time: at("$.timestamp"), properties: at("$.properties"),
      _update_existing_only: false, enable_batching: true, batch_size: 75,
    },
    answer(events) {
      const errors = some(events).map((index) => ({ type: "'x' is not valid", input_array: "events", index }));
      return { status: 201, body: { message: "success", events_processed: events.length - errors.length, ...(errors.length ? { errors } : {}) } };
    },
  },
  mixpanel: {
    name: "mixpanel", action: "trackEvent", batch: 200, depth: 1, host: "https://api.mixpanel.com",
    settings: { projectToken: "p", apiSecret: "s", apiRegion: "US 🇺🇸", sourceName: "" },
    mapping: {
      event: at("$.event"), distinct_id: at("$.userId"), time: at("$.timestamp"), insert_id: at("$.messageId"),
      event_properties: at("$.properties"), enable_batching: true,
    },
    answer(events) {
      const failed = some(events).map((index) => ({ index, insert_id: events[index].messageId, field: "properties.time", message: "'properties.time' is invalid" }));
      const imported = events.length - failed.length;
      if (!failed.length) return { status: 200, body: { code: 200, num_records_imported: imported, status: "OK" } };
      return { status: 400, body: { code: 400, error: "some data points in the request failed validation", failed_records: failed, num_records_imported: imported, status: "Bad Request" } };
    },
  },
  amplitude: {
    name: "amplitude", action: "logEventV2", batch: 1, depth: 2, host: "https://api2.amplitude.com",
    settings: { apiKey: "k", secretKey: "s", endpoint: "north_america" },
    mapping: {
      user_id: at("$.userId"), device_id: at("$.anonymousId"), event_type: at("$.event"), time: at("$.timestamp"),
      insert_id: at("$.messageId"), event_properties: at("$.properties"),
    },
    answer: () => pick([
      { status: 200, body: { code: 200, events_ingested: 1 } },
      { status: 400, body: { code: 400, error: "x", events_with_invalid_fields: { time: [0] } } },
      { status: 503, body: {} },
    ]),
  },
  ga4: {
    name: "google-analytics-4", action: "customEvent", batch: 1, depth: 0, host: "https://www.google-analytics.com",
    settings: { measurementId: "G-A1", apiSecret: "s" },
    mapping: {
      data_stream_type: "Web", clientId: at("$.anonymousId"), user_id: at("$.userId"), name: "order", lowercase: false,
      params: at("$.properties"), timestamp_micros: at("$.timestamp"),
    },
    answer: () => pick([{ status: 204, body: "" }, { status: 503, body: {} }]),
  },
  hubspot: {
    name: "hubspot", action: "upsertContact", batch: 100, depth: 0, host: "https://api.hubapi.com",
    settings: { portalId: "1" },
    mapping: { email: at("$.traits.email"), properties: at("$.properties"), enable_batching: true },
    answer: (events) => ({ status: 201, body: { status: "COMPLETE", results: events.map((it, index) => ({ id: String(index), properties: { email: it.traits.email } })) } }),
  },
  salesforce: {
    name: "salesforce", action: "lead", batch: 1, depth: 0, host: "https://acme.my.salesforce.com",
    settings: { instanceUrl: "https://acme.my.salesforce.com" },
    mapping: { operation: "create", enable_batching: false, last_name: at("$.event"), email: at("$.traits.email"), company: at("$.userId"), customFields: at("$.properties") },
    answer: () => pick([
      { status: 201, body: { id: "00Q1", success: true, errors: [] } },
      { status: 400, body: [{ message: "x", errorCode: "REQUIRED_FIELD_MISSING", fields: ["LastName"] }] },
    ]),
  },
};

const { name, action, batch, depth, host, settings, mapping, answer } = vendors[vendor] ?? assert.fail(`no such vendor: ${vendor}`);
const destination = new Destination(require(`@segment/action-destinations/dist/destinations/${name}`).default);
nock.disableNetConnect();
const auth = { accessToken: "token", refreshToken: "" };

/** Answers one round; what was sent is the body of the request that changes something. */
function listen(planned, events) {
  const sent = [];
  const reply = (uri, body) => {
    if (uri.includes("/batch/read")) {
      const errors = [{ status: "error", category: "OBJECT_NOT_FOUND", context: { ids: body.inputs.map((input) => input.id) } }];
      return [207, { status: "COMPLETE", results: [], numErrors: 1, errors }];
    }
    sent.push({ uri, body });
    return [planned.status, planned.body];
  };
  for (const method of ["POST", "PATCH"]) nock(host).persist().intercept(() => true, method).reply(reply);
  return sent;
}

for (let left = Number(count); left > 0; ) {
  const events = Array.from({ length: Math.min(left, 1 + below(batch)) }, () => event(depth));
  left -= events.length;
  const planned = answer(events);
  const sent = listen(planned, events);
  let statuses;
  if (batch > 1) {
    // Where it throws, it takes all of them for what the answer as a whole is.
    const done = destination.executeBatch(action, { events, mapping, settings, auth });
    const failed = (error) => events.map(() => ({ status: error.response?.status ?? String(error) }));
    statuses = (await done.catch(failed)).map((result) => result.status);
  } else {
    const done = destination.executeAction(action, { event: events[0], mapping, settings, auth });
    statuses = [await done.then(() => 200, (error) => error.response?.status ?? error.status ?? String(error))];
  }
  nock.cleanAll();
  assert(sent.length > 0, "nothing was sent");
  console.log(JSON.stringify({ events, uri: sent[0].uri, body: sent[0].body, answer: planned, statuses }));
}
// A pipe takes what was written in its own time.
process.stdout.write("", () => process.exit(0));
