// The form that adds a fault rule, and a rule in the list.

import { button, el, fill } from "./dom.js";

const SECONDS = ["latency", "slow_body"];
const STATUS = ["error_before", "error_after", "error_saved", "bad_gateway_html"];
const WHAT = {
  latency: "waits, then executes",
  hold: "waits until the rule is removed",
  drop_request: "cut before executing",
  drop_response: "executed, then cut",
  error_before: "5xx, nothing executed",
  error_after: "executed, then 5xx, saved under the key",
  error_saved: "5xx saved under the key, nothing executed",
  rate_limit: "429, not executed",
  lock_timeout: "429 that asks to be retried, not executed",
  key_in_use: "409, not executed",
  truncate: "executed, half of the body comes",
  slow_body: "executed, the body comes slowly",
  bad_gateway_html: "executed, then 502 in HTML",
  insufficient_balance: "a refund that the balance does not cover",
  lie: "executed, the answer says otherwise",
};
const METHODS = [["", "any"], ["POST", "POST"], ["GET", "GET"], ["DELETE", "DELETE"]];

export class FaultForm {
  constructor(onAdd) {
    this.kind = el("select", { name: "kind", onchange: () => this.adapt() });
    this.seconds = field("Seconds", { name: "seconds", type: "number", min: "0", max: "3600", step: "any", placeholder: "1" });
    this.status = field("Status", { name: "status", type: "number", min: "400", max: "599", placeholder: "500" });
    this.fields = field("Fields, as JSON", { name: "fields", value: '{"amount": 1}', spellcheck: "false" });
    this.node = el(
      "form",
      { class: "form", onsubmit: (event) => { event.preventDefault(); onAdd(this.kind.value, () => this.rule()); } },
      el("label", { class: "wide" }, "What goes wrong", this.kind),
      el("label", {}, "Method", el("select", { name: "method" }, METHODS.map(([value, text]) => el("option", { value }, text)))),
      field("Path (* crosses /)", { name: "path", placeholder: "*", value: "*", spellcheck: "false" }),
      field("From the nth on", { name: "nth", type: "number", min: "1", placeholder: "1" }),
      field("Times", { name: "times", type: "number", min: "0", placeholder: "always" }),
      field("Probability", { name: "probability", type: "number", min: "0", max: "1", step: "any", placeholder: "1" }),
      this.seconds,
      this.status,
      this.fields,
      el("button", { class: "button go wide", type: "submit" }, "Switch on"),
    );
  }

  /** The kinds that the simulator knows. */
  offer(kinds) {
    const chosen = this.kind.value;
    fill(this.kind, kinds.join(), () => kinds.map((kind) => el("option", { value: kind }, WHAT[kind] ? `${kind}: ${WHAT[kind]}` : kind)));
    if (chosen) this.kind.value = chosen;
    this.adapt();
  }

  adapt() {
    this.seconds.hidden = !SECONDS.includes(this.kind.value);
    this.fields.hidden = this.kind.value !== "lie";
    this.status.hidden = !STATUS.includes(this.kind.value);
    this.status.querySelector("input").placeholder = this.kind.value === "bad_gateway_html" ? "502" : "500";
  }

  rule() {
    const form = new FormData(this.node);
    const number = (name) => (form.get(name) === "" ? {} : { [name]: Number(form.get(name)) });
    return {
      match: { ...(form.get("method") && { method: form.get("method") }), path: form.get("path") || "*", ...number("nth"), ...number("times"), ...number("probability") },
      fault: { kind: form.get("kind"), ...(this.seconds.hidden ? {} : number("seconds")), ...(this.status.hidden ? {} : number("status")), ...(this.fields.hidden ? {} : { fields: JSON.parse(form.get("fields")) }) },
    };
  }
}

function field(text, properties) {
  return el("label", {}, text, el("input", properties));
}

export function faultRule({ match, fault, matched, struck }, onRemove) {
  const limits = Object.entries({ nth: match.nth, times: match.times, probability: match.probability }).filter(([, value]) => value !== null);
  return el(
    "li",
    { class: "rule" },
    el("p", {}, el("strong", {}, fault.kind), ` ${match.method ?? "any"} ${match.path}`),
    el("p", { class: "muted" }, [...limits.map(([name, value]) => `${name} ${value}`), `matched ${matched}, struck ${struck}`].join(" · ")),
    button("Remove", "small", onRemove),
  );
}
