// A small way to build elements; text is always text, never HTML.

export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== false));
  return node;
}

export function button(text, kind, onclick) {
  return el("button", { type: "button", class: `button ${kind}`, onclick }, text);
}

export function announce(text) {
  document.getElementById("announcement").textContent = text;
}

/** What went wrong, where everybody sees it; nothing takes it away. */
export function complain(text) {
  const problem = document.getElementById("problem");
  problem.textContent = text;
  if (text) problem.scrollIntoView({ block: "nearest" });
}

export function money(amountMinor, currency) {
  const format = new Intl.NumberFormat("en-US", { style: "currency", currency });
  return format.format(amountMinor / 10 ** format.resolvedOptions().maximumFractionDigits);
}
