// What the form amounts to: the check light, its findings, the estimate, the command, and Go.

import { enc, idempotencyKey, post } from "./api.js";
import { said } from "./problems.js";
import { announce, button, copy, debounced, h, icon, put, toast } from "./dom.js";
import { keep, recall } from "./state.js";
import { bytes, duration, has, named, number, t, verdictOf } from "./strings.js";
import { commandLine, wordsOf } from "./words.js";

const QUIET = 250; // ms without typing before the server is asked
const SIGNS = { PASS: "check", REVIEW: "warn", TRY: "play", BLOCK: "block", ERROR: "block", WAIT: "clock" };

/** The panel; `apply` takes a key and a value of a finding's fix, `parts` hears what the prompt's parts are. */
export function judgePanel({ draft, schema, apply, parts, started }) {
  const light = h("div", { class: "light", role: "status", data: { verdict: "WAIT" } });
  const findings = h("ul", { class: "findings" });
  const estimate = h("dl", { class: "facts" });
  const line = h("code", { class: "command" });
  const unused = h("p", { class: "hint" });
  const failed = h("div", { role: "alert" });
  const again = h("p", { class: "hint" });
  const start = h("button", { type: "button", class: "button primary go", title: "Ctrl+Enter", on: { click: () => submit() } }, icon("play"), h("span", { text: t("make.go") }), h("kbd", { text: "Ctrl ↵" }));
  const brief = h("div", { class: "brief" });
  let waiting = null;
  let busy = false;
  let key = { words: "", text: "" };

  const body = () => ({ command: draft.command, words: wordsOf(draft, schema).words });
  const ask = debounced(async () => {
    waiting?.abort();
    const mine = (waiting = new AbortController());
    const options = { signal: mine.signal };
    const asked = body();
    const shown = async (path, show) => {
      const [answer] = await Promise.allSettled([post(path, asked, options)]);
      if (!mine.signal.aborted) show(answer);
    };
    await Promise.all([shown("/api/check", showCheck), shown("/api/estimate", showEstimate)]);
  }, QUIET);

  let time = "";
  const inBrief = (words = time) => {
    time = words;
    put(brief, h("b", { text: named("verdict", light.dataset.verdict) }), h("span", { text: time }));
  };
  const verdict = (name, words) => {
    light.dataset.verdict = brief.dataset.verdict = name;
    put(light, icon(SIGNS[name] ?? "warn"), h("div", {}, h("b", { text: named("verdict", name) }), h("small", { text: words })));
    inBrief();
  };
  const showCheck = ({ status, value, reason }) => {
    if (status === "rejected") {
      if (reason.name === "AbortError" || reason.status === 401) return;
      verdict("ERROR", t("judge.mistake"));
      put(findings, finding({ severity: "block", code: reason.code, message: said(reason), expected: reason.expected, fix: reason.fix }, apply, schema));
      put(again);
      return;
    }
    const found = value.findings ?? [];
    const told = verdictOf(value.verdict);
    // What offends nothing and is no entry, such as a base for trying, is no alarm.
    const name = told === "BLOCK" && !found.some((one) => one.severity === "block") && found.length ? "TRY" : told;
    verdict(name, has(`verdict.${name}.why`) ? t(`verdict.${name}.why`, { contest: value.contest || t("judge.contest") }) : "");
    const minor = (one) => one.severity === "note" || (name === "TRY" && one.severity !== "block");
    const grave = found.filter((one) => !minor(one));
    const notes = found.filter(minor);
    put(findings, grave.map((one) => finding(one, apply, schema)),
      notes.length ? h("li", {}, notesOf(notes)) : null);
    if (value.command_line) line.textContent = withOrigin(value.command_line, draft);
    put(again, value.finished ? [t("judge.finished"), " ", h("a", { href: `/gallery/${enc(value.finished)}`, text: t("judge.see") })] : null);
    parts(value.prompt?.parts ?? [], found.find((one) => one.code === "PRM-CHOSEN")?.got ?? "");
  };
  const notesOf = (notes) => {
    const list = h("ul", { class: "findings" });
    const open = recall("notes_open", false);
    const fill = (shown) => put(list, shown ? notes.map((one) => finding(one, apply, schema)) : []);
    fill(open);
    return h("details", { open, on: { toggle: (event) => {
      keep("notes_open", event.target.open);
      fill(event.target.open);
    } } }, h("summary", { class: "hint", text: t("judge.notes", { n: notes.length }) }), list);
  };
  const showEstimate = ({ status, value }) => {
    if (status === "rejected") {
      put(estimate);
      inBrief("");
      return;
    }
    const one = value.seconds ?? {};
    const rows = [
      [t("judge.time"), duration(one.total), [one.starting, one.computing, one.delivering].every((part) => part !== undefined) ? t("judge.parts", { a: duration(one.starting), b: duration(one.computing), c: duration(one.delivering) }) : ""],
      value.jobs > 1 ? [t("judge.jobs"), number(value.jobs), ""] : null,
      [t("judge.memory"), bytes(value.memory_bytes), value.fits === false ? t("judge.misfit") : ""],
      [t("judge.disk"), bytes(value.disk_bytes), t("judge.free", { size: bytes(value.disk_free_bytes) })],
    ];
    put(estimate, rows.filter(Boolean).map(([name, what, more]) => h("div", {}, h("dt", { text: name }), h("dd", {}, h("b", { text: what }), more && h("small", { text: more })))),
      value.note && h("p", { class: "hint", text: value.note }));
    inBrief(duration(one.total));
  };

  const update = () => {
    const { words, unused: idle } = wordsOf(draft, schema);
    line.textContent = commandLine(draft.command, words, draft.from);
    unused.textContent = idle.length ? t("judge.unused", { keys: idle.join(", "), command: draft.command }) : "";
    light.classList.add("asking");
    ask();
  };

  const submit = async () => {
    if (busy) return;
    busy = start.disabled = true;
    put(failed);
    const sent = { ...body(), ...(draft.from ? { from: { run: draft.from.run, still: draft.from.still } } : {}) };
    const words = JSON.stringify(sent);
    if (key.words !== words) key = { words, text: idempotencyKey() };
    try {
      const job = await post("/api/runs", sent, { headers: { "Idempotency-Key": key.text } });
      key = { words: "", text: "" };
      announce(t("make.queued"));
      started(job);
    } catch (problem) {
      if (problem.status !== 401) put(failed, finding({ severity: "block", code: problem.code, message: said(problem), expected: problem.expected, fix: problem.fix }, apply, schema));
      if (problem.status === 429 && problem.retryAfter) await countdown(problem.retryAfter, start);
    } finally {
      busy = start.disabled = false;
    }
  };

  const element = h("section", { class: "card judge", "aria-label": t("judge.title") },
    light, again, findings, estimate, unused,
    h("div", { class: "command-box" }, h("span", { class: "hint", text: t("judge.command") }), line,
      button(t("copy"), async () => toast(t((await copy(line.textContent)) ? "copied" : "not_copied"), { closeWords: t("close"), seconds: 3 }), { sign: "copy", bare: true, kind: "small" })),
    failed, h("div", { class: "go-bar" }, brief, start));
  new MutationObserver(() => light.classList.remove("asking")).observe(light, { childList: true });
  verdict("WAIT", t("judge.wait"));
  return { element, update, submit, stop: () => { ask.stop(); waiting?.abort(); } };
}

