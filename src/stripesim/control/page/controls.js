// What a person does to the simulator: challenges, faults, clock, webhooks, reset.

import { get, post, remove } from "./calls.js";
import { announce, button, complain, el, fill, money } from "./dom.js";
import { FaultForm, faultRule } from "./faults.js";
import { idLink } from "./json.js";

const STEPS = [["1 min", 60], ["1 hour", 3600], ["1 day", 86_400], ["7 days", 604_800]];
const MODES = [["deliver", "Deliver"], ["pause", "Pause"], ["drop", "Drop"]];
const SURE_FOR_MILLISECONDS = 4000;

export class Controls {
  /** `onAct` is called after everything that was done. */
  constructor(root, onAct) {
    this.onAct = onAct;
    this.challenges = el("ul", { class: "items" });
    this.challengeCard = panel("3-D Secure", this.challenges);
    this.faultForm = new FaultForm((kind, rule) => this.act(`fault ${kind} is added`, () => post("/faults", rule())));
    this.rules = el("ul", { class: "items", "aria-label": "Fault rules" });
    this.clearAll = button("Remove all", "small", () => this.act("all faults are removed", () => remove("/faults")));
    this.webhooks = el("form", { class: "form", onsubmit: (event) => this.setWebhooks(event) });
    this.pending = el("p", { class: "muted" });
    root.append(
      this.challengeCard,
      panel("Faults", this.rules, this.clearAll, this.faultForm.node),
      panel("Clock", this.clockTools()),
      panel("Webhooks", this.pending, this.webhooks),
      panel("Store", this.resetTools()),
    );
  }

  async refresh(state) {
    const [{ faults, kinds }, webhooks, { challenges }] = await Promise.all([get("/faults"), get("/webhooks"), get("/challenges")]);
    this.faultForm.offer(kinds);
    fill(this.rules, JSON.stringify(faults), () => faults.map((rule) => faultRule(rule, () => this.act("the fault is removed", () => remove(`/faults/${rule.id}`)))));
    this.clearAll.hidden = faults.length === 0;
    fill(this.challenges, JSON.stringify(challenges), () => challenges.map((one) => this.challenge(one)));
    this.challengeCard.hidden = challenges.length === 0;
    this.drawWebhooks(webhooks);
    this.pending.textContent = state.pending_webhooks ? `${state.pending_webhooks} waiting to be delivered` : "Nothing waits to be delivered";
  }

  async act(done, what) {
    try {
      await what();
      complain("");
      announce(done);
    } catch (error) {
      complain(error.message);
    }
    await this.onAct();
  }

  challenge(one) {
    const decide = (outcome, words) => () => this.act(words, () => post(`/${one.object}s/${one.id}/authenticate`, { outcome }));
    return el(
      "li",
      { class: "challenge" },
      el("p", {}, one.amount === null ? "A card to be saved " : `${money(one.amount, one.currency)} `, idLink(one.id)),
      el("div", { class: "buttons" }, button("Complete", "go", decide("success", "the authentication is completed")), button("Fail", "stop", decide("fail", "the authentication has failed"))),
    );
  }

  clockTools() {
    const seconds = el("input", { type: "number", min: "0", max: "316224000", step: "any", "aria-label": "Seconds", placeholder: "seconds", required: true });
    const advance = (by) => this.act("the clock is advanced", () => post("/clock", { advance_seconds: by }));
    return [
      el("p", { class: "muted" }, "Keys expire, holds end, refunds settle, webhooks are tried again."),
      el("div", { class: "buttons four" }, STEPS.map(([text, by]) => button(`+ ${text}`, "plain", () => advance(by)))),
      el("form", { class: "inline", onsubmit: (event) => { event.preventDefault(); advance(Number(seconds.value)); } }, seconds, el("button", { class: "button plain", type: "submit" }, "Advance")),
    ];
  }

  drawWebhooks(settings) {
    if (this.webhooks.contains(document.activeElement)) return;
    fill(this.webhooks, JSON.stringify({ ...settings, pending: 0 }), () => [
      el("fieldset", { class: "wide" }, el("legend", {}, "Events are"), el("div", { class: "modes" }, MODES.map(([value, text]) => el("label", {}, el("input", { type: "radio", name: "mode", value, checked: settings.mode === value }), el("span", {}, text))))),
      el("label", {}, "Extra copies", el("input", { name: "duplicate", type: "number", min: "0", max: "100", value: settings.duplicate })),
      el("label", {}, "Delay, seconds", el("input", { name: "delay_seconds", type: "number", min: "0", step: "any", value: settings.delay_seconds })),
      el("label", { class: "check" }, el("input", { name: "shuffle", type: "checkbox", checked: settings.shuffle }), "Shuffle their order"),
      el("label", { class: "wide" }, "Target for every event", el("input", { name: "url", type: "url", placeholder: "http://127.0.0.1:8000/webhook", value: settings.target ?? "" })),
      el("label", { class: "wide" }, "Its secret (whsec_…)", el("input", { name: "secret", type: "password", autocomplete: "off", placeholder: settings.target ? "unchanged" : "" })),
      settings.endpoints.length ? el("p", { class: "muted wide" }, `Endpoints: ${settings.endpoints.join(", ")}`) : null,
      el("div", { class: "buttons wide" }, el("button", { class: "button plain", type: "submit" }, "Save"), button("Send all now", "plain", () => this.act("everything pending was sent once", () => post("/webhooks/flush")))),
    ]);
  }

  setWebhooks(event) {
    event.preventDefault();
    const form = new FormData(this.webhooks);
    const settings = {
      mode: form.get("mode"),
      duplicate: Number(form.get("duplicate")),
      delay_seconds: Number(form.get("delay_seconds")),
      shuffle: form.get("shuffle") !== null,
    };
    const url = form.get("url").trim();
    const secret = form.get("secret");
    if (url !== this.webhooks.elements.url.defaultValue || secret) Object.assign(settings, { url, ...(secret && { secret }) });
    document.activeElement.blur();
    return this.act("the webhook settings are saved", () => post("/webhooks", settings));
  }

  resetTools() {
    let isSure = false;
    const reset = button("Empty everything", "stop", async () => {
      if (isSure) {
        isSure = false;
        reset.textContent = "Empty everything";
        return this.act("the simulator is empty", () => post("/reset"));
      }
      isSure = true;
      reset.textContent = "Really? Press again";
      setTimeout(() => {
        isSure = false;
        reset.textContent = "Empty everything";
      }, SURE_FOR_MILLISECONDS);
    });
    return [el("p", { class: "muted" }, "Objects, events, requests, faults, clock and webhook settings are as after a start."), reset];
  }
}

function panel(title, ...content) {
  const id = `panel-${title.toLowerCase().replace(/\W/g, "-")}`;
  return el("section", { class: "card panel", "aria-labelledby": id }, el("h2", { id }, title), content);
}
