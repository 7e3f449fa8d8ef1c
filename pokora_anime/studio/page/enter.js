// Enter: the submission's fields, the chosen runs, the checklist, the bundle.

import { call, get, post } from "./api.js";
import { announce, button, debounced, field, h, icon, linkButton, put, select } from "./dom.js";
import { OVER, follow, jobView } from "./job.js";
import { complain, said } from "./problems.js";
import { verified } from "./run.js";
import { recall, keep } from "./state.js";
import { ago, bytes, t } from "./strings.js";

/** Shows the submission; returns what ends it. */
export async function mount(root) {
  const [first, gallery] = await Promise.all([get("/api/submission"), get("/api/gallery?sort=newest&limit=60")]);
  let state = first;
  let unfollow = () => {};
  let saving = Promise.resolve();
  const saved = h("span", { class: "hint", "aria-live": "polite" });
  const list = h("ul", { class: "checklist" });
  const bundles = h("ul", { class: "rows" });
  const chosen = h("div", { class: "grid small-grid", role: "group", "aria-label": t("enter.runs") });
  const work = h("section", { class: "card", hidden: true });
  const edited = {};

  const take = (next) => {
    state = next;
    if (next.checklist) tick(next.checklist);
    else look();
    put(bundles, (state.bundles ?? []).length ? state.bundles.map(lasting) : h("li", { class: "hint", text: t("enter.no_bundles") }));
  };
  const tick = (checklist) => {
    put(list, checklist.map(check));
    const open = checklist.filter((one) => !one.ok).length;
    summary.hidden = !checklist.length;
    summary.textContent = open ? t("enter.open", { n: open }) : t("enter.ready");
    summary.dataset.verdict = open ? "REVIEW" : "PASS";
  };
  // The checklist takes a second or two, and is asked for once at a time.
  let looking = false;
  let stale = false;
  const look = async () => {
    stale = true;
    if (looking) return;
    looking = true;
    list.setAttribute("aria-busy", "true");
    if (!list.childElementCount) put(list, h("li", { class: "hint" }, icon("clock"), h("p", { text: t("enter.looking") })));
    while (stale && root.isConnected) {
      stale = false;
      try {
        tick((await get("/api/submission/checklist")).checklist);
      } catch (problem) {
        put(list);
        complain(problem);
      }
    }
    list.removeAttribute("aria-busy");
    looking = false;
  };
  const save = (part) => {
    saved.classList.remove("bad");
    saved.textContent = t("enter.saving");
    saving = saving.then(() => call("PUT", "/api/submission", part)).then((next) => {
      take(next);
      saved.textContent = t("enter.saved");
    }).catch((problem) => {
      // What could not be saved goes along with the next change, so that nothing typed is lost.
      for (const [key, value] of Object.entries(part.fields ?? {})) edited[key] ??= value;
      saved.classList.add("bad");
      saved.textContent = `${t("enter.unsaved")}: ${said(problem)}${problem.expected ? ` · ${t("problem.expected")} ${problem.expected}` : ""}`;
      if (problem.status !== 422 && problem.status !== 400) complain(problem);
    });
    return saving;
  };
  const saveFields = debounced(() => {
    const fields = { ...edited };
    for (const key of Object.keys(edited)) delete edited[key];
    return save({ fields });
  }, 700);
  const runs = (gallery.runs ?? []).filter((run) => run.status === "finished");
  const pick = (run) => {
    const now = state.runs ?? [];
    const next = now.includes(run.id) ? now.filter((id) => id !== run.id) : [...now, run.id];
    state = { ...state, runs: next };
    showRuns();
    void save({ fields: {}, runs: next }).then(showRuns);
  };
  const showRuns = () => {
    const focused = chosen.contains(document.activeElement) ? document.activeElement.dataset.run : null;
    const picked = new Set(state.runs ?? []);
    const strangers = [...picked].filter((id) => !runs.some((run) => run.id === id));
    put(chosen, strangers.map((id) => pickable({ id, prompt: id }, true, pick)), runs.map((run) => pickable(run, picked.has(run.id), pick)));
    if (focused) [...chosen.children].find((one) => one.dataset.run === focused)?.focus();
  };
  const build = async (draft) => {
    try {
      if (Object.keys(edited).length) {
        saveFields.stop();
        await save({ fields: { ...edited } });
      }
      const job = await post("/api/submission/build", { draft });
      keep("bundle_job", job.id);
      announce(t("make.queued"));
      watch(job.id);
    } catch (problem) {
      complain(problem);
    }
  };
  const watch = (id) => {
    unfollow();
    let over = false;
    const view = jobView({ changed: () => watch(id) });
    put(work, h("h2", { text: t("enter.building") }), view.element);
    work.hidden = false;
    unfollow = follow(id, (job, what) => {
      view.show(job, what);
      if (what === "job" && OVER.includes(job.state) && !over) {
        over = true;
        keep("bundle_job", null);
        get("/api/submission").then(take).catch(complain);
      }
    });
  };
  const bundle = (one) => {
    const proof = h("div", { "aria-live": "polite" });
    const press = button(t("run.verify"), () => verified({ bundle: one.name }, proof, press), { sign: "shield" });
    return h("li", { class: "bundle" }, h("div", { class: "row" }, icon("enter"), h("div", {}, h("b", { text: one.name }), h("p", { class: "hint", text: `${bytes(one.bytes)} · ${ago(one.when)}` }), (one.documents ?? []).length ? h("p", { class: "links" }, one.documents.map((file) => h("a", { href: file.url, target: "_blank", rel: "noopener", text: file.name.split("-").pop() }))) : null),
      h("span", { class: "row push" }, press, h("a", { class: "button", href: one.url, download: one.name }, icon("download"), h("span", { text: t("enter.download") })))), proof);
  };
  // A row stays the same element, so that a verdict below it outlives what is saved meanwhile.
  const rows = new Map();
  const lasting = (one) => {
    const key = JSON.stringify(one);
    if (!rows.has(key)) rows.set(key, bundle(one));
    return rows.get(key);
  };
  const summary = h("p", { class: "pill", hidden: true });
  put(root, h("div", { class: "enter" },
    h("div", {},
      h("section", { class: "card" }, h("div", { class: "head" }, h("h1", { text: t("enter.title") }), saved), h("p", { class: "hint", text: t("enter.why") }),
        h("div", { class: "form" }, (first.fields ?? []).map((one) => formField(one, (value) => { edited[one.key] = value; saved.textContent = t("enter.saving"); saveFields(); })))),
      h("section", { class: "card" }, h("h2", { text: t("enter.runs") }), h("p", { class: "hint", text: t("enter.runs_why") }), runs.length ? chosen : linkButton(t("queue.make"), "/", { sign: "make", kind: "primary" }))),
    h("aside", {},
      h("section", { class: "card" }, h("div", { class: "head" }, h("h2", { text: t("enter.checklist") }), summary), list,
        h("div", { class: "row actions" }, button(t("enter.draft"), () => build(true), { sign: "film" }), button(t("enter.final"), () => build(false), { sign: "enter", kind: "primary" })), h("p", { class: "hint", text: t("enter.draft_why") })),
      work,
      h("section", { class: "card" }, h("h2", { text: t("enter.bundles") }), bundles))));
  take(first);
  showRuns();
  if (recall("bundle_job")) watch(recall("bundle_job"));
  return () => {
    unfollow();
    if (Object.keys(edited).length) {
      saveFields.stop();
      void save({ fields: { ...edited } });
    }
  };
}

