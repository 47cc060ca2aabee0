// Events, newest first, with what became of their deliveries.

import { get, post } from "./calls.js";
import { announce, button, clock, complain, el, fill } from "./dom.js";
import { idLink } from "./json.js";

const PAGE = 50;
const TONES = { delivered: "good", pending: "warn", failed: "bad" };

export class Events {
  constructor(seqOf) {
    this.seqOf = seqOf;
    this.hasPending = false;
    this.rows = el("ol", { class: "rows", "aria-label": "Events, newest first" });
    this.note = el("p", { class: "empty", hidden: true }, "No event yet.");
    this.more = button("Show older ones", "plain more", () => this.older());
    this.node = el("div", { class: "view" }, this.note, this.rows, this.more);
    this.isOlderShown = false;
  }

  async refresh({ keepsOlder = false } = {}) {
    if (keepsOlder && this.isOlderShown) return;
    const { events, has_more: hasMore } = await get(`/events?limit=${PAGE}`);
    this.isOlderShown = false;
    this.hasPending = events.some((event) => event.deliveries.some((one) => one.state === "pending"));
    fill(this.rows, JSON.stringify(events), () => events.map((event) => this.row(event)));
    this.more.hidden = !hasMore;
    this.note.hidden = events.length > 0;
  }

  async older() {
    const last = this.rows.lastElementChild.dataset.id;
    const { events, has_more: hasMore } = await get(`/events?limit=${PAGE}&after=${encodeURIComponent(last)}`);
    this.isOlderShown = true;
    this.rows.dataset.holds = "";
    this.rows.append(...events.map((event) => this.row(event)));
    this.more.hidden = !hasMore;
  }

  row(event) {
    const seq = this.seqOf(event.request);
    return el(
      "li",
      { class: "event", "data-id": event.id },
      el("span", { class: "when" }, clock(event.created)),
      el("a", { class: "type", href: `#object/${event.id}` }, event.type),
      button("Resend", "small", () => this.resend(event)),
      el(
        "span",
        { class: "notes" },
        event.about.id ? idLink(event.about.id) : null,
        seq ? [" · ", el("a", { class: "id", href: `#request/${seq}` }, "request")] : null,
      ),
      el("ul", { class: "deliveries" }, event.deliveries.length ? event.deliveries.map(delivery) : el("li", { class: "muted" }, "sent to nobody")),
    );
  }

  async resend(event) {
    try {
      const { deliveries } = await post(`/events/${encodeURIComponent(event.id)}/resend`);
      const isSent = deliveries.some((one) => one.state === "pending");
      complain(isSent ? "" : "No endpoint wants this event: set a webhook target first.");
      announce(`${event.type} is sent again`);
      this.isOlderShown = false;
      await this.refresh();
    } catch (error) {
      complain(error.message);
    }
  }
}

function delivery(one) {
  const tries = one.attempts > 1 ? `, ${one.attempts} tries` : "";
  const answered = one.answered ? ` ${one.answered}` : "";
  const due = one.state === "pending" ? `, due ${clock(one.due_at)}` : "";
  return el(
    "li",
    {},
    el("span", { class: `chip ${TONES[one.state]}` }, one.state),
    ` ${one.url ?? one.endpoint}`,
    el("span", { class: "muted" }, `${answered}${tries}${due}`),
  );
}
