// The app's screens. Each function builds one from what it is given and calls back on a tap.

import { button, el, money } from "./dom.js";
import { cardForm } from "./cards.js";

export function shopScreen({ products, basket, onchange, oncheckout }) {
  const total = products.reduce((sum, product) => sum + product.amountMinor * (basket.get(product.productId) ?? 0), 0);
  const currency = products[0].currency;
  const pay = button(total ? `Check out · ${money(total, currency)}` : "Choose something", "primary", oncheckout);
  pay.id = "check-out";
  pay.disabled = total === 0;
  const rows = products.map((product) => productRow(product, basket.get(product.productId) ?? 0, onchange));
  return [el("ul", { class: "products" }, rows), el("div", { class: "bottom" }, pay)];
}

function productRow({ productId, name, amountMinor, currency }, quantity, onchange) {
  const change = (by, text, sign) =>
    el(
      "button",
      {
        type: "button",
        class: "step",
        id: `${productId}-${by > 0 ? "more" : "less"}`,
        "aria-label": `${text} ${name}`,
        disabled: quantity + by < 0,
        onclick: () => onchange(productId, quantity + by),
      },
      sign,
    );
  return el(
    "li",
    { class: "product" },
    el("span", { class: `thumb ${productId}`, "aria-hidden": "true" }),
    el("div", { class: "product-text" }, el("strong", {}, name), el("span", { class: "muted" }, money(amountMinor, currency))),
    el(
      "div",
      { class: "stepper" },
      change(-1, "One less:", "−"),
      el("span", { class: "quantity", "aria-label": `${name}: ${quantity}` }, String(quantity)),
      change(1, "One more:", "+"),
    ),
  );
}

export function payScreen({ order, choices, chosen, onpay }) {
  const form = cardForm();
  form.node.hidden = chosen !== "typed";
  const rows = [...choices, { key: "typed", label: "Another card", what: "Type a number" }].map((choice) =>
    el(
      "label",
      { class: "choice" },
      el("input", {
        type: "radio",
        name: "card",
        value: choice.key,
        checked: choice.key === chosen,
        onchange: () => {
          form.node.hidden = choice.key !== "typed";
          if (!form.node.hidden) form.node.scrollIntoView({ block: "nearest" });
        },
      }),
      el("span", { class: "choice-label" }, choice.label),
      el("span", { class: "choice-what" }, choice.what),
    ),
  );
  const keepBox = el("input", { type: "checkbox", id: "keep" });
  const pay = button(`Pay ${order.amount}`, "primary", () => {
    const key = document.querySelector("input[name=card]:checked").value;
    const entry = key === "typed" ? form.read() : null;
    if (key === "typed" && !entry) return;
    onpay(choices.find((choice) => choice.key === key) ?? { key, entry }, keepBox.checked);
  });
  pay.id = "pay";
  return [
    el("p", { class: "muted order-line" }, `Order ${order.number}`),
    el("fieldset", { class: "choices" }, el("legend", {}, "Pay with"), rows, form.node),
    el("label", { class: "keep" }, keepBox, "Keep this card for next time"),
    el("div", { class: "bottom" }, pay),
  ];
}

const TITLES = {
  card_declined: "Card declined",
  authentication_failed: "Not authenticated",
  payment_processing: "Not known yet",
  payment_in_progress: "Not known yet",
  no_answer: "Not known yet",
};

/** The title of an answer, for the screen and for the panels. */
export function titleOf(answer) {
  if (answer.status === "success") return "Paid";
  if (answer.status === "requires_action") return "Not confirmed yet";
  return TITLES[answer.code] ?? "Not paid";
}

export function resultScreen({ answer, order, card, onretry, onother, onagain, onnew }) {
  const isPaid = answer.status === "success";
  const tone = isPaid ? "good" : ["wait", "authenticate"].includes(answer.nextStep) ? "warn" : "bad";
  const facts = [
    ["Order", order.number],
    ["Amount", order.amount],
    ["Card", card.label],
    isPaid ? ["Payment", `${answer.data.paymentId.slice(0, 12)}…`] : null,
  ].filter(Boolean);
  const actions = {
    done: [["Pay again with the same card", onagain], ["New order", onnew], ["Send the same request again", onretry]],
    authenticate: [["Continue 3-D Secure", onretry], ["Use another card", onother]],
    wait: [["Try again", onretry]],
    retry: [["Try again", onretry], ["Use another card", onother]],
    use_other_method: [["Use another card", onother], ["Try the same card again", onretry]],
  }[answer.nextStep] ?? [["New order", onnew], ["Use another card", onother]];
  return [
    el("div", { class: "result", "data-tone": tone }, el("span", { class: "sign", "aria-hidden": "true" }), el("p", { class: "words" }, wordsOf(answer, order))),
    answer.retryAfter ? el("p", { class: "muted advice" }, `The server suggests ${answer.retryAfter} seconds from now. Asking at once is safe too.`) : null,
    el("dl", { class: "facts" }, facts.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
    el("div", { class: "bottom" }, actions.map(([text, onclick], index) => button(text, index ? "plain" : "primary", onclick))),
  ].filter(Boolean);
}

export function wordsOf(answer, order) {
  if (answer.status === "success") return `${order.amount} paid. Thank you.`;
  if (answer.status === "requires_action") return "Your bank still waits for your answer.";
  return answer.errors?.[0] ?? answer.message ?? "Something went wrong.";
}

export function cardsScreen({ kept, ondefault, onremove }) {
  if (!kept.length) {
    return [el("p", { class: "muted empty" }, "No card is kept. Tick “Keep this card for next time” when you pay.")];
  }
  const rows = kept.map((card) =>
    el(
      "li",
      { class: "kept" },
      el("div", {}, el("strong", {}, card.label), el("span", { class: "muted" }, card.isDefault ? `Default · until ${card.until}` : `Until ${card.until}`)),
      el(
        "div",
        { class: "kept-actions" },
        card.isDefault ? null : small("Make default", `Make ${card.label} the default`, () => ondefault(card)),
        small("Remove", `Remove ${card.label}`, () => onremove(card)),
      ),
    ),
  );
  return [el("ul", { class: "kept-list" }, rows)];
}

function small(text, name, onclick) {
  return el("button", { type: "button", class: "button small", "aria-label": name, onclick }, text);
}
