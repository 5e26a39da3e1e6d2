// A worker as one writes it by hand for Node.js: JetStream in, HTTP out, at least once.
//
// It does what Ropeway's worker is measured with, and no more: maps, sends, acknowledges after a 2xx, gives back what
// failed with a delay, drops what was refused. There are no dead letters, no counts, no status and no limits.

import { parseArgs } from "node:util";
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { Pool } from "undici";

const RETRY_AFTER_MS = 2_000;
const MOST_WAIT_MS = 50;

const text = { type: "string" };
const { values: options } = parseArgs({
  options: { "nats-url": text, stream: text, consumer: text, url: text, "in-flight": text, batch: text },
});
const inFlight = Number(options["in-flight"]);
const batch = Number(options.batch);
const url = new URL(options.url);

const pool = new Pool(url.origin, { connections: inFlight, pipelining: 1, bodyTimeout: 15_000, headersTimeout: 15_000 });
const headers = { "content-type": "application/json" };

/** The record of an order. Keys are in alphabetical order, as the sink compares bytes. */
function map(message) {
  const order = message.json();
  const { customer } = order;
  return {
    amount_cents: order.total_cents,
    country: customer.country.toUpperCase(),
    currency: order.currency.toUpperCase(),
    customer_id: customer.id,
    email: customer.email.toLowerCase(),
    event_id: order.id,
    items: order.items.map(({ quantity, sku }) => ({ quantity, sku })),
    name: `${customer.first_name} ${customer.last_name}`,
    occurred_at: order.occurred_at,
  };
}

/** What a status means for the messages of a request. */
function settle(messages, status) {
  for (const message of messages) {
    if (status >= 200 && status < 300) {
      message.ack();
    } else if (status === undefined || status === 408 || status === 429 || status >= 500) {
      message.nak(RETRY_AFTER_MS);
    } else {
      message.term();
    }
  }
}

async function deliver(messages) {
  const records = messages.map(map);
  const body = JSON.stringify(batch === 1 ? records[0] : records);
  let status;
  try {
    const answer = await pool.request({ method: "POST", path: url.pathname, headers, body });
    await answer.body.dump();
    status = answer.statusCode;
  } catch {
    // Whether it arrived is not known, so it is tried again.
  }
  settle(messages, status);
}

let running = 0;
let wake;
/** Starts a delivery as soon as there are fewer than `inFlight`. */
async function start(messages) {
  while (running >= inFlight) {
    await new Promise((resolve) => (wake = resolve));
  }
  running += 1;
  deliver(messages).finally(() => {
    running -= 1;
    wake?.();
  });
}

const connection = await connect({ servers: options["nats-url"] });
const consumer = await jetstream(connection).consumers.get(options.stream, options.consumer);
const messages = await consumer.consume({ max_messages: 1_000 });

let waiting = [];
let timer;
async function flush() {
  clearTimeout(timer);
  timer = undefined;
  const full = waiting;
  waiting = [];
  if (full.length > 0) {
    await start(full);
  }
}
for await (const message of messages) {
  waiting.push(message);
  if (waiting.length >= batch) {
    await flush();
  } else {
    timer ??= setTimeout(flush, MOST_WAIT_MS);
  }
}
