// The app: every tap goes to paidonce and to the usual repair, and Stripe's ledger is read after it.

import { choices, label, nameOf } from "./cards.js";
import { announce, button, complain, el, money } from "./dom.js";
import { listKept, makeDefault, rememberForRepair, remove } from "./kept.js";
import { Panel } from "./panels.js";
import { createOrder, createPaymentMethod, payAtPaidonce, payAtRepair } from "./payment.js";
import { callDemo, openSession } from "./requests.js";
import { cardsScreen, payScreen, resultScreen, shopScreen, titleOf, wordsOf } from "./screens.js";

const paidonce = { base: "/api/mobile-app", panel: new Panel("paidonce"), orderId: null };
const repair = { base: "/demo/repair/api/mobile-app", panel: new Panel("repair"), orderId: null };
const both = [paidonce, repair];
const screen = document.getElementById("screen");
const loseSwitch = document.getElementById("lose");

let products = [];
const basket = new Map();
let order = null; // of paidonce: {number, amount, currency}
let held = null; // the card the app has in hand: {name, label, methodId, ids: {paidonce, repair}}
let keep = false;
let kept = [];
let isBusy = false;
let leaveCards = showShop;
let lossIsSet = Promise.resolve();

// --- screens ---------------------------------------------------------------------------------

function show(title, content, { back = null, hasCards = true } = {}) {
  screen.replaceChildren(...content);
  screen.scrollTop = 0;
  if (document.body.dataset.ready && matchMedia("(max-width: 999px)").matches) {
    document.getElementById("phone").scrollIntoView({ block: "start" });
  }
  const heading = document.getElementById("screen-title");
  heading.textContent = title;
  heading.focus({ preventScroll: true });
  const backButton = document.getElementById("back");
  backButton.hidden = back === null;
  backButton.onclick = () => once(back);
  document.getElementById("open-cards").hidden = !hasCards;
}

function showShop() {
  leaveCards = showShop;
  show("Shop", shopScreen({ products, basket, onchange: changeBasket, oncheckout: () => once(checkOut) }));
}

function changeBasket(productId, quantity) {
  if (isBusy) return;
  const pressed = document.activeElement?.id;
  basket.set(productId, quantity);
  screen.replaceChildren(...shopScreen({ products, basket, onchange: changeBasket, oncheckout: () => once(checkOut) }));
  const again = document.getElementById(pressed);
  (again && !again.disabled ? again : document.getElementById(`${productId}-more`)).focus();
}

function showPay() {
  leaveCards = showPay;
  const offered = choices(held, kept);
  const chosen = (held ? offered[0] : kept.find((card) => card.isDefault) ?? offered[0]).key;
  show(`Pay ${order.amount}`, payScreen({ order, choices: offered, chosen, onpay }), { back: showShop });
}

function showResult(answer) {
  leaveCards = () => showResult(answer);
  const content = resultScreen({
    answer,
    order,
    card: held,
    onretry: () => once(retry),
    onother: () => once(useAnotherCard),
    onagain: () => once(payAgain),
    onnew: () => once(showShop),
  });
  show(titleOf(answer), content);
  announce(`${titleOf(answer)}. ${wordsOf(answer, order)} ${summary()}`);
}

function summary() {
  return `Ledger: paidonce ${paidonce.panel.verdict.toLowerCase()}, the usual repair ${repair.panel.verdict.toLowerCase()}.`;
}

async function showCards() {
  const leave = leaveCards;
  paidonce.panel.tap("Tap: Kept cards");
  await loadKept();
  const change = (work) => (card) => once(async () => {
    const isDone = await work(paidonce, card);
    if (work === remove && held?.name === card.name) forgetHeld();
    await showCards();
    if (!isDone) complain("The server did not say that this was done. It is safe to try again.");
  });
  const content = cardsScreen({ kept, ondefault: change(makeDefault), onremove: change(remove) });
  show("Kept cards", content, { back: leave, hasCards: false });
}

