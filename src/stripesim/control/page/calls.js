// The control plane. The token, where there is one, stays in this tab.

const PATIENCE_MILLISECONDS = 10_000;
const KEPT_AS = "stripesim-control-token";

export class CallFailed extends Error {}

/** The JSON of the answer. Throws CallFailed with words for a person. */
export async function call(method, path, body) {
  const headers = {};
  const token = sessionStorage.getItem(KEPT_AS);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    const signal = AbortSignal.timeout(PATIENCE_MILLISECONDS);
    response = await fetch(`/_sim${path}`, { method, headers, body: body && JSON.stringify(body), signal });
  } catch {
    throw new CallFailed("The simulator gives no answer.");
  }
  if (response.status === 401) {
    await askForToken();
    return call(method, path, body);
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new CallFailed(answer.error?.message ?? `The simulator answered ${response.status}.`);
  return answer;
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}) => call("POST", path, body);
export const remove = (path) => call("DELETE", path);

let asking = null;

/** Once, however many calls wait for it. */
function askForToken() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("ask-token");
    const input = document.getElementById("token");
    sessionStorage.removeItem(KEPT_AS);
    input.value = "";
    dialog.onclose = () => {
      if (!input.value) return dialog.showModal();
      sessionStorage.setItem(KEPT_AS, input.value);
      asking = null;
      return resolve();
    };
    dialog.showModal();
  });
  return asking;
}
