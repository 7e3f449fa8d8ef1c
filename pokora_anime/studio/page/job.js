// A job as it goes: stages as bars, time left, pictures, lines; told by a stream that reconnects.

import { enc, get, post, stream } from "./api.js";
import { announce, button, copy, h, icon, linkButton, put, toast } from "./dom.js";
import { finding } from "./judge.js";
import { complain } from "./problems.js";
import { ago, duration, named, number, t } from "./strings.js";

export const OVER = ["finished", "failed", "cancelled"];
const LINES = 200;

/** Follows a job; `heard` gets the job after every event. Returns what ends it. */
export function follow(id, heard) {
  let job = null;
  const changed = (part, what) => {
    if (!job) return;
    job = { ...job, ...part };
    heard(job, what);
  };
  return stream(`/api/runs/${enc(id)}/events`, {
    job: (whole) => {
      job = { ...whole, lines: whole.lines?.length ? whole.lines : (job?.lines ?? []) };
      heard(job, "job");
    },
    progress: (progress) => changed({ progress }, "progress"),
    picture: ({ kind, url }) => changed({ pictures: { ...job?.pictures, [kind]: url } }, "picture"),
    line: ({ text }) => changed({ lines: [...(job?.lines ?? []), text].slice(-LINES) }, "line"),
    end: () => { get(`/api/runs/${enc(id)}`).then((whole) => { job = whole; heard(job, "job"); }).catch(complain); },
  });
}

/** What a job is called. */
export const title = (job) => job.label || job.words?.find((word) => word.startsWith("shot.prompt="))?.slice(12) || t(`command.${job.command}`);

/** Its state as a small sign. */
export function pill(job) {
  const words = job.state === "queued" && job.position !== null && job.position !== undefined ? t("job.queued_at", { n: job.position + 1 }) : named("state", job.state);
  return h("span", { class: "pill", data: { state: job.state }, text: words });
}

/** How much of a job's work is done, 0 to 1; null where it cannot be said: stages to come are not known. */
export function share({ command, started, progress }) {
  const left = progress?.left_seconds;
  if (started && left !== null && left !== undefined) {
    const past = Math.max(0, Date.now() / 1000 - started);
    return past + left > 0 ? past / (past + left) : null;
  }
  if (["video", "stills"].includes(command)) return null; // stages to come are not told
  return progress?.total ? Math.min(1, progress.done / progress.total) : null;
}

