// Drives a vendor that the sink plays by the vendor's own client library (for Braze, which has none for its REST API, a
// community's), and says what the library made of the answers, as one JSON object:
//
//   node clients.mjs VENDOR BASE
//
// The library decides whether an answer is a success; nothing here reads a body that the library does not.
import assert from "node:assert";
import http from "node:http";

const [vendor, base] = process.argv.slice(2);
const { pathname } = new URL(base);

const clients = {
  async braze() {
    const { Braze } = await import("braze-api");
    const braze = new Braze(base, "rest-api-key");
    const time = "2026-11-02T09:30:00Z";
    const good = await braze.users.track({
      attributes: [{ external_id: "user-1", email: "ada@example.com" }],
      events: [{ external_id: "user-1", name: "registered", time }],
      purchases: [{ external_id: "user-1", product_id: "mug", currency: "EUR", price: 9.9, time }],
    });
    const mixed = await braze.users.track({ events: [{ external_id: "user-2", name: "registered", time }, { name: "nobody", time }] });
    const refused = await braze.users.track({ events: [{ name: "nobody", time }] }).then(() => null, (error) => String(error));
    return { good, mixed, refused };
  },

  async segment() {
    const { Analytics } = await import("@segment/analytics-node");
    const analytics = new Analytics({ writeKey: "write-key", host: new URL(base).origin, path: `${pathname}/v1/batch`, maxEventsInBatch: 10, maxRetries: 0 });
    const errors = [];
    analytics.on("error", (error) => errors.push(error.reason?.message ?? error.code));
    for (let number = 0; number < 25; number++) {
      analytics.track({ userId: `user-${number}`, event: "Order Completed", messageId: `m-${number}`, properties: { number } });
    }
    analytics.identify({ userId: "user-1", messageId: "i-1", traits: { email: "ada@example.com" } });
    analytics.group({ userId: "user-1", groupId: "g", messageId: "g-1" });
    analytics.alias({ userId: "user-1", previousId: "visitor", messageId: "a-1" });
    await analytics.closeAndFlush();
    return { errors };
  },

  async hubspot() {
    const { Client } = await import("@hubspot/api-client");
    const client = new Client({ accessToken: "token", basePath: base, numberOfApiCallRetries: 0 });
    const contacts = client.crm.contacts.batchApi;
    const input = (email, extra = {}) => ({ id: email, idProperty: "email", objectWriteTraceId: email, properties: { email, firstname: "Ada" }, ...extra });
    const first = await contacts.upsert({ inputs: [input("a@example.com"), input("b@example.com")] });
    const again = await contacts.upsert({ inputs: [input("A@example.com")] });
    const mixed = await contacts.upsert({ inputs: [input("c@example.com"), input("nobody")] });
    const create = (email) => contacts.create({ inputs: [{ objectWriteTraceId: email, properties: { email }, associations: [] }] });
    const created = await create("d@example.com");
    const conflict = await create("d@example.com");
    const updated = await contacts.update({ inputs: [{ id: created.results[0].id, properties: { firstname: "Eve" } }] });
    const failure = (promise) => promise.then(() => null, (error) => error.code);
    const untraced = await failure(contacts.upsert({ inputs: [{ id: "nobody", idProperty: "email", properties: { email: "nobody" } }] }));
    const twice = await failure(contacts.upsert({ inputs: [input("a@example.com"), input("A@example.com")] }));
    const anonymous = new Client({ accessToken: "", basePath: base, numberOfApiCallRetries: 0 });
    const stranger = await failure(anonymous.crm.contacts.batchApi.upsert({ inputs: [input("a@example.com")] }));
    // A consent is exchanged, used, taken back, and no longer good for anything.
    const refresh = () => client.oauth.tokensApi.create("refresh_token", undefined, undefined, "client", "secret", "consent");
    const token = await refresh();
    const installed = new Client({ accessToken: token.accessToken, basePath: base, numberOfApiCallRetries: 0 });
    const through = await installed.crm.contacts.batchApi.upsert({ inputs: [input("e@example.com")] });
    await client.oauth.refreshTokensApi.archive("consent");
    const consent = {
      expiresIn: token.expiresIn, same: token.refreshToken === "consent", through: through.status,
      withdrawn: [await failure(installed.crm.contacts.batchApi.upsert({ inputs: [input("e@example.com")] })), await failure(refresh())],
    };
    const traces = (answer) => (answer.results ?? []).map((result) => result.objectWriteTraceId ?? result._new).sort();
    return {
      first: { status: first.status, traces: traces(first), news: first.results.map((result) => result._new) },
      again: again.results.map((result) => [result._new, first.results.some((known) => known.id === result.id)]),
      mixed: { numErrors: mixed.numErrors, refused: mixed.errors?.map((error) => error.context.objectWriteTraceId), done: traces(mixed) },
      created: created.results.length, conflict: [conflict.results.length, conflict.errors?.map((error) => error.category)],
      updated: updated.results[0].properties.firstname, untraced, twice, stranger, consent,
    };
  },

  async salesforce() {
    const { default: jsforce } = await import("jsforce");
    const connect = (accessToken) => new jsforce.Connection({ instanceUrl: base, accessToken, version: "62.0" });
    const org = connect("token");
    // The library upserts one by one; the collection is asked for through its own way of sending and of reading errors.
    const upsert = (records) => org.requestPatch("/composite/sobjects/Lead/Ext__c", {
      allOrNone: false, records: records.map((record) => ({ attributes: { type: "Lead" }, ...record })),
    });
    const upserted = await upsert([{ Ext__c: "a", LastName: "Lovelace" }, { Ext__c: "b", LastName: "" }]);
    const again = await upsert([{ Ext__c: "a", LastName: "King" }, { Ext__c: "c", LastName: "Okafor" }, { Ext__c: "C", LastName: "Okafor" }]);
    const inserted = await org.sobject("Lead").create([{ LastName: "x" }, { FirstName: "y" }]);
    const updated = await org.sobject("Lead").update([{ Id: inserted[0].id, LastName: "z" }, { Id: "00Qnobody", LastName: "z" }]);
    const stranger = await connect("").sobject("Lead").create([{ LastName: "x" }, { LastName: "y" }]).then(() => null, (error) => error.errorCode ?? error.name);
    const short = (results) => results.map((result) => (result.success ? "done" : result.errors[0].statusCode));
    // For jobs the library knows an org by its host alone.
    const host = await atRoot(base);
    const jobs = (accessToken) => new jsforce.Connection({ instanceUrl: host, accessToken, version: "62.0" }).bulk2;
    return {
      bulk: await bulk(jobs),
      upserted: short(upserted), again: short(again), same: again[0].id === upserted[0].id, inserted: short(inserted),
      updated: short(updated), stranger,
    };
  },

  async amplitude() {
    const { createInstance } = await import("@amplitude/analytics-node");
    const logged = [];
    const logger = Object.fromEntries(["disable", "enable", "log", "warn", "error", "debug"].map((name) => [name, (...words) => name === "error" && logged.push(words.join(" "))]));
    const client = createInstance();
    await client.init("api-key", { serverUrl: `${base}/2/httpapi`, flushQueueSize: 10, flushIntervalMillis: 50, loggerProvider: logger }).promise;
    const track = (name, extra) => client.track(name, { n: 1 }, { user_id: "user-1", insert_id: name, ...extra }).promise;
    const sent = [track("one"), track("two", { user_id: "ab" }), track("three")];
    const results = await Promise.all(sent);
    results.push(await track("one"));
    return { codes: results.map((result) => result.code) };
  },
};

