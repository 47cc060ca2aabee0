// Cards that were kept: paidonce lists them; what the repair knows of them is remembered here.

import { label } from "./cards.js";
import { callServer } from "./requests.js";

const STORE = "cards-of-the-repair";

/** The kept cards as choices; none when the list could not be had. */
export async function listKept(side) {
  const { status, answer } = await callServer(side, "GET", "/payments/methods");
  return status === 200 ? answer.data.map(asChoice) : [];
}

export async function makeDefault(side, card) {
  await callServer(side, "PUT", `/payments/methods/${card.ids.paidonce}/default`);
}

export async function remove(side, card) {
  await callServer(side, "DELETE", `/payments/methods/${card.ids.paidonce}`);
}

/** A card was kept: the repair's own PaymentMethod of it stays attached to the repair's customer. */
export function rememberForRepair({ brand, last4, exp_month: month, exp_year: year }, methodId) {
  sessionStorage.setItem(STORE, JSON.stringify({ ...read(), [nameOf(brand, last4, month, year)]: methodId }));
}

function read() {
  return JSON.parse(sessionStorage.getItem(STORE) ?? "{}");
}

function nameOf(brand, last4, month, year) {
  return [brand, last4, Number(month), Number(year)].join("-");
}

function asChoice({ id, stripePaymentMethodId, isDefault, details }) {
  const { brand, last4, expiryMonth, expiryYear } = details;
  return {
    key: `kept-${id}`,
    label: label(brand, last4),
    what: isDefault ? "Kept, default" : "Kept",
    until: `${expiryMonth}/${expiryYear}`,
    isDefault,
    methodId: stripePaymentMethodId,
    ids: { paidonce: id, repair: read()[nameOf(brand, last4, expiryMonth, expiryYear)] ?? null },
  };
}
