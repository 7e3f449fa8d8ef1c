// Watch: the queue, and the chosen job as it goes.

import { enc, get, stream } from "./api.js";
import { button, h, icon, linkButton, put } from "./dom.js";
import { OVER, act, follow, jobView, pill, share, title } from "./job.js";
import { complain, go, trouble } from "./problems.js";
import { ago, duration, t } from "./strings.js";

/** Shows the queue and a job; returns what ends it. */
export async function mount(root, { id }) {
  let jobs = [];
  let chosen = id ?? null;
  let unfollow = () => {};
  let closed = false;
  const list = h("ol", { class: "queue" });
  const count = h("span", { class: "hint", "aria-live": "polite" });
  const place = h("div", { class: "job-place" });
  put(root, h("h1", { class: "unseen", text: t("tab.watch") }),
    h("div", { class: "watch" }, h("section", { class: "card queue-card", "aria-label": t("queue.title") }, h("div", { class: "head" }, h("h2", { text: t("queue.title") }), count), list), place));

  const replace = (job) => {
    const at = jobs.findIndex((one) => one.id === job.id);
    if (at < 0) jobs.unshift(job);
    else jobs[at] = { ...jobs[at], ...job };
  };
  const refresh = async () => {
    try {
      const { runs, waiting } = await get("/api/runs?limit=50");
      if (closed) return;
      jobs = ordered(runs);
      count.textContent = waiting ? t("queue.waiting", { n: waiting }) : "";
      show();
    } catch (problem) {
      complain(problem);
    }
  };
  const done = (job) => {
    replace(job);
    show();
    view.show(job);
    if (job.id === chosen && !OVER.includes(job.state)) begin(chosen);
    void refresh();
  };
  const show = () => {
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
    put(list, jobs.length ? jobs.map((job) => row(job, chosen, done, jobs)) : null);
    if (focused) list.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
  };
  let view = jobView({ changed: done });
  const begin = (which) => {
    unfollow();
    unfollow = follow(which, (job, what) => {
      replace(job);
      view.show(job, what);
      if (what === "job" || what === "picture") show();
      else shareOf(list, job);
    });
  };
  await refresh();
  chosen ??= jobs.find((job) => job.state === "running")?.id ?? jobs[0]?.id ?? null;
  if (!chosen) {
    put(place, h("div", { class: "empty" }, icon("film"), h("h2", { text: t("queue.empty") }), h("p", { text: t("queue.empty_why") }), linkButton(t("queue.make"), "/", { sign: "make", kind: "primary" })));
  } else {
    if (!id) history.replaceState(null, "", `/watch/${enc(chosen)}`);
    try {
      const job = await get(`/api/runs/${enc(chosen)}`);
      put(place, view.element);
      view.show(job);
      show();
      if (closed) return () => {};
      if (!OVER.includes(job.state)) begin(chosen);
    } catch (problem) {
      if (problem.status === 401) throw problem;
      put(place, trouble(problem, () => go(`/watch/${enc(chosen)}`)));
    }
  }
  const quiet = stream("/api/events", { queue: refresh });
  return () => {
    closed = true;
    unfollow();
    quiet();
  };
}

/** Running ones, then waiting ones in their order, then the newest of those that are over. */
function ordered(jobs) {
  const rank = (job) => (job.state === "running" ? 0 : job.state === "queued" ? 1 : 2);
  return [...jobs].sort((one, other) => rank(one) - rank(other)
    || (rank(one) === 1 ? (one.position ?? 0) - (other.position ?? 0) : (other.ended ?? other.created ?? 0) - (one.ended ?? one.created ?? 0)));
}

function row(job, chosen, done, jobs) {
  const last = Math.max(...jobs.filter((one) => one.state === "queued").map((one) => one.position ?? 0));
  const thumb = job.pictures?.poster ?? job.pictures?.keyframe ?? job.pictures?.["still-1"];
  const queued = job.state === "queued";
  const whole = share(job);
  return h("li", { class: ["queue-row", job.id === chosen && "chosen"], data: { id: job.id } },
    h("a", { href: `/watch/${enc(job.id)}`, "aria-current": job.id === chosen ? "true" : null, data: { focus: `a-${job.id}` } },
      h("span", { class: "thumb" }, thumb ? h("img", { src: thumb, alt: "", loading: "lazy" }) : icon(job.command === "stills" ? "gallery" : "film")),
      h("span", { class: "queue-words" }, h("b", { text: title(job) }), h("span", { class: "row" }, pill(job), h("small", { text: job.state === "running" && job.progress?.left_seconds ? duration(job.progress.left_seconds) : ago(job.ended ?? job.created) })))),
    job.state === "running" ? h("div", { class: ["track thin", whole === null && "unknown"], "aria-hidden": "true" }, h("i", { vars: { "--done": whole ?? 0.3 } })) : null,
    queued ? h("span", { class: "row queue-tools" },
      button(t("queue.up", { name: title(job) }), () => act(job, "move", { position: job.position - 1 }, done), { sign: "up", bare: true, kind: "small", disabled: !(job.position > 0), data: { focus: `u-${job.id}` } }),
      button(t("queue.down", { name: title(job) }), () => act(job, "move", { position: job.position + 1 }, done), { sign: "down", bare: true, kind: "small", disabled: !(job.position < last), data: { focus: `d-${job.id}` } }),
      button(t("queue.cancel", { name: title(job) }), () => act(job, "cancel", {}, done), { sign: "close", bare: true, kind: "small", data: { focus: `c-${job.id}` } })) : null);
}

function shareOf(list, job) {
  const track = list.querySelector(`[data-id="${CSS.escape(job.id)}"] .track`);
  const whole = share(job);
  track?.classList.toggle("unknown", whole === null);
  track?.firstChild.style.setProperty("--done", whole ?? 0.3);
}