/** The card in hand is gone, and with it every other entry of the same card; a result that offers to pay with it again is no place to go back to. */
function forgetHeld() {
  held = null;
  if (leaveCards !== showPay) leaveCards = showShop;
}

async function loadKept() {
  const listed = await listKept(paidonce);
  if (listed) kept = listed;
  else complain("The kept cards could not be read.");
}

// --- taps ------------------------------------------------------------------------------------

/**
 * One tap at a time, as a phone does it: taps are not heard while one is being worked on.
 * Whatever nobody expected ends here, in words.
 */
async function once(work) {
  if (isBusy) return;
  isBusy = true;
  const buttons = [...screen.querySelectorAll(".button")];
  for (const button of buttons) button.setAttribute("aria-disabled", "true");
  screen.setAttribute("aria-busy", "true");
  complain("");
  try {
    await work();
  } catch (error) {
    console.error(error);
    complain("Something went wrong on this page. It is safe to try again.");
  } finally {
    isBusy = false;
    screen.removeAttribute("aria-busy");
    for (const button of buttons) button.removeAttribute("aria-disabled");
  }
}

function tap(text) {
  for (const side of both) side.panel.tap(`Tap: ${text}`);
}

async function checkOut() {
  if (await newOrder("Check out")) showPay();
}

/** A new order at both servers; the panels begin anew. */
async function newOrder(text) {
  for (const side of both) side.panel.clear();
  tap(text);
  const items = [...basket].filter(([, quantity]) => quantity > 0).map(([productId, quantity]) => ({ productId, quantity }));
  const [answer, other] = await Promise.all(both.map((side) => createOrder(side, items)));
  if (answer.status !== "success" || other.status !== "success") {
    complain("The order could not be made. It is safe to try again.");
    if (order) await readLedger(); // the panels go on with the order before
    return false;
  }
  const { currency } = answer.data;
  order = { number: answer.data.orderNumber, amount: money(answer.data.amountMinor, currency), currency };
  [paidonce.orderId, repair.orderId] = [answer.data.orderId, other.data.orderId];
  return true;
}

function onpay(choice, wantsToKeep) {
  once(async () => {
    keep = wantsToKeep;
    tap(`Pay with ${choice.label ?? "a typed card"}${keep ? ", keep it" : ""}`);
    const problem = choice.ids ? holdAgain(choice) : await enterCard(choice.entry);
    if (problem) complain(problem);
    else await pay();
  });
}

function holdAgain({ name, label: text, methodId, ids }) {
  held = { name, label: text, methodId, ids };
  return null;
}

/** One card entry per server, since a PaymentMethod belongs to one Customer. Returns what is wrong. */
async function enterCard(entry) {
  const [mine, other] = await Promise.all(both.map((side) => createPaymentMethod(side, entry)));
  if (mine.error || other.error) return mine.error ?? other.error;
  const { brand, last4, exp_month: month, exp_year: year } = mine.card;
  held = {
    name: nameOf(brand, last4, month, year),
    label: label(brand, last4),
    methodId: mine.id,
    ids: { paidonce: mine.id, repair: other.id },
  };
  return null;
}

async function retry() {
  tap(`Try again, ${held.label}`);
  await pay();
}

function useAnotherCard() {
  held = null;
  showPay();
}

async function payAgain() {
  if (!(await newOrder("New order"))) return;
  keep = false;
  tap(`Pay again with ${held.label}`);
  await pay();
}

async function pay() {
  await lossIsSet;
  announce("Paying…");
  const pressed = screen.querySelector(".button.primary");
  const words = pressed?.textContent;
  if (pressed) pressed.textContent = "Paying…";
  try {
    await payAtBoth();
  } finally {
    if (pressed) pressed.textContent = words;
  }
}

