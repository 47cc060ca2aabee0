// Plays scenarios with the official SDK for Node: a job as JSON on stdin, the transcript on stdout.
// The job: { sdk: folder of the package, url, secret_key, publishable_key, scenarios }

import { createRequire } from "node:module";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const job = JSON.parse(Buffer.concat(chunks).toString("utf8"));
const Stripe = createRequire(import.meta.url)(job.sdk);

// Where the two SDKs name the same call differently.
const NAMES = {
  "customers.payment_methods.list": "customers.listPaymentMethods",
  "customers.payment_methods.retrieve": "customers.retrievePaymentMethod",
  "customers.payment_sources.create": "customers.createSource",
  "customers.payment_sources.list": "customers.listSources",
  "customers.payment_sources.delete": "customers.deleteSource",
};

function client(key) {
  const { hostname, port, protocol } = new URL(job.url);
  const settings = { host: hostname, port, protocol: protocol.slice(0, -1), telemetry: false };
  return new Stripe(key, { ...settings, maxNetworkRetries: 0 });
}

const clients = { secret: client(job.secret_key), publishable: client(job.publishable_key) };

function lookUp(saved, reference) {
  let value = saved;
  for (const step of reference.slice(1).split(".")) value = value?.[step];
  return value ?? null;
}

function resolved(saved, value) {
  if (Array.isArray(value)) return value.map((inner) => resolved(saved, inner));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolved(saved, v)]));
  }
  return typeof value === "string" && value.startsWith("$") ? lookUp(saved, value) : value;
}

function camel(name) {
  return name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
}

function options(given) {
  const out = {};
  if (given.idempotency_key) out.idempotencyKey = given.idempotency_key;
  if (given.stripe_version) out.apiVersion = given.stripe_version;
  return out;
}

async function call(step, saved) {
  let service = clients[step.key ?? "secret"];
  const path = (NAMES[step.call] ?? step.call).split(".").map(camel);
  let verb = path.pop();
  if (verb === "delete") verb = "del";
  for (const name of path) service = service[name];
  const ids = resolved(saved, step.ids ?? []);
  const params = resolved(saved, step.params ?? {});
  const answer = await service[verb](...ids, params, options(step.options ?? {}));
  return JSON.parse(JSON.stringify(answer));
}

function refusal(error) {
  const { headers, statusCode, requestId, ...body } = error.raw ?? {};
  return { class: error.type.replace(/^Stripe/, ""), status: error.statusCode, error: body };
}

async function control(step) {
  const [method, pattern] = step.control.split(" ");
  const path = (step.ids ?? []).reduce((text, id) => text.replace("{id}", id), pattern);
  const answer = await fetch(job.url + path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: method === "GET" ? undefined : JSON.stringify(step.params ?? {}),
  });
  const body = await answer.json();
  return answer.ok ? { answer: body } : { class: "HTTP", status: answer.status, error: body.error };
}

async function play(step, saved) {
  if (resolved(saved, step.ids ?? []).includes(null)) {
    // An earlier step has failed.
    return { class: "NotAsked", status: null, error: { message: String(step.ids) } };
  }
  if (step.control) return control(resolved(saved, step));
  try {
    return { answer: await call(step, saved) };
  } catch (error) {
    if (!(error instanceof Stripe.errors.StripeError)) throw error;
    return refusal(error);
  }
}

const transcript = [];
for (const scenario of job.scenarios) {
  const saved = {};
  for (const step of scenario.steps) {
    const found = await play(step, saved);
    saved[step.save ?? "last"] = found.answer ?? found.error;
    transcript.push({ scenario: scenario.name, step: step.name, ...found });
  }
}
process.stdout.write(JSON.stringify(transcript));