const withOrigin = (line, draft) => (draft.from && !line.includes("--from") ? commandLine(draft.command, [], draft.from) + line.slice(`pokora ${draft.command}`.length) : line);

async function countdown(seconds, start) {
  const words = start.querySelector("span");
  for (let left = Math.min(seconds, 120); left > 0 && start.isConnected; left -= 1) {
    words.textContent = t("make.wait", { s: left });
    await new Promise((done) => setTimeout(done, 1000));
  }
  words.textContent = t("make.go");
}

/** A finding as a list entry: code, message, got, expected, fix, and the fix at a press where it is key=value. */
export function finding(one, apply = null, schema = null) {
  const severity = String(one.severity ?? "").toLowerCase();
  const level = /block|error/.test(severity) ? "bad" : /review|warn/.test(severity) ? "fair" : "note";
  const pair = apply && /(?:^|[\s`'"])([a-z][\w.]*)=([\w.+-]+)/.exec(one.fix ?? "");
  const known = pair && schema && (pair[1] in schema.groups || (schema.settings.video ?? []).some((setting) => setting.key === pair[1]));
  return h("li", { class: ["finding", level] },
    icon(level === "bad" ? "block" : level === "fair" ? "warn" : "info"),
    h("div", {},
      h("p", {}, one.message, one.where ? h("span", { class: "hint", text: ` ${one.where}` }) : null),
      one.got ? h("p", { class: "hint" }, `${t("problem.got")} `, h("q", { text: one.got })) : null,
      one.expected ? h("p", { class: "hint", text: `${t("problem.expected")} ${one.expected}` }) : null,
      one.fix ? h("p", { class: "fix" }, h("b", { text: `${t("problem.fix")} ` }), one.fix) : null,
      known ? button(t("judge.apply", { word: `${pair[1]}=${pair[2]}` }), () => apply(pair[1], pair[2]), { kind: "small", sign: "check" }) : null,
      one.code ? h("code", { class: "code", text: one.code }) : null));
}