async function payAtBoth() {
  let decided = null;
  const decision = new Promise((resolve) => (decided = resolve));
  const [other, answer] = await Promise.all([
    held.ids.repair ? payAtRepair(repair, held.ids.repair, keep, decision) : null,
    payAtPaidonce(paidonce, held.ids.paidonce, keep, decided),
  ]);
  await endLoss();
  await readLedger();
  tellPaidonce(answer);
  tellRepair(other);
  if (keep && answer.status === "success") {
    if (held.ids.repair) rememberForRepair(held.name, held.ids.repair);
    await loadKept();
  }
  showResult(answer);
}

// --- what came of it -------------------------------------------------------------------------

async function readLedger() {
  const ledger = await callDemo("GET", `/ledger?order=${paidonce.orderId}&order=${repair.orderId}`);
  for (const { panel, orderId } of both) {
    const { charges, amountMinor } = ledger?.[orderId] ?? { charges: null };
    panel.count(charges, charges ? money(amountMinor, order.currency) : undefined);
  }
}

function tellPaidonce(answer) {
  const isKnown = answer.status === "success";
  if (answer.code === "no_answer") return paidonce.panel.tell("The app got no answer; it may ask again.");
  const words = isKnown ? "paid." : answer.nextStep === "wait" ? "not known yet, ask again." : lowerTitle(answer);
  paidonce.panel.tell(`The app was told: ${words}`, isKnown ? "good" : "none");
}

function lowerTitle(answer) {
  return `${titleOf(answer).toLowerCase()}.`;
}

function tellRepair(answer) {
  const { panel } = repair;
  if (answer === null) panel.tell("This server never saw this card; it sits this payment out.");
  else if (answer.status === "stuck") panel.tell(stuckWords(answer.intentStatus), "bad");
  else if (answer.status === "success") panel.tell(...(panel.charges > 1 ? [`The app was told: paid. The customer was ${panel.verdict.toLowerCase()}.`, "bad"] : ["The app was told: paid.", "good"]));
  else if (answer.status === "requires_action") panel.tell("The app was told: authenticate.");
  else if (answer.code === "no_answer") panel.tell(...(panel.charges ? ["The app got no answer. Stripe has charged.", "bad"] : ["The app got no answer."]));
  else if (panel.charges) panel.tell("The app was told: payment failed. Stripe has charged.", "bad");
  else panel.tell(`The app was told: ${answer.errors?.[0] ?? answer.message}`);
}

function stuckWords(intentStatus) {
  if (!intentStatus || intentStatus === "requires_action") return "How the authentication ended could not be read.";
  if (intentStatus !== "requires_confirmation") return "The app was told: authentication failed.";
  return "Authenticated, and still not paid: the intent waits in requires_confirmation, and no route of this server confirms it.";
}

// --- the experiment --------------------------------------------------------------------------

function setLoss(isOn) {
  lossIsSet = callDemo("PUT", "/lose-answer", { isOn }).then((answer) => {
    if (answer) return;
    loseSwitch.checked = false;
    complain("The switch “Lose Stripe's answer” could not be set.");
  });
  return lossIsSet;
}

/** The switch is for one payment. */
async function endLoss() {
  if (!loseSwitch.checked) return;
  loseSwitch.checked = false;
  await setLoss(false);
}

async function start() {
  const session = await callDemo("GET", "/session");
  if (!session) {
    show("Shop", [el("p", { class: "muted empty" }, "The shop is not open: the demo did not answer."), button("Try again", "primary", () => once(start))], { hasCards: false });
    return;
  }
  openSession(session);
  products = session.products;
  basket.set("grinder", 1);
  await setLoss(loseSwitch.checked);
  paidonce.panel.tap("The app opens");
  await loadKept();
  showShop();
  document.activeElement?.blur();
  document.body.dataset.ready = "true";
}

loseSwitch.addEventListener("change", () => setLoss(loseSwitch.checked));
document.getElementById("open-cards").addEventListener("click", () => once(showCards));
once(start);
