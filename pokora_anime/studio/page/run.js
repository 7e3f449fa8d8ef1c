// One run: what it shows, its scorecard, its record as a graph, its files, and what can be done with it.

import { call, enc, get, post } from "./api.js";
import { announce, button, copy, h, icon, linkButton, put, toast } from "./dom.js";
import { binned, score } from "./gallery.js";
import { graphView } from "./graph.js";
import { film } from "./job.js";
import { finding } from "./judge.js";
import { complain, go } from "./problems.js";
import { bytes, date, duration, named, number, t, verdictOf } from "./strings.js";

const WEIGHTS = ["note", "review", "block"];

/** Shows a run. */
export async function mount(root, { id }) {
  const run = await get(`/api/gallery/${enc(id)}`);
  document.title = `${run.prompt || run.path} · pokora studio`;
  const proof = h("div", { "aria-live": "polite" });
  const graph = h("section", { class: "card" }, h("h2", { text: t("run.record") }), h("p", { class: "hint", text: t("run.record_why") }));
  put(root, h("article", { class: "run-page" },
    h("div", { class: "run-top" }, picture(run), facts(run, proof)),
    run.status !== "finished" && run.problem ? h("p", { class: "card fair", text: run.problem }) : null,
    proof,
    Object.keys(run.scorecard ?? {}).length ? scorecard(run.scorecard, run.pictures?.report) : null,
    graph,
    files(run.files ?? [])));
  get(`/api/gallery/${enc(id)}/graph`).then(({ nodes }) => {
    if (nodes?.length) graph.append(graphView(nodes));
    else graph.remove();
  }).catch((problem) => { if (problem.status === 404) graph.remove(); else { complain(problem); graph.remove(); } });
}

function picture(run) {
  if (run.video) return h("div", { class: "screen" }, film(run.video, run.poster));
  if (run.stills?.length) {
    return h("div", { class: "stills" }, run.stills.map((url, index) => h("figure", {},
      h("a", { href: url, target: "_blank", rel: "noopener" }, h("img", { src: url, alt: t("run.still", { n: index + 1 }), loading: "lazy" })),
      h("figcaption", {}, h("span", { text: t("run.still", { n: index + 1 }) }), linkButton(t("run.animate"), `/?still=${enc(run.id)}&n=${index + 1}`, { sign: "film", kind: "small" })))));
  }
  const url = run.poster ?? run.pictures?.preview ?? run.pictures?.keyframe;
  return h("div", { class: "screen" }, url ? h("img", { src: url, alt: run.prompt }) : h("div", { class: "quiet-screen" }, icon("film"), h("p", { text: named("status", run.status) })));
}

function facts(run, proof) {
  const like = button(t("run.like"), async () => {
    try {
      Object.assign(run, await call("PUT", `/api/gallery/${enc(run.id)}/favourite`, { favourite: !run.favourite }));
      like.setAttribute("aria-pressed", String(run.favourite));
      announce(t(run.favourite ? "run.liked" : "run.unliked"));
    } catch (problem) {
      complain(problem);
    }
  }, { sign: "star", "aria-pressed": String(Boolean(run.favourite)) });
  const verify = button(t("run.verify"), () => verified({ run: run.id }, proof, verify), { sign: "shield" });
  const rows = [
    [t("fact.seed"), String(run.seed)], [t("fact.seconds"), run.seconds ? duration(run.seconds) : ""],
    [t("fact.when"), date(run.when)], [t("fact.sweep"), run.sweep === "studio" ? "" : run.sweep], [t("fact.folder"), run.path],
  ].filter(([, value]) => value);
  return h("div", { class: "run-facts" },
    h("p", { class: "kicker" }, h("a", { href: "/gallery", text: t("tab.gallery") }), ` / ${t(`command.${run.command}`)}`),
    h("h1", { text: run.prompt || run.path }),
    h("p", { class: "row" }, score(run), run.status ? h("span", { class: "pill", data: { state: run.status }, text: named("status", run.status) }) : null,
      run.entry ? h("span", { class: "pill", data: { verdict: verdictOf(run.entry) === "BLOCK" ? "TRY" : verdictOf(run.entry) }, text: named("entry", verdictOf(run.entry)) }) : null),
    h("div", { class: "row actions" }, linkButton(t("run.again"), `/?again=${enc(run.id)}`, { sign: "again", kind: "primary" }), like, verify,
      linkButton(t("run.compare"), `/gallery?compare=${enc(run.id)}`, { sign: "compare" }),
      button(t("run.bin"), () => binned(run, () => go("/gallery"), () => go(`/gallery/${enc(run.id)}`)), { sign: "bin", kind: "quiet" })),
    h("dl", { class: "facts" }, rows.map(([name, value]) => h("div", {}, h("dt", { text: name }), h("dd", { text: value })))),
    h("div", { class: "command-box" }, h("code", { class: "command", text: run.command_line ?? "" }),
      button(t("copy"), async () => toast(t((await copy(run.command_line ?? "")) ? "copied" : "not_copied"), { closeWords: t("close"), seconds: 3 }), { sign: "copy", bare: true, kind: "small" })));
}

