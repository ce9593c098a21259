// Keeps pages up to date, and makes them handier. They work without it.
"use strict";

const live = document.querySelector("[data-live]");
const state = document.querySelector("[data-live-state]");
const pause = document.querySelector("[data-pause]");
const said = document.getElementById("said");

// Times are UTC; the browser's own time is told beside them.
function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) time.title = `${at.toLocaleString()} (your time)`;
  }
}

function offerCopies(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
}

function prepare(root) {
  localise(root);
  offerCopies(root);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    said.textContent = "Copied";
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});

// What is replaced between press and release gets no click: what comes meanwhile waits.
let isPressed = false;
let late = null;

function release() {
  isPressed = false;
  if (late !== null) show(late);
}

addEventListener("pointerdown", () => { isPressed = true; });
for (const end of ["pointerup", "pointercancel", "contextmenu"]) addEventListener(end, () => setTimeout(release));

// What is open, focused or scrolled in the live part stays so when it is replaced.
function show(html) {
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  const status = fresh.content.querySelector("[data-status]")?.dataset.status;
  if (live.dataset.liveReload && status && status !== live.dataset.liveReload) {
    location.assign(live.dataset.live);
    return;
  }
  late = isPressed ? html : null;
  if (isPressed) return;
  const behind = fresh.content.querySelector(".stale");
  document.querySelector("[data-behind]").replaceChildren(...(behind ? [behind] : []));
  const focused = live.contains(document.activeElement) ? pathOf(document.activeElement) : null;
  const open = [...live.querySelectorAll("details")].map((one) => one.open);
  const scrolled = [...live.querySelectorAll(".scroll, .json")].map((one) => [one.scrollLeft, one.scrollTop]);
  live.replaceChildren(fresh.content);
  [...live.querySelectorAll("details")].forEach((one, at) => { if (open[at] !== undefined) one.open = open[at]; });
  [...live.querySelectorAll(".scroll, .json")].forEach((one, at) => {
    if (scrolled[at]) [one.scrollLeft, one.scrollTop] = scrolled[at];
  });
  if (focused) live.querySelector(focused)?.focus({ preventScroll: true });
  prepare(live);
}

// Finds the same element again: by its address or what it copies, else by its place.
function pathOf(element) {
  if (element.getAttribute("href")) return `[href="${CSS.escape(element.getAttribute("href"))}"]`;
  if (element.dataset.copy) return `[data-copy="${CSS.escape(element.dataset.copy)}"]`;
  return element.id ? `#${CSS.escape(element.id)}` : null;
}

let stream = null;
let isPaused = false;

function tell(text, on) {
  state.textContent = text;
  state.toggleAttribute("data-on", on);
}

function watch() {
  if (stream || isPaused || document.hidden) return;
  stream = new EventSource(`/live?page=${encodeURIComponent(live.dataset.live)}`);
  stream.onopen = () => tell("Live", true);
  stream.onmessage = (message) => { tell("Live", true); show(message.data); };
  stream.onerror = () => {
    tell("Reconnecting…", false);
    if (stream.readyState !== EventSource.CLOSED) return;
    // After a refusal a browser doesn't try again by itself; a server that has just started may refuse.
    unwatch();
    setTimeout(watch, 5000);
  };
  stream.addEventListener("ended", (event) => { unwatch(); tell(event.data || "Ended: load the page again", false); });
}

function unwatch() {
  stream?.close();
  stream = null;
}

if (live && state) {
  state.hidden = false;
  pause.hidden = false;
  tell("Connecting…", false);
  watch();
  // Hidden tabs give their connection up.
  document.addEventListener("visibilitychange", () => (document.hidden ? unwatch() : watch()));
  addEventListener("pagehide", unwatch);
  addEventListener("pageshow", (event) => event.persisted && watch());
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.textContent = isPaused ? "Go on" : "Pause";
    if (isPaused) { unwatch(); tell("Paused", false); } else watch();
  });
}

// A time that is typed is UTC; beside it stands what that is here.
for (const field of document.querySelectorAll("input[data-utc]")) {
  const shown = document.createElement("span");
  shown.className = "local";
  field.after(shown);
  const tellLocal = () => {
    const at = new Date(`${field.value}Z`);
    shown.textContent = field.value && !Number.isNaN(at.getTime()) ? `${at.toLocaleString()} your time` : "";
  };
  field.addEventListener("input", tellLocal);
  tellLocal();
}

// Who types a range of its own means it.
for (const field of document.querySelectorAll("input[data-range]")) {
  field.addEventListener("input", () => {
    const own = document.querySelector("input[name=range][value=between]");
    if (own) own.checked = true;
  });
}

for (const field of document.querySelectorAll("input[data-must-be]")) {
  const button = field.form.querySelector("button[value=commit]");
  const check = () => { button.disabled = field.value.trim() !== field.dataset.mustBe; };
  field.addEventListener("input", check);
  check();
}

// A page that takes longer than a moment says so; a form that was sent isn't sent once more meanwhile.
const moment = 400;
const page = document.documentElement;
let loading = null;

function isHere() {
  clearTimeout(loading);
  page.removeAttribute("aria-busy");
  said.textContent = "";
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
}

addEventListener("beforeunload", () => {
  clearTimeout(loading);
  loading = setTimeout(() => { page.setAttribute("aria-busy", "true"); said.textContent = "Loading…"; }, moment);
});
addEventListener("submit", (event) => {
  if (event.target.dataset.sent !== undefined) event.preventDefault();
  event.target.dataset.sent = "";
});
// Also after a way back, and where a person gives up.
addEventListener("pageshow", isHere);
addEventListener("keydown", (event) => event.key === "Escape" && isHere());

prepare(document);
