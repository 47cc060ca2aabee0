// The page: which view is shown, and a look at the simulator once a second.

import { CallFailed, get } from "./calls.js";
import { Controls } from "./controls.js";
import { clock, complain, el } from "./dom.js";
import { Events } from "./events.js";
import { Objects, showObject } from "./objects.js";
import { Requests, showRequest } from "./requests.js";

const EVERY_MILLISECONDS = 1000;
const NO_ANSWER = "The simulator gives no answer. This page asks again by itself.";
const byId = (id) => document.getElementById(id);
const requests = new Requests();
const objects = new Objects();
const events = new Events((id) => requests.seqOf(id));
const controls = new Controls(byId("the-controls"), () => {
  last = null; // whatever was done, everything is read again
  return look();
});
const views = { requests, objects, events };
let shown = "requests";
let last = null;
let epoch = null;
let isLost = false;
let looking = null;
let isBusy = false;

/** One look; whoever wants another while one is under way gets the next. */
function look() {
  looking = (looking ?? Promise.resolve()).then(lookOnce);
  return looking;
}

async function lookOnce() {
  isBusy = true;
  try {
    const state = await get("/state");
    if (state.epoch !== epoch) requests.clear();
    epoch = state.epoch;
    const hasNew = await requests.follow(state.last_seq);
    const hasChanged = !last || hasNew || signature(state) !== signature(last);
    showTime(state);
    if (hasChanged) await controls.refresh(state);
    if (shown === "objects" && hasChanged) await objects.refresh({ keepsOlder: true });
    if (shown === "events" && (hasChanged || events.hasPending)) await events.refresh({ keepsOlder: true });
    last = state;
    if (isLost) complain("");
    isLost = false;
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error;
    isLost = true;
    complain(NO_ANSWER);
  } finally {
    isBusy = false;
  }
}

function signature({ now, ...rest }) {
  return JSON.stringify(rest);
}

function showTime(state) {
  const [date, time] = clock(state.now, { withDate: true }).split(" ");
  byId("date").textContent = date;
  byId("now").textContent = `${time} UTC`;
  byId("advanced").textContent = `+ ${duration(state.advanced_seconds)}`;
  byId("advanced").hidden = state.advanced_seconds === 0;
  const alarms = [...(state.faults ? [`${state.faults} fault rules`] : []), ...(state.webhook_mode === "deliver" ? [] : [`webhooks: ${state.webhook_mode}`])];
  byId("alarms").textContent = state.faults + (state.webhook_mode !== "deliver");
  byId("alarms").title = alarms.join(", ");
  byId("alarms").hidden = alarms.length === 0;
}

function duration(seconds) {
  const parts = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];
  let left = Math.round(seconds);
  const found = parts.map(([unit, size]) => {
    const times = Math.floor(left / size);
    left -= times * size;
    return times ? `${times} ${unit}` : "";
  });
  return found.filter(Boolean).slice(0, 2).join(" ");
}

// --- what the address says -----------------------------------------------------------------------

async function follow() {
  if (location.hash === "#the-list") return; // the skip link
  const [name, ...rest] = location.hash.slice(1).split("/");
  const id = decodeURIComponent(rest.join("/"));
  const isDetail = name === "request" || name === "object";
  if (!isDetail) showView(name in views || name === "controls" ? name : "requests", id);
  document.body.dataset.detail = isDetail ? "open" : "";
  byId("the-detail").hidden = !isDetail;
  if (isDetail) await showDetail(name, id);
  else if (name === "objects") await objects.choose(id || objects.kind).catch(tell);
  else if (name === "events") await events.refresh().catch(tell);
  mark();
}

function showView(name, id) {
  document.body.dataset.view = name;
  byId("detail-close").href = `#${name}${id ? `/${id}` : ""}`;
  for (const link of document.querySelectorAll(".views a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (name === "controls") return;
  shown = name;
  byId("the-list").replaceChildren(views[name].node);
}

async function showDetail(name, id) {
  if (!document.body.dataset.view) showView(name === "request" ? "requests" : "objects", "");
  let found;
  try {
    found = await (name === "request" ? showRequest(id) : showObject(id));
  } catch (error) {
    found = { title: id, content: [el("p", {}, error.message)] };
  }
  byId("detail-title").textContent = found.title;
  byId("detail-body").replaceChildren(...found.content.filter(Boolean));
  byId("the-detail").scrollTop = 0;
  byId("detail-title").focus({ preventScroll: true });
}

/** The row that the detail belongs to. */
function mark() {
  for (const link of document.querySelectorAll("#the-list a.row")) {
    if (link.hash === location.hash) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

function tell(error) {
  complain(error.message);
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !byId("the-detail").hidden && !byId("ask-token").open) location.hash = byId("detail-close").hash;
});
addEventListener("hashchange", follow);
document.addEventListener("visibilitychange", () => document.hidden || look());
setInterval(() => document.hidden || isBusy || look(), EVERY_MILLISECONDS);
await follow();
await look();
document.body.dataset.ready = "";