/** A bar; `value` 0 to 1, or null for work without a known end. */
export function bar(words, value, extra = "") {
  const known = value !== null && value !== undefined;
  return h("div", { class: ["stage", known && value >= 1 && "done"] },
    h("span", { class: "stage-name", text: words }),
    h("div", { class: ["track", !known && "unknown"], role: "progressbar", "aria-label": words, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": known ? Math.round(value * 100) : null },
      h("i", { vars: { "--done": known ? value : 0.3 } })),
    h("span", { class: "stage-count", text: extra }));
}

/** All stages of a job as bars. */
export function stages(progress) {
  if (!progress) return [];
  const listed = progress.stages?.length ? progress.stages : [{ name: progress.stage, done: progress.done, total: progress.total }];
  const shown = listed.filter((one) => one.name);
  const now = shown.findIndex((one) => one.name === progress.stage);
  return shown.map((one, index) => {
    const part = one.total ? Math.min(1, one.done / one.total) : index < now ? 1 : null;
    return bar(named("stage", one.name), part, one.total ? `${number(one.done, 0)}/${number(one.total, 0)}` : "");
  });
}

/** What can be done with a job: cancel, go on, move. `done` gets the job that comes back. */
export async function act(job, action, body, done) {
  try {
    done(await post(`/api/runs/${enc(job.id)}/${action}`, { ...body, ...(action === "retry" ? {} : { version: job.version }) }));
    announce(t(`did.${action}`));
  } catch (problem) {
    complain(problem);
    if (problem.status === 409) done(await get(`/api/runs/${enc(job.id)}`));
  }
}

/** A job's view: everything that can be seen of it. Returns {element, show}. */
export function jobView({ changed = () => {} } = {}) {
  const name = h("h2");
  const state = h("p", { class: "row facts-line" });
  const screen = h("div", { class: "screen" });
  const side = h("div", { class: "side-pictures" });
  const bars = h("div", { class: "stages" });
  const left = h("p", { class: "time-left" });
  const actions = h("div", { class: "row actions" });
  const error = h("ul", { class: "findings" });
  const log = h("pre", { class: "log", tabindex: 0, "aria-label": t("job.log") });
  const command = h("code", { class: "command" });
  const runs = h("ul", { class: "links" });
  const kept = {};
  let before = "";
  let told = -1;

  const pictures = (job) => {
    const found = job.pictures ?? {};
    screen.classList.toggle("busy", job.state === "running");
    const stills = Object.keys(found).filter((kind) => /^still/.test(kind) && found[kind]);
    if (stills.length) {
      screen.classList.add("many");
      const there = stills.map((kind, index) => picture(kept, kind, found[kind], t("run.still", { n: index + 1 })));
      if (screen.childElementCount !== there.length || screen.firstChild !== there[0]) put(screen, there);
      side.hidden = true;
      return;
    }
    const main = found.video ? "video" : found.preview ? "preview" : found.keyframe ? "keyframe" : found.poster ? "poster" : "";
    put(side, ["keyframe", "choreography"].filter((kind) => found[kind] && kind !== main).map((kind) =>
      h("figure", {}, picture(kept, kind, found[kind], t(`picture.${kind}`)), h("figcaption", { text: t(`picture.${kind}`) }))));
    side.hidden = !side.childElementCount;
    if (main === "video") {
      if (kept.film?.dataset.url !== found.video) {
        kept.film = film(found.video, found.poster);
        put(screen, kept.film);
      }
    } else if (main) {
      const image = picture(kept, "main", found[main], t(`picture.${main}`));
      if (screen.firstChild !== image) put(screen, image, h("span", { class: "badge" }));
      screen.lastChild.textContent = t(`picture.${main}`);
    } else if (!screen.querySelector(".quiet-screen")) {
      put(screen, h("div", { class: "quiet-screen" }, icon("film"), h("p")));
    }
    const quiet = screen.querySelector(".quiet-screen p");
    if (quiet) quiet.textContent = t(OVER.includes(job.state) ? "job.no_picture" : job.state === "queued" ? "job.soon" : "job.first_picture");
  };
  const progress = (job) => {
    const whole = share(job);
    put(bars, job.state === "running" || job.state === "failed" || job.state === "cancelled" ? stages(job.progress) : []);
    const seconds = job.progress?.left_seconds;
    const detail = job.progress?.detail;
    put(left, job.state !== "running" ? null : [
      h("b", { text: seconds !== null && seconds !== undefined ? t("job.left", { time: duration(seconds) }) : t("job.working") }),
      whole !== null ? h("span", { text: ` ${Math.round(whole * 100)} %` }) : null, detail ? h("span", { class: "hint", text: ` ${detail}` }) : null]);
    const quarter = whole === null ? -1 : Math.floor(whole * 4);
    if (job.state === "running" && quarter > told) {
      if (told >= 0 || quarter > 0) announce(t("job.announce", { n: quarter * 25, stage: named("stage", job.progress?.stage ?? "") }));
      told = quarter;
    }
  };
  const line = (job) => {
    const near = log.scrollHeight - log.scrollTop - log.clientHeight < 30;
    log.textContent = (job.lines ?? []).join("\n");
    if (near) log.scrollTop = log.scrollHeight;
  };
  const state_ = (job) => {
    if (before && before !== job.state) announce(`${title(job)}: ${named("state", job.state)}`);
    before = job.state;
    name.textContent = title(job);
    put(state, pill(job), h("span", { class: "hint", text: [t(`command.${job.command}`), job.started ? t("job.started", { ago: ago(job.started) }) : t("job.created", { ago: ago(job.created) }), job.ended && job.started ? t("job.took", { time: duration(job.ended - job.started) }) : "", job.attempts > 1 ? t("job.attempts", { n: job.attempts }) : ""].filter(Boolean).join(" · ") }));
    put(error, job.error ? finding({ severity: "block", code: job.error.code, message: job.error.detail || job.error.title, expected: job.error.expected, fix: job.error.fix }) : null);
    command.textContent = job.command_line ?? "";
    put(runs, (job.folder_runs ?? []).map((run) => h("li", {}, h("a", { href: `/gallery/${enc(run)}`, text: run }))));
    put(actions, jobActions(job, changed));
  };
  const show = (job, what = "job") => {
    if (what === "job") state_(job);
    if (what === "job" || what === "progress") progress(job);
    if (what === "job" || what === "picture") pictures(job);
    if (what === "job" || what === "line") line(job);
  };
  const element = h("article", { class: "job" },
    h("div", { class: "job-head" }, h("div", {}, name, state), actions), error,
    h("div", { class: "job-stage" }, screen, h("div", { class: "job-side" }, left, bars, side)), runs,
    h("div", { class: "command-box" }, command, button(t("copy"), async () => toast(t((await copy(command.textContent)) ? "copied" : "not_copied"), { closeWords: t("close"), seconds: 3 }), { sign: "copy", bare: true, kind: "small" })),
    h("details", { class: "log-box" }, h("summary", { text: t("job.log") }), log));
  return { element, show };
}

function jobActions(job, changed) {
  const run = job.run && ["video", "stills"].includes(job.command);
  return [
    job.state === "finished" && run ? linkButton(t("job.open"), `/gallery/${enc(job.run)}`, { sign: "gallery", kind: "primary" }) : null,
    job.state === "finished" && run ? linkButton(t("run.again"), `/?again=${enc(job.run)}`, { sign: "again" }) : null,
    job.state === "failed" || job.state === "cancelled" ? button(t("job.retry"), () => act(job, "retry", {}, changed), { sign: "retry", kind: "primary" }) : null,
    job.state === "running" || job.state === "queued" ? button(t("job.cancel"), () => act(job, "cancel", {}, changed), { sign: "close" }) : null,
  ];
}

/** An image that is kept while its address changes, so that a preview grows without blinking. */
function picture(kept, name, url, words) {
  kept[name] ??= h("img", { alt: words });
  const image = kept[name];
  image.alt = words;
  if (image.dataset.url !== url) {
    image.dataset.url = url;
    const next = new Image();
    next.onload = () => { if (image.dataset.url === url) image.src = url; };
    if (image.src) next.src = url;
    else image.src = url;
  }
  return image;
}

/** A clip with controls; it begins by itself unless motion is unwelcome. */
export function film(url, poster = null) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  return h("video", { controls: true, loop: true, playsinline: true, muted: true, autoplay: !calm, preload: "metadata", src: url, poster, data: { url } });
}
