// Live: a clip without an end that follows what is typed; a gallery of prompts, stills and recordings.

import { call, get, post } from "./api.js";
import { announce, button, h, icon, put, toast } from "./dom.js";
import { frameStream } from "./live_stream.js";
import { complain, go, said } from "./problems.js";
import { keep, recall } from "./state.js";
import { t } from "./strings.js";

const TYPING = "input, textarea, select, [contenteditable]";

/** Shows the session, or what starts one; returns what ends the stream. */
export async function mount(root, { query }) {
  const { session, settings, prompts } = await get("/api/live");
  const values = { ...recall("live", {}), ...Object.fromEntries([...query].filter(([key]) => settings.some((one) => one.key === key))) };
  let at = 0;
  let state = session;
  let stop = () => {};
  let closed = false;

  const canvas = h("canvas", { width: 512, height: 512, role: "img", "aria-label": t("live.screen") });
  const over = h("div", { class: "live-over" });
  const numbers = h("p", { class: "hint live-numbers" });
  const words = h("input", {
    id: "live-words", type: "text", maxlength: 4000, autocomplete: "off", spellcheck: "false", enterkeyhint: "send",
    "aria-describedby": "live-now", placeholder: t("live.placeholder"),
  });
  const now = h("p", { class: "hint", id: "live-now", "aria-live": "polite" });
  const unknown = h("p", { class: "prompt-note", "aria-live": "polite" });
  const start = button(t("live.start"), () => begin(), { sign: "play", kind: "primary" });
  const end = button(t("live.end"), () => finish(), { sign: "close" });
  const still = h("a", { class: "button", href: "/api/live/still", download: "live.png" }, icon("download"), h("span", { text: t("live.still") }));
  const record = button(t("live.record"), () => toggle(), { sign: "record", "aria-pressed": "false" });
  const chips = prompts.map((prompt, index) => h("button", { type: "button", class: "chip", text: prompt.replace(/^1girl, /, ""), "aria-pressed": "false", on: { click: () => choose(index) } }));

  const live = () => state !== null && ["starting", "live"].includes(state.state);
  const show = () => {
    const on = live();
    start.hidden = on;
    for (const one of [end, still, record]) one.hidden = !on;
    const take = state?.take;
    record.setAttribute("aria-pressed", String(Boolean(take)));
    record.querySelector("span").textContent = take ? t(take.begun ? "live.recording" : "live.record_soon", { s: take.seconds }) : t("live.record");
    now.textContent = on ? state.prompt : "";
    numbers.textContent = on && state.state === "live" ? t("live.numbers", { made: state.made_a_second, ahead: state.ahead_seconds }) : "";
    put(over, !on ? (state?.error ? h("p", { class: "bad", text: said(state.error) }) : h("p", { text: t("live.idle") }))
      : state.state === "starting" ? h("p", {}, h("b", { text: t("live.starting") }), h("small", { text: state.note || t("live.first") })) : null);
    chips.forEach((chip, index) => chip.setAttribute("aria-pressed", String(on && prompts[index] === state.prompt)));
  };
  const connect = () => {
    stop();
    stop = frameStream(canvas, {
      told: (session) => {
        state = session;
        show();
      },
      over: () => {
        if (!closed && live()) void get("/api/live").then((found) => {
          state = found.session ?? { state: "ended" };
          show();
        }, complain);
      },
    });
  };
  const begin = async () => {
    start.disabled = true;
    try {
      const chosen = Object.entries(values).filter(([key, value]) => value !== "" && settings.some((one) => one.key === key));
      state = await post("/api/live", { prompt: words.value.trim() || prompts[at], words: chosen.map(([key, value]) => `${key}=${value}`) });
      words.value = "";
      show();
      connect();
      words.focus();
    } catch (problem) {
      complain(problem);
    } finally {
      start.disabled = false;
    }
  };
  const finish = async () => {
    try {
      const taken = state?.take?.begun;
      await call("DELETE", "/api/live");
      state = { state: "ended" };
      show();
      if (taken) recorded();
      start.focus();
    } catch (problem) {
      complain(problem);
    }
  };
  const follow = sender((answer) => {
    state = { ...state, prompt: answer.prompt };
    const strange = answer.parts.filter((part) => !part.known).map((part) => part.text);
    put(unknown, strange.length ? [icon("warn"), h("span", { text: t("prompt.unknown", { words: strange.join(", ") }) })] : null);
    show();
  });
  const choose = (index) => {
    at = (index + prompts.length) % prompts.length;
    if (live()) follow(prompts[at]);
    else words.value = prompts[at];
    announce(prompts[at]);
    chips.forEach((chip, one) => chip.classList.toggle("chosen", one === at));
    chips[at].scrollIntoView({ block: "nearest" });
  };
  const toggle = async () => {
    try {
      if (state.take) {
        await call("DELETE", "/api/live/record");
        state = { ...state, take: null };
        recorded();
      } else {
        state = await post("/api/live/record");
      }
      show();
    } catch (problem) {
      complain(problem);
    }
  };
  const recorded = () => toast(t("live.queued"), { kind: "good", closeWords: t("close"), action: { words: t("live.open"), run: () => go("/watch") } });
  const keys = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest?.(TYPING);
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (typing && typing !== words) return;
      event.preventDefault();
      choose(at + (event.key === "ArrowDown" ? 1 : -1));
    } else if (!typing && live() && event.key === "s") still.click();
    else if (!typing && live() && event.key === "r") void toggle();
  };
  document.addEventListener("keydown", keys);

  const form = h("form", { class: "live-form", on: { submit: (event) => {
    event.preventDefault();
    if (!live()) return void begin();
    if (words.value.trim()) follow(words.value.trim());
    words.select();
  } } }, h("label", { for: "live-words", text: t("live.words") }), h("div", { class: "row" }, words,
    h("button", { class: "button primary", type: "submit", "aria-label": t("live.send") }, icon("play"))), now, unknown);
  put(root, h("h1", { class: "unseen", text: t("tab.live") }),
    h("div", { class: "live" },
      h("section", { class: "live-screen", "aria-label": t("live.screen") }, canvas, over),
      h("div", { class: "live-side" },
        h("section", { class: "card" }, form, h("div", { class: "row live-tools" }, start, record, still, end), numbers),
        h("section", { class: "card" }, h("div", { class: "head" }, h("h2", { text: t("live.gallery") }), h("span", { class: "hint", text: t("live.keys") })), h("div", { class: "chips live-chips" }, chips)),
        settingsCard(settings, values))));
  show();
  if (live()) connect();
  if (!matchMedia("(pointer: coarse)").matches) words.focus();
  return () => {
    closed = true;
    stop();
    document.removeEventListener("keydown", keys);
  };
}

