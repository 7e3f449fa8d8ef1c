// Gallery: every run as a card; search, sort, filters, favourites, compare, bin.

import { call, enc, get, post } from "./api.js";
import { announce, button, debounced, h, icon, linkButton, put, select, toast } from "./dom.js";
import { complain } from "./problems.js";
import { ago, named, number, t, verdictOf } from "./strings.js";

const PAGE = 48;
const SORTS = ["newest", "score", "seed", "seconds"];

/** Shows the gallery, two runs side by side or the bin; returns what ends it. */
export async function mount(root, { query }) {
  if (query.has("compare")) return (await import("./compare.js")).mount(root, query.get("compare").split(","));
  if (query.has("bin")) return (await import("./bin.js")).mount(root);
  return runs(root, query);
}

async function runs(root, query) {
  const state = { query: query.get("query") ?? "", sort: query.get("sort") ?? "newest", favourites: query.get("favourites") === "1", command: query.get("command") ?? "", entry: query.get("entry") ?? "", sweep: query.get("sweep") ?? "" };
  const picked = new Map();
  let shown = [];
  let total = 0;
  let waiting = null;
  const grid = h("div", { class: "grid", role: "list" });
  const count = h("span", { class: "hint", "aria-live": "polite" });
  const more = button(t("gallery.more"), () => load(true), { kind: "quiet more" });
  const tray = h("div", { class: "tray", role: "region", "aria-label": t("gallery.compare") });

  const load = async (further = false) => {
    waiting?.abort();
    const mine = (waiting = new AbortController());
    const asked = new URLSearchParams({ query: state.query, sort: state.sort, limit: PAGE, offset: further ? shown.length : 0 });
    if (state.favourites) asked.set("favourites", "1");
    if (state.command) asked.set("command", state.command);
    try {
      const answer = await get(`/api/gallery?${asked}`, { signal: mine.signal });
      shown = further ? [...shown, ...answer.runs] : answer.runs;
      total = answer.total ?? shown.length;
      show();
    } catch (problem) {
      if (!shown.length && problem.name !== "AbortError") throw problem;
      complain(problem);
    }
  };
  const show = () => {
    const kept = shown.filter((run) => (!state.entry || verdictOf(run.entry) === state.entry) && (!state.sweep || run.sweep === state.sweep));
    const focused = document.activeElement?.closest?.("[data-run]")?.dataset.run;
    put(grid, kept.map((run) => card(run, { picked, pick, like, drop })));
    sweepOptions();
    count.textContent = kept.length === total ? t("gallery.count", { n: total }) : t("gallery.count_of", { n: kept.length, all: total });
    more.hidden = shown.length >= total;
    empty.hidden = kept.length > 0;
    empty.querySelector("h2").textContent = t(total || state.query || state.favourites || state.command ? "gallery.none" : "gallery.empty");
    rove(grid, focused);
  };
  const renew = (run) => {
    shown = shown.map((one) => (one.id === run.id ? { ...one, ...run } : one));
    const old = grid.querySelector(`[data-run="${CSS.escape(run.id)}"]`);
    const fresh = card(shown.find((one) => one.id === run.id), { picked, pick, like, drop });
    const inside = old?.contains(document.activeElement) ? document.activeElement.dataset.part : "";
    old?.replaceWith(fresh);
    rove(grid, run.id, false);
    if (inside) fresh.querySelector(`[data-part=${inside}]`)?.focus();
  };
  const like = async (run) => {
    try {
      renew(await call("PUT", `/api/gallery/${enc(run.id)}/favourite`, { favourite: !run.favourite }));
      announce(t(run.favourite ? "run.unliked" : "run.liked"));
    } catch (problem) {
      complain(problem);
    }
  };
  const drop = (run) => binned(run, () => {
    const at = shown.findIndex((one) => one.id === run.id);
    shown.splice(at, 1);
    total -= 1;
    picked.delete(run.id);
    show();
    const cards = grid.querySelectorAll(".card-link");
    cards[Math.min(at, cards.length - 1)]?.focus();
  }, () => load());
  const pick = (run) => {
    if (picked.has(run.id)) picked.delete(run.id);
    else {
      if (picked.size >= 2) picked.delete(picked.keys().next().value);
      picked.set(run.id, run);
    }
    for (const one of grid.querySelectorAll("[data-run]")) {
      const on = picked.has(one.dataset.run);
      one.classList.toggle("picked", on);
      one.querySelector("[data-part=pick]")?.setAttribute("aria-pressed", String(on));
    }
    trayOf();
  };
  const trayOf = () => {
    tray.hidden = !picked.size;
    put(tray, [...picked.values()].map((run) => h("span", { class: "thumb" }, run.poster ? h("img", { src: run.poster, alt: run.prompt }) : icon("film"))),
      picked.size === 2
        ? linkButton(t("gallery.compare_two"), `/gallery?compare=${[...picked.keys()].map(enc).join(",")}`, { sign: "compare", kind: "primary" })
        : h("span", { class: "hint", text: t("gallery.one_more") }),
      button(t("gallery.unpick"), () => { for (const run of [...picked.values()]) pick(run); }, { sign: "close", bare: true }));
  };
  const change = (part) => {
    Object.assign(state, part);
    const kept = new URLSearchParams(Object.entries(state).filter(([name, value]) => value && !(name === "sort" && value === "newest")).map(([name, value]) => [name, value === true ? "1" : value]));
    history.replaceState(null, "", `/gallery${kept.size ? `?${kept}` : ""}`);
    if ("entry" in part || "sweep" in part) show();
    else load().catch(complain);
  };

  const search = h("input", { type: "search", value: state.query, placeholder: t("gallery.search"), "aria-label": t("gallery.search"), autocomplete: "off" });
  search.addEventListener("input", debounced(() => change({ query: search.value.trim() }), 250));
  const liked = button(t("gallery.favourites"), () => {
    change({ favourites: !state.favourites });
    liked.setAttribute("aria-pressed", String(state.favourites));
  }, { sign: "star", kind: "quiet", "aria-pressed": String(state.favourites) });
  const sweeps = h("span", { class: "sweeps" });
  const sweepOptions = () => {
    const names = [...new Set(shown.map((run) => run.sweep).filter((name) => name && name !== "studio"))];
    put(sweeps, names.length || state.sweep ? select([["", t("gallery.all_sweeps")], ...names.map((name) => [name, name])], state.sweep, (value) => change({ sweep: value }), { "aria-label": t("gallery.sweep") }) : null);
  };
  const empty = h("div", { class: "empty", hidden: true }, icon("gallery"), h("h2"), linkButton(t("queue.make"), "/", { sign: "make", kind: "primary" }));
  const filters = h("div", { class: "filters", role: "search" }, search,
    select(SORTS.map((name) => [name, t(`sort.${name}`)]), state.sort, (value) => change({ sort: value }), { "aria-label": t("gallery.sort") }),
    select([["", t("gallery.all_commands")], ["video", t("command.video")], ["stills", t("command.stills")]], state.command, (value) => change({ command: value }), { "aria-label": t("gallery.command") }),
    select([["", t("gallery.all_entries")], ...["PASS", "REVIEW", "BLOCK"].map((name) => [name, t(`entry.${name}`)])], state.entry, (value) => change({ entry: value }), { "aria-label": t("gallery.entry") }),
    h("span", {}, sweeps), liked, linkButton(t("bin.title"), "/gallery?bin=1", { sign: "bin", kind: "quiet" }), count);
  put(root, h("h1", { class: "unseen", text: t("tab.gallery") }), filters, grid, empty, more, tray);
  tray.hidden = true;
  arrows(grid, { like: (id) => like(shown.find((run) => run.id === id)), pick: (id) => pick(shown.find((run) => run.id === id)), drop: (id) => drop(shown.find((run) => run.id === id)) });
  const seen = new IntersectionObserver((entries) => { if (entries[0].isIntersecting && !more.hidden && shown.length) void load(true); }, { rootMargin: "400px" });
  await load();
  seen.observe(more);
  return () => { seen.disconnect(); waiting?.abort(); };
}

