// Two runs side by side, in step: one play button, one time line.

import { enc, get } from "./api.js";
import { button, debounced, h, icon, linkButton, put } from "./dom.js";
import { score } from "./gallery.js";
import { complain } from "./problems.js";
import { named, number, t } from "./strings.js";

const DRIFT = 0.06; // s that the second clip may be off before it is set right
const FRAME = 1 / 24;

/** Shows two runs; with one, it offers the others. */
export async function mount(root, ids) {
  const runs = await Promise.all(ids.filter(Boolean).slice(0, 2).map((id) => get(`/api/gallery/${enc(id)}`)));
  if (runs.length < 2) return choose(root, runs[0]);
  return pair(root, runs);
}

async function choose(root, first) {
  const grid = h("div", { class: "grid small-grid" });
  const search = h("input", { type: "search", placeholder: t("gallery.search"), "aria-label": t("gallery.search") });
  const load = async () => {
    const { runs } = await get(`/api/gallery?limit=60&query=${enc(search.value.trim())}`);
    put(grid, runs.filter((run) => run.id !== first?.id && (run.video || run.poster)).map((run) =>
      h("a", { class: "pick", href: `/gallery?compare=${first ? `${enc(first.id)},` : ""}${enc(run.id)}` }, run.poster ? h("img", { src: run.poster, alt: "", loading: "lazy" }) : icon("film"), h("span", { text: run.prompt || run.path }))));
  };
  search.addEventListener("input", debounced(() => load().catch(complain), 250));
  put(root, h("h1", { text: t("compare.with") }), first ? h("p", { class: "hint", text: first.prompt || first.path }) : null, h("div", { class: "filters" }, search), grid);
  await load();
}

function pair(root, runs) {
  const clips = runs.map((run) => run.video
    ? h("video", { muted: true, playsinline: true, preload: "auto", src: run.video, poster: run.poster })
    : h("img", { src: run.stills?.[0] ?? run.poster ?? "", alt: run.prompt }));
  const films = clips.filter((clip) => clip.tagName === "VIDEO");
  const stage = h("div", { class: "pair-stage", data: { mode: "sides" } }, clips.map((clip, index) => h("figure", {}, clip, h("figcaption", {}, h("b", { text: index ? "B" : "A" }), h("a", { href: `/gallery/${enc(runs[index].id)}`, text: runs[index].prompt || runs[index].path })))));
  const end = synced(root, films, stage);
  put(root, h("div", { class: "head" }, h("h1", { text: t("compare.title") }), linkButton(t("tab.gallery"), "/gallery", { sign: "gallery", kind: "quiet" })),
    stage, end.element, differences(runs));
  root.querySelector(".player .primary")?.focus({ preventScroll: true });
  return end.stop;
}

