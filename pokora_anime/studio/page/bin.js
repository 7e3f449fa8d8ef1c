// The bin: what was deleted, until it is emptied.

import { call, enc, get, post } from "./api.js";
import { button, h, icon, linkButton, put, toast } from "./dom.js";
import { complain } from "./problems.js";
import { ago, bytes, t } from "./strings.js";

/** Shows the bin. */
export async function mount(root) {
  const list = h("ul", { class: "rows" });
  const head = h("div", { class: "head" });
  const show = async () => {
    const { runs } = await get("/api/bin");
    const size = runs.reduce((all, run) => all + (run.bytes || 0), 0);
    put(head, h("h1", { text: t("bin.title") }), h("span", { class: "hint", text: runs.length ? t("bin.size", { n: runs.length, size: bytes(size) }) : "" }),
      linkButton(t("bin.back"), "/gallery", { sign: "gallery", kind: "quiet" }),
      runs.length ? empty(() => show().catch(complain)) : null);
    put(list, runs.length ? runs.map((run) => h("li", {},
      h("div", {}, h("b", { text: run.path }), h("p", { class: "hint", text: `${bytes(run.bytes)} · ${ago(run.when)}` })),
      button(t("bin.restore"), async () => {
        try {
          await post(`/api/bin/${enc(run.id)}/restore`);
          toast(t("bin.restored"), { closeWords: t("close"), action: { words: t("judge.see"), run: () => document.querySelector(`[data-tab=gallery]`).click() } });
          await show();
        } catch (problem) {
          complain(problem);
        }
      }, { sign: "again" }))) : h("li", { class: "empty" }, icon("bin"), h("h2", { text: t("bin.empty") })));
  };
  put(root, h("section", { class: "card" }, head, list));
  await show();
}

/** Emptying asks once more, in place. */
function empty(done) {
  const ask = button(t("bin.empty_it"), () => {
    put(place, h("span", { class: "bad", text: t("bin.sure") }), button(t("bin.yes"), async () => {
      try {
        const { freed_bytes: freed } = await call("DELETE", "/api/bin");
        toast(t("bin.freed", { size: bytes(freed) }), { kind: "good", closeWords: t("close") });
      } catch (problem) {
        complain(problem);
      }
      done();
    }, { kind: "danger", sign: "bin" }), button(t("no"), () => { put(place, ask); ask.focus(); }, { kind: "quiet" }));
    place.querySelector("button").focus();
  }, { sign: "bin" });
  const place = h("span", { class: "row push" }, ask);
  return place;
}