/** Sends what is typed, one at a time; of what comes meanwhile the last. */
function sender(answered) {
  let waiting = null;
  let busy = false;
  return async (text) => {
    waiting = text;
    if (busy) return;
    busy = true;
    while (waiting !== null) {
      const sent = waiting;
      waiting = null;
      try {
        answered(await call("PUT", "/api/live/words", { text: sent }));
      } catch (problem) {
        complain(problem);
      }
    }
    busy = false;
  };
}

function settingsCard(settings, values) {
  return h("details", { class: "card" }, h("summary", { text: t("live.settings") }), h("p", { class: "hint", text: t("live.settings_why") }),
    h("div", { class: "fields" }, settings.map((one) => {
      const change = (value) => {
        values[one.key] = value;
        keep("live", values);
      };
      const id = `live-${one.key.replace(".", "-")}`;
      const control = one.members.length
        ? h("select", { id, on: { change: () => change(control.value) } }, ["", ...one.members].map((word) => h("option", { value: word, text: word || t("settings.default", { value: one.default }) })))
        : h("input", { id, type: "number", min: one.low, max: one.high, step: one.multiple || (one.whole ? 1 : "any"), placeholder: String(one.default), on: { input: () => change(control.value.trim()) } });
      control.value = values[one.key] ?? "";
      control.setAttribute("aria-describedby", `${id}-hint`);
      return h("div", { class: "field" }, h("label", { for: id, text: one.key }), control, h("p", { class: "hint", id: `${id}-hint`, text: one.help }));
    })));
}
