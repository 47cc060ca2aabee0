// JSON as a person reads it; the ids in it lead to their objects.

import { el } from "./dom.js";

const OBJECT_ID = /^(ch|cus|pi|pm|py|re|pyr|seti|setatt|evt|we|txn|tok|card|src|dp|du|ctoken|mandate|issfr)_[A-Za-z0-9]{14,}$/;

export function isObjectId(value) {
  return typeof value === "string" && OBJECT_ID.test(value);
}

export function idLink(id) {
  return el("a", { href: `#object/${encodeURIComponent(id)}`, class: "id" }, id);
}

/** A <pre> with a name of its own for a screen reader. */
export function jsonBlock(name, value) {
  const isText = typeof value === "string";
  return el("div", { class: "block" }, el("h3", {}, name), el("pre", { tabindex: "0", "aria-label": name }, isText ? value : nodes(value, "")));
}

function nodes(value, indent) {
  if (isObjectId(value)) return ['"', idLink(value), '"'];
  if (value === null || typeof value !== "object") return [JSON.stringify(value)];
  const isList = Array.isArray(value);
  const entries = Object.entries(value);
  const [open, close] = isList ? ["[", "]"] : ["{", "}"];
  if (!entries.length) return [open + close];
  const deeper = `${indent}  `;
  return [
    `${open}\n`,
    ...entries.map(([name, inner], place) => [
      deeper,
      isList ? null : el("span", { class: "name" }, JSON.stringify(name)),
      isList ? null : ": ",
      nodes(inner, deeper),
      place < entries.length - 1 ? ",\n" : "\n",
    ]),
    indent + close,
  ];
}
