// Objects by kind, newest first, a page at a time.

import { get } from "./calls.js";
import { button, clock, el, fill, money } from "./dom.js";
import { jsonBlock } from "./json.js";

const PAGE = 25;
const TONES = {
  succeeded: "good", won: "good", enabled: "good", available: "good",
  requires_action: "warn", requires_capture: "warn", pending: "warn", needs_response: "warn", processing: "warn",
  failed: "bad", lost: "bad",
};
const FIRST_CHOICE = "payment_intent";

export class Objects {
  constructor() {
    this.kind = null;
    this.isOlderShown = false;
    this.kinds = el("div", { class: "chips", role: "group", "aria-label": "Kind of object" });
    this.rows = el("ol", { class: "rows", "aria-label": "Objects, newest first" });
    this.note = el("p", { class: "empty", hidden: true }, "Nothing is stored yet.");
    this.more = button("Show older ones", "plain more", () => this.older());
    this.more.hidden = true;
    this.node = el("div", { class: "view" }, this.kinds, this.note, this.rows, this.more);
  }

  async choose(kind) {
    this.kind = kind;
    await this.refresh();
  }

  /** The first page again; where older ones were asked for, the list stays as it is. */
  async refresh({ keepsOlder = false } = {}) {
    if (keepsOlder && this.isOlderShown) return;
    const wanted = this.kind;
    const { kinds } = await get("/objects");
    const shown = kinds.filter((kind) => kind !== "event");
    if (!wanted || !shown.includes(wanted)) this.kind = shown.includes(FIRST_CHOICE) ? FIRST_CHOICE : shown[0] ?? null;
    const page = this.kind ? await this.page(null) : { objects: [], has_more: false };
    this.isOlderShown = false;
    this.drawKinds(shown);
    fill(this.rows, JSON.stringify(page.objects), () => page.objects.map(row));
    this.more.hidden = !page.has_more;
    this.note.hidden = shown.length > 0;
  }

  async older() {
    const page = await this.page(this.rows.lastElementChild.dataset.id);
    this.isOlderShown = true;
    this.rows.dataset.holds = "";
    this.rows.append(...page.objects.map(row));
    this.more.hidden = !page.has_more;
  }

  page(after) {
    const query = new URLSearchParams({ kind: this.kind, limit: PAGE, ...(after && { after }) });
    return get(`/objects?${query}`);
  }

  drawKinds(kinds) {
    fill(this.kinds, JSON.stringify([kinds, this.kind]), () =>
      kinds.map((kind) => el("a", { class: "chip choice", href: `#objects/${kind}`, "aria-current": kind === this.kind ? "true" : null }, kind.replaceAll("_", " "))),
    );
  }
}

function row(obj) {
  const about = [
    obj.amount !== undefined && obj.currency && money(obj.amount, obj.currency),
    obj.card?.last4 && `${obj.card.display_brand ?? obj.card.brand} •••• ${obj.card.last4}`,
    obj.name ?? obj.email,
    obj.url,
    obj.reason,
    obj.deleted && "deleted",
  ].filter(Boolean);
  return el(
    "li",
    { "data-id": obj.id },
    el(
      "a",
      { class: "row object", href: `#object/${encodeURIComponent(obj.id)}` },
      el("span", { class: "when" }, obj.created ? clock(obj.created) : ""),
      el("span", { class: "path" }, obj.id),
      el("span", { class: "status", "data-tone": TONES[obj.status] }, obj.status ?? ""),
      about.length ? el("span", { class: "notes" }, about.join(" · ")) : null,
    ),
  );
}

export async function showObject(id) {
  const obj = await get(`/objects/${encodeURIComponent(id)}`);
  return { title: id, content: [jsonBlock(obj.object.replaceAll("_", " "), obj)] };
}