// The address of a server that hands on everything to a folder of another.
async function atRoot(folder) {
  const server = http.createServer((asked, answer) => {
    const onward = http.request(folder + asked.url, { method: asked.method, headers: asked.headers }, (answered) => {
      answer.writeHead(answered.statusCode, answered.headers);
      answered.pipe(answer);
    });
    asked.pipe(onward);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${server.address().port}`;
}

// A job is told by the library's own reading of CSV, and its own words for states.
async function bulk(connect) {
  const jobs = connect("token");
  const upsert = { object: "Lead", operation: "upsert", externalIdFieldName: "Ext__c", pollInterval: 10 };
  const all = await jobs.loadAndWaitForResults({ ...upsert, input: [
    { Ext__c: "bulk-1", LastName: "Love, \"lace\"\nAda" }, { Ext__c: "bulk-2", LastName: null }, { Ext__c: "a", LastName: "King" },
  ] });
  const again = await jobs.loadAndWaitForResults({ ...upsert, input: [{ Ext__c: "bulk-1", LastName: "Byron" }] });
  const failure = (promise) => promise.then(() => null, (error) => error.errorCode ?? error.message);
  const aborted = jobs.createJob(upsert);
  await aborted.open();
  await aborted.uploadData([{ Ext__c: "bulk-3", LastName: "x" }]);
  const early = await failure(aborted.getSuccessfulResults());
  const twice = jobs.job("ingest", { id: aborted.id });
  const opened = (await twice.check()).state;
  await aborted.abort();
  return {
    taken: all.successfulResults.map((row) => [row.Ext__c, row.sf__Created]).sort(),
    same: all.successfulResults.find((row) => row.Ext__c === "bulk-1").LastName,
    refused: all.failedResults.map((row) => [row.Ext__c, row.sf__Error.split(":")[0]]), untouched: all.unprocessedRecords.length,
    repeated: again.successfulResults.map((row) => row.sf__Created), early, opened,
    closedTwice: await failure(aborted.close()), left: (await aborted.getUnprocessedRecords()).map((row) => row.Ext__c),
    keyless: await failure(jobs.createJob({ object: "Lead", operation: "upsert" }).open()),
    unknown: await failure(jobs.job("ingest", { id: "750nobody" }).check()), outsider: await failure(connect("").createJob(upsert).open()),
  };
}

assert(clients[vendor], `no such vendor: ${vendor}`);
console.log(JSON.stringify(await clients[vendor]()));
// A pipe takes what was written in its own time.
process.stdout.write("", () => process.exit(0));