/** Verification of a run or a bundle, shown in a place. */
export async function verified(what, place, pressed) {
  pressed.disabled = true;
  put(place, h("p", { class: "card hint", text: t("verify.busy") }));
  try {
    const told = await post("/api/verify", what);
    const findings = told.findings ?? found(told);
    const areas = Object.entries(told.verdicts ?? {}).filter(([, one]) => one !== "not run");
    const verdict = verdictOf(told.verdict ?? worst(told, areas, findings));
    put(place, h("section", { class: "card verify" },
      h("div", { class: "light", data: { verdict } }, icon({ PASS: "check", REVIEW: "warn" }[verdict] ?? "block"), h("div", {}, h("b", { text: named("verified", verdict) }), h("small", { text: t("verify.took", { time: duration(told.seconds), n: findings.length }) })),
        h("span", { class: "row push" }, h("code", { class: "code", text: verdict }), areas.map(([area, one]) => h("span", { class: "pill", data: { verdict: verdictOf(one) }, text: `${named("area", area)}: ${named("verdict", verdictOf(one))}` })))),
      told.unreadable ? h("p", { class: "bad", text: told.unreadable }) : null,
      h("ul", { class: "findings" }, [...findings].sort((one, other) => WEIGHTS.indexOf(other.severity) - WEIGHTS.indexOf(one.severity)).map((one) => finding(one)))));
  } catch (problem) {
    put(place);
    complain(problem);
  } finally {
    pressed.disabled = false;
  }
}

/** The findings of a report, and of the reports in it. */
function found(value) {
  if (Array.isArray(value)) return value.flatMap((one) => (one?.code && one.severity ? [one] : found(one)));
  return value && typeof value === "object" ? Object.values(value).flatMap(found) : [];
}

function worst(told, areas, findings) {
  if (told.unreadable) return "BLOCK";
  const all = [...areas.map(([, one]) => verdictOf(one)), ...findings.map((one) => ({ block: "BLOCK", review: "REVIEW" })[one.severity] ?? "PASS")];
  return ["BLOCK", "REVIEW"].find((one) => all.includes(one)) ?? "PASS";
}

function scorecard(card, report) {
  const stages = Object.keys(card);
  const metrics = [...new Set(stages.flatMap((stage) => Object.keys(card[stage])))];
  const label = (metric) => stages.map((stage) => card[stage][metric]?.label).find(Boolean) ?? metric.replaceAll("_", " ");
  const cell = (one) => one ? h("td", { class: ["number", one.verdict] }, h("span", { text: typeof one.value === "number" ? number(one.value, 3) : "–" }), one.verdict ? h("small", { text: named("metric_verdict", one.verdict) }) : null) : h("td", { text: "–" });
  return h("section", { class: "card scorecard" }, h("div", { class: "head" }, h("h2", { text: t("run.scorecard") }), report ? h("a", { href: report, target: "_blank", rel: "noopener", text: t("run.report") }) : null),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("run.scorecard") }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col", text: t("run.metric") }), stages.map((stage) => h("th", { scope: "col", class: "number", text: named("scored", stage) })))),
      h("tbody", {}, metrics.map((metric) => h("tr", {}, h("th", { scope: "row", text: label(metric) }), stages.map((stage) => cell(card[stage][metric]))))))));
}

function files(list) {
  if (!list.length) return null;
  return h("details", { class: "card" }, h("summary", {}, h("h2", { text: t("run.files") }), h("span", { class: "hint", text: t("run.files_of", { n: list.length, size: bytes(list.reduce((all, one) => all + (one.bytes || 0), 0)) }) })),
    h("ul", { class: "files" }, list.map((one) => h("li", {}, h("a", { href: one.url, download: one.name.split("/").pop() }, icon("download"), one.name), h("small", { class: "hint", text: bytes(one.bytes) })))));
}
