// Consents like a person with a browser: follows redirects, keeps cookies, sends the forms of the development pages, and
// ends at the first address that is not the server's own, which it asks for as the browser would.
//
//   node consent.mjs URL ORIGIN        (with NODE_EXTRA_CA_CERTS)
const [start, origin] = process.argv.slice(2);
const jar = new Map();
let [url, form] = [start, null];
for (let step = 0; step < 20; step += 1) {
  const headers = { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') };
  const answer = await fetch(url, { method: form ? 'POST' : 'GET', body: form ?? undefined, headers, redirect: 'manual' });
  if (!url.startsWith(origin)) {
    console.log(await answer.text());
    process.exit(answer.ok ? 0 : 1);
  }
  for (const cookie of answer.headers.getSetCookie()) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
    if (value) jar.set(name, value); else jar.delete(name);
  }
  const next = answer.headers.get('location');
  if (next) {
    [url, form] = [new URL(next, url).href, null];
    continue;
  }
  const page = await answer.text();
  const prompt = /name="prompt" value="(\w+)"/.exec(page)?.[1];
  if (!prompt) {
    console.error(page);
    process.exit(1);
  }
  url = new URL(/<form[^>]*action="([^"]+)"/.exec(page)[1], url).href;
  form = new URLSearchParams(prompt === 'login' ? { prompt, login: 'person', password: 'any' } : { prompt });
}
process.exit(1);
