// Keeps the cards up to date, and asks before it cancels. The pages work without it.
"use strict";

const cards = document.querySelector("[data-live]");
const said = document.getElementById("said");
const dialog = document.getElementById("cancel-dialog");

// A button that is replaced between press and release gets no click: what comes meanwhile waits.
let isPressed = false;
let late = null;

function release() {
  isPressed = false;
  if (late !== null) show(late);
}

addEventListener("pointerdown", () => { isPressed = true; });
for (const end of ["pointerup", "pointercancel", "contextmenu"]) addEventListener(end, () => setTimeout(release));

// Replaces what has changed, so that focus and selection stay where they are.
function show(html) {
  late = isPressed ? html : null;
  if (isPressed) return;
  const page = document.createElement("template");
  page.innerHTML = html;
  const fresh = [...page.content.querySelectorAll("article")];
  const shown = [...cards.querySelectorAll("article")];
  if (fresh.map((card) => card.id).join() !== shown.map((card) => card.id).join()) {
    cards.replaceChildren(...fresh);
    return;
  }
  fresh.forEach((card, at) => {
    const old = shown[at];
    if (card.outerHTML !== old.outerHTML) replace(old, card);
  });
}

function replace(old, card) {
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  if (old.dataset.status !== card.dataset.status) {
    said.textContent = `${card.dataset.title}: ${card.querySelector(".badge").textContent}`;
  }
  old.replaceWith(card);
  if (focused) (document.getElementById(focused) ?? card.querySelector("a")).focus();
}

let asked = "";

function ask(form) {
  const card = form.closest("article");
  asked = form.querySelector("button").id;
  dialog.querySelector("form").action = form.action;
  document.getElementById("cancel-name").textContent = card.dataset.title;
  settle("");
  dialog.showModal();
}

// The dialog's own state: busy while the answer is on its way, an error if there was one.
function settle(error, busy = false) {
  const shown = document.getElementById("cancel-error");
  const confirm = document.getElementById("confirm");
  shown.hidden = !error;
  shown.textContent = error;
  confirm.disabled = busy;
  confirm.textContent = busy ? "Cancelling…" : "Cancel report";
}

async function cancel(form) {
  settle("", true);
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      headers: { Accept: "application/json" },
    });
    const told = await answer.json();
    if (!answer.ok) return settle(told.error);
  } catch {
    return settle("The server can’t be reached. Try again in a moment.");
  }
  // The card shows it at once; the stream confirms it.
  const id = new URL(form.action).pathname.split("/")[2];
  const button = document.getElementById(`cancel-${id}`);
  if (button) {
    button.disabled = true;
    button.textContent = "Cancelling…";
  }
  dialog.close();
}

if (cards) {
  const stream = new EventSource(cards.dataset.live);
  stream.onmessage = (message) => show(message.data);
  addEventListener("pagehide", () => stream.close());
  // A page taken from the browser's memory starts anew.
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  cards.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-cancel]")) return;
    event.preventDefault();
    ask(event.target);
  });
}

if (dialog) {
  document.getElementById("keep").addEventListener("click", () => dialog.close());
  // The browser doesn't find the button again if its card was replaced meanwhile.
  dialog.addEventListener("close", () => document.getElementById(asked)?.focus());
  dialog.addEventListener("submit", (event) => {
    event.preventDefault();
    cancel(event.target);
  });
}
