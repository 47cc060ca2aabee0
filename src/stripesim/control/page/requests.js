// Requests as they come, newest first, with a filter.

import { get } from "./calls.js";
import { clock, el } from "./dom.js";
import { jsonBlock } from "./json.js";

const KEPT = 500;
const SHOWN = 200;
const AT_FIRST = 100;
const AT_ONCE = 500;
const WHICH = {
  all: () => true,
  errors: (line) => line.status === null || line.status >= 400,
  faults: (line) => Boolean(line.fault),
  replays: (line) => line.replayed,
};

export class Requests {
  constructor(onChange) {
    this.lines = [];
    this.lastSeq = null;
    this.onChange = onChange;
    this.text = "";
    this.which = "all";
    this.rows = el("ol", { class: "rows", "aria-label": "Requests, newest first" });
    this.note = el("p", { class: "empty" });
    const filter = el("input", {
      type: "search", placeholder: "Filter: path, status, code, key", "aria-label": "Filter the requests",
      oninput: (event) => this.filter(event.target.value, this.which),
    });
    const kinds = el(
      "select",
      { "aria-label": "Which requests", onchange: (event) => this.filter(this.text, event.target.value) },
      [["all", "All"], ["errors", "Errors"], ["faults", "With a fault"], ["replays", "Replays"]].map(([value, text]) => el("option", { value }, text)),
    );
    this.node = el("div", { class: "view" }, el("div", { class: "tools" }, filter, kinds), this.note, this.rows);
  }

  clear() {
    this.lines = [];
    this.lastSeq = null;
    this.draw();
  }

  /** Reads what came since; whether anything did. */
  async follow(lastSeq) {
    if (this.lastSeq !== null && lastSeq <= this.lastSeq) return false;
    const query = this.lastSeq === null ? `last=${AT_FIRST}` : `after=${this.lastSeq}&limit=${AT_ONCE}`;
    const { requests } = await get(`/requests?${query}`);
    this.lastSeq = requests.at(-1)?.seq ?? this.lastSeq ?? 0;
    this.lines = [...requests.reverse(), ...this.lines].slice(0, KEPT);
    this.draw();
    return requests.length > 0;
  }

  filter(text, which) {
    this.text = text.trim().toLowerCase();
    this.which = which;
    this.draw();
  }

  matches(line) {
    const words = [line.method, line.path, line.status ?? "cut", line.error_code, line.idempotency_key, line.fault, line.request_id];
    return WHICH[this.which](line) && words.join(" ").toLowerCase().includes(this.text);
  }

  draw() {
    const found = this.lines.filter((line) => this.matches(line)).slice(0, SHOWN);
    const known = new Map([...this.rows.children].map((node) => [node.dataset.seq, node]));
    this.rows.replaceChildren(...found.map((line) => known.get(String(line.seq)) ?? row(line)));
    this.note.textContent = this.lines.length ? "No request fits the filter." : "No request yet. Point an SDK at this address, and its calls appear here.";
    this.note.hidden = found.length > 0;
  }

  seqOf(requestId) {
    return this.lines.find((line) => line.request_id === requestId)?.seq ?? null;
  }
}

function tone(status) {
  return status === null || status >= 500 ? "bad" : status >= 400 ? "warn" : "good";
}

function row(line) {
  const notes = [
    line.error_code,
    line.replayed && "replayed",
    line.fault && el("span", { class: "chip bad" }, `fault ${line.fault}`),
    line.idempotency_key && `key ${line.idempotency_key}`,
  ].filter(Boolean);
  return el(
    "li",
    { "data-seq": line.seq },
    el(
      "a",
      { class: "row", href: `#request/${line.seq}` },
      el("span", { class: "when" }, clock(line.at)),
      el("span", { class: "method" }, line.method),
      el("span", { class: "path" }, line.path.split("/").map((step, place) => [place ? ["/", el("wbr")] : null, step])),
      el("span", { class: "status", "data-tone": tone(line.status) }, line.status ?? "cut"),
      notes.length ? el("span", { class: "notes" }, notes.map((note, place) => [place ? " · " : null, note])) : null,
    ),
  );
}

/** Title and content for the detail. */
export async function showRequest(seq) {
  const line = await get(`/requests/${encodeURIComponent(seq)}`);
  const facts = [
    ["Answered", line.status === null ? "the connection was cut before executing" : `${line.status}${line.error_code ? ` ${line.error_code}` : ""}`],
    ["At", clock(line.at, { withDate: true })],
    ["Request id", line.request_id],
    line.idempotency_key && ["Idempotency key", `${line.idempotency_key}${line.replayed ? " (replayed)" : ""}`],
    line.fault && ["Fault", line.fault],
  ].filter(Boolean);
  const isKept = line.answer !== null;
  return {
    title: `${line.method} ${line.path}`,
    content: [
      el("dl", { class: "facts" }, facts.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
      Object.keys(line.params).length ? jsonBlock("Parameters", line.params) : null,
      isKept ? jsonBlock("Answer", line.answer) : el("p", { class: "muted" }, line.status === null ? "No answer was made." : "The answer is no longer kept; the last ones are."),
      isKept ? jsonBlock("Headers of the answer", line.answer_headers) : null,
      isKept ? jsonBlock("Headers of the request", line.request_headers) : null,
    ],
  };
}
