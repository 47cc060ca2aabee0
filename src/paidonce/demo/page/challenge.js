// The sheet with the bank's page, as the app's `handleNextAction` opens it.

const POLL_MILLISECONDS = 350;

/** Show the page at `url` until `isOver()` is true or the person closes the sheet. */
export async function showChallenge(url, isOver) {
  const sheet = document.getElementById("challenge");
  const frame = document.getElementById("challenge-frame");
  const before = document.activeElement;
  frame.src = url;
  sheet.showModal();
  placeOverPhone(sheet);
  document.getElementById("challenge-close").focus();
  try {
    while (sheet.open) {
      if (await isOver()) return;
      await pause(sheet);
    }
  } finally {
    sheet.close();
    frame.removeAttribute("src");
    before?.focus?.();
  }
}

/** On a desk the sheet covers the phone's glass; on a phone the style sheet places it. */
function placeOverPhone(sheet) {
  sheet.removeAttribute("style");
  if (!matchMedia("(min-width: 1000px)").matches) return;
  const glass = document.querySelector(".glass").getBoundingClientRect();
  const top = Math.max(8, glass.top + 90);
  const height = Math.min(glass.bottom, innerHeight - 8) - top;
  Object.assign(sheet.style, { left: `${glass.left}px`, top: `${top}px`, width: `${glass.width}px`, height: `${height}px` });
}

/** A moment, shorter when the sheet is closed. */
function pause(sheet) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, POLL_MILLISECONDS);
    sheet.addEventListener("close", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

document.getElementById("challenge-close").addEventListener("click", () => {
  document.getElementById("challenge").close();
});
