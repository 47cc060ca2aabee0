// What may be seen on a screen: no card number, no security code, no token, no client secret.

const HIDDEN = "[redacted]";
const SECRET_NAMES = /^(card\[number\]|card\[cvc\]|client_?secret|authorization|key)$/i;
const PATTERNS = [
  [/_secret_\w+/g, `_secret_${HIDDEN}`],
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, HIDDEN],
  [/\b((?:sk|pk|rk)_(?:test|live)_)\w+/g, `$1${HIDDEN}`],
  [/\b(pm|spm)_\w*?(\w{4})\b/g, "$1_…$2"],
  [/(?<![\w-])(?:\d[ -]?){12,18}\d(?![\w-])/g, HIDDEN], // not the digits of a UUID
];

export function redact(value) {
  if (typeof value === "string") return PATTERNS.reduce((text, [from, to]) => text.replace(from, to), value);
  if (Array.isArray(value)) return value.map(redact);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, SECRET_NAMES.test(name) ? HIDDEN : redact(inner)]),
  );
}

/** A path that fits on a line: ids are cut. */
export function shortPath(path) {
  return redact(path)
    .replace(/\b([0-9a-f]{4})[0-9a-f]{4}-[0-9a-f-]{27}\b/g, "$1…")
    .replace(/\bpi_\w*?(\w{4})\b/g, "pi_…$1");
}
