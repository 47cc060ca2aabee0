// A small way to build elements; text is always text, never HTML.

export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function button(text, kind, onclick) {
  return el("button", { type: "button", class: `button ${kind}`, onclick }, text);
}

/** Replace the children only where something changed, so that focus and open menus stay. */
export function fill(node, fingerprint, children) {
  if (node.dataset.holds === fingerprint) return;
  node.dataset.holds = fingerprint;
  node.replaceChildren(...children());
}

export function announce(text) {
  document.getElementById("announcement").textContent = text;
}

export function complain(text) {
  const problem = document.getElementById("problem");
  problem.textContent = text;
  problem.hidden = !text;
}

/** A time of the simulator's clock, in UTC. */
export function clock(seconds, { withDate = false } = {}) {
  const text = new Date(seconds * 1000).toISOString();
  return withDate ? `${text.slice(0, 10)} ${text.slice(11, 19)}` : text.slice(11, 19);
}

export function money(amountMinor, currency) {
  try {
    const format = new Intl.NumberFormat("en-US", { style: "currency", currency });
    return format.format(amountMinor / 10 ** format.resolvedOptions().maximumFractionDigits);
  } catch {
    return `${amountMinor} ${currency}`;
  }
}