/** A run into the bin, with a way back. */
export async function binned(run, gone, back) {
  try {
    await call("DELETE", `/api/gallery/${enc(run.id)}`);
    gone();
    toast(t("bin.done", { name: run.prompt || run.path }), { closeWords: t("close"), seconds: 10, action: { words: t("bin.undo"), run: () => undo(run).then(back).catch(complain) } });
  } catch (problem) {
    complain(problem);
  }
}

/** Puts the latest of a run's remains back. */
async function undo(run) {
  const { runs } = await get("/api/bin");
  const place = runs.find((one) => one.id === run.id || one.id.startsWith(`${run.id}-`)) ?? runs.find((one) => one.path === run.path);
  return post(`/api/bin/${enc(place?.id ?? run.id)}/restore`);
}

function card(run, { picked, pick, like, drop }) {
  const screen = h("div", { class: "poster" }, run.poster ? h("img", { src: run.poster, alt: "", loading: "lazy", decoding: "async" }) : h("span", { class: "quiet-screen" }, icon(run.status === "damaged" ? "warn" : "film")));
  const name = run.prompt || run.path;
  const play = () => {
    if (!run.video || screen.querySelector("video")) return;
    const clip = h("video", { muted: true, loop: true, playsinline: true, preload: "auto", src: run.video, tabindex: -1, "aria-hidden": "true" });
    screen.append(clip);
    clip.play().catch(() => null);
  };
  const stop = () => screen.querySelector("video")?.remove();
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  return h("div", { class: ["run", picked.has(run.id) && "picked"], role: "listitem", data: { run: run.id },
    on: { mouseenter: calm ? () => {} : play, mouseleave: stop, focusin: calm ? () => {} : play, focusout: (event) => { if (!event.currentTarget.contains(event.relatedTarget)) stop(); } } },
  h("a", { class: "card-link", href: `/gallery/${enc(run.id)}`, tabindex: -1, data: { part: "link" }, "aria-label": `${name}, ${t("run.seed", { n: run.seed })}` }, screen),
  h("div", { class: "badges" },
    run.status !== "finished" ? h("span", { class: "pill", data: { state: run.status }, text: named("status", run.status), title: run.problem || null }) : null,
    entryPill(run)),
  h("div", { class: "run-tools" },
    button(t(run.favourite ? "run.unlike" : "run.like"), () => like(run), { sign: "star", bare: true, kind: "small", "aria-pressed": String(Boolean(run.favourite)), data: { part: "like" } }),
    run.video || run.poster ? button(t("gallery.pick"), () => pick(run), { sign: "compare", bare: true, kind: "small", "aria-pressed": String(picked.has(run.id)), data: { part: "pick" } }) : null,
    button(t("run.bin"), () => drop(run), { sign: "bin", bare: true, kind: "small", data: { part: "bin" } })),
  h("div", { class: "run-words" }, h("p", { text: name }),
    h("small", { class: "hint" }, score(run), [run.stills?.length ? t("run.stills", { n: run.stills.length }) : "", t("run.seed", { n: run.seed }), ago(run.when)].filter(Boolean).join(" · "))));
}