/** Shared play, scrub, step and speed over clips. */
function synced(root, films, stage) {
  const length = () => Math.max(0.01, ...films.map((one) => one.duration || 0));
  let playing = false;
  const time = h("output", { class: "time", text: "0.00 s" });
  const scrub = h("input", { type: "range", min: 0, max: 1000, step: 1, value: 0, "aria-label": t("compare.scrub"), on: { input: () => { pause(); seek((scrub.value / 1000) * length()); } } });
  const seek = (at) => {
    for (const one of films) one.currentTime = Math.min(at, Math.max(0, (one.duration || at) - 0.001));
    tell(at);
  };
  const tell = (at) => {
    scrub.value = (at / length()) * 1000;
    time.textContent = `${at.toFixed(2)} s`;
    scrub.setAttribute("aria-valuetext", time.textContent);
  };
  const lead = () => films.reduce((best, one) => ((one.duration || 0) > (best?.duration || 0) ? one : best), films[0]);
  const tick = () => {
    if (!playing) return;
    const first = lead();
    if (first.ended || first.currentTime >= length() - 0.01) {
      seek(0);
      for (const one of films) one.play().catch(() => null);
    }
    for (const one of films) {
      const want = Math.min(first.currentTime, (one.duration || 0) - 0.001);
      if (one !== first && Math.abs(one.currentTime - want) > DRIFT) one.currentTime = want;
    }
    tell(first.currentTime);
    requestAnimationFrame(tick);
  };
  const sign = (name, words) => {
    toggle.setAttribute("aria-label", words);
    toggle.title = words;
    put(toggle, icon(name));
  };
  const play = () => {
    playing = true;
    sign("pause", t("compare.pause"));
    for (const one of films) one.play().catch(() => null);
    requestAnimationFrame(tick);
  };
  const pause = () => {
    playing = false;
    sign("play", t("compare.play"));
    for (const one of films) one.pause();
  };
  const toggle = button(t("compare.play"), () => (playing ? pause() : play()), { sign: "play", bare: true, kind: "primary" });
  const step = (by) => { pause(); seek(Math.max(0, Math.min(length() - FRAME, lead().currentTime + by * FRAME))); };
  const speeds = h("select", { "aria-label": t("compare.speed"), on: { change: () => { for (const one of films) one.playbackRate = Number(speeds.value); } } }, [1, 0.5, 0.25].map((rate) => h("option", { value: rate, text: `${rate}×` })));
  const modes = h("select", { "aria-label": t("compare.mode"), on: { change: () => { stage.dataset.mode = modes.value; } } }, ["sides", "difference", "wipe"].map((mode) => h("option", { value: mode, text: t(`compare.${mode}`) })));
  const wipe = h("input", { type: "range", min: 0, max: 100, value: 50, class: "wipe", "aria-label": t("compare.edge"), on: { input: () => stage.style.setProperty("--edge", `${wipe.value}%`) } });
  const keys = (event) => {
    if (/^(INPUT|SELECT|TEXTAREA|BUTTON|A)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey) return;
    if (event.key === " ") { event.preventDefault(); toggle.click(); }
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") { event.preventDefault(); step(event.key === "ArrowRight" ? 1 : -1); }
  };
  document.addEventListener("keydown", keys);
  const element = h("div", { class: "card player" }, films.length ? [toggle, button(t("compare.step"), () => step(1), { sign: "step", bare: true }), scrub, time, speeds] : null, modes, wipe);
  return { element, stop: () => { playing = false; document.removeEventListener("keydown", keys); } };
}

/** Words and numbers in which the two differ. */
function differences([one, other]) {
  const words = (run) => Object.fromEntries((run.words ?? []).map((word) => [word.split("=", 1)[0], word.slice(word.indexOf("=") + 1)]));
  const [a, b] = [{ seed: String(one.seed), ...words(one) }, { seed: String(other.seed), ...words(other) }];
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) => a[key] !== b[key]);
  const cards = [one, other].map((run) => Object.fromEntries(Object.entries(run.scorecard ?? {}).flatMap(([stage, metrics]) => Object.entries(metrics).map(([metric, value]) => [`${stage} · ${metric}`, value]))));
  const metrics = [...new Set(cards.flatMap((card) => Object.keys(card)))];
  const cell = (value) => h("td", { class: ["number", value?.verdict] }, typeof value?.value === "number" ? number(value.value, 3) : "–");
  return h("section", { class: "card" }, h("h2", { text: t("compare.differences") }),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("compare.differences") }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "unseen", text: t("compare.what") })), h("th", { scope: "col", text: "A" }), h("th", { scope: "col", text: "B" }))),
      h("tbody", {},
        h("tr", {}, h("th", { scope: "row", text: t("compare.overall") }), h("td", {}, score(one)), h("td", {}, score(other))),
        keys.map((key) => h("tr", {}, h("th", { scope: "row" }, h("code", { text: key })), h("td", { text: a[key] ?? "–" }), h("td", { text: b[key] ?? "–" }))),
        metrics.map((metric) => h("tr", {}, h("th", { scope: "row", text: metric.replaceAll("_", " ").replace(/^\w+/, (stage) => named("scored", stage)) }), cell(cards[0][metric]), cell(cards[1][metric])))))));
}
