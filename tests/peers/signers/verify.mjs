// Judges requests that we signed by the libraries that receivers use: one JSON object a line on standard input,
// { headers, bodyBase64, secret }. Ends with 1 at the first that either of them refuses.
import readline from "node:readline";
import { Webhook as Standard } from "standardwebhooks";
import { Webhook as Svix } from "svix";

let judged = 0;
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { headers, bodyBase64, secret } = JSON.parse(line);
  const body = Buffer.from(bodyBase64, "base64").toString();
  for (const Webhook of [Standard, Svix]) new Webhook(secret).verify(body, headers);
  judged++;
}
console.log(judged);