/** Whether a run is an entry; what passes has a sign alone. */
function entryPill(run) {
  const verdict = verdictOf(run.entry);
  if (verdict !== "PASS" && verdict !== "REVIEW") return null; // most clips are for trying, which is no fault
  const words = named("entry", verdict);
  return verdict === "PASS"
    ? h("span", { class: "pill", data: { verdict }, role: "img", "aria-label": words, title: words }, icon("check"))
    : h("span", { class: "pill", data: { verdict }, text: named("entry", verdict) });
}

/** A run's score as a small ring. */
export function score(run) {
  if (run.overall === null || run.overall === undefined) return null;
  const level = run.overall >= 0.75 ? "good" : run.overall >= 0.5 ? "fair" : "bad";
  const words = run.score ? t("run.score_of", { good: run.score.good, fair: run.score.fair, bad: run.score.bad }) : "";
  return h("span", { class: ["ring", level], vars: { "--share": run.overall }, title: words, role: "img", "aria-label": `${t("run.score", { n: number(run.overall * 100, 0) })}. ${words}` }, h("span", { "aria-hidden": "true", text: number(run.overall * 100, 0) }));
}

/** One card at a time is in the tab order. */
function rove(grid, id = null, focus = true) {
  const links = [...grid.querySelectorAll(".card-link")];
  const chosen = links.find((link) => link.parentElement.dataset.run === id) ?? links[0];
  for (const link of links) link.tabIndex = link === chosen ? 0 : -1;
  if (focus && id && chosen && chosen.parentElement.dataset.run === id) chosen.focus();
}

/** Arrow keys walk over the cards; f is favourite, c compare, Delete the bin. */
function arrows(grid, { like, pick, drop }) {
  grid.addEventListener("keydown", (event) => {
    const link = event.target.closest(".card-link");
    if (!link || event.ctrlKey || event.metaKey || event.altKey) return;
    const links = [...grid.querySelectorAll(".card-link")];
    const at = links.indexOf(link);
    const top = link.parentElement.offsetTop;
    const columns = links.filter((one) => one.parentElement.offsetTop === links[0].parentElement.offsetTop).length;
    const id = link.parentElement.dataset.run;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns, Home: 0, End: links.length - 1 }[event.key];
    if (to !== undefined) {
      const next = links[to] ?? (event.key === "ArrowDown" && links[links.length - 1].parentElement.offsetTop > top ? links[links.length - 1] : null);
      event.preventDefault();
      if (!next) return;
      link.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    } else if (event.key === "f") like(id);
    else if (event.key === "c") pick(id);
    else if (event.key === "Delete") drop(id);
  });
}

