// The storyboard: several shots of one clip, the chosen one in the prompt field above.

import { button, h, icon, put, select } from "./dom.js";
import { number, t } from "./strings.js";

export const MOST_SHOTS = 24;

/** The editor of `draft.shots`; `changed` is told after every change, with whether another shot is chosen. */
export function shotEditor({ draft, cameras, changed }) {
  const strip = h("ol", { class: "strip" });
  const total = h("span", { class: "hint", "aria-live": "polite" });

  const choose = (index) => {
    draft.at = index;
    changed(true);
    show();
    strip.children[index]?.scrollIntoView?.({ block: "nearest", inline: "nearest" });
  };
  const add = () => {
    if (!draft.shots.length) draft.shots.push(shot(draft.values["shot.prompt"] ?? "", draft.values["shot.seconds"] || 4));
    const last = draft.shots[draft.shots.length - 1];
    draft.shots.push(shot(last.prompt, last.seconds));
    choose(draft.shots.length - 1);
  };
  const move = (index, by) => {
    const [one] = draft.shots.splice(index, 1);
    draft.shots.splice(index + by, 0, one);
    choose(index + by);
    strip.children[index + by]?.querySelector(by < 0 ? ".left" : ".right")?.focus();
  };
  const drop = (index) => {
    const [one] = draft.shots.splice(index, 1);
    if (draft.shots.length < 2) {
      const left = draft.shots.pop() ?? one;
      draft.values["shot.prompt"] = left.prompt;
      draft.values["shot.seconds"] = left.seconds;
    }
    choose(Math.max(0, Math.min(draft.at, draft.shots.length - 1)));
  };

  const card = (one, index) => {
    const words = h("button", { type: "button", class: "shot-words", "aria-pressed": String(index === draft.at), on: { click: () => choose(index) } },
      h("b", { text: String(index + 1) }), h("span", { text: one.prompt || t("shots.empty") }));
    const seconds = h("input", { type: "number", min: 0.25, max: 600, step: 0.25, value: one.seconds, "aria-label": t("shots.seconds", { n: index + 1 }), on: { input: () => { one.seconds = seconds.value; changed(false); sum(); } } });
    const seed = h("input", { type: "number", min: 0, value: one.seed ?? "", placeholder: t("shots.seed"), "aria-label": t("shots.seed_of", { n: index + 1 }), on: { input: () => { one.seed = seed.value; changed(false); } } });
    const joined = h("input", { type: "checkbox", checked: one.joined, disabled: index === 0, on: { change: () => { one.joined = joined.checked; changed(false); } } });
    return h("li", { class: ["shot", index === draft.at && "chosen"] }, words,
      h("div", { class: "row" }, seconds, h("span", { class: "unit", text: "s" }),
        select(cameras.map((name) => [name, name.replaceAll("_", " ")]), one.camera, (value) => { one.camera = value; changed(false); }, { "aria-label": t("shots.camera", { n: index + 1 }) })),
      h("div", { class: "row" }, seed,
        button(t("shots.left"), () => move(index, -1), { sign: "up", bare: true, kind: "small left turned", disabled: index === 0 }),
        button(t("shots.right"), () => move(index, 1), { sign: "down", bare: true, kind: "small right turned", disabled: index === draft.shots.length - 1 }),
        button(t("shots.drop", { n: index + 1 }), () => drop(index), { sign: "close", bare: true, kind: "small" })),
      h("label", { class: "tick" }, joined, h("span", { text: t("shots.joined") })));
  };
  const sum = () => {
    const seconds = draft.shots.reduce((all, one) => all + (Number(one.seconds) || 0), 0);
    total.textContent = draft.shots.length ? t("shots.total", { n: draft.shots.length, s: number(seconds) }) : t("shots.why");
  };
  const show = () => {
    if (draft.at >= draft.shots.length) draft.at = 0;
    put(strip, draft.shots.map(card),
      draft.shots.length < MOST_SHOTS ? h("li", { class: "shot more" }, h("button", { type: "button", class: "shot-add", on: { click: add } }, icon("plus"), h("span", { text: t(draft.shots.length ? "shots.more" : "shots.first") }))) : null);
    strip.classList.toggle("empty", !draft.shots.length);
    sum();
  };
  const words = () => {
    const place = strip.children[draft.at]?.querySelector(".shot-words span");
    if (place && draft.shots.length) place.textContent = draft.shots[draft.at].prompt || t("shots.empty");
  };
  show();
  return { element: h("div", { class: "storyboard" }, h("div", { class: "head" }, h("h3", { text: t("shots.title") }), total), strip), show, words };
}

const shot = (prompt, seconds) => ({ prompt, seconds: Number(seconds) || 4, camera: "free", seed: "", joined: false });
