// Every request the phone makes, shown in a server's panel while it happens.

import { redact, shortPath } from "./redact.js";

const GIVE_UP_MILLISECONDS = 30_000; // the app's own patience
const NO_ANSWER = { status: "error", code: "no_answer", errors: ["There was no answer. It is safe to try again."], nextStep: "wait" };
let session = null;

export function openSession(opened) {
  session = opened;
}

/** To one of the two servers, through the app's contract. */
export function callServer(side, method, path, body) {
  return send(side.panel, {
    to: "server",
    method,
    url: side.base,
    path,
    headers: { Authorization: `Bearer ${session.token}`, ...(body && { "Content-Type": "application/json" }) },
    body: body && JSON.stringify(body),
    shown: body,
  });
}

/** To Stripe, with the publishable key, as the mobile SDK does. Card numbers go here only. */
export function callStripe(side, method, path, form, { isPoll = false } = {}) {
  const fields = new URLSearchParams(form);
  const isGet = method === "GET";
  return send(side.panel, {
    to: "Stripe",
    method,
    url: session.stripeUrl,
    path,
    query: isGet ? `?${fields}` : "",
    headers: { Authorization: `Bearer ${session.publishableKey}` },
    body: isGet ? undefined : fields,
    shown: form,
    isPoll,
  });
}

/** To the demo's own routes: the JSON of the answer, null without a good one. Never rejects. */
export async function callDemo(method, path, body) {
  const headers = body && { "Content-Type": "application/json" };
  const signal = AbortSignal.timeout(GIVE_UP_MILLISECONDS);
  try {
    const response = await fetch(`/demo${path}`, { method, headers, body: body && JSON.stringify(body), signal });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

/** The status and the JSON of the answer; status 0 when there was none. Never rejects. */
async function send(panel, { to, method, url, path, query = "", headers, body, shown, isPoll }) {
  const line = panel.begin({ to, method, path: shortPath(path), request: redact(shown), isPoll });
  const startedAt = performance.now();
  const signal = AbortSignal.timeout(GIVE_UP_MILLISECONDS);
  let result = { status: 0, answer: NO_ANSWER };
  try {
    const response = await fetch(`${url}${path}${query}`, { method, headers, body, signal });
    result = { status: response.status, answer: await response.json() };
  } catch {
    // The connection broke, the answer took too long or was no JSON: the app knows nothing.
  }
  const { status, answer } = result;
  line.end({ status, code: status ? codeOf(answer) : "", answer: redact(answer), milliseconds: performance.now() - startedAt });
  return result;
}

function codeOf(answer) {
  if (answer.object === "payment_intent") return answer.status;
  return answer.code ?? answer.error?.code ?? (answer.status === "success" ? "" : answer.status ?? "");
}
