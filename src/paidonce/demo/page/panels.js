// One server's panel: what it was asked, what it answered, and what Stripe's ledger says.

import { el } from "./dom.js";

const VERDICTS = ["Not charged", "Charged once", "Charged twice"];

export class Panel {
  constructor(id) {
    this.root = document.getElementById(id);
    this.score = document.querySelector(`.score [data-of="${id}"]`);
    this.log = this.root.querySelector(".log");
    this.last = null;
    this.charges = 0;
  }

  /** A new order: nothing has happened yet. */
  clear() {
    this.log.replaceChildren();
    this.last = null;
    this.tell("");
    this.count(0);
  }

  /** What the person did; the requests below it come from this tap. */
  tap(text) {
    this.last = null;
    this.log.append(el("li", { class: "tap" }, text));
    this.follow();
  }

  note(text) {
    this.last = null;
    this.log.append(el("li", { class: "note" }, text));
    this.follow();
  }

  /** A request on its way. Repeated looks at the same thing share one line. */
  begin(request) {
    const isRepeat = request.isPoll && this.last?.path === request.path;
    const line = isRepeat ? this.last : new Line(request);
    if (isRepeat) line.repeat();
    else this.log.append(line.node);
    this.last = line;
    this.follow();
    return line;
  }

  /** What the app was told at the end of the tap. */
  tell(text, tone = "none") {
    const told = this.root.querySelector(".told");
    told.textContent = text;
    told.dataset.tone = tone;
  }

  /** What the ledger says; `charges` is null when it could not be read. */
  count(charges, amount = "Nothing") {
    this.charges = charges;
    const isKnown = charges !== null;
    const tone = !isKnown ? "warn" : charges === 0 ? "none" : charges === 1 ? "good" : "bad";
    const unit = isKnown ? `${amount} in Stripe's ledger for this order` : "Stripe's ledger could not be read";
    this.root.querySelector(".count").dataset.tone = tone;
    this.root.querySelector(".number").textContent = charges ?? "?";
    this.root.querySelector(".verdict").textContent = this.verdict;
    this.root.querySelector(".unit").textContent = unit;
    this.score.dataset.tone = tone;
    this.score.querySelector("strong").textContent = charges ?? "?";
  }

  get verdict() {
    if (this.charges === null) return "Charges not known";
    return VERDICTS[this.charges] ?? `Charged ${this.charges} times`;
  }

  follow() {
    this.log.scrollTop = this.log.scrollHeight;
  }
}

class Line {
  constructor({ to, method, path, request }) {
    this.path = path;
    this.times = 1;
    this.status = el("span", { class: "status" }, "…");
    this.detail = el("span", { class: "detail" }, `to ${to}`);
    this.to = to;
    this.answer = el("pre", { tabindex: "0", "aria-label": "Answer" });
    const asked = request && Object.keys(request).length;
    this.node = el(
      "li",
      {},
      el(
        "details",
        {},
        el(
          "summary",
          {},
          el("span", { class: "method" }, method),
          el("span", { class: "path" }, path),
          this.status,
          this.detail,
        ),
        asked ? el("pre", { tabindex: "0", "aria-label": "Request" }, JSON.stringify(request, null, 2)) : null,
        this.answer,
      ),
    );
  }

  repeat() {
    this.times += 1;
  }

  end({ status, code, answer, milliseconds }) {
    const kind = status === 0 || status >= 500 ? "bad" : status >= 400 ? "warn" : "good";
    this.status.textContent = status || "no answer";
    this.status.dataset.tone = kind;
    const time = milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
    const parts = [`to ${this.to}`, this.times > 1 ? `asked ${this.times} times` : time, code];
    this.detail.textContent = parts.filter(Boolean).join(" · ");
    this.answer.textContent = JSON.stringify(answer, null, 2);
  }
}
