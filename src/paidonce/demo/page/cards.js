// The cards a person can choose: Stripe's test cards, a typed number, and cards kept before.

import { el } from "./dom.js";

const NEXT_YEARS = String(new Date().getFullYear() + 4);

const TEST_CARDS = [
  ["4242424242424242", "Pays"],
  ["4000000000000341", "Declined at the charge"],
  ["4000000000000002", "Declined at once"],
  ["4000000000009995", "Insufficient funds"],
  ["4000002760003184", "Asks for 3-D Secure"],
  ["4000008400001629", "3-D Secure, declined"],
].map(([number, what]) => ({
  key: `test-${number.slice(-4)}`,
  what,
  label: label("Visa", number.slice(-4)),
  entry: { number, month: "12", year: NEXT_YEARS, cvc: "123" },
}));

export function label(brand, last4) {
  return `${brand.charAt(0).toUpperCase()}${brand.slice(1)} •••• ${last4}`;
}

/** What two entries of one card have in common. */
export function nameOf(brand, last4, month, year) {
  return [brand, last4, Number(month), Number(year)].join("-");
}

/** Choices in their order: the card in hand, kept cards, test cards. */
export function choices(held, kept) {
  const first = held ? [{ ...held, key: "held", what: "Same card again" }] : [];
  const others = kept.filter((card) => card.methodId !== held?.methodId);
  return [...first, ...others, ...TEST_CARDS];
}

export function passesLuhn(digits) {
  const sum = [...digits].reverse().reduce((total, digit, index) => {
    const value = Number(digit) * (index % 2 ? 2 : 1);
    return total + (value > 9 ? value - 9 : value);
  }, 0);
  return digits.length >= 12 && sum % 10 === 0;
}

/** The three fields of a typed card. `read()` gives the entry, or null after showing what is wrong. */
export function cardForm() {
  const number = field("Card number", "number", { inputmode: "numeric", autocomplete: "cc-number", maxlength: 23, placeholder: "4242 4242 4242 4242" });
  const expiry = field("Expiry", "expiry", { inputmode: "numeric", autocomplete: "cc-exp", maxlength: 7, placeholder: "MM / YY" });
  const cvc = field("Security code", "cvc", { inputmode: "numeric", autocomplete: "cc-csc", maxlength: 4, placeholder: "CVC" });
  number.input.addEventListener("input", () => hintNumber(number));
  number.input.addEventListener("blur", () => hintNumber(number, true));
  expiry.input.addEventListener("input", () => groupExpiry(expiry.input));
  const node = el("div", { class: "card-form" }, number.node, el("div", { class: "pair" }, expiry.node, cvc.node));
  return { node, read: () => read(number, expiry, cvc) };
}

function field(text, name, attributes) {
  const hint = el("p", { class: "hint", id: `${name}-hint` });
  const input = el("input", { id: `card-${name}`, type: "text", "aria-describedby": hint.id, ...attributes });
  const node = el("div", { class: "field" }, el("label", { for: input.id }, text), input, hint);
  return { node, input, hint };
}

function say({ input, hint }, text, isWrong) {
  hint.textContent = text;
  hint.dataset.tone = isWrong ? "bad" : "good";
  if (isWrong) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

const digitsOf = (input) => input.value.replace(/\D/g, "");

function hintNumber(number, isLeaving = false) {
  const digits = digitsOf(number.input);
  const isAtEnd = number.input.selectionStart === number.input.value.length;
  if (isAtEnd) number.input.value = digits.replace(/(.{4})(?=.)/g, "$1 ");
  if (passesLuhn(digits)) say(number, "The number is complete.", false);
  else if (digits.length >= 16 || (isLeaving && digits)) say(number, "One digit seems wrong: the check digit does not fit.", true);
  else say(number, "", false);
}

function groupExpiry(input) {
  const digits = digitsOf(input).slice(0, 4);
  if (digits.length > 2) input.value = `${digits.slice(0, 2)} / ${digits.slice(2)}`;
}

function read(number, expiry, cvc) {
  const [digits, date, code] = [number, expiry, cvc].map(({ input }) => digitsOf(input));
  const month = Number(date.slice(0, 2));
  const checks = [
    [number, passesLuhn(digits), "Enter the whole card number; its check digit has to fit."],
    [expiry, date.length === 4 && month >= 1 && month <= 12, "Enter month and year, as on the card."],
    [cvc, code.length >= 3, "Enter the 3 or 4 digits."],
  ];
  for (const [item, isRight, words] of checks) say(item, isRight ? "" : words, !isRight);
  const wrong = checks.find(([, isRight]) => !isRight);
  if (wrong) {
    wrong[0].input.focus();
    return null;
  }
  return { number: digits, month: date.slice(0, 2), year: `20${date.slice(2)}`, cvc: code };
}