function check(one) {
  return h("li", { class: one.ok ? "done" : "open" }, icon(one.ok ? "check" : "warn"),
    h("div", {}, h("p", {}, h("span", { class: "unseen", text: t(one.ok ? "enter.done" : "enter.to_do") }), one.text), !one.ok && one.fix ? h("p", { class: "fix", text: one.fix }) : null, details(one)),
    one.code ? h("code", { class: "code", text: one.code }) : null);
}

/** What a line of the checklist found in particular. */
function details({ ok, details: told }) {
  const lines = (Array.isArray(told) ? told : told ? [told] : []).map((one) => (typeof one === "string" ? one : one.line ?? one.message ?? JSON.stringify(one)));
  return !ok && lines.length ? h("ul", { class: "hint" }, lines.map((line) => h("li", { text: line }))) : null;
}

function pickable(run, picked, pick) {
  return h("button", { type: "button", class: ["pick", picked && "picked"], "aria-pressed": String(picked), data: { run: run.id }, on: { click: () => pick(run) } },
    run.poster ? h("img", { src: run.poster, alt: "", loading: "lazy" }) : h("span", { class: "quiet-screen" }, icon(run.command === "stills" ? "gallery" : "film")),
    h("span", { class: "pick-sign" }, icon("check")),
    h("span", { class: "pick-words", text: `${run.command ? `${t(`command.${run.command}`)} · ` : ""}${run.prompt || run.path}` }));
}

function formField(one, change) {
  const props = { required: one.required || null, "aria-required": one.required ? "true" : null };
  let control;
  if (one.kind === "choice") control = select([...(one.required ? [] : [["", "–"]]), ...(one.choices ?? []).map((name) => [name, name])], String(one.value ?? ""), change, props);
  else if (one.kind === "lines") control = h("textarea", { ...props, rows: 4, value: Array.isArray(one.value) ? one.value.join("\n") : (one.value ?? ""), on: { input: () => change(control.value) } });
  else control = h("input", { ...props, type: one.kind === "number" ? "number" : "text", value: String(one.value ?? ""), autocomplete: "off", on: { input: () => change(control.value) } });
  return field(`${one.label}${one.required ? " *" : ""}`, control, one.help === one.label ? "" : (one.help ?? ""), { class: one.kind === "lines" ? "wide" : "" });
}

