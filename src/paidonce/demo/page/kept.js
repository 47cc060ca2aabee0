// Cards that were kept: paidonce lists them; what the repair knows of them is remembered here.

import { label, nameOf } from "./cards.js";
import { callServer } from "./requests.js";

const STORE = "cards-of-the-repair";

/** The kept cards as choices; null when the list could not be had. */
export async function listKept(side) {
  const { status, answer } = await callServer(side, "GET", "/payments/methods");
  return status === 200 ? answer.data.map(asChoice) : null;
}

/** Whether it was done; so does `remove`. */
export async function makeDefault(side, card) {
  return (await callServer(side, "PUT", `/payments/methods/${card.ids.paidonce}/default`)).status === 200;
}

export async function remove(side, card) {
  return (await callServer(side, "DELETE", `/payments/methods/${card.ids.paidonce}`)).status === 200;
}

/** A card was kept: the repair's own PaymentMethod of it stays attached to the repair's customer. */
export function rememberForRepair(name, methodId) {
  sessionStorage.setItem(STORE, JSON.stringify({ ...read(), [name]: methodId }));
}

function read() {
  return JSON.parse(sessionStorage.getItem(STORE) ?? "{}");
}

function asChoice({ id, stripePaymentMethodId, isDefault, details }) {
  const { brand, last4, expiryMonth, expiryYear } = details;
  const name = nameOf(brand, last4, expiryMonth, expiryYear);
  return {
    key: `kept-${id}`,
    name,
    label: label(brand, last4),
    what: isDefault ? "Kept, default" : "Kept",
    until: `${expiryMonth}/${expiryYear}`,
    isDefault,
    methodId: stripePaymentMethodId,
    ids: { paidonce: id, repair: read()[name] ?? null },
  };
}
