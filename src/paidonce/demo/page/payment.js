// What the shipped app does when somebody pays, for each of the two servers.

import { callDemo, callServer, callStripe } from "./requests.js";
import { showChallenge } from "./challenge.js";

/** The card becomes a PaymentMethod at Stripe. `{id}`, or `{error}` with Stripe's words. */
export async function createPaymentMethod(side, entry) {
  const { status, answer } = await callStripe(side, "POST", "/v1/payment_methods", {
    type: "card",
    "card[number]": entry.number,
    "card[exp_month]": entry.month,
    "card[exp_year]": entry.year,
    "card[cvc]": entry.cvc,
  });
  return status === 200 ? { id: answer.id, card: answer.card } : { error: answer.error?.message ?? "There was no answer." };
}

export async function createOrder(side, items) {
  const { answer } = await callServer(side, "POST", "/orders", { items });
  return answer;
}

function sendPay(side, cardId, keep) {
  const body = { paymentMethod: "credit_card", paymentToken: cardId, savePaymentMethod: keep };
  return callServer(side, "POST", `/orders/${side.orderId}/pay`, body);
}

/** Pay at paidonce and follow 3-D Secure. `decided` is told how the challenge ended. */
export async function payAtPaidonce(side, cardId, keep, decided) {
  const { answer } = await sendPay(side, cardId, keep);
  if (answer.status !== "requires_action") {
    decided("success"); // nothing was asked; should the repair's bank ask, the same person says yes
    return answer;
  }
  const outcome = await handleNextAction(side, answer.data);
  decided(outcome);
  if (outcome === "open") return answer;
  const body = { paymentIntentId: answer.data.paymentIntentId };
  return (await callServer(side, "POST", `/orders/${side.orderId}/pay/confirm`, body)).answer;
}

/** Pay at the repair's server. Its challenge ends as paidonce's did, without a second sheet. */
export async function payAtRepair(side, cardId, keep, decision) {
  const { answer } = await sendPay(side, cardId, keep);
  if (answer.status !== "requires_action") return answer;
  const outcome = await decision;
  if (outcome === "open") return answer;
  side.panel.note(outcome === "success" ? "The bank's page: completed, as at paidonce" : "The bank's page: failed, as at paidonce");
  const { paymentIntentId } = answer.data;
  if (!(await callDemo("POST", "/repair/authenticate", { paymentIntentId, outcome }))) return { status: "stuck" };
  const intent = await retrieveIntent(side, answer.data);
  return { status: "stuck", intentStatus: intent.status };
}

/** "success", "fail", or "open" when the sheet was closed before anything was decided. */
async function handleNextAction(side, { paymentIntentId, clientSecret }) {
  const data = { paymentIntentId, clientSecret };
  let intent = await retrieveIntent(side, data);
  const action = intent.next_action;
  const url = action?.use_stripe_sdk?.stripe_js ?? action?.redirect_to_url?.url;
  if (intent.status === "requires_action" && url) {
    await showChallenge(url, async () => {
      intent = await retrieveIntent(side, data);
      return intent.status !== "requires_action";
    });
  }
  if (intent.status === "requires_action") return "open";
  const code = intent.last_payment_error?.code;
  return code === "payment_intent_authentication_failure" ? "fail" : "success";
}

async function retrieveIntent(side, { paymentIntentId, clientSecret }) {
  const path = `/v1/payment_intents/${paymentIntentId}`;
  const { answer } = await callStripe(side, "GET", path, { client_secret: clientSecret }, { isPoll: true });
  // Without an answer the state is what it was: still waiting for the person.
  return answer.object === "payment_intent" ? answer : { status: "requires_action" };
}
