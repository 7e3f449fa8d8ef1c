// Models: the registered weights, their licences, and what of them lies here.

import { enc, get, post } from "./api.js";
import { announce, button, h, put } from "./dom.js";
import { OVER, bar, follow, share } from "./job.js";
import { complain } from "./problems.js";
import { keep, recall } from "./state.js";
import { bytes, duration, named, t, verdictOf } from "./strings.js";

/** Shows the models; returns what ends it. */
export async function mount(root) {
  const closing = new Map();
  const going = new Map(Object.entries(recall("fetches", {})));
  const progress = new Map();
  const body = h("tbody");
  const disk = h("p", { class: "hint" });
  const search = h("input", { type: "search", placeholder: t("models.search"), "aria-label": t("models.search") });
  let models = [];

  const load = async () => {
    const answer = await get("/api/models");
    models = answer.models;
    disk.textContent = t("models.disk", { size: bytes(answer.disk_free_bytes), used: bytes(models.filter((one) => one.state === "here").reduce((all, one) => all + (one.bytes || 0), 0)) });
    show();
  };
  const show = () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = models.filter((one) => wanted.every((word) => `${one.id} ${one.title ?? ""} ${one.role} ${(one.families ?? []).join(" ")} ${one.repo} ${one.licence} ${one.state}`.toLowerCase().includes(word)));
    put(body, found.map(row), found.length ? null : h("tr", {}, h("td", { colspan: 6, class: "hint", text: t("models.none") })));
  };
  const row = (one) => {
    const place = progress.get(one.id) ?? h("div", { class: "fetching" });
    progress.set(one.id, place);
    const busy = going.has(one.id);
    const fetched = ["here", "packaged", "own"].includes(one.state);
    return h("tr", {},
      h("th", { scope: "row" }, h("b", { text: one.title || one.id }), h("small", { class: "hint", text: [one.title && one.title !== one.id ? one.id : "", one.role, (one.families ?? []).join(", "), one.repo].filter(Boolean).join(" · ") }), one.note ? h("small", { class: "hint", text: one.note }) : null),
      h("td", { data: { label: t("models.licence") } }, one.licence || "–"),
      h("td", { data: { label: t("models.entry") } }, entry(one.entry)),
      h("td", { class: "number", data: { label: t("models.size") } }, bytes(one.bytes)),
      h("td", { data: { label: t("models.state") } }, h("span", { class: "pill", data: { state: one.state }, text: named("models", one.state) })),
      h("td", {}, fetched || verdictOf(one.entry) === "BLOCK" ? null : busy ? place : [button(t(one.state === "partial" ? "models.go_on" : "models.fetch"), () => begin(one), { sign: "download", kind: "small", "aria-label": `${t(one.state === "partial" ? "models.go_on" : "models.fetch")}: ${one.id}` }), place]));
  };
  const begin = async (one) => {
    try {
      const job = await post(`/api/models/${enc(one.id)}/fetch`);
      announce(t("models.begun", { name: one.id }));
      watch(one.id, job.id);
      show();
    } catch (problem) {
      complain(problem);
    }
  };
  const watch = (id, job) => {
    going.set(id, job);
    keep("fetches", Object.fromEntries(going));
    const place = progress.get(id) ?? h("div", { class: "fetching" });
    progress.set(id, place);
    put(place, bar(named("state", "queued"), 0));
    closing.get(id)?.();
    closing.set(id, follow(job, (state) => {
      if (OVER.includes(state.state)) {
        closing.get(id)?.();
        if (!going.delete(id)) return;
        keep("fetches", Object.fromEntries(going));
        put(place, state.error ? h("p", { class: "bad", text: [state.error.detail, state.error.fix].filter(Boolean).join(" ") }) : null);
        announce(`${id}: ${named("state", state.state)}`);
        load().catch(complain);
        return;
      }
      const left = state.progress?.left_seconds;
      put(place, bar(named("state", state.state), state.state === "queued" ? 0 : share(state), left ? duration(left) : ""),
        button(t("job.cancel"), () => post(`/api/runs/${enc(job)}/cancel`).catch(complain), { sign: "close", bare: true, kind: "small" }));
    }));
  };
  search.addEventListener("input", show);
  put(root, h("section", { class: "card" }, h("div", { class: "head" }, h("h1", { text: t("tab.models") }), disk), h("p", { class: "hint", text: t("models.why") }), h("div", { class: "filters" }, search),
    h("table", { class: "models" }, h("thead", {}, h("tr", {}, ["name", "licence", "entry", "size", "state"].map((name) => h("th", { scope: "col", class: name === "size" ? "number" : null, text: t(`models.${name}`) })), h("th", {}, h("span", { class: "unseen", text: t("models.fetch") })))), body)));
  await load();
  for (const [id, job] of going) watch(id, job);
  if (going.size) show();
  return () => { for (const close of closing.values()) close(); };
}

function entry(text) {
  const verdict = verdictOf(text);
  const more = /^(?:PASS|REVIEW|BLOCK)[:\s]+(.+)/i.exec(text ?? "")?.[1] ?? "";
  return verdict ? h("span", {}, h("span", { class: "pill", data: { verdict }, text: named("models.entry", verdict) }), more ? h("span", { class: "hint", text: ` ${more}` }) : null) : "–";
}
